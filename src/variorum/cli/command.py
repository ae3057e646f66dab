"""Run the `variorum` command: thin, as Python can call everything it does."""

import sys
from io import TextIOWrapper

from variorum.base.errors import told_in_one_line
from variorum.cli import checks, models, planning, results, running
from variorum.cli.app import app


def main() -> None:
    """Run a command; show what users can fix as one line, with status 1."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a stray byte is no reason to stop
    with told_in_one_line():
        app()


COMMANDS = (running, planning, results, checks, models)
"""Their import is what registers the commands."""
