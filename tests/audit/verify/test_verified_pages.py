"""Pages and adopted results are checked, and the command ends with a status."""

import shutil
import sys
from pathlib import Path

import pytest
from verifying import check, flip, folder_of, named, ref_of, rewrite_both

import flow
import made_up
from conftest import Project
from variorum import cli
from variorum.base.files import sha256_of
from variorum.identity.spec import Ref, Spec
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


# Pages


@pytest.mark.parametrize("page", ["results/finetune/curves.csv", "reports/positions/table.md"])
def test_a_page_that_is_not_its_results_is_named(root: Path, page: str) -> None:
    flip(root / page, 99)
    findings = check(root)
    assert set(named(findings)) == {page}
    target = page.replace("curves.csv", "report.html")
    assert findings.damage[0].remedy == f"`snakemake --cores 4 {target}` publishes it"


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
        f"{page} is from {old}, not from {new}; `snakemake --cores 4 {page}` publishes it",
        f"pages are not published; `snakemake --cores 4 {page}` publishes them",
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
    assert "is not the input of" in named(check(root, below.key))[f"results/{ref}/{MANIFEST}"]


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
