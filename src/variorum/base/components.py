"""Find components: the parts of the system that a setting chooses by name.

Position encodings, optimizers, schedules, tokenizers and sources of text live one per file. The
file's name is the setting's value, so adding `model/positions/my_positions.py` is all it takes to
add the option `positions: my_positions`.
"""

from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TypeVar

from variorum.base.counts import counted

PACKAGE = Path(__file__).parents[1]

CONTRACTS = {
    "corpus/sources": ("fetch",),
    "model/attentions": ("attend",),
    "model/feed_forwards": ("FeedForward",),
    "model/norms": ("Norm",),
    "model/positions": ("Positions",),
    "tokenizer/kinds": ("count", "learn", "from_document"),
    "training/batch_orders": ("starts",),
    "training/optimizers": ("STATES", "update", "update_matrices"),
    "training/schedules": ("rate",),
}
"""Names that stages use of a component, by its folder; a component may lack some."""

Base = TypeVar("Base")


@cache
def options(folder: str) -> tuple[str, ...]:
    """Return the names that can be chosen from `folder` (`model/positions`), sorted."""
    files = (PACKAGE / folder).glob("*.py")
    return tuple(sorted(file.stem for file in files if not file.stem.startswith("_")))


def exists(folder: str, option: str) -> bool:
    """Check whether `option` can be chosen; its file writes hyphens as underscores."""
    return option.replace("-", "_") in options(folder)


def module_name(folder: str, option: str) -> str:
    """Return the dotted name of the module that implements `option` of `folder`."""
    return ".".join(["variorum", *folder.split("/"), option.replace("-", "_")])


def module(folder: str, option: str) -> ModuleType:
    """Import the module that implements `option` of `folder`."""
    return import_module(module_name(folder, option))


def load(folder: str, option: str) -> SimpleNamespace:
    """Import `option` of `folder`; return what its contract lists and nothing else.

    The key of a stage covers only the contract, so nothing else may run.
    """
    found = module(folder, option)
    names = (name for name in CONTRACTS[folder] if hasattr(found, name))
    return SimpleNamespace(**{name: getattr(found, name) for name in names})


def classes(folder: str, base: type[Base]) -> dict[str, type[Base]]:
    """Return the class derived from `base` that each file of `folder` defines, by option."""
    found = {}
    for option in options(folder):
        here = module(folder, option)
        defined = [
            each
            for each in vars(here).values()
            if isinstance(each, type)
            and issubclass(each, base)
            and each.__module__ == here.__name__
        ]
        if len(defined) != 1:
            raise TypeError(
                f"{here.__name__} defines {counted(len(defined), 'class', 'classes')} derived from "
                f"{base.__name__}; an option has one"
            )
        found[option] = defined[0]
    return found
