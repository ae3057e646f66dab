"""What must hold when a stage fails: one line, and every result as it was."""

from pathlib import Path

import pytest

import flow
from variorum.base.errors import VariorumError
from variorum.plan.experiment import Node
from variorum.store.store import Store


def results_are_whole(root: Path) -> bool:
    """Whether everything below results/ is a complete result."""
    store = Store(root)
    folders = set(root.glob("results/*/*"))
    return all(store.open(ref) for ref in store.refs()) and folders == {
        store.folder(ref) for ref in store.refs()
    }


def failure(root: Path, node: Node, message: str, log: Path | None = None) -> str:
    """Run a node that must fail with one line, touching no result; gives the line."""
    before = flow.files_of(root / "results")
    with pytest.raises(VariorumError, match=message) as error:
        flow.make(root, node, log)
    assert flow.files_of(root / "results") == before
    assert results_are_whole(root)
    assert "\n" not in str(error.value)
    return str(error.value)
