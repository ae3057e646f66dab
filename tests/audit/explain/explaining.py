"""What the tests of `why` share: what it tells of a project, and how settings are written."""

import re
from pathlib import Path
from typing import Any

import flow
from variorum.audit.explain.operands import ResultIndex
from variorum.audit.explain.why import reason, why
from variorum.base.components import PACKAGE
from variorum.identity.spec import Ref
from variorum.plan.experiment import Plan
from variorum.store.store import Store

ABLATION = """
title: Position encodings
question: Learned or rotary?
experiment: micro
variants:
  learned: {model: {positions: learned}}
  rotary:
    model:
      positions: rotary
      rotary_base: 5000.0
baseline: learned
seeds: [1, 2]
"""


def told(root: Path, *references: str, package: Path = PACKAGE, **overrides: Any) -> str:
    """What `variorum why` prints."""
    first, second = (*references, None, None)[:2]
    return "\n".join(why(root, first, second, overrides, package).lines())


def causes_of(text: str) -> list[str]:
    """The lines that name a cause, of all that was printed."""
    return re.findall(r"^  (\S.*)$", text, re.MULTILINE)


def write(root: Path, **lines: str) -> None:
    """Make settings the current ones, on top of the micro experiment's."""
    text = "".join(f"{name}: {value}\n" for name, value in lines.items())
    (root / "config/config.yaml").write_text(f"experiment: micro\n{text}")


def ref_of(root: Path, stage: str, place: int = 0) -> Ref:
    """The current result of a stage."""
    return flow.current(root).of_stage(stage)[place].ref


def reasons(root: Path, plan: Plan | None = None) -> dict[str, str]:
    """What Snakemake is told of each missing result, by stage and label."""
    index = ResultIndex(Store(root))
    nodes = [node for node in plan or flow.current(root) if not index.finished(node.ref)]
    return {f"{node.ref.stage} {node.label}": reason(node, index) for node in nodes}
