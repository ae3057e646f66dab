"""What is there: rows, totals, and who needs them."""

import os
import time
from pathlib import Path

from gc_shelf import held, only

import flow
import made_up
from conftest import Project
from variorum.audit.gc import inventory, removal
from variorum.audit.gc.inventory import InventoryRow
from variorum.base.atomic import write_atomically
from variorum.identity.spec import Ref
from variorum.plan import plan_file
from variorum.plan.experiment import Plan
from variorum.report import units
from variorum.store import pins
from variorum.store.result import MANIFEST, RUN, size_of
from variorum.store.store import Store

pytest_plugins = ("gc_fixtures",)


def rows(root: Path, stage: str | None = None) -> list[InventoryRow]:
    return inventory.inventory(root, stage)[0]


def test_rows_stand_in_the_order_of_the_flow_and_by_age(root: Path, needed: Plan) -> None:
    made_up.change(root, seed=2)
    made_up.make(root, flow.current(root), begun="2025-01-01T00:00:00+00:00")
    listed = rows(root)
    stages = list(dict.fromkeys(row.ref.stage for row in listed))
    assert stages == [
        *("download", "normalize", "baselines", "tokenizer", "encode", "pretrain", "finetune"),
        *("dynamic", "evaluate", "stress", "comparisons", "figures", "report"),
    ]
    pretrained = [row for row in listed if row.ref.stage == "pretrain"]
    assert [row.begun for row in pretrained] == sorted(row.begun for row in pretrained)
    assert pretrained[0].begun == 1735689600
    assert [row.names for row in pretrained[:1]] == [("current",)]
    assert {row.ref: row.names for row in pretrained}[needed.of_stage("pretrain")[0].ref] == (
        "micro",
    )


def test_a_row_says_label_size_age_time_and_who_needs_it(root: Path, wide: Plan) -> None:
    (pretrain,) = wide.of_stage("pretrain")
    row = {row.ref: row for row in rows(root, "pretrain")}[pretrain.ref]
    size = size_of(Store(root).folder(pretrain.ref))
    assert (row.label, row.n_bytes, row.seconds, row.names) == ("micro", size, 12.34, ())
    cells = [str(pretrain.ref), units.size(size), "3.0 h", "12.3 s", "micro", "nobody"]
    assert list(row.cells(row.begun + 3 * 3600 + 59)) == cells
    header, line, *_ = inventory.lines([row], row.begun + 3 * 3600 + 59)
    assert header.split("  ")[0] == "result"
    assert line.split() == " ".join(cells).split()


def test_what_was_adopted_or_is_damaged_is_marked(root: Path, needed: Plan) -> None:
    store, node = Store(root), needed.of_stage("encode")[0]
    made_up.change(root, seed=2)
    new = flow.current(root).of_stage("pretrain")[0]
    output = store.scratch(new.ref) / "output"
    output.mkdir(parents=True)
    inputs = {name: store.open(ref) for name, ref in new.spec.upstream.items()}
    store.publish(new.spec, output, inputs, {RUN: {}, "code.json": {}}, adopted={"how": "proved"})
    (store.folder(node.ref) / "content.txt").unlink()
    found = {row.ref: row for row in rows(root)}
    assert found[new.ref].adopted
    assert found[new.ref].cells(time.time())[-1] == "current (adopted)"
    damage = f"damaged: results/{node.ref}/content.txt is missing"
    assert found[node.ref].cells(0)[-1].startswith(damage)
    marked = {ref for ref, row in found.items() if row.adopted or row.damaged}
    assert marked == {node.ref, new.ref}


def test_without_a_time_in_its_run_the_age_is_that_of_the_manifest(
    root: Path, needed: Plan
) -> None:
    store, ref = Store(root), needed.last.ref
    (store.folder(ref) / RUN).write_text('{"begun": "some day", "seconds": "long"}')
    os.utime(store.folder(ref) / MANIFEST, (1000, 1000))
    row = inventory.row(store, ref)
    assert (row.begun, row.seconds, row.label) == (1000, None, "")


def test_totals_are_by_stage_and_in_all(root: Path) -> None:
    found = rows(root)
    lines = [line.split() for line in inventory.lines(found, 0)]
    header, *totals = lines[lines.index([]) + 1 :]
    assert header == ["stage", "results", "size"]
    assert totals[0][:2] == ["download", "2"]
    assert sum(int(line[1]) for line in totals[:-1]) == int(totals[-1][1]) == len(found)
    every = sum(size_of(Store(root).folder(row.ref)) for row in found)
    assert totals[-1] == ["all", str(len(found)), *units.size(every).split()]


def test_many_who_need_a_result_are_counted() -> None:
    for names, shown in (
        ("", "nobody"),
        ("abc", "a, b, c"),
        ("abcdefg", "a, b, c, d, e, and 2 more"),
    ):
        assert InventoryRow(Ref("encode", "0"), 0, 0.0, tuple(names)).cells(0)[-1] == shown


def test_other_references_and_pins_are_named(shelf: Project, needed: Plan, wide: Plan) -> None:
    root = shelf.root
    (pretrain,) = wide.of_stage("pretrain")
    assert {row.ref: row.names for row in rows(root)}[pretrain.ref] == ()
    shelf.run("git", "branch", "feature")
    pins.pin(root, "before", [pretrain.ref])
    names = {row.ref: row.names for row in rows(root)}
    assert names[pretrain.ref] == ("pinned: before", "@feature")
    assert names[wide.last.ref] == ("@feature",)
    assert names[needed.last.ref] == ("micro", "@feature")
    assert {ref for ref, named in names.items() if "micro" not in named} == only(wide, needed)


def test_what_cannot_be_planned_here_is_a_doubt(root: Path) -> None:
    (root / "config/experiments/broken.yaml").write_text("title: [\n")
    found, doubts = inventory.inventory(root)
    assert len(doubts) == 1
    assert "broken.yaml:2: not valid YAML" in doubts[0]
    assert found


def test_a_damaged_plan_disturbs_nothing_that_is_known_without_it(root: Path, needed: Plan) -> None:
    path = root / plan_file.FOLDER / "0.json"
    write_atomically(path, b'{"results": {"pretrain/000000000000": {}}}')
    with held(path, "shared"):
        assert rows(root)
        assert removal.plan(root).results
        path.write_bytes(b"cut off")
        assert rows(root)
