"""Define the commands that Snakemake calls: make, publish and track results."""

import time
from pathlib import Path
from typing import Annotated

import typer

from variorum.base import machine
from variorum.base.errors import VariorumError
from variorum.base.project import find_project
from variorum.cli.app import Device, app
from variorum.cli.signals import leave_at_once_on_signals


@app.command()
def run(
    result: Annotated[str, typer.Argument(help="`stage/key`, as Snakemake planned it.")],
    processes: Annotated[int, typer.Option(min=1, help="Processes of a training.")] = 1,
    checkpoint_seconds: Annotated[
        float,
        typer.Option(
            min=0.0,
            envvar="VARIORUM_CHECKPOINT_SECONDS",
            help="Seconds between saved states of a training, from which it can continue.",
        ),
    ] = 20.0,
    device: Device = "cpu",
    log: Annotated[
        Path | None, typer.Option(help="File that also gets the progress lines.")
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(envvar="VARIORUM_PLAN", help="Snakemake's plan file, which names it."),
    ] = None,
) -> None:
    """Make one planned result. Snakemake calls this; after a kill it continues."""
    leave_at_once_on_signals(log)
    began = time.monotonic()
    machine.use_one_thread()
    from variorum.base.machine import Machine
    from variorum.identity.spec import Ref
    from variorum.run import runner
    from variorum.store.store import Store

    here = Machine(processes, checkpoint_seconds, device=device, began=began)
    store, ref = Store(find_project()), Ref.parse(result)
    if plan is not None:
        runner.take(store, ref, plan)
    runner.exec_version(store, ref)
    runner.run(store, ref, here, log)


@app.command()
def publish(
    result: Annotated[str, typer.Argument(help="A table or a report, such as `table/key`.")],
    folder: Annotated[Path, typer.Argument(help="Target: a folder below reports/.")],
) -> None:
    """Copy a report's or table's files, with manifest, to where they are committed."""
    from variorum.plan.references import References
    from variorum.run import publish
    from variorum.stages.registry import BUNDLING
    from variorum.store.store import Store

    root = find_project()
    ref = References(root).named(result).one()
    if ref.stage not in BUNDLING:
        raise VariorumError(f"{ref}: only {' and '.join(BUNDLING)} can be published")
    publish.publish(Store(root), ref, publish.publication_folder(root, folder))


@app.command()
def track() -> None:
    """Add finished results to DVC, all at once. Snakemake calls this after each run."""
    from variorum.stages.registry import TRACKED
    from variorum.store import tracking

    tracking.track(find_project(), TRACKED)
