"""Read what git holds of results: `.dvc` files of references and commits.

Only git's objects are read. Nothing is checked out, and no other branch's code runs.
"""

import io
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from variorum.base.git import git
from variorum.identity.spec import KEY_LENGTH, Ref

COUNTED = ("refs/heads", "refs/remotes", "refs/tags", "refs/stash", "refs/exps")
"""Branches, remote-tracking branches, tags, the stash and experiments of DVC."""

_PIN = re.compile(rf"results/([^/]+)/([0-9a-f]{{{KEY_LENGTH}}})\.dvc")


def has_git(root: Path) -> bool:
    """Check whether the project is a git repository of its own."""
    return (root / ".git").exists()


def pinned_by_others(root: Path) -> dict[str, frozenset[Ref]]:
    """Return the results whose `.dvc` file each other reference holds.

    The checked-out branch and the remote-tracking branch that it follows are excluded.
    """
    form = "--format=%(HEAD)%00%(refname)%00%(upstream)%00%(symref)"
    listed = [
        line.split("\0")
        for kind in COUNTED
        for line in git(root, "for-each-ref", form, kind).splitlines()
    ]
    own = {name for head, *names, _ in listed if head == "*" for name in names}
    others = [name for _, name, _, symref in listed if not symref and name not in own]
    asked = "".join(f"{name}:results\n" for name in others)
    trees = git(root, "cat-file", "--batch-check=%(objectname)", given=asked).splitlines()
    pins = {tree: _pins(root, tree) for tree in set(trees) if not tree.endswith(" missing")}
    return {
        re.sub("^refs/(heads/|remotes/|tags/)?", "", name): pins[tree]
        for name, tree in zip(others, trees, strict=True)
        if tree in pins
    }


def _pins(root: Path, tree: str) -> frozenset[Ref]:
    """Return the results with a `.dvc` file in one tree of `results/`."""
    names = git(root, "ls-tree", "-r", "-z", "--name-only", tree).split("\0")
    found = (_PIN.fullmatch(f"results/{name}") for name in names)
    return frozenset(Ref(*match.groups()) for match in found if match)


def committed_pins(root: Path) -> dict[Ref, set[str]]:
    """Return the git objects of `.dvc` files in all commits, by result.

    Git lists an object once. A `.dvc` file contains its key, so no two results share one.
    """
    options = ("--all", "--objects", "--full-history")
    found: dict[Ref, set[str]] = defaultdict(set)
    for line in git(root, "rev-list", *options, "--", "results").splitlines():
        name, _, path = line.partition(" ")
        if match := _PIN.fullmatch(path):
            found[Ref(*match.groups())].add(name)
    return dict(found)


def contents(root: Path, objects: Iterable[str]) -> dict[str, bytes]:
    """Return the content of each of these git objects."""
    asked = "".join(f"{name}\n" for name in objects)
    given = git(root, "cat-file", "--batch", given=asked).encode(errors="surrogateescape")
    stream = io.BytesIO(given)
    found = {}
    while line := stream.readline():
        name, *_, size = line.decode().split()
        found[name] = stream.read(int(size))
        stream.readline()
    return found
