"""What `variorum plan` says a run would make is what Snakemake would make."""

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

import flow
from conftest import Project
from variorum.run import workload


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment and an ablation of it, complete."""
    return flow.finished_ablation(tmp_path_factory.mktemp("workload") / "project")


@pytest.fixture
def copy(finished: Project, tmp_path: Path) -> Project:
    """The finished project, to take results from."""
    return Project(flow.copied(finished, tmp_path / "copy"))


STAGES_RUN = re.compile(r"^make_(\w+)\s+(\d+)$", re.MULTILINE)


@pytest.mark.parametrize(
    ("target", "removed"),
    [
        ("results/finetune/report.html", ["report", "figures", "finetune"]),
        ("results/finetune/report.html", ["report"]),
        ("results/finetune/report.html", ["download"]),
        ("reports/positions/table.md", ["table", "pretrain"]),
        ("reports/positions/table.md", ["table", "encode"]),
        ("stress", ["stress", "pretrain", "tokenizer"]),
    ],
)
def test_snakemake_makes_what_was_said(
    copy: Project, tmp_path: Path, target: str, removed: list[str]
) -> None:
    for stage in removed:
        shutil.rmtree(copy.root / "results" / stage)
    found = workload.workload(copy.root, target)
    said = Counter(ref.stage for ref in found.missing)

    def ask(folder: Path) -> None:
        dry = copy.snakemake("-n", "--quiet", "rules", "--", target)
        folder.mkdir()
        (folder / "dry.txt").write_text(dry.stdout)

    made = flow.made_by_commands(tmp_path / "asked", ask, case=f"{target} {removed}")
    dry = (made / "dry.txt").read_text()
    assert said == {stage: int(count) for stage, count in STAGES_RUN.findall(dry)}
