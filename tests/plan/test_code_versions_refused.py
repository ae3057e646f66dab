"""Code that no variant can run is refused in one line."""

import shutil
from pathlib import Path

import pytest

import flow
from conftest import Project
from edited_code import (
    BEFORE,
    EDIT,
    FUSED,
    as_patch,
    ask_for,
    commit,
    edit,
    of,
    on_branch,
    planned,
    refused,
)
from variorum.base.errors import VariorumError
from variorum.base.git import put_into
from variorum.plan import code_versions
from variorum.snakemake import Flow

pytest_plugins = ("edited_fixtures",)


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
    code = as_patch(
        edited, "../../Snakefile", "workdir: workflow.basedir\n", "workdir: workflow.basedir  # x\n"
    )
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
    assert of(planned(edited), "other").version


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
    renamed = line.replace("qk_norm", "queries_norm")
    on_branch(edited, "config/model_settings.py", line, renamed, (FUSED, *EDIT))
    ask_for(edited, "edited, model: {qk_norm: true}")
    assert "cannot run pretrain: it knows no setting model.qk_norm" in unfit(edited)


def test_code_that_makes_keys_in_another_way_is_refused(edited: Project) -> None:
    joined = '"\\n".join(lines).encode()'
    other = joined.replace("\\n", "|")
    on_branch(edited, "identity/fingerprint.py", joined, other, (FUSED, *EDIT))
    ask_for(edited, "edited")
    assert "makes fingerprints of code in another way" in unfit(edited)


def test_code_that_does_not_even_start_is_refused_with_its_last_line(edited: Project) -> None:
    start = "def current_code("
    broken = f"import nothing_of_that_name\n\n\n{start}"
    on_branch(edited, "plan/current_code.py", start, broken, (FUSED, *EDIT))
    ask_for(edited, "edited")
    assert "does not run here: ModuleNotFoundError" in unfit(edited)
