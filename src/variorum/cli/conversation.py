"""Talk with a model at a terminal: its continuation appears as it is drawn.

In a conversation each line is a prompt, and a line that begins with a slash changes a setting.
Ctrl-C ends the text that is being written, or drops the line that is being typed; at an empty
prompt it leaves. So does the end of input (Ctrl-D).
"""

import json
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from variorum.api import SAMPLING, Opened
from variorum.base.counts import counted
from variorum.base.errors import VariorumError
from variorum.config.evaluation_settings import SamplingSettings
from variorum.config.setting_checks import check
from variorum.config.yaml_text import read_value
from variorum.evaluation.printable import for_terminal
from variorum.generation.text import Account

PROMPT = "prompt> "

ENDINGS = {
    "document": "end of document",
    "length": "max_tokens reached",
    "stop": "stop string found",
    None: "stopped",
}

HELP = """\
Each line is a prompt; an empty line begins a document. For a prompt that begins with / write //.
/show         show the settings
/NAME VALUE   change a setting, such as /temperature 0.5 or /stop ["\\n"]; /NAME alone shows it
/help         show this help
Ctrl-C ends a text, drops a line, or quits; Ctrl-D quits.
Settings:"""


def write(
    opened: Opened,
    prompt: str,
    settings: SamplingSettings,
    *,
    use_cache: bool = True,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Print a prompt and its continuation, and a closing line on stderr.

    `stopped` is called after each piece.
    """
    pieces = opened.stream(prompt, settings, use_cache=use_cache)
    print(prompt, end="", flush=True)
    for text in pieces:
        # A model may write anything, also control characters.
        print(for_terminal(text) if sys.stdout.isatty() else text, end="", flush=True)
        if stopped():
            break
    print(flush=True)
    print(closing_line(pieces.account, settings), file=sys.stderr)


def closing_line(account: Account, settings: SamplingSettings) -> str:
    """Return how a text was written, in one line."""
    parts = [f"{counted(account.tokens, 'token')}: {ENDINGS[account.ending]}"]
    if settings.valid_utf8 and account.tokens:  # of no token there is no mean
        parts.append(
            f"valid_utf8 removed {100 * account.removed_mean:.2f} % of the probability, "
            f"{100 * account.removed_largest:.2f} % at most"
        )
    if account.window_cuts:
        parts.append(f"window cuts: {account.window_cuts} ({account.window_mode})")
    return "; ".join(parts)


class Conversation:
    """Answer prompts and commands, line by line, until the user leaves."""

    def __init__(self, opened: Opened, settings: SamplingSettings, *, use_cache: bool) -> None:
        self.settings = settings
        self._opened, self._use_cache = opened, use_cache
        self._asking = self._writing = self._stopped = False

    def run(self, prompt: str = "") -> None:
        """Answer lines until the end; a given prompt is continued first.

        Handles Ctrl-C meanwhile.
        """
        if sys.stdin.isatty():
            with suppress(ImportError):
                import readline  # noqa: F401 - editing and history of what `input` reads
        before = signal.signal(signal.SIGINT, self._interrupt)
        try:
            if prompt:
                self._answer(f"/{prompt}" if prompt.startswith("/") else prompt)
            while True:
                with suppress(_LineDroppedError):
                    self._answer(self._ask())
        except (EOFError, KeyboardInterrupt):
            print()
        finally:
            signal.signal(signal.SIGINT, before)

    def _ask(self) -> str:
        self._asking = True
        try:
            return input(PROMPT)
        except _LineDroppedError:
            print()
            raise
        finally:
            self._asking = False

    def _answer(self, line: str) -> None:
        try:
            if line.startswith("/") and not line.startswith("//"):
                self._obey(line[1:])
            else:
                self._write(line.removeprefix("/") if line.startswith("//") else line)
        except VariorumError as error:
            for each in str(error).splitlines():
                print(f"variorum: {each}", file=sys.stderr)

    def _write(self, prompt: str) -> None:
        self._writing, self._stopped = True, False
        try:
            write(
                self._opened,
                prompt,
                self.settings,
                use_cache=self._use_cache,
                stopped=lambda: self._stopped,
            )
        finally:
            self._writing = False

    def _obey(self, command: str) -> None:
        """Run a command that follows a slash."""
        name, _, value = command.strip().partition(" ")
        if name in ("help", ""):
            print(HELP)
            for setting, field in SamplingSettings.model_fields.items():
                print(f"  {setting:<18}  {field.description}")
        elif name == "show":
            print(f"{self._opened.ref}")
            for setting in SamplingSettings.model_fields:
                print(self._line(setting))
        elif value.strip() or name not in SamplingSettings.model_fields:
            values = self.settings.model_dump() | {name: read_value(value, f"/{command}")}
            self.settings = check(SamplingSettings, values, SAMPLING)
            print(self._line(name))
        else:
            print(self._line(name))

    def _line(self, setting: str) -> str:
        """Return a setting as it can be typed."""
        return f"/{setting} {json.dumps(getattr(self.settings, setting), ensure_ascii=False)}"

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._writing:
            self._stopped = True  # the text ends after the current piece
        elif self._asking:  # between a text and a prompt, Ctrl-C came too late for that text
            raise _LineDroppedError if _typed() else KeyboardInterrupt


class _LineDroppedError(KeyboardInterrupt):
    """Report Ctrl-C after some text was typed."""


def _typed() -> str:
    """Return the text typed at the prompt, where lines can be edited."""
    readline = sys.modules.get("readline")
    return str(readline.get_line_buffer()) if readline else ""
