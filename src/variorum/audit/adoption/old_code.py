"""The tiny experiment by the old code and by the new: every file of it must be the same.

The old code's results are taken from the store if they are there. Else the code is looked for in
git, newest commit first, and known by its fingerprints; it then runs from a folder of its own, as
the new code does.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from variorum.audit.adoption import whole
from variorum.audit.checks.compare import compare
from variorum.config.canonical import chosen_components, restored
from variorum.corpus.source import LocalSource
from variorum.errors import VariorumError
from variorum.experiments import named_experiment
from variorum.fingerprint import fingerprint
from variorum.other_code.git import git, put_into, running
from variorum.plan import SIDES, Node, plan_experiment
from variorum.progress import Progress
from variorum.sources import LOCK
from variorum.stages.stage_settings import STAGES
from variorum.store import Ref, Result, Spec, Store

EXPERIMENT = "tiny"

Components = tuple[tuple[str, str], ...]
Codes = Mapping[tuple[str, Components], str]
"""Fingerprint of each stage's code, by the stage and the components that it was given."""

Find = Callable[[Ref], Result | None]
"""Gives the result of that name, wherever it is at hand."""


@dataclass(frozen=True)
class Compared:
    """The tiny experiment, made by both codes and found equal: how much, and a hash over all."""

    results: int
    files: int
    sha256: str


def components_of(spec: Spec) -> Components | None:
    """The components that the settings of a spec choose; None if no such stage is known now."""
    try:
        return tuple(chosen_components(restored(STAGES[spec.stage], dict(spec.settings))))
    except (KeyError, ValueError):
        return None


@dataclass(frozen=True)
class OldCode:
    """What is known of the old code.

    edited: the fingerprints that it is known by. others: those of stages that may be of another
    version. find: gives results that are at hand.
    """

    edited: Codes
    others: Codes
    find: Find

    def compared(self, store: Store, folder: Path, progress: Progress, package: Path) -> Compared:
        """Have the tiny experiment made by the code in `package` and by the old code.

        It works in `folder`. Raises `VariorumError` that names what differs, or why the old code
        could not be had.
        """
        loaded = named_experiment(store.root, EXPERIMENT)
        plan = plan_experiment(loaded, store.root, offline=True, package=package)
        nodes = [node for node in plan if node.ref.stage not in whole.PAGES]
        old = self._made_before(nodes)
        runs = {"new": package.parent}
        if old is None:
            runs["old"] = _in_git(self.edited, folder / "code", progress, package)
        else:
            progress.say(f"the {EXPERIMENT} experiment by the old code is at hand")
        made = _made(store.root, runs, folder, progress)
        return _held_together(old or made["old"], made["new"])

    def _made_before(self, nodes: list[Node]) -> dict[str, Result] | None:
        """What the old code made of these nodes, by name; None unless all of it is here."""
        codes = {**self.others, **self.edited}
        refs: dict[Ref, Ref] = {}
        found = {}
        for node in nodes:
            code = codes.get((node.ref.stage, components_of(node.spec) or ()))
            if code is None:
                return None
            upstream = {name: refs[needed.ref] for name, needed in node.upstream.items()}
            refs[node.ref] = replace(node.spec, upstream=upstream, code=code).ref
            result = self.find(refs[node.ref])
            if result is None:
                return None
            found[f"{node.ref.stage} {node.label}"] = result
        return found


# The old code, out of git


def _in_git(codes: Codes, folder: Path, progress: Progress, package: Path) -> Path:
    """The folder that holds `package` as it was when these were its fingerprints."""
    remedy = (
        'commit the code before you edit it, or adopt on your word: `variorum adopt --because "…"`'
    )
    try:
        top = Path(git(package, "rev-parse", "--show-toplevel").strip())
        below = git(package, "rev-parse", "--show-prefix").strip()
        commits = git(package, "rev-list", "HEAD", "--all", "--", ".").split()
    except VariorumError:
        raise VariorumError(f"the old code is not at hand, as no git keeps it: {remedy}") from None
    with progress.counting(len(commits), "commits looked through for the old code"):
        for commit in commits:
            old = folder / commit / package.name
            with suppress(VariorumError):  # a commit that removed the package holds no such tree
                put_into(top, f"{commit}:{below}", old)
            if _is_of(old, codes):
                progress.say(f"the old code is that of commit {commit[:12]}")
                return old.parent
            shutil.rmtree(old.parent)
            progress.step()
    raise VariorumError(
        f"none of the {len(commits)} commits of the code has what made the old results, so the "
        f"{EXPERIMENT} experiment cannot be compared: {remedy}"
    )


def _is_of(package: Path, codes: Codes) -> bool:
    """Whether the package has all of these fingerprints."""
    try:
        return all(
            fingerprint(f"variorum.stages.{stage}:run", parts, package).digest == code
            for (stage, parts), code in codes.items()
        )
    except (SyntaxError, ValueError):
        return False


# Both runs


def _made(
    root: Path, runs: Mapping[str, Path], folder: Path, progress: Progress
) -> dict[str, dict[str, Result]]:
    """The experiment as the code in each of these folders makes it, side by side."""
    processes: dict[str, subprocess.Popen[str]] = {}
    with ThreadPoolExecutor(len(runs)) as pool:
        try:
            for code, source in runs.items():
                processes[code] = _started(_project(root, folder / code), source, code)
            waiting = {
                code: pool.submit(_finished, process, code, progress)
                for code, process in processes.items()
            }
            made = {code: json.loads(run.result()) for code, run in waiting.items()}
        finally:
            for process in processes.values():
                process.kill()
    return {
        code: {name: Store(folder / code).open(Ref.parse(ref)) for name, ref in refs.items()}
        for code, refs in made.items()
    }


def _project(root: Path, folder: Path) -> Path:
    """A project that holds nothing but the experiment and what it reads."""
    written = f"config/experiments/{EXPERIMENT}.yaml"
    for name in (written, LOCK):
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, folder / name)
    (folder / "config/config.yaml").write_text(f"experiment: {EXPERIMENT}\n", encoding="utf-8")
    for name in _texts(root):
        if not (folder / name).exists():
            (folder / name).symlink_to(root / name)
    return folder


def _texts(root: Path) -> Iterator[str]:
    """Where below `root` the experiment's own text files lie."""
    corpora = named_experiment(root, EXPERIMENT).settings.corpus
    for side in SIDES:
        corpus = getattr(corpora, side)
        if corpus is not None and isinstance(corpus.source, LocalSource):
            path = Path(corpus.source.path)
            if not path.is_absolute():
                yield path.parts[0]


def _started(project: Path, source: Path, code: str) -> "subprocess.Popen[str]":
    """Begin to run the experiment by the package below `source`."""
    return subprocess.Popen(
        [sys.executable, str(Path(whole.__file__)), str(project), EXPERIMENT, code],
        cwd=project,
        env=running(source),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )


def _finished(process: "subprocess.Popen[str]", code: str, progress: Progress) -> str:
    """Wait for the end of a run and pass on its lines of progress; gives what it printed."""
    last = "it said nothing"
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stderr:
            if line.strip():
                last = line.strip()
                progress.say(last)
        printed = process.stdout.read()
    if process.returncode:
        raise VariorumError(
            f"the {EXPERIMENT} experiment cannot be run by the {code} code, so nothing was "
            f"adopted: {last}"
        )
    return printed


def _held_together(old: Mapping[str, Result], new: Mapping[str, Result]) -> Compared:
    if old.keys() != new.keys():
        raise VariorumError(
            f"the {EXPERIMENT} experiment has other parts by the new code: "
            f"{', '.join(sorted(old.keys() ^ new.keys()))}"
        )
    total, digest = 0, hashlib.sha256()
    for name in new:
        if old[name].spec.settings != new[name].spec.settings:
            raise VariorumError(
                f"the {EXPERIMENT} experiment has other settings by the new code, in {name}"
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
    return Compared(len(new), total, digest.hexdigest())
