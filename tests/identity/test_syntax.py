"""Syntax is written out the same by every Python, and says all that counts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, other_python
from variorum.identity.modules import LOOSE, Source
from variorum.identity.syntax import bound_names, parsed, read

# Where the trees, or the texts, of 3.11, 3.12 and 3.13 differ
TRICKY = [
    'f""',
    '"a" f"b" f"{x}" "c"',
    'f"{x:}"',
    'f"{x!r:>{w}}"',
    'f"{ x  =  !r:>5}"',
    'f"{{}}{x}}}"',
    'f"{x:{y}.{z}}"',
    'f"{x:a{y}b{z}c}"',
    "f'''{\nx\n}'''",
    'f"{x:{{}}}"',
    "f\"{x:{''}}\"",
    'f"\\N{BULLET}{x}"',
    'rf"\\d{x}"',
    '(b"\\xff", u"a", 1_000)',
    "1e400 + 0x1F - 1j",
    "x = '\U0001fae8 ’ \u0870'",  # of Unicode 15, 1.1 and 14
    "def f(): pass",
    "def f(a, /, b=1, *c, d, e=2, **g) -> int: return a",
    "class C: x: int = 1",
    "{**a, 'b': 1}; [*a]; print(*a, **b)",
    "match x:\n    case {'a': 1, **rest} | [C(y=2), *_]: pass",
    "try: pass\nexcept* E as e: pass",
    "async def f():\n    async with a as b: await c",
    "with (a as b, c): pass",
    "lambda x=1, *y: (yield)",
    "print(X := 1)",
    "x: int",
    "del x, y[0], z.a",
]

SAY = """
import json, sys
from variorum.identity.syntax import parsed, read
said = [[(r.written, sorted(r.mentions)) for r in map(read, parsed(text).body)]
        for text in json.load(sys.stdin)]
print(json.dumps(said))
"""


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_other_pythons_write_the_same(version: str) -> None:
    python = other_python(version)
    texts = TRICKY + [file.read_text("utf-8") for file in (ROOT / "tests").glob("*.py")]
    said = [
        subprocess.run(
            [each, "-c", SAY],
            input=json.dumps(texts),
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for each in (sys.executable, python)
    ]
    for text, one, other in zip(texts, *map(json.loads, said), strict=True):
        assert one == other, text


def written(text: str) -> list[str]:
    return [read(node).written for node in parsed(text).body]


def defined(text: str) -> list[list[str]]:
    return [bound_names(node) for node in parsed(text).body]


@pytest.mark.parametrize("text", TRICKY)
def test_every_part_of_a_statement_is_written(text: str) -> None:
    """Another name, number or text in it is another syntax, but for the names that it defines."""
    for old, new in (("x", "q"), ("y", "q"), ("1", "7"), ("a", "q")):
        changed = text.replace(old, new)
        try:
            same = changed == text or defined(changed) != defined(text)
            assert same or written(changed) != written(text), changed
        except SyntaxError:  # it was part of a keyword
            continue


def test_the_source_of_a_definition_is_whole_lines_but_for_those_it_shares() -> None:
    source = Source(
        "variorum.a",
        False,
        "A = 1  # one\nB = 2; C = [\n    3]\n\n\n@dec\ndef f():\n    '''F.'''\n    return A\n",
    )
    assert source.source_of("A") == "A = 1  # one"
    assert source.source_of("B") == "B = 2"
    assert source.source_of("C") == "C = [\n    3]"
    assert source.source_of("f") == "@dec\ndef f():\n    '''F.'''\n    return A"


def test_what_runs_on_import_and_defines_nothing_is_loose() -> None:
    source = Source(
        "variorum.a",
        False,
        "import b\nX = 1\nX.y = 2\nfor i in X: pass\ndef g(f): pass\n@g\ndef f(): pass\n",
    )
    kinds = [type(statement.node).__name__ for statement in source.of(LOOSE)]
    assert kinds == ["Assign", "For", "FunctionDef"]
    assert source.of(LOOSE)[2].names == ["f"]


def test_names_of_a_comprehension_are_not_the_modules() -> None:
    source = Source("variorum.a", False, "X = [i for i in (j := range(3))]\n")
    assert sorted(source.names) == ["X", "j"]


def test_a_broken_file_is_an_error_of_its_syntax(tmp_path: Path) -> None:
    with pytest.raises(SyntaxError):
        Source("variorum.a", False, "def f(:\n")
