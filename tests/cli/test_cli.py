"""The command: what it prints, and that whatever a user can fix is one line and exit status 1."""

import fcntl
import inspect
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import pytest

import flow
from conftest import ROOT, Command, Project, Said, add_micro_experiment, copy_project
from variorum.api import Opened
from variorum.cli import conversation, models, signals
from variorum.config.evaluation_settings import SamplingSettings
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
    "lock",
    "verify",
    "digest",
    "schema",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment, without what comes after fine-tuning."""
    project = copy_project(tmp_path_factory.mktemp("cli") / "project")
    add_micro_experiment(project)
    plan = flow.current(project.root)
    flow.before(project.root, plan, "evaluate")
    return project


@pytest.fixture
def here(trained: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trained project, as the working directory. Tests leave it as it is."""
    monkeypatch.chdir(trained.root)
    return trained.root


def refused(said: Said, *parts: str) -> None:
    """One line on stderr with these parts, nothing on stdout, status 1."""
    assert said.code == 1
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith("variorum: ")
    for part in parts:
        assert part in said.err


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


def test_ls_goes_on_past_a_damaged_result(
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
    assert len(lines) == 3
    (damaged,) = (line for line in lines if line.startswith(str(text.ref)))
    assert f"  damaged: results/{text.ref}/train.jsonl is missing" in damaged


def test_ls_refuses_what_is_no_stage(variorum: Command, here: Path) -> None:
    refused(
        variorum("ls", "pretrian"), "pretrian: no such stage; the stages are download, normalize"
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


# sample


def test_sample_writes_the_prompt_and_its_continuation(variorum: Command, here: Path) -> None:
    said = variorum("sample", "the ", "-n", "20", "--seed", "3")
    assert said.code == 0
    assert said.out.startswith("the ")
    assert said.err.startswith(f"{flow.current(here).of_stage('finetune')[0].ref}: ")
    model, how = said.err.splitlines()
    assert model.endswith(" parameters")
    assert re.fullmatch(
        r"20 tokens: max_tokens reached; valid_utf8 removed \d+\.\d\d % of the probability, "
        r"\d+\.\d\d % at most; window cuts: 1 \(half-window\)",
        how,
    )
    assert said == variorum("sample", "the ", "-n", "20", "--seed", "3", "--no-cache")
    assert said.out != variorum("sample", "the ", "-n", "20", "--seed", "4").out


def test_sample_takes_any_reference_and_greedy_ignores_the_seed(
    variorum: Command, here: Path
) -> None:
    ref = flow.current(here).of_stage("pretrain")[0].ref
    by_stage = variorum("sample", "-m", "pretrain", "--greedy", "-n", "9", "--seed", "1")
    by_key = variorum("sample", "-m", ref.key[:7], "-t", "0", "-n", "9", "--seed", "2")
    assert by_stage == by_key
    assert str(ref) in by_stage.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--top-p", "0"], "sampling: top_p: 0.0 should be greater than 0"),
        (["-t", "inf"], "temperature: inf should be a finite number"),
        (["--stop", ""], "stop.0: '' "),
        (["-m", "zzz"], "zzz: no result, stage, experiment or ablation is called that; `variorum"),
        (["-m", "report"], "results/report/"),
        (["-m", "tokenizer"], "is no model; name a result of finetune or imported or pretrain"),
    ],
)
def test_wrong_options_of_sample_are_one_line(
    variorum: Command, here: Path, arguments: list[str], message: str
) -> None:
    refused(variorum("sample", "the ", *arguments), message)


def test_sample_has_the_defaults_of_the_settings() -> None:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(models.sample).parameters.items()
    }
    defaults["max_tokens"] = defaults.pop("tokens")
    for name, field in SamplingSettings.model_fields.items():
        assert (defaults[name] or None) == (field.default or None), name


def test_sample_ends_before_a_stop_string_and_says_so(variorum: Command, here: Path) -> None:
    whole = variorum("sample", "the ", "-n", "40", "--seed", "3").out[len("the ") : -1]
    stop = whole[5:7]
    said = variorum("sample", "the ", "-n", "40", "--seed", "3", "--stop", "§§", "--stop", stop)
    assert said.out == f"the {whole[: whole.index(stop)]}\n"
    assert " tokens: stop string found; " in said.err


def test_sample_writes_whole_characters_unless_it_is_told_not_to(
    variorum: Command, here: Path
) -> None:
    hot = ("sample", "the ", "-t", "50", "--top-p", "1", "-n", "60")
    whole, free = variorum(*hot), variorum(*hot, "--any-bytes")
    assert "\ufffd" not in whole.out
    assert "\ufffd" in free.out
    assert "valid_utf8 removed" in whole.err
    assert "valid_utf8" not in free.err


def start(project: Project, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["variorum", "sample", *arguments],
        cwd=project.root,
        env=project.environment({"PYTHONUNBUFFERED": ""}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_sample_appears_while_it_is_written_and_a_closed_pipe_is_no_error(
    trained: Project,
) -> None:
    with start(trained, "the sun ", "-n", "200000", "--greedy") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first, second = (os.read(process.stdout.fileno(), 1 << 16) for _ in range(2))
        assert first.startswith(b"the sun ")
        assert len(first + second) < 1000, "not a buffer full of it"
        assert process.poll() is None, "the rest is still being written"
        process.stdout.close()
        printed = process.stderr.read()
        assert process.wait(30) == 1
    assert len(printed.splitlines()) == 1, "the line that says which model it is"


def test_interactive_sample_answers_each_line_of_its_input(trained: Project) -> None:
    with start(trained, "-i", "-n", "5") as process:
        out, printed = process.communicate("the\nsun \xe9\n".encode("latin-1"), timeout=60)
        assert process.returncode == 0
    assert b"Traceback" not in printed
    lines = out.decode().split("prompt> ")
    assert len(lines) == 4
    assert [lines[0], lines[3]] == ["", "\n"]
    assert lines[1].startswith("the")
    assert lines[2].startswith("sun \ufffd")


def test_interactive_sample_begins_with_its_prompt(trained: Project) -> None:
    with start(trained, "/the sun ", "-i", "-n", "5") as process:
        out, printed = process.communicate(b"the\n", timeout=60)
        assert process.returncode == 0
    assert b"unknown setting" not in printed
    first, second, _ = out.decode().split("prompt> ")
    assert first.startswith("/the sun ")
    assert second.startswith("the")


@pytest.mark.parametrize(
    ("state", "typed", "raised"),
    [
        ("_writing", "", None),
        ("_stopped", "", None),
        ("_asking", "half a line", conversation._LineDroppedError),
        ("_asking", "", KeyboardInterrupt),
    ],
)
def test_ctrl_c_leaves_at_an_empty_prompt_alone_however_often_it_comes(
    monkeypatch: pytest.MonkeyPatch, state: str, typed: str, raised: type[BaseException] | None
) -> None:
    monkeypatch.setattr(conversation, "_typed", lambda: typed)
    talk = conversation.Conversation(cast(Opened, None), SamplingSettings(), use_cache=True)
    setattr(talk, state, True)
    for _ in range(2):
        with pytest.raises(raised) if raised else nullcontext():
            talk._interrupt(signal.SIGINT, None)
    assert talk._stopped == (state in ("_writing", "_stopped"))


class Terminal:
    """`variorum sample -i` at a terminal, with somebody who types and reads."""

    def __init__(self, project: Project, *arguments: str) -> None:
        self._side, other = os.openpty()
        self.process = subprocess.Popen(
            ["variorum", "sample", "-i", *arguments],
            cwd=project.root,
            env=project.environment({"TERM": "dumb"}),
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C signals
        )
        os.close(other)
        self._unread = ""

    def types(self, keys: str) -> None:
        """Press these keys."""
        os.write(self._side, keys.encode())

    def interrupts(self) -> None:
        """Press Ctrl-C, as slowly as a person: Python sees it while it waits for the next key."""
        time.sleep(0.5)
        self.types(CTRL_C)

    def reads(self, pattern: str) -> str:
        """What has appeared, up to the end of the first match."""
        end = time.monotonic() + 60
        while (match := re.search(pattern, self._unread)) is None:
            assert time.monotonic() < end, f"no {pattern} in {self._unread[-2000:]}"
            if select.select([self._side], [], [], 1)[0]:
                self._unread += os.read(self._side, 1 << 16).decode(errors="replace")
        read, self._unread = self._unread[: match.end()], self._unread[match.end() :]
        return read

    def close(self) -> None:
        """End it, however it is."""
        self.process.kill()
        self.process.wait()
        os.close(self._side)


@pytest.fixture
def terminal(trained: Project) -> Iterator[Callable[..., Terminal]]:
    """Open a terminal with a conversation in it, at its first prompt."""
    opened = []

    def start(*arguments: str) -> Terminal:
        opened.append(Terminal(trained, *arguments))
        opened[-1].reads("prompt> ")
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def test_ctrl_c_ends_a_text_then_a_line_then_the_conversation(
    terminal: Callable[..., Terminal],
) -> None:
    talk = terminal("-n", "200000", "--greedy")
    talk.types("the sun \n")
    talk.reads("the sun .{200}")
    talk.interrupts()
    said = talk.reads("prompt> ")
    assert re.search(r"\d+ tokens: stopped; ", said)
    talk.types("/max_tokens 3\n")
    talk.reads("/max_tokens 3\r\nprompt> ")
    talk.types("the \n")
    talk.reads("3 tokens: max_tokens reached[^>]*prompt> ")
    talk.types("half a line")
    talk.reads("half a line")
    talk.interrupts()
    talk.reads("prompt> ")
    talk.types("the \n")
    talk.reads("3 tokens: max_tokens reached[^>]*prompt> ")
    talk.interrupts()
    assert talk.process.wait(30) == 0


def test_settings_change_in_a_conversation_and_wrong_ones_are_one_line(
    terminal: Callable[..., Terminal],
) -> None:
    talk = terminal("-n", "5")
    for typed, answer in (
        ("/temperature 0.5", "/temperature 0.5"),
        ("/top_k 40", "/top_k 40"),
        ("/top_k null", "/top_k null"),
        ("/seed 3", "/seed 3"),
        ("/seed", "/seed 3"),
        ('/stop ["\\n", END]', '/stop ["\\n", "END"]'),
        ("/top_p 2", "variorum: sampling: top_p: 2 should be less than or equal to 1"),
        ("/temp 1", "variorum: sampling: temp: unknown setting; did you mean `temperature`?"),
        ("/min_p [", "variorum: /min_p [: the value is not valid YAML; put text in quotes"),
    ):
        talk.types(f"{typed}\n")
        said = talk.reads("prompt> ").replace("\r", "")
        assert said == f"{typed}\n{answer}\nprompt> "
    talk.types("/show\n")
    said = talk.reads("prompt> ")
    assert "/temperature 0.5\r\n/top_k null\r\n/top_p 0.95" in said
    assert '/stop ["\\n", "END"]' in said
    talk.types("/help\n")
    assert "Ctrl-C ends a text" in talk.reads("prompt> ")
    talk.types("//slash\n")
    talk.reads("//slash\r\n/slash[^>]*prompt> ")
    talk.types(CTRL_D)
    assert talk.process.wait(30) == 0


def test_a_prompt_that_is_no_text_is_taken_all_the_same(variorum: Command, here: Path) -> None:
    said = variorum("sample", os.fsdecode(b"the \xff"), "-n", "3")
    assert said.code == 0
    assert said.out.startswith("the ?")


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
