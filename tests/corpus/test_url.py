import gzip
import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from variorum.base.errors import VariorumError
from variorum.corpus import http_download
from variorum.corpus.fetch_context import FetchContext, mirrors_from_environment
from variorum.corpus.http_download import ChecksumError, download
from variorum.corpus.sources import url
from variorum.corpus.sources.url import UrlSource

DATA = bytes(range(97, 123)) * 10_000
SHA256 = hashlib.sha256(DATA).hexdigest()


@dataclass
class Behaviour:
    """How the server answers, and what it was asked."""

    data: bytes = DATA
    cuts: list[int] = field(default_factory=list)  # bytes sent in each of the next answers
    failures: list[int] = field(default_factory=list)  # statuses of the next answers
    tag: str | None = '"one"'
    ranges: bool = True
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)  # Range, If-Range


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, behaviour: Behaviour, *arguments):
        self.behaviour = behaviour
        super().__init__(*arguments)

    def do_GET(self):
        behaviour = self.behaviour
        behaviour.asked.append((self.headers.get("Range"), self.headers.get("If-Range")))
        if behaviour.failures:
            self.send_error(behaviour.failures.pop(0))
            return
        start = self.start()
        if start >= len(behaviour.data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(behaviour.data)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            last = len(behaviour.data) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
        if behaviour.tag:
            self.send_header("ETag", behaviour.tag)
        body = behaviour.data[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: behaviour.cuts.pop(0)] if behaviour.cuts else body)

    def start(self) -> int:
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        if not wanted or not self.behaviour.ranges or condition not in (None, self.behaviour.tag):
            return 0
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *arguments):
        pass


@pytest.fixture
def behaviour() -> Behaviour:
    return Behaviour()


@pytest.fixture
def address(behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(http_download, "_PAUSE", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, behaviour)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/books/shakespeare/input.txt"
        server.shutdown()


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_a_download_is_complete_and_leaves_nothing_else(address, context, lines, sha256):
    file = download(address, sha256, context)
    assert file.name == "input.txt"
    assert file.read_bytes() == DATA
    assert [entry.name for entry in file.parent.iterdir()] == ["input.txt"]
    assert any("260,000 of 260,000 bytes, complete" in line for line in lines)


def test_a_verified_file_is_not_asked_for_again(address, context, behaviour):
    first = download(address, SHA256, context)
    assert download(address, SHA256, context) == first
    assert len(behaviour.asked) == 1


def test_without_a_checksum_the_address_is_asked_again(address, context, behaviour):
    download(address, None, context)
    behaviour.data = b"new bytes"
    assert download(address, None, context).read_bytes() == b"new bytes"


def test_a_damaged_file_in_the_cache_is_replaced(address, context):
    download(address, SHA256, context).write_bytes(b"damaged")
    assert download(address, SHA256, context).read_bytes() == DATA


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_a_cut_download_is_continued(address, context, behaviour, sha256):
    behaviour.cuts = [100_000, 50_000]
    assert download(address, sha256, context).read_bytes() == DATA
    assert behaviour.asked == [
        (None, None),
        ("bytes=100000-", '"one"'),
        ("bytes=150000-", '"one"'),
    ]


def test_a_download_that_brings_nothing_new_ends_and_is_continued_later(
    address, context, behaviour
):
    behaviour.cuts = [100_000] + [0] * 5
    with pytest.raises(VariorumError, match=r"100,000 of 260,000 bytes.*run again to continue"):
        download(address, SHA256, context)
    assert download(address, SHA256, context).read_bytes() == DATA
    assert behaviour.asked[-1] == ("bytes=100000-", '"one"')


def test_many_cuts_are_borne_as_long_as_each_brings_something(address, context, behaviour):
    behaviour.cuts = [1000] * 20
    assert download(address, SHA256, context).read_bytes() == DATA


def test_a_file_that_changed_meanwhile_is_not_mixed(address, context, behaviour):
    behaviour.cuts = [100_000] + [0] * 5
    with pytest.raises(VariorumError):
        download(address, None, context)
    behaviour.data, behaviour.tag = DATA.upper(), '"two"'
    assert download(address, None, context).read_bytes() == DATA.upper()


def test_without_version_and_checksum_a_cut_download_starts_again(address, context, behaviour):
    behaviour.cuts, behaviour.tag = [100_000], None
    assert download(address, None, context).read_bytes() == DATA
    assert behaviour.asked == [(None, None)] * 2


def test_without_version_a_checksum_lets_it_continue(address, context, behaviour):
    behaviour.cuts, behaviour.tag = [100_000], None
    assert download(address, SHA256, context).read_bytes() == DATA
    assert behaviour.asked[-1] == ("bytes=100000-", None)


def test_a_server_without_ranges_sends_all_again(address, context, behaviour):
    behaviour.cuts, behaviour.ranges = [100_000], False
    assert download(address, SHA256, context).read_bytes() == DATA


def test_a_complete_download_that_was_not_yet_verified_is_used(address, context, behaviour):
    behaviour.cuts = [100_000] + [0] * 5
    with pytest.raises(VariorumError):
        download(address, SHA256, context)
    (part,) = context.cache.glob("*/.partial")
    part.write_bytes(DATA)
    assert download(address, SHA256, context).read_bytes() == DATA


def test_a_passing_fault_is_retried(address, context, behaviour):
    behaviour.failures = [503]
    assert download(address, SHA256, context).read_bytes() == DATA
    assert len(behaviour.asked) == 2


def test_a_wrong_checksum_names_both_keeps_the_bytes_and_offers_two_remedies(address, context):
    wrong = "0" * 64
    with pytest.raises(ChecksumError, match=f"{SHA256}, expected {wrong}.*Either.*or") as caught:
        download(address, wrong, context)
    assert caught.value.kept.read_bytes() == DATA
    assert (caught.value.found, caught.value.expected) == (SHA256, wrong)
    assert not list(context.cache.glob("*/input.txt"))


def test_a_missing_file_is_one_clear_error(address, context, behaviour):
    behaviour.failures = [404]
    with pytest.raises(VariorumError, match=r"input\.txt: the server answered 404.*source\.url"):
        download(address, SHA256, context)


def test_no_way_to_the_server_is_one_clear_error(context, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(VariorumError, match=r"cannot be reached .*refused.*VARIORUM_MIRRORS") as e:
        download("http://127.0.0.1:9/input.txt", None, context)
    assert "0x" not in str(e.value)


@pytest.mark.parametrize("wrong", ["http://[x/a.txt", "http://[x]/a.txt", "https://\u2100.org/a"])
def test_what_is_no_address_is_refused_as_a_setting(wrong):
    with pytest.raises(ValueError, match=r"url: 'http.*' is no address .*correct it"):
        UrlSource(url=wrong)


def test_fetch_gives_one_document_named_after_the_file(address, context, behaviour):
    behaviour.data = b"\xef\xbb\xbfIf music be the food of love"
    (document,) = url.fetch(UrlSource(url=address), context)
    assert (document.id, document.group) == ("input.txt", "input.txt")
    assert document.text == "If music be the food of love"


@pytest.mark.parametrize(("data", "message"), [(b"\xff\xff", "no UTF-8"), (b" \n", "no text")])
def test_fetch_refuses_what_is_no_text(address, context, behaviour, data, message):
    behaviour.data = data
    with pytest.raises(VariorumError, match=message):
        list(url.fetch(UrlSource(url=address), context))


PAGES = {
    "a web page (HTML)": [
        "<!DOCTYPE html><html><head><title>input.txt at master</title></head></html>",
        "\ufeff\n <html lang='en'>\n<body>Sign in</body></html>",
        "<!-- cached --><HTML><form action='/login'><input name='password'></form></HTML>",
        "<script>location = '/login'</script>",
    ],
    "an answer in JSON": [
        '{"message": "API rate limit exceeded", "documentation_url": "https://docs.invalid"}',
        '\n[{"error": "not found"}]\n',
    ],
    "an XML document": ['<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'],
}


@pytest.mark.parametrize(("what", "page"), [(k, page) for k in PAGES for page in PAGES[k]])
def test_what_servers_send_in_place_of_a_text_is_not_locked(
    address, context, behaviour, what, page
):
    behaviour.data = page.encode()
    sha256 = hashlib.sha256(behaviour.data).hexdigest()
    source = UrlSource(url=address)
    with pytest.raises(VariorumError, match=rf"gives {re.escape(what)}, no text") as caught:
        source.held(context)
    assert f"set source.sha256 to {sha256}" in str(caught.value)
    (document,) = url.fetch(UrlSource(url=address, sha256=sha256), context)
    assert document.text == page.removeprefix("\ufeff")


def test_a_page_that_shows_a_file_names_the_address_of_the_file(context, monkeypatch):
    shown = "https://host.invalid/owner/name/blob/main/input.txt"
    here = mirrored(context, {"main/input.txt": b"<!doctype html><p>code</p>"})
    with pytest.raises(VariorumError, match=r"at https://host\.invalid/owner/name/raw/main/input"):
        UrlSource(url=shown).held(here)


@pytest.mark.parametrize(
    "text",
    [
        "<STAGE DIRECTION> Enter three witches.",
        "{ a set } of words",
        "[Enter HAMLET]\nTo be, or not to be",
        "A text on <html> and <body>.",
        "<b-sharp> and <preface>",
    ],
)
def test_a_text_with_brackets_is_a_text(address, context, behaviour, text):
    behaviour.data = text.encode()
    assert UrlSource(url=address).held(context)[1] == len(text)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(b"text", mtime=0), "is compressed by gzip, no plain text; unpack it"),
        (b"%PDF-1.7\n%\xe2\xe3", "is a PDF document, no plain text; export its text"),
        ("text".encode("utf-32"), r"is UTF-32 \(it begins"),
        (b"caf\xe9", "is no UTF-8: byte 3"),
        (b" \n", "holds no text"),
    ],
)
def test_what_cannot_be_read_is_not_locked(address, context, behaviour, data, message):
    behaviour.data = data
    with pytest.raises(VariorumError, match=message):
        UrlSource(url=address).held(context)


# --- mirrors, without a server --------------------------------------------------------------

FAR = "https://books.invalid/data/shakespeare/input.txt"


def mirrored(context: FetchContext, files: dict[str, bytes]) -> FetchContext:
    for name, data in files.items():
        file = context.root / "mirror" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return FetchContext(context.root, context.cache, (context.root / "mirror",), context.report)


def test_a_mirror_is_searched_by_content_when_the_checksum_is_known(context):
    here = mirrored(context, {"input.txt": b"other", "a/renamed.dat": DATA})
    assert download(FAR, SHA256, here).read_bytes() == DATA


def test_the_longest_end_of_the_path_wins(context):
    here = mirrored(
        context, {"input.txt": b"bare", "x/shakespeare/input.txt": b"long", "x/input.txt": b"no"}
    )
    assert download(FAR, None, here).read_bytes() == b"long"
    here = mirrored(context, {"books.invalid/data/shakespeare/input.txt": b"longest"})
    assert download(FAR, None, here).read_bytes() == b"longest"


def test_a_bare_name_counts_only_at_the_top_of_a_mirror(context, monkeypatch):
    monkeypatch.setattr(http_download, "_transfer", lambda *_: pytest.fail("asked the network"))
    with pytest.raises(pytest.fail.Exception):
        download(FAR, None, mirrored(context, {"milton/input.txt": b"Of Mans First Disobedience"}))
    assert download(FAR, None, mirrored(context, {"input.txt": b"top"})).read_bytes() == b"top"


def test_different_mirrored_files_of_equal_rank_are_refused(context):
    here = mirrored(context, {"a/shakespeare/input.txt": b"1", "b/shakespeare/input.txt": b"2"})
    with pytest.raises(VariorumError, match=r"different files.*source\.sha256"):
        download(FAR, None, here)


def test_a_mirrored_file_of_another_checksum_is_not_used(address, context):
    here = mirrored(context, {"shakespeare/input.txt": b"other"})
    assert download(address, SHA256, here).read_bytes() == DATA


def test_mirrors_are_read_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("VARIORUM_MIRRORS", raising=False)
    assert mirrors_from_environment() == ()
    monkeypatch.setenv("VARIORUM_MIRRORS", f"{tmp_path}:{tmp_path}")
    assert mirrors_from_environment() == (tmp_path, tmp_path)
    monkeypatch.setenv("VARIORUM_MIRRORS", str(tmp_path / "absent"))
    with pytest.raises(VariorumError, match=r"VARIORUM_MIRRORS names .*absent.*no folder"):
        mirrors_from_environment()
