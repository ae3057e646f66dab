"""The README's numbers: each is what a committed page says, under its manifest.

How long trainings took stands in `costs.csv`, which no manifest lists, as it may differ each time.
"""

import csv
import hashlib
import json
import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from conftest import ROOT
from variorum.identity.spec import Spec
from variorum.plan.loading import named_experiment
from variorum.report.claims import claim, verdict
from variorum.report.findings import KIND_NAMES as KINDS
from variorum.report.numbers import fixed, signed

EXPERIMENTS = ROOT / "reports/experiments"
PAGES = sorted(folder.name for folder in EXPERIMENTS.glob("*"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
BESIDE = ("docs/README.md", "docs/experiments.md", "docs/sharing.md", "CONTRIBUTING.md")
"""Pages that the README leads to; they hold no results, which have decimals."""
COUNTS = re.compile(r"^\d+\. |Python 3\.11|95 %|SHA-256|UTF-8|GPT-2")  # no results of anything


@dataclass(frozen=True)
class Page:
    """The committed numbers of one experiment's page."""

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, object]:
        """That of the report."""
        found: dict[str, object] = json.loads((self.folder / "manifest.json").read_text())
        return found

    @cached_property
    def numbers(self) -> dict[str, float]:
        """What stands at each address that the page has a number of."""
        with (self.folder / "numbers.csv").open(encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["how"] == "same"]
        return {row["from"]: json.loads(row["value"]) for row in rows}

    def of(self, name: str, pointer: str) -> float:
        """A number of the file `metrics.json` of one of the page's inputs."""
        ref = Spec.from_data(self.manifest["spec"]).upstream[name]  # type: ignore[arg-type]
        return self.numbers[f"{ref}/metrics.json#{pointer}"]

    def claim(self, corpus: str, kind: str, model: str, other: tuple[str, str]) -> str:
        """The sentence that a difference of scores allows; `other`: its name there, and here."""
        ref = Spec.from_data(self.manifest["spec"]).upstream["comparisons"]  # type: ignore[arg-type]
        at = f"{ref}/comparisons.json#/{corpus}/{kind}/pairs/{model}/{other[0]}"
        low, high = (self.numbers[f"{at}/{end}"] for end in ("low", "high"))
        written = {"value": fixed(abs(self.numbers[f"{at}/value"]))}
        written |= {"low": signed(low), "high": signed(high)}
        name = {"pretrained": "the model", "finetuned": "the fine-tuned model"}[model]
        return claim(name, other[1], verdict(low, high), written.__getitem__)

    def seconds(self, training: str) -> float:
        """How long a training took."""
        with (self.folder / "costs.csv").open(encoding="utf-8") as file:
            return next(
                float(row["seconds"]) for row in csv.DictReader(file) if row["run"] == training
            )


@pytest.fixture(scope="module")
def default() -> Page:
    return Page(EXPERIMENTS / "default")


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_numbers_are_those_that_the_manifest_of_the_page_lists(name: str) -> None:
    page = Page(EXPERIMENTS / name)
    files = page.manifest["files"]
    assert isinstance(files, dict)
    for file in page.folder.glob("*.*"):
        if file.name in files:
            assert hashlib.sha256(file.read_bytes()).hexdigest() == files[file.name]["sha256"]
    assert "numbers.csv" in files
    spec = Spec.from_data(page.manifest["spec"])  # type: ignore[arg-type]
    assert spec.ref.key == page.manifest["key"]
    refs = {str(ref) for ref in (*spec.upstream.values(), spec.ref)}
    addresses = [source for line in page.numbers for source in line.split()]
    assert {"/".join(address.split("/")[:2]) for address in addresses} <= refs


def expected(page: Page) -> list[str]:
    """The lines of the README that hold results, made from the numbers."""
    lines = [" ".join((page.folder / "findings.md").read_text(encoding="utf-8").split())]
    lines.append(
        f"Pretraining took {page.seconds('pretrained'):.0f} seconds on two cores, fine-tuning "
        f"{page.seconds('finetuned'):.0f};"
    )
    nanogpt = Page(EXPERIMENTS / "shakespeare")
    context = named_experiment(ROOT, "shakespeare").settings.model.context_length
    bits = nanogpt.of("pretrained_on_base", "/bits_per_byte")
    nats = nanogpt.of("pretrained_on_base", "/nats_per_token")
    lines.append(
        f"needs **{fixed(bits, 2)}** bits per byte for nanoGPT's validation part "
        f"({fixed(nats)} nats a character, in blocks of {context})."
    )
    seeds = nanogpt_seeds()
    assert min(seeds) < nats < max(seeds), "no tie"
    first, *others, last = map(fixed, seeds)
    lines.append(
        f"nanoGPT itself needs {', '.join((first, *others))} and {last} with three seeds: a tie."
    )
    static = nanogpt.claim("base", "static", "pretrained", ("ngram", "n-grams"))
    adaptive = nanogpt.claim("base", "adaptive", "pretrained", ("ppmd", "PPMd"))
    lines.append(f"{KINDS['static']}, {static}; {KINDS['adaptive']}, {adaptive}.")
    lines += [
        f"on the {corpus} test text, "
        + "; ".join(
            f"{KINDS[kind]}, {page.claim(corpus, kind, 'finetuned', ('ppmd', 'PPMd'))}"
            for kind in KINDS
        )
        for page in [Page(EXPERIMENTS / "docstrings")]
        for corpus in ("base", "domain")
    ]
    return lines


def nanogpt_seeds() -> list[float]:
    """Nats a character of nanoGPT's own runs, which the page of `shakespeare` quotes."""
    note = named_experiment(ROOT, "shakespeare").settings.report.notes["base"]
    seeds = [float(number) for number in re.findall(r"\d\.\d{4}", note)]
    assert len(seeds) == 3
    bits = [fixed(nats / math.log(2), 2) for nats in (min(seeds), max(seeds))]
    assert f"{bits[0]} to {bits[1]} bits per byte" in note
    return seeds


def test_every_result_in_the_readme_is_that_of_a_committed_page(default: Page) -> None:
    text = " ".join(README.split())
    for line in expected(default):
        assert line in text


def numbers_of(text: str) -> list[tuple[str, str]]:
    """Each number of a page's prose, with its line."""
    prose = re.sub(r"```.*?```|^    .*?$|`[^`]*`|\]\([^)]*\)", "", text, flags=re.S | re.M)
    found = r"\d+(?:\.\d+)?"
    lines = prose.splitlines()
    return [(number, line) for line in lines for number in re.findall(found, COUNTS.sub("", line))]


def test_the_readme_holds_no_other_results(default: Page) -> None:
    known = " ".join(expected(default)).replace("`", "")
    findings = (default.folder / "findings.md").read_text(encoding="utf-8").strip()
    assert README.count(findings) == 1
    for number, line in numbers_of(README.replace(findings, "")):
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.]*\d)", known), line


@pytest.mark.parametrize("name", BESIDE)
def test_the_pages_beside_the_readme_hold_no_results(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert [line for number, line in numbers_of(text) if "." in number] == []


def test_what_the_readme_says_in_words_is_so() -> None:
    reports = (ROOT / "reports/README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\]\(([\w-]+)/table\.md", reports))
    assert "Seven ablations over five seeds each" in README
    assert len(named) == 7
    for name in named:
        with (ROOT / f"reports/{name}/runs.csv").open(encoding="utf-8") as rows:
            assert len({row["seed"] for row in csv.DictReader(rows)} - {""}) == 5
