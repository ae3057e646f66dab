"""Fingerprints change with the code that is reached, and with nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, other_python
from variorum.base import components
from variorum.base.components import PACKAGE
from variorum.identity import fingerprint as module
from variorum.identity.fingerprint import fingerprint
from variorum.identity.package_code import INSIDE_FOLDERS, OUTSIDE, Code, is_outside
from variorum.identity.recorded_code import recorded_digest

STAGE = '''"""A stage."""

import json
from variorum.corpus import helpers
from variorum.corpus.helpers import CONSTANT, Base, decorate
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

from variorum.corpus.deeper import constant_of

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
    (root / "corpus").mkdir()
    for file in ("__init__.py", "stages/__init__.py", "corpus/__init__.py"):
        (root / file).write_text("")
    (root / "config.py").write_text("LIMIT = 1\n")
    (root / "stages/demo.py").write_text(STAGE)
    (root / "stages/template.txt").write_text("Hello")
    (root / "corpus/helpers.py").write_text(HELPERS)
    (root / "corpus/deeper.py").write_text(DEEPER)
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
    "an imported function": ("corpus/helpers.py", "return a + b", "return a - b"),
    "a default value": ("corpus/helpers.py", "b=2", "b=3"),
    "a constant": ("corpus/helpers.py", 'constant_of("x")', 'constant_of("y")'),
    "what makes the constant": ("corpus/deeper.py", "x * 2", "x * 3"),
    "a class attribute": ("corpus/helpers.py", "limit = 3", "limit = 4"),
    "what a method uses": ("corpus/helpers.py", "OTHER = 5", "OTHER = 6"),
    "a decorator": ("stages/demo.py", "@decorate\ndef run", "def run"),
    "a decorator's code": (
        "corpus/helpers.py",
        "return function",
        "return lambda *a: function(*a)",
    ),
    "package data": ("stages/template.txt", "Hello", "Goodbye"),
    "which library a name is from": ("stages/demo.py", "import json", "import simplejson as json"),
    "a statement that runs on import": ("corpus/helpers.py", 'TABLE["a"] = 1', 'TABLE["a"] = 2'),
}
NO_CHANGES = {
    "a comment": ("corpus/helpers.py", "# a comment", "# another comment"),
    "a docstring": ("corpus/helpers.py", '"""Docstring."""', '"""Another."""'),
    "a module's docstring": ("corpus/helpers.py", '"""Helpers."""', '"""Others."""'),
    "a removed docstring": ("stages/demo.py", '    """Run."""\n', ""),
    "formatting": ("corpus/helpers.py", "return a + b", "return (a\n            +  b)"),
    "an annotation": ("corpus/helpers.py", "a: int", "a: 'float'"),
    "a return annotation": ("stages/demo.py", "-> None", "-> object"),
    "code that is not reached": ("corpus/helpers.py", "return 9", "return 10"),
    "a new function": ("corpus/helpers.py", "def idle", "def new():\n    return 3\n\n\ndef idle"),
    "an unused import": ("corpus/helpers.py", '"""Helpers."""', '"""Helpers."""\nimport os'),
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


def test_only_the_chosen_component_counts(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(components.CONTRACTS, "corpus", ("act",))
    for name in ("one", "two"):
        (package / f"corpus/{name}.py").write_text("def act():\n    return 1\n")
    before = digest(package, ("corpus", "one"))
    assert before != digest(package)
    (package / "corpus/two.py").write_text("def act():\n    return 2\n")
    assert digest(package, ("corpus", "one")) == before
    (package / "corpus/one.py").write_text("def act():\n    return 2\n")
    assert digest(package, ("corpus", "one")) != before


# Ways of writing Python that must not hide an edit. Each is a stage, other modules, and an edit.

Scene = tuple[str, dict[str, str], tuple[str, str, str]]

TWO = {"corpus/a.py": "def f():\n    return 1\n", "corpus/b.py": "def f():\n    return 2\n"}
IN_A = ("corpus/a.py", "1", "3")

REACHED: dict[str, Scene] = {
    "a relative import": (
        "from ..corpus.a import f\ndef run(task):\n    return f()",
        TWO,
        IN_A,
    ),
    "an import inside of a function": (
        "def run(task):\n    from variorum.corpus import a\n    return a.f()",
        TWO,
        IN_A,
    ),
    "a dotted import": (
        "import variorum.corpus.a\ndef run(task):\n    return variorum.corpus.a.f()",
        TWO,
        IN_A,
    ),
    "a package that is handed on": (
        "import variorum.corpus.a\ndef run(task):\n    return task(variorum.corpus)",
        TWO,
        IN_A,
    ),
    "a module with another name": (
        "import variorum.corpus.a as other\ndef run(task):\n    return other.f()",
        TWO,
        IN_A,
    ),
    "a star import": (
        "from variorum.corpus.a import *\ndef run(task):\n    return f()",
        TWO,
        IN_A,
    ),
    "a name passed on by a star import": (
        "from variorum.corpus.c import f\ndef run(task):\n    return f()",
        {**TWO, "corpus/c.py": "from variorum.corpus.a import *\n"},
        IN_A,
    ),
    "a name passed on by a package": (
        "from variorum.corpus import g\ndef run(task):\n    return g()",
        {**TWO, "corpus/__init__.py": "from variorum.corpus.a import f as g\n"},
        IN_A,
    ),
    "a name passed on by a module outside": (
        "from variorum.store import g\ndef run(task):\n    return g()",
        {**TWO, "store.py": "from variorum.corpus.a import f as g\n"},
        IN_A,
    ),
    "a name that a module makes when it is asked": (
        "from variorum.corpus.c import g\ndef run(task):\n    return g()",
        {"corpus/c.py": "def __getattr__(name):\n    return 1\n"},
        ("corpus/c.py", "1", "2"),
    ),
    "a name that a module sets in a way of its own": (
        "from variorum.corpus.c import g\ndef run(task):\n    return g()",
        {"corpus/c.py": "def _set():\n    globals()['g'] = 1\n\n\nX = _set()\n"},
        ("corpus/c.py", "1", "2"),
    ),
    "an attribute that is asked for by a text": (
        "from variorum.corpus import a\ndef run(task):\n    return getattr(a, 'f')()",
        TWO,
        IN_A,
    ),
    "a name passed on, asked for by a text": (
        "from variorum.corpus import c\ndef run(task):\n    return getattr(c, 'f')()",
        {**TWO, "corpus/c.py": "from variorum.corpus.a import f\n"},
        IN_A,
    ),
    "a folder without __init__.py": (
        "from variorum import model\ndef run(task):\n    return model.a.f()",
        {"model/a.py": TWO["corpus/a.py"]},
        ("model/a.py", "1", "3"),
    ),
    "one of two definitions": (
        "try:\n    import fast\n    def f():\n        return fast.f()\n"
        "except ImportError:\n    def f():\n        return 1\ndef run(task):\n    return f()",
        {},
        ("stages/demo.py", "return 1", "return 2"),
    ),
    "one of two imports": (
        "try:\n    from variorum.corpus.b import f\nexcept ImportError:\n"
        "    from variorum.corpus.a import f\ndef run(task):\n    return f()",
        TWO,
        IN_A,
    ),
    "what runs where types are not checked": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    X = int\nelse:\n    X = 1\n"
        "def run(task):\n    return X",
        {},
        ("stages/demo.py", "X = 1", "X = 2"),
    ),
    "an assignment on the line of an else": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING: X = int\n"
        "else: X = 1; Y = '''a\\n  b'''\n"
        "def run(task):\n    return X, Y",
        {},
        ("stages/demo.py", "X = 1", "X = 2"),
    ),
    "a text over lines in an else": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    X = str\n"
        "else:\n    X = '''a\n  b'''\n"
        "def run(task):\n    return X",
        {},
        ("stages/demo.py", "  b", "   b"),
    ),
    "a choice where types are not checked": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    X = int\nelif print:\n    X = 1\n"
        "def run(task):\n    return X",
        {},
        ("stages/demo.py", "X = 1", "X = 2"),
    ),
    "the order of two that a registry of their module holds": (
        "KINDS = []\ndef kind(f):\n    KINDS.append(f)\n    return f\n"
        "@kind\ndef a():\n    return 1\n@kind\ndef b():\n    return 2\n"
        "def run(task):\n    return [f() for f in KINDS]",
        {},
        (
            "stages/demo.py",
            "@kind\ndef a():\n    return 1\n@kind\ndef b():\n    return 2\n",
            "@kind\ndef b():\n    return 2\n@kind\ndef a():\n    return 1\n",
        ),
    ),
    "the order of two that mention each other late": (
        "N = iter((1, 2))\nA = (next(N), lambda: B)\nB = (next(N), lambda: A)\n"
        "def run(task):\n    return A[0] - 2 * B[0]",
        {},
        (
            "stages/demo.py",
            "A = (next(N), lambda: B)\nB = (next(N), lambda: A)\n",
            "B = (next(N), lambda: A)\nA = (next(N), lambda: B)\n",
        ),
    ),
    "a function in a registry of its module": (
        "KINDS = {}\ndef kind(name):\n    return lambda f: KINDS.setdefault(name, f)\n"
        "@kind('a')\ndef _a():\n    return 1\ndef run(task):\n    return KINDS[task]()",
        {},
        ("stages/demo.py", "return 1", "return 2"),
    ),
    "a function in a registry of another module": (
        "from variorum.corpus import kinds, more\ndef run(task):\n    return kinds.KINDS[task]()",
        {
            "corpus/kinds.py": "KINDS = {}\ndef kind(f):\n    KINDS[f.__name__] = f\n"
            "    return f\n",
            "corpus/more.py": "from variorum.corpus.kinds import kind\n@kind\n"
            "def a():\n    return 1\n",
        },
        ("corpus/more.py", "1", "2"),
    ),
    "what an imported module runs, whichever name of it is used": (
        "from variorum.corpus.c import f\ndef run(task):\n    return f()",
        {
            "corpus/c.py": "from variorum.corpus.d import g\ndef f():\n    return 3\n"
            "def h():\n    g()\n",
            "corpus/d.py": "import random\ndef g():\n    return 4\nrandom.seed(1)\n",
        },
        ("corpus/d.py", "1", "2"),
    ),
    "what a package runs when something in it is imported": (
        "from variorum.corpus.a import f\ndef run(task):\n    return f()",
        {**TWO, "corpus/__init__.py": "import random\nrandom.seed(1)\n"},
        ("corpus/__init__.py", "1", "2"),
    ),
    "names that were exchanged": (
        "from variorum.corpus.a import f\nfrom variorum.corpus.b import f as g\n"
        "def run(task):\n    return f(), g()",
        TWO,
        (
            "stages/demo.py",
            "a import f\nfrom variorum.corpus.b",
            "b import f\nfrom variorum.corpus.a",
        ),
    ),
    "a name that comes from outside now": (
        "from variorum.corpus.a import f\nfrom variorum.corpus.c import g\n"
        "def run(task):\n    return f(), g()",
        {
            **TWO,
            "corpus/c.py": "from variorum.corpus.a import f\ndef g():\n    return f\n",
            "config.py": "def f():\n    return 5\n",
        },
        ("stages/demo.py", "variorum.corpus.a", "variorum.config"),
    ),
    "a constant of a module outside": (
        "from variorum.config import LIMIT\ndef run(task):\n    return LIMIT",
        {"config.py": "HALF = 2\nLIMIT: int = 2 * HALF\n"},
        ("config.py", "HALF = 2", "HALF = 3"),
    ),
    "the order of statements that depend on each other": (
        "X = {'a': 1}\nY = dict(X)\nX['a'] = 2\ndef run(task):\n    return Y",
        {},
        ("stages/demo.py", "Y = dict(X)\nX['a'] = 2", "X['a'] = 2\nY = dict(X)"),
    ),
    "the order of assignments that take turns": (
        "from itertools import count\nN = count()\nA = next(N)\nB = next(N)\n"
        "def run(task):\n    return A, B",
        {},
        ("stages/demo.py", "A = next(N)\nB = next(N)", "B = next(N)\nA = next(N)"),
    ),
    "which of two functions of one name is the last": (
        "def f():\n    return 1\ndef f():\n    return 2\ndef run(task):\n    return f()",
        {},
        ("stages/demo.py", "1\ndef f():\n    return 2", "2\ndef f():\n    return 1"),
    ),
    "what a module adds to a constant": (
        "X = [1]\nX += [2]\ndef run(task):\n    return X",
        {},
        ("stages/demo.py", "[2]", "[3]"),
    ),
    "what a module takes away": (
        "X = {1: 2, 3: 4}\ndel X[1]\ndef run(task):\n    return X",
        {},
        ("stages/demo.py", "del X[1]", "del X[3]"),
    ),
    "what a loop of a module makes": (
        "X = []\nfor i in range(3):\n    X.append(i)\ndef run(task):\n    return X",
        {},
        ("stages/demo.py", "range(3)", "range(4)"),
    ),
    "a global that a function counts up": (
        "N = 1\ndef run(task):\n    global N\n    N += 1",
        {},
        ("stages/demo.py", "N = 1", "N = 2"),
    ),
    "a base of a base": (
        "from variorum.corpus.c import C\ndef run(task):\n    return C().m()",
        {
            "corpus/c.py": "from variorum.corpus.d import D\nclass C(D):\n    '''C.'''\n",
            "corpus/d.py": "class D:\n    def m(self):\n        return 1\n",
        },
        ("corpus/d.py", "1", "2"),
    ),
    "a property": (
        "class C:\n    @property\n    def p(self):\n        return 1\n"
        "def run(task):\n    return C().p",
        {},
        ("stages/demo.py", "return 1", "return 2"),
    ),
    "the type of a field": (
        "from dataclasses import dataclass\n@dataclass\nclass C:\n    x: int = 1\n"
        "def run(task):\n    return C()",
        {},
        ("stages/demo.py", "x: int", "x: 'ClassVar[int]'"),
    ),
    "what the type of a field stands for": (
        "from variorum.corpus.c import T\nclass C:\n    x: T\ndef run(task):\n    return C()",
        {"corpus/c.py": "T = int\n"},
        ("corpus/c.py", "int", "str"),
    ),
    "an argument of a decorator": (
        "from functools import lru_cache\n@lru_cache(1)\ndef f():\n    return 1\n"
        "def run(task):\n    return f()",
        {},
        ("stages/demo.py", "lru_cache(1)", "lru_cache(2)"),
    ),
    "a function that is handed on": (
        "from functools import partial\nfrom variorum.corpus.a import f\n"
        "def run(task):\n    return partial(map, f)",
        TWO,
        IN_A,
    ),
    "a function inside of a function": (
        "def run(task):\n    def f():\n        return (lambda: [1 for _ in task])()\n    return f",
        {},
        ("stages/demo.py", "[1 for", "[2 for"),
    ),
    "a default of a lambda": (
        "X = 1\ndef run(task):\n    return lambda x=X: x",
        {},
        ("stages/demo.py", "X = 1", "X = 2"),
    ),
    "a pattern": (
        "from variorum.corpus import c\ndef run(task):\n    match task:\n"
        "        case c.KIND:\n            return 1",
        {"corpus/c.py": "KIND = 1\n"},
        ("corpus/c.py", "1", "2"),
    ),
    "a name inside of a text": (
        "X = 1\ndef run(task):\n    return f'{task:{X}}'",
        {},
        ("stages/demo.py", "X = 1", "X = 2"),
    ),
    "a name that is bound in an expression": (
        "print(X := 1)\ndef run(task):\n    return X",
        {},
        ("stages/demo.py", "X := 1", "X := 2"),
    ),
    "package data that a constant names": (
        "from variorum.corpus.c import read\ndef run(task):\n    return read()",
        {
            "corpus/c.py": "FILE = 'words.txt'\ndef read():\n    return FILE\n",
            "corpus/words.txt": "a",
        },
        ("corpus/words.txt", "a", "b"),
    ),
    "package data of another folder": (
        "def run(task):\n    return 'words.txt'",
        {"corpus/words.txt": "a"},
        ("corpus/words.txt", "a", "b"),
    ),
    "package data with its folder's name": (
        "def run(task):\n    return 'texts/words.txt'",
        {"stages/texts/words.txt": "a"},
        ("stages/texts/words.txt", "a", "b"),
    ),
    "package data of which the folder alone is named": (
        "def run(task):\n    return [('texts', f'{task}.txt')]",
        {"stages/texts/words.txt": "a"},
        ("stages/texts/words.txt", "a", "b"),
    ),
    "package data that is named in other data": (
        "def run(task):\n    return 'page.html'",
        {"stages/page.html": "{% include 'style.css' %}", "stages/style.css": "a"},
        ("stages/style.css", "a", "b"),
    ),
}
NOT_REACHED: dict[str, Scene] = {
    "a text below a constant": (
        "X = 1\n'''What X is.'''\ndef run(task):\n    return X",
        {},
        ("stages/demo.py", "What X is", "Another"),
    ),
    "a statement that does nothing": (
        "def run(task):\n    pass\n    'a text'\n    return 1",
        {},
        ("stages/demo.py", "    pass\n    'a text'\n", "    ...\n"),
    ),
    "a docstring that was all there was": (
        "class C(Exception):\n    '''C.'''\ndef run(task):\n    raise C",
        {},
        ("stages/demo.py", "'''C.'''", "pass"),
    ),
    "the type of a variable in a function": (
        "def run(task):\n    x: int = 1\n    return x",
        {},
        ("stages/demo.py", "x: int", "x: 'a number'"),
    ),
    "where a function stands": (
        "X = 1\ndef f():\n    return X\ndef run(task):\n    return f()",
        {},
        ("stages/demo.py", "X = 1\ndef f():\n    return X\n", "def f():\n    return X\nX = 1\n"),
    ),
    "quotes and parentheses": (
        "X = 'a' 'b'\ndef run(task):\n    return X",
        {},
        ("stages/demo.py", "'a' 'b'", '("ab")'),
    ),
    "how numbers are written": (
        "X = 1000.0\ndef run(task):\n    return X",
        {},
        ("stages/demo.py", "1000.0", "1_000.0"),
    ),
    "statements that share a line": (
        "X = 1; Y = 2\ndef run(task):\n    return X",
        {},
        ("stages/demo.py", "Y = 2", "Y = 3"),
    ),
    "a name that is only imported for types": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from variorum.corpus.a import f\n"
        "def run(task: f) -> f:\n    return 1",
        TWO,
        IN_A,
    ),
    "a definition for types, and the other that nothing uses": (
        "import variorum.corpus.c\ndef run(task):\n    return variorum.corpus.c.f()",
        {
            "corpus/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    X = int\n"
            "else:\n    X = 2\ndef f():\n    return 1\n"
        },
        ("corpus/c.py", "X = int\nelse:\n    X = 2", "X = str\nelse:\n    X = 3"),
    ),
    "another function of a module that is used": (
        "from variorum import corpus\nimport variorum.corpus.c\n"
        "def run(task):\n    return corpus.c.f()",
        {"corpus/c.py": "def f():\n    return 1\ndef g():\n    return 2\n"},
        ("corpus/c.py", "return 2", "return 3"),
    ),
    "a function of which the name is that of a field": (
        "from variorum.corpus.a import f\nclass C:\n    f: int\ndef run(task):\n    return C",
        TWO,
        IN_A,
    ),
    "a function that a library's decorator changes": (
        "from functools import cache\n@cache\ndef f():\n    return 1\ndef run(task):\n    return 2",
        {},
        ("stages/demo.py", "return 1", "return 3"),
    ),
    "a function of a module outside": (
        "from variorum.config import f\ndef run(task):\n    return f()",
        {"config.py": "def f():\n    return 1\n"},
        ("config.py", "1", "2"),
    ),
    "which module outside a name is from": (
        "from variorum.config import f\ndef run(task):\n    return f()",
        {"config.py": "def f():\n    return 1\n", "store.py": "def f():\n    return 1\n"},
        ("stages/demo.py", "variorum.config", "variorum.store"),
    ),
    "what an editor leaves beside package data": (
        "def run(task):\n    return 'texts'",
        {"stages/texts/words.txt": "a", "stages/texts/.words.txt.swp": "a"},
        ("stages/texts/.words.txt.swp", "a", "b"),
    ),
}


def digests_of(package: Path, scene: Scene) -> tuple[str, str]:
    """Before and after its edit."""
    stage, files, edit = scene
    for file, text in {**files, "stages/demo.py": stage + "\n"}.items():
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).write_text(text)
    before = digest(package)
    replace(package, *edit)
    return before, digest(package)


@pytest.mark.parametrize("name", REACHED)
def test_no_way_of_writing_hides_an_edit(package: Path, name: str) -> None:
    before, after = digests_of(package, REACHED[name])
    assert after != before


@pytest.mark.parametrize("name", NOT_REACHED)
def test_no_way_of_writing_changes_it_without_a_reason(package: Path, name: str) -> None:
    before, after = digests_of(package, NOT_REACHED[name])
    assert after == before


@pytest.mark.parametrize("name", [*REACHED, *NOT_REACHED])
def test_kept_sources_hold_all_that_the_hash_stands_on(package: Path, name: str) -> None:
    digests_of(package, {**REACHED, **NOT_REACHED}[name])
    found = fingerprint("variorum.stages.demo:run", (), package)
    assert recorded_digest(found.sources) == found.digest


def test_modules_that_import_each_other_are_followed_once(package: Path) -> None:
    (package / "corpus/a.py").write_text(
        "from variorum.corpus import b\ndef f():\n    return b.g\n"
    )
    (package / "corpus/b.py").write_text(
        "from variorum.corpus import a\ndef g():\n    return a.f\n"
    )
    replace(package, "stages/demo.py", "import json", "from variorum.corpus.a import f as json")
    assert {"variorum.corpus.a:f", "variorum.corpus.b:g"} <= set(
        fingerprint("variorum.stages.demo:run", (), package).sources
    )


# One process may plan again after an edit


def test_an_edit_that_leaves_time_and_size_as_they_were_is_seen(package: Path) -> None:
    file = package / "corpus/helpers.py"
    before, times = digest(package), file.stat()
    replace(package, "corpus/helpers.py", "b=2", "b=3")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file.stat().st_size == times.st_size
    assert digest(package) != before


def test_a_module_that_was_added_or_removed_is_seen(package: Path) -> None:
    replace(package, "stages/demo.py", "import json", "from variorum.corpus import json")
    before = digest(package)
    (package / "corpus/json.py").write_text("def dumps(x):\n    return 1\n")
    assert digest(package) != before
    (package / "corpus/json.py").unlink()
    assert digest(package) == before


def test_package_data_that_was_added_or_removed_is_seen(package: Path) -> None:
    replace(package, "stages/demo.py", "template.txt", "words.txt")
    before = digest(package)
    (package / "stages/words.txt").write_text("a")
    assert digest(package) != before
    (package / "stages/words.txt").unlink()
    assert digest(package) == before


def test_all_fingerprints_of_one_reading_see_the_same_files(package: Path) -> None:
    code = Code(package)
    before = fingerprint("variorum.stages.demo:run", (), code).digest
    replace(package, "corpus/helpers.py", "b=2", "b=3")
    assert fingerprint("variorum.stages.demo:run", (), code).digest == before
    assert digest(package) != before


def test_the_source_is_kept_as_it_was_typed(package: Path) -> None:
    sources = fingerprint("variorum.stages.demo:run", (), package).sources
    assert sources["variorum.stages.demo:run"].startswith("@decorate\ndef run(task: int)")
    assert sources["stages/template.txt"] == "Hello"
    assert "variorum.corpus.helpers:idle" not in sources


def test_what_is_listed_as_outside_exists() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert folders > INSIDE_FOLDERS
    for name in OUTSIDE:
        assert Code().path(name), f"{name} is gone"
        assert is_outside(name)


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
    assert not [name for name in reached if name.startswith("variorum") and is_outside(name)]
    assert "variorum.model.positions.learned" not in reached
    assert "variorum.model.gpt2" not in reached
    assert not [name for name in reached if "evaluation" in name or "report" in name]


def test_module_holds_its_promise_to_import_nothing_numerical() -> None:
    assert not {"numpy", "torch"} & set(vars(module))


GOLDEN = "a315b96982d21333b28f24261284c2a99b1098cfce0a6d7c6239d28a0e08fc41"
"""The fingerprint of the package above. It moves when the way of hashing does: raise `SCHEMA`."""

PRINT = """
import sys
from pathlib import Path
from variorum.identity.fingerprint import fingerprint
print(fingerprint("variorum.stages.demo:run", (), Path(sys.argv[1])).digest)
"""


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_a_golden_fingerprint_stays_on_every_python(package: Path, version: str) -> None:
    python = sys.executable if version == "3.11" else other_python(version)
    done = subprocess.run(
        [python, "-c", PRINT, str(package)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == GOLDEN == digest(package)
