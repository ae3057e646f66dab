"""Each stage has one rule, which reserves what the stage declares and makes what remedies name."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import ROOT, Project
from variorum.audit.verify.selection import none_of
from variorum.base.errors import VariorumError
from variorum.identity.spec import Ref
from variorum.plan import references
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.experiment import Plan, plan_experiment
from variorum.plan.loading import LoadedExperiment, named_experiment
from variorum.snakemake import Flow
from variorum.stages.registry import STAGES
from variorum.store.store import Store

RULE = re.compile(r"(?m)^(?:use rule (?P<base>\w+) as )?(?:rule )?make_(?P<stage>\w+)(?: with)?:$")


def rules() -> dict[str, tuple[str, str]]:
    """For each `make_*` rule the stage it begins from, if any, and its text."""
    text = "\n".join(
        file.read_text(encoding="utf-8") for file in sorted((ROOT / "workflow/rules").glob("*.smk"))
    )
    found = {}
    for block in re.split(r"(?m)^(?=use rule |rule |localrules:)", text):
        if match := RULE.match(block):
            base = (match["base"] or "").removeprefix("make_")
            found[match["stage"]] = (base, block)
    return found


RULES = rules()


def test_every_stage_has_a_rule_and_no_rule_lacks_its_stage() -> None:
    assert sorted(RULES) == sorted(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_rule_names_its_stage_alone(stage: str) -> None:
    _, text = RULES[stage]
    named = re.findall(r'flow\.\w+\("(\w+)"\)|stage="(\w+)"|STAGES\["(\w+)"\]', text)
    assert {name for names in named for name in names if name} == {stage}
    assert f'"results/{stage}/{{key}}/manifest.json"' in text
    assert f'**STAGES["{stage}"].resources.reserved,' in text


@pytest.mark.parametrize("stage", STAGES)
def test_the_rules_of_parallel_stages_alone_take_several_cores(stage: str) -> None:
    base, text = RULES[stage]
    while base and "threads:" not in text:
        base, text = RULES[base]
    assert ("training_slots" in text) == STAGES[stage].resources.is_parallel


# Remedies


OUTPUT = re.compile(r'(?m)^    output:\n        "(results/[^"]+)",$')
COMMAND = re.compile(r"`snakemake --cores 4 ([^`]+)`")


def remedies(store: Store, ref: Ref) -> Iterator[str]:
    """Every sentence of the store that says how a result is made."""
    yield store.remedy(ref)
    yield none_of([ref])
    with pytest.raises(VariorumError) as fault:
        store.open(ref)
    yield str(fault.value)


def other_plans(project: Project) -> Iterator[Plan]:
    """Plans of what is not the current experiment."""
    yield plan_experiment(named_experiment(project.root, "micro"), project.root)
    yield plan_ablation(load_ablation(project.root, "positions"), project.root, offline=True)


def test_every_remedy_names_a_file_that_snakemake_makes(micro: Project) -> None:
    """Also of a result that the current settings do not make, as of another experiment."""
    (micro.root / "config/config.yaml").write_text("experiment: default\n")
    store = Store(micro.root)
    outputs = [re.escape(OUTPUT.search(text)[1]) for _, text in RULES.values()]  # type: ignore[index]
    rule = re.compile("|".join(outputs).replace(re.escape("{key}"), "[0-9a-f]{12}"))
    seen = set()
    for plan in other_plans(micro):
        for stage in STAGES:
            for ref in [node.ref for node in plan.of_stage(stage)][:1]:
                targets = [COMMAND.findall(each) for each in remedies(store, ref)]
                assert targets == [[f"results/{ref}/manifest.json"]] * 3
                assert rule.fullmatch(targets[0][0])
                flow = Flow(micro.root, {}, dry_run=True)
                flow.prepare(targets[0])
                assert flow.node(ref).ref == ref
                seen.add(stage)
    assert seen == set(STAGES) - {"imported"}


def test_each_experiment_is_planned_once_for_many_results(
    micro: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (micro.root / "config/config.yaml").write_text("experiment: default\n")
    plan = plan_experiment(named_experiment(micro.root, "micro"), micro.root)
    planned: list[str] = []

    def counting(loaded: LoadedExperiment, *words: Any, **options: Any) -> Plan:
        planned.append(loaded.name)
        return plan_experiment(loaded, *words, **options)

    monkeypatch.setattr(references, "plan_experiment", counting)
    flow = Flow(micro.root, {}, dry_run=True)
    flow.prepare([f"results/{ref}/manifest.json" for ref in plan.nodes])
    assert "micro" in planned
    assert len(planned) == len(set(planned))


def test_a_result_of_other_settings_is_refused_with_words_that_work(micro: Project) -> None:
    changes = {"seed": 77}
    ref = plan_experiment(named_experiment(micro.root, "micro"), micro.root).of_stage("pretrain")[0]
    flow = Flow(micro.root, changes, dry_run=True)
    flow.prepare(["pretrain"])
    [other] = flow.current.of_stage("pretrain")
    assert other.ref != ref.ref
    target = [f"results/{other.ref}/manifest.json"]
    with pytest.raises(
        VariorumError, match=r"other settings or other code: give these by --config"
    ):
        Flow(micro.root, {}, dry_run=True).prepare(target)
    Flow(micro.root, changes, dry_run=True).prepare(target)
