"""`variorum adopt --prove` proves a refactoring, and adopts all but the page."""

import re
import shutil
from pathlib import Path

import flow
from adoptable import (
    RENAMED,
    SPLIT,
    command,
    edit,
    finished_project,
    missing,
    pairs,
    planned,
    told,
)
from conftest import Project
from variorum.base.files import sha256_of
from variorum.plan.experiment import plan_experiment
from variorum.plan.loading import named_experiment
from variorum.store.result import MANIFEST
from variorum.store.store import Store


def prove_a_refactoring(here: Path) -> None:
    """Have the command adopt by proofs, and keep what it says in `said.txt`."""
    flow.made_by_commands(here, finished_project)
    tiny = plan_experiment(named_experiment(here, "tiny"), here)
    shutil.rmtree(Store(here).folder(tiny.of_stage("figures")[0].ref))  # so git has the old code
    edit(here, SPLIT, RENAMED)
    assert missing(here, planned(here)) == {
        *("pretrain", "finetune", "evaluate", "dynamic", "comparisons"),
        *("stress", "figures", "report"),
    }
    (here / "said.txt").write_text(command(here, "adopt", "--prove"))


def test_a_refactoring_is_proved_and_all_but_the_page_is_adopted(tmp_path: Path) -> None:
    here = flow.made_by_commands(tmp_path / "here", prove_a_refactoring)
    commit = Project(here).run("git", "rev-parse", "HEAD").stdout[:12]
    assert f"the old code is in commit {commit}" in (here / "said.txt").read_text()
    assert missing(here, planned(here)) == {"report"}
    for old, new in pairs(here, flow.current(here)):
        assert new.manifest["files"] == old.manifest["files"]
        assert (new.ref == old.ref) == (new.adopted is None)
        if new.ref != old.ref:
            assert told(new)["from"] == str(old.ref)
            assert told(new)["how"] == "proved"
            assert told(new)["manifest_sha256"] == sha256_of(old.folder / MANIFEST)
            assert new.run["seconds"] == old.run["seconds"]
            assert "adopt --prove" in new.run["adopted"]["command"]
            for file in new.manifest["files"]:
                assert (new.folder / file).stat().st_nlink == 1
                assert not (new.folder / file).is_symlink()

    trained = Store(here).open(planned(here).of_stage("pretrain")[0].ref)
    assert "position.step = step" in trained.code["variorum.training.loop:Training"]
    rows = [line.split(",") for line in trained.file("metrics.csv").read_text().splitlines()]
    first, last, whole = told(trained)["evidence"]
    assert first.startswith("steps 0 to 10 computed again: the same losses and samples, and the ")
    assert rows[2][-1] in first
    assert last.startswith("steps 20 to 30 computed again from last_interval.safetensors: 8 files")
    assert sha256_of(trained.file("model.safetensors")) in last
    assert re.match(r"the tiny experiment by the old code and by this one: 11 results with", whole)
    scored = Store(here).open(planned(here).of_stage("evaluate")[0].ref)
    (line,) = told(scored)["evidence"]
    assert line == "computed again as a whole: 2 files are the same, byte for byte"
