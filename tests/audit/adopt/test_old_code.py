"""Old results whose specs are spelled as no spec is now still tell the code that made them."""

import json
from pathlib import Path

import pytest

from variorum.audit.adopt.old_code import compare_tiny
from variorum.base.components import PACKAGE
from variorum.base.errors import VariorumError
from variorum.base.progress import Progress
from variorum.config.canonical import canonical, with_omitted
from variorum.config.evaluation_settings import StressSettings
from variorum.identity.spec import Spec
from variorum.plan.current_code import components_of, current_code
from variorum.stages.stress import StressStage
from variorum.store.result import Result
from variorum.store.store import Store

SHORT = canonical(StressStage(stress=StressSettings()))
LONG = json.loads(json.dumps(with_omitted(StressStage, SHORT)))
"""The same settings, with the values that specs omit."""


def test_settings_that_specs_omit_now_are_read_and_run_no_code() -> None:
    assert LONG != SHORT
    short, long = (Spec("stress", settings, {}, "0") for settings in (SHORT, LONG))
    assert components_of(long) == components_of(short) == ()
    assert current_code(short) is not None
    assert current_code(long) is None


def test_a_result_with_such_settings_counts_among_what_the_old_code_made(tmp_path: Path) -> None:
    made = [
        Spec("stress", settings, {}, code)
        for settings, code in ((SHORT, "1" * 64), (LONG, "2" * 64))
    ]
    last = Spec("report", {}, {spec.code: spec.ref for spec in made}, "3" * 64)
    olds = {
        spec.ref: Result(spec.ref, tmp_path, {"spec": spec.as_data()}) for spec in (*made, last)
    }
    with pytest.raises(VariorumError, match="the old results of stress were made by different"):
        compare_tiny(
            Store(tmp_path), [olds[last.ref]], [], olds.get, tmp_path, Progress("adopt"), PACKAGE
        )
