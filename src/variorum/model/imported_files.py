"""List the files of an imported GPT-2 in Hugging Face's layout.

Planning takes their checksum, so no numerical library is imported here.
"""

import json
from pathlib import Path

from variorum.base.errors import VariorumError
from variorum.tokenizer import hugging_face

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"  # of weights in several files
PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")


def files_of(folder: Path) -> list[Path]:
    """Return the files that are read of the model in `folder`, in a fixed order.

    Other files don't count.

    Raises:
        VariorumError: if one of them is not there.
    """
    names = [CONFIG, *weight_files(folder), *hugging_face.files_of(folder)]
    for name in names:
        if not (folder / name).is_file():
            raise VariorumError(
                f"{folder} holds no {name}; it needs {CONFIG}, {WEIGHTS}, and {hugging_face.WHOLE} "
                f"or {' and '.join(hugging_face.PARTS)}, as `save_pretrained` writes them"
            )
    return [folder / name for name in names]


def weight_files(folder: Path) -> list[str]:
    """Return the names of the files with weights: one, or an index and parts.

    Raises:
        VariorumError: if the index is damaged, or the weights are pickled.
    """
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    path = folder / INDEX
    if path.is_file():
        try:
            parts = {str(name) for name in json.loads(path.read_bytes())["weight_map"].values()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            parts = set()
        if not parts or any(Path(part).name != part for part in parts):
            raise VariorumError(f"{path}: does not list files of this folder; restore the file")
        return [INDEX, *sorted(parts)]
    if pickled := sorted(file.name for form in PICKLES for file in folder.glob(form)):
        raise VariorumError(
            f"{folder} holds {pickled[0]} and no {WEIGHTS}: that is a pickle, which can run any "
            "code when it is read; load it where you trust it, with transformers, and write it by "
            "`save_pretrained`"
        )
    return [WEIGHTS]
