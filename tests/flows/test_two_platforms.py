"""Three clones on two platforms share results by git and DVC: nobody's results are damaged.

One key has other bytes on another processor. A state machine plays random sequences of making,
sharing, committing, pushing, pulling, merging, branching and deleting, with results that nothing
computed; one test plays the main sequence with real trainings, where PyTorch's plain kernels are
the second processor. For many long sequences:

    VARIORUM_SEQUENCES=200 pytest -m long tests/flows/test_two_platforms.py
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

import flow
import made_up
from conftest import Project, Record, add_micro_experiment, copy_project
from variorum.audit.available import available, order
from variorum.audit.verify.integrity import Findings, verify
from variorum.audit.verify.selection import Selection, with_upstream
from variorum.base.files import sha256_of
from variorum.base.progress import Progress
from variorum.identity.spec import Ref
from variorum.plan.experiment import Plan
from variorum.stages.registry import TRACKED
from variorum.store.restoring import restore_results
from variorum.store.result import COPY, MANIFEST, readable_json
from variorum.store.sharing import share
from variorum.store.store import Store
from variorum.store.tracking import track

KERNELS = {"ann": "AVX512", "bob": "DEFAULT", "eve": "AVX512"}
"""Each clone's processor."""

PLAIN = {"ATEN_CPU_CAPABILITY": "default"}
"""The environment of the second processor, where it is played."""

SEQUENCES = int(os.environ.get("VARIORUM_SEQUENCES", "200"))
CLONES = st.sampled_from(sorted(KERNELS))
SIDES = st.sampled_from(["--ours", "--theirs"])


def git(root: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run git; one that asks for a message takes the one that is offered."""
    done = subprocess.run(("git", *words), cwd=root, capture_output=True, text=True, check=False)
    assert not check or not done.returncode, (words, done.stdout, done.stderr)
    return done


def clones_of(project: Project, home: Path) -> None:
    """Make what all push to, and a clone for each person."""
    git(home, "clone", "--quiet", "--bare", str(project.root), str(home / "hub"))
    for name in KERNELS:
        git(home, "clone", "--quiet", str(home / "hub"), str(home / name))
        for setting, value in (("user.name", name), ("user.email", f"{name}@example.org")):
            git(home / name, "config", setting, value)
        Project(home / name).run(
            *("dvc", "remote", "modify", "--local", "local", "url", str(home / "remote"))
        )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a hub and three clones of a project without results."""
    folder = tmp_path_factory.mktemp("platforms")
    project = made_up.project(folder / "project")
    shutil.rmtree(project.root / "src")  # the installed package runs
    made_up.commit(project)
    clones_of(project, folder)
    return folder


@pytest.fixture(scope="module")
def plan(home: Path) -> Plan:
    """What every clone plans."""
    return flow.current(home / "ann")


class Platforms(RuleBasedStateMachine):
    """Three clones, and the hub and the remote that they share."""

    source: Path
    place: Path
    planned: Plan
    counts: dict[str, int]

    @initialize(early=st.lists(CLONES, unique=True))
    def begin(self, early: list[str]) -> None:
        """Start without results, or with a report that some have made and committed, unsent."""
        shutil.rmtree(self.place, ignore_errors=True)
        for name in (*KERNELS, "hub"):
            shutil.copytree(self.source / name, self.place / name, symlinks=True)
        for name in KERNELS:
            git(self.place / name, "remote", "set-url", "origin", str(self.place / "hub"))
            config = self.place / name / ".dvc/config.local"
            config.write_text(config.read_text().replace(str(self.source), str(self.place)))
        self.told: list[str] = []
        self.counts["sequences"] += 1
        for name in early:
            self.make_up_to(name, "report")
            self.shared(self.place / name)

    # What people do

    @rule(name=CLONES, last=st.sampled_from(["pretrain", "finetune", "report"]))
    def make(self, name: str, last: str) -> None:
        """A run takes what it finds, and makes what is missing, up to some stage."""
        self.make_up_to(name, last)
        self.harmless()

    @rule(name=CLONES, side=SIDES, pulls=st.booleans())
    def send(self, name: str, side: str, pulls: bool) -> None:
        """Share, commit and push; git's refuses what is behind the hub's, and nothing is forced."""
        root = self.begun(name, f"send{f', pull {side}' * pulls}")
        self.shared(root)
        if pulls:
            self.merged(root, side, "pull", "--no-rebase", "origin", "main")
        dvc(root, "push")
        git(root, "push", "--quiet", "origin", "main", check=False)
        self.harmless()

    @rule(name=CLONES, side=SIDES)
    def pull(self, name: str, side: str) -> None:
        """Never refused; where both made the same key, one side's pins are taken."""
        root = self.begun(name, f"pull {side}")
        self.merged(root, side, "pull", "--no-rebase", "origin", "main")
        self.harmless()

    @rule(name=CLONES, forced=st.booleans())
    def dvc_pull(self, name: str, forced: bool) -> None:
        """Takes what the pins name; whatever was not pushed is not found."""
        root = self.begun(name, f"dvc pull{' --force' * forced}")
        if list(root.glob("results/*/*.dvc")):
            dvc(root, "pull", forced=forced)
        self.harmless()

    @rule(name=CLONES, choice=st.integers(0, 10**6), told=st.booleans())
    def pull_one(self, name: str, choice: int, told: bool) -> None:
        """Takes what git holds of one result in place of the one here, with or without records."""
        root = self.begun(name, f"one pull{' with records' * told}")
        pins = [pin for pin in sorted(root.glob("results/*/*.dvc")) if pin.parent.name != "records"]
        if pins:
            pin = pins[choice % len(pins)].relative_to(root).as_posix()
            self.count("one pulled", 1)
            dvc(root, "pull", pin, *["results/records"] * told, forced=True)
        self.harmless()

    @rule(name=CLONES, choice=st.integers(0, 10**6))
    def forge(self, name: str, choice: int) -> None:
        """A file of a result is changed with both its manifests, which is always named."""
        root = self.begun(name, "forge")
        store = Store(root)
        used = sorted({ref for each in store.refs() for ref in inputs_of(store, each)})
        here = [ref for ref in used if store.exists(ref)]
        if here:
            ref = here[choice % len(here)]
            folder, before = store.folder(ref), root / "before"
            shutil.copytree(folder, before)
            forge(folder)
            found = self.verified(root)
            places = {damage.place for damage in found.damage} if found else set()
            assert f"results/{ref}/{MANIFEST}" in places, f"{name}: {ref} by {self.told}"
            shutil.rmtree(folder)
            before.rename(folder)
        self.harmless()

    @rule(name=CLONES, choice=st.integers(0, 10**6))
    def delete(self, name: str, choice: int) -> None:
        """A folder of a result goes."""
        root = self.begun(name, "delete")
        refs = sorted(available(Store(root)))
        if refs:
            shutil.rmtree(Store(root).folder(refs[choice % len(refs)]))
        self.harmless()

    @rule(name=CLONES, side=SIDES, merges=st.booleans())
    def branch(self, name: str, side: str, merges: bool) -> None:
        """Results are shared on a branch; a run on main finds them again, and both ways go."""
        root = self.begun(name, "branch and merge" if merges else "branch")
        git(root, "switch", "--quiet", "--create", "side", check=False)
        git(root, "switch", "--quiet", "side")
        self.shared(root)
        git(root, "switch", "--quiet", "main")
        restore_results(Store(root), [self.planned.last])
        track(root, TRACKED)
        git(root, "switch", "--quiet", "side")
        git(root, "switch", "--quiet", "main")
        if merges:
            self.merged(root, side, "merge", "side")
        self.harmless()

    # What must hold

    @staticmethod
    def verified(root: Path) -> Findings | None:
        """What `verify --all` finds; None without results."""
        store = Store(root)
        refs = tuple(sorted(available(store), key=order))
        return verify(Selection(store, refs), Progress("verify")) if refs else None

    def begun(self, name: str, step: str) -> Path:
        """Note a step, and return the clone that takes it."""
        self.told.append(f"{name}: {step}")
        self.count(step.split()[0].strip(","), 1)
        return self.place / name

    def count(self, what: str, times: int) -> None:
        """Note that something happened."""
        self.counts[what] = self.counts.get(what, 0) + times

    def make_up_to(self, name: str, last: str) -> None:
        """Restore and make all results of a stage on a clone's platform."""
        root = self.begun(name, f"make {last}")
        wanted = self.planned.of_stage(last)
        restore_results(Store(root), wanted)
        needed = {ref for node in wanted for ref in self.below(node.ref)}
        nodes = [node for node in self.planned if node.ref in needed]
        made_up.make(root, nodes, kernels=KERNELS[name])
        track(root, TRACKED)

    def shared(self, root: Path) -> None:
        """Share and commit all results; no committed pin changes by that."""
        before, store = self.pins(root), Store(root)
        found = share(store, with_upstream(store, available(store)), TRACKED)
        self.count("kept beside", len(found.differing))
        git(root, "commit", "--quiet", "--allow-empty", "--message", "Results")
        assert before.items() <= self.pins(root).items(), f"a committed pin changed: {self.told}"

    def merged(self, root: Path, side: str, *words: str) -> None:
        """Pull or merge, which nothing here may block; of conflicts take one side."""
        done = git(root, *words[:1], "--quiet", "--no-edit", *words[1:], check=False)
        if done.returncode:
            undecided = git(root, "diff", "--name-only", "--diff-filter=U").stdout.split()
            assert undecided, f"{done.stderr} by {self.told}"
            self.count("conflicts", 1)
            git(root, "checkout", side, "--", *undecided)
            git(root, "add", "--", *undecided)
            git(root, "commit", "--quiet", "--no-edit")

    def below(self, ref: Ref) -> set[Ref]:
        """A result and all that it is made from."""
        node = self.planned.nodes[ref]
        return {ref}.union(*(self.below(up.ref) for up in node.upstream.values()))

    def pins(self, root: Path) -> dict[str, bytes]:
        """The `.dvc` files of the last commit."""
        names = git(root, "ls-tree", "-r", "--name-only", "HEAD", "results").stdout.split()
        return {n: git(root, "show", f"HEAD:{n}").stdout.encode() for n in names}

    def harmless(self) -> None:
        """Every clone's results are whole and fit, and a run left nothing that git sees."""
        for name in KERNELS:
            root = self.place / name
            if found := self.verified(root):
                assert not found.damage, f"{name}: {found.damage[:2]} by {self.told}"
                self.count("mixtures", any("other bytes of" in note for note in found.notes))
            said = git(root, "status", "--porcelain", "--", "results").stdout
            assert not said, f"{name}: {said} by {self.told}"


def inputs_of(store: Store, ref: Ref) -> list[Ref]:
    """What a result is made from."""
    return list(store.peek(ref).spec.upstream.values())


def forge(folder: Path) -> None:
    """Change a file of a result, and both manifests as if it had been made so."""
    (folder / "content.txt").write_text("forged")
    for name in (MANIFEST, COPY):
        data = json.loads((folder / name).read_text())
        data["files"]["content.txt"] = {"sha256": sha256_of(folder / "content.txt"), "bytes": 6}
        (folder / name).write_text(readable_json(data))


def dvc(root: Path, what: str, *targets: str, forced: bool = False) -> None:
    """Push or pull results; what is missing on the other side is left out."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    here = Path.cwd()
    os.chdir(root)
    try:
        with Repo(str(root)) as repo:
            if what == "push":
                repo.push()
            else:
                repo.pull(targets=list(targets) or ["results"], recursive=True, force=forced)
    except DvcException:
        pass
    finally:
        os.chdir(here)


def test_three_clones_share_real_trainings_of_two_processors(tmp_path: Path) -> None:
    """Bob has the pins but not the bytes, trains on another processor, and shares what he can."""
    project = copy_project(tmp_path / "project")
    add_micro_experiment(project)
    made_up.commit(project)
    clones_of(project, tmp_path)
    ann, bob, eve = (Project(tmp_path / name) for name in KERNELS)
    ann.snakemake("pretrain")
    assert not git(ann.root, "status", "--porcelain").stdout
    sent(ann)
    git(bob.root, "pull", "--quiet")
    bob.snakemake("finetune", environment=PLAIN)
    (model,) = bob.root.glob("results/pretrain/*/model.safetensors")
    name = model.relative_to(bob.root)
    assert model.read_bytes() != (ann.root / name).read_bytes(), "no second processor"
    pins = {path: path.read_bytes() for path in bob.root.glob("results/*/*.dvc")}
    bob.run("dvc", "fetch", "--recursive", "results")
    said = bob.run("variorum", "share", environment=PLAIN).stdout
    assert re.search(r"pretrain/\w+ stays here: git holds other bytes, made on another", said)
    assert ": within tolerance" in said
    assert {path: path.read_bytes() for path in pins} == pins
    sent(bob)
    for clone in (eve, ann, bob):
        git(clone.root, "pull", "--quiet")
        clone.run("dvc", "pull", "--recursive", "results")
        assert "Nothing to be done" in clone.snakemake("-n", "pretrain").stdout
        assert (clone.root / name).read_bytes() == (ann.root / name).read_bytes()
        assert "all as published" in clone.run("variorum", "verify", "--all").stdout
        assert not git(clone.root, "status", "--porcelain").stdout


def sent(project: Project) -> None:
    """Share all results, by git and by DVC."""
    project.share()
    git(project.root, "commit", "--quiet", "--allow-empty", "--message", "Results")
    git(project.root, "push", "--quiet", "origin", "main")
    project.run("dvc", "push", "--recursive", "results")


def play(home: Path, plan: Plan, place: Path, sequences: int, steps: int) -> dict[str, int]:
    """Play random sequences; gives how often each kind of step was taken."""
    counts = {"sequences": 0}
    parts = {"source": home, "place": place, "planned": plan, "counts": counts}
    run_state_machine_as_test(
        type("Machine", (Platforms,), parts),
        settings=settings(
            max_examples=sequences,
            stateful_step_count=steps,
            deadline=None,
            derandomize=sequences < 10,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
    return counts


def test_short_sequences_on_two_platforms_damage_nobody(
    home: Path, plan: Plan, tmp_path: Path
) -> None:
    counts = play(home, plan, tmp_path / "play", sequences=4, steps=10)
    assert sum(counts.values()) >= 4 + 24


@pytest.mark.long
def test_many_sequences_on_two_platforms_damage_nobody(
    home: Path, plan: Plan, tmp_path: Path, record_property: Record
) -> None:
    counts = play(home, plan, tmp_path / "play", sequences=SEQUENCES, steps=20)
    assert counts["sequences"] >= SEQUENCES
    assert all(counts.get(what) for what in ("conflicts", "kept beside", "mixtures", "one pulled"))
    for name, count in sorted(counts.items()):
        record_property(name, count)
