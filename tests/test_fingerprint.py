"""Fingerprints change with the code that is reached, and with nothing else."""

from pathlib import Path

import pytest

from variorum import fingerprint as module
from variorum.components import PACKAGE
from variorum.fingerprint import OUTSIDE, fingerprint

STAGE = '''"""A stage."""

import json
from variorum.lib import helpers
from variorum.lib.helpers import CONSTANT, Base, decorate
from variorum import config


@decorate
def run(task: int) -> None:
    """Run."""
    return helpers.used(task, CONSTANT, Base.limit), json.dumps({}), _local()


def _local():
    return "template.txt"


def unreached():
    return 1
'''
HELPERS = '''"""Helpers."""

from variorum.lib.deeper import constant_of

# a comment
CONSTANT = constant_of("x")
OTHER = 5
TABLE = {}
TABLE["a"] = 1


class Base:
    """Base."""

    limit = 3

    def method(self):
        return OTHER


def decorate(function):
    return function


def used(a: int, b=2, c=None):
    """Docstring."""
    return a + b


def idle():
    return 9
'''
DEEPER = """
def constant_of(x):
    return x * 2
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    root = tmp_path / "variorum"
    (root / "stages").mkdir(parents=True)
    (root / "lib").mkdir()
    for file in ("__init__.py", "stages/__init__.py", "lib/__init__.py"):
        (root / file).write_text("")
    (root / "config.py").write_text("LIMIT = 1\n")
    (root / "stages/demo.py").write_text(STAGE)
    (root / "stages/template.txt").write_text("Hello")
    (root / "lib/helpers.py").write_text(HELPERS)
    (root / "lib/deeper.py").write_text(DEEPER)
    return root


def digest(package: Path, *parts: tuple[str, str]) -> str:
    return fingerprint("variorum.stages.demo:run", parts, package).digest


CHANGES = {
    "its own code": ("stages/demo.py", "_local()\n\n\ndef _local", "_local(), 1\n\n\ndef _local"),
    "a private helper": (
        "stages/demo.py",
        '    return "template.txt"',
        '    return "template.txt" + ""',
    ),
    "an imported function": ("lib/helpers.py", "return a + b", "return a - b"),
    "a default value": ("lib/helpers.py", "b=2", "b=3"),
    "a constant": ("lib/helpers.py", 'constant_of("x")', 'constant_of("y")'),
    "what makes the constant": ("lib/deeper.py", "x * 2", "x * 3"),
    "a class attribute": ("lib/helpers.py", "limit = 3", "limit = 4"),
    "what a method uses": ("lib/helpers.py", "OTHER = 5", "OTHER = 6"),
    "a decorator": ("stages/demo.py", "@decorate\ndef run", "def run"),
    "a decorator's code": ("lib/helpers.py", "return function", "return lambda *a: function(*a)"),
    "package data": ("stages/template.txt", "Hello", "Goodbye"),
    "which library a name is from": ("stages/demo.py", "import json", "import simplejson as json"),
    "a statement that runs on import": ("lib/helpers.py", 'TABLE["a"] = 1', 'TABLE["a"] = 2'),
}
NO_CHANGES = {
    "a comment": ("lib/helpers.py", "# a comment", "# another comment"),
    "a docstring": ("lib/helpers.py", '"""Docstring."""', '"""Another."""'),
    "a module's docstring": ("lib/helpers.py", '"""Helpers."""', '"""Others."""'),
    "a removed docstring": ("stages/demo.py", '    """Run."""\n', ""),
    "formatting": ("lib/helpers.py", "return a + b", "return (a\n            +  b)"),
    "an annotation": ("lib/helpers.py", "a: int", "a: 'float'"),
    "a return annotation": ("stages/demo.py", "-> None", "-> object"),
    "code that is not reached": ("lib/helpers.py", "return 9", "return 10"),
    "a new function": ("lib/helpers.py", "def idle", "def new():\n    return 3\n\n\ndef idle"),
    "an unused import": ("lib/helpers.py", '"""Helpers."""', '"""Helpers."""\nimport os'),
    "a module outside": ("config.py", "LIMIT = 1", "LIMIT = 2"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_edit_of_reached_code_changes_it(package: Path, name: str) -> None:
    before = digest(package)
    replace(package, *CHANGES[name])
    assert digest(package) != before


@pytest.mark.parametrize("name", NO_CHANGES)
def test_any_other_edit_does_not(package: Path, name: str) -> None:
    before = digest(package)
    replace(package, *NO_CHANGES[name])
    assert digest(package) == before


def replace(package: Path, file: str, old: str, new: str) -> None:
    path = package / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_only_the_chosen_component_counts(package: Path) -> None:
    for name in ("one", "two"):
        (package / f"lib/{name}.py").write_text("def act():\n    return 1\n")
    before = digest(package, ("lib", "one"))
    assert before != digest(package)
    (package / "lib/two.py").write_text("def act():\n    return 2\n")
    assert digest(package, ("lib", "one")) == before
    (package / "lib/one.py").write_text("def act():\n    return 2\n")
    assert digest(package, ("lib", "one")) != before


def test_imports_inside_functions_and_relative_ones_are_followed(package: Path) -> None:
    replace(
        package, "lib/helpers.py", "return a + b", "from .deeper import late\n    return late(a)"
    )
    (package / "lib/deeper.py").write_text(DEEPER + "\n\ndef late(x):\n    return x\n")
    before = digest(package)
    replace(package, "lib/deeper.py", "return x\n", "return -x\n")
    assert digest(package) != before


def test_dotted_imports_are_followed(package: Path) -> None:
    replace(package, "stages/demo.py", "import json", "import json\nimport variorum.lib.deeper")
    replace(package, "stages/demo.py", "json.dumps({})", "variorum.lib.deeper.constant_of(1)")
    (package / "lib/helpers.py").write_text(HELPERS.replace('constant_of("x")', "1"))
    before = digest(package)
    replace(package, "lib/deeper.py", "x * 2", "x * 3")
    assert digest(package) != before


def test_the_source_is_kept_as_it_was_typed(package: Path) -> None:
    sources = fingerprint("variorum.stages.demo:run", (), package).sources
    assert sources["variorum.stages.demo:run"].startswith("@decorate\ndef run(task: int)")
    assert sources["stages/template.txt"] == "Hello"
    assert "variorum.lib.helpers:idle" not in sources


def test_everything_outside_exists_and_everything_else_is_science_or_a_stage() -> None:
    top = {f"variorum.{path.stem}" for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
    assert OUTSIDE - {"variorum"} <= top, "OUTSIDE names a module that is gone"
    assert top - OUTSIDE == {"variorum.unicode14"}, "decide whether the new module enters keys"


def test_the_pretraining_reaches_its_model_and_optimizer_but_no_store() -> None:
    parts = [("model/positions", "rotary"), ("training/optimizers", "adamw")]
    reached = {
        name.split(":")[0] for name in fingerprint("variorum.stages.pretrain:run", parts).sources
    }
    assert {
        "variorum.model.gpt",
        "variorum.model.attention",
        "variorum.model.positions.rotary",
        "variorum.training.loop",
        "variorum.training.optimizers.adamw",
        "variorum.generation.sampler",
    } <= reached
    assert not reached & OUTSIDE
    assert "variorum.model.positions.learned" not in reached
    assert "variorum.model.gpt2" not in reached
    assert not [name for name in reached if "evaluation" in name or "report" in name]


def test_module_holds_its_promise_to_import_nothing_numerical() -> None:
    assert not {"numpy", "torch"} & set(vars(module))
