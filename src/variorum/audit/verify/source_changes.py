"""Tell whether a source of text or of a model has changed since a result was made from it."""

import hashlib
from pathlib import Path

from pydantic import ValidationError

from variorum import sources
from variorum.audit.verify.manifests import DIGITS
from variorum.config import (
    ChangingSource,
    DownloadStage,
    ImportedSettings,
    ImportedStage,
    LocalSource,
    PythonPackageSource,
    Source,
    SyntheticSource,
    UrlSource,
    restored,
)
from variorum.corpus.sources import files, python_package
from variorum.errors import VariorumError
from variorum.store import Spec, sha256_of


def source_change(root: Path, spec: Spec) -> str | None:
    """Describe how the source of a result without inputs has changed; None if it has not."""
    settings = dict(spec.settings)
    source: Source | ImportedSettings | None = None
    try:
        if spec.stage == "imported":
            source = restored(ImportedStage, settings).imported
        elif spec.stage == "download":
            source = restored(DownloadStage, settings).source
        if source is None or isinstance(source, SyntheticSource):
            return None  # the settings of a synthetic one are all that it is made of
        found = _sha256_now(source, root)
    except ValidationError:
        return None
    except VariorumError as error:
        return f"the source of {spec.ref} is not here any more: {error}"
    if found in (None, source.sha256):
        return None
    return (
        f"the source of {spec.ref} has changed since (SHA-256 {str(found)[:DIGITS]}…, it was "
        f"{str(source.sha256)[:DIGITS]}…): a new run would use the new bytes and get another key"
    )


def _sha256_now(source: Source | ImportedSettings, root: Path) -> str | None:
    """Return the SHA-256 of what a source holds now; None if nothing here tells.

    Raises `VariorumError` if its files or its package are not here.
    """
    if isinstance(source, ImportedSettings):
        return sources.digest_of_import(source.path, root)
    if isinstance(source, PythonPackageSource):
        return python_package.digest(source.package)
    if isinstance(source, LocalSource):
        return files.digest(source.path, source.suffixes, root)
    if isinstance(source, ChangingSource):
        entry = sources.entries(root).get(source.lock_name)
        if entry is not None:
            return entry.sha256
    if not isinstance(source, UrlSource):
        return None
    folder = hashlib.sha256(source.url.encode()).hexdigest()[:16]
    cached = sorted(root.glob(f"scratch/downloads/{folder}/[!.]*"))
    return sha256_of(cached[0]) if cached else None
