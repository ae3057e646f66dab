"""The files of a GPT-2 in Hugging Face's layout that is imported, and their checksum.

Planning takes the checksum, so no numerical library is imported here.
"""

from pathlib import Path

from variorum.errors import VariorumError
from variorum.tokenizer import imported

MODEL = ("config.json", "model.safetensors")


def files_of(folder: Path) -> list[Path]:
    """What is read of the model in `folder`, always in the same order; other files don't count.

    Raises:
        VariorumError: if one of them is not there.
    """
    names = [*MODEL, *imported.files_of(folder)]
    for name in names:
        if not (folder / name).is_file():
            raise VariorumError(
                f"{folder} holds no {name}; it needs {', '.join(MODEL)}, and {imported.WHOLE} or "
                f"{' and '.join(imported.PARTS)}, as `save_pretrained` writes them"
            )
    return [folder / name for name in names]
