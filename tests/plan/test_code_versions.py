"""A variant may run another state of the code: a commit's, or the present one with a patch."""

import multiprocessing
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import flow
from conftest import Command, Project, add_micro_experiment, copy_project
from variorum.base.errors import VariorumError
from variorum.base.git import put_into
from variorum.config.setting_errors import ConfigError
from variorum.identity import code_diff
from variorum.identity.spec import Ref
from variorum.plan import code_versions
from variorum.plan.ablation import CODES, DIFFS, plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.code_comparison import comparison
from variorum.plan.experiment import Node, Plan
from variorum.run import runner
from variorum.snakemake import Flow
from variorum.store.store import Store

ABLATION = """
title: An edit
question: Does it help?
experiment: micro
variants:
  present: {{}}
  other: {{code: {code}}}
baseline: present
seeds: [1, 2]
"""
VARIANTS = ("other", "present")
FUSED = "model/attentions/fused.py"
BEFORE = "        dropout_p=dropout,\n"
EDIT = (BEFORE, f"{BEFORE}        scale=0.5,\n")
COMMENT = (BEFORE, f"{BEFORE}        # a comment\n")
DIFF = """\
other (edited, commit {commit}) against present (the working tree)

--- present variorum.model.attentions.fused:attend
+++ other variorum.model.attentions.fused:attend
@@ -11,5 +11,6 @@
         values,
         attn_mask=mask,
         dropout_p=dropout,
+        scale=0.5,
         is_causal=mask is None and queries.shape[2] > 1,
     )
"""


def edit(project: Project, file: str, old: str, new: str) -> None:
    path = project.root / code_versions.INSIDE / file
    text = path.read_text()
    assert text.count(old) == 1, file
    path.write_text(text.replace(old, new))


def commit(project: Project) -> str:
    """Commit everything; gives the commit as `trees` shows it."""
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "State")
    return project.run("git", "rev-parse", "HEAD").stdout[: code_versions.SHOWN]


def on_branch(project: Project, file: str, old: str, new: str, branch: str = "edited") -> str:
    """Commit an edit on a branch, and leave it."""
    project.run("git", "checkout", "--quiet", "-b", branch)
    edit(project, file, old, new)
    name = commit(project)
    project.run("git", "checkout", "--quiet", "main")
    return name


def as_patch(project: Project, file: str, old: str, new: str) -> str:
    """Write an edit as a patch file, and take it back."""
    edit(project, file, old, new)
    text = project.run("git", "diff").stdout
    project.run("git", "checkout", "--quiet", "--", ".")
    (project.root / "config/edit.patch").write_text(text)
    return "config/edit.patch"


def ask_for(project: Project, code: str) -> None:
    """Have the variant `other` run that code."""
    file = project.root / "config/ablations/edit.yaml"
    file.write_text(ABLATION.format(code=code))


def planned(project: Project) -> Plan:
    """The ablation, planned by the code that lies in the project."""
    loaded = load_ablation(project.root, "edit")
    return plan_ablation(loaded, project.root, package=project.root / code_versions.INSIDE)


def refused(project: Project) -> str:
    """The one line that planning ends with."""
    with pytest.raises(ConfigError) as caught:
        planned(project)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def of(plan: Plan, variant: str, part: str = "model") -> Node:
    return plan.last.upstream[f"{variant}/1/{part}"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A committed project with an experiment that takes seconds."""
    project = copy_project(tmp_path_factory.mktemp("original") / "project")
    add_micro_experiment(project, domain=False)
    commit(project)
    return project


@pytest.fixture
def edited(original: Project, tmp_path: Path) -> Project:
    """A copy of it, to change."""
    shutil.copytree(original.root, tmp_path / "project")
    return Project(tmp_path / "project")


# Keys


def test_code_that_is_the_same_makes_the_same_runs_and_the_table_says_so(edited: Project) -> None:
    ask_for(edited, "main")
    plan = planned(edited)
    assert of(plan, "other") == of(plan, "present")
    assert not any(node.tree for node in plan)
    assert plan.last.spec.settings["edited"] == {"other": False}
    assert list(plan.last.notes) == [CODES]
    assert "uncounted" not in plan.last.spec.settings


def test_an_edit_has_keys_of_its_own_from_the_first_stage_that_reaches_it(edited: Project) -> None:
    name = on_branch(edited, FUSED, *EDIT)
    ask_for(edited, "edited")
    plan = planned(edited)
    own = {node.ref.stage for node in plan if node.tree}
    assert own == {"pretrain", "evaluate"}, "a model is evaluated by the code that made it"
    assert len(plan.of_stage("encode")) == 1, "shared"
    assert {n.ref for n in plan.of_stage("pretrain") if not n.tree} == {
        plan.last.upstream[f"present/{seed}/model"].ref for seed in (1, 2)
    }
    assert plan.last.spec.settings["codes"] == {"other": "edited"}
    assert plan.last.notes == {
        DIFFS: {"other": DIFF.format(commit=name)},
        CODES: {"other": f"edited, commit {name}"},
    }
    assert plan.last.spec.settings["uncounted"] == ["other"], "its model may be another"


def test_a_model_that_was_fine_tuned_from_one_of_other_code_is_not_counted_either(
    edited: Project,
) -> None:
    add_micro_experiment(edited)
    commit(edited)
    on_branch(edited, FUSED, *EDIT)
    ask_for(edited, "edited\n, last_stage: finetune")
    settings = planned(edited).last.spec.settings
    assert (settings["edited"], settings["uncounted"]) == ({"other": True}, ["other"])


def test_its_keys_are_those_that_a_checkout_would_have(edited: Project) -> None:
    name = on_branch(edited, FUSED, *EDIT)
    ask_for(edited, name)
    other = of(planned(edited), "other", "base").ref
    edited.run("git", "checkout", "--quiet", "edited")
    ask_for(edited, "main")
    plan = planned(edited)
    assert of(plan, "present", "base").ref == other
    tree = of(plan, "other").tree
    assert tree is not None
    assert flow.files_of(tree.package) == {
        file: digest
        for file, digest in flow.files_of(edited.root / code_versions.INSIDE).items()
        if file != FUSED
    } | {FUSED: flow.sha256_of(tree.package / FUSED)}
    assert BEFORE in (tree.package / FUSED).read_text()
    assert EDIT[1] not in (tree.package / FUSED).read_text()


def test_a_comment_is_no_edit(edited: Project) -> None:
    on_branch(edited, FUSED, *COMMENT)
    ask_for(edited, "edited")
    plan = planned(edited)
    assert of(plan, "other") == of(plan, "present")
    assert plan.last.spec.settings["edited"] == {"other": False}


def test_a_patch_is_the_present_code_with_its_edits(edited: Project) -> None:
    ask_for(edited, as_patch(edited, FUSED, *EDIT))
    other = of(planned(edited), "other").ref
    edit(edited, FUSED, *COMMENT)
    ask_for(edited, as_patch(edited, FUSED, *EDIT))
    assert of(planned(edited), "other").ref == other
    edit(edited, FUSED, *EDIT)
    ask_for(edited, "main")
    assert of(planned(edited), "present").ref == other


def test_settings_count_beside_the_code_and_its_diff_leaves_them_out(edited: Project) -> None:
    name = on_branch(edited, FUSED, *EDIT)
    ask_for(edited, "edited, model: {positions: rotary}")
    plan = planned(edited)
    assert of(plan, "other").spec.settings["model"]["positions"] == "rotary"
    assert plan.last.notes[DIFFS] == {"other": DIFF.format(commit=name)}


def test_a_new_component_is_part_of_the_diff(edited: Project) -> None:
    edited.run("git", "checkout", "--quiet", "-b", "edited")
    folder = edited.root / code_versions.INSIDE / "model/positions"
    shutil.copy(folder / "learned.py", folder / "mine.py")
    commit(edited)
    edited.run("git", "checkout", "--quiet", "main")
    ask_for(edited, "edited, model: {positions: mine}")
    assert "there is no 'mine'" in refused(edited), "settings are those that the code here knows"


# Differences


PINS = {
    "variorum.evaluation.bits:score": "def score(x):\n    return log(x) + 1",
    "variorum.evaluation.bits:score: names": "log is math.log",
    "variorum.model.gpt:run": "def run():\n    return 2",
    "evaluation/words.txt": "one\n",
}
MEASURING = ("variorum.stages.evaluate", "variorum.evaluation")


@pytest.mark.parametrize(
    ("symbol", "text", "first"),
    [
        ("variorum.evaluation.bits:score", "def score(x):\n    return log(x) + 2", "bits:score"),
        ("variorum.evaluation.bits:score: names", "log is cmath.log", "bits:score log"),
        ("evaluation/words.txt", "two\n", "evaluation/words.txt"),
        ("variorum.model.gpt:run", "def run():\n    return 3", None),
    ],
)
def test_differences_are_found_where_they_count(symbol: str, text: str, first: str | None) -> None:
    other = {**PINS, symbol: text}
    found = code_diff.first_difference(PINS, other, MEASURING)
    assert (found or "").endswith(first or "")
    assert (found is None) == (first is None)
    lines = code_diff.diff(PINS, other, ("old", "new")).splitlines()
    assert lines[:2] == [f"--- old {symbol}", f"+++ new {symbol}"]
    assert {line[1:] for line in lines[2:] if line[0] == "+"} == {text.splitlines()[-1]}
    assert code_diff.diff(PINS, PINS, ("old", "new")) == ""


def test_comments_and_formatting_are_no_difference() -> None:
    symbol = "variorum.evaluation.bits:score"
    other = {
        **PINS,
        symbol: 'def score(x):\n    """It adds."""\n    return (x\n        + 1)  # one',
    }
    assert code_diff.first_difference(PINS, other, MEASURING) is None
    assert code_diff.diff(PINS, other, ("old", "new")) == ""


def test_what_is_gone_or_new_is_a_difference() -> None:
    symbol = "variorum.evaluation.bits:score"
    less = {name: text for name, text in PINS.items() if name != symbol}
    for sides in ((less, PINS), (PINS, less)):
        assert code_diff.first_difference(*sides, MEASURING) == symbol
        assert symbol in code_diff.diff(*sides, ("old", "new"))


# Folders


def test_what_was_cleaned_away_is_put_back(edited: Project) -> None:
    on_branch(edited, FUSED, *EDIT)
    ask_for(edited, "edited")
    tree = of(planned(edited), "other").tree
    assert tree is not None
    before = flow.files_of(tree.package)
    shutil.rmtree(edited.root / code_versions.FOLDER)
    planned(edited)
    assert flow.files_of(tree.package) == before


def test_what_was_edited_there_is_put_back(edited: Project) -> None:
    on_branch(edited, FUSED, *EDIT)
    ask_for(edited, "edited")
    plan = planned(edited)
    tree = of(plan, "other").tree
    assert tree is not None
    before = flow.files_of(tree.package)
    (tree.package / FUSED).write_text((tree.package / FUSED).read_text().replace("0.5", "0.6"))
    (tree.package / "more.py").write_text("MORE = 1\n")
    assert planned(edited).last.ref == plan.last.ref
    assert flow.files_of(tree.package) == before
    assert len(list((edited.root / code_versions.FOLDER).iterdir())) == 1


def put(root: Path) -> dict[str, str]:
    """Put a tree in place; gives what lies there then."""
    return flow.files_of(code_versions.tree(root, "main", root / code_versions.INSIDE).package)


def test_several_that_put_the_same_in_place_at_once_do_not_disturb_one_another(
    edited: Project,
) -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map(put, [edited.root] * 4)
    assert found == [found[0]] * 4
    assert len(list((edited.root / code_versions.FOLDER).iterdir())) == 1


# Errors


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("mian", "git has no commit 'mian'; did you mean `main`? name a branch, a tag"),
        ("--all", "git has no commit '--all'; name a branch"),
        ("1234567", "1234567 should be a branch, a tag, a commit or a patch file, as text: put it"),
        ("{a: b}", "should be a branch, a tag, a commit or a patch file, as text"),
        ("config/none.patch", "there is no file config/none.patch in the project's folder"),
        (r'"a\0b.patch"', r"'a\x00b.patch' has characters that no name has; name a branch"),
        (r'"a\0b"', r"'a\x00b' has characters that no name has; name a branch"),
        (f"{'a' * 300}.patch", "there is no file aaaaa"),
    ],
)
def test_what_names_no_code_is_one_line_with_its_place(
    edited: Project, code: str, said: str
) -> None:
    ask_for(edited, code)
    line = refused(edited)
    assert line.startswith("config/ablations/edit.yaml:7: variants.other.code: ")
    assert said in line


def test_a_budget_of_time_is_refused(edited: Project) -> None:
    ask_for(edited, "main")
    file = edited.root / "config/ablations/edit.yaml"
    file.write_text(file.read_text() + "budget: time\n")
    assert "other.code: a budget of time is measured by the code that is here" in refused(edited)


def test_a_patch_that_does_not_apply_is_told_with_gits_reason(edited: Project) -> None:
    code = as_patch(edited, FUSED, *EDIT)
    edit(edited, FUSED, BEFORE, "        dropout_p=0.0,\n")
    ask_for(edited, code)
    line = refused(edited)
    assert "edit.patch does not apply to the code that is here: error: patch failed" in line
    assert f"{FUSED}:" in line


def test_a_patch_of_other_files_is_refused_with_their_names(edited: Project) -> None:
    code = as_patch(edited, "../../Snakefile", "import sys\n", "import sys  # here\n")
    ask_for(edited, code)
    assert "edit.patch changes Snakefile, and a variant takes code" in refused(edited)
    edit(edited, "../../config/experiments/micro.yaml", "max_steps: 30", "max_steps: 40")
    code = as_patch(edited, FUSED, *EDIT)
    ask_for(edited, code)
    assert "edit.patch changes config/experiments/micro.yaml, and" in refused(edited)


def test_a_commit_without_the_package_is_said_to_have_none(edited: Project) -> None:
    edited.run("git", "checkout", "--quiet", "--orphan", "empty")
    edited.run("git", "rm", "-rqf", "src")
    commit(edited)
    edited.run("git", "checkout", "--quiet", "main")
    ask_for(edited, "empty")
    assert "has no src/variorum; name one that has the package" in refused(edited)


def test_without_git_only_patches_can_be_run(edited: Project) -> None:
    code = as_patch(edited, FUSED, *EDIT)
    shutil.rmtree(edited.root / ".git")
    ask_for(edited, "main")
    assert "there is no git repository here" in refused(edited)
    ask_for(edited, code)
    assert of(planned(edited), "other").tree


def test_what_git_does_not_have_is_not_put_anywhere(
    edited: Project, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(VariorumError, match=r"git could not give its files: .*HEAD:nowhere"):
        put_into(edited.root, "HEAD:nowhere", tmp_path / "nowhere")
    put_into(edited.root, "HEAD:texts", tmp_path / "texts")
    texts = flow.files_of(edited.root / "texts")
    assert texts
    assert flow.files_of(tmp_path / "texts") == texts
    assert capfd.readouterr().err == ""


def test_code_that_is_no_python_is_told_with_its_line(edited: Project) -> None:
    on_branch(edited, FUSED, "def attend(", "def attend((")
    ask_for(edited, "edited")
    assert f": {FUSED}:" in refused(edited)


def test_a_stage_or_component_that_a_commit_lacks_is_named(edited: Project) -> None:
    edited.run("git", "checkout", "--quiet", "-b", "edited")
    (edited.root / code_versions.INSIDE / "model/positions/learned.py").unlink()
    commit(edited)
    edited.run("git", "checkout", "--quiet", "main")
    ask_for(edited, "edited")
    assert "has no variorum.model.positions.learned" in refused(edited)


def test_variants_that_would_be_measured_by_different_code_are_refused(edited: Project) -> None:
    on_branch(edited, "evaluation/bits.py", "math.log(2)", "math.log(2.0)")
    ask_for(edited, "edited")
    line = refused(edited)
    assert "variant other would be measured in another way than the baseline, as" in line
    assert "variorum.evaluation.bits:" in line


def unfit(project: Project) -> str:
    """The line that Snakemake ends with, before anything runs."""
    with pytest.raises(VariorumError) as caught:
        Flow(project.root, {}, dry_run=True).ablation("edit")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_setting_that_a_commit_does_not_know_is_named(edited: Project) -> None:
    config = (edited.root / code_versions.INSIDE / "config/model_settings.py").read_text()
    line = next(line for line in config.splitlines(keepends=True) if "qk_norm: Truth" in line)
    on_branch(edited, "config/model_settings.py", line, line.replace("qk_norm", "queries_norm"))
    edited.run("git", "checkout", "--quiet", "edited")
    edit(edited, FUSED, *EDIT)
    commit(edited)
    edited.run("git", "checkout", "--quiet", "main")
    ask_for(edited, "edited, model: {qk_norm: true}")
    assert "cannot run pretrain: it knows no setting model.qk_norm" in unfit(edited)


def test_code_that_makes_keys_in_another_way_is_refused(edited: Project) -> None:
    on_branch(
        edited, "identity/fingerprint.py", '"\\n".join(lines).encode()', '"|".join(lines).encode()'
    )
    edited.run("git", "checkout", "--quiet", "edited")
    edit(edited, FUSED, *EDIT)
    commit(edited)
    edited.run("git", "checkout", "--quiet", "main")
    ask_for(edited, "edited")
    assert "makes fingerprints of code in another way" in unfit(edited)


def test_code_that_does_not_even_start_is_refused_with_its_last_line(edited: Project) -> None:
    start = "def current_code("
    on_branch(edited, "plan/current_code.py", start, f"import nothing_of_that_name\n\n\n{start}")
    edited.run("git", "checkout", "--quiet", "edited")
    edit(edited, FUSED, *EDIT)
    commit(edited)
    edited.run("git", "checkout", "--quiet", "main")
    ask_for(edited, "edited")
    assert "does not run here: ModuleNotFoundError" in unfit(edited)


# Running


def make_ready(folder: Path) -> Project:
    """Finish all that the present code makes of an ablation of which one variant is edited."""
    project = copy_project(folder)
    add_micro_experiment(project, domain=False)
    commit(project)
    on_branch(project, FUSED, *EDIT)
    ask_for(project, "edited")
    for node in planned(project):
        if not node.tree and node.ref.stage != "table":
            flow.made_once(project.root, node)
    return project


def make_table(folder: Path) -> None:
    """Have Snakemake make its table: nothing that was finished runs again."""
    project = make_ready(folder)
    store = Store(project.root)
    finished = {ref: store.folder(ref).stat().st_mtime_ns for ref in store.refs()}
    assert finished
    project.snakemake("reports/edit/table.md")
    assert {ref: store.folder(ref).stat().st_mtime_ns for ref in finished} == finished


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with an edit on a branch, where all that the present code makes is finished."""
    return make_ready(tmp_path_factory.mktemp("ready") / "project")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same, with the table."""
    folder = tmp_path_factory.mktemp("made") / "project"
    return Project(flow.made_by_commands(folder, make_table))


def test_snakemake_runs_the_other_code_for_what_is_its_own(made: Project) -> None:
    plan, store = planned(made), Store(made.root)
    assert {node.ref for node in plan} == set(store.refs())
    for seed in (1, 2):
        model, base = (store.open(plan.last.upstream[f"{v}/{seed}/model"].ref) for v in VARIANTS)
        assert "scale=0.5" in model.code["variorum.model.attentions.fused:attend"]
        assert "scale=0.5" not in base.code["variorum.model.attentions.fused:attend"]
        digests = [r.manifest["files"]["model.safetensors"]["sha256"] for r in (model, base)]
        assert digests[0] != digests[1]
    folder = made.root / "reports/edit"
    assert (folder / "other.diff").read_text() == plan.last.notes[DIFFS]["other"]
    assert "[other.diff](other.diff): what its code changes" in (folder / "table.md").read_text()
    codes = (folder / "codes.csv").read_text()
    assert codes.splitlines()[0] == "variant,code"
    assert codes.splitlines()[1].startswith('other,"edited, commit ')
    assert '<a href="other.diff">' in (folder / "table.html").read_text()
    again = made.snakemake("reports/edit/table.md")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_what_other_code_made_is_verified_and_made_again_by_it(made: Project) -> None:
    refs = [of(planned(made), "other", part).ref for part in ("model", "base")]
    done = made.run("variorum", "verify", "--rerun", *map(str, refs))
    assert done.stdout.count("identical (") == 2
    assert done.stdout.count("made by the code edited, commit ") == 2
    assert "all as published" in made.run("variorum", "verify", *map(str, refs)).stdout
    assert not (made.root / "scratch/rerun").exists()


@pytest.fixture
def here(made: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That project, as the working directory."""
    monkeypatch.chdir(made.root)
    return made.root


def test_why_shows_the_edit(here: Path, variorum: Command) -> None:
    assert "+        scale=0.5," in variorum("why", "edit/other/1").out


def test_a_model_that_other_code_trained_says_so_when_it_writes(
    here: Path, variorum: Command
) -> None:
    other, present = (
        variorum("sample", "the", "-m", f"edit/{variant}/1", "-n", "4").err for variant in VARIANTS
    )
    assert "variorum.model.attentions.fused:attend was edited after the training" in other
    assert "was another" not in present


def test_what_is_planned_with_other_code_is_adopted_from_that_code_alone(
    made: Project, here: Path, variorum: Command
) -> None:
    model = of(planned(made), "other").ref
    shutil.copytree(made.root / "results", made.root / "kept")
    shutil.rmtree(Store(made.root).folder(model))
    try:
        said = variorum("adopt", "edit/other", "--because", "I say so")
        assert said.code == 1
        assert "it is to be made by edited, commit" in said.err
    finally:
        shutil.rmtree(made.root / "results")
        (made.root / "kept").rename(made.root / "results")


def test_gc_keeps_what_a_code_variant_needs_and_the_code_that_it_runs(made: Project) -> None:
    commit(made)
    stale = made.root / code_versions.FOLDER / "0123"
    stale.mkdir()
    done = made.run("variorum", "gc", "--force")
    assert "0 results and" in done.stdout
    removed = [line for line in done.stdout.splitlines() if code_versions.FOLDER in line]
    assert len(removed) == 1, removed
    assert f"{code_versions.FOLDER}/0123 " in removed[0]


PAST_FIRST = re.compile(r"step [1-9][\d,]*:")
"""What a training's log says after some steps; one that goes on from a state may be past any."""


class Training:
    """`variorum run` of a result that another tree makes."""

    def __init__(self, project: Project, ref: Ref) -> None:
        self.project, self.ref, self.store = project, ref, Store(project.root)
        self.log = project.root / "log"

    def start(self) -> "subprocess.Popen[str]":
        """Start it and wait for its first steps."""
        process = subprocess.Popen(
            ["variorum", "run", str(self.ref), "--checkpoint-seconds", "0.1", "--log", "log"],
            cwd=self.project.root,
            env=self.project.environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        while not PAST_FIRST.search(self.log.read_text() if self.log.is_file() else ""):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        return process

    def is_locked(self) -> bool:
        """Whether a process makes it."""
        asked: list[bool] = []

        def note() -> None:
            asked.append(True)
            raise InterruptedError

        try:
            with self.store.locked(self.ref, note):
                return False
        except InterruptedError:
            return True


@pytest.fixture
def training(ready: Project, tmp_path: Path) -> Training:
    """A training by the other code, handed over."""
    project = Project(tmp_path / "project")
    shutil.copytree(ready.root, project.root)
    micro = project.root / "config/experiments/micro.yaml"
    micro.write_text(micro.read_text().replace("max_steps: 30", "max_steps: 30000"))
    node = of(planned(project), "other")
    assert node.tree is not None
    for needed in node.upstream.values():
        flow.made_once(project.root, needed)
    runner.submit(Store(project.root), node.spec, node.label, node.tree.package)
    return Training(project, node.ref)


def test_one_process_runs_the_other_code_so_that_signals_and_kills_reach_it(
    training: Training,
) -> None:
    process = training.start()
    environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    assert any(
        code_versions.FOLDER.encode() in each for each in environment if b"PYTHONPATH=" in each
    )
    assert training.is_locked()
    process.kill()
    process.communicate()
    assert not training.is_locked(), "its lock went with it"
    training.log.unlink()
    process = training.start()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped" in said
    state = training.store.scratch(training.ref) / "state.safetensors"
    assert state.is_file(), "the same command goes on"


def test_a_tree_that_is_gone_is_named(training: Training) -> None:
    shutil.rmtree(training.project.root / code_versions.FOLDER)
    done = training.project.run("variorum", "run", str(training.ref), check=False)
    assert done.returncode == 1
    assert "which is gone; run the same `snakemake` command again" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_other_code_refuses_a_key_that_is_not_its_own(training: Training) -> None:
    tree = next((training.project.root / code_versions.FOLDER).iterdir()) / code_versions.INSIDE
    (tree / FUSED).write_text((tree / FUSED).read_text().replace("0.5", "0.6"))
    done = training.project.run("variorum", "run", str(training.ref), check=False)
    assert "the code of pretrain was edited after" in done.stderr


# In one line


def test_compare_writes_an_ablation_runs_it_and_tells_what_it_shows(made: Project) -> None:
    results = set(Store(made.root).refs())
    done = made.run("variorum", "compare", "edited", "--seeds", "2", "--cores", "2")
    first, *findings, last = done.stdout.splitlines()
    assert first.startswith("config/ablations/compare-edited.yaml is new")
    assert findings[0].startswith("On the base test text, ")
    assert "here (" in findings[0]
    assert last == "reports/compare-edited/table.md"
    new = set(Store(made.root).refs()) - results
    assert {ref.stage for ref in new} == {"table"}, "its runs are those of the other ablation"
    loaded = load_ablation(made.root, "compare-edited")
    assert loaded.settings.baseline == "edited"
    assert loaded.settings.experiment == "micro"
    assert loaded.settings.seeds == (1, 2)
    folder = made.root / "reports/compare-edited"
    assert "-        scale=0.5," in (folder / "here.diff").read_text()
    assert not (folder / "edited.diff").exists()


def test_compare_uses_a_file_that_is_there(edited: Project) -> None:
    on_branch(edited, FUSED, *EDIT, branch="a/branch")
    first, was_there = comparison(edited.root, "a/branch", seeds=3)
    assert not was_there
    assert first.name == "compare-a-branch"
    text = (edited.root / first.file).read_text()
    assert comparison(edited.root, "a/branch") == (first, True)
    assert comparison(edited.root, "a/branch", "micro", 3, "pretrain") == (first, True)
    assert (edited.root / first.file).read_text() == text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a-branch",), "compares a/branch, not a-branch; rename that file"),
        (("a/branch", "tiny"), "is there, with experiment micro, not tiny"),
        (("a/branch", None, 4), "is there, with seeds [1, 2, 3], not [1, 2, 3, 4]"),
        (("a/branch", None, None, "finetune"), "with last_stage pretrain, not finetune"),
    ],
)
def test_compare_refuses_a_file_that_answers_something_else(
    edited: Project, arguments: tuple[Any, ...], said: str
) -> None:
    for branch in ("a/branch", "a-branch"):
        edited.run("git", "branch", branch)
    found, _ = comparison(edited.root, "a/branch", seeds=3)
    text = (edited.root / found.file).read_text()
    with pytest.raises(VariorumError) as caught:
        comparison(edited.root, *arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (edited.root / found.file).read_text() == text


def test_compare_fixes_what_begins_at_head(edited: Project) -> None:
    head = edited.run("git", "rev-parse", "HEAD").stdout[: code_versions.SHOWN]
    found, _ = comparison(edited.root, "HEAD")
    assert found.name == f"compare-{head}"
    assert load_ablation(edited.root, found.name).variants[head].code == head


def test_a_branch_called_here_is_told_from_the_code_that_is_here(edited: Project) -> None:
    edited.run("git", "branch", "here")
    found, _ = comparison(edited.root, "here")
    variants = load_ablation(edited.root, found.name).variants
    assert {name: variant.code for name, variant in variants.items()} == {
        "here-there": "here",
        "here": None,
    }


def test_compare_with_a_patch(edited: Project) -> None:
    found, _ = comparison(edited.root, as_patch(edited, FUSED, *EDIT))
    assert found.name == "compare-edit"
    assert load_ablation(edited.root, found.name).variants["edit"].code == "config/edit.patch"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mian",), "git has no commit 'mian'; did you mean `main`?"),
        (("main", "micor"), "did you mean `micro`?"),
        (("main", "micro", 2, "finetune"), "has no domain corpus"),
    ],
)
def test_compare_that_is_refused_writes_nothing(
    edited: Project, arguments: tuple[Any, ...], said: str
) -> None:
    with pytest.raises(VariorumError) as caught:
        comparison(edited.root, *arguments)
    assert said in str(caught.value)
    assert not list((edited.root / "config/ablations").glob("compare-*"))


def test_compare_does_not_leave_out_settings_of_the_current_experiment(edited: Project) -> None:
    current = edited.root / "config/config.yaml"
    current.write_text(current.read_text() + "pretrain: {max_steps: 20}\n")
    with pytest.raises(VariorumError, match="sets pretrain beside its experiment"):
        comparison(edited.root, "main")
    assert comparison(edited.root, "main", "micro")
