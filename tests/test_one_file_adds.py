"""A new source, and a new position encoding, is one file; nothing else names it."""

import os
import subprocess
import sys

import pytest

from conftest import ROOT, Project
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
model = GPT(settings, 300)
print(*model(torch.zeros(1, 4, dtype=torch.long)).shape)
from variorum.config.evaluation_settings import SamplingSettings
from variorum.generation.sampler import generate
how = SamplingSettings(valid_utf8=False, max_tokens=20)
written = [list(generate(model, [1, 2], how, use_cache=cached)) for cached in (True, False)]
print(written[0] == written[1])
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
    assert said(micro, MODELLED) == ["1 4 300", "True"]


def test_a_file_without_settings_of_its_own_is_told(micro: Project) -> None:
    add(micro, "corpus/sources/empty.py", '"""Nothing."""\n')
    with pytest.raises(AssertionError, match="empty defines 0 classes derived from SourceSettings"):
        said(micro, WRONG)


def test_a_stored_source_of_an_unknown_kind_is_one_line() -> None:
    for kind in ("counting-up", None, ["url"]):
        with pytest.raises(VariorumError) as error:
            source_title({"kind": kind, "path": "texts"})
        assert f"'{kind}' is none of {', '.join(KINDS)}" in str(error.value)
