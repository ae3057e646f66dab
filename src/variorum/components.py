"""Components: the parts of the system that a setting chooses by name.

Position encodings, optimizers, schedules, tokenizers and sources of text live one per file. The
file's name is the setting's value, so adding `model/positions/my_positions.py` is all it takes to
add the option `positions: my_positions`.
"""

from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TypeVar

PACKAGE = Path(__file__).parent

Base = TypeVar("Base")


@cache
def options(folder: str) -> tuple[str, ...]:
    """Names that can be chosen from `folder` (such as `model/positions`), sorted."""
    files = (PACKAGE / folder).glob("*.py")
    return tuple(sorted(file.stem for file in files if not file.stem.startswith("_")))


def exists(folder: str, option: str) -> bool:
    """Whether `option` can be chosen; a hyphen in a name is an underscore in its file's."""
    return option.replace("-", "_") in options(folder)


def module_name(folder: str, option: str) -> str:
    """The dotted module that implements `option` of `folder`."""
    return ".".join(["variorum", *folder.split("/"), option.replace("-", "_")])


def load(folder: str, option: str) -> ModuleType:
    """Import the module that implements `option` of `folder`."""
    return import_module(module_name(folder, option))


def classes(folder: str, base: type[Base]) -> dict[str, type[Base]]:
    """Return the class derived from `base` that each file of `folder` defines, by option."""
    found = {}
    for option in options(folder):
        module = load(folder, option)
        defined = [
            each
            for each in vars(module).values()
            if isinstance(each, type)
            and issubclass(each, base)
            and each.__module__ == module.__name__
        ]
        if len(defined) != 1:
            raise TypeError(
                f"{module.__name__} defines {len(defined)} classes derived from {base.__name__}; "
                "an option has one"
            )
        found[option] = defined[0]
    return found
