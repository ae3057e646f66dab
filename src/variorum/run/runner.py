"""Run one stage: lock, open the inputs, call the stage's function, publish.

A stage that was killed is run again by the same call and resumes from its state in scratch.
"""

import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from variorum.base import machine
from variorum.base.atomic import write_atomically
from variorum.base.components import PACKAGE
from variorum.base.errors import (
    Stopped,
    VariorumError,
    clear_about_libraries,
    clear_about_memory,
    clear_about_storage,
)
from variorum.base.git import running
from variorum.base.machine import Machine
from variorum.base.progress import Progress
from variorum.identity.fingerprint import Fingerprint
from variorum.identity.spec import Ref, Spec
from variorum.plan import source_lock
from variorum.plan.current_code import current_code, import_reached
from variorum.plan.plan_file import Job, PlanFile
from variorum.stages.registry import BUNDLED, BUNDLING, STAGES, function_of
from variorum.stages.task import Task
from variorum.store.restoring import bundle
from variorum.store.result import Result, StoreError, readable_json
from variorum.store.store import Store

SPEC = "spec.json"
NO_NOTES: Mapping[str, Any] = MappingProxyType({})


def take(store: Store, ref: Ref, plan: Path) -> None:
    """Copy the job of `ref` from a plan file into scratch, unless the result exists.

    Raises `VariorumError` if it is not planned there.
    """
    if not store.exists(ref):
        _leave(store, PlanFile(store.root, store.root / plan).job(ref))


def submit(
    store: Store,
    spec: Spec,
    label: str,
    package: Path | None = None,
    notes: Mapping[str, Any] = NO_NOTES,
) -> None:
    """Write a job into scratch, for the process that runs it."""
    _leave(store, Job(spec, label, package, notes))


def _leave(store: Store, job: Job) -> None:
    path = store.scratch(job.spec.ref) / SPEC
    content = readable_json(job.as_data(store.root)).encode()
    with clear_about_storage():
        if not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content)


def submitted(store: Store, ref: Ref) -> Job:
    """Return what was left for `ref`; raises `StoreError` if there is nothing."""
    path = store.scratch(ref) / SPEC
    damaged = StoreError(
        f"{path.relative_to(store.root)} is cut off or not a plan; run the same `snakemake` "
        "command again, which writes it anew"
    )
    try:
        job = Job.from_data(store.root, json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise StoreError(
            f"nothing is planned under {ref}; `variorum config` shows the current keys, and "
            "`snakemake` plans and runs them"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise damaged from None
    if job.spec.ref != ref:
        raise damaged
    return job


def exec_version(store: Store, ref: Ref) -> None:
    """Run this command by another package if `ref` was planned with it.

    The same command then runs by that package: with its options, and for whoever waits for it or
    sends it a signal, it is the same process. Raises `VariorumError` if that package is gone.
    """
    if store.exists(ref) or not (store.scratch(ref) / SPEC).is_file():
        return
    package = submitted(store, ref).package
    if package is None or package.resolve() == PACKAGE.resolve():
        return
    if not package.is_dir():
        raise VariorumError(
            f"{ref} was planned with the code in {package.relative_to(store.root)}, which is gone; "
            "run the same `snakemake` command again, which puts it there"
        )
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], running(package.parent))


def run(store: Store, ref: Ref, here: Machine, log: Path | None = None) -> Result:
    """Make the result `ref`, whose spec was handed over, unless it exists.

    Raises `VariorumError` for whatever a user can fix, and `Stopped` if interrupted.
    """
    if store.exists(ref):
        return store.open(ref)
    with clear_about_storage(), store.locked(ref) if store.repairable(ref) else nullcontext():
        if store.repair(ref):
            return store.open(ref)
    handed = submitted(store, ref)
    with clear_about_storage():
        progress = Progress(f"{ref.stage} {handed.label}", log)
    waiting = "waits for the process that is making it"
    try:
        with (
            clear_about_libraries(),
            clear_about_memory(),
            clear_about_storage(),
            store.locked(ref, lambda: progress.say(waiting)),
        ):
            if store.repair(ref):
                progress.say("was made meanwhile")
                return store.open(ref)
            return _make(store, handed, here, progress)
    except Stopped as stop:
        progress.say(str(stop))
        raise
    except VariorumError as error:
        progress.say(f"stopped: {error}")
        raise
    except Exception as error:
        progress.say(f"stopped by a fault of the program: {type(error).__name__}: {error}")
        raise
    finally:
        progress.close()


def _make(store: Store, handed: Job, here: Machine, progress: Progress) -> Result:
    spec = handed.spec
    code = _planned_code(spec)
    inputs = {name: store.open(upstream) for name, upstream in spec.upstream.items()}
    scratch = store.scratch(spec.ref)
    output = scratch / "output"
    shutil.rmtree(output, ignore_errors=True)
    for pattern in ("*.safetensors.*.new", ".tmp*"):  # half written by one that was killed
        for file in scratch.glob(pattern):
            file.unlink()
    output.mkdir(parents=True)
    _refuse_two_disks(store, output)
    _remove_if_empty(store.folder(spec.ref))  # Snakemake made it; until it is full it is absent
    facts = compute(store, Task(spec, inputs, store.root, output, scratch, here, progress))
    run = {"label": handed.label, **handed.notes, **facts}
    varying: Mapping[str, Any] = {"run.json": run, "code.json": code.sources}
    result = store.publish(spec, output, inputs, varying)
    progress.say(f"done in {facts['seconds']} s: results/{spec.ref}")
    return result


def compute(store: Store, task: Task) -> dict[str, Any]:
    """Run a task's stage, whose output is then all that its manifest will list.

    Gives the facts for `run.json`.
    """
    begun, clock = datetime.now(UTC), time.monotonic()
    began = task.machine.began
    with source_lock.remedies(store.root, task.spec):
        import_module(function_of(task.spec.stage).partition(":")[0]).run(task)
    _refuse_lacking_products(task)
    if task.spec.stage in BUNDLING:
        inputs = dict.fromkeys(result.ref for result in task.inputs.values())
        bundle(store, [ref for ref in inputs if ref.stage in BUNDLED], task.output)
    return {
        "begun": begun.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - clock, 2),
        **({} if began is None else {"start_seconds": round(clock - began, 2)}),
        "processes": task.machine.processes,
        **machine.description(),
        **task.run,
    }


def _refuse_lacking_products(task: Task) -> None:
    """Raise `VariorumError` if a stage did not write what it declares."""
    declared = STAGES[task.spec.stage].products
    if lacking := [name for name in declared if not (task.output / name).is_file()]:
        raise VariorumError(
            f"{task.spec.ref}: its stage wrote no {' and no '.join(lacking)}, which "
            f"src/variorum/stages/{task.spec.stage}.py declares among its `products`"
        )


def _planned_code(spec: Spec) -> Fingerprint:
    """Return the fingerprint of the present code, which must still be the planned one.

    What runs is imported first, so that an edit after the comparison has no effect.
    """
    if found := current_code(spec):
        import_reached(found)
    code = current_code(spec) or Fingerprint("", {})
    again = "run the same command again: it plans with what is here now"
    if code.digest != spec.code:
        raise VariorumError(
            f"the code of {spec.stage} was edited after {spec.ref} was planned; {again}"
        )
    if spec.libraries and machine.versions(code.libraries) != spec.libraries:
        raise VariorumError(
            f"the libraries of {spec.stage} changed after {spec.ref} was planned; {again}"
        )
    return code


def _refuse_two_disks(store: Store, output: Path) -> None:
    """Raise `VariorumError` if scratch and results lie on different disks.

    Publishing renames a folder, which no file system does across disks.
    """
    results = store.root / "results"
    results.mkdir(exist_ok=True)
    if results.stat().st_dev != output.stat().st_dev:
        raise VariorumError(
            f"{results} and {store.root / 'scratch'} lie on different disks, so a finished result "
            "could not be moved into place; put both on one, with the whole project"
        )


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            raise
