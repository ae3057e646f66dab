"""DVC stores, moves and pins what Snakemake made, and never makes it run again."""

import re
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import flow
from conftest import Project, add_micro_experiment, copy_project
from variorum.base.files import sha256_of
from variorum.plan.source_lock import FILE, LOCK, LockedSource
from variorum.stages.registry import TRACKED
from variorum.store.result import MANIFEST

REPORT = "results/finetune/report.html"
NOTHING = "Nothing to be done"


def commit(project: Project) -> None:
    project.share()
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "State")


def manifests(project: Project) -> dict[str, int]:
    """When each result was published."""
    found = sorted(project.root.glob(f"results/*/*/{MANIFEST}"))
    return {str(path.relative_to(project.root)): path.stat().st_mtime_ns for path in found}


def planned(project: Project) -> set[str]:
    done = project.snakemake("-n", REPORT)
    return set(re.findall(r"^(make_\w+|place_\w+)\s+\d+$", done.stdout + done.stderr, re.MULTILINE))


def store(home: Path) -> None:
    """Have Snakemake place a micro project, and DVC reproduce and push it beside itself."""
    project = copy_project(home / "project")
    add_micro_experiment(project, domain=False)
    commit(project)
    flow.finish(project.root, flow.current(project.root))
    project.snakemake(REPORT)
    made = manifests(project)
    project.run("dvc", "repro")
    assert manifests(project) == made, "dvc repro after a run recomputes nothing"
    commit(project)
    project.run("dvc", "push")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A micro project that Snakemake placed, DVC reproduced, and that is committed and pushed."""
    home = flow.made_by_commands(tmp_path_factory.mktemp("stored") / "home", store)
    return Project(home / "project")


@pytest.fixture
def again(stored: Project, tmp_path: Path) -> Project:
    shutil.copytree(stored.root, tmp_path / "again")
    return Project(tmp_path / "again")


def test_a_second_repro_is_up_to_date(again: Project) -> None:
    done = again.run("dvc", "repro")
    assert "up to date" in done.stdout
    assert "Data and pipelines are up to date" in again.run("dvc", "status").stdout


def test_a_source_that_was_locked_anew_has_snakemake_asked_once(again: Project) -> None:
    made = manifests(again)
    other = {"https://example.org/text.txt": LockedSource("0" * 64, 3)}
    (again.root / LOCK).write_text(FILE.text(other))
    assert LOCK in again.run("dvc", "status").stdout
    again.run("dvc", "repro")
    assert "Data and pipelines are up to date" in again.run("dvc", "status").stdout
    assert manifests(again) == made, "no result stands on that address"


def test_each_result_of_corpus_and_training_has_a_file_of_its_own(stored: Project) -> None:
    for stage in set(TRACKED) - {"table"}:
        keys = {path.parent.name for path in stored.root.glob(f"results/{stage}/*/{MANIFEST}")}
        assert keys == {path.stem for path in stored.root.glob(f"results/{stage}/*.dvc")}, stage
    assert not list(stored.root.glob("results/evaluate/*.dvc")), "they travel in the report"
    assert "results/pretrain" in stored.run("git", "ls-files").stdout


def test_deleted_results_come_back_and_only_pages_are_put_in_place(again: Project) -> None:
    digest = sha256_of(next(again.root.glob("results/pretrain/*/model.safetensors")))
    shutil.rmtree(again.root / "results")
    shutil.rmtree(again.root / ".dvc/cache")
    again.run("git", "checkout", "--", "results")
    again.run("dvc", "pull")
    assert planned(again) <= {"publish_report"}
    published = manifests(again)
    again.snakemake(REPORT)
    assert NOTHING in again.snakemake("-n", REPORT).stdout
    assert published.items() <= manifests(again).items(), "nothing was made again"
    assert sha256_of(next(again.root.glob("results/pretrain/*/model.safetensors"))) == digest
    assert list(again.root.glob(f"results/evaluate/*/{MANIFEST}")), "out of the report's bundle"


@pytest.mark.parametrize(
    "link",
    ["copy", *(pytest.param(link, marks=pytest.mark.long) for link in ("hardlink", "symlink"))],
)
def test_a_clone_pulls_everything_whatever_links_its_cache_makes(
    stored: Project, tmp_path: Path, link: str
) -> None:
    clone = cloned(stored, tmp_path / "clone")
    clone.run("dvc", "config", "--local", "cache.type", link)
    clone.run("dvc", "pull")
    model = next(clone.root.glob("results/pretrain/*/model.safetensors"))
    assert link == ("symlink" if model.is_symlink() else "hardlink" if linked(model) else "copy")
    assert planned(clone) <= {"publish_report"}
    assert "Data and pipelines are up to date" in clone.run("dvc", "status").stdout
    published = manifests(clone)
    clone.snakemake(REPORT)
    assert NOTHING in clone.snakemake("-n", REPORT).stdout
    assert published.items() <= manifests(clone).items(), "nothing was made again"
    assert (clone.root / REPORT).read_bytes() == (stored.root / REPORT).read_bytes()
    runs = {path.parent.name for path in clone.root.glob("results/*/*/run.json")}
    assert runs == {path.parent.name for path in clone.root.glob(f"results/*/*/{MANIFEST}")}
    assert_new_results_are_copies(clone)
    assert "Data and pipelines are up to date" in clone.run("dvc", "status").stdout


def assert_new_results_are_copies(clone: Project) -> None:
    """Another fine seed, made from what was pulled, down to its page."""
    old = {path.parent for path in clone.root.glob(f"results/*/*/{MANIFEST}")}
    (clone.root / "config/config.yaml").write_text("experiment: micro\nseed: 2\n")
    clone.run("dvc", "repro")
    new = {path.parent for path in clone.root.glob(f"results/*/*/{MANIFEST}")} - old
    assert {folder.parent.name for folder in new} >= {"pretrain", "evaluate", "report"}
    for file in (file for folder in new for file in folder.rglob("*") if file.is_file()):
        assert not file.is_symlink(), file
        assert not linked(file), file
        assert file.stat().st_mode & 0o200, file


def cloned(project: Project, folder: Path) -> Project:
    """A clone whose remote is the one that the project pushes to."""
    project.run("git", "clone", "--quiet", str(project.root), str(folder))
    clone = Project(folder)
    clone.run("git", "config", "user.name", "Another Test")
    clone.run("git", "config", "user.email", "another@example.org")
    clone.run(
        "dvc", "remote", "modify", "--local", "local", "url", str(project.root / "dvc-remote")
    )
    return clone


def linked(file: Path) -> bool:
    """Whether a file shares its bytes with another name."""
    return file.stat().st_nlink > 1


def test_two_clones_that_made_the_same_result_pin_the_same_hash_and_merge(
    stored: Project, tmp_path: Path
) -> None:
    clones = [cloned(stored, tmp_path / name) for name in ("here", "there")]
    for clone in clones:
        (clone.root / "config/config.yaml").write_text("experiment: micro\nseed: 9\n")
        clone.snakemake("pretrain")
        commit(clone)
    here, there = clones
    assert len(list(here.root.glob("results/pretrain/*.dvc"))) == 2
    here.run("git", "pull", "--quiet", "--no-rebase", "--no-edit", str(there.root), "main")
    assert len(list(here.root.glob("results/pretrain/*.dvc"))) == 2
    assert len(list(here.root.glob("results/records/*.dvc"))) == 3, "both tell how they made it"
    assert NOTHING in here.snakemake("-n", "pretrain").stdout


def test_an_experiment_is_chosen_and_a_setting_changed_through_dvc(again: Project) -> None:
    before = manifests(again)
    setting = "config/config.yaml:+title='Through DVC'"
    again.run("dvc", "exp", "run", "--set-param", setting)
    config = YAML(typ="safe").load((again.root / "config/config.yaml").read_text())
    assert config == {"experiment": "micro", "title": "Through DVC"}
    assert "Through DVC" in (again.root / REPORT).read_text()
    new = manifests(again).keys() - before.keys()
    assert [path.split("/")[1] for path in new] == ["report"]
    assert "title" in again.run("dvc", "params", "diff").stdout
    by_snakemake = again.snakemake("--config", "title=Through DVC", "--", REPORT)
    assert NOTHING in by_snakemake.stdout + by_snakemake.stderr


def test_metrics_and_plots_are_dvcs(again: Project) -> None:
    shown = again.run("dvc", "metrics", "show").stdout
    assert "pretrained.base" in shown
    again.run("dvc", "plots", "diff", "--targets", "results/finetune/curves.csv")


def test_what_was_pulled_can_be_written_beside(again: Project) -> None:
    (again.root / "config/config.yaml").write_text("experiment: micro\nseed: 2\n")
    again.snakemake("pretrain")
    again.share()
    assert len(list(again.root.glob("results/pretrain/*.dvc"))) == 2
    again.run("dvc", "checkout")
    assert len(list(again.root.glob(f"results/pretrain/*/{MANIFEST}"))) == 2


def test_branches_with_different_results_merge_without_conflict(again: Project) -> None:
    config = again.root / "config/config.yaml"
    for branch, seed in (("left", 3), ("right", 4)):
        again.run("git", "checkout", "--quiet", "-B", branch, "main")
        config.write_text(f"experiment: micro\nseed: {seed}\n")
        again.snakemake("pretrain")
        config.write_text("experiment: micro\n")
        commit(again)
    again.run("git", "merge", "--quiet", "--no-edit", "left")
    assert len(list(again.root.glob("results/pretrain/*.dvc"))) == 3


def test_what_a_clone_made_itself_is_stored_though_git_brought_its_dvc_file(
    stored: Project, tmp_path: Path
) -> None:
    clone = Project(tmp_path / "clone")
    stored.run("git", "clone", "--quiet", str(stored.root), str(clone.root))
    clone.snakemake("tokenizer")
    clone.run("dvc", "push", "--recursive", "results/tokenizer")
    shutil.rmtree(clone.root / ".dvc/cache")
    shutil.rmtree(next((clone.root / "results/tokenizer").glob("*/tokenizer.json")).parent)
    clone.run("dvc", "pull", "--recursive", "results/tokenizer")
    assert NOTHING in clone.snakemake("-n", "tokenizer").stdout


def test_outside_of_git_a_run_succeeds_and_says_what_is_missing(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    add_micro_experiment(project, domain=False)
    shutil.rmtree(project.root / ".git")
    done = project.snakemake("tokenizer")
    assert "results stay untracked" in done.stdout + done.stderr


def test_nobody_is_told_that_dvc_ran() -> None:
    text = (Path(__file__).parents[2] / ".dvc/config").read_text()
    assert "analytics = false" in text
    assert "check_update = false" in text


def run_experiment(project: Project, *options: str) -> None:
    """Make another title's report as an experiment of DVC named `one`."""
    setting = "config/config.yaml:+seed=2"
    project.run("dvc", "exp", "run", "--name", "one", "--set-param", setting, *options)


def pins_of_the_experiment(project: Project) -> set[str]:
    """The stages of which an experiment's commit holds results."""
    refs = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
    (one,) = (ref for ref in refs if ref.endswith("/one"))
    names = project.run("git", "ls-tree", "-r", "--name-only", one, "results").stdout.split()
    return {Path(name).parent.name for name in names if name.endswith(".dvc")}


def test_an_experiment_carries_its_models_to_another_clone(again: Project, tmp_path: Path) -> None:
    again.run("git", "init", "--quiet", "--bare", str(tmp_path / "hub"))
    again.run("git", "push", "--quiet", str(tmp_path / "hub"), "main")
    remote = str(again.root / "dvc-remote")
    again.run("dvc", "remote", "modify", "--local", "local", "url", remote)
    run_experiment(again)
    assert pins_of_the_experiment(again) >= {"pretrain", "report", "records"}
    made = {path.parent.name for path in again.root.glob("results/pretrain/*/model.safetensors")}
    again.run("git", "remote", "add", "origin", str(tmp_path / "hub"))
    again.run("dvc", "exp", "push", "origin", "one")
    there = Project(tmp_path / "there")
    again.run("git", "clone", "--quiet", "-b", "main", str(tmp_path / "hub"), str(there.root))
    for name, value in (("user.name", "Another"), ("user.email", "another@example.org")):
        there.run("git", "config", name, value)
    there.run("dvc", "remote", "modify", "--local", "local", "url", remote)
    there.run("dvc", "exp", "pull", "origin", "one")
    there.run("dvc", "exp", "apply", "one")
    assert "seed: 2" in (there.root / "config/config.yaml").read_text()
    assert planned(there) <= {"publish_report"}
    there.run("dvc", "pull", "--recursive", "results")
    found = {path.parent.name for path in there.root.glob("results/pretrain/*/model.safetensors")}
    assert found == made
    assert "all as published" in there.run("variorum", "verify").stdout


@pytest.mark.parametrize("way", ["--temp", pytest.param("--queue", marks=pytest.mark.long)])
def test_an_experiment_in_a_folder_of_its_own_gives_back_its_models(
    again: Project, way: str
) -> None:
    run_experiment(again, way)
    if way == "--queue":
        again.run("dvc", "exp", "run", "--run-all")
    assert pins_of_the_experiment(again) >= {"pretrain", "report", "records"}
    again.run("dvc", "exp", "apply", "one")
    assert planned(again) <= {"publish_report"}
    again.snakemake(REPORT)
    assert len(list(again.root.glob("results/pretrain/*/model.safetensors"))) == 2
    assert "all as published" in again.run("variorum", "verify").stdout


def test_pins_that_an_experiment_left_block_no_branch(again: Project) -> None:
    again.run("git", "branch", "side")
    run_experiment(again)
    again.run("git", "switch", "--quiet", "--force", "--create", "made")
    commit(again)
    brought = set(again.run("git", "diff", "--name-only", "side", "--", "results").stdout.split())
    assert any(name.startswith("results/pretrain/") for name in brought)
    pins = {name: (again.root / name).read_bytes() for name in brought}
    again.run("git", "switch", "--quiet", "side")
    for name, content in pins.items():  # as an experiment that is applied leaves them
        (again.root / name).write_bytes(content)
    done = again.run("git", "merge", "--quiet", "--no-edit", "made", check=False)
    assert "untracked working tree files would be overwritten" in done.stderr
    again.run("variorum", "track")
    assert "?? results" not in again.run("git", "status", "--porcelain", "--", "results").stdout
    again.run("git", "switch", "--quiet", "made")
    again.run("git", "switch", "--quiet", "side")
    again.run("git", "merge", "--quiet", "--no-edit", "made")
    assert {name: (again.root / name).read_bytes() for name in brought} == pins
    assert NOTHING in again.snakemake("-n", "pretrain").stdout
