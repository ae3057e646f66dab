"""Decide whether a rerun result passes, and name the rule.

On the platform that made a result the bytes must be the same. On another one (processor, Python,
libraries) sums of floats differ, and training amplifies that; each stage declares what it may
differ in.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from variorum.audit.verify.file_diff import ResultDiff, log_of, relative
from variorum.evaluation.metrics import HEADLINE
from variorum.stages.registry import STAGES
from variorum.stages.stage import Rerun
from variorum.store.restoring import BUNDLE
from variorum.store.result import Result

LOSS_TOLERANCE = 0.02
"""On another platform: the relative difference of the chosen and the last validation loss."""

NUMBER_TOLERANCE = 0.001
"""On another platform: the relative difference of numbers about the same weights."""

ROUNDING = 1e-5
"""What rounding alone may change in a mean of bits or shares."""

FRACTION = re.compile(r"(?<![\w.])\d+\.\d+(?:[eE][-+]?\d+)?(?!\w|\.\d)")
"""A number that was computed, without its sign. Whole numbers are counts and names."""

Judged = tuple[str, bool]
"""The rule with what breaks it, and whether the outcome passes."""


def judged(
    stored: Result, output: Path, diff: ResultDiff, elsewhere: Mapping[str, tuple[str, str]]
) -> Judged:
    """Return the rule for an outcome, and whether it passes.

    `elsewhere` are the differences of platforms, as `platform_differences` returns them.
    """
    if not elsewhere:
        where = "made on this platform" if stored.run else "its platform is unknown"
        return f"{where}: every byte must be the same", diff.is_identical
    platform = "; ".join(f"{name} {old} → {new}" for name, (old, new) in elsewhere.items())
    stage = stored.ref.stage
    allowed = STAGES[stage].rerun if stage in STAGES else Rerun.PAGES
    if allowed is Rerun.NOTHING:
        rule, passed = f"{stage} gives the same bytes on every platform", diff.is_identical
    elif diff.missing or diff.extra:
        rule, passed = "the files must be the same", False
    else:
        try:
            rule, passed = RULES[allowed](stored.folder, output, diff)
        except (LookupError, ValueError, TypeError, OverflowError):  # files of other code
            rule, passed = "its numbers cannot be compared", False
    return f"made on another platform ({platform}): {rule}", passed


def _losses(old: Path, new: Path, _: ResultDiff) -> Judged:
    """Compare the validation losses of the chosen and the last weights."""

    def losses(folder: Path) -> dict[str, float]:
        chosen, last = _json(folder / "metrics.json")["chosen_val_loss"], log_of(folder)[-1]
        return {"chosen loss": float(chosen), "last loss": float(last["val_loss"])}

    return _within(LOSS_TOLERANCE, losses(old), losses(new))


def _bits_per_byte(old: Path, new: Path, _: ResultDiff) -> Judged:
    found = [float(HEADLINE.of(_json(folder / "metrics.json"))) for folder in (old, new)]
    return _within(NUMBER_TOLERANCE, *({HEADLINE.label: value} for value in found))


def _within(tolerance: float, old: Mapping[str, float], new: Mapping[str, float]) -> Judged:
    shares = {name: relative(value, new[name]) for name, value in old.items()}
    numbers = ", ".join(
        f"{name} {value:.6g} → {new[name]:.6g} (relative {shares[name]:.2g})"
        for name, value in old.items()
    )
    return f"must agree to {tolerance:.1%}: {numbers}", max(shares.values()) <= tolerance


def _cases(old: Path, new: Path, _: ResultDiff) -> Judged:
    """Compare stress tests; measures are free once a token was drawn otherwise."""
    rule = (
        "it must have the same prompts and cases, each with the same verdict, and measures "
        f"of the same text must agree to {NUMBER_TOLERANCE:.1%}"
    )
    prompts = [[each["prompt"] for each in _json(folder / "samples.json")] for folder in (old, new)]
    faults = ["prompts"] if prompts[0] != prompts[1] else []
    for name, differ in (("cases.json", _case_differs), ("behaviour.json", _behaviour_differs)):
        before, after = ({each["name"]: each for each in _json(at / name)} for at in (old, new))
        faults += sorted(before.keys() ^ after.keys())
        both = sorted(before.keys() & after.keys())
        faults += [case for case in both if differ(before[case], after[case])]
    return _with_faults(rule, faults)


def _case_differs(old: dict[str, Any], new: dict[str, Any]) -> bool:
    same = all(old[part] == new[part] for part in ("passed", "threshold", "comparison"))
    drawn_otherwise = old["excerpt"] != new["excerpt"]
    return not (same and (drawn_otherwise or _agree(old["measured"], new["measured"])))


def _behaviour_differs(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Compare verdicts, and what was measured of the model and of its controls.

    A difference may be near zero; so ends agree to a share of the largest of them, and rounding.
    """
    if any(old[part] != new[part] for part in ("passed", "controls")):
        return True
    rows = [_measured(case) for case in (old, new)]
    if rows[0].keys() != rows[1].keys():
        return True
    if old["drawn"] != new["drawn"]:
        return False
    return not all(_means_agree(own, rows[1][name]) for name, own in rows[0].items())


def _measured(case: dict[str, Any]) -> dict[tuple[str, str], dict[str, float] | None]:
    """Return the means of a case on behaviour, by measure and model."""
    rows = [case["shown"], *case["rows"], *case["claims"]]
    return {(row["name"], who): own for row in rows for who, own in row["found"].items()}


def _means_agree(old: dict[str, float] | None, new: dict[str, float] | None) -> bool:
    if old is None or new is None:
        return old is new
    ends = [float(each[end]) for each in (old, new) for end in ("mean", "low", "high")]
    if not all(map(math.isfinite, ends)):
        return False
    size = max(map(abs, ends))
    return old["units"] == new["units"] and all(
        abs(float(old[end]) - float(new[end])) <= NUMBER_TOLERANCE * size + ROUNDING
        for end in ("mean", "low", "high")
    )


def _agree(old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old is new
    return math.isfinite(old) and relative(old, new) <= NUMBER_TOLERANCE


def _pages(old: Path, new: Path, diff: ResultDiff) -> Judged:
    rule = (
        "pictures may differ; texts and tables may too, but in fractions alone, which must agree "
        f"to {NUMBER_TOLERANCE:.1%}; results that it carries may not"
    )
    names = [each.name for each in diff.differing]
    carried = [name for name in names if name.startswith(f"{BUNDLE}/")]
    texts = [name for name in names if name not in carried and not name.endswith(".svg")]
    return _with_faults(rule, [*carried, *(n for n in texts if not _is_like(old / n, new / n))])


def _is_like(old: Path, new: Path) -> bool:
    """Check whether two texts are equal except for fractions that agree."""
    texts = [path.read_text(encoding="utf-8") for path in (old, new)]
    words = [FRACTION.split(text) for text in texts]
    numbers = [list(map(float, FRACTION.findall(text))) for text in texts]
    return words[0] == words[1] and all(map(_agree, *numbers))


def _with_faults(rule: str, faults: Iterable[str]) -> Judged:
    names = ", ".join(faults)
    return (f"{rule}; broken by: {names}" if names else rule), not names


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


RULES: Mapping[Rerun, Callable[[Path, Path, ResultDiff], Judged]] = {
    Rerun.LOSSES: _losses,
    Rerun.SCORES: _bits_per_byte,
    Rerun.CASES: _cases,
    Rerun.PAGES: _pages,
}
"""How to compare results of stages that may differ on another platform."""
