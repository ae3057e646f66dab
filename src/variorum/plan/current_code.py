"""Find the code that would run for a spec now."""

from importlib import import_module

from pydantic import ValidationError

from variorum.config.canonical import canonical, chosen_components, restored
from variorum.identity.fingerprint import Fingerprint, fingerprint
from variorum.identity.spec import Spec
from variorum.stages.registry import STAGES, function_of


def current_code(spec: Spec) -> Fingerprint | None:
    """Return the code that would run for a spec now.

    None if the stage or one of its settings no longer exists.
    """
    try:
        settings = restored(STAGES[spec.stage].settings, dict(spec.settings))
    except (KeyError, ValidationError):
        return None
    if canonical(settings) != spec.settings:
        return None
    return fingerprint(function_of(spec.stage), chosen_components(settings))


def import_reached(code: Fingerprint) -> None:
    """Load each module that a stage's code reaches, late imports of functions included."""
    for name in sorted({name.split(":")[0] for name in code.sources if ":" in name}):
        if name.startswith("variorum."):
            import_module(name)
