"""What is there, and what goes: never what somebody needs, never what DVC has not stored."""

import errno
import hashlib
import json
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flow
import made_up
from conftest import Project
from variorum import cli, kept, runner
from variorum.ablation_plan import plan_ablation
from variorum.ablations import load_ablation
from variorum.audit.adopt import adopting as adopt
from variorum.audit.holdings import inventory, removal
from variorum.audit.holdings.needs import Needs
from variorum.audit.verify import rerun
from variorum.engines import tracking
from variorum.engines.dvc_cache import DvcCache
from variorum.errors import Stopped, VariorumError
from variorum.machine import Machine
from variorum.plan import Plan
from variorum.progress import Progress
from variorum.store import CODE, COPY, MANIFEST, RUN, Ref, Store
from variorum.task import Task

GC = ("variorum", "gc")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The results of `micro`, and of a wider model that counts no more, stored and committed.

    Their corpora and tokenizer are the same.
    """
    made = made_up.project(tmp_path_factory.mktemp("inventory") / "project")
    made_up.make(made.root, flow.current(made.root))
    made_up.change(made.root, model="{n_embd: 32}")
    made_up.make(made.root, flow.current(made.root))
    tracking.track(made.root)
    made_up.change(made.root)
    made_up.commit(made)
    return made


@pytest.fixture
def project(stored: Project, tmp_path: Path) -> Project:
    shutil.copytree(stored.root, tmp_path / "project")
    return Project(tmp_path / "project")


@pytest.fixture
def root(project: Project) -> Path:
    return project.root


@pytest.fixture
def needed(root: Path) -> Plan:
    return flow.current(root)


@pytest.fixture
def wide(root: Path) -> Plan:
    """What was needed once."""
    made_up.change(root, model="{n_embd: 32}")
    plan = flow.current(root)
    made_up.change(root)
    return plan


def going(plan: removal.Removal) -> set[Ref]:
    return {row.ref for row in plan.results}


def left(plan: removal.Removal) -> dict[Ref, str]:
    return {row.ref: reason for row, reason in plan.left}


def only(plan: Plan, other: Plan) -> set[Ref]:
    """What one plan has and the other one has not."""
    return set(plan.nodes) - set(other.nodes)


def there(root: Path) -> set[Ref]:
    """Everything that is complete; raises if anything is in parts."""
    found = set(inventory.refs(Store(root)))
    assert all(Store(root).exists(ref) for ref in found)
    return found


# What is there


def test_rows_stand_in_the_order_of_the_flow_and_by_age(root: Path, needed: Plan) -> None:
    made_up.change(root, seed=2)
    made_up.make(root, flow.current(root), begun="2025-01-01T00:00:00+00:00")
    listed = inventory.listing(root).rows
    stages = list(dict.fromkeys(row.ref.stage for row in listed))
    assert stages == [
        *("download", "normalize", "tokenizer", "encode", "pretrain", "finetune"),
        *("evaluate", "stress", "figures", "report"),
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
    rows = {row.ref: row for row in inventory.listing(root, "pretrain").rows}
    row = rows[pretrain.ref]
    size = Store(root).open(pretrain.ref).n_bytes
    assert (row.label, row.n_bytes, row.seconds, row.names) == ("micro", size, 12.34, ())
    line = row.line(row.begun + 3 * 3600 + 59).split()
    size_shown = f"{size / 1e6:.2f}"
    assert line == [str(pretrain.ref), size_shown, "MB", "3", "h", "12.3", "s", "micro", "nobody"]


def test_what_was_adopted_or_is_damaged_is_marked(root: Path, needed: Plan) -> None:
    store, node = Store(root), needed.of_stage("encode")[0]
    made_up.change(root, seed=2)
    new = flow.current(root).of_stage("pretrain")[0]
    output = store.scratch(new.ref) / "output"
    output.mkdir(parents=True)
    inputs = {name: store.open(ref) for name, ref in new.spec.upstream.items()}
    store.publish(new.spec, output, inputs, {RUN: {}, "code.json": {}}, adopted={"how": "proved"})
    (store.folder(node.ref) / "content.txt").unlink()
    rows = {row.ref: row for row in inventory.listing(root).rows}
    assert rows[new.ref].adopted
    assert rows[new.ref].line(time.time()).endswith("current (adopted)")
    assert f"damaged: results/{node.ref}/content.txt is missing" in rows[node.ref].line(0)
    marked = {ref for ref, row in rows.items() if row.adopted or row.damaged}
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
    rows = inventory.listing(root).rows
    lines = [line.split() for line in inventory.totals(rows)]
    assert lines[0][:2] == ["download", "2"]
    assert sum(int(line[1]) for line in lines[:-1]) == int(lines[-1][0]) == len(rows)
    every = sum(Store(root).open(row.ref).n_bytes for row in rows)
    assert lines[-1][1:] == [f"{every / 1e6:.2f}", "MB", "in", "all"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (86399, "23 h"),
        (86400 * 400, "400 d"),
    ],
)
def test_ages_are_for_people(seconds: float, words: str) -> None:
    assert inventory.age(seconds) == words


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_what_is_older_never_looks_younger(one: float, other: float) -> None:
    def lower_bound(words: str) -> int:
        count, unit = words.split()
        return int(count) * {"s": 1, **dict(inventory.UNITS)}[unit]

    young, old = sorted((one, other))
    assert lower_bound(inventory.age(young)) <= lower_bound(inventory.age(old)) <= old


def test_many_who_need_a_result_are_counted() -> None:
    assert inventory.shortened(()) == "nobody"
    assert inventory.shortened(("a", "b", "c")) == "a, b, c"
    assert inventory.shortened(("a", "b", "c", "d", "e")) == "a, b, c and 2 more"


def test_other_branches_are_asked_only_if_wanted(project: Project, wide: Plan) -> None:
    root = project.root
    made_up.branch(project, "feature", model="{n_embd: 32}")
    (pretrain,) = wide.of_stage("pretrain")
    assert {r.ref: r.names for r in inventory.listing(root).rows}[pretrain.ref] == ()
    listed = inventory.listing(root, branches=True)
    assert {r.ref: r.names for r in listed.rows}[pretrain.ref] == ("current@feature",)
    assert not listed.doubts


def test_what_cannot_be_planned_here_is_a_doubt(root: Path) -> None:
    (root / "config/experiments/broken.yaml").write_text("title: [\n")
    listed = inventory.listing(root)
    assert len(listed.doubts) == 1
    assert "broken.yaml:2: not valid YAML" in listed.doubts[0]
    assert listed.rows


# What goes


def test_what_nobody_needs_goes_with_its_dvc_file_and_all_else_stays(
    root: Path, needed: Plan, wide: Plan
) -> None:
    plan = removal.plan(root)
    assert going(plan) == only(wide, needed)
    assert {ref.stage for ref in going(plan)} == {
        *("pretrain", "finetune", "evaluate", "stress", "figures", "report")
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


def test_removed_results_come_back_from_git_and_dvc(project: Project, wide: Plan) -> None:
    def files() -> dict[str, str]:
        found = flow.files_of(project.root / "results")
        return {name: sha for name, sha in found.items() if Path(name).name not in (RUN, CODE)}

    before = files()
    removal.remove(project.root, removal.plan(project.root))
    project.run("git", "checkout", "--", "results")
    project.run("dvc", "checkout", "--recursive", "results")
    made_up.change(project.root, model="{n_embd: 32}")
    tracking.bring_back(Store(project.root), [wide.last])
    assert files() == before


def test_when_everything_is_needed_it_says_so(root: Path, needed: Plan) -> None:
    made_up.change(root, model="{n_embd: 32}")
    plan = removal.plan(root)
    assert not plan
    n_results = len(there(root))
    assert list(plan.lines(0)) == [
        f"nothing to remove: of the results here, {n_results} are needed and 0 left alone"
    ]


def test_what_another_branch_needs_stays(project: Project, needed: Plan, wide: Plan) -> None:
    made_up.branch(project, "feature", model="{n_embd: 32}")
    assert not removal.plan(project.root)
    assert going(removal.plan(project.root, ignored=["feature"])) == only(wide, needed)
    assert going(removal.plan(project.root, branches=False)) == only(wide, needed)


def test_a_broken_branch_keeps_what_it_pins_and_lets_nothing_unstored_go(
    project: Project, needed: Plan, wide: Plan
) -> None:
    root = project.root
    project.run("git", "switch", "--quiet", "--create", "broken")
    (root / "config/experiments/micro.yaml").write_text("title: [\n")
    made_up.commit(project)
    project.run("git", "switch", "--quiet", "main")
    made_up.change(root, seed=2)
    unstored = flow.current(root)
    made_up.make(root, unstored)
    made_up.change(root)
    plan = removal.plan(root)
    assert not plan, "the branch's .dvc files name all that was stored"
    assert any("broken cannot be planned" in line for line in plan.lines(0))
    plan = removal.plan(root, unstored=True)
    assert not plan
    assert "and broken, which cannot be planned, might need it" in left(plan)[unstored.last.ref]
    plan = removal.plan(root, unstored=True, ignored=["broken"])
    assert going(plan) == only(wide, needed) | only(unstored, needed)


@pytest.mark.parametrize("place", ["here", "on a branch"])
def test_what_is_kept_stays_with_all_that_it_stands_on(
    project: Project, needed: Plan, wide: Plan, place: str
) -> None:
    root = project.root
    (finetune,), (pretrain,) = wide.of_stage("finetune"), wide.of_stage("pretrain")
    if place == "on a branch":
        project.run("git", "switch", "--quiet", "--create", "feature")
    kept.keep(root, "before", [finetune.ref])
    if place == "on a branch":
        made_up.commit(project)
        project.run("git", "switch", "--quiet", "main")
    assert going(removal.plan(root)) == only(wide, needed) - {finetune.ref, pretrain.ref}
    names = {row.ref: row.names for row in inventory.listing(root, branches=True).rows}
    shown = "kept: before" if place == "here" else "kept: before@feature"
    assert names[pretrain.ref] == (shown,)
    for file in (f"results/{finetune.ref}", ".dvc/cache", "dvc-remote"):
        shutil.rmtree(root / file, ignore_errors=True)
    with pytest.raises(VariorumError, match=rf"{finetune.ref} is kept as before/1.*dvc pull"):
        removal.plan(root)


def test_a_branch_whose_ablation_names_what_is_kept_is_planned(
    project: Project, wide: Plan
) -> None:
    root = project.root
    (pretrain,) = wide.of_stage("pretrain")
    project.run("git", "switch", "--quiet", "--create", "feature")
    made_up.change(root, model="{n_embd: 32}", seed=2)
    other = flow.current(root)
    made_up.make(root, other)
    made_up.change(root)
    kept.keep(root, "before", [pretrain.ref, other.of_stage("pretrain")[0].ref])
    (root / "config/ablations").mkdir()
    text = made_up.ABLATION.replace("{model: {n_embd: 32}}", "{kept: before}")
    (root / "config/ablations/widths.yaml").write_text(text)
    plan = plan_ablation(load_ablation(root, "widths"), root)
    made_up.commit(project)
    project.run("git", "switch", "--quiet", "main")
    found = removal.plan(root, unstored=True)
    assert not found.doubtful
    assert wide.of_stage("finetune")[0].ref in going(found)
    assert other.of_stage("finetune")[0].ref in going(found)
    assert not going(found) & set(plan.nodes)


@pytest.mark.parametrize("place", ["here", "on a branch"])
def test_nothing_goes_while_needs_are_not_known(project: Project, place: str) -> None:
    root = project.root
    if place == "on a branch":
        project.run("git", "switch", "--quiet", "--create", "broken")
        project.run("git", "rm", "-r", "--quiet", "--cached", "results")
    (root / "config/experiments/micro.yaml").write_text("title: [\n")
    if place == "on a branch":
        project.run("git", "commit", "--quiet", "--all", "--message", "Broken")
        project.run("git", "switch", "--quiet", "--force", "main")
    with pytest.raises(VariorumError, match=r"micro.yaml:2: not valid YAML") as refused:
        removal.plan(root)
    assert ("broken cannot be planned" in str(refused.value)) == (place == "on a branch")


def test_by_other_code_than_the_projects_nothing_is_judged(root: Path) -> None:
    file = root / "src/variorum/progress.py"
    file.write_text(file.read_text() + "# Another line\n")
    with pytest.raises(VariorumError, match=r"src/variorum/progress.py differs from what runs"):
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
            "its .dvc file is committed on no branch (--unstored)"
            if ref.stage == "report"
            else "no report or table that DVC has stored carries it (--unstored)"
        )
    assert set(reasons) == only(wide, needed) & set(other.nodes)
    assert set(reasons.values()) == {"what is left alone stands on it"}
    assert going(plan) == only(wide, needed) - set(other.nodes)
    assert going(removal.plan(root, unstored=True)) == new | only(wide, needed)


def test_added_to_dvc_is_not_enough_before_it_is_committed(project: Project) -> None:
    root = project.root
    made_up.change(root, seed=2)
    other = flow.current(root)
    made_up.make(root, other)
    tracking.track(root)
    made_up.change(root)
    assert other.last.ref in left(removal.plan(root))
    made_up.commit(project)
    assert other.last.ref in going(removal.plan(root))


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


def test_a_remote_on_this_machine_stores_as_well(
    project: Project, needed: Plan, wide: Plan
) -> None:
    project.run("dvc", "push", "--quiet")
    shutil.rmtree(project.root / ".dvc/cache")
    assert going(removal.plan(project.root)) == only(wide, needed)
    shutil.rmtree(project.root / "dvc-remote")
    plan = removal.plan(project.root)
    assert not plan
    assert set(left(plan)) == only(wide, needed)


def test_a_cache_in_another_place_stores_as_well(
    project: Project, needed: Plan, wide: Plan, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(project.root / ".dvc/cache", elsewhere)
    assert not removal.plan(project.root)
    project.run("dvc", "config", "--local", "cache.dir", str(elsewhere))
    assert going(removal.plan(project.root)) == only(wide, needed)


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
    plan = removal.plan(root, unstored=True)
    assert Ref("pretrain", folder.name) in going(plan)
    assert any("there is no complete result" in line for line in plan.lines(0))


def test_a_dvc_file_without_its_result_goes_once_it_is_committed(
    project: Project, needed: Plan, wide: Plan
) -> None:
    root = project.root
    shutil.rmtree(root / "results/pretrain")
    project.run("git", "checkout", "--", "results")
    ref = wide.of_stage("pretrain")[0].ref
    plan = removal.plan(root)
    assert going(plan) == only(wide, needed)
    assert any(f"{ref}" in line and "only its .dvc" in line for line in plan.lines(0))
    (root / f"results/{ref}.dvc").write_text("outs:\n")
    assert ref in left(removal.plan(root))
    removal.remove(root, plan)
    assert not (root / f"results/{ref}.dvc").exists()


def test_without_git_it_can_only_be_told_to_look_at_this_folder_alone(
    root: Path, needed: Plan, wide: Plan
) -> None:
    shutil.rmtree(root / ".git")
    with pytest.raises(VariorumError, match=r"no git repository here.*--no-branches"):
        removal.plan(root)
    assert not removal.plan(root, branches=False), "nothing is stored without git"
    plan = removal.plan(root, branches=False, unstored=True)
    assert going(plan) == only(wide, needed)


# What processes are doing

HOLD = """
import fcntl, sys
with open(sys.argv[1], "a") as file:
    fcntl.flock(file, fcntl.LOCK_SH if sys.argv[2] == "shared" else fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(lock: Path, how: str = "alone") -> Iterator[None]:
    """Another process holds a lock."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", HOLD, str(lock), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.communicate()


def lock_of(root: Path, ref: Ref) -> Path:
    return root / f"scratch/locks/{ref.stage}-{ref.key}"


def test_what_a_process_is_making_stays_with_all_below(
    root: Path, needed: Plan, wide: Plan
) -> None:
    store = Store(root)
    (finetune,) = wide.of_stage("finetune")
    shutil.rmtree(store.folder(finetune.ref))
    (root / f"results/{finetune.ref}.dvc").unlink()
    runner.hand_over(store, finetune.spec, finetune.label)
    with held(lock_of(root, finetune.ref)):
        plan = removal.plan(root, unstored=True)
        (pretrain,) = wide.of_stage("pretrain")
        assert left(plan) == {pretrain.ref: "a running process needs it"}
        assert not plan.leftovers
    plan = removal.plan(root, unstored=True)
    assert going(plan) == only(wide, needed) - {finetune.ref}
    assert [part.ref for part in plan.leftovers] == [finetune.ref]
    assert plan.leftovers[0].what == "micro, unfinished"
    removal.remove(root, plan)
    assert not store.scratch(finetune.ref).exists()


def test_while_a_snakemake_runs_all_that_it_planned_stays(
    root: Path, needed: Plan, wide: Plan
) -> None:
    made_up.change(root, model="{n_embd: 32}", seed=2)
    asked = flow.current(root)
    made_up.change(root)
    for node in asked:
        if not Store(root).exists(node.ref):
            runner.hand_over(Store(root), node.spec, node.label)
    made_up.make(root, asked.of_stage("pretrain"))
    with held(root / ".snakemake/variorum.lock", "shared"):
        plan = removal.plan(root, unstored=True)
        assert left(plan).keys() == {node.ref for node in asked.of_stage("pretrain")}
        assert not plan.leftovers
    assert len(removal.plan(root, unstored=True).leftovers) == len(only(asked, needed)) - 1


def test_a_result_that_a_process_takes_meanwhile_stays(
    root: Path, needed: Plan, wide: Plan
) -> None:
    plan = removal.plan(root)
    ref = wide.of_stage("pretrain")[0].ref
    with held(lock_of(root, ref)):
        removed = removal.remove(root, plan)
    assert going(removed) == only(wide, needed) - {ref}
    assert there(root) == set(needed.nodes) | {ref}
    assert (root / f"results/{ref}.dvc").exists()


def test_what_stands_below_a_result_that_a_process_takes_meanwhile_stays(
    root: Path, needed: Plan, wide: Plan
) -> None:
    store, plan = Store(root), removal.plan(root)
    (pretrain,), (finetune,) = wide.of_stage("pretrain"), wide.of_stage("finetune")
    with held(lock_of(root, finetune.ref)):
        removed = removal.remove(root, plan)
    assert going(removed) == only(wide, needed) - {finetune.ref, pretrain.ref}
    shutil.rmtree(store.folder(finetune.ref))
    runner.hand_over(store, finetune.spec, finetune.label)
    plan = removal.plan(root, branches=False)
    assert going(plan) == {finetune.ref, pretrain.ref}
    with held(lock_of(root, finetune.ref)):
        assert not going(removal.remove(root, plan)), "it is being made from what was to go"
    assert going(removal.remove(root, plan)) == {finetune.ref, pretrain.ref}


def test_what_a_new_result_is_being_made_from_stays(root: Path, needed: Plan, wide: Plan) -> None:
    store, plan = Store(root), removal.plan(root)
    (pretrain,), (finetune,) = wide.of_stage("pretrain"), wide.of_stage("finetune")
    new = replace(finetune.spec, settings={**finetune.spec.settings, "seed": 77})
    runner.hand_over(store, new, "planned after the removal was")
    with held(lock_of(root, new.ref)):
        removed = removal.remove(root, plan)
    assert pretrain.ref in going(plan)
    assert pretrain.ref not in going(removed)
    assert store.exists(pretrain.ref)
    with held(root / ".snakemake/variorum.lock", "shared"):
        assert pretrain.ref not in going(removal.remove(root, plan)), "Snakemake is about to"
    assert pretrain.ref in going(removal.remove(root, plan))


# Removing


def test_killed_anywhere_it_leaves_whole_results_or_none(
    root: Path, needed: Plan, wide: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, calls = Path.rename, []

    def killed(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return rename(path, target)

    plan = removal.plan(root)
    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        removal.remove(root, plan)
    monkeypatch.setattr(Path, "rename", rename)
    rest = there(root)
    assert len(rest) == len(needed.nodes) + len(going(plan)) - 4
    for ref in rest:
        assert set(Store(root).open(ref).spec.upstream.values()) <= rest, "and what it stands on"
    again = removal.plan(root)
    assert [part.what for part in again.leftovers] == ["was being removed"]
    removal.remove(root, again)
    assert there(root) == set(needed.nodes)
    assert not list((root / "scratch").glob("trash*"))


def test_what_the_disk_refuses_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, target: Path) -> Path:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    before, plan = there(root), removal.plan(root)
    monkeypatch.setattr(Path, "rename", refused)
    message = "results/report/.*: could not be removed .Read-only file system.; every result"
    with pytest.raises(VariorumError, match=message):
        removal.remove(root, plan)
    assert there(root) == before


def test_linked_bytes_stay_in_the_cache(project: Project, needed: Plan, wide: Plan) -> None:
    root = project.root
    cache = flow.files_of(root / ".dvc/cache")
    project.run("dvc", "config", "--local", "cache.type", "symlink")
    shutil.rmtree(root / "results/pretrain")
    project.run("git", "checkout", "--", "results")
    project.run("dvc", "checkout", "--recursive", "results/pretrain")
    (pretrain,) = wide.of_stage("pretrain")
    assert (Store(root).folder(pretrain.ref) / "content.txt").is_symlink()
    removal.remove(root, removal.plan(root))
    assert there(root) == set(needed.nodes)
    assert flow.files_of(root / ".dvc/cache") == cache


def test_leftovers_in_scratch_go_and_what_can_be_gone_on_with_stays(
    root: Path, needed: Plan
) -> None:
    aside = root / "scratch/aside/encode/0123456789ab-"
    aside.mkdir(parents=True)
    (aside / "notes.txt").write_text("mine")
    (node,) = needed.of_stage("pretrain")
    kept = [Store(root).scratch(node.ref) / "state", root / "scratch/downloads/a/0123456789ab"]
    for folder in kept:
        folder.mkdir(parents=True)
    stopped, dead = (root / f"scratch/pretrain/{digit * 12}" for digit in "ab")
    for folder, name in ((stopped, "state.safetensors"), (dead, "spec.json")):
        folder.mkdir(parents=True)
        (folder / name).write_text("{}")
    plan = removal.plan(root, branches=False)
    assert leftovers(plan) == {"scratch/pretrain/" + 12 * "b"}
    removal.remove(root, plan)
    assert not dead.exists()
    plan = removal.plan(root, branches=False, unstored=True)
    assert leftovers(plan) == {
        "scratch/pretrain/" + 12 * "a",
        "scratch/aside/encode/0123456789ab-",
    }
    removal.remove(root, plan)
    assert not stopped.exists()
    assert not (root / "scratch/aside").exists()
    assert all(folder.is_dir() for folder in kept)


def test_while_a_branch_cannot_be_planned_what_can_be_gone_on_with_stays(project: Project) -> None:
    root = project.root
    project.run("git", "switch", "--quiet", "--create", "broken")
    (root / "config/experiments/micro.yaml").write_text("title: [\n")
    made_up.commit(project)
    project.run("git", "switch", "--quiet", "main")
    stopped = root / f"scratch/pretrain/{'a' * 12}/state.safetensors"
    aside = root / "scratch/aside/encode/0123456789ab/notes.txt"
    for file in (stopped, aside):
        file.parent.mkdir(parents=True)
        file.write_text("mine")
    assert not removal.plan(root, unstored=True).leftovers
    assert leftovers(removal.plan(root, unstored=True, ignored=["broken"])) == {
        str(file.parent.relative_to(root)) for file in (stopped, aside)
    }


def left_in_scratch_is_seen(root: Path, folder: Path, spare: Path, what: str) -> None:
    """Hold that a folder is let be while its process lives; keep a copy as if it was killed."""
    (folder / "state.safetensors").write_text("half")
    assert not removal.plan(root).leftovers, f"{what} still runs"
    shutil.copytree(folder, spare)


def what_the_dead_left_goes(root: Path, folder: Path, spare: Path) -> None:
    assert not folder.exists()
    shutil.copytree(spare, folder)
    plan = removal.plan(root)
    assert leftovers(plan) == {str(folder.relative_to(root))}
    removal.remove(root, plan)
    assert not folder.exists()


def test_what_a_killed_rerun_left_goes(
    root: Path, needed: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (node,) = needed.of_stage("pretrain")
    places, spare = [], tmp_path / "spare"

    def computed(store: Store, task: Task) -> None:
        left_in_scratch_is_seen(root, task.scratch, spare, "the rerun")
        places.append(task.scratch)
        raise Stopped("stopped")

    monkeypatch.setattr(runner, "compute", computed)
    with pytest.raises(Stopped):
        rerun.rerun(Store(root), node.ref, Machine(), Progress("rerun"))
    what_the_dead_left_goes(root, places[0], spare)


def test_what_a_killed_adoption_left_goes(
    root: Path, needed: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, spare = root / "scratch/adopt", tmp_path / "spare"

    def adopted(adoption: adopt._Adoption, because: str | None) -> None:
        folder.mkdir(parents=True)
        left_in_scratch_is_seen(root, folder, spare, "the adoption")
        raise VariorumError("nothing to adopt")

    monkeypatch.setattr(adopt._Adoption, "run", adopted)
    with pytest.raises(VariorumError, match="nothing to adopt"):
        adopt.adopt(root, because="a word")
    what_the_dead_left_goes(root, folder, spare)


class FakeVault:
    """Knows what was made from what, and what is stored."""

    def __init__(self, below: dict[Ref, list[Ref]], stored: set[Ref]) -> None:
        self.below, self.stored = below, stored

    def upstream(self, ref: Ref) -> list[Ref]:
        """What a result was made from."""
        return self.below[ref]

    def lacks(self, ref: Ref) -> str | None:
        """Why it is not stored."""
        return None if ref in self.stored else "not stored"


@pytest.mark.parametrize("unstored", [False, True])
def test_nothing_goes_that_is_needed_unstored_in_use_or_below_what_stays(unstored: bool) -> None:
    for number in range(40):
        check_world(Random(number), unstored)


def check_world(random: Random, unstored: bool) -> None:
    """Make up results in random states, and hold what goes against the definition."""
    refs = [Ref("encode", f"{n:012x}") for n in range(random.randint(2, 6))]
    below = {ref: random.choices(refs[:n], k=2) if n else [] for n, ref in enumerate(refs)}
    states = {ref: random.choice(["needed", "stored", "unstored", "busy"]) for ref in refs}

    def above_or_at(state: str) -> set[Ref]:
        """Results in this state, and what they stand on."""
        found = {ref for ref in below if states[ref] == state}
        for ref in reversed(below):
            found |= set(below[ref]) if ref in found else set()
        return found

    with TemporaryDirectory() as folder, ExitStack() as stack:
        store = Store(Path(folder))
        for ref in below:
            store.folder(ref).mkdir(parents=True)
            (store.folder(ref) / "file").touch()
            if states[ref] == "busy":
                stack.enter_context(store.locked(ref))
        known = Needs(dict.fromkeys(above_or_at("needed"), ("somebody",)))
        vault = FakeVault(below, {ref for ref in below if states[ref] != "unstored"})
        plan = removal._Decision(store, vault, known).removal(unstored)  # type: ignore[arg-type]
    stays = above_or_at("needed") | above_or_at("busy")
    if not unstored:
        left_alone = {ref for ref in below if states[ref] == "unstored"} - above_or_at("needed")
        for ref in reversed(below):
            left_alone |= set(below[ref]) if ref in left_alone else set()
        stays |= left_alone
    assert going(plan) == set(below) - stays
    assert plan.n_needed == len(above_or_at("needed"))


# The command


def variorum(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return Project(root).run(*GC, *arguments)


def on_a_terminal(root: Path, answer: str) -> str:
    """What `variorum gc` prints on a terminal where somebody types."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        GC, cwd=root, env=Project.environment(), stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        printed = b""
        while b"[y/N]" not in printed:
            printed += os.read(ours, 1 << 16)
        os.write(ours, answer.encode())
        try:
            while more := os.read(ours, 1 << 16):
                printed += more
        except OSError:  # the other side was closed
            pass
        assert process.wait(60) == 0
    os.close(ours)
    return printed.decode()


def test_gc_shows_what_would_go_and_asks(root: Path, needed: Plan, wide: Plan) -> None:
    before = there(root)
    printed = on_a_terminal(root, "\n")
    for ref in only(wide, needed):
        assert str(ref) in printed
    assert "nothing was removed" in printed
    assert there(root) == before
    printed = on_a_terminal(root, "y\n")
    assert f"removed {len(only(wide, needed))} results" in printed
    assert there(root) == set(needed.nodes)


def test_what_begins_to_be_needed_while_it_asks_stays(
    root: Path, needed: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def confirm(question: str) -> bool:
        made_up.change(root, model="{n_embd: 32}")
        return True

    before = there(root)
    monkeypatch.chdir(root)
    monkeypatch.setattr("typer.confirm", confirm)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    cli.gc()
    assert "removed 0 results" in capsys.readouterr().out
    assert there(root) == before


def test_without_a_terminal_gc_only_shows(root: Path, needed: Plan, wide: Plan) -> None:
    before = there(root)
    done = variorum(root)
    assert done.stdout.splitlines()[-1].startswith("nothing was removed; `variorum gc --yes`")
    assert all(str(ref) in done.stdout for ref in only(wide, needed))
    assert there(root) == before
    done = variorum(root, "--yes")
    assert done.stdout.splitlines()[-1].startswith(f"removed {len(only(wide, needed))} results")
    assert there(root) == set(needed.nodes)
    assert variorum(root, "--yes").stdout.startswith("nothing to remove: ")


def leftovers(plan: removal.Removal) -> set[str]:
    """Where the dead folders lie that would go."""
    return {part.path.as_posix() for part in plan.leftovers}


def test_what_dvc_holds_damaged_is_not_stored(project: Project, wide: Plan) -> None:
    root = project.root
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
