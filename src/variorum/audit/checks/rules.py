"""Whether a result that was made again came out as it should, and by which rule.

On the platform that made a result the bytes must be the same. On another one (vector features of
the processor, Python, or versions of the libraries that the stage uses differ) sums of floats come
out differently, and training multiplies that; then each stage has a rule of its own.
"""

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from variorum.audit.checks.compare import Comparison, relative
from variorum.config import TRAININGS
from variorum.engines.tracking import BUNDLE
from variorum.metrics import HEADLINE
from variorum.store import Result

EXACT = ("download", "normalize", "tokenizer", "encode")
"""Stages that give the same bytes on every platform: they sum no floats."""

LOSS_TOLERANCE = 0.02
"""On another platform: how far the chosen and the last loss on val may lie apart, relatively."""

NUMBER_TOLERANCE = 0.001
"""On another platform: how far numbers about the same weights may lie apart, relatively."""

PICTURES = (".svg",)

FRACTION = re.compile(r"(?<![\w.])\d+\.\d+(?:[eE][-+]?\d+)?(?!\w|\.\d)")
"""A number that was computed, without its sign. Whole numbers are counts and names."""


def judged(
    stored: Result, output: Path, comparison: Comparison, elsewhere: Mapping[str, tuple[str, str]]
) -> tuple[str, bool]:
    """The rule that an outcome falls under, and whether it passes.

    `elsewhere` are the differences of the platforms, as `platform_differences` gives them.
    """
    if not elsewhere:
        where = "made on this platform" if stored.run else "where it was made is not known"
        return f"{where}: every byte must be the same", comparison.is_identical
    platform = "; ".join(f"{name} {old} → {new}" for name, (old, new) in elsewhere.items())
    rule, passed = _judged_elsewhere(stored, output, comparison)
    return f"made on another platform ({platform}): {rule}", passed


def _judged_elsewhere(stored: Result, output: Path, comparison: Comparison) -> tuple[str, bool]:
    stage = stored.ref.stage
    if stage in EXACT:
        return f"{stage} gives the same bytes on all of them", comparison.is_identical
    if comparison.missing or comparison.extra:
        return "it must have the same files", False
    try:
        if stage in TRAININGS:
            return _within(LOSS_TOLERANCE, _losses(stored.folder), _losses(output))
        if stage == "evaluate":
            return _within(NUMBER_TOLERANCE, _bits(stored.folder), _bits(output))
        if stage == "stress":
            return _stress(stored.folder, output)
        return _texts(stored.folder, output, [each.name for each in comparison.differing])
    except (KeyError, ValueError, IndexError, TypeError):  # other code may write other files
        return "its numbers cannot be compared", False


def _within(
    tolerance: float, old: Mapping[str, float], new: Mapping[str, float]
) -> tuple[str, bool]:
    shares = {name: relative(value, new[name]) for name, value in old.items()}
    numbers = ", ".join(
        f"{name} {value:.6g} → {new[name]:.6g} (relative {shares[name]:.2g})"
        for name, value in old.items()
    )
    return f"must agree to {tolerance:.1%}: {numbers}", max(shares.values()) <= tolerance


def _losses(folder: Path) -> dict[str, float]:
    """The loss on val of the chosen weights, and that of the last ones."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    chosen = _json(folder / "metrics.json")["chosen_val_loss"]
    return {"chosen loss": float(chosen), "last loss": float(last["val_loss"])}


def _bits(folder: Path) -> dict[str, float]:
    return {HEADLINE.label: float(HEADLINE.of(_json(folder / "metrics.json")))}


def _stress(old: Path, new: Path) -> tuple[str, bool]:
    """Once a token is drawn otherwise, so is the text behind it; what is measured of it is free."""
    rule = (
        "it must have the same prompts and cases, each with the same verdict, and what is measured "
        f"of the same text must agree to {NUMBER_TOLERANCE:.1%}"
    )
    prompts = [[each["prompt"] for each in _json(folder / "samples.json")] for folder in (old, new)]
    faults = _other_cases(_json(old / "cases.json"), _json(new / "cases.json"))
    return _with_faults(rule, [*(["prompts"] if prompts[0] != prompts[1] else []), *faults])


def _other_cases(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> Iterator[str]:
    """The names of cases that are not what they were."""
    cases = [{case["name"]: case for case in each} for each in (old, new)]
    yield from sorted(cases[0].keys() ^ cases[1].keys())
    for name, a in cases[0].items():
        b = cases[1].get(name, a)
        kept = all(a[part] == b[part] for part in ("passed", "threshold", "comparison"))
        if not (kept and (a["excerpt"] != b["excerpt"] or _agree(a["measured"], b["measured"]))):
            yield name


def _agree(old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old is new
    if not (math.isfinite(old) and math.isfinite(new)):
        return False
    return relative(old, new) <= NUMBER_TOLERANCE


def _texts(old: Path, new: Path, differing: Iterable[str]) -> tuple[str, bool]:
    rule = (
        "pictures may differ; texts and tables may too, but in fractions alone, which must agree "
        f"to {NUMBER_TOLERANCE:.1%}; results that it carries may not"
    )
    return _with_faults(
        rule,
        [
            name
            for name in differing
            if name.startswith(f"{BUNDLE}/")
            or not (name.endswith(PICTURES) or _is_like(old / name, new / name))
        ],
    )


def _is_like(old: Path, new: Path) -> bool:
    """Whether two texts are the same but for fractions that agree."""
    texts = [path.read_text(encoding="utf-8") for path in (old, new)]
    words = [FRACTION.split(text) for text in texts]
    numbers = [list(map(float, FRACTION.findall(text))) for text in texts]
    return words[0] == words[1] and all(map(_agree, *numbers))


def _with_faults(rule: str, faults: Iterable[str]) -> tuple[str, bool]:
    """The rule with what breaks it, and whether nothing does."""
    names = ", ".join(faults)
    return (f"{rule}; not so: {names}" if names else rule), not names


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
