"""Read which texts the last test has, and how often it was opened.

`config/last-test.yaml` names an experiment and texts that nothing is chosen by; it is committed
before anybody reads them. `reports/last-test/record.json` holds what each opening found
(`audit.last_test`).
"""

import json
from pathlib import Path
from typing import Any

from variorum.base.errors import VariorumError
from variorum.config.setting_checks import validated
from variorum.config.setting_layers import read_layers
from variorum.plan.last_test_settings import LastTest
from variorum.plan.loading import LoadedExperiment

LIST = "config/last-test.yaml"
RECORD = "reports/last-test/record.json"


def load(root: Path) -> LastTest:
    """Return the last test of the project at `root`; raises `ConfigError`."""
    return validated(LastTest, read_layers(root, LIST), LIST)


def recorded(root: Path) -> list[dict[str, Any]]:
    """Return the openings that the record holds, the first one first; none without a record."""
    path = root / RECORD
    return openings_in(path.read_text(encoding="utf-8")) if path.is_file() else []


def openings_in(record: str) -> list[dict[str, Any]]:
    """Return the openings in the text of a record; raises `VariorumError` if it is damaged."""
    try:
        found = json.loads(record)["openings"]
    except (ValueError, LookupError, TypeError):
        found = None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise VariorumError(
            f"{RECORD}: found no list of openings; put the committed one back: "
            f"git checkout HEAD -- {RECORD}"
        )
    return found


def times(count: int) -> str:
    """Return how often, in words: never, once, twice, 3 times."""
    return ("never", "once", "twice")[count] if count < 3 else f"{count} times"


def opened(root: Path, loaded: LoadedExperiment) -> str | None:
    """Return how often the last test of an experiment was opened; None without one."""
    if loaded.overrides or not (root / LIST).is_file() or load(root).experiment != loaded.name:
        return None
    return times(len(recorded(root)))
