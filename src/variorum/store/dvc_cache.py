"""What DVC keeps: the bytes that `.dvc` files pin, in its cache and in a remote on a local disk.

A `.dvc` file names the MD5 of a listing, and that the MD5 of each file. Where they lie is asked of
DVC's own settings. That takes a tenth of a second, so it waits until something is looked for.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from variorum.base.errors import VariorumError

Listing = Mapping[str, str]
"""A folder as DVC keeps it: the MD5 of each file by its path."""


def pinned(content: str, name: str) -> str | None:
    """The MD5 in the `.dvc` file of `name`; None if it has none or was cut off.

    What it is about stands in its last line.
    """
    found = re.search(r"^- md5: (\w+(?:\.dir)?)$", content, re.MULTILINE)
    is_whole = re.search(rf"^  path: '?{re.escape(name)}'?$", content, re.MULTILINE)
    return found[1] if found and is_whole else None


def pinned_by(file: Path) -> str | None:
    """The MD5 in a `.dvc` file; None if it is not there, has none, or was cut off."""
    if not file.is_file():
        return None
    return pinned(file.read_text(encoding="utf-8", errors="replace"), file.stem)


def md5_of(file: Path) -> str | None:
    """MD5 of a file, by which DVC knows it; None if there is none."""
    if not file.is_file():
        return None
    with file.open("rb") as content:
        return hashlib.file_digest(content, "md5").hexdigest()


class DvcCache:
    """DVC's cache of the project at `root`; with `remote`, also a remote on a disk here."""

    def __init__(self, root: Path, *, remote: bool = False) -> None:
        self._root, self._with_remote = root, remote

    def path(self, md5: str) -> Path:
        """Where the cache has the bytes of an MD5, if it has them."""
        return self.paths(md5)[0]

    def paths(self, md5: str) -> list[Path]:
        """Wherever the bytes of an MD5 may lie, the cache first."""
        return [place / md5[:2] / md5[2:] for place in self._places]

    def listing(self, md5: str) -> Listing | None:
        """The folder that an MD5 names; None if its listing is missing or damaged."""
        entries = self.json(md5)
        try:
            return {entry["relpath"]: entry["md5"] for entry in entries}
        except (KeyError, TypeError):
            return None

    def json(self, md5: str) -> Any:
        """The file that an MD5 names, parsed; None if it is missing or damaged."""
        for file in self.paths(md5):
            try:
                content = file.read_bytes()
                if hashlib.md5(content).hexdigest() == md5.removesuffix(".dir"):
                    return json.loads(content)
            except (OSError, ValueError):
                continue
        return None

    @cached_property
    def _places(self) -> list[Path]:
        """Folders that hold DVC's files. Raises `VariorumError` if its settings are damaged."""
        cache, remote = self._root / ".dvc/cache", None
        if (self._root / ".dvc").is_dir():
            from dvc.config import Config, ConfigError  # a moment for those who need it

            try:
                config = Config(str(self._root / ".dvc"))
            except ConfigError as error:
                raise VariorumError(f".dvc/config or .dvc/config.local: {error}; mend it") from None
            cache = Path(config["cache"].get("dir") or cache)
            remote = config["remote"].get(config["core"].get("remote"), {}).get("url")
        places = [cache]
        if self._with_remote and remote and "://" not in remote:
            places.append(Path(remote))
        return [place / "files/md5" for place in places]
