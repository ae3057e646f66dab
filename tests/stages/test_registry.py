"""A wrong declaration of a stage is one line that names its file and what is wrong."""

import re

import pytest

from variorum.base.errors import VariorumError
from variorum.stages.registry import STAGES, in_order
from variorum.stages.stage import Input, Role, Stage
from variorum.stages.stress import StressStage


def stage(**inputs: Input) -> Stage:
    return Stage(StressStage, products=(), per=(), inputs=inputs)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"a": stage(x=Input(("b",)))}, "stages/a.py: inputs: x: there is no stage b; name one of"),
        (
            {**STAGES, "a": stage(x=Input(("evaluate",), model="pretraned"))},
            "a.py: inputs: x: there is no model pretraned; name one of pretrained, finetuned",
        ),
        (
            {**STAGES, "a": stage(x=Input(("encode",), corpus="bases"))},
            "a.py: inputs: x: there is no corpus bases; name one of base, domain",
        ),
        ({"a": stage(x=Input(("a",)))}, "a.py: inputs: it reads what is made from it, by way of a"),
        (
            {"a": stage(x=Input(("b",))), "b": stage(x=Input(("a",)))},
            "it reads what is made from it, by way of",
        ),
    ],
)
def test_a_wrong_input_is_named(declared: dict[str, Stage], message: str) -> None:
    with pytest.raises(VariorumError, match=re.escape(message)):
        in_order(declared)


def test_every_stage_follows_what_it_reads() -> None:
    model = Stage(StressStage, products=(), makes=Role("pretrained", "base"))
    declared = {"b": stage(x=Input(("c",), model="pretrained")), "c": model, "a": stage()}
    assert list(in_order(declared)) == ["a", "c", "b"]
