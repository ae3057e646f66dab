"""An edit that changed nothing is proved to have changed nothing; any other is refused."""

import csv
import json
import os
import shutil
import signal
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

import flow
import variorum
from adoptable import (
    BETWEEN,
    NORMALIZE,
    SPLIT,
    edit,
    finished_project,
    nothing_changes,
    pairs,
    told,
)
from conftest import Project
from variorum.audit.adopt.adopting import SAME, adopt
from variorum.base.files import sha256_of
from variorum.cli import signals
from variorum.evaluation import bits
from variorum.plan.experiment import plan_experiment
from variorum.plan.loading import named_experiment
from variorum.store.result import COPY, MANIFEST, Result, readable_json
from variorum.store.store import Store
from variorum.training.shards import Shards


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment to its report, and as the tiny experiment one without a domain."""
    folder = tmp_path_factory.mktemp("adopt") / "project"
    return Project(flow.made_by_commands(folder, finished_project))


@pytest.fixture
def here(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to change, as the working directory."""
    shutil.copytree(finished.root, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def act_from(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the code do something else from a step on."""
    update = Shards.update

    def other(self: Shards, index: int, now: int, rate: float) -> None:
        update(self, index, now, rate)
        if now >= step:
            self.weights[self.layout.slices(self.settings.shards)[index]] += 1e-3

    monkeypatch.setattr(Shards, "update", other)


@pytest.mark.parametrize(("step", "seen_at"), [(1, 10), (10, 10), (21, 30), (30, 30)])
def test_an_edit_that_changes_behaviour_is_refused_naming_the_step(
    here: Path, monkeypatch: pytest.MonkeyPatch, step: int, seen_at: int
) -> None:
    package = edit(here, SPLIT)
    act_from(step, monkeypatch)
    line = nothing_changes(
        here,
        lambda: adopt(here, package=package),
        rf"pretrain micro \w+: this code does not make what pretrain/\w+ holds: "
        rf"\w+ at step {seen_at} was .*, is .*. Nothing was adopted; a normal run makes new",
    )
    assert "another platform" not in line


def test_a_change_between_the_two_ends_is_found_by_the_tiny_experiment(here: Path) -> None:
    package = edit(here, BETWEEN)
    nothing_changes(
        here,
        lambda: adopt(here, package=package),
        "the tiny experiment differs between the old code and the new, first in pretrain tiny: "
        r"metrics.csv: column train_loss: row 3: '5.3",
    )


def test_a_change_in_what_is_computed_again_as_a_whole_names_the_file(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = edit(here, ("evaluation/bits.py", "\n\n\n", "\n\n\nprint(end='')\n\n\n"))
    score = bits.summary

    def other(*args: Any, **options: Any) -> dict[str, Any]:
        return {**score(*args, **options), "perplexity": 2.0}

    monkeypatch.setattr(bits, "summary", other)
    nothing_changes(
        here,
        lambda: adopt(here, package=package),
        r"evaluate pretrained on base \w+: .* metrics.json: perplexity: [\d.]+ → 2.0",
    )


def test_where_only_what_was_made_before_was_edited_the_rest_is_adopted_as_it_is(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = flow.current(here)
    adopted = adopt(here, package=edit(here, NORMALIZE))
    assert not adopted.left
    for old, new in pairs(here, before):
        if new.ref.stage == "download":
            assert new.ref == old.ref
            continue
        (line,) = told(new)["evidence"]
        whole = "computed again as a whole: 5 files are the same, byte for byte"
        assert line == (whole if new.ref.stage == "normalize" else SAME)
    said = capfd.readouterr().err
    assert "the tiny experiment" not in said, "nothing was left out of the proofs"
    assert "steps" not in said


def test_a_training_of_one_interval_is_run_again_as_a_whole(here: Path) -> None:
    (here / "config/config.yaml").write_text("experiment: tiny\npretrain: {val_interval: 30}\n")
    flow.before(here, flow.current(here), "evaluate")
    adopted = adopt(here, ["pretrain"], package=edit(here, SPLIT))
    (trained,) = (result for result, _ in adopted.results if result.ref.stage == "pretrain")
    assert told(trained)["evidence"] == [
        "computed again as a whole: 8 files are the same, byte for byte"
    ]


def test_a_model_chosen_before_the_last_interval_is_compared_with_the_log(here: Path) -> None:
    file = here / "config/config.yaml"
    fast = "{learning_rate: 1.0, warmup_steps: 1, max_steps: 7, val_interval: 2}"
    file.write_text(f"experiment: tiny\npretrain: {fast}\n")
    flow.before(here, flow.current(here), "report")
    old = Store(here).open(flow.current(here).of_stage("pretrain")[0].ref)
    rows = list(csv.DictReader(old.file("metrics.csv").open()))
    (row,) = [row for row in rows if row["step"] == str(old.json("metrics.json")["chosen_step"])]
    assert int(row["step"]) <= 6, "the planted rate must make the last interval worse"
    package = edit(here, SPLIT)
    shutil.copytree(old.folder, here / "untouched")
    plant_another_model(old)
    nothing_changes(
        here,
        lambda: adopt(here, ["pretrain"], package=package),
        r"the weights in model.safetensors differ from the hash in metrics.csv at step "
        rf"{row['step']}, where they were chosen. Nothing was adopted",
    )

    shutil.copytree(here / "untouched", old.folder, dirs_exist_ok=True)
    adopted = adopt(here, package=package)
    (trained,) = (result for result, _ in adopted.results if result.ref.stage == "pretrain")
    line = told(trained)["evidence"][1]
    assert f"which was chosen before, at step {row['step']}, and carried over: its weights" in line
    assert line.endswith(f"have the sha256 that metrics.csv notes there, {row['weights_sha256']})")


def plant_another_model(result: Result) -> None:
    """Change one weight, and what the manifest says of the file with it."""
    path = result.file("model.safetensors")
    path.write_bytes(path.read_bytes()[:-4] + struct.pack("<f", 0.5))
    for name in (MANIFEST, COPY):
        manifest = json.loads((result.folder / name).read_text())
        manifest["files"][path.name]["sha256"] = sha256_of(path)
        (result.folder / name).write_text(readable_json(manifest))


def test_a_training_that_kept_no_state_cannot_be_replayed(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("variorum.audit.adopt.replay.LAST_INTERVAL", "none.safetensors")
    package = edit(here, SPLIT)
    message = (
        r"pretrain/\w+ cannot be replayed: its none.safetensors is missing, or this code cannot"
    )
    nothing_changes(here, lambda: adopt(here, ["pretrain"], package=package), message)


def test_without_the_old_code_there_is_no_proof_and_two_remedies(here: Path) -> None:
    package = edit(here, SPLIT)
    tiny = plan_experiment(named_experiment(here, "tiny"), here)
    shutil.rmtree(Store(here).folder(tiny.of_stage("figures")[0].ref))
    Project(here).run("git", "commit", "--quiet", "--all", "--amend", "--no-edit")
    message = "cannot be compared: commit the code before you edit it, or adopt on your word"
    said = nothing_changes(here, lambda: adopt(here, package=package), message)
    assert said.startswith("no commit made the old results (1 of the code were tried)")
    shutil.rmtree(here / ".git")
    said = nothing_changes(here, lambda: adopt(here, package=package), "adopt on your word")
    assert said.startswith("the old code is unavailable, as git lacks it")


def test_an_old_result_that_is_damaged_serves_nothing(here: Path) -> None:
    model = Store(here).open(flow.current(here).of_stage("pretrain")[0].ref)
    content = bytearray(model.file("model.safetensors").read_bytes())
    content[-1] ^= 1
    model.file("model.safetensors").write_bytes(content)
    package = edit(here, SPLIT)
    for because in (None, "names alone changed"):
        nothing_changes(
            here,
            lambda because=because: adopt(here, package=package, because=because),  # type: ignore[misc]
            "cannot be adopted: its model.safetensors is missing or not what its manifest says",
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_proof_that_is_asked_to_stop_leaves_no_process_and_no_folder(
    here: Path, number: int
) -> None:
    (here / "config/config.yaml").write_text("experiment: tiny\n")  # there is less to prove
    edit(here, SPLIT)
    environment = {"PYTHONPATH": str(here / "src"), "PYTHONSAFEPATH": "1"}
    before = flow.files_of(here / "results")
    with subprocess.Popen(
        ["variorum", "adopt", "--prove"],
        cwd=here,
        env=Project(here).environment(environment),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        assert any("tiny by the new code" in line for line in process.stderr)
        process.send_signal(number)
        last = process.stderr.read().splitlines()[-1]
        assert process.wait(20) == signals.INTERRUPTED
    assert last == "variorum: stopped; nothing was adopted"
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert not (here / "scratch/adopt").exists()
    assert flow.files_of(here / "results") == before


def test_an_edit_during_the_proof_is_noticed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = edit(here, NORMALIZE)

    def evidence(*arguments: Any) -> Any:
        edit(here, ("corpus/normalize.py", "print(end='')", "print(end=str())"))
        monkeypatch.undo()
        return variorum.audit.adopt.replay.evidence(*arguments)  # type: ignore[attr-defined]

    monkeypatch.setattr("variorum.audit.adopt.adopting.evidence", evidence)
    nothing_changes(
        here,
        lambda: adopt(here, package=package),
        "the code of normalize was edited meanwhile; nothing was adopted. Run the same command",
    )
