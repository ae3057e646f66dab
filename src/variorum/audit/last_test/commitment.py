"""Check by git that texts are named before they are read.

The record of openings is checked, too: it may lose none that is committed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from variorum.base.errors import VariorumError
from variorum.base.git import GitError, git
from variorum.plan.last_test import LIST, RECORD, openings_in, recorded
from variorum.store.committed import has_git


@dataclass(frozen=True)
class Commitment:
    """Say since when the texts are named as they are.

    commit: the last one that changed the list. date: its date. versions: how many commits changed
    the list; above 1, texts were exchanged.
    """

    commit: str
    date: str
    versions: int


def commitment(root: Path) -> Commitment:
    """Return when the present list was committed.

    Raises `VariorumError` if it is not committed, or was changed since.
    """
    if not has_git(root):
        raise VariorumError(
            f"{LIST}: this is no git repository, so nothing shows when the texts were named; "
            "clone the project"
        )
    committed = _at_head(root, LIST)
    if committed is None:
        raise VariorumError(f"{LIST} is not committed; commit it before its texts are read")
    if committed != (root / LIST).read_text(encoding="utf-8"):
        raise VariorumError(
            f"{LIST} was changed since it was committed; put it back "
            f"(git checkout HEAD -- {LIST}), or commit the change before its texts are read"
        )
    commits = git(root, "log", "--format=%H %cI", "--", LIST).splitlines()
    commit, date = commits[0].split()
    return Commitment(commit, date, len(commits))


def all_openings(root: Path) -> list[dict[str, Any]]:
    """Return the openings of the record.

    Raises `VariorumError` if it lacks or changes one that is committed.
    """
    here, committed = recorded(root), openings_in(_at_head(root, RECORD) or '{"openings": []}')
    if here[: len(committed)] != committed:
        raise VariorumError(
            f"{RECORD} lacks or changes an opening that is committed; put it back: "
            f"git checkout HEAD -- {RECORD}"
        )
    return here


def _at_head(root: Path, path: str) -> str | None:
    try:
        return git(root, "show", f"HEAD:{path}")
    except GitError:
        return None
