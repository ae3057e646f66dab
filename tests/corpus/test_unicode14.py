"""The pinned character classes, code point by code point."""

import re
import sys
import unicodedata
from functools import cache
from pathlib import Path

import pytest

from oracles import unicode14 as oracle
from variorum.corpus import unicode14

HERE = unicodedata.unidata_version
EVERY_CODE_POINT = range(sys.maxunicode + 1)

by_its_tables = pytest.mark.skipif(
    oracle.VERSION != HERE,
    reason=f"this Python has Unicode {HERE}: only one with {oracle.VERSION} (3.11) can tell",
)


@cache
def members(name: str) -> frozenset[int]:
    """The code points that a class of the package has."""
    every = "".join(map(chr, EVERY_CODE_POINT))
    return frozenset(map(ord, re.findall(f"[{getattr(unicode14, name)}]", every)))


@cache
def members_here(name: str) -> frozenset[int]:
    """The code points that the class has in this Python's tables."""
    belongs, _ = oracle.CLASSES[name]
    return frozenset(code for code in EVERY_CODE_POINT if belongs(chr(code)))


@by_its_tables
@pytest.mark.parametrize("name", oracle.CLASSES)
def test_every_code_point_is_where_unicode_14_has_it(name: str) -> None:
    assert members(name) == members_here(name)


@pytest.mark.parametrize("name", ["LETTERS", "NUMBERS", "WHITE_SPACE"])
def test_what_unicode_14_assigned_stays_in_its_class_in_any_python(name: str) -> None:
    assert members(name) == members_here(name) - members("UNASSIGNED")


def test_what_this_python_has_unassigned_was_unassigned_in_unicode_14() -> None:
    assert members_here("UNASSIGNED") <= members("UNASSIGNED")


def test_the_classes_do_not_overlap() -> None:
    names = list(oracle.CLASSES)
    assert sum(len(members(name)) for name in names) == len(set().union(*map(members, names)))


def test_surrogates_are_in_no_class() -> None:
    surrogates = set(range(0xD800, 0xE000))
    assert not any(members(name) & surrogates for name in oracle.CLASSES)


@by_its_tables
def test_the_module_is_what_the_script_writes() -> None:
    assert Path(unicode14.__file__).read_text(encoding="utf-8") == oracle.source()
