"""Find the bytes that `.dvc` files pin: in DVC's cache, or a remote on disk.

A `.dvc` file names the MD5 of a listing, and the listing names the MD5 of each file. DVC's own
settings say where these lie. Reading them takes a tenth of a second, so it happens on first use.
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
"""A folder as DVC stores it: the MD5 of each file by its path."""


def pinned(content: str, name: str) -> str | None:
    """Return the MD5 in the `.dvc` file of `name`; None if missing or cut off.

    The last line says `name`, so a file without it was cut off.
    """
    found = re.search(r"^- md5: (\w+(?:\.dir)?)$", content, re.MULTILINE)
    is_whole = re.search(rf"^  path: '?{re.escape(name)}'?$", content, re.MULTILINE)
    return found[1] if found and is_whole else None


def pinned_by(file: Path) -> str | None:
    """Return the MD5 in a `.dvc` file; None if missing or cut off."""
    if not file.is_file():
        return None
    return pinned(file.read_text(encoding="utf-8", errors="replace"), file.stem)


def md5_of(file: Path) -> str | None:
    """Return the MD5 of a file, by which DVC knows it; None if missing."""
    if not file.is_file():
        return None
    with file.open("rb") as content:
        return hashlib.file_digest(content, "md5").hexdigest()


class DvcCache:
    """Read DVC's cache of a project; with `remote`, also its remote on a local disk."""

    def __init__(self, root: Path, *, remote: bool = False) -> None:
        self._root, self._with_remote = root, remote

    def path(self, md5: str) -> Path:
        """Return the path of an MD5's bytes in the cache, whether they exist or not."""
        return self.paths(md5)[0]

    def paths(self, md5: str) -> list[Path]:
        """Return the paths where the bytes of an MD5 may lie, the cache first."""
        return [place / md5[:2] / md5[2:] for place in self._places]

    def listing(self, md5: str) -> Listing | None:
        """Return the folder that an MD5 names; None if its listing is missing or damaged."""
        entries = self.json(md5)
        try:
            return {entry["relpath"]: entry["md5"] for entry in entries}
        except (KeyError, TypeError):
            return None

    def json(self, md5: str) -> Any:
        """Return the parsed file that an MD5 names; None if it is missing or damaged."""
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
        """Return the folders of DVC's files; raises `VariorumError` if its settings are damaged."""
        cache, remote = self._root / ".dvc/cache", None
        if (self._root / ".dvc").is_dir():
            config = settings_of(self._root)
            cache = Path(config["cache"].get("dir") or cache)
            remote = config["remote"].get(config["core"].get("remote"), {}).get("url")
        places = [cache]
        if self._with_remote and remote and "://" not in remote:
            places.append(Path(remote))
        return [place / "files/md5" for place in places]


def settings_of(root: Path) -> Any:
    """Return DVC's settings (`dvc.config.Config`); raises `VariorumError` if they are damaged."""
    from dvc.config import Config, ConfigError  # slow to import

    try:
        return Config(str(root / ".dvc"))
    except ConfigError as error:
        raise VariorumError(f".dvc/config or .dvc/config.local: {error}; fix it") from None
