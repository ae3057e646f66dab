"""Find sources of text or models that changed since a result was made."""

from pathlib import Path

from pydantic import ValidationError

from variorum.base.errors import VariorumError
from variorum.config.canonical import restored
from variorum.config.model_settings import ImportedSettings
from variorum.corpus.source import ChangingSource, SourceSettings
from variorum.identity.spec import Spec
from variorum.plan import source_lock
from variorum.stages.registry import STAGES
from variorum.store.manifests import DIGITS


def source_change(root: Path, spec: Spec) -> str | None:
    """Describe how a result's source has changed; None if it has not."""
    settings = dict(spec.settings)
    source: SourceSettings | ImportedSettings | None = None
    try:
        if spec.stage not in STAGES:
            return None
        chosen = restored(STAGES[spec.stage].settings, settings)
        for _, section in chosen:
            if isinstance(section, (SourceSettings, ImportedSettings)):
                source = section
        if source is None:
            return None
        found = _sha256_now(source, root)
    except ValidationError:
        return None
    except VariorumError as error:
        return f"the source of {spec.ref} is no longer here: {error}"
    expected = getattr(source, "sha256", None)
    if found in (None, expected):
        return None
    return (
        f"the source of {spec.ref} has changed since (SHA-256 {str(found)[:DIGITS]}…, it was "
        f"{str(expected)[:DIGITS]}…): a new run would use the new bytes and get another key"
    )


def _sha256_now(source: SourceSettings | ImportedSettings, root: Path) -> str | None:
    """Return the SHA-256 of a source's present content; None if unknown.

    Raises `VariorumError` if its files or its package are not here.
    """
    if isinstance(source, ImportedSettings):
        return source_lock.digest_of_import(source.path, root)
    if isinstance(source, ChangingSource):
        entry = source_lock.entries(root).get(source.lock_name)
        if entry is not None:
            return entry.sha256
    return source.sha256_here(root)
