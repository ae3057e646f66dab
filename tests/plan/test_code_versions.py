"""A variant may run another state of the code: a commit's, or the present one with a patch."""

import multiprocessing
import shutil
from pathlib import Path

import flow
from conftest import Project, add_micro_experiment
from edited_code import (
    BEFORE,
    COMMENT,
    DIFF,
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
from variorum.base.files import FolderFiles
from variorum.base.project import CODE_VERSIONS
from variorum.plan import code_versions
from variorum.plan.ablation import CODES, DIFFS
from variorum.plan.experiment import Plan

pytest_plugins = ("edited_fixtures",)


# Keys


def test_code_that_is_the_same_makes_the_same_runs_and_the_table_says_so(edited: Project) -> None:
    ask_for(edited, "main")
    plan = planned(edited)
    assert of(plan, "other") == of(plan, "present")
    assert not any(node.version for node in plan)
    assert plan.last.spec.settings["edited"] == {"other": False}
    assert list(plan.last.notes) == [CODES]
    assert "uncounted" not in plan.last.spec.settings


def test_an_edit_has_keys_of_its_own_from_the_first_stage_that_reaches_it(edited: Project) -> None:
    name = on_branch(edited, FUSED, *EDIT)
    ask_for(edited, "edited")
    plan = planned(edited)
    own = {node.ref.stage for node in plan if node.version}
    assert own == {"pretrain", "evaluate"}, "a model is evaluated by the code that made it"
    assert len(plan.of_stage("encode")) == 1, "shared"
    assert {n.ref for n in plan.of_stage("pretrain") if not n.version} == {
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
    package = put_in_place(plan)
    assert flow.files_of(package) == {
        file: digest
        for file, digest in flow.files_of(edited.root / code_versions.INSIDE).items()
        if file != FUSED and "__pycache__" not in file
    } | {FUSED: flow.sha256_of(package / FUSED)}
    assert BEFORE in (package / FUSED).read_text()
    assert EDIT[1] not in (package / FUSED).read_text()


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


# Folders


def put_in_place(plan: Plan) -> Path:
    """Put the code of the variant `other` in place; gives the folder of its package."""
    version = of(plan, "other").version
    assert version is not None
    version.put_in_place()
    return version.package


def test_planning_writes_no_code(edited: Project) -> None:
    on_branch(edited, FUSED, *EDIT)
    for code in ("edited", as_patch(edited, FUSED, *EDIT)):
        ask_for(edited, code)
        before = flow.files_of(edited.root)
        planned(edited)
        assert flow.files_of(edited.root) == before


def test_code_that_was_cleaned_away_is_restored(edited: Project) -> None:
    on_branch(edited, FUSED, *EDIT)
    ask_for(edited, "edited")
    package = put_in_place(planned(edited))
    before = flow.files_of(package)
    shutil.rmtree(edited.root / CODE_VERSIONS)
    put_in_place(planned(edited))
    assert flow.files_of(package) == before


def test_code_that_was_edited_there_is_restored(edited: Project) -> None:
    on_branch(edited, FUSED, *EDIT)
    ask_for(edited, "edited")
    plan = planned(edited)
    package = put_in_place(plan)
    before = flow.files_of(package)
    (package / FUSED).write_text((package / FUSED).read_text().replace("0.5", "0.6"))
    (package / "more.py").write_text("MORE = 1\n")
    again = planned(edited)
    assert again.last.ref == plan.last.ref
    put_in_place(again)
    assert flow.files_of(package) == before
    assert len(list((edited.root / CODE_VERSIONS).iterdir())) == 1


def test_what_is_there_whole_is_left_alone(edited: Project) -> None:
    on_branch(edited, FUSED, *EDIT)
    ask_for(edited, "edited")
    package = put_in_place(planned(edited))
    times = {file: file.stat().st_mtime_ns for file in package.rglob("*")}
    put_in_place(planned(edited))
    assert {file: file.stat().st_mtime_ns for file in package.rglob("*")} == times


def put(root: Path) -> dict[str, str]:
    """Put a code version in place; gives what lies there then."""
    version = code_versions.code_version(root, "main", FolderFiles(root / code_versions.INSIDE))
    version.put_in_place()
    return flow.files_of(version.package)


def test_several_that_put_the_same_in_place_at_once_do_not_disturb_one_another(
    edited: Project,
) -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map(put, [edited.root] * 4)
    assert found == [found[0]] * 4
    assert len(list((edited.root / CODE_VERSIONS).iterdir())) == 1
