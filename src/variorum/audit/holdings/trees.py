"""The states of the project that git has names for.

Every branch, tag, remote-tracking branch, stash and experiment of DVC is one, and a detached HEAD.
"""

import hashlib
import io
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from variorum.other_code.git import git
from variorum.store import Ref

PLUMBING = "src/variorum/audit/holdings/answer.py"
"""The module that a tree answers with; see `answer`."""

EXPERIMENTS = "config/experiments"

WITHOUT_RESULTS = (".", ":(exclude)results")
"""All of a tree but its results, as git's commands take it."""

_PIN = re.compile(r"([^/]+)/([0-9a-f]{12})\.dvc")


@dataclass(frozen=True)
class Tree:
    """One state of the project.

    id: git's name of the tree.
    names: what points to it, branches first.
    content: equal for trees that differ in nothing but results.
    has_experiments, can_answer: whether it holds any, and a package that can be asked about them.
    pins: its `.dvc` files: for each result the git object that pins it.
    """

    id: str
    names: tuple[str, ...]
    content: str
    has_experiments: bool
    can_answer: bool
    pins: Mapping[Ref, str]


def has_git(root: Path) -> bool:
    """Whether the project is a git repository of its own."""
    return (root / ".git").exists()


def trees(root: Path) -> list[Tree]:
    """Every state that git has a name for, equal ones once."""
    listed = git(root, "for-each-ref", "--format=%(refname) %(symref)").splitlines()
    references = [line.strip() for line in listed if line.endswith(" ")]  # no names of names
    wanted = [*sorted(references, key=_importance), "HEAD"]
    named: dict[str, list[str]] = defaultdict(list)
    for reference, found in zip(wanted, _objects(root, wanted, "^{tree}"), strict=True):
        if found and not (reference == "HEAD" and found in named):
            named[found].append(re.sub("^refs/(heads/|tags/|remotes/)?", "", reference))
    experiments = _objects(root, named, f":{EXPERIMENTS}")
    plumbing = _objects(root, named, f":{PLUMBING}")
    pins: dict[str, Mapping[Ref, str]] = {"": {}}
    states = []
    for n, (tree, names) in enumerate(named.items()):
        content, results = _parts(root, tree)
        if results not in pins:
            pins[results] = _pins(root, results)
        can_answer = bool(plumbing[n])
        states.append(
            Tree(tree, tuple(names), content, bool(experiments[n]), can_answer, pins[results])
        )
    return states


def _importance(reference: str) -> tuple[int, str]:
    kinds = ("refs/heads/", "refs/remotes/", "refs/tags/")
    return next((n for n, kind in enumerate(kinds) if reference.startswith(kind)), 3), reference


def _objects(root: Path, names: Iterable[str], suffix: str) -> list[str]:
    """For each name, with a suffix, the object that git calls so; "" if there is none."""
    asked = "".join(f"{name}{suffix}\n" for name in names)
    lines = git(root, "cat-file", "--batch-check=%(objectname)", given=asked).splitlines()
    return ["" if line.endswith(" missing") else line for line in lines]


def _parts(root: Path, tree: str) -> tuple[str, str]:
    """The identity of a tree without its results, and the tree of these ("" if there are none)."""
    entries = [entry for entry in git(root, "ls-tree", "-z", tree).split("\0") if entry]
    results = [entry.split()[2] for entry in entries if entry.endswith("\tresults")]
    others = "\0".join(entry for entry in entries if not entry.endswith("\tresults"))
    digest = hashlib.sha256(others.encode(errors="surrogateescape")).hexdigest()
    return digest, "".join(results)


def _pins(root: Path, results: str) -> dict[Ref, str]:
    """The `.dvc` files of a tree's `results/`: by result, the git object of the file."""
    pins = {}
    for entry in git(root, "ls-tree", "-r", "-z", results).split("\0"):
        facts, _, path = entry.partition("\t")
        if match := _PIN.fullmatch(path):
            pins[Ref(*match.groups())] = facts.split()[2]
    return pins


def is_checked_out(root: Path, tree: Tree) -> bool:
    """Whether the files here that git tracks are this tree's, results apart."""
    command = ["git", "diff", "--quiet", tree.id, "--", *WITHOUT_RESULTS]
    return not subprocess.run(command, cwd=root, capture_output=True, check=False).returncode


def untracked(root: Path) -> list[str]:
    """Files that git does not track, results apart; folders without any tracked ones end in /."""
    options = ("--others", "--directory", "--no-empty-directory", "-z")
    listed = git(root, "ls-files", *options, "--", *WITHOUT_RESULTS)
    return [name for name in listed.split("\0") if name]


def blobs(root: Path, objects: Iterable[str]) -> dict[str, bytes]:
    """The content of each of these git objects."""
    asked = "".join(f"{name}\n" for name in objects)
    given = git(root, "cat-file", "--batch", given=asked).encode(errors="surrogateescape")
    stream = io.BytesIO(given)
    found = {}
    while line := stream.readline():
        name, *_, size = line.decode().split()
        found[name] = stream.read(int(size))
        stream.readline()
    return found
