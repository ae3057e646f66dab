"""Platforms: what of the machine that made a result decides its bits, out of `run.json`."""

import re
from collections.abc import Collection, Mapping
from typing import Any

FEATURES = "vector features"

BUILT_ON_NUMPY = frozenset({"matplotlib", "pandas", "scipy", "seaborn"})
"""Libraries that compute with NumPy, so that it decides bits wherever they do."""


def platform_differences(
    run: Mapping[str, Any], here: Mapping[str, Any], libraries: Collection[str]
) -> dict[str, tuple[str, str]]:
    """What decides bits and differs between two `run.json`: name, and both values.

    That are Python's minor version, the vector features of the processor, which of its kernels
    PyTorch takes, on which device it computes, and the versions of `libraries`: those that the code
    in question uses, as `Fingerprint.libraries` names them. What one of the two does not tell is
    left out.
    """
    old, new = _platform(run, libraries), _platform(here, libraries)
    differing = {
        name: (old[name], new[name]) for name in old if name in new and old[name] != new[name]
    }
    if FEATURES in differing:
        sets = [set(text.split()) for text in differing[FEATURES]]
        only = [" ".join(sorted(sets[i] - sets[1 - i])) or "no more" for i in (0, 1)]
        differing[FEATURES] = (only[0], only[1])
    return differing


def _platform(run: Mapping[str, Any], libraries: Collection[str]) -> dict[str, str]:
    facts = {}
    if "python" in run:
        facts["Python"] = ".".join(str(run["python"]).split(".")[:2])
    if "processor" in run:
        features = re.search(r"\(([^()]*)\)$", str(run["processor"]))
        facts[FEATURES] = features[1] if features else str(run["processor"])
    if "cpu_capability" in run:
        facts["PyTorch's kernels"] = str(run["cpu_capability"])
    if "torch" in libraries and "device" in run:
        facts["device"] = str(run["device"])
    versions = run.get("libraries")
    if isinstance(versions, dict):
        below = {"numpy"} if BUILT_ON_NUMPY.intersection(libraries) else set()
        used = sorted(name for name in {*libraries, *below} if name in versions)
        facts |= {name: str(versions[name] or "none") for name in used}
    return facts
