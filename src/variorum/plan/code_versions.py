"""Read other states of the package, which a variant may run: `code: main`.

A code version is the package as a commit of the project's git has it, or the present package with a
patch applied. Planning reads its files from git into memory and writes nothing. When a stage has to
run by it, it is put into `scratch/code/<digest>/src/variorum`; stages run from there under keys of
their own, as they would with that code checked out.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from variorum.base.errors import VariorumError, clear_about_storage
from variorum.base.files import FolderFiles, write_files
from variorum.base.git import GitError, files_of, git, running
from variorum.base.project import CODE_VERSIONS
from variorum.config.setting_errors import did_you_mean
from variorum.identity.spec import Spec

INSIDE = "src/variorum"
"""The package, in the folder of a code version and in git."""

PATCHES = (".patch", ".diff")
"""How the names of patch files end."""

RELATIVE = re.compile(r"(HEAD|@)(?![\w/-])")
"""Names of commits that begin at what is checked out."""

FITTING = Path(__file__).with_name("fitting.py")
"""The script that a code version runs to say what it can run."""

SHOWN = 12
"""How many digits of a commit are shown."""


@dataclass(frozen=True)
class CodeVersion:
    """Hold another state of the package.

    package: the folder that it runs from, once it is put in place. name: for people, such as
    `main, commit 0123456789ab`. files: the contents of its files, by their paths in the package.
    where: the setting that names it, and where that was written.
    """

    package: Path
    name: str
    files: Mapping[str, bytes] = field(compare=False, repr=False)
    where: str = ""

    def put_in_place(self) -> None:
        """Write the package into its folder, unless it is there as it was written.

        It appears as a whole; an edited one is replaced, and another process may be faster.
        """
        folder = self.package.parents[1]
        new, old = (
            folder.with_name(f"{folder.name}.{os.getpid()}.{state}") for state in ("new", "old")
        )
        with clear_about_storage():
            if self._is_whole():
                return
            try:
                for each in (new, old):
                    shutil.rmtree(each, ignore_errors=True)  # of one that was killed
                write_files(self.files, new / INSIDE)
                if folder.is_dir() and not self._is_whole():
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

    def _is_whole(self) -> bool:
        return self.package.is_dir() and dict(FolderFiles(self.package)) == self.files


def code_version(
    root: Path, text: str, package: Mapping[str, bytes], where: str = ""
) -> CodeVersion:
    """Return the code version that `text` names.

    `text` is a branch, a tag or a commit, or the path of a patch for the files of `package`.
    Nothing is written. Raises `VariorumError`.
    """
    if not text.isprintable():
        raise VariorumError(
            f"{text!r} has characters that no name has; name a branch, a tag, a commit, or a "
            f"patch file ({' or '.join(PATCHES)})"
        )
    is_patch = text.endswith(PATCHES)
    state = _patched(root, text, package) if is_patch else _committed(root, text)
    return CodeVersion(root / CODE_VERSIONS / state.digest / INSIDE, state.name, state.files, where)


def commit(root: Path, text: str) -> str:
    """Return the commit that `text` names, in few digits. Raises `VariorumError`."""
    return _commit(_top(root, text), text)[:SHOWN]


@dataclass(frozen=True)
class _State:
    """Hold a state's digest, its name for people, and its files."""

    digest: str
    name: str
    files: Mapping[str, bytes]


# Of a commit


def _committed(root: Path, text: str) -> _State:
    top = _top(root, text)
    found = _commit(top, text)
    try:
        tree = git(top, "rev-parse", "--verify", "--quiet", f"{found}:{INSIDE}").strip()
    except GitError:
        raise VariorumError(
            f"commit {found[:SHOWN]} has no {INSIDE}; name one that has the package"
        ) from None
    name = f"commit {found[:SHOWN]}"
    called = name if found.startswith(text) else f"{text}, {name}"
    return _State(tree, called, files_of(top, tree))


def _top(root: Path, text: str) -> Path:
    """Return the folder of the git repository around the project."""
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


def _patched(root: Path, text: str, package: Mapping[str, bytes]) -> _State:
    patch = (root / text).resolve()
    try:
        content = patch.read_bytes()
    except OSError:
        raise VariorumError(
            f"there is no file {text} in the project's folder, from where patches are named; "
            f"there, `git diff -- {INSIDE} > NAME.patch` writes one"
        ) from None
    joined = hashlib.sha256(f"{_content(package)} ".encode() + content)
    return _State(joined.hexdigest(), text, _apply(patch, text, package))


def _apply(patch: Path, text: str, package: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of the package with a patch applied, outside of the project."""
    with TemporaryDirectory(prefix="variorum-") as name:
        folder = Path(name)
        write_files(package, folder / INSIDE)
        try:
            listed = git(folder, "apply", "--numstat", "-z", str(patch), alone=True)
            _refuse_other_files(text, listed)
            git(folder, "apply", str(patch), alone=True)
        except GitError as error:
            raise VariorumError(
                f"{text} does not apply to the code that is here: {error.said}; make it anew"
            ) from None
        files = dict(FolderFiles(folder / INSIDE))
    if files == dict(package):
        raise VariorumError(
            f"{text} changes nothing below {INSIDE}; `git diff -- {INSIDE}` in the project's "
            "folder shows what a patch should look like"
        )
    return files


def _refuse_other_files(text: str, listed: str) -> None:
    """Raise `VariorumError` if a patch, as `git apply --numstat -z` lists it, changes others."""
    files = [line.split("\t", 2)[2] for line in listed.split("\0") if line]
    if others := [file for file in files if not file.startswith(f"{INSIDE}/")]:
        raise VariorumError(
            f"{text} changes {', '.join(others)}, and a variant takes code below {INSIDE} alone; "
            f"`git diff -- {INSIDE} > {text}` leaves the others out, and settings can be set for "
            "the variant"
        )


def _content(package: Mapping[str, bytes]) -> str:
    """Return a hash of all files of a package."""
    joined = hashlib.sha256()
    for path in sorted(package):
        joined.update(f"{path} {hashlib.sha256(package[path]).hexdigest()}\n".encode())
    return joined.hexdigest()


# What it can run


def refuse_unfit(version: CodeVersion, specs: Sequence[Spec]) -> None:
    """Raise `VariorumError` unless a code version can run specs that were keyed by its code.

    The code version itself is asked, as its settings may be others.
    """
    for spec, answer in zip(specs, _answers(version, specs), strict=True):
        if answer.get("fault"):
            raise VariorumError(
                f"{version.where}: {version.name} cannot run {spec.stage}: {answer['fault']}; name "
                "newer code, or leave out what it does not know"
            )
        if answer.get("code") != spec.code:
            raise VariorumError(
                f"{version.where}: {version.name} makes fingerprints of code in another way, so "
                "its results cannot have keys of today's form; name newer code"
            )


def _answers(version: CodeVersion, specs: Sequence[Spec]) -> Iterator[dict[str, str]]:
    """Yield what `FITTING` says of each spec, run by a copy outside the project."""
    with clear_about_storage(), TemporaryDirectory(prefix="variorum-") as folder:
        write_files(version.files, Path(folder, INSIDE))
        done = subprocess.run(
            [sys.executable, str(FITTING)],
            input=json.dumps([spec.as_data() for spec in specs]),
            env=running(Path(folder, INSIDE).parent),
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
            f"{version.where}: {version.name} does not run here: {said}; name newer code"
        ) from None
