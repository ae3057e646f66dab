"""The command: what it prints, and that whatever a user can fix is one line and exit status 1."""

import errno
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import refused, trained

import flow
from conftest import ROOT, Command, Project, Said
from variorum.base import project
from variorum.cli import signals
from variorum.config.schema import texts
from variorum.plan.experiment_settings import CONFIGURATIONS
from variorum.store.store import Store

CTRL_C, CTRL_D = "\x03", "\x04"

COMMANDS = (
    "run",
    "config",
    "plan",
    "ls",
    "gc",
    "adopt",
    "compare",
    "pin",
    "sample",
    "model",
    "why",
    "track",
    "share",
    "lock",
    "verify",
    "digest",
    "schema",
)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trained project, as the working directory."""
    root = trained().root
    monkeypatch.chdir(root)
    return root


def test_help_names_every_command(variorum: Command) -> None:
    for arguments in (["--help"], ["-h"]):
        said = variorum(*arguments)
        assert said.code == 0
        for command in COMMANDS:
            assert f" {command} " in said.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(variorum: Command, command: str) -> None:
    said = variorum(command, "--help")
    assert said.code == 0
    assert "Usage: variorum " + command in said.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["smaple"],
        ["sample", "--temprature", "1"],
        ["sample", "--temperature", "-1"],
        ["sample", "--tokens", "0"],
        ["sample", "--seed", "one"],
        ["run"],
        ["run", "pretrain/0", "--processes", "0"],
        ["digest"],
    ],
)
def test_wrong_usage_ends_with_status_2(variorum: Command, arguments: list[str]) -> None:
    said = variorum(*arguments)
    assert said.code == 2
    assert said.out == ""
    assert "Usage:" in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["config"],
        ["ls"],
        ["gc"],
        ["sample"],
        ["schema"],
        ["track"],
        ["share"],
        ["run", "pretrain/0"],
        ["pin"],
        ["adopt", "--prove"],
        ["model", "describe"],
        ["model", "export", "finetune", "there"],
    ],
)
def test_outside_a_project_every_command_says_so(
    variorum: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(variorum(*arguments), str(tmp_path), "is not inside a Variorum project; cd into")


GONE = "import os, sys; os.rmdir(os.getcwd()); from variorum.cli import main; main()"


@pytest.mark.parametrize(
    ("arguments", "status"), [(["--help"], 0), (["ls", "--help"], 0), (["ls"], 1), (["config"], 1)]
)
def test_in_a_deleted_folder_help_is_shown_and_commands_say_so(
    tmp_path: Path, arguments: list[str], status: int
) -> None:
    (gone := tmp_path / "gone").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", GONE, *arguments],
        cwd=gone,
        capture_output=True,
        text=True,
        check=False,
    )
    said = "" if status == 0 else "variorum: the working directory was deleted or replaced; cd into"
    assert (done.returncode, done.stderr[: len(said) or None]) == (status, said)
    assert len(done.stderr.splitlines()) == status


def test_where_the_folder_cannot_be_read_the_command_says_so(
    variorum: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(here: Path) -> Path:
        raise PermissionError(errno.EACCES, "Permission denied", str(here))

    monkeypatch.setenv(project.SAFE_PATH, "1")
    monkeypatch.setattr(project, "_around", look)
    monkeypatch.chdir(tmp_path)
    project.run_own_code()
    refused(variorum("ls"), str(tmp_path), "not allowed here (Permission denied)")


def test_commands_work_from_a_folder_inside_the_project(
    variorum: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here / "config/experiments")
    header, first, *_ = variorum("ls").out.splitlines()
    assert header.startswith("result ")
    assert first.startswith("download/")


# config, ls, digest, schema


def test_config_prints_values_their_places_and_the_state_of_results(
    variorum: Command, here: Path
) -> None:
    said = variorum("config")
    lines = [line.split() for line in said.out.splitlines()]
    assert said.code == 0
    assert lines[0] == ["experiment", "micro"]
    assert ["model.n_embd", "=", "16", "#", "config/experiments/micro.yaml:11"] in lines
    assert ["model.dropout", "=", "0.0", "#", "default"] in lines
    for stage, state in (("pretrain", "complete"), ("report", "missing")):
        ref = flow.current(here).of_stage(stage)[0].ref
        assert [str(ref), state, "micro"] in lines


def test_config_shows_what_a_change_would_lead_to(variorum: Command, here: Path) -> None:
    said = variorum("config", "experiment=tiny", "model={n_layer: 3}", "title=1e-4 and more")
    assert said.out.startswith("experiment tiny\n")
    assert "# command line" in said.out
    assert "complete" not in said.out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model", "model: write NAME=VALUE, such as experiment=tiny"),
        ("model={n_layer: [", "model={n_layer: [: the value is not valid YAML"),
        ("model={n_layr: 2}", "command line: model.n_layr: unknown setting; did you mean"),
        ("experiment=tinny", "config/experiments/tinny.yaml: there is no such file; did you mean"),
        ("seed=many", "command line: seed: 'many' should be a number"),
    ],
)
def test_a_wrong_change_is_one_line(
    variorum: Command, here: Path, change: str, message: str
) -> None:
    refused(variorum("config", change), message)


def test_ls_lists_results_with_sizes_and_labels(variorum: Command, here: Path) -> None:
    lines = variorum("ls").out.splitlines()
    refs = [line.split()[0] for line in lines if "/" in line]
    assert sorted(refs) == [str(ref) for ref in Store(here).refs()]
    assert lines[-1].startswith("all ")
    assert lines[-1].endswith("B")
    header, pretrained, _, _, of_stage, total = variorum("ls", "pretrain").out.splitlines()
    assert header.split("  ")[-1] == "needed by"
    assert pretrained.split()[2] in ("kB", "MB")
    assert pretrained.endswith(" micro  micro"), "its label, and who needs it"
    assert of_stage.split()[:2] == ["pretrain", "1"]
    assert total.split()[:2] == ["all", "1"]
    *_, total = variorum("ls", "--unneeded").out.splitlines()
    assert total.split() == ["all", "0", "0", "B"]


def test_ls_continues_past_a_damaged_result(
    variorum: Command, micro: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(micro.root)
    assert variorum("ls").out.split() == ["stage", "results", "size", "all", "0", "0", "B"]
    node = flow.before(micro.root, flow.current(micro.root), "tokenizer")
    text = Store(micro.root).open(node.upstream["base"].ref)
    text.file("train.jsonl").unlink()
    said = variorum("ls")
    assert said.code == 0
    lines = [line for line in said.out.splitlines() if "/" in line.split("  ")[0]]
    assert len(lines) == 6, "two sources, two texts, and their baselines"
    (damaged,) = (line for line in lines if line.startswith(str(text.ref)))
    assert f"  damaged: results/{text.ref}/train.jsonl is missing" in damaged


def test_ls_refuses_what_is_no_stage(variorum: Command, here: Path) -> None:
    refused(
        variorum("ls", "pretrian"), "pretrian: no such stage; the stages are download, imported"
    )


def test_digest_prints_what_a_source_pins(variorum: Command, tmp_path: Path) -> None:
    said = variorum("digest", "networkx")
    written = (ROOT / "config/experiments/default.yaml").read_text()
    assert [line.split(": ")[0] for line in said.out.splitlines()] == ["version", "sha256"]
    assert all(value in written for value in said.out.split()[1::2])


@pytest.mark.parametrize(
    ("package", "message"),
    [
        ("no_such_package", "'no_such_package' is not installed"),
        ("os.path", "is no name of a top-level package"),
        ("json", "json: no installed distribution has that name"),
    ],
)
def test_digest_of_no_package_is_one_line(variorum: Command, package: str, message: str) -> None:
    refused(variorum("digest", package), message)


def test_schema_writes_what_editors_read(
    variorum: Command, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    shutil.rmtree(project.root / "config/schemas")
    said = variorum("schema")
    assert said.code == 0
    assert {name: (project.root / name).read_text() for name in said.out.split()} == texts(
        CONFIGURATIONS
    )


# run


@pytest.mark.parametrize("result", ["pretrain/000000000000", "pretrain", "../..", "a/b/c", ""])
def test_run_of_what_was_not_planned_is_one_line(
    variorum: Command, here: Path, result: str
) -> None:
    before = flow.files_of(here / "results")
    refused(variorum("run", result), "nothing is planned under", "`variorum config` shows")
    assert flow.files_of(here / "results") == before


def test_run_of_a_finished_result_says_nothing(variorum: Command, here: Path) -> None:
    ref = flow.current(here).of_stage("tokenizer")[0].ref
    assert variorum("run", str(ref)) == Said(0, "", "")


def test_a_command_that_swallows_the_interrupt_ends_soon_all_the_same() -> None:
    code = (
        "import os, signal, time\n"
        "from contextlib import suppress\n"
        "from variorum.cli import signals\n"
        "signals.SECONDS_TO_CLEAR = 1\n"
        "signals.interrupt_on_signals()\n"
        "with suppress(KeyboardInterrupt):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "time.sleep(60)\n"
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == signals.INTERRUPTED
    assert done.stderr == f"variorum: {signals.STOPPED}\n"
    assert time.monotonic() - begun < 30


# Models


def test_a_model_is_described_before_and_after_it_is_made(variorum: Command, here: Path) -> None:
    planned = variorum("model", "describe", "--config", "tokenizer={kind: bpe, vocab_size: 400}")
    assert planned.code == 0
    assert planned.out.startswith("experiment micro, as planned\nlayer ")
    assert "vocabulary                              400 tokens\n" in planned.out
    made = variorum("model", "describe", "finetune")
    assert made.out.startswith("finetune/")
    assert "finetune, 10 steps with adamw" in made.out
    refused(variorum("model", "describe", "finetune", "--config", "seed=2"), "give only one")
    refused(variorum("model", "describe", "encode"), "names 2 results")


def test_a_model_is_exported_once_into_a_folder(
    variorum: Command, here: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "for others"
    said = variorum("model", "export", "pretrain", str(folder))
    assert said.code == 0
    assert re.fullmatch(rf"pretrain/\w+: 5 files in {re.escape(str(folder))}\n", said.out)
    assert len(list(folder.iterdir())) == 5
    refused(variorum("model", "export", "pretrain", str(folder)), "is not empty; name a new folder")
    refused(variorum("model", "export", "tokenizer", str(tmp_path / "x")), "is no model")
