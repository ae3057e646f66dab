"""Damage to what no manifest lists is named, and another platform is warned of."""

import json
import sys
from pathlib import Path

import pytest
from verifying import check, folder_of, named, ref_of, rewrite, rewrite_run, shown

import flow
from conftest import Project
from variorum.base.files import sha256_of
from variorum.store import records
from variorum.store import records as records_module
from variorum.store.restoring import BUNDLE
from variorum.store.result import CODE, MANIFEST, RUN
from variorum.store.store import Store


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment and an ablation of it, run to the end, with their pages in place."""
    return flow.finished_ablation(tmp_path_factory.mktemp("verify") / "project")


@pytest.fixture
def root(finished: Project, tmp_path: Path) -> Path:
    """A copy of the finished project, to change."""
    return flow.copied(finished, tmp_path / "project")


# What no manifest lists


def test_a_run_or_code_that_is_no_json_is_named(root: Path) -> None:
    one, other = folder_of(root, "pretrain"), folder_of(root, "finetune")
    (one / RUN).write_bytes((one / RUN).read_bytes()[:-20])
    (other / CODE).write_text("{")
    assert named(check(root)) == {
        shown(root, one / RUN): "is cut off or not JSON",
        shown(root, other / CODE): "is cut off or not JSON",
    }


def test_an_edited_run_is_named_unless_it_was_sealed_so(root: Path) -> None:
    folder = folder_of(root, "pretrain")
    rewrite(folder / RUN, lambda run: run.update(host="another"))
    assert named(check(root)) == {shown(root, folder / RUN): "is not what its seal says"}
    rewrite_run(folder, lambda run: run.update(host="another"))
    assert check(root).damage == ()


def test_a_run_of_other_bytes_is_not_this_results_and_no_damage(root: Path) -> None:
    """As DVC leaves it behind when it replaces a result."""
    folder, ref = folder_of(root, "report"), ref_of(root, "report")
    records.record(Store(root))
    whole = (folder / RUN).read_bytes()
    assert Store(root).peek(ref).run["manifest"] == sha256_of(folder / MANIFEST)
    changes = {"manifest": "0" * 64, "host": "another", "python": "3.99.1"}
    rewrite_run(folder, lambda run: run.update(changes))
    assert Store(root).peek(ref).run == {}
    findings = check(root)
    assert (findings.damage, findings.warnings) == ((), ())
    before = records.recorded_runs(root)
    records.record(Store(root))
    assert records.recorded_runs(root) == before, "a false witness"
    records.restore_run_info(Store(root))
    assert (folder / RUN).read_bytes() == whole


def test_a_record_is_promised_only_where_one_brings_a_spoilt_run_back(root: Path) -> None:
    inner = next(folder_of(root, "report").glob(f"{BUNDLE}/evaluate/*"))
    folder = folder_of(root, "evaluate")
    carried, own = (spoilt_remedy(root, place) for place in (inner, folder))
    assert carried == own
    assert own.endswith("no number needs them, and nothing here can restore them")
    records.record(Store(root))
    assert spoilt_remedy(root, inner) == carried, "none is restored into a report"
    assert spoilt_remedy(root, folder).endswith("the next `snakemake` restores them from a record")
    whole = (folder / RUN).read_bytes()
    for name in (RUN, CODE):
        (folder / name).unlink()
    records_module.restore_run_info(Store(root))
    assert (folder / RUN).read_bytes() == whole


def spoilt_remedy(root: Path, folder: Path) -> str:
    """What is said to do about a `run.json` that was edited; it is not left so."""
    whole = (folder / RUN).read_bytes()
    rewrite(folder / RUN, lambda run: run.update(host="another"))
    (damage,) = check(root, everything=True).damage
    (folder / RUN).write_bytes(whole)
    return damage.remedy


def test_a_missing_code_is_named_and_results_may_lack_both(root: Path) -> None:
    folder = folder_of(root, "pretrain")
    (folder / CODE).unlink()
    assert named(check(root)) == {shown(root, folder / CODE): "is missing"}
    (folder / RUN).unlink()
    findings = check(root)
    assert findings.damage == findings.notes == ()


def test_code_that_the_key_does_not_stand_on_is_named_though_it_was_sealed(root: Path) -> None:
    folder = folder_of(root, "pretrain")
    name = "variorum.training.validation:MOST_ROWS"
    rewrite(folder / CODE, lambda code: code.update({name: "MOST_ROWS = 17"}))
    rewrite_run(folder, lambda run: None)
    assert named(check(root)) == {shown(root, folder / CODE): "holds other code than its key"}
    rewrite(folder / CODE, lambda code: code.update({name: "MOST_ROWS  =  16  # a comment"}))
    rewrite_run(folder, lambda run: None)
    assert check(root).damage == (), "comments and formatting do not count"


def test_a_result_from_before_there_were_seals_is_said(root: Path) -> None:
    rewrite(folder_of(root, "pretrain") / RUN, lambda run: run.pop("sha256"))
    findings = check(root)
    assert findings.damage == ()
    assert findings.notes == ("run.json of 1 result has no seal: damage to it may go unnoticed",)


# Platforms


def test_libraries_that_changed_are_one_warning_each_over_all_results(root: Path) -> None:
    for stage in ("pretrain", "finetune", "encode"):
        rewrite_run(folder_of(root, stage), lambda run: run["libraries"].update(numpy="1.0"))
    rewrite_run(folder_of(root, "report"), lambda run: run["libraries"].update(pandas=None))
    findings = check(root)
    assert findings.damage == ()
    here = json.loads((folder_of(root, "download") / RUN).read_text())["libraries"]
    end = "of 24 results were made; made again here, their bits may differ"
    assert findings.warnings == (
        f"numpy: {here['numpy']} here, 1.0 where 3 {end}",
        f"pandas: {here['pandas']} here, none where 1 {end}",
    )


def test_libraries_that_a_stage_does_not_use_are_not_warned_of(root: Path) -> None:
    changed = {"torch": "1.0", "scipy": "1.0"}
    for stage in ("download", "tokenizer", "report"):
        rewrite_run(folder_of(root, stage), lambda run: run["libraries"].update(changed))
    for stage in ("download", "tokenizer"):
        rewrite_run(folder_of(root, stage), lambda run: run["libraries"].update(numpy="1.0"))
    assert check(root).warnings == ()


def test_numpy_is_warned_of_where_a_stage_uses_it_through_another_library(root: Path) -> None:
    rewrite_run(folder_of(root, "report"), lambda run: run["libraries"].update(numpy="1.0"))
    (warning,) = check(root).warnings
    assert "1.0 where 1 of 24 results were made" in warning


def test_another_python_and_processor_are_warned_of(root: Path) -> None:
    python = ".".join(map(str, sys.version_info[:2]))
    changes = {"python": "3.99.1", "processor": "A Processor (avx avx9)"}
    rewrite_run(folder_of(root, "pretrain"), lambda run: run.update(changes))
    warnings = check(root).warnings
    assert warnings[0].startswith(f"Python: {python} here, 3.99 where 1 of 24 results were made")
    assert warnings[1].startswith("vector features: ")
    assert "avx9 where 1 of 24" in warnings[1]
    assert len(warnings) == 2


def test_another_patch_of_python_is_no_other_platform(root: Path) -> None:
    python = ".".join(map(str, sys.version_info[:2]))
    rewrite_run(folder_of(root, "pretrain"), lambda run: run.update(python=f"{python}.99"))
    assert check(root).warnings == ()
