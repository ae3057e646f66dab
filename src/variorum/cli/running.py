"""Define the commands that make, publish, track and share results."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from variorum.base import machine
from variorum.base.errors import VariorumError
from variorum.base.project import find_project
from variorum.cli.app import REFERENCE, Device, app, print_lines
from variorum.cli.signals import leave_at_once_on_signals

EXPERIMENT = "DVC_EXP_BASELINE_REV"
"""The environment variable that DVC sets where it runs an experiment, which is a commit."""


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
    replace: Annotated[
        bool, typer.Option("--replace", help="Also replace what git holds of the same key.")
    ] = False,
) -> None:
    """Copy a report's or table's files, with manifest, to where they are committed."""
    from variorum.plan.references import References
    from variorum.report.phrases import listed
    from variorum.run import publish
    from variorum.stages.registry import BUNDLING
    from variorum.store.store import Store

    root = find_project()
    ref = References(root).named(result).one()
    if ref.stage not in BUNDLING:
        raise VariorumError(f"{ref}: only {listed(BUNDLING)} can be published")
    target = publish.publication_folder(root, folder)
    if not publish.publish(Store(root), ref, target, replace=replace):
        print(
            f"{folder}: git holds other bytes of {ref}; they stay. `variorum verify {ref}` says "
            f"whose they are, `variorum publish {ref} {folder} --replace` replaces them"
        )


@app.command()
def track() -> None:
    """Store finished results in DVC's cache. Snakemake calls this after each run."""
    from variorum.stages.registry import TRACKED
    from variorum.store import tracking
    from variorum.store.dvc_files import relative_remote

    root = find_project()
    tracking.track(root, TRACKED)
    if EXPERIMENT in os.environ and tracking.is_repository(root):
        try:  # the pins belong to the experiment's commit, or its models stay behind
            print(*share_lines(root, [], everything=False, replace=False), sep="\n")
            name, url = relative_remote(root)
            if url:
                print(
                    f"`dvc exp push` looks for {url} at the root of the disk, and not here; give "
                    f'it an absolute path: `dvc remote modify --local {name} url "$PWD/{url}"`'
                )
        except VariorumError as error:
            print(f"variorum: the experiment holds no results: {error}", file=sys.stderr)


@app.command()
def share(
    results: Annotated[
        list[str] | None,
        typer.Argument(help=f"Results, shared with all inputs: {REFERENCE}"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Share all results here.")] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Also replace what git holds of them with the bytes here."),
    ] = False,
) -> None:
    """Pin results for git: write and stage their .dvc files, to be committed and pushed."""
    root = find_project()
    print_lines(share_lines(root, results or [], everything=everything, replace=replace))


def share_lines(
    root: Path, references: list[str], *, everything: bool, replace: bool
) -> Iterator[str]:
    """Share results; yield what was shared, and what was not and why."""
    from variorum.audit.verify import selection, shared_bytes
    from variorum.base.progress import Progress
    from variorum.stages.registry import TRACKED
    from variorum.store.sharing import share

    chosen = selection.select(root, references, everything=everything)
    refs = selection.with_upstream(chosen.store, chosen.refs)
    found = share(chosen.store, refs, TRACKED, replace=replace)
    yield from shared_bytes.lines(chosen.store, found, Progress("share"))
