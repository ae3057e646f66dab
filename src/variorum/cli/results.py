"""Define commands about results: list, remove, pin, explain, compare."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from variorum.base.errors import VariorumError
from variorum.base.project import find_project
from variorum.cli.app import REFERENCE, Changes, app


@app.command()
def ls(
    stage: Annotated[str | None, typer.Argument(help="Only this stage.")] = None,
    unneeded: Annotated[
        bool, typer.Option("--unneeded", help="Only results that nobody needs.")
    ] = False,
) -> None:
    """List available results: reference, size, age, duration, label, who needs each."""
    from variorum.audit.gc import inventory
    from variorum.stages.registry import STAGES

    if stage is not None and stage not in STAGES:
        raise VariorumError(f"{stage}: no such stage; the stages are {', '.join(STAGES)}")
    rows, doubts = inventory.inventory(find_project(), stage)
    for doubt in doubts:
        print(f"variorum: {doubt}", file=sys.stderr)
    for line in inventory.lines([r for r in rows if not (unneeded and r.names)], time.time()):
        print(line)


@app.command()
def gc(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also remove what DVC has not stored.")
    ] = False,
) -> None:
    """Remove results that no plan, pin, other branch or tag needs."""
    from variorum.audit.gc import removal

    root = find_project()
    chosen = removal.plan(root, force=force)
    for line in chosen.lines(time.time()):
        print(line)
    if not chosen:
        return
    if not yes:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            print("nothing was removed; `variorum gc --yes` removes without asking")
            return
        if not typer.confirm("Remove them?"):
            print("nothing was removed")
            return
        # Some may be needed by now.
        chosen = chosen.agreed(removal.plan(root, force=force))
    print(removal.remove(root, chosen).done())


@app.command()
def why(
    result: Annotated[
        str | None,
        typer.Argument(help=f"A result, finished or not: {REFERENCE}"),
    ] = None,
    other: Annotated[
        str | None,
        typer.Argument(help="A second result; by default the closest counterpart."),
    ] = None,
    config: Changes = None,
) -> None:
    """Explain why a result must be made, or how two results differ."""
    from variorum.audit.explain import why as explanation
    from variorum.config.yaml_text import read_typed

    overrides = read_typed(config or [])
    for line in explanation.why(find_project(), result, other, overrides).lines():
        print(line)


@app.command()
def pin(
    name: Annotated[
        str | None, typer.Argument(help="Name of the pin; without one, pins are listed.")
    ] = None,
    results: Annotated[
        list[str] | None,
        typer.Argument(help=f"Models or other results: {REFERENCE} A variant: all its models."),
    ] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Remove the pin.")] = False,
) -> None:
    """Pin results by name, so that `gc` keeps them and ablations can use them."""
    from variorum.plan.references import References
    from variorum.store import pins

    root = find_project()
    if drop and (name is None or results):
        raise VariorumError("--drop takes a name alone: variorum pin --drop NAME")
    if drop:
        pins.drop(root, str(name))
    elif name is not None:
        pins.pin(root, name, References(root).to_pin(results or []))
    for line in pins.lines(root):
        print(line)


@app.command()
def compare(
    code: Annotated[
        str, typer.Argument(help="A branch, a tag, a commit, or a patch of the present code.")
    ],
    experiment: Annotated[
        str | None, typer.Option(help="The experiment; by default the current one.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=2, help="Number of seeds, from 1 on; by default 5.")
    ] = None,
    last_stage: Annotated[
        str | None,
        typer.Option(help="The training whose model is judged; by default the first."),
    ] = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="Cores for Snakemake; by default all.")
    ] = None,
) -> None:
    """Run an experiment with the present code and with other code, and compare."""
    from variorum.plan import code_comparison

    root = find_project()
    found, was_there = code_comparison.comparison(root, code, experiment, seeds, last_stage)
    state = "exists and is used unchanged" if was_there else "is new: edit it as you like"
    print(f"{found.file} {state}", flush=True)
    if status := _snakemake(root, "--cores", str(cores or "all"), found.table):
        raise typer.Exit(status)
    for sentence in code_comparison.findings(root, found):
        print(sentence)
    print(found.table)


def _snakemake(root: Path, *arguments: str) -> int:
    """Run Snakemake to its end, passing SIGTERM on; Ctrl-C reaches it by itself."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    with subprocess.Popen(command, cwd=root) as process:
        signal.signal(signal.SIGINT, lambda number, frame: None)
        signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
        return process.wait()
