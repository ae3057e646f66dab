"""`variorum compare` writes the ablation that compares two states of the code."""

from typing import Any

import pytest

from conftest import Project
from edited_code import (
    EDIT,
    FUSED,
    as_patch,
    on_branch,
)
from variorum.base.errors import VariorumError
from variorum.plan import code_versions
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.code_comparison import comparison

pytest_plugins = ("edited_fixtures",)


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
