"""Find the code that would run for a spec now."""

from importlib import import_module
from pathlib import Path

from pydantic import ValidationError

from variorum.base.components import PACKAGE
from variorum.config.canonical import canonical, chosen_components, restored
from variorum.identity.fingerprint import Fingerprint, fingerprint
from variorum.identity.spec import Spec
from variorum.plan.experiment import Components
from variorum.stages.registry import STAGES, function_of


def components_of(spec: Spec) -> Components | None:
    """Return a spec's components; None if its stage no longer takes its settings."""
    try:
        settings = restored(STAGES[spec.stage].settings, dict(spec.settings))
    except (KeyError, ValidationError):
        return None
    return tuple(chosen_components(settings)) if canonical(settings) == spec.settings else None


def current_code(spec: Spec, package: Path = PACKAGE) -> Fingerprint | None:
    """Return the code that would run for a spec; None if its stage refuses it."""
    parts = components_of(spec)
    return None if parts is None else fingerprint(function_of(spec.stage), parts, package)


def import_reached(code: Fingerprint) -> None:
    """Load each module that a stage's code reaches, late imports of functions included."""
    for name in sorted({name.split(":")[0] for name in code.sources if ":" in name}):
        if name.startswith("variorum."):
            import_module(name)
