"""A table's place under `reports/`: all of it belongs to one result, and nobody's files go."""

from pathlib import Path

import pytest

from variorum.base.errors import VariorumError
from variorum.identity.spec import Spec
from variorum.run.publish import is_published, publication_folder, publish
from variorum.store.result import Result
from variorum.store.store import Store

RUN = {
    "costs": [],
    "codes": {"wide": "main, commit 0123456789ab"},
    "diffs": {"wide": "--- here\n+++ wide\n"},
}
PUBLISHED = {"codes.csv", "costs.csv", "manifest.json", "table.md", "wide.diff"}


def table(store: Store, edited: dict[str, bool], run: dict[str, object]) -> Result:
    """A published result of the stage that makes tables."""
    spec = Spec("table", {"codes": {"wide": "main"}, "edited": edited}, {}, "c0de")
    output = store.scratch(spec.ref) / "output"
    output.mkdir(parents=True)
    (output / "table.md").write_text("# A table\n")
    return store.publish(spec, output, {}, {"run.json": run, "code.json": {}})


@pytest.fixture
def placed(tmp_path: Path) -> tuple[Store, Result, Path]:
    """A result, and the folder that it is placed in."""
    store, folder = Store(tmp_path), tmp_path / "reports/asked"
    result = table(store, {"wide": True}, RUN)
    publish(store, result.ref, folder)
    return store, result, folder


def test_all_of_a_table_is_placed(placed: tuple[Store, Result, Path]) -> None:
    store, result, folder = placed
    assert {file.name for file in folder.iterdir()} == PUBLISHED
    assert (folder / "codes.csv").read_text() == (
        'variant,code\nwide,"main, commit 0123456789ab"\n'
    )
    assert is_published(store, result.ref, folder)


@pytest.mark.parametrize("folder", [".", "reports", "reports/..", "results/table/x", "/elsewhere"])
def test_no_other_folder_is_taken(tmp_path: Path, folder: str) -> None:
    with pytest.raises(VariorumError, match="is not below reports/"):
        publication_folder(tmp_path, Path(folder))


def test_a_place_is_named_from_the_projects_folder(tmp_path: Path) -> None:
    assert publication_folder(tmp_path, Path("reports/a/b")) == tmp_path.resolve() / "reports/a/b"
    assert publication_folder(tmp_path, tmp_path / "reports/a") == tmp_path.resolve() / "reports/a"


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_what_is_gone_is_seen_and_placed_again(
    placed: tuple[Store, Result, Path], name: str
) -> None:
    store, result, folder = placed
    (folder / name).unlink()
    assert not is_published(store, result.ref, folder)
    publish(store, result.ref, folder)
    assert is_published(store, result.ref, folder)


@pytest.mark.parametrize("name", ["manifest.json", "table.md"])
def test_what_belongs_to_another_table_is_seen(
    placed: tuple[Store, Result, Path], name: str
) -> None:
    store, result, folder = placed
    (folder / name).write_text((folder / name).read_text() + "\n")
    assert not is_published(store, result.ref, folder)


def test_only_the_diffs_of_the_table_before_go(placed: tuple[Store, Result, Path]) -> None:
    store, _, folder = placed
    (folder / "mine.diff").write_text("a patch that somebody wrote\n")
    result = table(store, {"wide": False}, {"costs": []})
    publish(store, result.ref, folder)
    assert {file.name for file in folder.iterdir()} == {
        "costs.csv",
        "manifest.json",
        "mine.diff",
        "table.md",
    }
