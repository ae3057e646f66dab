"""Compare the tiny experiment made by the old code and by the new.

The old results come from the store if they are there. Else the old code is found in git by its
fingerprints, newest commit first, and run from a folder of its own, as the new code is.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from variorum.audit.adopt import whole_experiment
from variorum.audit.scratch import project_beside
from variorum.audit.verify.file_diff import compare
from variorum.base.counts import counted
from variorum.base.errors import VariorumError
from variorum.base.git import git, put_into, running
from variorum.base.progress import Progress
from variorum.identity.fingerprint import fingerprint
from variorum.identity.spec import Ref
from variorum.plan.current_code import components_of
from variorum.plan.experiment import Components, Node, plan_experiment
from variorum.plan.loading import named_experiment
from variorum.stages.registry import BUNDLING, function_of
from variorum.store.result import Result
from variorum.store.store import Store

EXPERIMENT = "tiny"

Codes = Mapping[tuple[str, Components], str]
"""Fingerprint of each stage's code, by the stage and the components that it was given."""

Find = Callable[[Ref], Result | None]
"""Returns the result of that name, if it is available."""


def compare_tiny(
    store: Store,
    edited: Iterable[Result],
    others: Iterable[Result],
    find: Find,
    folder: Path,
    progress: Progress,
    package: Path,
) -> str:
    """Make the tiny experiment by the old code and by `package`, and compare.

    `edited` are results of the old code, `others` may be of other versions; `find` returns
    available results. Returns the evidence in a line. Raises `VariorumError` that names what
    differs, or why the old code is unavailable.
    """
    codes = _codes(edited, find)
    known = {each: code for old in others for each, code in _codes([old], find).items()} | codes
    loaded = named_experiment(store.root, EXPERIMENT)
    plan = plan_experiment(loaded, store.root, offline=True, package=package)
    old = _made_before([node for node in plan if node.ref.stage not in BUNDLING], known, find)
    packages = {"new": package}
    if old is None:
        packages["old"] = _in_git(codes, folder / "code", progress, package)
    else:
        progress.say(f"the {EXPERIMENT} experiment by the old code is available")
    made = _made(store.root, packages, folder)
    return _compared(old or made["old"], made["new"])


def _codes(olds: Iterable[Result], find: Find) -> dict[tuple[str, Components], str]:
    """Return the code that made these results and all their inputs."""
    found: dict[tuple[str, Components], str] = {}
    waiting, seen = [old.spec for old in olds], set()
    while waiting:
        spec = waiting.pop(0)
        if spec.ref in seen:
            continue
        seen.add(spec.ref)
        parts = components_of(spec)
        if parts is not None and found.setdefault((spec.stage, parts), spec.code) != spec.code:
            raise VariorumError(
                f"the old results of {spec.stage} were made by different versions of the code "
                "(adopt them one stage at a time: variorum adopt --prove STAGE)"
            )
        waiting += [old.spec for old in map(find, spec.upstream.values()) if old is not None]
    return found


def _made_before(nodes: Iterable[Node], codes: Codes, find: Find) -> dict[str, Result] | None:
    """Return the old code's results for these nodes; None unless all are here."""
    refs: dict[Ref, Ref] = {}
    found = {}
    for node in nodes:
        code = codes.get((node.ref.stage, components_of(node.spec) or ()))
        if code is None:
            return None
        upstream = {name: refs[needed.ref] for name, needed in node.upstream.items()}
        refs[node.ref] = replace(node.spec, upstream=upstream, code=code).ref
        result = find(refs[node.ref])
        if result is None:
            return None
        found[f"{node.ref.stage} {node.label}"] = result
    return found


def _in_git(codes: Codes, folder: Path, progress: Progress, package: Path) -> Path:
    """Return a copy of `package` from the commit with these fingerprints."""
    remedy = (
        'commit the code before you edit it, or adopt on your word: `variorum adopt --because "…"`'
    )
    try:
        top = Path(git(package, "rev-parse", "--show-toplevel").strip())
        below = git(package, "rev-parse", "--show-prefix").strip()
        commits = git(package, "rev-list", "HEAD", "--all", "--", ".").split()
    except VariorumError:
        raise VariorumError(f"the old code is unavailable, as git lacks it: {remedy}") from None
    with progress.counting(len(commits), "commits searched for the old code"):
        for commit in commits:
            old = folder / commit / package.name
            with suppress(VariorumError):  # a commit that removed the package holds no such tree
                put_into(top, f"{commit}:{below}", old)
            if _is_of(old, codes):
                progress.say(f"the old code is in commit {commit[:12]}")
                return old
            shutil.rmtree(old.parent)
            progress.step()
    raise VariorumError(
        f"no commit made the old results ({len(commits)} of the code were tried), so the "
        f"{EXPERIMENT} experiment cannot be compared: {remedy}"
    )


def _is_of(package: Path, codes: Codes) -> bool:
    """Check whether the package has all of these fingerprints."""
    try:
        return all(
            fingerprint(function_of(stage), parts, package).digest == code
            for (stage, parts), code in codes.items()
        )
    except (SyntaxError, ValueError):
        return False


def _made(root: Path, packages: Mapping[str, Path], folder: Path) -> dict[str, dict[str, Result]]:
    """Make the experiment by each of these packages, side by side."""
    made = {}
    with ExitStack() as stack:
        processes: dict[str, subprocess.Popen[str]] = {}
        try:
            for code, package in packages.items():
                project = project_beside(root, folder / code).root
                script = str(Path(whole_experiment.__file__))
                process = subprocess.Popen(
                    [sys.executable, script, str(project), EXPERIMENT, code],
                    cwd=project,
                    env=running(package.parent),
                    stdout=subprocess.PIPE,
                    encoding="utf-8",
                )
                processes[code] = stack.enter_context(process)
            for code, process in processes.items():
                printed, _ = process.communicate()
                if process.returncode:
                    raise VariorumError(
                        f"the {EXPERIMENT} experiment cannot be run by the {code} code, so nothing "
                        f"was adopted: {printed.strip() or 'the reason is above'}"
                    )
                refs = {name: Ref.parse(ref) for name, ref in json.loads(printed).items()}
                store = Store(folder / code)
                made[code] = {name: store.open(ref) for name, ref in refs.items()}
        finally:
            for process in processes.values():
                process.kill()
    return made


def _compared(old: Mapping[str, Result], new: Mapping[str, Result]) -> str:
    """Return evidence that both made the same; raises `VariorumError` otherwise."""
    if old.keys() != new.keys():
        raise VariorumError(
            f"the {EXPERIMENT} experiment has other results with the new code: "
            f"{', '.join(sorted(old.keys() ^ new.keys()))}"
        )
    total, digest = 0, hashlib.sha256()
    for name in new:
        if old[name].spec.settings != new[name].spec.settings:
            raise VariorumError(
                f"the {EXPERIMENT} experiment has other settings with the new code, in {name}"
            )
        found = compare(old[name].folder, new[name].folder)
        if not found.is_identical:
            raise VariorumError(
                f"the {EXPERIMENT} experiment differs between the old code and the new, first in "
                f"{name}: {found.in_short()}"
            )
        total += found.identical
        for file, entry in sorted(new[name].manifest["files"].items()):
            digest.update(f"{name}/{file} {entry['sha256']}\n".encode())
    return (
        f"the {EXPERIMENT} experiment by the old code and by this one: "
        f"{counted(len(new), 'result')} with {counted(total, 'file')} are the same, byte for byte "
        f"(sha256 over all: {digest.hexdigest()})"
    )
