"""Show progress: stage, step, speed, elapsed and remaining time.

On a terminal one live line; in a log, or with several stages side by side, a line every few
seconds. tqdm counts and estimates.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Never, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

FORMAT = "{desc}  {elapsed} elapsed, {remaining} remaining"
SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_REFRESHES = 0.2

ESCAPED = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"
}
"""Control characters, spelled out for terminals: a model may write anything."""


class Progress:
    """Show what a stage is doing, on the terminal and in its log."""

    def __init__(self, label: str, log: Path | None = None) -> None:
        self.label = label
        self._log = _open(log) if log else None
        self._live = log is None and sys.stderr.isatty()
        self._bar: tqdm[Never] | None = None

    def say(self, text: str) -> None:
        """Print one line."""
        line = f"{self.label}  {text}".translate(ESCAPED)
        if self._live:  # above this bar, or the bar around it
            from tqdm import tqdm

            tqdm.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)
        self._record(line)

    @contextmanager
    def counting(self, total: int, unit: str, start: int = 0) -> Iterator[None]:
        """Count steps up to `total` while the block runs; `start` were done before."""
        from tqdm import tqdm  # late: planning needs no bars

        stream = sys.stderr if self._live else _Lines(self)
        wait = SECONDS_BETWEEN_REFRESHES if self._live else SECONDS_BETWEEN_LINES
        with tqdm(
            total=total,
            initial=start,
            desc=f"{self.label}  {start:,}/{total:,} {unit}",
            unit=unit,
            file=stream,
            mininterval=wait,
            miniters=1,
            bar_format=FORMAT,
            leave=False,
            position=None if self._live else 0,  # in a log no bar stands below another
            dynamic_ncols=self._live,
        ) as bar:
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None

    def step(self, facts: str = "", count: int = 1) -> None:
        """Count another `count` as done; the live line shows `facts`."""
        if self._bar is not None:
            bar = self._bar
            done = f"{self.label}  {bar.n + count:,}/{bar.total:,} {bar.unit}"
            bar.set_description_str(f"{done}  {facts}" if facts else done, refresh=False)
            bar.update(count)

    def close(self) -> None:
        """Close the log."""
        if self._log:
            with suppress(OSError):
                self._log.close()
            self._log = None

    def _record(self, line: str) -> None:
        """Add a line to the log.

        A full disk ends the log, not the stage: that reports a full disk by itself.
        """
        if self._log:
            try:
                self._log.write(line + "\n")
                self._log.flush()
            except OSError as error:
                self.close()
                print(f"{self.label}  its log ends here: {error.strerror}", file=sys.stderr)


class _Lines:
    """Receive tqdm's output without a terminal: whole lines, each once."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def write(self, text: str) -> int:
        line = text.strip("\r\n ")
        if line:
            print(line, file=sys.stderr, flush=True)
            self._progress._record(line)
        return len(text)

    def flush(self) -> None:
        """Do nothing: every line is flushed as it is written."""


def _open(log: Path) -> TextIO:
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("w", encoding="utf-8")


def say(text: str) -> None:
    """Print a line to stderr, marked as Variorum's own."""
    print(f"variorum: {text}", file=sys.stderr)
