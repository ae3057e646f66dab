"""Store files in DVC's cache, and write `.dvc` files, by DVC's own library.

`dvc add` would write each `.dvc` file beside what it pins, where git sees it.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from variorum.store.dvc_cache import DvcCache


def store_bytes(root: Path, paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Copy files and folders into DVC's cache; yield the `.dvc` file's text for each.

    It is the text that `dvc add` writes. Raises `DvcException` or `OSError` if DVC fails.
    """
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
            transfer(staging, cache, {found.hash_info}, shallow=False)
            out: dict[str, Any] = {"md5": md5, "size": meta.size}
            out |= {"nfiles": meta.nfiles} if path.is_dir() else {}
            yield path, dumps_yaml({"outs": [out | {"hash": "md5", "path": path.name}]})
