"""Declare the source `genius`: lyrics of named artists from Genius."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from variorum.config.types import Sha256, Text, Whole, setting
from variorum.corpus import response_cache
from variorum.corpus.documents import Document
from variorum.corpus.fetch_context import Facts, FetchContext
from variorum.corpus.response_cache import Answers, Reader
from variorum.corpus.source import SOURCES, ChangingSource

GENIUS_API = "https://api.genius.com/"
GENIUS_SITE = "https://genius.com/"
SAFE_FOR_TOKENS = r"^(https://|http://(127\.0\.0\.1|localhost)[:/]).*/$"


class GeniusSource(ChangingSource):
    """Describe lyrics from Genius; the token is the environment variable GENIUS_ACCESS_TOKEN."""

    asked_by: ClassVar[str] = "artists"

    kind: Literal["genius"] = setting("genius", "The kind of source.", component=SOURCES)
    artists: tuple[Text, ...] = setting(..., "Names of the artists.", min_length=1)
    max_songs: Whole = setting(
        50, "Most songs of each artist, the most popular first.", unit="songs", ge=1
    )
    api: Text = setting(
        GENIUS_API, "Address of the API.", pattern=SAFE_FOR_TOKENS, omit_when=GENIUS_API
    )
    site: Text = setting(
        GENIUS_SITE, "Address of the song pages.", pattern=SAFE_FOR_TOKENS, omit_when=GENIUS_SITE
    )
    sha256: Sha256 | None = setting(
        None, "SHA-256 of the documents. Left out, it is locked in config/sources.lock."
    )

    @property
    def title(self) -> str:
        """Return a description with the artists."""
        return f"lyrics of {', '.join(self.artists)}"

    def held(self, context: FetchContext) -> tuple[str, int]:
        """Return SHA-256 and bytes of the documents that the API gives now."""
        return response_cache.held(self, context, _reader(self, context.facts))


def fetch(settings: GeniusSource, context: FetchContext) -> Iterator[Document]:
    """Yield a document for each song, artist by artist, the most popular first.

    Raises `VariorumError` if an artist is unknown, the token is missing or wrong, or Genius does
    not answer, and `ChecksumError` for other lyrics than were locked.
    """
    return response_cache.fetch(settings, context, _reader(settings, context.facts))


def _reader(settings: GeniusSource, facts: Facts) -> Reader:
    """Return the function that reads songs from answers."""
    from variorum.corpus.genius_client import GeniusClient, read

    def songs(kept: Answers) -> Iterator[Document]:
        client = GeniusClient(settings.api, settings.site, kept)
        return read(client, settings.artists, settings.max_songs, facts)

    return songs
