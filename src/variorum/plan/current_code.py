"""Find the code that would run for a spec now."""

from importlib import import_module
from pathlib import Path

from pydantic import ValidationError

from variorum.base.components import PACKAGE
from variorum.base.machine import LIBRARIES
from variorum.config.canonical import canonical, chosen_components, restored
from variorum.config.types import Settings
from variorum.identity.fingerprint import Fingerprint, fingerprint
from variorum.identity.spec import Spec
from variorum.plan.experiment import Components
from variorum.stages.registry import STAGES, function_of


def components_of(spec: Spec) -> Components | None:
    """Return a spec's components; None if its stage no longer reads its settings.

    An old spec may write settings in a way that no spec does now.
    """
    settings = _settings_of(spec)
    return None if settings is None else tuple(chosen_components(settings))


def current_code(spec: Spec, package: Path = PACKAGE) -> Fingerprint | None:
    """Return the code that would run for a spec; None if its stage refuses it.

    A stage also refuses settings that `canonical` would write in another way.
    """
    settings = _settings_of(spec)
    if settings is None or canonical(settings) != spec.settings:
        return None
    return fingerprint(function_of(spec.stage), tuple(chosen_components(settings)), package)


def libraries_of(spec: Spec) -> frozenset[str]:
    """Return the libraries that a spec's code uses now; all if its stage refuses it."""
    code = current_code(spec)
    return code.libraries if code else frozenset(LIBRARIES)


def _settings_of(spec: Spec) -> Settings | None:
    try:
        return restored(STAGES[spec.stage].settings, dict(spec.settings))
    except (KeyError, ValidationError):
        return None


def import_reached(code: Fingerprint) -> None:
    """Load each module that a stage's code reaches, late imports of functions included."""
    for name in sorted({name.split(":")[0] for name in code.sources if ":" in name}):
        if name.startswith("variorum."):
            import_module(name)
