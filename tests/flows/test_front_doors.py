"""Snakemake, DVC and git in any order: nothing finished is made twice, and nothing is lost.

A state machine plays random sequences of what people do between two runs, with the real commands on
an experiment that takes seconds. `make test-engines` plays a few short ones; for many, long ones:

    VARIORUM_SEQUENCES=300 pytest -m long tests/flows/test_front_doors.py
"""

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

import flow
from conftest import Project, Record, add_micro_experiment, copy_project
from variorum.identity.spec import Ref
from variorum.store.result import MANIFEST, VARYING
from variorum.store.store import Store

REPORT = "results/finetune/report.html"
CONFIG = "config/config.yaml"
TABLE = "reports/rates/table.md"
SEQUENCES = int(os.environ.get("VARIORUM_SEQUENCES", "40"))
RATES = """
title: Rates
question: Does the rate matter?
experiment: micro
baseline: plain
seeds: [1, 2]
variants:
  plain: {}
"""
ADDED = "  low: {pretrain: {learning_rate: 3.0e-4}}\n  high: {pretrain: {learning_rate: 3.0e-3}}\n"
DAY = 86_400


def commit(project: Project, message: str = "State") -> None:
    project.share()
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--allow-empty", "--message", message)


def store(home: Path) -> None:
    """Make a project, run and pushed, whose branch `other` has another experiment."""
    project = copy_project(home / "here")
    add_micro_experiment(project, domain=False)
    experiments = project.root / "config/experiments"
    other = (experiments / "micro.yaml").read_text().replace("A text of", "Other words of")
    (experiments / "other.yaml").write_text(other)
    (project.root / "config/ablations/rates.yaml").write_text(
        RATES + ADDED.splitlines(keepends=True)[0]
    )
    project.run("dvc", "remote", "modify", "local", "url", "../remote")
    commit(project)
    flow.finish(project.root, flow.current(project.root))
    project.run("dvc", "repro")
    commit(project)
    project.run("git", "switch", "--quiet", "--create", "other")
    (project.root / CONFIG).write_text("experiment: other\n")
    flow.finish(project.root, flow.current(project.root))
    project.run("dvc", "repro")
    commit(project)
    project.run("git", "switch", "--quiet", "main")
    project.run("dvc", "push", "--all-branches")
    shutil.copytree(home / "here", home / "there", symlinks=True)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with that project, an equal clone of it, and what they push to."""
    return flow.made_by_commands(tmp_path_factory.mktemp("stored") / "home", store)


def not_twice(name: str) -> Callable[[Any], Any]:
    """A step that would do nothing right after itself is not taken then."""
    return precondition(lambda machine: machine.told[-1:] != [name])


class FrontDoors(RuleBasedStateMachine):
    """One clone that everything happens in, and another that is worked in beside it."""

    source: Path
    place: Path
    counts: dict[str, int]

    @initialize()
    def begin(self) -> None:
        """Start from the stored project and an equal clone."""
        shutil.rmtree(self.place, ignore_errors=True)
        for name in ("here", "there", "remote"):
            shutil.copytree(self.source / name, self.place / name, symlinks=True)
        self.here, self.there = Project(self.place / "here"), Project(self.place / "there")
        self.told: list[str] = []
        self.counts["sequences"] += 1

    # What people do

    @not_twice("snakemake")
    @rule()
    def snakemake(self) -> None:
        """The first door."""
        with self.watched("snakemake"):
            self.here.snakemake(REPORT)
        self.page_is_that_of_the_experiment()

    @not_twice("dvc repro")
    @rule()
    def dvc_repro(self) -> None:
        """The second door."""
        with self.watched("dvc repro"):
            self.here.run("dvc", "repro")
        self.page_is_that_of_the_experiment()

    @not_twice("dvc push")
    @rule()
    def dvc_push(self) -> None:
        """Everything that is pinned goes to the remote."""
        with self.watched("dvc push"):
            self.here.run("dvc", "push")

    @not_twice("dvc pull")
    @rule()
    def dvc_pull(self) -> None:
        """Fails where something was never pushed; it takes what it finds and harms nothing."""
        with self.watched("dvc pull"):
            self.here.run("dvc", "pull", check=False)

    @not_twice("dvc checkout")
    @rule()
    def dvc_checkout(self) -> None:
        """May refuse what is not in the cache; it harms nothing."""
        with self.watched("dvc checkout"):
            self.here.run("dvc", "checkout", check=False)

    @not_twice("delete results")
    @rule()
    def delete_results(self) -> None:
        """The folder goes; git brings the small files back that pin its bytes."""
        commit(self.here)
        with self.watched("delete results", deletes=True):
            shutil.rmtree(self.here.root / "results")
            self.here.run("git", "checkout", "--", "results")

    @rule(choice=st.integers(0, 10**6))
    def delete_one_result(self, choice: int) -> None:
        """Its `.dvc` file stays."""
        refs = sorted(self.complete())
        if refs:
            with self.watched("delete one result", deletes=True):
                shutil.rmtree(Store(self.here.root).folder(refs[choice % len(refs)]))

    @rule(branch=st.sampled_from(["main", "other"]))
    def git_switch(self, branch: str) -> None:
        """To the branch with the other experiment, or back."""
        with self.watched(f"git switch {branch}"):
            commit(self.here)
            self.here.run("git", "switch", "--quiet", branch)

    @rule(
        setting=st.sampled_from(
            ["title: Edited", "evaluate: {stride: 8}", "stress: {case_tokens: 40}", "seed: 2"]
        )
    )
    def edit_a_setting(self, setting: str) -> None:
        """In the current experiment."""
        with self.watched(f"edit {setting}"):
            config = self.here.root / CONFIG
            config.write_text(config.read_text().splitlines()[0] + f"\n{setting}\n")

    @not_twice("edit back")
    @rule()
    def edit_it_back(self) -> None:
        """To what the branch had first."""
        with self.watched("edit back"):
            config = self.here.root / CONFIG
            config.write_text(config.read_text().splitlines()[0] + "\n")

    @not_twice("touch")
    @rule(shift=st.integers(-400 * DAY, 400 * DAY))
    def touch_files(self, shift: int) -> None:
        """Times say nothing."""
        with self.watched("touch"):
            touch(self.here.root, shift)

    @not_twice("remove .snakemake")
    @rule()
    def remove_snakemakes_folder(self) -> None:
        """Its records are lost."""
        with self.watched("remove .snakemake"):
            shutil.rmtree(self.here.root / ".snakemake", ignore_errors=True)

    @not_twice("table")
    @rule()
    def run_the_ablation(self) -> None:
        """Its table is put in place."""
        with self.watched("table"):
            self.here.snakemake(TABLE)
        assert "plain" in (self.here.root / TABLE).read_text()

    @precondition(lambda self: ADDED not in self.ablation().read_text())
    @rule()
    def add_variants(self) -> None:
        """The next table has more rows."""
        with self.watched("add variants"):
            self.ablation().write_text(RATES + ADDED)

    @rule(seed=st.integers(3, 4), shift=st.integers(-400 * DAY, 400 * DAY))
    def merge_a_clone_with_another_clock(self, seed: int, shift: int) -> None:
        """The other clone makes a result of its own, as if on another day, and is merged.

        Its processor is another one.
        """
        branch = self.here.run("git", "branch", "--show-current").stdout.strip()
        commit(self.here)
        self.there.run("git", "switch", "--quiet", branch)
        self.there.snakemake(
            *("--config", f"seed={seed}", "--", "pretrain"),
            environment={"ATEN_CPU_CAPABILITY": "default"},
        )
        touch(self.there.root, shift)
        commit(self.there)
        self.there.run("dvc", "push", "--recursive", "results/pretrain", "results/records")
        with self.watched("merge"):
            self.here.run(
                *("git", "pull", "--quiet", "--no-rebase", "--no-edit"),
                *(str(self.there.root), branch),
            )

    # What must hold

    def ablation(self) -> Path:
        """The file of the ablation."""
        return self.here.root / "config/ablations/rates.yaml"

    def complete(self) -> dict[Ref, dict[str, str]]:
        """Every complete result, with the hashes of the files that its manifest lists."""
        store = Store(self.here.root)
        return {
            ref: {
                name: digest
                for name, digest in flow.files_of(store.folder(ref)).items()
                if Path(name).name not in VARYING
            }
            for ref in store.refs()
            if store.exists(ref)
        }

    @contextmanager
    def watched(self, name: str, *, deletes: bool = False) -> Iterator[None]:
        """Hold a step to the promises."""
        self.told.append(name)
        self.counts[name.split()[0]] = self.counts.get(name.split()[0], 0) + 1
        before, stored = self.complete(), self.stored()
        begun = datetime.now(UTC).replace(microsecond=0)
        yield
        after = self.complete()
        so_far = ", ".join(self.told)
        if not deletes:
            lost = before.keys() - after.keys()
            assert not lost, f"lost {lost} by {so_far}"
        for ref in before.keys() & after.keys():
            assert before[ref] == after[ref], f"{ref} changed by {so_far}"
        again = {ref for ref in stored & after.keys() if self.made_at(ref) >= begun}
        assert not again, f"made {again} though its bytes were stored, by {so_far}"
        partial = {
            str(path)
            for path in self.here.root.glob("results/*/*/")
            if re.fullmatch("[0-9a-f]{12}", path.name)
            and any(path.iterdir())
            and Ref(path.parent.name, path.name) not in after
        }
        assert not partial, f"parts of results after {so_far}"

    def made_at(self, ref: Ref) -> datetime:
        """When the result that lies here was made, by its own account."""
        begun = Store(self.here.root).open(ref).run.get("begun", "2000-01-01T00:00:00+00:00")
        return datetime.fromisoformat(begun)

    def stored(self) -> set[Ref]:
        """Results whose bytes this clone holds: in place, in DVC's cache, or in a bundle."""
        root = self.here.root
        found = set(self.complete())
        for manifest in root.glob(f"results/*/*/bundle/*/*/{MANIFEST}"):
            found.add(Ref(*manifest.parts[-3:-1]))
        for pin in (*root.glob("results/*/*.dvc"), *root.glob("scratch/pins/*/*.dvc")):
            digest = re.search(r"md5: (\w+\.dir)", pin.read_text())
            if digest and in_cache(root, digest[1]):
                found.add(Ref(pin.parent.name, pin.stem))
        return found

    def page_is_that_of_the_experiment(self) -> None:
        """The page in its fixed place is the current report, with its key."""
        plan = flow.current(self.here.root)
        page = Store(self.here.root).open(plan.last.ref).file("report.html")
        assert (self.here.root / REPORT).read_bytes() == page.read_bytes(), self.told
        assert plan.last.ref.key in page.read_text()


def in_cache(root: Path, digest: str) -> bool:
    """Whether DVC's cache holds a folder whole."""
    cache = root / ".dvc/cache/files/md5"
    listing = cache / digest[:2] / digest[2:]
    return listing.is_file() and all(
        (cache / entry["md5"][:2] / entry["md5"][2:]).is_file()
        for entry in json.loads(listing.read_text())
    )


def touch(root: Path, shift: int) -> None:
    """Move the times of results, settings and tables by so many seconds."""
    now = time.time()
    for folder in ("results", "config", "reports"):
        for path in (root / folder).rglob("*"):
            if not path.is_symlink():
                os.utime(path, (now + shift, now + shift))


def play(stored: Path, place: Path, sequences: int, steps: int) -> dict[str, int]:
    """Play random sequences; gives how often each kind of step was taken."""
    counts = {"sequences": 0}
    machine = type("Machine", (FrontDoors,), {"source": stored, "place": place, "counts": counts})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=sequences,
            stateful_step_count=steps,
            deadline=None,
            derandomize=sequences < 10,
            phases=[Phase.generate],  # shrinking would take hours; the steps so far are told
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
    return counts


def test_short_sequences_keep_the_promises(stored: Path, tmp_path: Path) -> None:
    counts = play(stored, tmp_path / "play", sequences=3, steps=8)
    assert sum(counts.values()) >= 3 + 12


@pytest.mark.long
def test_many_sequences_keep_the_promises(
    stored: Path, tmp_path: Path, record_property: Record
) -> None:
    counts = play(stored, tmp_path / "play", sequences=SEQUENCES, steps=15)
    assert counts["sequences"] >= SEQUENCES
    for name, count in sorted(counts.items()):
        record_property(name, count)
