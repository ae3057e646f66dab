"""Runs change nothing that git sees; sharing changes no committed pin and shares only what fits."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from dvc.exceptions import DvcException

import flow
import made_up
from conftest import Command, Project
from variorum.audit.available import available
from variorum.audit.verify import shared_bytes
from variorum.audit.verify.integrity import Findings, verify
from variorum.audit.verify.selection import Selection, with_upstream
from variorum.base.errors import VariorumError
from variorum.base.files import sha256_of
from variorum.base.git import git
from variorum.base.progress import Progress
from variorum.cli.running import EXPERIMENT
from variorum.identity.spec import Ref
from variorum.plan.experiment import Plan
from variorum.run.publish import is_published, publish
from variorum.stages.registry import TRACKED
from variorum.store import records, sharing
from variorum.store.dvc_cache import DvcCache
from variorum.store.dvc_files import relative_remote, store_bytes
from variorum.store.restoring import restore_results
from variorum.store.result import CODE, MANIFEST, RUN, readable_json, sealed
from variorum.store.sharing import Shared, share
from variorum.store.store import Store
from variorum.store.tracking import pin_of, track

OURS, THEIRS = "AVX512", "DEFAULT"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Results of an experiment and an ablation that nothing computed, as a run leaves them."""
    project = made_up.project(tmp_path_factory.mktemp("sharing") / "project")
    run(project.root, OURS)
    return project


def run(root: Path, kernels: str) -> None:
    """Make all that is missing, as on this processor."""
    made_up.make(root, flow.current(root), kernels=kernels)
    track(root, TRACKED)


@pytest.fixture
def here(made: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    shutil.copytree(made.root, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    return Project(tmp_path / "here")


@pytest.fixture
def plan(here: Project) -> Plan:
    return flow.current(here.root)


def one(plan: Plan, stage: str) -> Ref:
    return plan.of_stage(stage)[0].ref


def shared(project: Project, *, replace: bool = False) -> Shared:
    """Share all results of a project."""
    store = Store(project.root)
    return share(store, with_upstream(store, available(store)), TRACKED, replace=replace)


def elsewhere(project: Project, target: Path, *stages: str) -> Project:
    """A clone on the other processor, which has made all results; of these stages git knows."""
    shared(project)
    for pin in project.root.glob("results/*/*.dvc"):
        if stages and pin.parent.name not in stages:
            project.run("git", "rm", "--quiet", "--cached", str(pin.relative_to(project.root)))
            pin.unlink()
    made_up.commit(project)
    project.run("git", "clone", "--quiet", str(project.root), str(target))
    run(target, THEIRS)
    return Project(target)


def seen_by_git(project: Project) -> str:
    return project.run("git", "status", "--porcelain").stdout


def verified(project: Project) -> Findings:
    store = Store(project.root)
    return verify(Selection(store, tuple(available(store))), Progress("verify"))


def said_of(project: Project, found: Shared) -> str:
    return "\n".join(shared_bytes.lines(Store(project.root), found, Progress("share")))


def test_a_run_leaves_nothing_that_git_sees(here: Project) -> None:
    assert not seen_by_git(here)


def test_what_is_shared_is_what_dvc_would_add(here: Project, plan: Plan) -> None:
    found = shared(here)
    assert set(found.new) == {node.ref for node in plan if node.ref.stage in TRACKED}
    pins = sorted(here.root.glob("results/*/*.dvc"))
    texts = {pin: pin.read_text() for pin in pins}
    names = [str(pin.with_suffix("").relative_to(here.root)) for pin in pins]
    here.run("dvc", "add", "--no-relink", *names)
    assert {pin: pin.read_text() for pin in pins} == texts
    staged = here.run("git", "diff", "--cached", "--name-only").stdout.split()
    assert set(staged) == {str(pin.relative_to(here.root)) for pin in pins}
    assert {Path(name).parent.name for name in staged} == {*TRACKED, "records"} - {
        "table",
        "imported",
    }


def test_whatever_is_staged_is_said(here: Project, tmp_path: Path) -> None:
    """Results that git holds may have been made here too, which a record tells."""
    there = elsewhere(here, tmp_path / "there")
    found = shared(there)
    (staged,) = seen_by_git(there).splitlines()
    assert staged.startswith(f"A  {records.RECORDS}/")
    said = said_of(there, found).splitlines()
    assert said[0].startswith("nothing new: git holds the ")
    assert said[1] == ("staged the .dvc files of 1 record; `git commit` and `dvc push` share them")
    made_up.commit(there)
    again = shared(there)
    assert not again.records
    assert "staged" not in said_of(there, again)
    assert not seen_by_git(there)


def test_a_run_that_ends_while_another_process_shares_waits(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take the pins that are not staged yet for forgotten ones, and move them."""
    runs = [Thread(target=track, args=(here.root, TRACKED)) for _ in range(2)]

    def stage(*words: Any, **options: Any) -> str:
        if words[1] == "add":
            for each in runs:
                each.start()
                each.join(0.2)
            assert all(each.is_alive() for each in runs), "they did not wait"
        return git(*words, **options)

    monkeypatch.setattr(sharing, "git", stage)
    found = shared(here)
    for each in runs:
        each.join()
    staged = here.run("git", "diff", "--cached", "--name-only").stdout.split()
    assert {f"results/{ref}.dvc" for ref in found.new} <= set(staged)
    assert all((here.root / name).is_file() for name in staged)


def test_what_dvc_cannot_do_is_one_line_and_nothing_is_staged(
    here: Project, variorum: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise DvcException("failed to load its settings")

    monkeypatch.setattr("dvc_data.hashfile.build.build", refused)
    done = variorum("share")
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "DVC could not store results; it said: failed to load its settings" in done.err
    assert not seen_by_git(here), "no pin lies in the way of a branch"
    monkeypatch.setenv(EXPERIMENT, "0" * 40)
    assert "the experiment holds no results: DVC could not" in variorum("track").err


def test_bytes_that_dvc_did_not_copy_are_not_pinned(
    here: Project, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    store, tokenizer = Store(here.root), one(plan, "tokenizer")
    store.own_pin(tokenizer).unlink()
    shutil.rmtree(here.root / ".dvc/cache")
    (here.root / ".dvc/cache").write_text("a disk that takes nothing")
    with pytest.raises(VariorumError):
        list(store_bytes(here.root, [store.folder(tokenizer)]))
    track(here.root, TRACKED)
    assert "DVC's cache may lack some of" in capsys.readouterr().err
    assert not store.own_pin(tokenizer).exists()


@pytest.mark.parametrize("of_theirs", [False, True], ids=["own made", "other made"])
def test_no_pin_of_other_bytes_is_lost(
    here: Project,
    plan: Plan,
    tmp_path: Path,
    of_theirs: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An experiment of DVC leaves a pin, of a result that this clone made with other bytes."""
    there, pretrain = elsewhere(here, tmp_path / "there"), one(plan, "pretrain")
    shutil.copytree(there.root / ".dvc/cache", here.root / ".dvc/cache", dirs_exist_ok=True)
    store = Store(here.root)
    pin, own = store.pin(pretrain), store.own_pin(pretrain)
    here.run("git", "rm", "--quiet", "--cached", str(pin))
    pin.write_bytes(Store(there.root).own_pin(pretrain).read_bytes())
    texts = {pin.read_bytes(), own.read_bytes()}
    assert len(texts) == 2
    if of_theirs:
        shutil.rmtree(store.folder(pretrain))
        shutil.copytree(Store(there.root).folder(pretrain), store.folder(pretrain))
    track(here.root, TRACKED)
    assert not pin.exists()
    (other,) = here.root.glob(f"scratch/pins/others/*/{pretrain}.dvc")
    assert {own.read_bytes(), other.read_bytes()} == texts
    assert pin_of(store, pretrain, DvcCache(here.root)) == own
    kept = {ref: flow.files_of(store.folder(ref)) for ref in store.refs() if ref != pretrain}
    told = re.search(rf"{pretrain}: .*`(cp .*)` brings them", capsys.readouterr().err)
    assert told
    here.run("sh", "-c", told[1])
    assert store.exists(pretrain)
    assert {ref: flow.files_of(store.folder(ref)) for ref in kept} == kept


def test_the_way_back_to_other_bytes_leaves_what_git_holds(
    here: Project, plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pin in git names another platform's bytes, and this clone has made both."""
    there, pretrain = elsewhere(here, tmp_path / "there"), one(plan, "pretrain")
    store, theirs = Store(here.root), Store(there.root)
    pin, manifest = store.pin(pretrain), store.folder(pretrain) / MANIFEST
    before = manifest.read_bytes()
    pin.write_bytes(theirs.own_pin(pretrain).read_bytes())
    here.run("git", "add", str(pin))
    here.run("git", "commit", "--quiet", "-m", "theirs")
    shutil.rmtree(store.folder(pretrain))
    shutil.copytree(theirs.folder(pretrain), store.folder(pretrain))
    track(here.root, TRACKED)
    told = re.search(rf"{pretrain}: .*`(cp .*)` brings them", capsys.readouterr().err)
    assert told
    here.run("sh", "-c", told[1])
    assert manifest.read_bytes() == before
    assert store.exists(pretrain)
    assert not here.run("git", "status", "--short", str(pin)).stdout, "nobody else's file changed"
    track(here.root, TRACKED)
    assert pin_of(store, pretrain, DvcCache(here.root)) == store.own_pin(pretrain)
    track_again = capsys.readouterr().err
    assert "also holds other bytes" not in track_again, "git's file names them"


def test_a_second_time_nothing_is_new(here: Project) -> None:
    number = len(shared(here).new)
    made_up.commit(here)
    again = shared(here)
    assert (len(again.present), again.new) == (number, [])
    assert not seen_by_git(here)
    assert said_of(here, again) == f"nothing new: git holds the {number} results here"


def test_a_missing_result_comes_back_though_it_was_not_shared(here: Project, plan: Plan) -> None:
    store = Store(here.root)
    before = flow.files_of(here.root / "results")
    shutil.rmtree(here.root / "results")
    restore_results(store, [plan.last])
    restore_results(store, [node for node in plan if node.ref.stage in TRACKED])
    lacking = before.keys() - flow.files_of(here.root / "results").keys()
    assert {Path(name).name for name in lacking} <= {RUN, "code.json", "README.md"} | {
        Path(name).name for name in before if "/records/" in f"/{name}"
    }
    assert all(store.exists(node.ref) for node in plan)


def test_another_platforms_results_stay_beside_what_git_holds(
    here: Project, plan: Plan, tmp_path: Path
) -> None:
    there = elsewhere(here, tmp_path / "there", "download", "normalize", "pretrain")
    store, pretrain = Store(there.root), one(plan, "pretrain")
    pin = store.pin(pretrain).read_bytes()
    found = shared(there)
    assert found.differing == [pretrain]
    assert set(found.above) >= {one(plan, "finetune"), plan.last.ref}
    assert {ref.stage for ref in found.new} == {"tokenizer", "encode"}
    assert store.pin(pretrain).read_bytes() == pin
    assert not store.pin(one(plan, "finetune")).exists()
    said = said_of(there, found)
    assert f"{pretrain} stays here: git holds other bytes, which are not here (`dvc fetch" in said
    assert f"made from other bytes of {pretrain} than git holds; not shared" in said
    assert not verified(there).damage


def test_bytes_of_two_platforms_are_compared_by_the_rule_of_their_stage(
    here: Project, plan: Plan, tmp_path: Path
) -> None:
    there = elsewhere(here, tmp_path / "there", "pretrain", "records")
    shutil.copytree(here.root / ".dvc/cache", there.root / ".dvc/cache", dirs_exist_ok=True)
    for record in (here.root / records.RECORDS).glob("*.json"):
        shutil.copy(record, there.root / records.RECORDS)
    said = said_of(there, shared(there))
    assert f"made on another platform (PyTorch's kernels {OURS} → {THEIRS})" in said
    assert "must agree to 2.0%: chosen loss 2.0006 → 2.0007" in said
    assert said.count(": within tolerance") == 1
    pretrain = one(plan, "pretrain")
    (note,) = (line for line in verified(there).notes if "git holds other bytes" in line)
    assert note.startswith(str(pretrain))


def test_only_the_word_replaces_what_git_holds(here: Project, plan: Plan, tmp_path: Path) -> None:
    there = elsewhere(here, tmp_path / "there")
    before = {pin: pin.read_bytes() for pin in there.root.glob("results/*/*.dvc")}
    assert set(shared(there).differing) == {one(plan, "pretrain")}
    assert {pin: pin.read_bytes() for pin in before} == before
    found = shared(there, replace=True)
    assert {ref.stage for ref in found.new} == {"pretrain", "finetune", "report"}
    made_up.commit(there)
    assert not shared(there).new
    here.run("git", "pull", "--quiet", str(there.root), "main")
    assert shared(here).differing == [one(plan, "pretrain")]
    assert not seen_by_git(here)


def test_a_result_made_from_other_bytes_than_are_here_is_a_note_on_two_platforms_alone(
    here: Project, plan: Plan, tmp_path: Path
) -> None:
    there = elsewhere(here, tmp_path / "there", "pretrain")
    ours, theirs = Store(here.root), Store(there.root)
    pretrain, finetune = one(plan, "pretrain"), one(plan, "finetune")
    shutil.rmtree(theirs.folder(pretrain))
    shutil.copytree(ours.folder(pretrain), theirs.folder(pretrain))
    findings = verified(there)
    assert not findings.damage
    line = f"{finetune} was made from other bytes of {pretrain}: PyTorch's kernels {THEIRS}, here"
    assert any(note.startswith(f"{line} {OURS}") for note in findings.notes)
    run_file = theirs.folder(pretrain) / RUN
    told = run_file.read_bytes()
    facts = {**json.loads(told), "cpu_capability": THEIRS}
    run_file.write_text(readable_json(sealed(facts, sha256_of(run_file.with_name(CODE)))))
    places = {damage.place for damage in verified(there).damage}
    assert f"results/{pretrain}/{MANIFEST}" in places, "on one platform it is damage"
    run_file.write_bytes(told)
    assert finetune in shared(there).above, "it fits to nothing that git holds"


def test_where_a_result_was_made_is_told_of_its_own_bytes(
    here: Project, plan: Plan, tmp_path: Path
) -> None:
    there = elsewhere(here, tmp_path / "there")
    pretrain = one(plan, "pretrain")
    for record in (here.root / records.RECORDS).glob("*.json"):
        shutil.copy(record, there.root / records.RECORDS)
    store = Store(there.root)
    for ref in store.refs():
        (store.folder(ref) / RUN).unlink()
    records.restore_run_info(store)
    assert store.open(pretrain).run["cpu_capability"] == THEIRS
    shutil.copytree(here.root / ".dvc/cache", there.root / ".dvc/cache", dirs_exist_ok=True)
    run_file = store.folder(pretrain) / RUN
    stale = run_file.read_bytes()
    shutil.rmtree(store.folder(pretrain))
    shutil.copytree(Store(here.root).folder(pretrain), store.folder(pretrain))
    run_file.write_bytes(stale)  # as `dvc pull` leaves it
    track(there.root, TRACKED)
    assert {run["cpu_capability"] for run in recorded_of(there.root, pretrain)} == {OURS, THEIRS}
    records.restore_run_info(store)
    assert store.open(pretrain).run["cpu_capability"] == OURS
    assert len(recorded_of(there.root, pretrain)) == 2
    runs = records.recorded_runs(there.root)
    shared(there)
    shutil.rmtree(there.root / "scratch")
    for record in (there.root / records.RECORDS).glob("*.json"):
        record.unlink()
    assert records.recorded_runs(there.root) == runs, "DVC's cache has them"


def recorded_of(root: Path, wanted: Ref) -> list[Mapping[str, Any]]:
    """What the records tell of all runs that made a result."""
    return [run for ref, _, run in records.recorded_runs(root) if ref == wanted]


@pytest.mark.parametrize("merged", ["--ours", "--theirs"])
def test_two_that_shared_one_key_choose_in_a_merge_and_nothing_is_damaged(
    here: Project, plan: Plan, tmp_path: Path, merged: str
) -> None:
    here.run("git", "clone", "--quiet", str(here.root), str(tmp_path / "there"))
    there = Project(tmp_path / "there")
    run(there.root, THEIRS)
    for project in (here, there):
        shared(project)
        made_up.commit(project)
    done = there.run("git", "pull", "--no-rebase", "--no-edit", str(here.root), "main", check=False)
    assert "CONFLICT" in done.stdout
    for pin in there.root.glob("results/*/*.dvc"):
        assert "<<<<" not in pin.read_text(), "DVC could read no file of the project"
    with pytest.raises(VariorumError, match=r"a merge left \.dvc files in results/ undecided"):
        shared(there)
    there.run("git", "checkout", merged, "--", "results")
    made_up.commit(there)
    found = shared(there)
    assert not found.new
    assert found.differing == ([one(plan, "pretrain")] if merged == "--theirs" else [])
    assert not verified(there).damage


def test_a_branch_with_the_same_results_is_never_blocked(here: Project, plan: Plan) -> None:
    here.run("git", "switch", "--quiet", "--create", "side")
    shared(here)
    made_up.commit(here)
    here.run("git", "switch", "--quiet", "main")
    assert not list(here.root.glob("results/*/*.dvc"))
    run(here.root, OURS)
    here.run("git", "switch", "--quiet", "side")
    here.run("git", "switch", "--quiet", "main")
    here.run("git", "merge", "--quiet", "side")
    assert Store(here.root).pin(plan.last.ref).is_file()


def test_what_a_branch_holds_is_shared_with_the_same_bytes_alone(
    here: Project, plan: Plan, tmp_path: Path
) -> None:
    there = elsewhere(here, tmp_path / "there")
    there.run("git", "switch", "--quiet", "--orphan", "empty")
    there.run("git", "commit", "--quiet", "--allow-empty", "--message", "Nothing")
    found = shared(there)
    assert found.differing == [one(plan, "pretrain")]
    assert "git holds other bytes, on another branch or in an older commit" in said_of(there, found)


def test_pins_that_git_does_not_know_are_moved_out_of_its_way(here: Project, plan: Plan) -> None:
    shared(here)
    here.run("git", "reset", "--quiet")
    assert seen_by_git(here)
    shutil.rmtree(here.root / "scratch/pins")
    track(here.root, TRACKED)
    assert not seen_by_git(here)
    assert Store(here.root).own_pin(plan.last.ref).is_file()


def test_a_pin_whose_bytes_are_not_here_stays_where_dvc_sees_it(here: Project, plan: Plan) -> None:
    shared(here)
    here.run("git", "reset", "--quiet")
    shutil.rmtree(Store(here.root).folder(plan.last.ref))
    shutil.rmtree(here.root / ".dvc/cache")
    track(here.root, TRACKED)
    assert Store(here.root).pin(plan.last.ref).is_file(), "`dvc pull` needs it"


def test_a_run_in_an_experiment_of_dvc_shares_by_itself(
    here: Project, variorum: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    variorum("track")
    assert not seen_by_git(here)
    monkeypatch.setenv(EXPERIMENT, "0" * 40)
    variorum("track")
    staged = here.run("git", "diff", "--cached", "--name-only").stdout.split()
    assert {Path(name).parent.name for name in staged} >= {"pretrain", "report", "records"}


def test_commands_say_what_is_shared(here: Project, variorum: Command) -> None:
    assert "staged the .dvc files of" in variorum("share", "pretrain").out
    assert not list(here.root.glob("results/finetune/*.dvc"))
    shutil.rmtree(here.root / ".dvc")
    refused = variorum("share")
    assert (refused.code, refused.out) == (1, "")
    assert "is no git and DVC repository" in refused.err


def test_a_committed_table_of_the_same_key_stays(here: Project, plan: Plan, tmp_path: Path) -> None:
    folder = Path("reports/page")
    assert publish(Store(here.root), plan.last.ref, here.root / folder)
    there = elsewhere(here, tmp_path / "there")
    committed = flow.files_of(here.root / folder)
    store = Store(there.root)
    assert is_published(store, plan.last.ref, there.root / folder)
    shutil.rmtree(there.root / folder)
    assert not publish(store, plan.last.ref, there.root / folder)
    assert flow.files_of(there.root / folder) == committed
    assert publish(store, plan.last.ref, there.root / folder, replace=True)
    assert flow.files_of(there.root / folder) != committed


def test_cut_off_bytes_in_dvcs_cache_are_stored_anew(here: Project, plan: Plan) -> None:
    store = Store(here.root)
    folder = store.folder(one(plan, "tokenizer"))
    ((_, text),) = store_bytes(here.root, [folder])
    assert text == store.own_pin(one(plan, "tokenizer")).read_text()
    md5 = text.split("md5: ")[1].split()[0]
    listing = here.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    whole = listing.read_bytes()
    listing.chmod(0o644)
    listing.write_bytes(whole[:-3])
    track(here.root, TRACKED)
    assert listing.read_bytes() == whole
    assert os.access(listing, os.R_OK)


SHARED_SETTINGS = "[core]\n    remote = far\n['remote \"far\"']\n    url = {}\n"


@pytest.mark.parametrize(
    ("shared_url", "own_url", "told"),
    [
        ("../dvc-remote", None, ("far", "../dvc-remote")),
        ("../dvc-remote", "/somewhere/dvc-remote", ("", "")),
        ("/somewhere/dvc-remote", None, ("", "")),
        ("s3://bucket/dvc", None, ("", "")),
        ("s3://bucket/100%", "near", ("far", "near")),
        (None, None, ("", "")),
    ],
)
def test_a_remote_that_experiments_cannot_be_pushed_to_is_told(
    tmp_path: Path, shared_url: str | None, own_url: str | None, told: tuple[str, str]
) -> None:
    (tmp_path / ".dvc").mkdir()
    if shared_url:
        (tmp_path / ".dvc/config").write_text(SHARED_SETTINGS.format(shared_url))
    if own_url:
        own = f"['remote \"far\"']\n    url = {own_url}\n"
        (tmp_path / ".dvc/config.local").write_text(own)
    assert relative_remote(tmp_path) == told
