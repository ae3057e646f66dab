"""What goes: never what somebody needs, never what DVC has not stored."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from gc_shelf import going, left, note, only, there

import flow
import made_up
from conftest import Project
from variorum.audit.gc import inventory, needs, removal
from variorum.audit.gc.upstream import upstream_of
from variorum.base.errors import VariorumError
from variorum.config.setting_errors import ConfigError
from variorum.identity.spec import Ref
from variorum.plan.experiment import Plan, plan_experiment
from variorum.plan.loading import load_experiment
from variorum.plan.references import References
from variorum.stages.registry import TRACKED
from variorum.store import pins, restoring
from variorum.store.dvc_cache import DvcCache
from variorum.store.result import CODE, COPY, MANIFEST, RUN
from variorum.store.store import Store
from variorum.store.vault import Vault

pytest_plugins = ("gc_fixtures",)

# What goes


def test_what_nobody_needs_goes_with_its_dvc_file_and_all_else_stays(
    root: Path, needed: Plan, wide: Plan
) -> None:
    plan = removal.plan(root)
    assert going(plan) == only(wide, needed)
    assert {ref.stage for ref in going(plan)} == {
        *("pretrain", "finetune", "evaluate", "dynamic", "comparisons"),
        *("stress", "figures", "report"),
    }
    assert not plan.left
    before = flow.files_of(root / "results")
    removed = removal.remove(root, plan)
    assert going(removed) == going(plan)
    assert there(root) == set(needed.nodes)
    gone = tuple(str(ref) for ref in going(plan))
    assert flow.files_of(root / "results") == {
        name: digest for name, digest in before.items() if not name.startswith(gone)
    }
    assert not list((root / "scratch").glob("trash*"))


def test_removed_results_come_back_from_git_and_dvc(shelf: Project, wide: Plan) -> None:
    def files() -> dict[str, str]:
        found = flow.files_of(shelf.root / "results")
        return {name: sha for name, sha in found.items() if Path(name).name not in (RUN, CODE)}

    before = files()
    removal.remove(shelf.root, removal.plan(shelf.root))
    shelf.run("git", "checkout", "--", "results")
    shelf.run("dvc", "checkout", "--recursive", "results")
    made_up.change(shelf.root, model="{n_embd: 32}")
    restoring.restore_results(Store(shelf.root), [wide.last])
    assert files() == before


def test_when_everything_is_needed_it_says_so(root: Path, needed: Plan) -> None:
    made_up.change(root, model="{n_embd: 32}")
    plan = removal.plan(root)
    assert not plan
    n_results = len(there(root))
    assert list(plan.lines(0)) == [
        f"nothing to remove: of the results here, {n_results} are needed and 0 unneeded ones stay"
    ]


REFERENCES = ("heads/feature", "remotes/origin/theirs", "tags/v1", "stash", "exps/aa/run")


@pytest.mark.parametrize("name", REFERENCES)
def test_what_another_reference_pins_stays_until_that_is_deleted(
    shelf: Project, needed: Plan, wide: Plan, name: str
) -> None:
    root, shown = shelf.root, name.removeprefix("heads/").removeprefix("remotes/")
    shelf.run("git", "update-ref", f"refs/{name}", "HEAD")
    plan = removal.plan(root, force=True)
    assert not plan
    only_there = f"{len(only(wide, needed))} results stay because of .dvc files of "
    assert note(plan).startswith(only_there + shown.removeprefix("tags/"))
    shelf.run("git", "update-ref", "-d", f"refs/{name}")
    plan = removal.plan(root)
    assert going(plan) == only(wide, needed)
    assert not plan.notes


def test_what_is_checked_out_and_what_it_follows_pin_nothing(
    shelf: Project, needed: Plan, wide: Plan
) -> None:
    root = shelf.root
    shelf.run("git", "update-ref", "refs/remotes/origin/main", "HEAD")
    assert "of origin/main alone" in note(removal.plan(root))
    shelf.run("git", "remote", "add", "origin", ".")
    shelf.run("git", "branch", "--quiet", "--set-upstream-to", "origin/main")
    assert going(removal.plan(root)) == only(wide, needed)
    shelf.run("git", "switch", "--quiet", "--detach")
    assert "of main, origin/main alone" in note(removal.plan(root))


def holding(shelf: Project, branch: str, refs: set[Ref]) -> None:
    """Commit a branch with the `.dvc` files of these results alone, and with nothing to plan."""
    root = shelf.root
    shelf.run("git", "switch", "--quiet", "--create", branch)
    (root / "config/experiments/micro.yaml").write_text("title: [\n")
    (root / "src/variorum/config/types.py").write_text("raise RuntimeError('half done')\n")
    for file in root.glob("results/*/*.dvc"):
        if Ref(file.parent.name, file.stem) not in refs:
            shelf.run("git", "rm", "--quiet", "--cached", str(file.relative_to(root)))
    shelf.run("git", "commit", "--quiet", "--all", "--message", "Broken")
    shelf.run("git", "switch", "--quiet", "--force", "main")


def test_a_branch_needs_what_it_pins_and_all_below_though_its_code_is_broken(
    shelf: Project, needed: Plan, wide: Plan
) -> None:
    (finetune,), (pretrain,) = wide.of_stage("finetune"), wide.of_stage("pretrain")
    holding(shelf, "broken", {finetune.ref})
    plan = removal.plan(shelf.root)
    assert going(plan) == only(wide, needed) - {finetune.ref, pretrain.ref}
    assert note(plan).startswith("2 results stay because of .dvc files of broken alone")
    files = [shelf.root / f"results/{ref}" for ref in (finetune.ref, pretrain.ref)]
    removal.remove(shelf.root, plan)
    assert all(file.is_dir() and file.with_suffix(".dvc").is_file() for file in files)


def test_a_report_that_a_branch_pins_needs_the_small_results_that_it_carries(
    shelf: Project, wide: Plan
) -> None:
    holding(shelf, "reports", {wide.last.ref})
    assert {ref.stage for ref in set(wide.nodes)} >= {"evaluate", "stress", "figures"}
    assert not removal.plan(shelf.root, force=True)


def test_what_a_branch_has_not_committed_goes_by_force_alone(shelf: Project) -> None:
    root = shelf.root
    plan = made_up.branch(shelf, "feature", seed=2)
    made_up.make(root, plan)
    assert left(removal.plan(root))[plan.last.ref] == "no commit holds its .dvc file (--force)"
    assert plan.last.ref in going(removal.plan(root, force=True))


def test_what_is_kept_stays_with_all_that_it_stands_on(
    root: Path, needed: Plan, wide: Plan
) -> None:
    (finetune,), (pretrain,) = wide.of_stage("finetune"), wide.of_stage("pretrain")
    pins.pin(root, "before", [finetune.ref])
    assert going(removal.plan(root)) == only(wide, needed) - {finetune.ref, pretrain.ref}
    names = {row.ref: row.names for row in inventory.inventory(root)[0]}
    assert names[pretrain.ref] == ("pinned: before",)
    for file in (f"results/{finetune.ref}", ".dvc/cache", "dvc-remote"):
        shutil.rmtree(root / file, ignore_errors=True)
    with pytest.raises(VariorumError, match=rf"{finetune.ref} is pinned as before/1.*dvc pull"):
        removal.plan(root)


def test_what_an_experiment_in_a_folder_of_its_own_needs_stays(root: Path, wide: Plan) -> None:
    settings = (root / "config/experiments/micro.yaml").read_text()
    (root / "config/experiments/sub/deep").mkdir(parents=True)
    file = root / "config/experiments/sub/deep/wide.yaml"
    file.write_text(settings.replace("n_embd: 16", "n_embd: 32"))
    named = plan_experiment(load_experiment(root, {"experiment": "sub/deep/wide"}), root)
    assert named.of_stage("pretrain")[0].ref in wide.nodes, "it is what `gc` would remove"
    assert not going(removal.plan(root)) & set(named.nodes)
    assert References(root).named("sub/deep/wide").plan is not None


OTHER_NAMES = (
    *("./micro", "sub/../micro", "../experiments/micro", "sub//wide", "Micro", "micro ", ""),
    *(".hidden/wide", "sub/.hidden", "{root}/config/experiments/micro"),
)


def test_what_can_be_run_by_a_name_is_needed_under_it_and_nothing_runs_by_another(
    root: Path,
) -> None:
    folder = root / "config/experiments"
    settings = (folder / "micro.yaml").read_text()
    for file in ("sub/wide", ".hidden/wide", "sub/.hidden"):
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / f"{file}.yaml").write_text(settings)
    serves = needs.needs(root, upstream_of(root, Vault(root, TRACKED))).serves
    for name in ("micro", "sub/wide"):
        plan = flow.current(root, experiment=name)
        assert all(name in serves[ref] for ref in plan.nodes)
    for name in OTHER_NAMES:
        with pytest.raises(ConfigError, match=r"^.*known are micro, sub/wide$"):
            load_experiment(root, {"experiment": name.format(root=root)})


def test_nothing_goes_while_needs_are_not_known(root: Path) -> None:
    assert removal.plan(root)
    (root / "config/experiments/micro.yaml").write_text("title: [\n")
    with pytest.raises(VariorumError, match=r"micro.yaml:2: not valid YAML"):
        removal.plan(root, force=True)


def test_by_other_code_than_the_projects_nothing_is_judged(root: Path) -> None:
    file = root / "src/variorum/base/progress.py"
    file.write_text(file.read_text() + "# Another line\n")
    with pytest.raises(
        VariorumError, match=r"src/variorum/base/progress.py differs from the running"
    ):
        removal.plan(root)


# What DVC has stored


def test_what_dvc_has_not_stored_stays_with_all_below_unless_told(
    root: Path, needed: Plan, wide: Plan
) -> None:
    made_up.change(root, model="{n_embd: 32}", stress="{case_tokens: 16}")
    other = flow.current(root)
    made_up.make(root, other)
    made_up.change(root)
    plan = removal.plan(root)
    new = only(other, wide)
    assert {ref.stage for ref in new} == {"stress", "report"}
    reasons = left(plan)
    for ref in new:
        assert reasons.pop(ref) == (
            "no commit holds its .dvc file (--force)"
            if ref.stage == "report"
            else "no report or table that DVC has stored carries it (--force)"
        )
    assert set(reasons) == only(wide, needed) & set(other.nodes)
    assert set(reasons.values()) == {"a result that stays was made from it"}
    assert going(plan) == only(wide, needed) - set(other.nodes)
    assert going(removal.plan(root, force=True)) == new | only(wide, needed)


def test_added_to_dvc_is_not_enough_before_it_is_committed(shelf: Project) -> None:
    root = shelf.root
    made_up.change(root, seed=2)
    other = flow.current(root)
    made_up.make(root, other)
    made_up.share(root)
    made_up.change(root)
    assert left(removal.plan(root))[other.last.ref] == "no commit holds its .dvc file (--force)"
    made_up.commit(shelf)
    assert other.last.ref in going(removal.plan(root))


def test_an_old_commit_stores_as_well(shelf: Project, needed: Plan, wide: Plan) -> None:
    root, gone = shelf.root, only(wide, needed)
    files = [f"results/{ref}.dvc" for ref in gone if (root / f"results/{ref}.dvc").is_file()]
    shelf.run("git", "rm", "--quiet", *files)
    assert going(removal.plan(root)) == gone
    shelf.run("git", "commit", "--quiet", "--message", "No longer")
    plan = removal.plan(root)
    assert going(plan) == gone
    removal.remove(root, plan)
    assert there(root) == set(needed.nodes)
    ref = wide.of_stage("pretrain")[0].ref
    shelf.run("git", "checkout", "HEAD~1", "--", f"results/{ref}.dvc")
    shelf.run("dvc", "checkout", f"results/{ref}.dvc")
    assert there(root) == {*needed.nodes, ref}


def test_a_commit_that_no_reference_reaches_stores_nothing(
    shelf: Project, needed: Plan, wide: Plan
) -> None:
    root, gone = shelf.root, only(wide, needed)
    files = [f"results/{ref}.dvc" for ref in gone if (root / f"results/{ref}.dvc").is_file()]
    shelf.run("git", "rm", "--quiet", *files)
    shelf.run("git", "commit", "--quiet", "--amend", "--message", "As if never")
    plan = removal.plan(root)
    assert not plan
    assert left(plan).keys() == gone


def cached_file(root: Path, file: Path) -> Path:
    """Where DVC's cache keeps a file of a result."""
    digest = subprocess.run(["md5sum", file], capture_output=True, text=True, check=True).stdout
    cached = DvcCache(root).path(digest[:32])
    assert cached.is_file()
    return cached


@pytest.mark.parametrize("damage", ["gone", "cut off"])
@pytest.mark.parametrize("stage", ["pretrain", "stress"])
def test_bytes_that_dvc_has_lost_are_not_stored(
    root: Path, wide: Plan, stage: str, damage: str
) -> None:
    ref = wide.of_stage(stage)[0].ref
    cached = cached_file(root, Store(root).folder(ref) / "content.txt")
    cached.chmod(0o644)
    cached.unlink() if damage == "gone" else os.truncate(cached, 10)
    why = "neither in DVC's cache" if stage == "pretrain" else "no report or table"
    assert why in left(removal.plan(root))[ref]


def test_a_stored_manifest_of_other_bytes_is_not_believed(root: Path, wide: Plan) -> None:
    ref = wide.of_stage("pretrain")[0].ref
    cached = cached_file(root, Store(root).folder(ref) / MANIFEST)
    cached.chmod(0o644)
    cached.write_text(json.dumps(json.loads(cached.read_text())))
    assert "neither in DVC's cache" in left(removal.plan(root))[ref]


def test_a_remote_on_this_machine_stores_as_well(shelf: Project, needed: Plan, wide: Plan) -> None:
    shelf.run("dvc", "push", "--quiet")
    shutil.rmtree(shelf.root / ".dvc/cache")
    assert going(removal.plan(shelf.root)) == only(wide, needed)
    shutil.rmtree(shelf.root / "dvc-remote")
    plan = removal.plan(shelf.root)
    assert not plan
    assert set(left(plan)) == only(wide, needed)


def test_a_cache_in_another_place_stores_as_well(
    shelf: Project, needed: Plan, wide: Plan, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(shelf.root / ".dvc/cache", elsewhere)
    assert not removal.plan(shelf.root)
    shelf.run("dvc", "config", "--local", "cache.dir", str(elsewhere))
    assert going(removal.plan(shelf.root)) == only(wide, needed)


def test_what_differs_from_what_dvc_has_is_not_stored(root: Path, wide: Plan) -> None:
    for stage in ("pretrain", "stress"):
        ref = wide.of_stage(stage)[0].ref
        for name in (MANIFEST, COPY):
            file = Store(root).folder(ref) / name
            file.write_text(file.read_text().replace('"files"', '"adopted": {}, "files"'))
        assert "DVC has stored other bytes" in left(removal.plan(root))[ref]


def test_a_folder_without_a_manifest_is_not_stored(root: Path) -> None:
    folder = root / "results/pretrain/0123456789ab"
    folder.mkdir()
    (folder / "half.txt").write_text("mine")
    assert Ref("pretrain", folder.name) in left(removal.plan(root))
    plan = removal.plan(root, force=True)
    assert Ref("pretrain", folder.name) in going(plan)
    assert any("there is no complete result" in line for line in plan.lines(0))


def test_a_dvc_file_without_its_result_goes_once_it_is_committed(
    shelf: Project, needed: Plan, wide: Plan
) -> None:
    root = shelf.root
    shutil.rmtree(root / "results/pretrain")
    shelf.run("git", "checkout", "--", "results")
    ref = wide.of_stage("pretrain")[0].ref
    plan = removal.plan(root)
    assert going(plan) == only(wide, needed)
    assert any(f"{ref}" in line and "only its .dvc" in line for line in plan.lines(0))
    (root / f"results/{ref}").mkdir(parents=True)
    assert going(removal.plan(root)) == only(wide, needed), "an empty folder holds nothing"
    (root / f"results/{ref}.dvc").write_text("outs:\n")
    assert ref in left(removal.plan(root))
    removal.remove(root, plan)
    assert not (root / f"results/{ref}.dvc").exists()


def test_without_git_this_folder_alone_counts_and_nothing_is_stored(
    root: Path, needed: Plan, wide: Plan
) -> None:
    shutil.rmtree(root / ".git")
    plan = removal.plan(root)
    assert not plan
    assert left(plan).keys() == only(wide, needed)
    assert note(plan).startswith("no git repository here: only plans and pins of this folder")
    assert going(removal.plan(root, force=True)) == only(wide, needed)


def test_what_dvc_holds_damaged_is_not_stored(shelf: Project, wide: Plan) -> None:
    root = shelf.root
    (pretrain,) = wide.of_stage("pretrain")
    assert pretrain.ref in {row.ref for row in removal.plan(root).results}
    content = (Store(root).folder(pretrain.ref) / "content.txt").read_bytes()
    digest = hashlib.md5(content).hexdigest()
    held = root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    held.chmod(0o644)
    held.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    plan = removal.plan(root)
    assert pretrain.ref not in {row.ref for row in plan.results}
    assert any("neither in DVC's cache" in why for row, why in plan.left if row.ref == pretrain.ref)
