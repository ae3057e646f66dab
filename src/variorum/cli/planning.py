"""Define commands that show what is planned: settings, keys, work, schemas, locks."""

from pathlib import Path
from typing import Annotated

import typer

from variorum.base import machine
from variorum.base.counts import counted
from variorum.base.errors import VariorumError
from variorum.base.project import find_project
from variorum.cli.app import REFERENCE, Changes, Device, app


@app.command()
def config(
    changes: Annotated[
        list[str] | None,
        typer.Argument(help="Settings as for --config: experiment=tiny 'model={n_layer: 2}'."),
    ] = None,
) -> None:
    """Print the effective settings, where each was written, and the resulting keys."""
    from variorum.config.yaml_text import in_yaml, read_typed
    from variorum.plan.experiment import plan_experiment
    from variorum.plan.loading import load_experiment, provenance
    from variorum.store.store import Store

    root = find_project()
    loaded = load_experiment(root, read_typed(changes or []))
    width = max(len(name) for name, _, _ in provenance(loaded))
    print(f"experiment {loaded.name}")
    for name, value, origin in provenance(loaded):
        print(f"  {name:<{width}} = {in_yaml(value):<24} # {origin}")
    store = Store(root)
    print("results")
    for node in plan_experiment(loaded, root, offline=True):
        state = "complete" if store.exists(node.ref) else "missing"
        print(f"  {node.ref!s:<24} {state:<9} {node.label}")


@app.command()
def plan(
    target: Annotated[
        str | None,
        typer.Argument(help=f"A target such as reports/positions/table.md, or {REFERENCE}"),
    ] = None,
    config: Changes = None,
    cores: Annotated[
        int | None, typer.Option("--cores", "-c", min=1, help="As for Snakemake; by default all.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", "-v", help="List each missing result.")
    ] = False,
    device: Device = "cpu",
) -> None:
    """Estimate what a run would make, its time here, and its disk space."""
    machine.use_one_thread()
    from variorum.config.yaml_text import read_typed
    from variorum.run.workload import lines, workload

    changes = read_typed(config or [])
    found = workload(find_project(), target, changes, cores=cores, device=device)
    for line in lines(found, listed=everything):
        print(line)


@app.command()
def lock(
    experiments: Annotated[
        list[str] | None, typer.Argument(help="Only sources of these experiments; by default all.")
    ] = None,
    locked: Annotated[
        bool, typer.Option("--locked", help="Only check that every source has an entry.")
    ] = False,
    accept: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Accept this source's present content, or this ablation's present speed.",
        ),
    ] = None,
) -> None:
    """Record the content of sources without a checksum, and step times.

    The entries stand in config/sources.lock and config/step_times.lock.
    """
    from variorum.plan import source_lock, step_times
    from variorum.plan.ablation_loading import ablation_names

    root = find_project()
    if locked and accept is not None:
        raise VariorumError("--locked changes nothing, but --accept does; give only one")
    if accept in ablation_names(root):
        _accept_step_times(root, str(accept))
    elif accept is not None:
        _accept_source(root, accept)
    else:
        names = experiments or []
        if not names:
            new = [] if locked else step_times.resolve(root)
            if count := step_times.check(root):
                print(f"{counted(count, 'step time')} locked, {len(new)} of them new")
        added = [] if locked else source_lock.resolve(root, names)
        print(
            f"{counted(source_lock.check(root, names), 'source')} locked, {len(added)} of them new"
        )


def _accept_source(root: Path, name: str) -> None:
    from variorum.plan import source_lock

    old, new = source_lock.accept(name, root)
    print(f"{name}\n  was {old}\n  is  {new}")
    if old == new:
        print(f"{source_lock.LOCK} is unchanged")
    else:
        print(
            f"{source_lock.LOCK} changed: commit it. Keys of all results from this source change; "
            "old results stay, and the old entry leads to them"
        )


def _accept_step_times(root: Path, name: str) -> None:
    from variorum.plan import step_times

    for variant, (old, new) in step_times.accept(root, name).items():
        print(f"{variant}\n  was {old} s a step\n  is  {new} s a step")
    print(
        f"{step_times.LOCK} changed: commit it. Runs with changed entries get other steps and keys"
    )


@app.command()
def digest(
    package: Annotated[str, typer.Argument(help="An installed package.")],
) -> None:
    """Print a package's version and the SHA-256 that a `python-package` source pins."""
    from importlib.metadata import PackageNotFoundError, version

    from variorum.corpus.sources import python_package

    found = python_package.digest(package)
    try:
        print(f"version: {version(package)}\nsha256: {found}")
    except PackageNotFoundError:
        raise VariorumError(
            f"{package}: no installed distribution has that name, so there is no version to pin; "
            "choose another package"
        ) from None


@app.command()
def schema() -> None:
    """Write the schemas that editors use to complete and check the configuration."""
    from variorum.config import schema as schemas
    from variorum.plan.experiment_settings import CONFIGURATIONS

    for path in schemas.write(find_project(), CONFIGURATIONS):
        print(path)
