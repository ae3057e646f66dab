"""The code that would run for a spec now, whatever code its result was made by."""

from pydantic import ValidationError

from variorum.config.canonical import canonical, chosen_components, restored
from variorum.identity.fingerprint import Fingerprint, fingerprint
from variorum.identity.spec import Spec
from variorum.stages.stage_settings import STAGES


def current_code(spec: Spec) -> Fingerprint | None:
    """The code that would run for a spec now; None if the stage or its settings are no more."""
    try:
        settings = restored(STAGES[spec.stage], dict(spec.settings))
    except (KeyError, ValidationError):
        return None
    if canonical(settings) != spec.settings:
        return None
    return fingerprint(f"variorum.stages.{spec.stage}:run", chosen_components(settings))
