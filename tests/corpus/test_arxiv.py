"""arXiv's API, from a server on loopback: recorded pages of the real one, and made-up faults."""

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator

import pytest

from apis import ENTRY, TOTAL, arxiv_answer, arxiv_page
from loopback import Answer, Request, Server, served
from variorum.base.errors import VariorumError
from variorum.corpus import arxiv_client, documents
from variorum.corpus.documents import Document
from variorum.corpus.fetch_context import ChecksumError, FetchContext
from variorum.corpus.sources import arxiv
from variorum.corpus.sources.arxiv import ArxivSource


def of_total(total: int) -> Callable[[Request], Answer]:
    """An index that holds the first papers only."""

    def answer(request: Request) -> Answer:
        start, most = int(request.query["start"]), int(request.query["max_results"])
        content = TOTAL.sub(rb"\g<1>%d" % total, arxiv_page(start // 10 * 10))
        entries = ENTRY.findall(content)
        kept = entries[start % 10 : start % 10 + min(most, total - start)]
        head, tail = content.split(entries[0])[0], b"</feed>"
        return 200, head + b"".join(kept) + tail

    return answer


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arxiv_client, "_DELAY", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def api() -> Iterator[Server]:
    with served(arxiv_answer) as server:
        yield server


def asking(api: Server, **settings: object) -> ArxivSource:
    return ArxivSource(
        **{"query": "all:testing", "page_size": 10, "max_results": 40, **settings},
        api=f"{api.address}/api/query",
    )


def fetched(source: ArxivSource, context: FetchContext) -> list[Document]:
    return list(arxiv.fetch(source, context))


def starts(api: Server) -> list[int]:
    return [int(request.query["start"]) for request in api.asked]


def test_four_recorded_pages_give_forty_papers_in_their_order(api, context):
    found = fetched(asking(api), context)
    assert starts(api) == [0, 10, 20, 30]
    assert len({document.id for document in found}) == 40
    assert [d.id for d in found[:3]] == ["2202.12139", "2405.13786", "2005.14124"]
    first = found[0]
    assert first.group == first.id
    assert first.text.startswith("Deep Learning (DL) has revolutionized the capabilities of vision")
    assert first.text.endswith("a classical benchmark used in VBS and discuss its results.")
    assert first.meta == {
        "title": "Testing Deep Learning Models: A First Comparative Study of Multiple Testing "
        "Techniques",
        "date": "2022-02-24",
        "categories": ["cs.SE", "cs.LG"],
    }
    assert not any("\n" in document.text for document in found)


@pytest.mark.parametrize(("most", "pages"), [(1, 1), (10, 1), (11, 2), (29, 3), (30, 3)])
def test_paging_ends_at_the_number_asked_for(context, most, pages):
    with served(of_total(40)) as api:
        assert len(fetched(asking(api, max_results=most), context)) == most
        assert len(api.asked) == pages


def test_fewer_papers_than_asked_for_are_said(context, lines):
    with served(of_total(23)) as api:
        assert len(fetched(asking(api), context)) == 23
    assert any(
        "that is all there are, 17 fewer than max_results asks for" in line for line in lines
    )


@pytest.mark.parametrize(
    ("order", "by"),
    [
        ("relevance", ("relevance", "descending")),
        ("oldest", ("submittedDate", "ascending")),
        ("newest", ("submittedDate", "descending")),
    ],
)
def test_the_order_is_the_apis(context, order, by):
    with served(of_total(1)) as api:
        fetched(asking(api, order=order), context)
        assert (api.asked[0].query["sortBy"], api.asked[0].query["sortOrder"]) == by


@pytest.mark.parametrize("date", [b"2022-13-45T00:00:00Z", b"yesterday"])
def test_a_date_that_cannot_be_read_is_one_clear_error_and_not_kept(context, date):
    def undated(request: Request) -> Answer:
        status, content = arxiv_answer(request)
        if request.query["start"] == "10":
            content = re.sub(rb"<published>[^<]*", b"<published>" + date, content, count=1)
        return status, content

    with served(undated) as api:
        source = asking(api)
        with pytest.raises(VariorumError, match=r"answer to http.*start=10.*cannot be read"):
            fetched(source, context)
        api.answer = arxiv_answer
        assert len(fetched(source, context)) == 40
        assert starts(api) == [0, 10, 10, 20, 30]


def test_papers_that_cannot_be_read_are_counted(context, lines):
    def undated(request: Request) -> Answer:
        status, content = of_total(40)(request)
        if request.query["start"] == "0":
            content = re.sub(rb"<published>[^<]*</published>", b"", content, count=2)
        return status, content

    with served(undated) as api:
        assert len(fetched(asking(api, max_results=15), context)) == 15
    assert any("2 papers without an id or a date are left out" in line for line in lines)


def test_papers_that_come_twice_in_any_version_are_dropped_and_replaced(context, lines):
    def shifted(request: Request) -> Answer:
        """The second page begins with the first's last paper, in a later version."""
        status, content = arxiv_answer(request)
        if request.query["start"] != "10":
            return status, content
        last = ENTRY.findall(arxiv_page(0))[-1].replace(b"1812.11470v1", b"1812.11470v2")
        return status, content.replace(ENTRY.findall(content)[0], last)

    with served(shifted) as api:
        found = fetched(asking(api, max_results=20), context)
        assert starts(api) == [0, 10, 20]
    assert len({document.id for document in found}) == len(found) == 20
    assert "1812.11470 came twice" in lines


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_fault_is_tried_again(api, context, status):
    api.failures = [(status, b"")]
    assert len(fetched(asking(api, max_results=10), context)) == 10
    assert starts(api) == [0, 0]


EMPTY = ENTRY.sub(b"", arxiv_page(0))


def test_a_page_that_comes_empty_is_asked_again_the_first_one_too(api, context):
    api.failures = [(200, EMPTY)]
    assert len(fetched(asking(api, max_results=20), context)) == 20
    assert starts(api) == [0, 0, 10]


def test_pages_that_stay_empty_are_one_clear_error(api, context):
    api.failures = [(200, EMPTY)] * 5
    with pytest.raises(VariorumError, match=r"empty page .*5 times.*The pages that came are kept"):
        fetched(asking(api), context)


def test_a_query_that_finds_nothing_is_an_error(context):
    with (
        served(lambda request: (200, TOTAL.sub(rb"\g<1>0", EMPTY))) as api,
        pytest.raises(VariorumError, match=r"source\.query: arXiv finds nothing for 'all:testing'"),
    ):
        fetched(asking(api), context)


@pytest.mark.parametrize("content", [b"<html>Rate exceeded.</html>", b"", b"<feed/>"])
def test_an_answer_that_is_no_feed_is_asked_for_again_and_says_nothing_of_the_query(
    api, context, content
):
    api.failures = [(200, content)]
    assert len(fetched(asking(api, max_results=10), context)) == 10
    assert starts(api) == [0, 0]
    api.failures = [(200, content)] * 5
    with pytest.raises(VariorumError, match=r"empty page or none .*try again later"):
        fetched(asking(api, max_results=11), context)


COMPLAINT = EMPTY.replace(
    b"</feed>",
    b"<entry><id>http://arxiv.org/api/errors#unknown</id><title>Error</title>"
    b"<updated>2026-01-01T00:00:00Z</updated><published>2026-01-01T00:00:00Z</published>"
    b"<summary>malformed\n query</summary></entry></feed>",
)


def test_what_arxiv_complains_of_is_told_and_not_kept(api, context):
    api.failures = [(200, COMPLAINT)]
    with pytest.raises(VariorumError, match=r"source\.query: arXiv refuses .*: malformed query"):
        fetched(asking(api), context)
    assert len(fetched(asking(api), context)) == 40


@pytest.mark.parametrize(("status", "advice"), [(400, "correct source.query"), (500, "later")])
def test_a_fault_that_stays_is_one_clear_error(context, status, advice):
    with (
        served(lambda request: (status, b"")) as api,
        pytest.raises(VariorumError, match=rf"arXiv answered {status} to .*; .*{advice}"),
    ):
        fetched(asking(api), context)


def test_no_way_to_the_server_is_one_clear_error(context):
    source = ArxivSource(query="x", api="http://127.0.0.1:9/api/query")
    with pytest.raises(VariorumError, match=r"127.0.0.1:9/api/query cannot be reached"):
        fetched(source, context)


# --- what is kept ---------------------------------------------------------------------------


def test_after_a_kill_pages_that_came_are_not_asked_again(api, context):
    api.failures = [(200, arxiv_page(0)), (200, arxiv_page(10)), *[(500, b"")] * 5]
    with pytest.raises(VariorumError):
        fetched(asking(api), context)
    api.asked.clear()
    resumed = fetched(asking(api), context)
    assert starts(api) == [20, 30]
    with served(arxiv_answer) as other:
        fresh = FetchContext(context.root, context.root / "other", (), context.report)
        assert fetched(asking(other), fresh) == resumed


def digest(found: list[Document]) -> str:
    return hashlib.sha256("".join(map(documents.line, found)).encode()).hexdigest()


def test_the_checksum_is_that_of_the_documents_file_and_no_page_is_asked_twice(api, context):
    source = asking(api)
    sha256, size = source.held(context)
    pinned = source.model_copy(update={"sha256": sha256})
    found = fetched(pinned, context)
    assert digest(found) == sha256
    assert size == len("".join(map(documents.line, found)).encode())
    assert len(api.asked) == 4


def test_times_and_counts_of_the_feed_do_not_matter(context):
    def later(request: Request) -> Answer:
        status, content = arxiv_answer(request)
        content = content.replace(b"2026-04-12T22", b"2026-05-01T03").replace(b"214881", b"300000")
        return status, content.replace(b"2202.12139v1", b"2202.12139v7")

    with served(arxiv_answer) as one, served(later) as other:
        assert asking(one).held(context) == asking(other).held(context)


def test_another_answer_is_refused_with_both_checksums_and_kept(api, context):
    source = asking(api, sha256="0" * 64)
    with pytest.raises(ChecksumError, match=rf"arxiv\?.*expected {'0' * 64}") as caught:
        fetched(source, context)
    assert len(list(caught.value.kept.iterdir())) == 4
    assert caught.value.name == source.lock_name


def test_held_asks_anew_after_a_complete_fetch(api, context):
    before = asking(api, max_results=10).held(context)
    api.answer = lambda request: (200, arxiv_page(10))
    assert asking(api, max_results=10).held(context) != before


@pytest.mark.parametrize(("age", "asked"), [(0, [10]), (3500, [10]), (3700, [0, 10])])
def test_held_resumes_a_fetch_of_this_hour_alone(api, context, age, asked):
    api.failures = [(200, arxiv_page(0)), *[(500, b"")] * 5]
    with pytest.raises(VariorumError):
        asking(api, max_results=20).held(context)
    (unfinished,) = context.cache.glob("*/unfinished")
    os.utime(unfinished, (time.time() - age,) * 2)
    api.asked.clear()
    asking(api, max_results=20).held(context)
    assert starts(api) == asked


def test_pages_kept_of_an_older_answer_do_not_spoil_a_locked_fetch(api, context, lines):
    sha256 = asking(api).held(FetchContext(context.root, context.root / "x", (), str))[0]
    older = arxiv_page(0).replace(b"software testing", b"testing of software")
    api.failures = [(200, older), *[(500, b"")] * 5]
    with pytest.raises(VariorumError):
        fetched(asking(api), context)
    found = fetched(asking(api, sha256=sha256), context)
    assert digest(found) == sha256
    assert any("asks for all anew" in line for line in lines)


def test_the_name_in_the_lock_says_what_is_asked_and_nothing_else():
    plain = ArxivSource(query="cat:cs.CL AND abs:parsing", max_results=40)
    assert plain.lock_name == (
        "arxiv?max_results=40&order=relevance&query=cat%3Acs.CL+AND+abs%3Aparsing"
    )
    assert plain.model_copy(update={"sha256": "0" * 64}).lock_name == plain.lock_name
    assert plain.model_copy(update={"max_results": 41}).lock_name != plain.lock_name
