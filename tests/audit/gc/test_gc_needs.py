"""Who needs which result: plans, pins, other references of git, and what these stand on."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import flow
import made_up
from conftest import Project
from variorum.audit.available import closure
from variorum.audit.gc.needs import Needs, needs
from variorum.audit.gc.upstream import upstream_of
from variorum.identity.spec import Ref
from variorum.stages.registry import TRACKED
from variorum.store.committed import committed_pins, pinned_by_others
from variorum.store.vault import Vault


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return made_up.project(tmp_path_factory.mktemp("needs") / "project")


@pytest.fixture
def project(empty: Project, tmp_path: Path) -> Project:
    """A project without results, to change."""
    shutil.copytree(empty.root, tmp_path / "project")
    return Project(tmp_path / "project")


@pytest.fixture
def root(project: Project) -> Path:
    return project.root


def known(root: Path) -> Needs:
    """Everybody's needs."""
    return needs(root, upstream_of(root, Vault(root, TRACKED)))


def served(found: Needs, name: str) -> set[Ref]:
    """What somebody needs."""
    return {ref for ref, names in found.serves.items() if name in names}


# Plans and pins


def test_a_tree_needs_what_its_experiments_and_ablations_plan(root: Path) -> None:
    made_up.change(root, seed=2)
    (root / "config/ablations").mkdir()
    (root / "config/ablations/widths.yaml").write_text(made_up.ABLATION)
    changed = flow.current(root)
    made_up.change(root)
    micro = flow.current(root)
    made_up.change(root, seed=2)
    found = known(root)
    assert served(found, "current") == set(changed.nodes)
    assert served(found, "micro") == set(micro.nodes)
    assert [ref.stage for ref in served(found, "widths")].count("pretrain") == 4
    assert found.serves[micro.of_stage("pretrain")[0].ref] == ("micro", "widths")
    assert not found.faults


def test_the_current_experiment_is_named_once_if_nothing_is_changed(root: Path) -> None:
    assert set(known(root).serves.values()) == {("micro",)}


def test_an_experiment_may_be_called_as_the_current_one(root: Path) -> None:
    file = root / "config/experiments/micro.yaml"
    (root / "config/experiments/current.yaml").write_text(file.read_text())
    assert served(known(root), "current")


def test_what_cannot_be_planned_is_a_fault_and_the_rest_is_planned(root: Path) -> None:
    (root / "config/experiments/broken.yaml").write_text("title: [\n")
    text = (root / "config/experiments/micro.yaml").read_text()
    moved = text.replace("texts/base", "texts/nowhere")
    (root / "config/experiments/moved.yaml").write_text(moved)
    found = known(root)
    assert set(found.serves) == set(flow.current(root).nodes)
    assert len(found.faults) == 2
    assert found.faults[0].startswith("config/experiments/broken.yaml:2: not valid YAML")
    assert "no such file or folder" in found.faults[1]


def test_an_unlocked_source_has_no_results_and_is_no_fault(root: Path) -> None:
    text = (root / "config/experiments/micro.yaml").read_text()
    assert "{kind: files, path: texts/base}" in text
    remote = text.replace(
        "{kind: files, path: texts/base}", "{kind: url, url: 'https://example.org/a.txt'}"
    )
    (root / "config/experiments/remote.yaml").write_text(remote)
    found = known(root)
    assert not found.faults
    assert set(found.serves.values()) == {("micro",)}


def test_the_closure_is_what_can_be_reached() -> None:
    below = {Ref("s", str(n)): [Ref("s", str(m)) for m in (n - 3, n // 2)] for n in range(1, 20)}
    reached = closure([Ref("s", "19")], lambda ref: below.get(ref, []))
    assert {int(ref.key) for ref in reached if int(ref.key) > 0} == set(_reached(19))


def _reached(n: int) -> Iterator[int]:
    if n > 0:
        yield n
        yield from _reached(n - 3)
        yield from _reached(n // 2)


# References of git


def pin(project: Project, digit: str) -> Ref:
    """Commit a `.dvc` file of a result that is not here."""
    ref = Ref("encode", 12 * digit)
    file = project.root / f"results/{ref}.dvc"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"outs:\n- md5: 1.dir\n  path: {ref.key}\n")
    made_up.commit(project)
    return ref


def test_every_reference_that_git_has_counts_by_its_own_files(project: Project) -> None:
    root, pins = project.root, dict[str, set[Ref]]()

    def on_branch(digit: str, *command: str) -> set[Ref]:
        """Pin a result on a branch that something else then names, and delete the branch."""
        project.run("git", "switch", "--quiet", "--create", "side")
        ref = pin(project, digit)
        project.run("git", *command)
        project.run("git", "switch", "--quiet", "main")
        project.run("git", "branch", "-D", "side")
        return {ref}

    own = pin(project, "0")
    pins["feature"] = on_branch("1", "branch", "feature")
    pins["v1"] = on_branch("2", "tag", "--annotate", "--message", "One", "v1")
    pins["origin/theirs"] = on_branch("3", "update-ref", "refs/remotes/origin/theirs", "side")
    pins["exps/aa/run"] = on_branch("4", "update-ref", "refs/exps/aa/run", "side")
    made_up.change(root, seed=6)
    project.run("git", "stash")
    pins["stash"] = set()
    project.run("git", "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/theirs")
    found = pinned_by_others(root)
    assert found == {name: {own, *refs} for name, refs in pins.items()}
    serves = known(root).serves
    assert serves[own] == ("@feature", "@origin/theirs", "@v1", "@stash", "@exps/aa/run")
    assert [serves[ref] for refs in pins.values() for ref in refs] == [
        (f"@{name}",) for name, refs in pins.items() if refs
    ]
    assert committed_pins(root).keys() == {own}.union(*pins.values())


def test_a_reference_that_holds_no_results_needs_nothing(project: Project) -> None:
    pin(project, "0")
    project.run("git", "switch", "--quiet", "--orphan", "pages")
    (project.root / "index.html").write_text("A page")
    made_up.commit(project)
    project.run("git", "switch", "--quiet", "main")
    blob = project.run("git", "rev-parse", "main:Snakefile").stdout.strip()
    project.run("git", "tag", "file", blob)
    assert not pinned_by_others(project.root)


def test_only_files_in_the_place_of_results_are_pins(project: Project) -> None:
    ref = pin(project, "0")
    for name in ("results/records/0123.json.dvc", "texts.dvc", f"texts/results/{ref}.dvc"):
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / name).write_text("outs:\n")
    made_up.commit(project)
    project.run("git", "branch", "feature")
    assert pinned_by_others(project.root) == {"feature": {ref}}
    assert committed_pins(project.root).keys() == {ref}


def test_files_that_a_merge_left_behind_are_still_found(project: Project) -> None:
    project.run("git", "switch", "--quiet", "--create", "side")
    ref = pin(project, "0")
    project.run("git", "rm", "--quiet", f"results/{ref}.dvc")
    project.run("git", "commit", "--quiet", "--message", "Gone")
    project.run("git", "switch", "--quiet", "main")
    (project.root / "texts/more.txt").write_text("More")
    made_up.commit(project)
    project.run("git", "merge", "--quiet", "--message", "Both", "side")
    project.run("git", "branch", "--delete", "side")
    assert committed_pins(project.root).keys() == {ref}


def test_asking_changes_nothing(project: Project) -> None:
    root = project.root
    made_up.branch(project, "feature", seed=2)
    made_up.make(root, flow.current(root))

    def state() -> dict[str, tuple[int, int]]:
        files = (path for path in root.rglob("*") if path.is_file() and "/.git/" not in str(path))
        return {str(file): (file.stat().st_mtime_ns, file.stat().st_size) for file in files}

    before = state()
    assert known(root)
    assert state() == before
