"""Read the abstracts of papers that a query to arXiv finds, with the `arxiv` package.

The client pages, waits as arXiv's terms of use ask, and tries again when a page fails or is empty
(which happens). Here each page is stored, papers that come twice are dropped, and paging ends at
the number of papers asked for. A paper is a document: its abstract on one line, with title, date
and categories beside it; its id and group are arXiv's identifier without the version.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import arxiv
import requests
from arxiv import _feed as feeds

from variorum.base.errors import VariorumError
from variorum.corpus.documents import Document
from variorum.corpus.response_cache import Answers

_DELAY = 3.0  # seconds between requests, as https://info.arxiv.org/help/api/tou.html asks
_RETRIES = 4  # of a page
_TIMEOUTS = (10.0, 60.0)  # seconds to connect, and without a byte
_ERRORS = "/api/errors"  # in the id of an entry that is a complaint
# In a feed without papers; the package takes an answer that is no feed for one, too.
_NOTHING_FOUND = re.compile(rb"totalResults[^<>]*>\s*0\s*<")
_ENTRY = re.compile(rb"<entry[\s>]")
_ORDERS = {
    "relevance": (arxiv.SortCriterion.Relevance, arxiv.SortOrder.Descending),
    "oldest": (arxiv.SortCriterion.SubmittedDate, arxiv.SortOrder.Ascending),
    "newest": (arxiv.SortCriterion.SubmittedDate, arxiv.SortOrder.Descending),
}


def read(client: "ArxivClient", query: str, order: str, most: int) -> Iterator[Document]:
    """Yield a document for each of the first papers found, `most` at most.

    Raises `VariorumError` if nothing is found or the API does not answer.
    """
    count = 0
    for document in islice(_unique(_papers(client, query, order), client.kept), most):
        count += 1
        yield document
    if count == 0:
        raise VariorumError(f"source.query: arXiv finds nothing for '{query}'; correct the query.")
    missing = most - count
    client.kept.say(
        f"arXiv, '{query}': {count:,} papers"
        + (f"; that is all there are, {missing:,} fewer than max_results asks for" * bool(missing))
    )


def _unique(papers: Iterator[arxiv.Result], kept: Answers) -> Iterator[Document]:
    """Yield each paper once: pages overlap when the index changes between two requests."""
    seen: set[str] = set()
    for paper in papers:
        document = _document(paper)
        if document.id in seen:
            kept.say(f"{document.id} came twice")
        else:
            seen.add(document.id)
            yield document


def _document(paper: arxiv.Result) -> Document:
    name = re.sub(r"v\d+$", "", paper.get_short_id())
    meta = {
        "title": _on_one_line(paper.title),
        "date": paper.published.date().isoformat(),
        "categories": paper.categories,
    }
    return Document(id=name, group=name, text=_on_one_line(paper.summary), meta=meta)


def _on_one_line(text: str) -> str:
    """Join lines: some answers wrap at a width, so line ends carry no meaning."""
    return " ".join(text.split())


def _papers(client: "ArxivClient", query: str, order: str) -> Iterator[arxiv.Result]:
    """Yield the papers that the API returns; pages are requested as they are needed."""
    criterion, direction = _ORDERS[order]
    search = arxiv.Search(query, max_results=None, sort_by=criterion, sort_order=direction)
    try:
        for paper in client.results(search):
            if _is_complaint(paper):
                raise VariorumError(
                    f"source.query: arXiv refuses '{query}': {_on_one_line(paper.summary)}"
                )
            yield paper
    except arxiv.HTTPError as problem:
        advice = "correct source.query" if problem.status == 400 else "try again later"
        raise VariorumError(
            f"arXiv answered {problem.status} to {problem.url}, {_RETRIES + 1} times in a row; "
            f"{advice}. The pages that came are kept."
        ) from None
    except arxiv.UnexpectedEmptyPageError as problem:
        raise VariorumError(
            f"arXiv sent an empty page or none for {problem.url}, {_RETRIES + 1} times in a row; "
            "try again later. The pages that came are kept."
        ) from None
    except requests.RequestException as problem:
        raise VariorumError(
            f"{client.api} cannot be reached ({type(problem).__name__}); check source.api and "
            "the network, and run again: the pages that came are kept."
        ) from None


def _is_complaint(paper: arxiv.Result) -> bool:
    return _ERRORS in paper.entry_id


class ArxivClient(arxiv.Client):  # type: ignore[misc]  # the package comes without types
    """Wrap the package's client: use the settings' address, and store each page."""

    def __init__(self, api: str, page_size: int, kept: Answers) -> None:
        super().__init__(page_size, _DELAY, _RETRIES)
        self.query_url_format = f"{api}?{{}}"
        self.api, self.kept = api, kept
        self._session = _Session()

    def _parse_feed(
        self, url: str, first_page: bool = True, _try_index: int = 0
    ) -> feeds.ParsedFeed:
        content = self.kept.kept(url)
        if content is not None:
            return feeds.parse(content)
        try:
            # Treat no page as the first: it may be empty by mistake like any other.
            feed = super()._parse_feed(url, first_page=False, _try_index=_try_index)
        except arxiv.UnexpectedEmptyPageError as problem:
            if first_page and _NOTHING_FOUND.search(self._session.content):
                return problem.raw_feed
            raise
        except ValueError as problem:
            raise VariorumError(
                f"arXiv's answer to {url} cannot be read ({problem}); try again later, or change "
                "source.query so that it leaves that paper out. The pages that came are kept."
            ) from None
        if any(_is_complaint(paper) for paper in feed.results):
            return feed
        unread = len(_ENTRY.findall(self._session.content)) - len(feed.results)
        if unread:
            self.kept.say(f"arXiv: {unread} papers without an id or a date are left out of {url}")
        self.kept.keep(url, self._session.content)
        header = feed.header
        last = header.start_index + len(feed.results)
        self.kept.say(f"arXiv: {last:,} of {header.total_results:,} papers that it finds")
        return feed


class _Session(requests.Session):
    """Remember the last answer, and limit the time of each request.

    An answer that breaks off or never arrives is raised as a lost connection, which makes the
    client try again.
    """

    content = b""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request with a time limit; the package's client sets none."""
        try:
            response = super().send(request, **{**options, "timeout": _TIMEOUTS})
        except (requests.Timeout, requests.exceptions.ChunkedEncodingError) as problem:
            raise requests.ConnectionError(str(problem)) from None
        self.content = response.content
        return response
