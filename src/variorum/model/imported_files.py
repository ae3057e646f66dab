"""The files of a GPT-2 in Hugging Face's layout that is imported, and their checksum.

Planning takes the checksum, so no numerical library is imported here.
"""

from pathlib import Path

from variorum.base.errors import VariorumError
from variorum.tokenizer import hugging_face

MODEL = ("config.json", "model.safetensors")


def files_of(folder: Path) -> list[Path]:
    """What is read of the model in `folder`, always in the same order; other files don't count.

    Raises:
        VariorumError: if one of them is not there.
    """
    names = [*MODEL, *hugging_face.files_of(folder)]
    for name in names:
        if not (folder / name).is_file():
            raise VariorumError(
                f"{folder} holds no {name}; it needs {', '.join(MODEL)}, and {hugging_face.WHOLE} "
                f"or {' and '.join(hugging_face.PARTS)}, as `save_pretrained` writes them"
            )
    return [folder / name for name in names]
