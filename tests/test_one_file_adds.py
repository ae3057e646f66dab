"""A new source, and a new position encoding, is one file; nothing else names it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import flow
from conftest import ROOT, Project, add_micro_experiment, copy_project
from variorum.base.errors import VariorumError
from variorum.corpus.source_kinds import KINDS
from variorum.report.traced import source_title

SOURCE = '''"""Numbers, counted up."""

from collections.abc import Iterator
from typing import Literal

from variorum.config.types import Whole, setting
from variorum.corpus.documents import Document
from variorum.corpus.fetch_context import FetchContext
from variorum.corpus.source import SOURCES, SourceSettings


class CountingSource(SourceSettings):
    """Numbers from 0 on, one a document."""

    kind: Literal["counting-up"] = setting("counting-up", "The kind of source.", component=SOURCES)
    documents: Whole = setting(10, "How many.", ge=1)

    @property
    def title(self) -> str:
        """Return how far is counted."""
        return f"numbers below {self.documents}"


def fetch(settings: CountingSource, context: FetchContext) -> Iterator[Document]:
    """Give each number."""
    for number in range(settings.documents):
        yield Document(id=str(number), group=str(number), text=f"{number}\\n", meta={})
'''

DOWNLOADED = """
import sys
from pathlib import Path
from flow import current, make
from variorum.report.traced import source_title
root = Path(sys.argv[1])
plan = current(root, corpus={"base": {"source": {"kind": "counting-up", "documents": 3}}})
heavy = {"torch", "numpy", "requests", "arxiv", "lyricsgenius"} & set(sys.modules)
assert not heavy, f"planning imported {heavy}"
node = next(node for node in plan if node.ref.stage == "download" and node.label == "base")
result = make(root, node)
print(len(result.file("documents.jsonl").read_text().splitlines()))
print(source_title(node.spec.settings["source"]))
"""

WRONG = """
import sys
from pathlib import Path
from variorum.base.errors import VariorumError
from variorum.plan.loading import load_experiment
try:
    load_experiment(Path(sys.argv[1]), {"corpus": {"base": {"source": {"kind": "countig-up"}}}})
except VariorumError as error:
    print(error)
"""

POSITIONS = '''"""No positions at all, scaled."""

from torch import Tensor

from variorum.model.position_encoding import PositionEncoding


class Positions(PositionEncoding):
    """Halves each embedding."""

    def embed(self, x: Tensor, start: int) -> Tensor:
        """Token embeddings (B, T, C), halved."""
        return x / 2
'''

MODELLED = """
import sys
from pathlib import Path
from flow import current
plan = current(Path(sys.argv[1]), model={"positions": "halved"})
(node,) = plan.of_stage("pretrain")
assert "variorum.model.positions.halved:Positions" in node.code.sources
import torch
from variorum.plan.loading import load_experiment
from variorum.model.gpt import GPT
settings = load_experiment(Path(sys.argv[1]), {"model": {"positions": "halved"}}).settings.model
logits = GPT(settings, 300)(torch.zeros(1, 4, dtype=torch.long))
print(*logits.shape)
"""


def said(project: Project, program: str) -> list[str]:
    """Lines that a program prints, by the package in the project."""
    path = os.pathsep.join([str(project.root / "src"), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", program, str(project.root)],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()


def add(project: Project, file: str, text: str) -> None:
    place = project.root / "src/variorum" / file
    assert not place.exists()
    place.write_text(text, encoding="utf-8")


@pytest.fixture
def counting(micro: Project) -> Project:
    """A project whose package has one more kind of source."""
    add(micro, "corpus/sources/counting_up.py", SOURCE)
    return micro


def test_one_file_adds_a_source(counting: Project) -> None:
    assert said(counting, DOWNLOADED) == ["3", "numbers below 3"]


def test_a_wrong_kind_is_told_the_added_one(counting: Project) -> None:
    (line,) = said(counting, WRONG)
    assert "corpus.base.source.kind: 'countig-up' is none of arxiv, counting-up, csv" in line
    assert line.endswith("did you mean `counting-up`?")


def test_one_file_adds_a_position_encoding(micro: Project) -> None:
    add(micro, "model/positions/halved.py", POSITIONS)
    assert said(micro, MODELLED) == ["1 4 300"]


def test_a_file_without_settings_of_its_own_is_told(micro: Project) -> None:
    add(micro, "corpus/sources/empty.py", '"""Nothing."""\n')
    with pytest.raises(AssertionError, match="empty defines 0 classes derived from SourceSettings"):
        said(micro, WRONG)


def test_a_stored_source_of_an_unknown_kind_is_one_line() -> None:
    for kind in ("counting-up", None, ["url"]):
        with pytest.raises(VariorumError) as error:
            source_title({"kind": kind, "path": "texts"})
        assert f"'{kind}' is none of {', '.join(KINDS)}" in str(error.value)


STAGE = '''"""wordcount: how many words each part of a corpus has."""

import json

from variorum.config.types import Settings
from variorum.corpus import documents
from variorum.stages.stage import Input, Stage
from variorum.stages.task import Task


class WordcountStage(Settings):
    """There is nothing to choose."""


STAGE = Stage(
    WordcountStage,
    products=("words.json",),
    per=("corpus",),
    inputs={"text": Input(("normalize",))},
)


def run(task: Task) -> None:
    """Write `words.json`."""
    texts = documents.read(task.inputs["text"].file("train.jsonl"))
    words = sum(len(document.text.split()) for document in texts)
    (task.output / "words.json").write_text(json.dumps({"train": words}) + "\\n")
'''

RULE = """

use rule make_encode as make_wordcount with:
    input:
        flow.needs("wordcount"),
    output:
        "results/wordcount/{key}/manifest.json",
    log:
        "logs/wordcount/{key}.log",
    resources:
        **STAGES["wordcount"].resources.reserved,
    params:
        stage="wordcount",
        label=flow.label("wordcount"),
        why=flow.why("wordcount"),


rule wordcount:
    input:
        flow.results("wordcount"),
"""


def make_with_a_stage_more(folder: Path) -> None:
    """Plan, make, list and verify what a new stage makes, and keep what is said of it."""
    micro = copy_project(folder)
    add_micro_experiment(micro)
    path = {"PYTHONPATH": str(micro.root / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    add(micro, "stages/wordcount.py", STAGE)
    rules = micro.root / "workflow/rules/corpus.smk"
    rules.write_text(rules.read_text(encoding="utf-8") + RULE, encoding="utf-8")
    planned = micro.run("snakemake", "-n", "wordcount", environment=path).stdout
    micro.run("snakemake", "--cores", "2", "wordcount", environment=path)
    listed = micro.run("variorum", "ls", "wordcount", environment=path).stdout
    ref = f"wordcount/{words_made(folder)[0].parent.name}"
    micro.run("variorum", "verify", ref, environment=path)
    micro.run("variorum", "verify", ref, "--rerun", environment=path)
    shown = said(
        micro,
        "from pathlib import Path\nfrom flow import current\nprint(current(Path('.')).last.ref)",
    )
    told = {"planned": planned, "listed": listed, "shown": shown}
    (folder / "said.json").write_text(json.dumps(told), encoding="utf-8")


def words_made(root: Path) -> list[Path]:
    return sorted((root / "results/wordcount").glob("*/words.json"))


def test_a_file_and_its_rule_add_a_stage(micro: Project, tmp_path: Path) -> None:
    root = flow.made_by_commands(tmp_path / "made", make_with_a_stage_more)
    told = json.loads((root / "said.json").read_text(encoding="utf-8"))
    assert "make_wordcount" in told["planned"]
    made = words_made(root)
    assert [set(json.loads(file.read_text())) for file in made] == [{"train"}, {"train"}]
    assert all(file.parent.name in told["listed"] for file in made)
    page = flow.current(micro.root).last.ref
    assert told["shown"] == [str(page)], "a new stage changes no key of others"
