"""Other states of the package, that a variant of an ablation may run: `code: main`.

The package as a commit of the project's git has it, or the present one with a patch applied, lies
in `scratch/code/<digest>/src/variorum`. It is put there once, whenever a plan needs it, and stages
run from there under keys of their own, as they would with that code checked out.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from variorum.base.components import PACKAGE
from variorum.base.errors import VariorumError, clear_about_storage
from variorum.base.git import GitError, git, put_into, running
from variorum.config.setting_errors import did_you_mean
from variorum.identity.spec import Spec

FOLDER = "scratch/code"
"""Here each of them has a folder, and what lies there can be had again."""

INSIDE = "src/variorum"
"""The package, in such a folder and in git."""

CONTENT = "content"
"""Beside the package in such a folder: a hash of all its files, as they were put there."""

PATCHES = (".patch", ".diff")
"""How the names of patch files end."""

RELATIVE = re.compile(r"(HEAD|@)(?![\w/-])")
"""Names of commits that begin at what is checked out."""

FITTING = Path(__file__).with_name("fitting.py")
"""What asks such a package, run by it."""

SHOWN = 12
"""How many digits of a commit are shown."""


@dataclass(frozen=True)
class CodeVersion:
    """Another state of the package.

    package: the folder of its source. name: what it is called in a sentence, such as `main, commit
    0123456789ab`. where: the setting that asks for it, and where that was written.
    """

    package: Path
    name: str
    where: str = ""


def tree(root: Path, text: str, package: Path = PACKAGE, where: str = "") -> CodeVersion:
    """The package as `text` names it, which is put in its place if it is not there as it was put.

    `text` is a branch, a tag or a commit, or the path of a patch for `package`. Raises
    `VariorumError`.
    """
    state = _state(root, text, package)
    folder = root / FOLDER / state.digest
    with clear_about_storage():
        if not _is_whole(folder):
            _put(folder, state.write)
    return CodeVersion(folder / INSIDE, state.name, where)


def digest(root: Path, text: str, package: Path = PACKAGE) -> str:
    """The name of its folder, which is another one for other source. Raises `VariorumError`."""
    return _state(root, text, package).digest


def commit(root: Path, text: str) -> str:
    """The commit that `text` names, in few digits. Raises `VariorumError`."""
    return _commit(_top(root, text), text)[:SHOWN]


@dataclass(frozen=True)
class _State:
    """A state of the package: its digest, its name, and how it is written into a new folder."""

    digest: str
    name: str
    write: Callable[[Path], None]


def _state(root: Path, text: str, package: Path) -> _State:
    if not text.isprintable():
        raise VariorumError(
            f"{text!r} has characters that no name has; name a branch, a tag, a commit, or a "
            f"patch file ({' or '.join(PATCHES)})"
        )
    return _patched(root, text, package) if text.endswith(PATCHES) else _committed(root, text)


def _is_whole(folder: Path) -> bool:
    """Whether the package there is what was put there."""
    noted = folder / CONTENT
    return noted.is_file() and noted.read_text(encoding="utf-8") == _content(folder / INSIDE)


def _put(folder: Path, write: Callable[[Path], None]) -> None:
    """Make a folder with what `write` writes, as a whole; another process may be faster.

    What lies there, which somebody edited, goes.
    """
    new, old = (
        folder.with_name(f"{folder.name}.{os.getpid()}.{state}") for state in ("new", "old")
    )
    for each in (new, old):
        shutil.rmtree(each, ignore_errors=True)  # of one that was killed
    try:
        write(new / INSIDE)
        (new / CONTENT).write_text(_content(new / INSIDE), encoding="utf-8")
        if folder.is_dir() and not _is_whole(folder):
            with suppress(FileNotFoundError):
                folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        for each in (new, old):
            shutil.rmtree(each, ignore_errors=True)


# Of a commit


def _committed(root: Path, text: str) -> _State:
    top = _top(root, text)
    found = _commit(top, text)
    try:
        held = git(top, "rev-parse", "--verify", "--quiet", f"{found}:{INSIDE}").strip()
    except GitError:
        raise VariorumError(
            f"commit {found[:SHOWN]} has no {INSIDE}; name one that has the package"
        ) from None
    name = f"commit {found[:SHOWN]}"
    called = name if found.startswith(text) else f"{text}, {name}"
    return _State(held, called, lambda target: put_into(top, held, target))


def _top(root: Path, text: str) -> Path:
    """The repository that the project is."""
    try:
        return Path(git(root, "rev-parse", "--show-toplevel").strip())
    except GitError as error:
        raise VariorumError(
            f"'{text}' would be a commit, and there is no git repository here ({error.said}); "
            "name a patch file, or commit the project to git"
        ) from None


def _commit(top: Path, text: str) -> str:
    try:
        asked = f"{text}^{{commit}}"
        return git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", asked).strip()
    except GitError:
        names = git(top, "for-each-ref", "--format=%(refname:short)").split()
        raise VariorumError(
            f"git has no commit '{text}';{did_you_mean(text, names)} name a branch, a tag, a "
            f"commit, or a patch file ({' or '.join(PATCHES)})"
        ) from None


# Of a patch


def _patched(root: Path, text: str, package: Path) -> _State:
    patch = (root / text).resolve()
    try:
        content = patch.read_bytes()
    except OSError:
        raise VariorumError(
            f"there is no file {text} in the project's folder, from where patches are named; "
            f"there, `git diff -- {INSIDE} > NAME.patch` writes one"
        ) from None
    joined = hashlib.sha256(f"{_content(package)} ".encode() + content)
    return _State(joined.hexdigest(), text, lambda target: _apply(patch, text, package, target))


def _apply(patch: Path, text: str, package: Path, target: Path) -> None:
    shutil.copytree(package, target, ignore=shutil.ignore_patterns("__pycache__"))
    folder = target.parents[1]
    try:
        listed = git(folder, "apply", "--numstat", "-z", str(patch), alone=True)
        _refuse_other_files(text, listed)
        git(folder, "apply", str(patch), alone=True)
    except GitError as error:
        raise VariorumError(
            f"{text} does not apply to the code that is here: {error.said}; make it anew"
        ) from None
    if _content(target) == _content(package):
        raise VariorumError(
            f"{text} changes nothing below {INSIDE}; `git diff -- {INSIDE}` in the project's "
            "folder shows what a patch should look like"
        )


def _refuse_other_files(text: str, listed: str) -> None:
    """Raise `VariorumError` if a patch, as `git apply --numstat -z` lists it, changes others."""
    files = [line.split("\t", 2)[2] for line in listed.split("\0") if line]
    if others := [file for file in files if not file.startswith(f"{INSIDE}/")]:
        raise VariorumError(
            f"{text} changes {', '.join(others)}, and a variant takes code below {INSIDE} alone; "
            f"`git diff -- {INSIDE} > {text}` leaves the others out, and settings can be set for "
            "the variant"
        )


def _content(package: Path) -> str:
    """A hash of all files of a package."""
    files = sorted(
        file
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.relative_to(package).parts
    )
    joined = hashlib.sha256()
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        joined.update(f"{file.relative_to(package).as_posix()} {content}\n".encode())
    return joined.hexdigest()


# What it can run


def refuse_unfit(found: CodeVersion, specs: Sequence[Spec]) -> None:
    """Raise `VariorumError` unless the package can run these specs, by the code they were keyed by.

    The package itself is asked, as its settings may be others.
    """
    for spec, answer in zip(specs, _answers(found, specs), strict=True):
        if answer.get("fault"):
            raise VariorumError(
                f"{found.where}: {found.name} cannot run {spec.stage}: {answer['fault']}; name "
                "newer code, or leave out what it does not know"
            )
        if answer.get("code") != spec.code:
            raise VariorumError(
                f"{found.where}: {found.name} makes fingerprints of code in another way, so its "
                "results cannot have keys of today's form; name newer code"
            )


def _answers(found: CodeVersion, specs: Sequence[Spec]) -> Iterator[dict[str, str]]:
    done = subprocess.run(
        [sys.executable, str(FITTING)],
        input=json.dumps([spec.as_data() for spec in specs]),
        env=running(found.package.parent),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    try:
        yield from json.loads(done.stdout)
    except ValueError:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise VariorumError(
            f"{found.where}: {found.name} does not run here: {said}; name newer code"
        ) from None
