"""The plan that stages declare is the one that is wired by hand."""

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import peers
from conftest import Project, add_micro_experiment, copy_project
from flow import POSITIONS, current
from oracles.wiring import Graph, Named, wired
from variorum.plan import declared
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.experiment import Node, Plan
from variorum.plan.loading import load_experiment
from variorum.stages.registry import MODELS, STAGES
from variorum.stages.stage import Axis, Input, Role, Stage
from variorum.stages.stress import StressStage

CHOICES = [
    (domain, both, replay, imported)
    for domain, both, replay, imported in product((False, True), repeat=4)
    if (domain or not (both or replay)) and not (both and imported)
]
"""Without a domain there is one corpus; an imported model brings its tokenizer."""


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The micro experiment, without and with an imported model."""
    found = {}
    for imported in (False, True):
        project = copy_project(tmp_path_factory.mktemp("declared") / "project")
        add_micro_experiment(project)
        if imported:
            peers.import_gpt2(project.root)
        found[imported] = project.root
    return found


def _graph(plan: Plan) -> Graph:
    """The plan, its results named as the oracle names them."""

    def named(node: Node) -> Named:
        stage, label = node.ref.stage, node.label
        if stage in MODELS:
            label = "finetuned" if stage == "finetune" else "pretrained"
        return stage, "" if stage in ("tokenizer", "comparisons", "figures", "report") else label

    return {
        named(node): {name: named(needed) for name, needed in node.upstream.items()}
        for node in plan
    }


@pytest.mark.parametrize(("domain", "both", "replay", "imported"), CHOICES)
def test_an_experiment_is_wired_as_by_hand(
    roots: dict[bool, Path], domain: bool, both: bool, replay: bool, imported: bool
) -> None:
    changes: dict[str, Any] = {"finetune": {"replay": 0.5 if replay else 0.0}}
    if not domain:
        changes = {"corpus": {"domain": None}}
    if both:
        changes["tokenizer"] = {"train_on": "both"}
    plan = current(roots[imported], **changes)
    expected = wired(domain=domain, both=both, replay=replay, imported=imported)
    assert _graph(plan) == expected


def test_a_plan_follows_the_order_of_the_flow(roots: dict[bool, Path]) -> None:
    for root in roots.values():
        seen: set[Any] = set()
        for node in current(root):
            assert {needed.ref for needed in node.upstream.values()} <= seen
            seen.add(node.ref)


def test_the_inputs_of_every_result_are_those_its_stage_declares(micro: Project) -> None:
    (micro.root / "config/ablations/positions.yaml").write_text(POSITIONS)
    table = plan_ablation(load_ablation(micro.root, "positions"), micro.root)
    for node in [*current(micro.root), *table]:
        inputs = STAGES[node.ref.stage].inputs
        for name, needed in node.upstream.items():
            fitting = [
                each for template, each in inputs.items() if _pattern(template).fullmatch(name)
            ]
            assert any(needed.ref.stage in each.stages for each in fitting), name


def _pattern(template: str) -> re.Pattern[str]:
    """What names a template of inputs stands for."""
    return re.compile(re.sub(r"\\{\w+\\}", ".+", re.escape(template)))


@pytest.mark.parametrize(
    ("per", "roles"),
    [
        ((), [Role()]),
        (("corpus",), [Role(corpus="base"), Role(corpus="domain")]),
        (("model",), [Role("pretrained", "base"), Role("finetuned", "domain")]),
        (
            ("model", "corpus"),
            [Role(m, c) for m in ("pretrained", "finetuned") for c in ("base", "domain")],
        ),
        (None, []),
    ],
)
def test_an_experiment_has_one_result_for_what_a_stage_says(
    roots: dict[bool, Path], per: tuple[Axis, ...] | None, roles: list[Role]
) -> None:
    experiment = _settings(roots[False])
    stage = Stage(StressStage, products=(), per=per)
    assert declared.roles_of(stage, experiment) == roles
    assert declared.roles_of(Stage(StressStage, (), per, when=lambda e: False), experiment) == []


def test_an_input_that_names_no_model_is_of_the_last_one(roots: dict[bool, Path]) -> None:
    experiment = _settings(roots[False])
    inputs = {
        "last": Input(MODELS),
        "first": Input(MODELS, model="pretrained"),
        "text": Input(("normalize",)),
        "never": Input(MODELS, when=lambda experiment: False),
        "{model}": Input(MODELS),
    }
    stage = Stage(StressStage, products=(), per=(), inputs=inputs)
    found = {n: of[0] for n, of in declared.inputs_of(stage, Role(), experiment)}
    pretrained = ("pretrain", Role("pretrained", "base"))
    finetuned = ("finetune", Role("finetuned", "domain"))
    assert found == {
        "last": finetuned,
        "first": pretrained,
        "text": ("normalize", Role(corpus="domain")),
        "pretrained": pretrained,
        "finetuned": finetuned,
    }


def _settings(root: Path) -> Any:
    return load_experiment(root).settings
