"""Store files in DVC's cache, and write `.dvc` files, by DVC's own library.

`dvc add` would write each `.dvc` file beside what it pins, where git sees it.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from variorum.base.counts import counted
from variorum.base.errors import VariorumError, clear_about_storage
from variorum.store.dvc_cache import DvcCache, settings_of


def store_bytes(root: Path, paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Copy files and folders into DVC's cache; yield the `.dvc` file's text for each.

    It is the text that `dvc add` writes. Raises `VariorumError` if DVC fails.
    """
    from dvc.exceptions import DvcException  # slow to import
    from dvc_objects.errors import ObjectDBError, ObjectFormatError

    try:
        with clear_about_storage():
            yield from _stored(root, paths)
    except (DvcException, ObjectDBError, ObjectFormatError) as error:
        raise VariorumError(f"DVC could not store results; it said: {error}") from error


def _stored(root: Path, paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    from dvc.fs import localfs  # slow to import
    from dvc.repo import Repo
    from dvc.utils.serialize import dumps_yaml
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.transfer import transfer

    listings = DvcCache(root)
    with Repo(str(root)) as repo:
        cache = repo.cache.local
        for path in paths:
            staging, meta, found = build(cache, str(path), localfs, "md5", ignore=repo.dvcignore)
            md5 = str(found.hash_info.value)
            if path.is_dir() and listings.listing(md5) is None:
                listings.path(md5).unlink(missing_ok=True)  # cut off, which DVC does not see
            moved = transfer(staging, cache, {found.hash_info}, shallow=False)
            if moved.failed:  # DVC itself only logs it
                raise VariorumError(
                    f"{counted(len(moved.failed), 'file')} of {path.relative_to(root)} could not "
                    f"be copied to {listings.path(md5).parents[3]}; see that it has room and may "
                    "be written"
                )
            out: dict[str, Any] = {"md5": md5, "size": meta.size}
            out |= {"nfiles": meta.nfiles} if path.is_dir() else {}
            yield path, dumps_yaml({"outs": [out | {"hash": "md5", "path": path.name}]})


def relative_remote(root: Path) -> tuple[str, str]:
    """Return the default remote's name and relative path; empty for other ones.

    `dvc exp push` reads the settings from a commit, and then takes such a path from the root of the
    disk.
    """
    from dvc.config_schema import RelPath

    config = settings_of(root)
    name = config["core"].get("remote", "")
    url = config["remote"].get(name, {}).get("url", "")
    return (name, os.path.relpath(url, root / ".dvc")) if isinstance(url, RelPath) else ("", "")
