"""No digit of a report's page is there without a file that says it."""

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from random import Random
from typing import Any
from unicodedata import digit

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flow
import peers
from conftest import Project, Record, add_micro_experiment, copy_project
from variorum.audit.verify.integrity import Findings, verify
from variorum.audit.verify.selection import Selection
from variorum.base.files import sha256_of
from variorum.base.progress import Progress
from variorum.identity.spec import Ref
from variorum.report import traced
from variorum.report.page_trace import Traces, check
from variorum.report.traced import Traced
from variorum.store.result import COPY, MANIFEST, StoreError, readable_json
from variorum.store.store import Store

PAGE = "report.html"
NUMBERS = "numbers.csv"
UNSEEN = re.compile(r"<style.*?</style>|<svg.*?</svg>|<[^>]*>", re.DOTALL)
REFERENCE = re.compile(r"&#?\w+;")


@dataclass(frozen=True)
class Report:
    """A finished report and its page."""

    store: Store
    ref: Ref
    page: str

    def check(self, page: str | None = None) -> Traces:
        """What a check finds, of another page if one is given."""
        return check(self.store, self.ref, page)


def finished(root: Path, **overrides: Any) -> Report:
    """The micro experiment of the project at `root`, with some changes, run to its report."""
    plan = flow.current(root, **overrides)
    flow.finish(root, plan)
    store, ref = Store(root), plan.last.ref
    return Report(store, ref, (store.folder(ref) / PAGE).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("traced") / "project")
    add_micro_experiment(project)
    return project


@pytest.fixture(scope="module")
def report(project: Project) -> Report:
    """With a tokenizer that has a story, and a result to compare with."""
    notes = {"base": "Others need 2.74 bits per byte."}
    return finished(
        project.root, tokenizer={"kind": "bpe", "vocab_size": 300}, report={"notes": notes}
    )


def digits(page: str) -> list[int]:
    """Where the digits are that a reader sees; found without the checker's own reader."""
    blank = page
    for unseen in (UNSEEN, REFERENCE):
        blank = unseen.sub(lambda found: " " * len(found[0]), blank)
    return [place for place, character in enumerate(blank) if digit(character, None) is not None]


def test_all_that_a_page_says_stands_where_it_is_from(
    report: Report, record_property: Record
) -> None:
    found = report.check()
    assert not found.faults
    assert found.numbers == report.page.count("<data ")
    assert found.numbers > 150
    record_property("traced numbers on a page", found.numbers)
    record_property("traced numbers, texts and figures", found.followed)


@pytest.mark.parametrize(
    "changes",
    [{}, {"corpus": {"domain": None}}, {"title": "<b>2</b> & 3"}],
    ids=["characters", "without a domain", "a title to escape"],
)
def test_so_it_is_of_other_experiments(project: Project, changes: dict[str, Any]) -> None:
    assert not finished(project.root, **changes).check().faults


def test_and_of_an_imported_model(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    add_micro_experiment(project)
    peers.import_gpt2(project.root)
    assert not finished(project.root).check().faults


@pytest.mark.parametrize("share", [0.03, pytest.param(1.0, marks=pytest.mark.long)])
def test_every_digit_is_missed_when_it_is_another(
    report: Report, share: float, record_property: Record
) -> None:
    """One at a time; the drawings, which are compared with whole files, are left out for speed."""
    page = re.sub("<svg.*?</svg>", "", report.page, flags=re.DOTALL)
    faults = len(report.check(page).faults)
    everywhere = digits(page)
    places = Random(0).sample(everywhere, round(share * len(everywhere)))
    for place in places:
        changed = f"{page[:place]}{(digit(page[place]) + 1) % 10}{page[place + 1 :]}"
        assert len(report.check(changed).faults) == faults + 1, changed[place - 60 : place + 20]
    record_property("digits that were changed", len(places))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r'(<data value="\d\.\d*?)\d"', r'\g<1>x"'),
        (r'data-from="evaluate/(\w+)/metrics.json#/perplexity"', 'data-from="evaluate/none"'),
        (r'data-from="evaluate/\w+/metrics.json#/perplexity"', ""),
        (r'data-from="evaluate/(\w+)/metrics', r'data-from="encode/\1/metrics'),
        (r'data-how="size"', 'data-how="length"'),
        (r'data-how="size"', 'data-how="guess"'),
        (r'data-as="fixed"', 'data-as="fixed 4"'),
        (r"(<svg.*?<path[^>]*?)\d", r"\g<1>7777"),
        ("<p>Each prompt", "<p>Each of 2 prompts"),
        (r'style="width: \d+\.\d+%"', 'style="width: 3.14%"'),
        (r'(<i style="left: \d+\.\d+%; width:) \d+\.', r"\g<1> 77."),
        (r'<i style="[^"]*"', "<i"),
        (r'(<span style="width: [^"]*") data-from="[^"]*"', r"\1"),
        (r"(<small><span[^>]*>)≤", r"\1≥"),
        (r'(<span class="mark"[^>]*>)passed', r"\1failed"),
        (r"(<dt>kind</dt><dd><span[^>]*>)bpe", r"\1characters"),
        (r"(<tr><td><span[^>]*>)pretrained", r"\1fine-tuned"),
        (r"(<tr><td><span[^>]*>pretrained</span></td><td><span[^>]*>)base", r"\1domain"),
        (r'aria-label="', 'aria-label="7 '),
        (r"<main>", "<main><svg><text>7</text></svg>"),
        (r'(<figure class="plate"[^>]*>)', r"\1<svg><text>7</text></svg>"),
        (r'<data value="[^"]*"', "<data"),
    ],
)
def test_what_else_was_changed_is_reported(report: Report, old: str, new: str) -> None:
    page, count = re.subn(old, new, report.page, count=1, flags=re.DOTALL)
    assert count
    assert report.check(page).faults


@pytest.fixture
def copied(report: Report, tmp_path: Path) -> Report:
    """The same report in a project of its own, to damage."""
    root = tmp_path / "copied"
    shutil.copytree(report.store.root / "results", root / "results")
    return Report(Store(root), report.ref, report.page)


def evaluations(report: Report) -> Iterator[Path]:
    """The folders that an evaluation lies in: its own, and in the report."""
    noted = report.store.open(report.ref).manifest["inputs"]["pretrained_on_base"]["result"]
    yield report.store.root / "results" / noted
    yield report.store.folder(report.ref) / "bundle" / noted


def test_without_the_evaluation_itself_the_one_in_the_report_is_looked_at(copied: Report) -> None:
    shutil.rmtree(next(evaluations(copied)))
    assert not copied.check().faults


def test_a_file_that_is_not_as_its_manifest_says_proves_nothing(copied: Report) -> None:
    for folder in evaluations(copied):
        file = folder / "metrics.json"
        file.write_text(file.read_text().replace("1", "2", 1))
    assert any("is not what its manifest says" in fault.problem for fault in copied.check().faults)


def test_nor_does_one_with_a_manifest_of_its_own(copied: Report) -> None:
    """The number and the manifest forged together: the report notes another manifest."""
    for folder in evaluations(copied):
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["files"]["metrics.json"]["sha256"] = "0" * 64
        for name in (MANIFEST, COPY):
            (folder / name).write_text(readable_json(manifest))
    problems = [fault.problem for fault in copied.check().faults]
    assert any("is not the one that" in problem for problem in problems)


def test_a_report_that_is_not_here_is_told_with_a_remedy(report: Report) -> None:
    with pytest.raises(StoreError, match="there is no complete result"):
        check(report.store, Ref("report", "0" * 12))


def test_what_is_not_here_is_counted_and_no_fault(copied: Report) -> None:
    whole = copied.check()
    shutil.rmtree(copied.store.root / "results/normalize")
    found = copied.check()
    assert not found.faults
    assert found.absent > 0
    assert found.followed + found.absent == whole.followed


@pytest.mark.parametrize("page", ["", "</p>", "<p></b>", "<svg>", "7", "<p>", "<p>Two<p>7"])
def test_what_is_no_page_is_told(report: Report, page: str) -> None:
    found = report.check(page)
    assert not found.followed
    assert bool(found.faults) == bool(page)


# As a part of `variorum verify`


def forged(report: Report, page: str, *, listed: bool = True) -> None:
    """Put another page into the report, and its hash into the manifests.

    listed: whether the report still lists the numbers of its page.
    """
    folder = report.store.folder(report.ref)
    (folder / PAGE).write_text(page, encoding="utf-8")
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][PAGE] = {
        "sha256": sha256_of(folder / PAGE),
        "bytes": (folder / PAGE).stat().st_size,
    }
    if not listed:
        del manifest["files"][NUMBERS]
        (folder / NUMBERS).unlink()
    for name in (MANIFEST, COPY):
        (folder / name).write_text(readable_json(manifest))


def verified(report: Report) -> Findings:
    """What `variorum verify` finds of the report."""
    return verify(Selection(report.store, (report.ref,)), Progress("verify"))


def test_verify_follows_the_page(copied: Report) -> None:
    found = verified(copied)
    assert not found.damage
    assert found.traced == copied.check().followed
    assert f"{found.traced:,} numbers and texts of pages match" in "\n".join(found.lines())


def test_verify_finds_a_page_that_says_else_though_its_manifest_agrees(copied: Report) -> None:
    text = f">{copied.store.open(copied.ref).spec.settings['title']}</h1>"
    assert text in copied.page
    forged(copied, copied.page.replace(text, ">Of 7 pages</h1>"))
    (damage,) = verified(copied).damage
    assert damage.place.endswith(PAGE)
    assert "'Of 7 pages' (from report/" in damage.fault


def test_verify_asks_nothing_of_a_page_of_before_numbers_were_listed(copied: Report) -> None:
    forged(copied, "<p>7</p>", listed=False)
    assert not verified(copied).damage
    assert not verified(copied).traced


def test_verify_finds_a_page_that_lost_its_marks(copied: Report) -> None:
    forged(copied, "<p>7</p>")
    (damage,) = verified(copied).damage
    assert damage.place.endswith(PAGE)


def test_the_list_of_numbers_is_that_of_the_page(copied: Report) -> None:
    path = copied.store.folder(copied.ref) / NUMBERS
    listed = path.read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(listed)))
    shown = set(re.findall(r'<data value="([^"]*)"[^>]*>([^<]*)</data>', copied.page))
    assert {(row["value"], row["text"]) for row in rows} == {
        tuple(map(unescape, each)) for each in shown
    }
    forged(copied, re.sub("<data .*?</data>", "", copied.page))
    (fault,) = copied.check().faults
    assert fault.text == NUMBERS


# Addresses


NAMES = st.text(max_size=5) | st.sampled_from(["a/b", "~", "~1", "a b", "#", "%25", "ü", "0"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, min_size=1) | st.dictionaries(NAMES, inner, min_size=1),
    max_leaves=12,
)


@given(JSON, st.data())
def test_what_was_read_is_found_again_at_its_address(content: Any, data: st.DataObject) -> None:
    found = Traced(content, ("stage/key/file.json#",))
    while isinstance(found.value, (dict, list)) and data.draw(st.booleans()):
        names = list(found.value) if isinstance(found.value, dict) else range(len(found.value))
        found = found[data.draw(st.sampled_from(names))]
    (address,) = found.sources
    assert " " not in address, "addresses stand in a row, a space between them"
    pointer = address.partition("#")[2]
    assert traced.looked_up(content, pointer) == found.value
    if pointer:
        assert traced.looked_up(content, found.name.sources[0].partition("#")[2]) == str(
            found.name.value
        )


def test_what_was_computed_is_computed_from_what_was_read_alone() -> None:
    ends = Traced([3.0, 2.0], ("stage/key/file.json#",))
    ratio = traced.derived("ratio", *ends)
    assert ratio.value == 1.5
    assert ratio.sources == ("stage/key/file.json#/0", "stage/key/file.json#/1")
    with pytest.raises(ValueError, match="ratio of"):
        traced.derived("ratio", ratio, ends[0])
