"""Download the file behind an http(s) address, from a mirror folder or the network.

A mirror is asked first: a file with the expected SHA-256 wherever it lies, or, without one, the
file that shares the longest end of its path with the address. A download resumes where the last
attempt stopped, also in another process, is retried when the fault may pass, and is used only when
it is complete and has the expected checksum.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from variorum.base.errors import VariorumError
from variorum.base.files import sha256_of
from variorum.corpus.fetch_context import MIRRORS, ChecksumError, FetchContext, folder_of

_ATTEMPTS = 5  # in a row that bring nothing new
_PAUSE = 0.2  # seconds before the second attempt; then twice, three times as long
_TIMEOUTS = (10.0, 60.0)  # seconds to connect, and without a byte
_CHUNK = 1 << 16
_REPORT_INTERVAL = 5.0  # seconds


class _BrokenOffError(Exception):
    """Report that a transfer ended before the file did; another attempt may continue it."""


@dataclass(frozen=True)
class _Partial:
    """Hold what has arrived of a download: the bytes, and the server's version name."""

    data: Path
    version: Path

    def size(self) -> int:
        return self.data.stat().st_size if self.data.exists() else 0

    def known_version(self) -> str:
        return self.version.read_text("latin-1") if self.version.exists() else ""

    def discard(self) -> None:
        self.data.unlink(missing_ok=True)
        self.version.unlink(missing_ok=True)


def download(url: str, sha256: str | None, context: FetchContext) -> Path:
    """Return the file behind `url`, with checksum `sha256` unless that is None.

    Without a checksum nothing that an earlier call completed is trusted: the address is asked
    again. Raises `ChecksumError` for other bytes than expected, and `VariorumError` when there is
    no such file or no way to it.
    """
    folder = context.cache / folder_of(url)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name_of(url)
    if sha256 and target.exists() and sha256_of(target) == sha256:
        return target
    if mirrored := _from_mirrors(url, sha256, context):
        context.report(f"{url}: found in a mirror, {mirrored}")
        _copy(mirrored, target)
        return target
    partial = _Partial(folder / ".partial", folder / ".version")
    _transfer(url, partial, sha256 is not None, context.report)
    found = sha256_of(partial.data)
    if sha256 and found != sha256:
        kept = folder / f".unexpected-{found[:16]}"
        partial.data.replace(kept)
        partial.discard()
        by_hand = f"; or put the file into a folder that {MIRRORS} names"
        raise ChecksumError(url, sha256, found, kept, by_hand)
    partial.data.replace(target)
    partial.discard()
    return target


# Mirrors


def _from_mirrors(url: str, sha256: str | None, context: FetchContext) -> Path | None:
    """Return the mirrored file for `url`, or None."""
    wanted = _path_parts(url)
    ranked = [
        (_common_end(file.relative_to(mirror).parts, wanted), file, mirror)
        for mirror in context.mirrors
        for file in _files_below(mirror)
    ]
    ranked.sort(key=lambda entry: -entry[0])  # stable: then by mirror and path
    if sha256:
        return next((file for _, file, _ in ranked if sha256_of(file) == sha256), None)
    # A bare name in a folder that the address does not name may be anything of that name.
    named = [
        (length, file)
        for length, file, mirror in ranked
        if length > 1 or (length == 1 and file.parent == mirror)
    ]
    if not named:
        return None
    best = [file for length, file in named if length == named[0][0]]
    if len({sha256_of(file) for file in best}) > 1:
        raise VariorumError(
            f"{url}: the mirrors hold different files for it: {', '.join(map(str, best))}; "
            "set source.sha256, or remove the wrong ones."
        )
    return best[0]


def _files_below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(place, name) for name in sorted(names) if Path(place, name).is_file())


def _common_end(parts: tuple[str, ...], wanted: tuple[str, ...]) -> int:
    """Return how many last parts two paths share."""
    pairs = zip(reversed(parts), reversed(wanted), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(parts), len(wanted)))


def _copy(source: Path, target: Path) -> None:
    """Copy so that a kill leaves no half-written target."""
    unfinished = target.with_name(".copy")
    shutil.copyfile(source, unfinished)
    unfinished.replace(target)


# The network


def _transfer(url: str, partial: _Partial, checked: bool, report: Callable[[str], None]) -> None:
    """Bring the whole file behind `url` to `partial`, continuing what is there.

    Bytes already there are continued when the server says that the version is the same, or when a
    checksum will decide (`checked`).
    """
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=_retries()))
    session.mount("https://", HTTPAdapter(max_retries=_retries()))
    furthest, fruitless = partial.size(), 0
    with session:
        while fruitless < _ATTEMPTS:
            time.sleep(_PAUSE * fruitless)
            try:
                _attempt(session, url, partial, checked, report)
                return
            except _BrokenOffError as problem:
                reason = str(problem)
                report(f"{url}: {reason}")
            except requests.RequestException as problem:
                raise VariorumError(
                    f"{url} cannot be reached ({_innermost(problem)}). Check the address and the "
                    f"network, or put the file into a folder that {MIRRORS} names."
                ) from None
            fruitless = 0 if partial.size() > furthest else fruitless + 1
            furthest = max(furthest, partial.size())
    raise VariorumError(
        f"{url}: {reason}, and {_ATTEMPTS} attempts in a row brought nothing new. What arrived is "
        f"kept: run again to continue, or put the file into a folder that {MIRRORS} names."
    )


def _retries() -> Retry:
    """Return the retry policy: again if there was no answer, or "try later"."""
    return Retry(
        total=4,
        connect=2,
        backoff_factor=0.5,
        status_forcelist=(429, 500, 502, 503, 504),
        retry_after_max=60,
        raise_on_status=False,
    )


def _attempt(
    session: requests.Session,
    url: str,
    partial: _Partial,
    checked: bool,
    report: Callable[[str], None],
) -> None:
    version = partial.known_version()
    if not version and not checked:
        partial.discard()
    start = partial.size()
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if version:
            headers["If-Range"] = version
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUTS) as response:
        if response.status_code == 416:  # nothing follows what is there, or it is another file
            if response.headers.get("Content-Range") == f"bytes */{start}":
                return
            partial.discard()
            raise _BrokenOffError("the file on the server changed")
        _check_answer(url, response)
        continues = response.status_code == 206
        if continues and not response.headers.get("Content-Range", "").startswith(
            f"bytes {start}-"
        ):
            partial.discard()
            raise _BrokenOffError("the server sent another part than was asked for")
        if not continues:
            partial.discard()  # first, so that a kill never leaves old bytes under a new version
        partial.version.write_text(_version(response), "latin-1")
        total = _total_size(response, start if continues else 0)
        _receive(response, partial, total, url, report)


def _check_answer(url: str, response: requests.Response) -> None:
    if not response.ok:
        advice = (
            "Correct source.url"
            if response.status_code in (404, 410)
            else "Try again later, or check what the server asks for"
        )
        raise VariorumError(
            f"{url}: the server answered {response.status_code} {response.reason}. {advice}, or "
            f"put the file into a folder that {MIRRORS} names."
        )
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise VariorumError(
            f"{url}: the server sends it compressed although it was asked not to, so its bytes "
            f"cannot be verified. Put the file into a folder that {MIRRORS} names."
        )


def _receive(
    response: requests.Response,
    partial: _Partial,
    total: int | None,
    url: str,
    report: Callable[[str], None],
) -> None:
    """Append the body of `response` to `partial`, with progress. Raises `_BrokenOffError`."""
    told = time.monotonic()
    with partial.data.open("ab") as file:
        try:
            # Not iter_content: when a transfer breaks off, that loses the part of a chunk it has.
            # urllib3 compares what came with Content-Length and raises when it is less.
            while chunk := response.raw.read1(_CHUNK):
                file.write(chunk)
                if time.monotonic() - told > _REPORT_INTERVAL:
                    told = time.monotonic()
                    report(f"{url}: {_amount(file.tell(), total)}")
        except HTTPError as problem:
            raise _BrokenOffError(
                f"broke off after {_amount(file.tell(), total)} ({_innermost(problem)})"
            ) from None
        received = file.tell()
    report(f"{url}: {_amount(received, total)}, complete")


def _version(response: requests.Response) -> str:
    """Return the server's name for this version: a strong ETag, or the modification date."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _total_size(response: requests.Response, start: int) -> int | None:
    """Return the bytes of the whole file, as the server announced them."""
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdecimal() else None


def _amount(received: int, total: int | None) -> str:
    return f"{received:,} of {total:,} bytes" if total is not None else f"{received:,} bytes"


def _innermost(problem: BaseException) -> str:
    """Return the innermost reason of a chain of exceptions, the only informative part."""
    reason: object = problem
    while isinstance(reason, BaseException):
        deeper = getattr(reason, "reason", None) or next(
            (argument for argument in reason.args if isinstance(argument, BaseException)), None
        )
        if not isinstance(deeper, BaseException):
            break
        reason = deeper
    # urllib3 begins with the connection's address in memory.
    return re.sub(r"^.*?object at 0x[0-9a-f]+>: |^HTTP\w*\(.*?\): ", "", str(reason))


# Addresses


def _path_parts(url: str) -> tuple[str, ...]:
    """Return host and path of `url`, taken apart."""
    address = urlsplit(url)
    return (address.hostname or "", *(part for part in unquote(address.path).split("/") if part))


def name_of(url: str) -> str:
    """Return the name of the file behind `url`: its path's end, or else the host."""
    name = re.sub(r"[^\w.-]", "_", _path_parts(url)[-1], flags=re.ASCII)
    return name.lstrip(".") or "download"
