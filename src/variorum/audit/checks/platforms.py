"""Platforms: what of the machine that made a result decides its bits, out of `run.json`."""

import re
from collections.abc import Mapping
from typing import Any

FEATURES = "vector features"


def platform_differences(
    run: Mapping[str, Any], here: Mapping[str, Any]
) -> dict[str, tuple[str, str]]:
    """What decides bits and differs between two `run.json`: name, and both values.

    That are Python's minor version, the vector features of the processor, which of its kernels
    PyTorch takes, and versions of libraries. What one of them does not tell is left out.
    """
    old, new = _platform(run), _platform(here)
    differing = {
        name: (old[name], new[name]) for name in old if name in new and old[name] != new[name]
    }
    if FEATURES in differing:
        sets = [set(text.split()) for text in differing[FEATURES]]
        only = [" ".join(sorted(sets[i] - sets[1 - i])) or "no more" for i in (0, 1)]
        differing[FEATURES] = (only[0], only[1])
    return differing


def _platform(run: Mapping[str, Any]) -> dict[str, str]:
    facts = {}
    if "python" in run:
        facts["Python"] = ".".join(str(run["python"]).split(".")[:2])
    if "processor" in run:
        features = re.search(r"\(([^()]*)\)$", str(run["processor"]))
        facts[FEATURES] = features[1] if features else str(run["processor"])
    if "cpu_capability" in run:
        facts["PyTorch's kernels"] = str(run["cpu_capability"])
    libraries = run.get("libraries")
    if isinstance(libraries, dict):
        facts |= {name: str(version or "none") for name, version in libraries.items()}
    return facts
