"""List the files of an imported GPT-2 in Hugging Face's layout.

Planning takes their checksum, so no numerical library is imported here.
"""

from pathlib import Path

from variorum.base.errors import VariorumError
from variorum.tokenizer import hugging_face

MODEL = ("config.json", "model.safetensors")


def files_of(folder: Path) -> list[Path]:
    """Return the files that are read of the model in `folder`, in a fixed order.

    Other files don't count.

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
