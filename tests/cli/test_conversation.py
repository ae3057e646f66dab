"""`variorum sample --interactive` answers line by line, and Ctrl-C ends the right thing."""

import fcntl
import os
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import cast

import pytest
from commands import start, trained

from conftest import Project
from variorum.api import Opened
from variorum.cli import conversation
from variorum.config.evaluation_settings import SamplingSettings
from variorum.generation.text import Account

CTRL_C, CTRL_D = "\x03", "\x04"


def test_interactive_sample_answers_each_line_of_its_input() -> None:
    with start(trained(), "-i", "-n", "5") as process:
        out, printed = process.communicate("the\nsun \xe9\n".encode("latin-1"), timeout=60)
        assert process.returncode == 0
    assert b"Traceback" not in printed
    lines = out.decode().split("prompt> ")
    assert len(lines) == 4
    assert [lines[0], lines[3]] == ["", "\n"]
    assert lines[1].startswith("the")
    assert lines[2].startswith("sun \ufffd")


def test_interactive_sample_begins_with_its_prompt() -> None:
    with start(trained(), "/the sun ", "-i", "-n", "5") as process:
        out, printed = process.communicate(b"the\n", timeout=60)
        assert process.returncode == 0
    assert b"unknown setting" not in printed
    first, second, _ = out.decode().split("prompt> ")
    assert first.startswith("/the sun ")
    assert second.startswith("the")


def test_of_no_token_no_probability_was_taken_away() -> None:
    settings = SamplingSettings()
    begun = conversation.closing_line(Account(0, None, 0.0, 0.0, 0), settings)
    assert "valid_utf8" not in begun
    written = conversation.closing_line(Account(3, "length", 0.25, 0.5, 0), settings)
    assert "valid_utf8 removed 25.00 % of the probability, 50.00 % at most" in written


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
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Open a terminal with a conversation in it, at its first prompt."""
    opened = []

    def start(*arguments: str) -> Terminal:
        opened.append(Terminal(trained(), *arguments))
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
