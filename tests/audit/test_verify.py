"""Whatever is not as it was published is found and named; what is no damage is only said."""

import hashlib
import itertools
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import made_up
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flow
from conftest import Project, Record
from variorum import cli
from variorum.ablation_plan import plan_ablation
from variorum.ablations import load_ablation
from variorum.audit.checks.choice import Choice, choose
from variorum.audit.checks.verify import Findings, verify
from variorum.corpus.sources import python_package
from variorum.engines import tracking
from variorum.engines.tracking import BUNDLE
from variorum.errors import VariorumError
from variorum.fingerprint import kept_digest
from variorum.progress import Progress
from variorum.sources import LOCK
from variorum.store import (
    CODE,
    COPY,
    MANIFEST,
    RUN,
    Ref,
    Spec,
    Store,
    readable_json,
    sealed,
    sha256_of,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment and an ablation of it, run to the end, with their pages in place."""
    return flow.finished_ablation(tmp_path_factory.mktemp("verify") / "project")


@pytest.fixture
def root(finished: Project, tmp_path: Path) -> Path:
    """A copy of the finished project, to change."""
    return flow.copied(finished, tmp_path / "project")


def check(root: Path, *references: str, everything: bool = False) -> Findings:
    chosen = choose(root, references, everything=everything)
    return verify(chosen, Progress("verify"))


def check_refs(root: Path, refs: Iterable[Ref]) -> Findings:
    """Without pages, and without planning anything."""
    return verify(Choice(Store(root), tuple(refs)), Progress("verify"))


def named(findings: Findings) -> dict[str, str]:
    """What is damaged, and how."""
    return {damage.place: damage.fault for damage in findings.damage}


def ref_of(root: Path, stage: str, place: int = 0) -> Ref:
    return flow.current(root).of_stage(stage)[place].ref


def folder_of(root: Path, stage: str, place: int = 0) -> Path:
    return Store(root).folder(ref_of(root, stage, place))


def shown(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def files_of_results(root: Path) -> list[Path]:
    """Every file of every result."""
    folders = [Store(root).folder(ref) for ref in Store(root).refs()]
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]


def rewrite(path: Path, change: Callable[[Any], None]) -> None:
    """Change the data of a JSON file, written as results write it."""
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(readable_json(data), encoding="utf-8")


def rewrite_both(folder: Path, change: Callable[[Any], None]) -> None:
    """Change a manifest and its copy alike."""
    for name in (MANIFEST, COPY):
        rewrite(folder / name, change)


def rewrite_run(folder: Path, change: Callable[[Any], None]) -> None:
    """Change `run.json` and seal it again, as if it had been made so."""
    data = json.loads((folder / RUN).read_text(encoding="utf-8"))
    change(data)
    (folder / RUN).write_text(readable_json(sealed(data, sha256_of(folder / CODE))))


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
        assert kept_digest(result.code) == result.spec.code


# One bit


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


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
        shown(root, folder / MANIFEST): f"and {COPY} are not the same, and nothing here tells "
        "which is right"
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
    expected = f"is not the one that {ref_of(root, 'finetune')} was made from"
    assert found[shown(root, folder / MANIFEST)].startswith(expected)
    assert check(root, "pretrain").damage == ()


def test_what_is_noted_of_an_upstream_must_be_what_it_holds(root: Path) -> None:
    folder = folder_of(root, "finetune")
    rewrite_both(folder, lambda data: data["inputs"]["model"]["files"].pop("metrics.csv"))
    for stage in ("evaluate", "stress", "figures", "report"):
        shutil.rmtree(root / "results" / stage)
    assert named(check(root)) == {
        shown(root, folder / MANIFEST): f"notes other files of {ref_of(root, 'pretrain')} than "
        "that has"
    }


def test_an_upstream_that_is_not_here_is_said_and_is_no_damage(root: Path) -> None:
    ref = ref_of(root, "pretrain")
    shutil.rmtree(Store(root).folder(ref))
    for references in ([], ["finetune"]):
        findings = check(root, *references)
        assert findings.damage == ()
        assert findings.notes == (f"not here: {ref}; `dvc pull` fetches what DVC has",)


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
    with pytest.raises(VariorumError, match=r"nothing to verify: none of download/.*, and 12 more"):
        check(root)
    with pytest.raises(VariorumError, match=r"nothing to verify: no result is here; .*`dvc pull`"):
        check(root, everything=True)


def test_results_and_all_exclude_each_other_and_so_do_two_projects(
    finished: Project, root: Path
) -> None:
    with pytest.raises(VariorumError, match="not both"):
        check(root, "pretrain", everything=True)
    with pytest.raises(VariorumError, match="several projects"):
        check(root, str(folder_of(root, "encode")), str(folder_of(finished.root, "encode")))


# Sources


def test_a_source_that_changed_since_is_said_and_is_no_damage(root: Path) -> None:
    ref = ref_of(root, "download")
    (root / "texts/base/03.txt").write_text("another sun\n")
    findings = check(root, str(Store(root).folder(ref)))
    assert findings.damage == ()
    (note,) = findings.notes
    assert note.startswith(f"the source of {ref} has changed since (SHA-256 ")
    assert note.endswith("a new run would use the new bytes and get another key")


def test_a_source_that_is_gone_is_said_and_is_no_damage(root: Path) -> None:
    ref = ref_of(root, "download")
    folder = str(Store(root).folder(ref))
    shutil.rmtree(root / "texts/base")
    findings = check(root, folder)
    assert findings.damage == ()
    assert findings.notes[0].startswith(f"the source of {ref} is not here any more: source.path: ")


URL = "https://example.org/text.txt"


def downloaded(root: Path, source: dict[str, Any]) -> Findings:
    """What is found about a result of a source of another kind."""
    store = Store(root)
    spec = Spec("download", {"source": source}, {}, "c0de")
    output = store.scratch(spec.ref) / "output"
    output.mkdir(parents=True, exist_ok=True)
    (output / "documents.jsonl").write_text("{}\n")
    store.publish(spec, output, {}, {RUN: {}, CODE: {}})
    return check(root, str(store.folder(spec.ref)))


def package(sha256: str) -> dict[str, Any]:
    return {
        "kind": "python-package",
        "package": "tqdm",
        "version": "1.0",
        "part": "prose",
        "sha256": sha256,
    }


def test_an_installed_package_is_held_against_its_checksum(project: Project) -> None:
    root = project.root
    assert downloaded(root, package(python_package.digest("tqdm"))).notes == ()
    assert "has changed since" in downloaded(root, package("0" * 64)).notes[0]
    gone = {**package("0" * 64), "package": "no_such_package"}
    assert "is not here any more" in downloaded(root, gone).notes[0]


def test_an_address_is_held_against_the_lock_or_what_was_downloaded(project: Project) -> None:
    root = project.root
    source = {"kind": "url", "url": URL, "sha256": "0" * 64}
    assert downloaded(root, source).notes == (), "nothing here tells"
    cached = root / "scratch/downloads" / hashlib.sha256(URL.encode()).hexdigest()[:16]
    cached.mkdir(parents=True)
    (cached / "text.txt").write_text("another text")
    assert "has changed since" in downloaded(root, source).notes[0]
    (root / LOCK).write_text(f'"{URL}": {{sha256: "{"0" * 64}", bytes: 1}}\n')
    assert downloaded(root, source).notes == (), "the lock counts"
    (root / LOCK).write_text(f'"{URL}": {{sha256: "{"1" * 64}", bytes: 1}}\n')
    assert (
        "has changed since (SHA-256 111111111111…, it was 000" in downloaded(root, source).notes[0]
    )


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


def test_a_record_is_promised_only_where_one_brings_a_spoilt_run_back(root: Path) -> None:
    inner = next(folder_of(root, "report").glob(f"{BUNDLE}/evaluate/*"))
    folder = folder_of(root, "evaluate")
    carried, own = (spoilt_remedy(root, place) for place in (inner, folder))
    assert carried == own
    assert own.endswith("no number needs them, and nothing here brings back what they said")
    tracking._record(Store(root))
    assert spoilt_remedy(root, inner) == carried, "none is put back into a report"
    assert spoilt_remedy(root, folder).endswith("put back by the next `snakemake`")
    whole = (folder / RUN).read_bytes()
    for name in (RUN, CODE):
        (folder / name).unlink()
    tracking.put_back(Store(root))
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
    assert named(check(root)) == {
        shown(root, folder / CODE): "holds other code than its key stands on"
    }
    rewrite(folder / CODE, lambda code: code.update({name: "MOST_ROWS  =  16  # a comment"}))
    rewrite_run(folder, lambda run: None)
    assert check(root).damage == (), "comments and formatting do not count"


def test_a_result_from_before_there_were_seals_is_said(root: Path) -> None:
    rewrite(folder_of(root, "pretrain") / RUN, lambda run: run.pop("sha256"))
    findings = check(root)
    assert findings.damage == ()
    assert findings.notes == ("run.json of 1 results has no seal: damage to it could go unseen",)


# Platforms


def test_libraries_that_changed_are_one_warning_each_over_all_results(root: Path) -> None:
    for stage in ("pretrain", "finetune", "encode"):
        rewrite_run(folder_of(root, stage), lambda run: run["libraries"].update(numpy="1.0"))
    rewrite_run(folder_of(root, "report"), lambda run: run["libraries"].update(pandas=None))
    findings = check(root)
    assert findings.damage == ()
    here = json.loads((folder_of(root, "download") / RUN).read_text())["libraries"]
    end = "of 17 results were made; made again here, their bits may differ"
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
    assert "1.0 where 1 of 17 results were made" in warning


def test_another_python_and_processor_are_warned_of(root: Path) -> None:
    python = ".".join(map(str, sys.version_info[:2]))
    changes = {"python": "3.99.1", "processor": "A Processor (avx avx9)"}
    rewrite_run(folder_of(root, "pretrain"), lambda run: run.update(changes))
    warnings = check(root).warnings
    assert warnings[0].startswith(f"Python: {python} here, 3.99 where 1 of 17 results were made")
    assert warnings[1].startswith("vector features: ")
    assert "avx9 where 1 of 17" in warnings[1]
    assert len(warnings) == 2


def test_another_patch_of_python_is_no_other_platform(root: Path) -> None:
    python = ".".join(map(str, sys.version_info[:2]))
    rewrite_run(folder_of(root, "pretrain"), lambda run: run.update(python=f"{python}.99"))
    assert check(root).warnings == ()


# Pages


@pytest.mark.parametrize("page", ["results/finetune/curves.csv", "reports/positions/table.md"])
def test_a_page_that_is_not_its_results_is_named(root: Path, page: str) -> None:
    flip(root / page, 99)
    findings = check(root)
    assert set(named(findings)) == {page}
    assert findings.damage[0].remedy == f"`snakemake --cores 4 {page}` puts it in place"


def test_pages_that_are_missing_or_of_other_settings_are_said(root: Path) -> None:
    (root / "results/finetune/curves.csv").unlink()
    old = ref_of(root, "report")
    renamed = (root / "config/experiments/micro.yaml").read_text().replace("few", "couple of")
    (root / "config/experiments/micro.yaml").write_text(renamed)
    flow.finish(root, flow.current(root))
    new = ref_of(root, "report")
    assert old != new
    findings = check(root)
    assert findings.damage == ()
    page = "results/finetune/report.html"
    assert findings.notes == (
        f"{page} is that of {old}, not of {new}; `snakemake --cores 4 {page}` puts it in place",
        "pages are not in place; `snakemake --cores 4 results/finetune/curves.csv` puts them there",
    )


def test_pages_of_results_that_are_not_here_are_left_alone(root: Path) -> None:
    for stage in ("report", "table"):
        shutil.rmtree(root / "results" / stage)
    flip(root / "results/finetune/report.html", 9)
    flip(root / "reports/positions/table.md", 9)
    assert check(root).damage == ()


# Adopted results


def adopt(root: Path, **adopted: str) -> Ref:
    """The tokenizer's files under a key of other code."""
    return made_up.adopted(root, ref_of(root, "tokenizer"), **adopted)


def test_an_adopted_result_is_said_to_be_so_and_checked_with_the_one_it_is_from(
    root: Path,
) -> None:
    old = ref_of(root, "tokenizer")
    proved = adopt(root, how="proved")
    findings = check(root, proved.key)
    assert findings.damage == ()
    assert findings.notes == (f"{proved} was adopted from {old}, not made",)
    assert findings.results == 4
    flip(Store(root).folder(old) / "tokenizer.json", 50)
    assert set(named(check(root, proved.key))) == {f"results/{old}/tokenizer.json"}


def test_a_word_that_a_result_was_adopted_on_is_told(root: Path) -> None:
    ref = adopt(root, how="because", because="only names changed")
    (note,) = check(root, ref.key).notes
    assert note.endswith("not made, on a person's word: only names changed")


def test_an_adopted_result_of_other_files_is_named(root: Path) -> None:
    ref = adopt(root, manifest_sha256="0" * 64)
    found = named(check(root, ref.key))
    assert set(found) == {f"results/{ref}/{MANIFEST}"}
    assert "is of other files than tokenizer/" in found[f"results/{ref}/{MANIFEST}"]


def made_from(store: Store, tokenizer: Ref) -> Ref:
    """A result that nothing computed, which stands on this one."""
    spec = Spec("encode", {}, {"tokenizer": tokenizer}, "0" * 64)
    output = store.scratch(spec.ref) / "output"
    output.mkdir(parents=True)
    inputs = {"tokenizer": store.open(tokenizer)}
    return store.publish(spec, output, inputs, {RUN: {}, CODE: {}}).ref


def test_a_result_that_is_made_anew_serves_what_was_made_from_the_adopted_one(root: Path) -> None:
    """Its manifest differs from the adopted one in how it came alone."""
    store = Store(root)
    ref = adopt(root, how="proved")
    below = made_from(store, ref)
    assert check(root, below.key).damage == ()
    rewrite_both(store.folder(ref), lambda data: data.pop("adopted"))  # as a run would make it
    assert check(root, below.key).damage == ()
    path = store.folder(ref) / "tokenizer.json"
    path.write_text(path.read_text() + " ")
    digest = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    rewrite_both(store.folder(ref), lambda data: data["files"].update({path.name: digest}))
    assert "is not the one that" in named(check(root, below.key))[f"results/{ref}/{MANIFEST}"]


def test_what_noted_the_whole_manifest_of_an_adopted_result_is_sound(root: Path) -> None:
    """As the first results did that were made from an adopted one."""
    store, ref = Store(root), adopt(root, how="proved")
    below = made_from(store, ref)
    whole = sha256_of(store.folder(ref) / MANIFEST)
    note = {"manifest_sha256": whole}
    rewrite_both(store.folder(below), lambda data: data["inputs"]["tokenizer"].update(note))
    assert check(root, below.key).damage == ()


# The command


def command(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str]:
    """Exit status and standard output of `variorum verify`."""
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["variorum", "verify", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    return int(end.value.code or 0), printed.out


def test_the_command_ends_with_status_1_if_anything_is_damaged(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ([], ["--all"], ["finetune"]):
        code, out = command(root, monkeypatch, capsys, *words)
        assert code == 0
        assert out.splitlines()[-1].endswith("all as published")
    flip(folder_of(root, "pretrain") / "config.json", 3)
    for words in ([], ["--all"], ["finetune"]):
        code, out = command(root, monkeypatch, capsys, *words)
        assert code == 1
        assert f"{ref_of(root, 'pretrain')}/config.json has SHA-256" in out
        assert out.splitlines()[-1].endswith("1 damaged")
    assert command(root, monkeypatch, capsys, "tokenizer")[0] == 0
    assert command(root, monkeypatch, capsys, "no-such-result")[0] == 1
