"""A count stands with its noun as people write it: `1 result`, not `1 results`.

Every f-string of the modules that speak to people is read. What stages write is left out: it is
part of results, and its code of their keys.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT

PACKAGE = ROOT / "src/variorum"
PLACES = ("audit", "base", "cli", "config", "plan", "run", "store", "snakemake.py")
NOUN = re.compile(r" (?:(?!in\b|of\b)(?:\w+ )?(?!is\b|has\b|was\b|as\b|does\b)[a-z]+[^s\W]s)\b")


def is_count(value: ast.FormattedValue) -> bool:
    """Whether a placeholder is surely a whole number: a length, a sum, or one with separators."""
    call = value.value
    counts = isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    spec = ast.unparse(value.format_spec) if value.format_spec else ""
    return (counts and call.func.id in ("len", "sum")) or "," in spec  # type: ignore[union-attr]


def bare_counts(source: str) -> Iterator[str]:
    """Yield counts with a plural behind them, in f-strings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            for one, after in zip(node.values, node.values[1:], strict=False):
                if isinstance(one, ast.FormattedValue) and isinstance(after, ast.Constant):
                    found = NOUN.match(str(after.value))
                    if found and is_count(one):
                        yield f"{{{ast.unparse(one.value)}}}{found[0]}"


def files() -> list[Path]:
    found = [PACKAGE / place for place in PLACES]
    return sorted(f for each in found for f in ([each] if each.suffix else each.rglob("*.py")))


def test_no_count_has_a_plural_of_its_own() -> None:
    found = {
        file.relative_to(PACKAGE).as_posix(): bare
        for file in files()
        if (bare := list(bare_counts(file.read_text(encoding="utf-8"))))
    }
    assert not found, "\n".join(map(str, found.items()))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('f"{len(x)} results are"', ["{len(x)} results"]),
        ('f"{n:,} new files"', ["{n:,} new files"]),
        ('f"{n:,} is"', []),
        ('f"{len(x)} of them"', []),
        ('f"{name} has files"', []),
        ("f\"{counted(len(x), 'result')} are\"", []),
    ],
)
def test_a_bare_count_is_found(source: str, found: list[str]) -> None:
    assert [each.replace(":,", "") for each in bare_counts(source)] == [
        each.replace(":,", "") for each in found
    ]
