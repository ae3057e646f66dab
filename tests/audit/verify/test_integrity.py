"""Whatever is not as it was published is found and named; what is no damage is only said."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from verifying import (
    check,
    check_refs,
    files_of_results,
    flip,
    folder_of,
    named,
    ref_of,
    rewrite,
    rewrite_both,
    shown,
)

import flow
from conftest import Project, Record
from variorum.base.errors import VariorumError
from variorum.base.files import sha256_of
from variorum.identity.recorded_code import recorded_digest
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.store.restoring import BUNDLE
from variorum.store.result import CODE, COPY, MANIFEST, RUN
from variorum.store.store import Store


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment and an ablation of it, run to the end, with their pages in place."""
    return flow.finished_ablation(tmp_path_factory.mktemp("verify") / "project")


@pytest.fixture
def root(finished: Project, tmp_path: Path) -> Path:
    """A copy of the finished project, to change."""
    return flow.copied(finished, tmp_path / "project")


# All as published


def test_what_a_run_left_is_as_published(finished: Project) -> None:
    findings = check(finished.root)
    assert (findings.damage, findings.notes, findings.warnings) == ((), (), ())
    plan = flow.current(finished.root)
    files = [p for node in plan for p in Store(finished.root).folder(node.ref).rglob("*")]
    files = [path for path in files if path.is_file()]
    assert findings.results == len(plan.nodes)
    assert findings.files == len(files)
    assert findings.n_bytes == sum(path.stat().st_size for path in files)
    assert list(findings.lines())[-1].endswith(": all as published")


def test_all_takes_in_every_result_that_is_here(finished: Project) -> None:
    findings = check(finished.root, everything=True)
    assert (findings.damage, findings.notes, findings.warnings) == ((), (), ())
    assert (
        findings.results
        == len(list(Store(finished.root).refs()))
        > len(flow.current(finished.root).nodes)
    )
    assert findings.files == len(files_of_results(finished.root))


def test_every_result_keeps_the_code_that_its_key_stands_on(finished: Project) -> None:
    for ref in Store(finished.root).refs():
        result = Store(finished.root).open(ref)
        assert recorded_digest(result.code) == result.spec.code


# One bit


@contextmanager
def flipped(path: Path, bit: int) -> Iterator[None]:
    """The file with one bit changed, for a while."""
    flip(path, bit)
    try:
        yield
    finally:
        flip(path, bit)


def assert_a_flipped_bit_is_named(root: Path, data: st.DataObject) -> None:
    by_name: dict[str, list[Path]] = {}
    for path in files_of_results(root):
        by_name.setdefault(path.name, []).append(path)
    path = data.draw(st.sampled_from(by_name[data.draw(st.sampled_from(sorted(by_name)))]))
    bit = data.draw(st.integers(0, 8 * path.stat().st_size - 1))
    with flipped(path, bit):
        assert set(named(check_refs(root, Store(root).refs()))) == {shown(root, path)}


quick = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@quick
@given(st.data())
def test_a_flipped_bit_in_any_file_of_any_result_is_named(
    finished: Project, data: st.DataObject
) -> None:
    assert_a_flipped_bit_is_named(finished.root, data)


@pytest.mark.long
def test_many_flipped_bits_in_any_file_of_any_result_are_named(
    finished: Project, record_property: Record
) -> None:
    named_ones = itertools.count()

    @settings(quick, max_examples=2000)
    @given(st.data())
    def flip(data: st.DataObject) -> None:
        assert_a_flipped_bit_is_named(finished.root, data)
        next(named_ones)

    flip()
    record_property("bits that were flipped, and named", next(named_ones))


@pytest.mark.parametrize("name", [MANIFEST, COPY, RUN])
def test_a_flipped_bit_anywhere_in_what_no_manifest_lists_is_named(
    finished: Project, name: str
) -> None:
    root = finished.root
    ref = ref_of(root, "tokenizer")
    path = Store(root).folder(ref) / name
    for byte in range(0, path.stat().st_size, path.stat().st_size // 50):
        with flipped(path, 8 * byte + byte % 8):
            assert set(named(check_refs(root, [ref]))) == {shown(root, path)}, byte


# Files


def test_a_truncated_a_missing_and_an_added_file_are_named(root: Path) -> None:
    folder = folder_of(root, "pretrain")
    (folder / "model.safetensors").write_bytes(b"short")
    (folder / "metrics.csv").unlink()
    (folder / "notes.txt").write_text("mine")
    assert named(check(root)) == {
        shown(root, folder / "metrics.csv"): "is missing; its manifest says "
        f"{entry(folder, 'metrics.csv')['bytes']:,} bytes",
        shown(root, folder / "model.safetensors"): "has 5 bytes, its manifest says "
        f"{entry(folder, 'model.safetensors')['bytes']:,}",
        shown(root, folder / "notes.txt"): "is listed by no manifest",
    }


def entry(folder: Path, name: str) -> dict[str, Any]:
    """What a manifest says of a file."""
    return json.loads((folder / MANIFEST).read_text())["files"][name]  # type: ignore[no-any-return]


def test_another_byte_of_the_same_length_is_named_with_both_hashes(root: Path) -> None:
    path = folder_of(root, "encode") / "train.bin"
    expected = sha256_of(path)
    flip(path, 0)
    fault = named(check(root, str(path.parent)))[shown(root, path)]
    assert expected[:12] in fault
    assert sha256_of(path)[:12] in fault


def test_a_file_that_cannot_be_read_is_named(root: Path) -> None:
    path = folder_of(root, "evaluate") / "metrics.json"
    path.unlink()
    path.symlink_to("nowhere")
    assert named(check(root)) == {
        shown(root, path): "cannot be read: No such file or directory",
    }


def test_a_file_that_was_added_to_a_bundle_is_named(root: Path) -> None:
    inner = next(folder_of(root, "report").glob(f"{BUNDLE}/evaluate/*"))
    (inner / "notes.txt").write_text("mine")
    (inner / RUN).unlink()
    (inner / CODE).unlink()
    assert named(check(root)) == {shown(root, inner / "notes.txt"): "is listed by no manifest"}


def test_what_is_damaged_comes_with_a_remedy(root: Path) -> None:
    folder = folder_of(root, "pretrain")
    flip(folder / "model.safetensors", 77)
    lines = list(check(root).lines())
    assert lines[0].startswith(f"damaged: {shown(root, folder)}/model.safetensors has SHA-256 ")
    assert "/manifest.json` to make it again" in lines[1]
    assert lines[-1].endswith(": 1 damaged")


# Manifests


def test_a_missing_manifest_is_named_with_the_copy_as_its_remedy(root: Path) -> None:
    folder = folder_of(root, "finetune")
    (folder / MANIFEST).unlink()
    findings = check(root)
    assert named(findings) == {shown(root, folder / MANIFEST): "is missing"}
    assert findings.damage[0].remedy == (
        f"copy {COPY} of the same folder to {shown(root, folder / MANIFEST)}"
    )
    assert named(check(root, everything=True)) == named(findings)


def test_a_cut_off_manifest_is_named_and_so_is_a_missing_copy(root: Path) -> None:
    one, other = folder_of(root, "finetune"), folder_of(root, "pretrain")
    content = (one / MANIFEST).read_bytes()
    (one / MANIFEST).write_bytes(content[: len(content) // 2])
    (other / COPY).unlink()
    assert named(check(root)) == {
        shown(root, one / MANIFEST): "is cut off or not a manifest",
        shown(root, other / COPY): "is missing",
    }


def test_a_result_without_any_manifest_is_named(root: Path) -> None:
    folder = folder_of(root, "figures")
    (folder / MANIFEST).unlink()
    (folder / COPY).unlink()
    assert set(named(check(root, everything=True))) >= {shown(root, folder / MANIFEST)}


def test_an_empty_folder_is_no_result(root: Path) -> None:
    plan = flow.current(root, seed=3)
    Store(root).folder(plan.of_stage("pretrain")[0].ref).mkdir()
    findings = check(root, everything=True)
    assert findings.damage == findings.notes == ()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda data: data["spec"]["settings"].update(seed=9), "holds the spec of pretrain/"),
        (lambda data: data["spec"].update(schema=2), "holds the spec of pretrain/"),
        (lambda data: data.update(key="0" * 12), "holds the spec of pretrain/"),
        (lambda data: data["inputs"].pop("tokenizer"), "notes other inputs than its spec"),
        (
            lambda data: data["inputs"]["tokens"].update(
                result=data["inputs"]["tokenizer"]["result"]
            ),
            "notes other inputs than its spec",
        ),
    ],
)
def test_a_manifest_that_does_not_fit_its_key_is_named(
    root: Path, change: Callable[[Any], None], fault: str
) -> None:
    folder = folder_of(root, "pretrain")
    rewrite_both(folder, change)
    found = named(check(root))
    assert set(found) == {shown(root, folder / MANIFEST), shown(root, folder / COPY)}
    assert all(text.startswith(fault) for text in found.values())


def test_a_manifest_that_is_spelled_otherwise_is_named(root: Path) -> None:
    path = folder_of(root, "pretrain") / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert named(check(root)) == {shown(root, path): "is not written as manifests are"}


def test_manifests_of_which_none_is_known_to_be_right_are_named_together(root: Path) -> None:
    folder = folder_of(root, "report")
    for upstream in ("evaluate", "stress", "figures", "finetune"):
        shutil.rmtree(root / "results" / upstream)
    rewrite(folder / MANIFEST, lambda data: data["inputs"]["finetuned"].update(manifest_sha256="0"))
    found = named(check(root))
    assert found == {
        shown(root, folder / MANIFEST): f"and {COPY} differ, and nothing here shows which is right"
    }


# The chain


def test_an_upstream_that_is_another_than_the_one_it_was_made_from_is_named(root: Path) -> None:
    """As when it was made again elsewhere: by itself it is sound."""
    folder = folder_of(root, "pretrain")
    path = folder / "metrics.json"
    path.write_text(path.read_text().replace("chosen", "chosen "))

    def note(data: Any) -> None:
        data["files"]["metrics.json"] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}

    rewrite_both(folder, note)
    found = named(check(root))
    assert set(found) == {shown(root, folder / MANIFEST)}
    expected = f"is not the input of {ref_of(root, 'finetune')}"
    assert found[shown(root, folder / MANIFEST)].startswith(expected)
    assert check(root, "pretrain").damage == ()


def test_what_is_noted_of_an_upstream_must_be_what_it_holds(root: Path) -> None:
    folder = folder_of(root, "finetune")
    rewrite_both(folder, lambda data: data["inputs"]["model"]["files"].pop("metrics.csv"))
    for stage in ("evaluate", "stress", "figures", "report"):
        shutil.rmtree(root / "results" / stage)
    assert named(check(root)) == {
        shown(root, folder / MANIFEST): f"notes other files of {ref_of(root, 'pretrain')} than "
        "its manifest lists"
    }


def test_an_upstream_that_is_not_here_is_said_and_is_no_damage(root: Path) -> None:
    ref = ref_of(root, "pretrain")
    shutil.rmtree(Store(root).folder(ref))
    for references in ([], ["finetune"]):
        findings = check(root, *references)
        assert findings.damage == ()
        assert findings.notes == (f"not here: {ref}; `dvc pull -R results` fetches what DVC has",)
        end = ": all as published, but not compared: 1 result not here"
        assert list(findings.lines())[-1].endswith(end)


def test_small_results_that_lie_in_the_report_alone_are_here(root: Path) -> None:
    for stage in ("evaluate", "stress", "figures"):
        shutil.rmtree(root / "results" / stage)
    findings = check(root)
    assert findings.damage == findings.notes == ()
    inner = next(folder_of(root, "report").glob(f"{BUNDLE}/evaluate/*"))
    flip(inner / COPY, 100)
    assert set(named(check(root))) == {shown(root, inner / COPY)}


def test_a_named_result_is_checked_with_all_it_stands_on_and_nothing_else(root: Path) -> None:
    flip(folder_of(root, "stress") / "cases.json", 5)
    flip(folder_of(root, "download") / "documents.jsonl", 5)
    findings = check(root, "tokenizer")
    assert findings.results == 3
    assert set(named(findings)) == {shown(root, folder_of(root, "download") / "documents.jsonl")}
    table = check(root, str(next(Store(root).refs("table")))[:-4])
    assert set(named(table)) == set(named(findings))
    assert check(root, "positions/rotary/2", str(folder_of(root, "encode"))).results == 5
    assert check(root, "positions/rotary").results == 6, "the models of both seeds"
    assert check(root, "normalize").results == 4, "both corpora's, and what they are made from"
    ablation = plan_ablation(load_ablation(root, "positions"), root)
    assert check(root, "positions").results == len(ablation.nodes)
    assert check(root, "micro").results == len(flow.current(root).nodes)


def test_without_any_result_here_there_is_an_error(root: Path) -> None:
    shutil.rmtree(root / "results")
    with pytest.raises(VariorumError, match=r"nothing to verify: none of download/.*, and 19 more"):
        check(root)
    with pytest.raises(
        VariorumError, match=r"nothing to verify: no result is here; .*`dvc pull -R results`"
    ):
        check(root, everything=True)


def test_results_and_all_exclude_each_other_and_so_do_two_projects(
    finished: Project, root: Path
) -> None:
    with pytest.raises(VariorumError, match="not both"):
        check(root, "pretrain", everything=True)
    with pytest.raises(VariorumError, match="several projects"):
        check(root, str(folder_of(root, "encode")), str(folder_of(finished.root, "encode")))
