"""Projects in which a variant of an ablation runs another state of the code."""

import os
import shutil
from functools import cache
from pathlib import Path

import pytest

import flow
from conftest import SESSION, Project, add_micro_experiment, copy_project
from variorum.config.setting_errors import ConfigError
from variorum.plan import code_versions
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.experiment import Node, Plan

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
    """Commit everything; gives the commit as `code_versions` shows it."""
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "State")
    return project.run("git", "rev-parse", "HEAD").stdout[: code_versions.SHOWN]


def on_branch(
    project: Project,
    file: str,
    old: str,
    new: str,
    *also: tuple[str, str, str],
    branch: str = "edited",
) -> str:
    """Commit an edit, and others beside it, on a branch, and leave it."""
    project.run("git", "checkout", "--quiet", "-b", branch)
    for each in ((file, old, new), *also):
        edit(project, *each)
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


@cache
def original() -> Path:
    """Commit a project with an experiment that takes seconds."""
    project = copy_project(Path(os.environ[SESSION]) / "committed")
    add_micro_experiment(project, domain=False)
    commit(project)
    return project.root


def committed(target: Path) -> Project:
    """Copy it, to change."""
    shutil.copytree(original(), target)
    return Project(target)


def ready_for_other_code(folder: Path) -> Project:
    """Finish all that the present code makes of an ablation of which one variant is edited."""
    project = copy_project(folder)
    add_micro_experiment(project, domain=False)
    commit(project)
    on_branch(project, FUSED, *EDIT)
    ask_for(project, "edited")
    for node in planned(project):
        if not node.version and node.ref.stage != "table":
            flow.made_once(project.root, node)
    return project
