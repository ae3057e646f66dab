"""Each stage has one rule, which reserves what the stage declares."""

import re

import pytest

from conftest import ROOT
from variorum.stages.registry import STAGES

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
