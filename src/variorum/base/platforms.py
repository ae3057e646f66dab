"""Compare platforms: what of the machine that made a result decides its bits, from `run.json`."""

import re
from collections.abc import Collection, Mapping
from typing import Any

FEATURES = "vector features"

BUILT_ON_NUMPY = frozenset({"matplotlib", "pandas", "scipy", "seaborn"})
"""Libraries that compute with NumPy, so that it decides bits wherever they do."""


def platform_differences(
    run: Mapping[str, Any], here: Mapping[str, Any], libraries: Collection[str]
) -> dict[str, tuple[str, str]]:
    """Return what decides bits and differs between two `run.json`: both values by name.

    That are Python's minor version, the processor's vector features, PyTorch's kernels and device,
    and the versions of `libraries`, which the code in question uses (`Fingerprint.libraries`). What
    one of the two does not tell is left out.
    """
    old, new = _platform(run, libraries), _platform(here, libraries)
    differing = {
        name: (old[name], new[name]) for name in old if name in new and old[name] != new[name]
    }
    if FEATURES in differing:
        a, b = (set(text.split()) for text in differing[FEATURES])
        only = [" ".join(sorted(more)) or "no more" for more in (a - b, b - a)]
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
        used = sorted({*libraries, *below} & versions.keys())
        facts |= {name: str(versions[name] or "none") for name in used}
    return facts
