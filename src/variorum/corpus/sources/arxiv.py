"""Declare the source `arxiv`: abstracts of the papers that a query finds."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from variorum.config.types import Sha256, Text, Whole, setting
from variorum.corpus import response_cache
from variorum.corpus.documents import Document
from variorum.corpus.fetch_context import FetchContext
from variorum.corpus.response_cache import Answers, Reader
from variorum.corpus.source import SOURCES, ChangingSource

ARXIV_API = "https://export.arxiv.org/api/query"


class ArxivSource(ChangingSource):
    """Describe abstracts of the papers that a query to arXiv finds."""

    asked_by: ClassVar[str] = "query"

    kind: Literal["arxiv"] = setting("arxiv", "The kind of source.", component=SOURCES)
    query: Text = setting(
        ...,
        "What is searched, as arXiv's API spells it (`cat:cs.CL AND abs:parsing`).",
        min_length=1,
    )
    max_results: Whole = setting(1000, "Most papers to take.", unit="papers", ge=1, le=300_000)
    order: Literal["relevance", "oldest", "newest"] = setting(
        "relevance", "Which come first. The answer changes least with `oldest`."
    )
    page_size: Whole = setting(
        100, "Papers a request.", unit="papers", ge=1, le=2000, omit_when=100
    )
    api: Text = setting(
        ARXIV_API, "Address of the API.", pattern=r"^https?://", omit_when=ARXIV_API
    )
    sha256: Sha256 | None = setting(
        None, "SHA-256 of the documents. Left out, it is locked in config/sources.lock."
    )

    @property
    def title(self) -> str:
        """Return a description with the query."""
        return f"abstracts that arXiv finds for “{self.query}”"

    def held(self, context: FetchContext) -> tuple[str, int]:
        """Return SHA-256 and bytes of the documents that the API gives now."""
        return response_cache.held(self, context, _reader(self))


def fetch(settings: ArxivSource, context: FetchContext) -> Iterator[Document]:
    """Yield a document for each paper, in the API's order.

    Raises `VariorumError` if nothing is found or the API does not answer, and `ChecksumError` for
    other papers than were locked.
    """
    return response_cache.fetch(settings, context, _reader(settings))


def _reader(settings: ArxivSource) -> Reader:
    """Return the function that reads papers from answers."""
    from variorum.corpus.arxiv_client import ArxivClient, read

    def papers(kept: Answers) -> Iterator[Document]:
        client = ArxivClient(settings.api, min(settings.page_size, settings.max_results), kept)
        return read(client, settings.query, settings.order, settings.max_results)

    return papers
