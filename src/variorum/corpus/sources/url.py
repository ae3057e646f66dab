"""Read one text file behind an http(s) address, from a mirror or the network."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from variorum.base.errors import VariorumError
from variorum.base.files import sha256_of
from variorum.config.types import Sha256, Text, setting
from variorum.corpus.decoding import decode
from variorum.corpus.documents import Document
from variorum.corpus.fetch_context import DOWNLOADS, FetchContext, folder_of
from variorum.corpus.funnel import excerpt
from variorum.corpus.source import SOURCES, ChangingSource


class UrlSource(ChangingSource):
    """Describe one text file behind an http(s) address."""

    asked_by: ClassVar[str] = "url"

    kind: Literal["url"] = setting("url", "The kind of source.", component=SOURCES)
    url: Text = setting(..., "Address of the file.", pattern=r"^https?://")
    sha256: Sha256 | None = setting(
        None, "SHA-256 of the file. Left out, it is locked in config/sources.lock at first use."
    )

    @model_validator(mode="after")
    def _address_can_be_read(self) -> Self:
        try:
            urlsplit(self.url)
        except ValueError as error:
            raise PydanticCustomError(
                "url",
                "url: '{found}' is no address ({problem}); correct it",
                {"found": self.url, "problem": str(error)},
            ) from None
        return self

    @property
    def lock_name(self) -> str:
        """Return the address itself."""
        return self.url

    @classmethod
    def called(cls, lock_name: str) -> Self | None:
        """Return the source of that address, which is its only setting."""
        return cls(url=lock_name) if lock_name.startswith(("http://", "https://")) else None

    @property
    def title(self) -> str:
        """Return the address."""
        return self.url

    def sha256_here(self, root: Path) -> str | None:
        """Return the SHA-256 of the last downloaded file, if it is on this machine."""
        cached = sorted(root.glob(f"{DOWNLOADS}/{folder_of(self.url)}/[!.]*"))
        return sha256_of(cached[0]) if cached else None

    def held(self, context: FetchContext) -> tuple[str, int]:
        """Return SHA-256 and bytes of the file at the address now, whatever is expected.

        Raises `VariorumError` as `fetch` does, and for a web page or an answer in JSON or XML:
        servers give these in place of a file that they do not have, or for which a login is needed.
        """
        from variorum.corpus.http_download import download
        from variorum.corpus.web_answers import markup

        file = download(self.url, None, context)
        text, sha256 = _text(file, self.url), sha256_of(file)
        if found := markup(text):
            raise VariorumError(
                f"source.url: {self.url} gives {found}, no text: it begins with "
                f"'{excerpt(text)[:60]}'. {_raw_address(self.url)}; or, if that is what a model "
                f"shall learn, set source.sha256 to {sha256}."
            )
        return sha256, file.stat().st_size


def fetch(settings: UrlSource, context: FetchContext) -> Iterator[Document]:
    """Yield the one document behind an address, with the file's name.

    Raises `VariorumError` as `download` does, and for bytes that are no UTF-8 text.
    """
    from variorum.corpus.http_download import download, name_of

    text = _text(download(settings.url, settings.sha256, context), settings.url)
    name = name_of(settings.url)
    yield Document(id=name, group=name, text=text, meta={"url": settings.url})


def _text(file: Path, url: str) -> str:
    text = decode(file.read_bytes(), url)
    if not text.strip():
        raise VariorumError(f"source.url: {url} holds no text; give another address.")
    return text


def _raw_address(url: str) -> str:
    """Return advice; GitHub, GitLab and Hugging Face show a file's page where they say blob."""
    if "/blob/" in url:
        return f"The file itself is probably at {url.replace('/blob/', '/raw/', 1)}"
    return "Give the address of the file itself; a login or a limit may be in between"
