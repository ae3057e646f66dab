"""Run the `variorum` command: thin, as Python can call everything it does."""

import sys
from io import TextIOWrapper

from variorum.base.errors import (
    Stopped,
    VariorumError,
    clear_about_memory,
    clear_about_storage,
)
from variorum.cli import checks, models, planning, results, running
from variorum.cli.app import app
from variorum.cli.signals import INTERRUPTED


def main() -> None:
    """Run a command; show what users can fix as one line, with status 1."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a stray byte is no reason to stop
    try:
        with clear_about_memory(), clear_about_storage():
            app()
    except VariorumError as error:
        for line in str(error).splitlines():
            print(f"variorum: {line}", file=sys.stderr)
        sys.exit(INTERRUPTED if isinstance(error, Stopped) else 1)


COMMANDS = (running, planning, results, checks, models)
"""Their import is what registers the commands."""
