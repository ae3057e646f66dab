"""Define the application that all commands register with, and shared options."""

from collections.abc import Iterable
from typing import Annotated

import typer

from variorum.base import machine

app = typer.Typer(
    help="Train a small GPT from raw text and report on it; every result is keyed by what made it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

models = typer.Typer(
    help="Describe or export a model.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(models, name="model")

REFERENCE = (
    "nothing (the current experiment), a stage, an experiment, an ablation, a variant of one "
    "(`positions/rotary`) or a run (`positions/rotary/1`), a pinned result (`before/1`), the "
    "beginning of a key, or a path."
)

Changes = Annotated[
    list[str] | None,
    typer.Option(help="A setting of the current experiment, as after snakemake's --config."),
]

Device = Annotated[
    machine.Device,
    typer.Option(envvar="VARIORUM_DEVICE", help="Device for models; a GPU is used only if named."),
]


def print_lines(lines: Iterable[str]) -> None:
    """Print lines, above a bar if there is one."""
    from tqdm import tqdm

    for line in lines:
        tqdm.write(line)
