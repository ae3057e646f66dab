"""Components: the parts of the system that a setting chooses by name.

Position encodings, optimizers, schedules, tokenizers and sources of text live one per file. The
file's name is the setting's value, so adding `model/positions/my_positions.py` is all it takes to
add the option `positions: my_positions`.
"""

from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).parent


@cache
def options(folder: str) -> tuple[str, ...]:
    """Names that can be chosen from `folder` (such as `model/positions`), sorted."""
    files = (PACKAGE / folder).glob("*.py")
    return tuple(sorted(option_name(file) for file in files if not file.stem.startswith("_")))


def option_name(file: Path) -> str:
    """The setting's value that chooses `file`: `python_package.py` is `python-package`."""
    return file.stem.replace("_", "-")


def module_name(folder: str, option: str) -> str:
    """The dotted module that implements `option` of `folder`."""
    return ".".join(["variorum", *folder.split("/"), option.replace("-", "_")])


def load(folder: str, option: str) -> ModuleType:
    """Import the module that implements `option` of `folder`."""
    return import_module(module_name(folder, option))
