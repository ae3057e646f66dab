"""Claims: what an interval allows to say, and that nobody else says it."""

import ast
import re
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from conftest import ROOT
from variorum.evaluation.metrics import METRICS
from variorum.report.claims import Verdict, claim, clauses, legend, verdict, word
from variorum.report.statistics import paired_difference

# What is planted is found

PLANTED = [
    ("equal", 0.0, 0.004, 8, 0.02, Verdict.ALIKE),
    ("equal, no margin", 0.0, 0.004, 8, None, Verdict.OPEN),
    ("slightly better", -0.003, 0.02, 8, None, Verdict.OPEN),
    ("slightly better, margin", -0.003, 0.02, 8, 0.005, Verdict.OPEN),
    ("clearly better", -0.1, 0.01, 8, 0.02, Verdict.FEWER),
    ("clearly worse", 0.1, 0.01, 8, 0.02, Verdict.MORE),
    ("few groups", -0.02, 0.02, 2, 0.02, Verdict.OPEN),
    ("one seed", -0.1, 0.01, 1, 0.02, Verdict.UNTOLD),
]


def planted(shift: float, scatter: float, n: int) -> tuple[float | None, float | None]:
    """The interval of paired scores that differ by `shift`, around which pairs scatter."""
    steps = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
    other = {seed: 1.5 + seed / 10 for seed in range(n)}
    one = {seed: value + shift + scatter * steps[seed] for seed, value in other.items()}
    found = paired_difference(one, other)
    assert found is not None
    return found.low, found.high


@pytest.mark.parametrize(("name", "shift", "scatter", "n", "margin", "expected"), PLANTED)
def test_what_is_planted_is_found(
    name: str, shift: float, scatter: float, n: int, margin: float | None, expected: Verdict
) -> None:
    assert verdict(*planted(shift, scatter, n), margin) is expected, name


ENDS = st.floats(-1, 1)


@given(ENDS, ENDS, st.none() | st.floats(0.001, 1))
def test_a_difference_is_said_exactly_where_zero_is_outside(
    one: float, two: float, margin: float | None
) -> None:
    low, high = sorted((one, two))
    found = verdict(low, high, margin)
    assert (found in (Verdict.FEWER, Verdict.MORE)) == (not low <= 0 <= high)
    if found is Verdict.ALIKE:
        assert margin is not None
        assert max(abs(low), abs(high)) <= margin
    mirror = {Verdict.FEWER: Verdict.MORE, Verdict.MORE: Verdict.FEWER}
    assert verdict(-high, -low, margin) is mirror.get(found, found)


@given(ENDS, ENDS)
def test_without_a_margin_nothing_is_alike(one: float, two: float) -> None:
    assert verdict(*sorted((one, two))) is not Verdict.ALIKE


@pytest.mark.parametrize(
    ("low", "high", "margin"),
    [(0.1, -0.1, None), (None, 0.1, None), (float("nan"), 1, None), (-1, 1, 0), (-1, 1, -0.1)],
)
def test_what_is_no_interval_or_no_margin_is_refused(
    low: float | None, high: float | None, margin: float | None
) -> None:
    with pytest.raises(ValueError, match=r"no interval|a margin is"):
        verdict(low, high, margin)


# What is said

NUMBERS = {"value": "0.088", "low": "0.021", "high": "0.143", "margin": "0.020"}
SAID = {
    Verdict.FEWER: "A needs 0.088 bits per byte fewer than B (0.021 to 0.143)",
    Verdict.MORE: "A needs 0.088 bits per byte more than B (0.021 to 0.143)",
    Verdict.ALIKE: "A and B differ by at most 0.020 in bits per byte (0.021 to 0.143)",
    Verdict.OPEN: "A and B are not told apart in bits per byte (0.021 to 0.143)",
    Verdict.UNTOLD: "A and B are not compared in bits per byte: one seed",
}


@pytest.mark.parametrize("found", Verdict)
def test_each_verdict_has_its_sentence_in_plain_text_and_on_a_page(found: Verdict) -> None:
    plain = claim("A", "B", found, NUMBERS.__getitem__, why="one seed")
    assert plain == SAID[found]
    assert not isinstance(plain, Markup)
    page = claim("A<i>", Markup("<b>B</b>"), found, NUMBERS.__getitem__, why="one seed")
    assert isinstance(page, Markup)
    assert page == SAID[found].replace("A", "A&lt;i&gt;").replace("B", "<b>B</b>")


def test_a_marked_number_makes_the_sentence_part_of_a_page() -> None:
    def write(name: str) -> Markup:
        return Markup("<data>{}</data>").format(NUMBERS[name])

    page = claim("A & C", "B", Verdict.MORE, write)
    assert page == (
        "A &amp; C needs <data>0.088</data> bits per byte more than B "
        "(<data>0.021</data> to <data>0.143</data>)"
    )
    assert isinstance(page, Markup)


def test_only_what_is_shown_is_written() -> None:
    asked: list[str] = []
    claim("A", "B", Verdict.UNTOLD, lambda name: asked.append(name) or "")
    assert asked == []
    claim("A", "B", Verdict.OPEN, lambda name: asked.append(name) or "")
    assert asked == ["low", "high"]


def test_where_higher_is_better_more_is_better() -> None:
    accuracy, bits = METRICS["top_1"], METRICS["bits_per_byte"]
    assert (word(Verdict.MORE, accuracy), word(Verdict.MORE, bits)) == ("better", "worse")
    assert claim("A", "B", Verdict.MORE, NUMBERS.__getitem__, metric=accuracy) == (
        "A is better than B in top-1 accuracy, by 0.088 (0.021 to 0.143)"
    )
    perplexity = METRICS["perplexity"]
    assert "A is worse than B in perplexity" in claim(
        "A", "B", Verdict.MORE, NUMBERS.__getitem__, metric=perplexity
    )


def test_several_are_sorted_by_what_is_known_of_them() -> None:
    found = zip("cdefgh", [*Verdict, Verdict.FEWER], strict=True)
    assert clauses("a", found, ", ".join) == (
        "better than a: c, h; worse than a: d; alike to a: e; not told apart from a: f; "
        "not compared with a: g"
    )
    assert clauses("a", [], ", ".join) == ""
    counted = clauses("a", [(1, Verdict.OPEN), (2, Verdict.OPEN)], lambda ones: str(len(ones)))
    assert counted == "not told apart from a: 2"


def test_every_word_of_a_verdict_is_explained() -> None:
    said = legend("0.02 bits per byte").lower()
    assert all(word(each) in said for each in Verdict if each is not Verdict.UNTOLD)
    assert "alike" not in legend()


# Nobody else says it

COMPARES = re.compile(
    r"\b(better|worse|best|worst|fewer|fewest|more than|less than|outperforms?|beats?|beaten"
    r"|wins?|won|loses?|lost|ahead|behind|leads?|gained|no difference|not told apart|forgot)\b",
    re.IGNORECASE,
)
"""Words that compare results. Docstrings and comments may have them, what is shown may not."""

MEANT_OTHERWISE = {
    "src/variorum/report/figures/captions.py": {"leads", "more than"},  # lines, places
    "src/variorum/report/figures/scores.py": {"best"},  # guess of a token; a legend's place
    "src/variorum/report/figures/training.py": {"best"},  # a legend's place, a column's name
}
"""By file, words that stand there and compare no results."""

PLACES = ("src/variorum/report", "src/variorum/stages")


def texts_of(source: str, name: str) -> Iterator[str]:
    """What a module or a template may show: its strings without docstrings."""
    if name.endswith(".j2"):
        outside = re.sub(r"<style>.*?</style>|\{%.*?%\}|\{\{.*?\}\}", " ", source, flags=re.S)
        yield from (
            outside,
            *re.findall(r'"([^"]*)"', " ".join(re.findall(r"\{[%{].*?[%}]\}", source))),
        )
        return
    tree = ast.parse(source)
    silent = {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)
    }  # docstrings, and what follows a constant
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in silent:
            yield node.value


def comparing(source: str, name: str) -> set[str]:
    """The comparing words that a file may show."""
    found = {word.lower() for text in texts_of(source, name) for word in COMPARES.findall(text)}
    return found - MEANT_OTHERWISE.get(name, set())


def files() -> dict[str, str]:
    """Every module and template that shows something, by its path."""
    found = [
        f for place in PLACES for end in ("py", "j2") for f in (ROOT / place).rglob(f"*.{end}")
    ]
    return {f.relative_to(ROOT).as_posix(): f.read_text(encoding="utf-8") for f in sorted(found)}


def test_nobody_else_compares_in_words() -> None:
    said = {name: words for name, text in files().items() if (words := comparing(text, name))}
    assert said.keys() == {"src/variorum/report/claims.py"}, said


@pytest.mark.parametrize("name", MEANT_OTHERWISE)
def test_what_is_meant_otherwise_still_stands_there(name: str) -> None:
    shown = " ".join(texts_of((ROOT / name).read_text(encoding="utf-8"), name))
    assert MEANT_OTHERWISE[name] <= {word.lower() for word in COMPARES.findall(shown)}


@pytest.mark.parametrize(
    ("name", "source", "words"),
    [
        ("a.py", 'x = f"{a} is better than {b}"', {"better"}),
        ("a.py", 'x = "fewer" if a < b else "the same"', {"fewer"}),
        ("a.py", '"""Say what is better."""\nbest = 3  # the best\n', set()),
        ("a.j2", "<p>Fewer are {{ best }}</p>", {"fewer"}),
        ("a.j2", '{{ "ahead" if best else "" }}<i class="{% if best %}{% endif %}">', {"ahead"}),
    ],
)
def test_a_comparison_in_own_words_is_found(name: str, source: str, words: set[str]) -> None:
    assert comparing(source, name) == words
