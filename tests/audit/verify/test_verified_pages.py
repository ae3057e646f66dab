"""Pages and adopted results are checked, and the command ends with a status."""

import json
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from verifying import check, flip, folder_of, named, ref_of, rewrite, rewrite_both

import flow
import made_up
from conftest import Project
from variorum.audit.verify.integrity import _Audit
from variorum.audit.verify.selection import select
from variorum.base.files import sha256_of
from variorum.base.progress import Progress
from variorum.cli.command import main
from variorum.identity.spec import Ref, Spec
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.run.publish import (
    REPORT_FILES,
    is_published,
    notes_of,
    publish,
    published_names,
)
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
    assert findings.uncompared == ("1 page not published",)


def test_pages_without_their_result_are_not_said_to_be_compared(root: Path) -> None:
    report = ref_of(root, "report")
    publish(Store(root), report, root / "reports/experiments/kept")
    whole = check(root)
    assert (whole.uncompared, whole.damage) == ((), ())
    shutil.rmtree(Store(root).folder(report))
    findings = check(root)
    assert findings.damage == ()
    assert findings.uncompared == (
        "1 result not here",
        f"{len(REPORT_FILES)} published files of no result here",
        "1 page of no result here, but with the manifest beside it",
    )
    assert 0 < findings.pages < whole.pages


def test_without_its_result_a_page_is_left_alone_and_a_table_compared_with_its_manifest(
    root: Path,
) -> None:
    for stage in ("report", "table"):
        shutil.rmtree(root / "results" / stage)
    flip(root / "results/finetune/report.html", 9)
    assert check(root).damage == ()
    flip(root / "reports/positions/table.md", 9)
    assert set(named(check(root))) == {"reports/positions/table.md"}


READ_BY_PEOPLE = ("results/finetune", "reports/positions", "reports/experiments/micro")
"""Folders of the files that people read."""


@pytest.fixture(scope="module")
def published(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished project, with the numbers of its page in `reports/`, too."""
    root = flow.copied(finished, tmp_path_factory.mktemp("published") / "project")
    publish(Store(root), ref_of(root, "report"), root / "reports/experiments/micro")
    return root


def read_by_people(root: Path) -> list[str]:
    return [
        f"{folder}/{path.name}"
        for folder in READ_BY_PEOPLE
        for path in sorted((root / folder).iterdir())
        if path.is_file() and path.suffix != ".dvc"
    ]


def forged(text: bytes, n: int) -> Iterator[bytes]:
    """The text with another digit, for up to `n` of its digits, with one more, and cut off."""
    places = [place for place, byte in enumerate(text) if byte in b"0123456789"]
    for place in random.Random(1).sample(places, min(n, len(places))):
        digit = b"%d" % ((int(text[place : place + 1]) + 1) % 10)
        yield text[:place] + digit + text[place + 1 :]
    yield text + b"1"
    yield text[:-1]
    yield b""


@pytest.mark.parametrize("left_out", [(), ("report", "table")], ids=["all here", "cloned"])
@pytest.mark.parametrize("asked", [(), ("micro",), ("positions",)], ids=str)
def test_no_digit_that_people_read_can_be_forged(
    published: Path, tmp_path: Path, asked: tuple[str, ...], left_out: tuple[str, ...]
) -> None:
    root = tmp_path / "project"
    shutil.copytree(published, root)
    for stage in left_out:
        shutil.rmtree(root / "results" / stage)
    selection = select(root, asked)
    own = {"micro": ("results/finetune", "experiments"), "positions": ("reports/positions",)}
    parts = [part for name in asked for part in own[name]] or [""]
    files = [file for file in read_by_people(root) if any(part in file for part in parts)]
    assert len(files) > 4
    audit = _Audit(selection, Progress("v"))
    audit.check()
    for file in files:
        kept = ("costs.csv", MANIFEST)
        if left_out and (file.startswith("results/") or file.endswith(kept)):
            continue  # nothing here says what they should be
        right = (root / file).read_bytes()
        for wrong in forged(right, 5 if file.endswith(MANIFEST) else 20):
            (root / file).write_bytes(wrong)
            audit.damage.clear()
            again = select(root, asked) if file.endswith(MANIFEST) else selection
            audit.check_pages(again)
            assert file in audit.damage, (file, len(wrong))
        (root / file).write_bytes(right)
        audit.damage.clear()
        audit.check_pages(selection)
        assert not audit.damage


def test_what_a_clone_cannot_tell_of_a_forged_table_is_said(
    published: Path, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    shutil.copytree(published, root)
    table, report = (root / "reports/positions", root / "reports/experiments/micro")
    assert not any("should be" in note for note in check(root).notes)
    for stage in ("report", "table"):
        shutil.rmtree(root / "results" / stage)

    def said(folder: Path) -> list[str]:
        start = f"{folder.relative_to(root)}: without "
        return [note for note in check(root).notes if note.startswith(start)]

    [note] = said(table)
    assert "manifest.json beside them alone says what " in note
    assert "runs.csv" in note
    assert "nothing says what costs.csv should be" in note
    [note] = said(report)
    assert "findings.md, numbers.csv should be" in note
    assert "nothing says what costs.csv should be" in note
    [note] = said(root / "results/finetune")
    assert "nothing says what curves.csv" in note
    assert "beside" not in note

    upstream = next(iter(json.loads((table / MANIFEST).read_text())["inputs"].values()))
    forged_digest = "f" * 64
    content = (table / MANIFEST).read_text()
    (table / MANIFEST).write_text(content.replace(upstream["manifest_sha256"], forged_digest))
    findings = check(root)
    assert any("notes other bytes of " in note for note in findings.notes)


def forge_with_manifest(folder: Path, name: str) -> None:
    """Another digit in a page, and the manifest beside it as if that had been published."""
    path = folder / name
    path.write_bytes(next(forged(path.read_bytes(), 1)))
    digest = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    rewrite(folder / MANIFEST, lambda data: data["files"].update({name: digest}))


def test_no_page_can_be_forged_together_with_its_manifest(root: Path) -> None:
    publish(Store(root), ref_of(root, "report"), root / "reports/experiments/micro")
    for place in READ_BY_PEOPLE[1:]:
        folder, stage = root / place, "table" if "positions" in place else "report"
        (ref,) = Store(root).refs(stage)
        manifest = (folder / MANIFEST).read_bytes()
        for name in published_names(json.loads(manifest)["files"]):
            page = (folder / name).read_bytes()
            forge_with_manifest(folder, name)
            assert set(named(check(root))) == {f"{place}/{name}", f"{place}/{MANIFEST}"}
            if stage == "table":
                assert not is_published(Store(root), ref, folder)
            assert publish(Store(root), ref, folder)
            assert ((folder / name).read_bytes(), (folder / MANIFEST).read_bytes()) == (
                page,
                manifest,
            )
    assert check(root).damage == ()


def test_the_remedy_is_a_command_that_publishes_there(root: Path) -> None:
    """Snakemake has rules for the page and for tables of ablations alone."""
    ref, place = ref_of(root, "report"), "reports/experiments/micro"
    publish(Store(root), ref, root / place)
    flip(root / place / "numbers.csv", 99)
    (damage,) = check(root).damage
    assert damage.remedy == f"`variorum publish {ref} {place}` publishes it"
    (root / place / MANIFEST).write_text("{")
    (damage,) = check(root).damage
    assert damage.remedy == "take it from a clone that holds it whole"


def test_what_git_holds_of_a_page_without_its_result_is_restored(root: Path) -> None:
    ref, place = ref_of(root, "report"), "reports/experiments/micro"
    publish(Store(root), ref, root / place)
    shutil.rmtree(Store(root).folder(ref))
    git = Project(root).run
    git("git", "init", "--quiet")
    git("git", "add", "--force", place)
    git("git", "commit", "--quiet", "--message", "one")
    flip(root / place / "numbers.csv", 99)
    git("git", "add", place)
    (damage,) = check(root).damage
    command, _, told = damage.remedy.removeprefix("`").partition("`")
    assert told == " restores what the last commit holds"
    git(*command.split())
    assert check(root).damage == ()
    flip(root / place / "numbers.csv", 99)
    git("git", "commit", "--quiet", "--all", "--message", "two")
    (damage,) = check(root).damage
    assert damage.remedy == f"an older commit may hold it whole: `git log -- {place}`"


def test_a_manifest_that_lists_too_little_is_named_without_its_result(root: Path) -> None:
    shutil.rmtree(root / "results/table")
    assert check(root).damage == ()
    folder = root / "reports/positions"
    rewrite(folder / MANIFEST, lambda data: data["files"].pop("table.md"))
    flip(folder / "table.md", 9)
    assert named(check(root)) == {"reports/positions/manifest.json": "lists no table.md"}


def test_a_committed_table_of_older_code_is_judged_by_its_own_manifest(root: Path) -> None:
    """What the present code would make is not here, and would have other digits."""
    folder = root / "reports/positions"
    own = plan_ablation(load_ablation(root, "positions"), root).last.ref
    git = Project(root).run
    git("git", "init", "--quiet")
    git("git", "add", "--force", "reports")
    git("git", "commit", "--quiet", "--message", "a table")
    shutil.rmtree(root / "results/table")
    question = root / "config/ablations/positions.yaml"
    question.write_text(question.read_text().replace("title: ", "title: Again, ", 1))
    new = plan_ablation(load_ablation(root, "positions"), root).last.ref
    assert new != own
    findings = check(root)
    assert findings.damage == ()
    assert f"reports/positions is from {own}, not from {new}" in findings.notes
    assert any(f"reports/positions: without {own} " in note for note in findings.notes)
    flip(folder / "table.md", 9)
    (damage,) = check(root).damage
    assert damage.fault == f"is not table.md of {own}"
    command, _, _ = damage.remedy.removeprefix("`").partition("`")
    git(*command.split())
    assert check(root).damage == ()


def test_how_long_another_clone_took_is_right_if_a_record_says_so(root: Path) -> None:
    costs = root / "reports/positions/costs.csv"
    before = costs.read_bytes()
    ref = plan_ablation(load_ablation(root, "positions"), root).last.ref
    run = dict(Store(root).open(ref).run)
    run["costs"] = [{**each, "seconds": 1234.0} for each in run["costs"]]
    costs.write_bytes(notes_of(run)["costs.csv"])
    assert costs.read_bytes() != before
    assert set(named(check(root))) == {"reports/positions/costs.csv"}
    git = Project(root).run
    git("git", "init", "--quiet")
    git("git", "add", "--force", "reports")
    git("git", "commit", "--quiet", "--message", "as another clone made it")
    findings = check(root)
    assert findings.damage == ()
    assert any("costs.csv is of no run of" in note for note in findings.notes)
    costs.write_bytes(costs.read_bytes().replace(b"1234", b"1235"))
    assert set(named(check(root))) == {"reports/positions/costs.csv"}, "nobody's"
    git("git", "restore", "reports")
    record = root / "results/records/0123456789ab.json"
    record.parent.mkdir(exist_ok=True)
    told = {"results": {str(ref): {"run": run, "code": {}}}, "sources": {}}
    record.write_text(json.dumps(told), encoding="utf-8")
    assert check(root).damage == ()
    record.rename(root / "elsewhere.json")
    record.with_name(f"{record.name}.dvc").touch()
    findings = check(root)
    assert findings.damage == ()
    assert any("costs.csv is of no run" in note for note in findings.notes)


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
        main()
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
