"""Define commands about models: sample, describe, export."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from variorum.base import machine
from variorum.base.counts import counted
from variorum.base.errors import VariorumError
from variorum.base.project import find_project
from variorum.cli.app import REFERENCE, Changes, Device, app, models

if TYPE_CHECKING:
    from variorum.api import Opened

Weights = Literal["float32", "int8"]
Rounding = Annotated[
    Weights, typer.Option("--weights", help="int8: write by matrices rounded to 8 bits.")
]


@app.command()
def sample(
    prompt: Annotated[str, typer.Argument(help="Beginning of the text.")] = "",
    model: Annotated[
        str | None, typer.Option("--model", "-m", help=f"A model: {REFERENCE}")
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", "-t", min=0.0, help="0: always the likeliest token.")
    ] = 0.8,
    top_k: Annotated[int | None, typer.Option(min=1, help="Only so many tokens.")] = None,
    top_p: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Only the likeliest up to this probability.")
    ] = 0.95,
    min_p: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Only with this share of the highest one.")
    ] = 0.0,
    repetition_penalty: Annotated[
        float, typer.Option(min=1.0, help="Above 1: recent tokens become less likely.")
    ] = 1.0,
    repetition_window: Annotated[
        int, typer.Option(min=1, help="Number of recent tokens that are penalized.")
    ] = 64,
    stop: Annotated[
        list[str] | None, typer.Option(help="The text ends before this; can be repeated.")
    ] = None,
    valid_utf8: Annotated[
        bool,
        typer.Option("--valid-utf8/--any-bytes", help="Draw only valid UTF-8, or any bytes."),
    ] = True,
    tokens: Annotated[int, typer.Option("--tokens", "-n", min=1)] = 200,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    greedy: Annotated[bool, typer.Option("--greedy", help="As --temperature 0.")] = False,
    cache: Annotated[bool, typer.Option(help="Cache keys and values of earlier tokens.")] = True,
    device: Device = "cpu",
    weights: Rounding = "float32",
    interactive: Annotated[
        bool,
        typer.Option("--interactive", "-i", help="Prompt for text and settings; /help explains."),
    ] = False,
) -> None:
    """Generate text from a model; the text appears as it is drawn."""
    machine.use_one_thread()
    from variorum import api
    from variorum.config.evaluation_settings import SamplingSettings
    from variorum.config.setting_checks import check

    chosen = {
        "temperature": 0.0 if greedy else temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "repetition_window": repetition_window,
        "stop": stop or [],
        "valid_utf8": valid_utf8,
        "max_tokens": tokens,
        "seed": seed,
    }
    settings = check(SamplingSettings, chosen, api.SAMPLING)
    opened = api.open(model, root=find_project(), device=device, weights=weights)
    _write_or_converse(opened, settings, prompt, use_cache=cache, interactive=interactive)


def _write_or_converse(
    opened: "Opened", settings: Any, prompt: str, *, use_cache: bool, interactive: bool
) -> None:
    from variorum.cli import conversation

    print(f"{opened.ref}: {counted(opened.parameters, 'parameter')}", file=sys.stderr)
    _tell_edited(opened, "the present code computes this text")
    if interactive:
        conversation.Conversation(opened, settings, use_cache=use_cache).run(prompt)
    else:
        conversation.write(opened, prompt, settings, use_cache=use_cache)


@models.command()
def describe(
    result: Annotated[
        str | None,
        typer.Argument(
            help="A finished model: a stage, `positions/rotary/1`, the beginning of a key, or a "
            "path; by default the planned model of the current experiment."
        ),
    ] = None,
    config: Changes = None,
) -> None:
    """Show a model's layers, parameters, operations and memory, before or after training."""
    machine.use_one_thread()
    from variorum.cli import model_summary
    from variorum.config.yaml_text import read_typed
    from variorum.plan.references import refuse_setting

    if result is not None:
        refuse_setting(result)
    if result is not None and config:
        raise VariorumError(f"{result} is finished, but --config changes a plan; give only one")
    root = find_project()
    of_plan = model_summary.of_plan(read_typed(config or []), root)
    for line in of_plan if result is None else model_summary.of_result(result, root):
        print(line)


def _tell_edited(opened: "Opened", what: str) -> None:
    """Print a note if the models' code was edited since the training."""
    if opened.edited:
        print(f"{opened.edited} was edited after the training; {what}", file=sys.stderr)


@models.command()
def export(
    result: Annotated[str, typer.Argument(help=REFERENCE.replace("nothing", "`finetune`"))],
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    weights: Annotated[
        Weights,
        typer.Option(help="int8: a quarter of the size, for `variorum.model.int8.load`."),
    ] = "float32",
) -> None:
    """Copy a model and its tokenizer into a folder that transformers and tokenizers load."""
    machine.use_one_thread()
    from variorum import api
    from variorum.model.export import export as copy
    from variorum.model.export import export_int8

    opened = api.open(result, root=find_project())
    files = (export_int8 if weights == "int8" else copy)(opened.folder, folder)
    _tell_edited(opened, "the exported files do not record that")
    print(f"{opened.ref}: {counted(len(files), 'file')} in {folder}")
