"""A stage says what it does: one live line on a terminal, whole lines anywhere else."""

import os
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from variorum.base import progress
from variorum.base.progress import Progress

END = "<end>"


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step is shown."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_REFRESHES", 0.0)


class Terminal:
    """A pseudo-terminal in place of stderr."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._controller, side = os.openpty()
        termios.tcsetwinsize(side, (24, 100))
        self._stream = os.fdopen(side, "w", encoding="utf-8")
        self._monkeypatch = monkeypatch

    def progress(self, label: str, log: Path | None = None) -> Progress:
        """A progress whose stderr is this terminal, from now on."""
        self._monkeypatch.setattr(sys, "stderr", self._stream)
        return Progress(label, log)

    def shown(self) -> str:
        """What was written to it since the last time. The system hands it on piece by piece."""
        print(END, end="", file=self._stream, flush=True)
        shown = b""
        while not shown.endswith(END.encode()):
            shown += os.read(self._controller, 1 << 16)
        return shown.decode().removesuffix(END)

    def close(self) -> None:
        """Close both of its sides."""
        self._stream.close()
        os.close(self._controller)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    opened = Terminal(monkeypatch)
    yield opened
    opened.close()


def count(to: Progress, total: int = 4, start: int = 0) -> None:
    with to.counting(total, "steps", start):
        for step in range(start, total):
            time.sleep(0.01)
            to.step(f"loss {step}")


@pytest.mark.usefixtures("eager")
def test_without_a_terminal_every_line_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    said = Progress("pretrain micro")
    said.say("begins")
    count(said)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "\r" not in printed.err
    assert "\x1b" not in printed.err
    lines = printed.err.splitlines()
    assert all(line.startswith("pretrain micro  ") and line == line.rstrip() for line in lines)
    assert lines[0] == "pretrain micro  begins"
    assert lines[1].startswith("pretrain micro  0/4 steps")
    assert lines[-1].startswith("pretrain micro  4/4 steps  loss 3  ")
    assert len(lines) == len(set(lines)) == 6


@pytest.mark.usefixtures("eager")
def test_the_time_left_is_estimated(capsys: pytest.CaptureFixture[str]) -> None:
    said = Progress("encode")
    with said.counting(1001, "documents", start=1):
        time.sleep(0.1)
        said.step()
    first, second = capsys.readouterr().err.splitlines()
    assert first == "encode  1/1,001 documents  00:00 elapsed, ? remaining"
    assert second.startswith("encode  2/1,001 documents  00:00 elapsed, 01:")
    assert second.endswith(" remaining")


def test_lines_are_seconds_apart(capsys: pytest.CaptureFixture[str]) -> None:
    count(Progress("pretrain micro"))
    assert len(capsys.readouterr().err.splitlines()) == 1, "the first alone, in so short a time"


@pytest.mark.usefixtures("eager")
def test_steps_that_were_done_before_count(capsys: pytest.CaptureFixture[str]) -> None:
    count(Progress("pretrain"), total=9, start=7)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["7/9", "8/9", "9/9"]


@pytest.mark.usefixtures("eager")
def test_the_log_holds_what_was_said_and_nothing_of_an_earlier_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "logs/pretrain/0.log"
    for _ in range(2):
        said = Progress("pretrain", log)
        said.say("“ß”")
        count(said)
        assert log.read_text(encoding="utf-8").endswith(" remaining\n"), "written at once"
        said.close()
    printed = capsys.readouterr().err.splitlines()
    assert log.read_text(encoding="utf-8").splitlines() == printed[len(printed) // 2 :]
    said.say("after")
    assert "after" not in log.read_text(encoding="utf-8")


@pytest.mark.usefixtures("eager")
def test_on_a_terminal_one_line_lives(terminal: Terminal) -> None:
    said = terminal.progress("pretrain micro")
    count(said)
    shown = terminal.shown()
    assert "\n" not in shown
    states = [state.strip() for state in shown.split("\r") if state.strip()]
    assert states[0].startswith("pretrain micro  0/4 steps")
    assert states[-1].startswith("pretrain micro  4/4 steps  loss 3")
    assert " elapsed, " in states[-1]
    assert shown.endswith("\r"), "it is wiped at the end"


@pytest.mark.usefixtures("eager")
def test_on_a_terminal_what_is_said_stands_above_the_live_line(terminal: Terminal) -> None:
    said = terminal.progress("pretrain")
    with said.counting(2, "steps"):
        said.step()
        said.say("step 1: val 3.1")
        said.step()
    shown = terminal.shown()
    lines = shown.split("\n")
    assert len(lines) == 2
    assert lines[0].rstrip("\r").endswith("\rpretrain  step 1: val 3.1")
    assert "pretrain  2/2 steps" in lines[1]


@pytest.mark.usefixtures("eager")
def test_with_a_log_a_terminal_gets_lines(terminal: Terminal, tmp_path: Path) -> None:
    said = terminal.progress("pretrain", tmp_path / "a.log")
    count(said)
    said.close()
    shown = terminal.shown().replace("\r\n", "\n")
    assert "\r" not in shown
    assert shown == (tmp_path / "a.log").read_text()


def test_after_an_error_while_counting_lines_are_plain_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = Progress("pretrain")
    with pytest.raises(ZeroDivisionError), said.counting(2, "steps"):
        raise ZeroDivisionError
    said.step("is of no account outside of counting")
    said.say("stopped")
    assert capsys.readouterr().err.splitlines()[1:] == ["pretrain  stopped"]


def test_a_log_that_cannot_be_written_ends_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = Progress("pretrain", Path("/dev/full"))
    for text in ("one", "two"):
        said.say(text)
    said.close()
    assert capsys.readouterr().err.splitlines() == [
        "pretrain  one",
        "pretrain  its log ends here: No space left on device",
        "pretrain  two",
    ]
