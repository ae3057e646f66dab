"""Who needs which result: this tree, other branches by their own code, and what they stand on."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import made_up
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flow
from conftest import Project
from variorum.audit.holdings import branches
from variorum.audit.holdings.answer import Answer, ask
from variorum.audit.holdings.needs import Needs, closure, needs
from variorum.audit.holdings.stored import Vault
from variorum.audit.holdings.trees import trees
from variorum.errors import VariorumError
from variorum.other_code.git import put_into
from variorum.plan import Plan
from variorum.store import Ref, Store

MEMORY = "scratch/needs/*.json"


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


def known(root: Path, *ignored: str) -> Needs:
    """Everybody's needs."""
    found = trees(root)
    return needs(root, found, Vault(root, found).upstream, ignored)


def served(found: Needs, name: str) -> set[Ref]:
    """What somebody needs."""
    return {ref for ref, names in found.serves.items() if name in names}


# One tree


def test_a_tree_needs_what_its_experiments_and_ablations_plan(root: Path) -> None:
    made_up.change(root, seed=2)
    (root / "config/ablations").mkdir()
    (root / "config/ablations/widths.yaml").write_text(made_up.ABLATION)
    changed = flow.current(root)
    made_up.change(root)
    micro = flow.current(root)
    made_up.change(root, seed=2)
    answer = ask(root)
    assert {ref for ref, names in answer.serves.items() if "current" in names} == set(changed.nodes)
    assert {ref for ref, names in answer.serves.items() if "micro" in names} == set(micro.nodes)
    widths = [ref for ref, names in answer.serves.items() if "widths" in names]
    assert [ref.stage for ref in widths].count("pretrain") == 4
    assert answer.serves[micro.of_stage("pretrain")[0].ref] == ("micro", "widths")
    assert not answer.faults


def test_the_current_experiment_is_named_once_if_nothing_is_changed(root: Path) -> None:
    assert set(ask(root).serves.values()) == {("micro",)}


def test_what_cannot_be_planned_is_a_fault_and_the_rest_is_planned(root: Path) -> None:
    (root / "config/experiments/broken.yaml").write_text("title: [\n")
    text = (root / "config/experiments/micro.yaml").read_text()
    moved = text.replace("texts/base", "texts/nowhere")
    (root / "config/experiments/moved.yaml").write_text(moved)
    answer = ask(root)
    assert set(answer.serves) == set(flow.current(root).nodes)
    assert len(answer.faults) == 2
    assert answer.faults[0].startswith("config/experiments/broken.yaml:2: not valid YAML")
    assert "no such file or folder" in answer.faults[1]


def test_an_unlocked_source_has_no_results_and_is_no_fault(root: Path) -> None:
    text = (root / "config/experiments/micro.yaml").read_text()
    assert "{kind: files, path: texts/base}" in text
    remote = text.replace(
        "{kind: files, path: texts/base}", "{kind: url, url: 'https://example.org/a.txt'}"
    )
    (root / "config/experiments/remote.yaml").write_text(remote)
    answer = ask(root)
    assert not answer.faults
    assert set(answer.serves.values()) == {("micro",)}


REFS = st.builds(Ref, st.sampled_from(["encode", "pretrain"]), st.text("0123456789abcdef"))
NAMES = st.lists(st.text(), max_size=3).map(tuple)


@given(
    st.builds(
        Answer,
        st.dictionaries(REFS, NAMES),
        st.dictionaries(st.text(), REFS),
        NAMES,
        st.lists(st.tuples(st.text(), NAMES), max_size=2).map(tuple),
    )
)
def test_an_answer_is_the_same_after_its_way_through_json(answer: Answer) -> None:
    assert Answer.from_data(json.loads(json.dumps(answer.as_data()))) == answer


def test_the_closure_is_what_can_be_reached() -> None:
    below = {Ref("s", str(n)): [Ref("s", str(m)) for m in (n - 3, n // 2)] for n in range(1, 20)}
    reached = closure([Ref("s", "19")], lambda ref: below.get(ref, []))
    assert {int(ref.key) for ref in reached if int(ref.key) > 0} == set(_reached(19))


def _reached(n: int) -> Iterator[int]:
    if n > 0:
        yield n
        yield from _reached(n - 3)
        yield from _reached(n // 2)


# Other branches


def test_every_state_that_git_has_a_name_for_counts(project: Project) -> None:
    root = project.root
    plans: dict[str, Plan] = {}
    plans["feature"] = made_up.branch(project, "feature", seed=2)
    plans["v1"] = made_up.branch(project, "tagged", seed=3)
    project.run("git", "tag", "--annotate", "--message", "One", "v1", "tagged")
    project.run("git", "branch", "-D", "tagged")
    plans["origin/theirs"] = made_up.branch(project, "theirs", seed=4)
    project.run("git", "update-ref", "refs/remotes/origin/theirs", "theirs")
    project.run("git", "branch", "-D", "theirs")
    plans["exps/aa/run"] = made_up.branch(project, "run", seed=5)
    project.run("git", "update-ref", "refs/exps/aa/run", "run")
    project.run("git", "branch", "-D", "run")
    made_up.change(root, seed=6)
    plans["stash"] = flow.current(root)
    project.run("git", "stash")
    made_up.change(root, seed=7)
    project.run("git", "checkout", "--quiet", "--detach")
    made_up.commit(project)
    plans["HEAD"] = flow.current(root)
    made_up.change(root)
    found = known(root)
    for name, plan in plans.items():
        reports = {plan.last.ref, *(node.ref for node in plan.of_stage("pretrain"))}
        assert reports <= served(found, f"current@{name}"), name
        assert set(plan.nodes) <= set(found.serves), name
    assert found.n_branches == len(plans), "main is what is checked out"
    assert not found.by_files
    assert not found.unknown


def test_a_branch_is_planned_by_its_own_code_and_remembered(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project.root
    project.run("git", "switch", "--quiet", "--create", "feature")
    stage = root / "src/variorum/stages/encode.py"
    stage.write_text(stage.read_text() + "\n\nprint('one more statement that runs')\n")
    made_up.commit(project)
    theirs = made_up.planned_by(root, root / "src/variorum")
    project.run("git", "switch", "--quiet", "main")
    ours = flow.current(root)
    assert theirs.last.ref not in ours.nodes
    found = known(root)
    assert set(found.serves) == set(ours.nodes) | set(theirs.nodes)
    assert found.serves[theirs.last.ref] == ("micro@feature",)
    assert found.serves[ours.last.ref] == ("micro",)
    assert len(list(root.glob(MEMORY))) == 1
    monkeypatch.setattr(branches, "_run", None)
    assert known(root) == found, "without running it again"
    (root / "README.md").write_text("Another file")
    made_up.commit(project)
    assert known(root) == found
    next(root.glob(MEMORY)).write_text("{cut of")
    with pytest.raises(TypeError):
        known(root)


def test_that_code_of_branches_runs_is_said_when_it_does(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up.branch(project, "feature", seed=2)
    known(project.root, "feature")
    assert "code" not in capsys.readouterr().err
    known(project.root)
    assert "runs the code of other branches, to plan them: feature\n" in capsys.readouterr().err
    known(project.root)
    assert "code" not in capsys.readouterr().err, "the answer is remembered"


def test_a_branch_finds_untracked_texts_as_if_it_was_checked_out(project: Project) -> None:
    root = project.root
    (root / ".gitignore").write_text((root / ".gitignore").read_text() + "/texts/\n")
    project.run("git", "rm", "-r", "--quiet", "--cached", "texts")
    made_up.commit(project)
    feature = made_up.branch(project, "feature", seed=2)
    assert set(feature.nodes) <= set(known(root).serves)
    (root / "texts/base/00.txt").write_text("Another text, which is as long as a context is.")
    made_up.change(root, seed=2)
    changed = flow.current(root)
    made_up.change(root)
    assert changed.last.ref != feature.last.ref
    found = known(root)
    assert set(changed.nodes) <= set(found.serves), "its answer is not remembered from before"
    assert feature.last.ref not in found.serves


def test_where_dvc_pins_other_texts_for_a_branch_its_files_count(project: Project) -> None:
    root = project.root
    (root / ".gitignore").write_text((root / ".gitignore").read_text() + "/texts/base/\n")
    (root / "texts/base.dvc").write_text("outs:\n- md5: 1.dir\n  path: base\n")
    project.run("git", "rm", "-r", "--quiet", "--cached", "texts/base")
    made_up.commit(project)
    made_up.branch(project, "same", seed=2)
    project.run("git", "switch", "--quiet", "--create", "other")
    (root / "texts/base.dvc").write_text("outs:\n- md5: 2.dir\n  path: base\n")
    (root / "results/encode").mkdir(parents=True)
    (root / "results/encode/0123456789ab.dvc").write_text("outs:\n")
    made_up.commit(project)
    project.run("git", "switch", "--quiet", "main")
    for _ in range(2):
        found = known(root)
        assert "texts/base.dvc pins other texts there" in found.by_files["other"]
        assert found.by_files.keys() == {"other"}
        assert found.serves[Ref("encode", "0123456789ab")] == (".dvc@other",)


def test_entries_of_the_lock_that_are_not_committed_count_for_a_branch(project: Project) -> None:
    root = project.root
    text = (root / "config/experiments/micro.yaml").read_text()
    remote = text.replace(
        "{kind: files, path: texts/base}", "{kind: url, url: 'https://example.org/a.txt'}"
    )
    project.run("git", "switch", "--quiet", "--create", "feature")
    (root / "config/experiments/micro.yaml").write_text(remote)
    made_up.commit(project)
    lock = f"https://example.org/a.txt:\n  sha256: {'a' * 64}\n  bytes: 100000\n"
    (root / "config/sources.lock").write_text(lock)
    plan = flow.current(root)
    project.run("git", "switch", "--quiet", "main")
    ours = set(flow.current(root).nodes)
    assert served(known(root), "micro@feature") == set(plan.nodes) - ours
    (root / "config/sources.lock").unlink()
    assert not served(known(root), "micro@feature"), "an answer is not remembered past its lock"


def test_what_git_does_not_have_is_not_put_anywhere(
    project: Project, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(VariorumError, match=r"git could not give its files: .*HEAD:nowhere"):
        put_into(project.root, "HEAD:nowhere", tmp_path / "nowhere")
    put_into(project.root, "HEAD:config", tmp_path / "config", "config.yaml")
    assert [file.name for file in (tmp_path / "config").iterdir()] == ["config.yaml"]
    assert capfd.readouterr().err == ""


# Branches that cannot be planned


def with_results(project: Project, name: str) -> Plan:
    """A branch that has pinned results and then breaks."""
    root = project.root
    project.run("git", "switch", "--quiet", "--create", name)
    made_up.change(root, seed=2)
    plan = flow.current(root)
    made_up.make(root, plan)
    (pretrain,) = plan.of_stage("pretrain")
    (root / f"results/{pretrain.ref}.dvc").write_text("outs:\n")
    (root / "config/experiments/micro.yaml").write_text("title: [\n")
    made_up.commit(project)
    project.run("git", "switch", "--quiet", "main")
    return plan


def test_a_broken_branch_needs_what_its_dvc_files_name_and_what_goes_with_it(
    project: Project,
) -> None:
    plan = with_results(project, "broken")
    found = known(project.root)
    assert "micro.yaml:2: not valid YAML" in found.by_files["broken"]
    assert not found.unknown
    stages = sorted(ref.stage for ref in served(found, ".dvc@broken"))
    (pretrain,) = plan.of_stage("pretrain")
    upstream = {node.ref for node in pretrain.upstream.values()}
    assert {pretrain.ref} | upstream <= served(found, ".dvc@broken")
    # What stands on the domain too is made from more than the branch names.
    assert stages == [
        *("download", "encode", "evaluate", "normalize", "pretrain", "stress", "tokenizer")
    ]


def test_of_a_broken_branch_without_dvc_files_nothing_is_known(project: Project) -> None:
    project.run("git", "switch", "--quiet", "--create", "broken")
    config = project.root / "src/variorum/config/types.py"
    config.write_text("raise RuntimeError('half done')\n")
    made_up.commit(project)
    project.run("git", "switch", "--quiet", "main")
    found = known(project.root)
    assert found.unknown == {"broken": "its code gave no answer but said: RuntimeError: half done"}
    assert not known(project.root, "broken").unknown
    assert not known(project.root, "b*").unknown


def test_a_branch_that_does_not_answer_in_time_is_not_waited_for(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = made_up.branch(project, "slow", seed=2)
    monkeypatch.setattr(branches, "SECONDS", 0.01)
    assert known(project.root).unknown == {"slow": "its code gave no answer within 0.01 s"}
    monkeypatch.undo()
    assert plan.last.ref in known(project.root).serves, "that is not remembered"


def test_a_branch_from_before_the_command_is_known_by_its_files(project: Project) -> None:
    project.run("git", "switch", "--quiet", "--create", "old")
    shutil.rmtree(project.root / "src/variorum/audit")
    (project.root / "results/encode").mkdir(parents=True)
    (project.root / "results/encode/0123456789ab.dvc").write_text("outs:\n")
    made_up.commit(project)
    project.run("git", "switch", "--quiet", "main")
    found = known(project.root)
    assert found.by_files == {"old": "its code is older than this command"}
    assert found.serves[Ref("encode", "0123456789ab")] == (".dvc@old",)


def test_a_branch_without_experiments_needs_nothing(project: Project) -> None:
    project.run("git", "switch", "--quiet", "--orphan", "pages")
    (project.root / "index.html").write_text("A page")
    made_up.commit(project)
    project.run("git", "switch", "--quiet", "main")
    found = known(project.root)
    assert found.n_branches == 1
    assert not found.by_files
    assert not found.unknown
    assert set(found.serves) == set(flow.current(project.root).nodes)


def test_a_name_to_ignore_that_nothing_has_is_refused(project: Project) -> None:
    with pytest.raises(VariorumError, match=r"--ignore topic: there is no such branch.* main"):
        known(project.root, "topic")


def test_a_branch_that_goes_by_two_names_counts_until_both_are_ignored(project: Project) -> None:
    plan = made_up.branch(project, "one", seed=2)
    project.run("git", "branch", "two", "one")
    assert plan.last.ref in known(project.root).serves
    assert plan.last.ref in known(project.root, "one").serves
    assert plan.last.ref not in known(project.root, "one", "two").serves


def test_asking_leaves_nothing_but_the_answers(project: Project) -> None:
    root = project.root
    made_up.branch(project, "feature", seed=2)
    (root / "scratch/needs/of-one-that-was-killed").mkdir(parents=True)
    (root / "scratch/needs/of-one-that-was-killed/Snakefile").touch()
    before = project.run("git", "status", "--porcelain", "--ignored").stdout
    known(root)
    assert {path.suffix for path in (root / "scratch/needs").iterdir()} == {".json"}
    assert project.run("git", "status", "--porcelain", "--ignored").stdout == before
    assert not list(Store(root).refs())
