"""What each branch needs, by its own word.

A branch is planned as if it was checked out now: its own files, with those beside them that git
does not track, by its own package. What it answered is remembered in scratch until something
changes that the answer depends on.
"""

import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from tqdm import tqdm

from variorum import machine
from variorum.atomic import write_atomically
from variorum.audit.holdings.answer import Answer, Text
from variorum.audit.holdings.trees import WITHOUT_RESULTS, Tree, untracked
from variorum.corpus import local_files
from variorum.errors import VariorumError
from variorum.other_code.git import put_into, running
from variorum.other_code.trees import PATCHES, digest
from variorum.sources import LOCK
from variorum.store import Ref, Store

MEMORY = "scratch/needs"
"""Answers, and the folders that branches are put into while they are asked."""

SECONDS = 300
"""How long a branch may take to answer."""

MADE = re.compile(r"(^|/)(\..+|__pycache__|.+\.egg-info)/|^(scratch|logs|dvc-remote)/")
"""What tools and runs leave: it decides no key, and a branch must not find it."""


def answers(root: Path, trees: Iterable[Tree]) -> dict[str, Answer]:
    """What each of these trees says, by its content; one that cannot be planned says why."""
    by_content = {tree.content: tree for tree in trees}
    if not by_content:
        return {}
    with Store(root).locked(Ref("needs", "branches"), _say_waiting):
        project = _Project.at(root)
        folder = root / MEMORY
        folder.mkdir(parents=True, exist_ok=True)
        memories = {content: folder / project.memory_of(content) for content in by_content}
        _forget_others(folder, set(memories.values()))

        def remembered(content: str) -> Answer | None:
            return _remembered(project, by_content[content], memories[content])

        def ask(content: str) -> Answer:
            return _ask(project, by_content[content], memories[content])

        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            known = dict(zip(by_content, pool.map(remembered, by_content), strict=True))
            new = [content for content, answer in known.items() if answer is None]
            if new:
                _say_asked(by_content[content] for content in new)
            said = tqdm(
                pool.map(ask, new), "planning other branches", len(new), leave=False, disable=None
            )
            asked = dict(zip(new, said, strict=True))
        return {content: answer or asked[content] for content, answer in known.items()}


def _say_waiting() -> None:
    print("variorum: waits for another one that plans the branches", file=sys.stderr)


def _say_asked(trees: Iterable[Tree]) -> None:
    names = ", ".join(tree.names[0] for tree in trees)
    print(f"variorum: runs the code of other branches, to plan them: {names}", file=sys.stderr)


def _forget_others(folder: Path, memories: set[Path]) -> None:
    """Delete memories of what is no more, and what a killed one left."""
    for path in set(folder.iterdir()) - memories:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@dataclass(frozen=True)
class _Project:
    """The working tree, as far as another branch would find it there when it is checked out.

    untracked: files that git does not track, and folders of them.
    lock: entries of the lock of sources.
    identity: of all this, apart from texts, and of the versions of Python and libraries.
    """

    root: Path
    untracked: tuple[str, ...]
    lock: dict[Any, Any]
    identity: str

    @classmethod
    def at(cls, root: Path) -> "_Project":
        names = tuple(name for name in untracked(root) if not MADE.search(name))
        lock = _lock_of(root)
        parts: list[object] = [machine.versions(machine.LIBRARIES), lock]
        for name in names:
            if name.startswith(("config/", "src/")):
                parts += _hashes(root / name)
        return cls(root, names, lock, _hash(parts))

    def memory_of(self, content: str) -> str:
        """The file's name in which the answer of a tree is kept."""
        return f"{_hash([content, self.identity])}.json"

    def lend(self, target: Path) -> None:
        """Give a branch's files what would stay beside them, as links, and entries of the lock.

        Of results, ablations look at those that they name as kept.
        """
        (target / "results").symlink_to(self.root / "results")
        for name in self.untracked:
            link = target / name.rstrip("/")
            inside = link.parent.resolve().is_relative_to(target.resolve())
            if inside and not os.path.lexists(link):
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(self.root / name.rstrip("/"))
        own = _lock_of(target)
        if not self.lock.items() <= own.items():
            with (target / LOCK).open("w", encoding="utf-8") as file:
                YAML(typ="safe").dump({**self.lock, **own}, file)


def _hash(parts: Iterable[object]) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode(errors="surrogateescape")).hexdigest()


def _hashes(path: Path) -> Iterator[str]:
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and "__pycache__" not in file.parts:
            yield f"{file} {hashlib.sha256(file.read_bytes()).hexdigest()}"


def _lock_of(root: Path) -> dict[Any, Any]:
    """The entries of the lock of sources; none if they cannot be read."""
    with suppress(OSError, ValueError, YAMLError):
        entries = YAML(typ="safe").load((root / LOCK).read_text(encoding="utf-8"))
        return entries if isinstance(entries, dict) else {}
    return {}


# Asking


def _remembered(project: _Project, tree: Tree, memory: Path) -> Answer | None:
    """What a tree is known to say; None if it has to be asked."""
    if not tree.can_answer:
        return Answer(faults=("its code is older than this command",))
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError):  # never asked, or cut off
        known = json.loads(memory.read_text(encoding="utf-8"))
        answer, texts = Answer.from_data(known["answer"]), _Texts(**known["texts"])
        same_code = known.get("codes", {}) == _commits(project.root, answer)
        if same_code and texts.are_still_here(project.root):
            return texts.checked(project.root, answer)
    return None


def _ask(project: _Project, tree: Tree, memory: Path) -> Answer:
    """What a tree says now, to be remembered."""
    target = memory.with_suffix("")
    try:
        put_into(project.root, tree.id, target, *WITHOUT_RESULTS)
        project.lend(target)
        answer = _run(target)
        texts = _Texts.of(answer.texts, project.root, target)
    except VariorumError as error:
        return Answer(faults=(str(error),))
    finally:
        shutil.rmtree(target, ignore_errors=True)
    if not answer.faults:  # which may pass, as that something kept is not here
        codes = _commits(project.root, answer)
        content = {"answer": answer.as_data(), "texts": asdict(texts), "codes": codes}
        write_atomically(memory, json.dumps(content).encode())
    return texts.checked(project.root, answer)


def _run(target: Path) -> Answer:
    """The answer of the package that lies in `target`."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "variorum.audit.holdings.answer"],
            cwd=target,
            env=running(target / "src"),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise VariorumError(f"its code gave no answer within {SECONDS} s") from None
    try:
        return Answer.from_data(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError, AttributeError):
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise VariorumError(f"its code gave no answer but said: {said}") from None


def _commits(root: Path, answer: Answer) -> dict[str, str | None]:
    """The code that branches, tags and commits stand for, of those that an answer's tree names."""
    found: dict[str, str | None] = {}
    for text in answer.codes:
        if not text.endswith(PATCHES):  # which lie in the tree itself
            with suppress(VariorumError):
                found[text] = digest(root, text)
    return found


# Texts that git does not hold


@dataclass(frozen=True)
class _Texts:
    """The texts that a tree's keys stand on, as far as they are not its own files.

    digests: SHA-256 of each, by what names it, as JSON; None if there is nothing to be found.
    pins: contents of the tree's `.dvc` files that pin texts, by path.
    """

    digests: dict[str, str | None]
    pins: dict[str, str]

    @classmethod
    def of(cls, texts: Iterable[Text], root: Path, target: Path) -> "_Texts":
        foreign = [text for text in texts if not _is_inside(text, target)]
        names = {
            name
            for path, _ in texts
            for place in (target, root)
            for name in _pins_of_text(path, place)
        }
        return cls(
            {json.dumps(text): _digest(text, root) for text in foreign},
            {name: _content(target / name) for name in sorted(names)},
        )

    def are_still_here(self, root: Path) -> bool:
        """Whether the texts are those that the answer was given for."""
        return all(
            _digest(json.loads(text), root) == digest for text, digest in self.digests.items()
        )

    def checked(self, root: Path, answer: Answer) -> Answer:
        """The answer, with a fault if it was given for texts of another branch."""
        others = [name for name, content in self.pins.items() if content != _content(root / name)]
        faults = [f"{name} pins other texts there, which are not at hand" for name in others]
        return replace(answer, faults=(*answer.faults, *faults))


def _digest(text: Text, root: Path) -> str | None:
    path, suffixes = text
    try:
        return local_files.digest(path, tuple(suffixes), root)
    except VariorumError:
        return None


def _is_inside(text: Text, target: Path) -> bool:
    """Whether all files of a text are the branch's own."""
    try:
        found = local_files.find(*text, target)
    except VariorumError:
        return False
    return all(file.resolve().is_relative_to(target.resolve()) for file in found)


def _pins_of_text(path: str, root: Path) -> Iterator[str]:
    """Names of the files by which DVC would hold a text, a folder around it, or a part of it."""
    place = Path(path)
    while glob.has_magic(str(place)):
        place = place.parent
    if not place.is_absolute():
        yield from (f"{above.as_posix()}.dvc" for above in (place, *place.parents) if above.name)
        yield from (str(file.relative_to(root)) for file in (root / place).rglob("*.dvc"))


def _content(file: Path) -> str:
    """What a file says; nothing if it is not there."""
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
