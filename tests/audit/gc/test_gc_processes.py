"""What goes while other processes work: never what they make or need."""

import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from gc_shelf import going, held, left, lock_of, only, there

import flow
import made_up
from variorum.audit.gc import removal
from variorum.audit.gc.needs import Needs
from variorum.base.machine import boot, host
from variorum.identity.spec import Ref
from variorum.plan import plan_file
from variorum.plan.experiment import Plan
from variorum.run import runner
from variorum.run.snakemake_marks import MACHINE, MARKS
from variorum.snakemake import Flow
from variorum.store.store import Store

pytest_plugins = ("gc_fixtures",)


def test_what_a_process_is_making_stays_with_all_below(
    root: Path, needed: Plan, wide: Plan
) -> None:
    store = Store(root)
    (finetune,) = wide.of_stage("finetune")
    shutil.rmtree(store.folder(finetune.ref))
    (root / f"results/{finetune.ref}.dvc").unlink()
    runner.submit(store, finetune.spec, finetune.label)
    with held(lock_of(root, finetune.ref)):
        plan = removal.plan(root, force=True)
        (pretrain,) = wide.of_stage("pretrain")
        assert left(plan) == {pretrain.ref: "a running process needs it"}
        assert not plan.leftovers
    plan = removal.plan(root, force=True)
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
            runner.submit(Store(root), node.spec, node.label)
    made_up.make(root, asked.of_stage("pretrain"))
    with held(root / ".snakemake/variorum.lock", "shared"):
        plan = removal.plan(root, force=True)
        assert left(plan).keys() == {node.ref for node in asked.of_stage("pretrain")}
        assert not plan.leftovers
    assert len(removal.plan(root, force=True).leftovers) == len(only(asked, needed)) - 1


def half_made(root: Path) -> tuple[Plan, Path]:
    """Plan other settings, and make their pretraining alone; gives the plan and its file."""
    made_up.change(root, model="{n_embd: 32}", seed=2)
    asked = flow.current(root)
    made_up.change(root)
    path = plan_file.write_plan(root, asked)
    made_up.make(root, asked.of_stage("pretrain"))
    return asked, path


def test_a_plan_and_what_it_has_yet_to_make_stay_while_its_snakemake_runs(
    root: Path, needed: Plan, wide: Plan
) -> None:
    asked, path = half_made(root)
    with held(path, "shared"), held(root / ".snakemake/variorum.lock", "shared"):
        plan = removal.plan(root, force=True)
        assert left(plan).keys() == {node.ref for node in asked.of_stage("pretrain")}
        assert not plan.leftovers
    plan = removal.plan(root, force=True)
    assert [part.path for part in plan.leftovers] == [path.relative_to(root)]
    removal.remove(root, plan)
    assert not path.exists()


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
    runner.submit(store, finetune.spec, finetune.label)
    plan = removal.plan(root)
    assert going(plan) == {finetune.ref, pretrain.ref}
    with held(lock_of(root, finetune.ref)):
        assert not going(removal.remove(root, plan)), "it is being made from what was to go"
    assert going(removal.remove(root, plan)) == {finetune.ref, pretrain.ref}


def test_what_stands_below_stays_though_the_process_came_after_the_look_at_locks(
    root: Path, needed: Plan, wide: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = removal.plan(root)
    (pretrain,), (finetune,) = wide.of_stage("pretrain"), wide.of_stage("finetune")
    monkeypatch.setattr(removal, "at_work", lambda store: set())
    with held(lock_of(root, finetune.ref)):
        removed = removal.remove(root, plan)
    assert going(removed) == only(wide, needed) - {finetune.ref, pretrain.ref}


def test_what_a_new_result_is_being_made_from_stays(root: Path, needed: Plan, wide: Plan) -> None:
    store, plan = Store(root), removal.plan(root)
    (pretrain,), (finetune,) = wide.of_stage("pretrain"), wide.of_stage("finetune")
    new = replace(finetune.spec, settings={**finetune.spec.settings, "seed": 77})
    runner.submit(store, new, "planned after the removal was")
    with held(lock_of(root, new.ref)):
        removed = removal.remove(root, plan)
    assert pretrain.ref in going(plan)
    assert pretrain.ref not in going(removed)
    assert store.exists(pretrain.ref)
    with held(root / ".snakemake/variorum.lock", "shared"):
        assert pretrain.ref not in going(removal.remove(root, plan)), "Snakemake is about to"
    assert pretrain.ref in going(removal.remove(root, plan))


class FakeVault:
    """Knows what is stored."""

    def __init__(self, stored: set[Ref]) -> None:
        self.stored = stored

    def lacks(self, ref: Ref) -> str | None:
        """Why it is not stored."""
        return None if ref in self.stored else "not stored"


@pytest.mark.parametrize("force", [False, True])
def test_nothing_goes_that_is_needed_unstored_in_use_or_below_what_stays(force: bool) -> None:
    for number in range(40):
        check_world(Random(number), force=force)


def check_world(random: Random, *, force: bool) -> None:
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
        vault = FakeVault({ref for ref in below if states[ref] != "unstored"})
        plan = removal.decide(store, None if force else vault, below.get, known)  # type: ignore[arg-type]
    stays = above_or_at("needed") | above_or_at("busy")
    if not force:
        left_alone = {ref for ref in below if states[ref] == "unstored"} - above_or_at("needed")
        for ref in reversed(below):
            left_alone |= set(below[ref]) if ref in left_alone else set()
        stays |= left_alone
    assert going(plan) == set(below) - stays
    assert plan.n_needed == len(above_or_at("needed"))


# Another machine, whose locks the kernel of this one does not know


@pytest.fixture
def elsewhere(root: Path) -> Path:
    """The lock that Snakemake made on another machine, which shares this folder."""
    lock = root / MARKS / "locks/0.input.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("results/finetune/report.html\n")
    (root / MARKS / MACHINE).write_text("node7\n01234567-89ab\n")
    return lock


def test_the_locks_of_another_machine_stay_and_it_is_named(
    root: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (root / MARKS / MACHINE).read_bytes()
    for _ in range(2):
        Flow(root, {}, dry_run=False).start()
        assert elsewhere.is_file()
        said = capsys.readouterr().err
        assert "a Snakemake on node7 left its locks" in said
        assert "snakemake --unlock" in said
    assert (root / MARKS / MACHINE).read_bytes() == before
    elsewhere.unlink()  # as `--unlock` does, and every end but a kill
    Flow(root, {}, dry_run=False).start()
    assert (root / MARKS / MACHINE).read_text().splitlines() == [host(), boot()]


@pytest.mark.parametrize("noted", [f"{host()}\nanother boot\n", f"another name\n{boot()}\n"])
def test_the_locks_of_this_machine_go_after_a_restart_or_in_another_container(
    root: Path, elsewhere: Path, noted: str
) -> None:
    (root / MARKS / MACHINE).write_text(noted)
    Flow(root, {}, dry_run=False).start()
    assert not elsewhere.exists()


def test_what_a_snakemake_on_another_machine_planned_stays(
    root: Path, elsewhere: Path, needed: Plan, wide: Plan
) -> None:
    asked, path = half_made(root)
    plan = removal.plan(root, force=True)
    assert left(plan).keys() == {node.ref for node in asked.of_stage("pretrain")}
    assert not plan.leftovers
    elsewhere.unlink()
    plan = removal.plan(root, force=True)
    assert [part.path for part in plan.leftovers] == [path.relative_to(root)]
