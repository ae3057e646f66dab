"""Lyrics from a server on loopback that speaks as Genius does. All lyrics are made up."""

import html
from collections.abc import Iterator

import pytest

from apis import ARTISTS, TOKEN, genius_answer
from loopback import Answer, Request, Server, served
from variorum.base.errors import VariorumError
from variorum.corpus import genius_client
from variorum.corpus.documents import Document
from variorum.corpus.fetch_context import ChecksumError, FetchContext
from variorum.corpus.genius_client import cleaned
from variorum.corpus.sources import genius
from variorum.corpus.sources.genius import GeniusSource


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(genius_client, "_PAUSE", 0.0)
    monkeypatch.setattr(genius_client, "_BACKOFF", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("GENIUS_ACCESS_TOKEN", TOKEN)


@pytest.fixture
def api() -> Iterator[Server]:
    with served(genius_answer) as server:
        yield server


def asking(api: Server, *artists: str, **settings: object) -> GeniusSource:
    return GeniusSource(
        artists=artists or tuple(ARTISTS),
        api=f"{api.address}/api/",
        site=f"{api.address}/site/",
        **settings,
    )


def fetched(source: GeniusSource, context: FetchContext) -> list[Document]:
    return list(genius.fetch(source, context))


def paths(api: Server) -> list[str]:
    return [request.path for request in api.asked]


def test_songs_come_artist_by_artist_without_what_is_no_lyrics(api, context):
    found = fetched(asking(api), context)
    assert [(d.meta["artist"], d.meta["title"], d.text) for d in found] == [
        ("The Tins", "Kettle", "The kettle sings at noon\nThe noon sings back\n\nTin, tin, tin"),
        ("The Tins", "Kettle (Live)", "The kettle sings at noon, hey"),
        ("The Tins", "Spoon & Fork", "Spoons are moons\n\nForks are storks"),
        ("Mü", "Grün", "Grün ist der Wald"),
    ]
    assert html.unescape(found[1].text) == found[1].text


def test_a_live_version_stands_on_the_side_of_its_song(api, context):
    groups = {d.meta["title"]: d.group for d in fetched(asking(api), context)}
    assert groups["Kettle"] == groups["Kettle (Live)"] == "the tins: kettle"
    assert len(set(groups.values())) == 3


def test_the_number_of_songs_is_limited_for_each_artist(api, context):
    found = fetched(asking(api, max_songs=1), context)
    assert [d.meta["title"] for d in found] == ["Kettle", "Grün"]
    assert not any(request.query.get("page") == "2" for request in api.asked)


@pytest.mark.parametrize("name", ["The Tin", "Nobody at All"])
def test_an_artist_who_is_not_there_is_named_with_what_was_found(api, context, name):
    nearest = {"The Tin": r"\(the nearest is 'The Tins'\)", "Nobody at All": r"\(nothing like it\)"}
    message = rf"source\.artists: Genius does not know '{name}' {nearest[name]}; .*does know Mü"
    with pytest.raises(VariorumError, match=message):
        fetched(asking(api, name, "Mü"), context)
    assert not any("song" in path for path in paths(api))


def test_names_are_compared_without_case_and_punctuation(api, context):
    assert len(fetched(asking(api, "the tins!"), context)) == 3


def test_without_a_token_nothing_is_asked_and_the_message_says_where_to_get_one(
    api, context, monkeypatch
):
    monkeypatch.delenv("GENIUS_ACCESS_TOKEN")
    with pytest.raises(VariorumError, match=r"GENIUS_ACCESS_TOKEN.*not written anywhere"):
        fetched(asking(api), context)
    assert not api.asked


def test_a_wrong_token_is_said_without_showing_it(api, context, monkeypatch):
    monkeypatch.setenv("GENIUS_ACCESS_TOKEN", "wrong-token")
    with pytest.raises(VariorumError, match=r"status 401.*GENIUS_ACCESS_TOKEN") as error:
        fetched(asking(api), context)
    assert "wrong-token" not in str(error.value)


def test_the_token_goes_to_the_api_alone(api, context):
    fetched(asking(api), context)
    for request in api.asked:
        assert (request.authorization == f"Bearer {TOKEN}") == request.path.startswith("/api/")


@pytest.mark.parametrize(
    "address", ["http://genius.example/", "https://genius.example", "ftp://x/"]
)
def test_the_token_is_never_sent_in_clear_to_another_machine(address):
    with pytest.raises(ValueError, match="api"):
        GeniusSource(artists=["x"], api=address)


@pytest.mark.parametrize("status", [429, 503])
def test_a_passing_fault_is_tried_again(api, context, status):
    api.failures = [(status, b"")] * 2
    assert len(fetched(asking(api), context)) == 4


def test_after_a_fault_what_came_is_not_asked_again(api, context):
    missing = "/site/song-103-lyrics"
    api.answer = lambda request: (403, b"no") if request.path == missing else genius_answer(request)
    with pytest.raises(VariorumError, match=r"song-103-lyrics \(status 403\).*came are kept"):
        fetched(asking(api), context)
    before = paths(api)
    api.asked.clear()
    api.answer = genius_answer
    assert len(fetched(asking(api), context)) == 4
    assert not set(paths(api)) & (set(before) - {missing, "/api/artists/2/songs"})


def test_an_answer_of_another_form_is_one_clear_line(api, context):
    api.answer = lambda request: (200, b'{"response": {"other": 1}}')
    with pytest.raises(VariorumError, match=r"another form than lyricsgenius .*KeyError") as error:
        fetched(asking(api), context)
    assert "\n" not in str(error.value)


def test_an_answer_of_another_form_is_asked_for_again(api, context):
    api.failures = [(200, b'{"response": {"other": 1}}')]
    with pytest.raises(VariorumError, match="another form"):
        fetched(asking(api), context)
    assert len(fetched(asking(api), context)) == 4


def test_a_list_of_songs_of_another_form_is_asked_for_again_and_the_pages_before_are_not(
    api, context
):
    def strange(request: Request) -> Answer:
        status, content = genius_answer(request)
        if request.query.get("page") == "2":
            content = content.replace(b'"lyrics_state"', b'"state"')
        return status, content

    api.answer = strange
    with pytest.raises(VariorumError, match=r"another form .*lyrics_state"):
        fetched(asking(api), context)
    api.asked.clear()
    api.answer = genius_answer
    assert len(fetched(asking(api), context)) == 4
    assert not {"/site/song-101-lyrics", "/site/song-102-lyrics"} & set(paths(api))


def test_a_search_that_found_nobody_is_made_again(api, context):
    nothing = b'{"response": {"sections": [{"type": "artist", "hits": []}]}}'
    api.failures = [(200, nothing)]
    with pytest.raises(VariorumError, match="nothing like it"):
        fetched(asking(api, "Mü"), context)
    assert len(fetched(asking(api, "Mü"), context)) == 1


def without_lyrics(context: FetchContext) -> list[str]:
    (step,) = context.facts.steps
    assert step.dropped == len(step.examples)
    return [example.document for example in step.examples]


@pytest.mark.parametrize("status", [200, 404, 410])
def test_songs_without_lyrics_are_counted_and_shown(api, context, status):
    api.answer = lambda request: (
        (status, b"<html>nothing here</html>")
        if request.path == "/site/song-103-lyrics"
        else genius_answer(request)
    )
    assert len(fetched(asking(api), context)) == 3
    assert without_lyrics(context) == ["The Tins: Spoon & Fork", "Mü: Empty"]
    assert context.facts.steps[0].documents_kept == 3


def test_a_page_without_lyrics_is_asked_for_again_by_a_resumed_fetch(api, context):
    def faulty(request: Request) -> Answer:
        if request.path == "/site/song-101-lyrics":
            return 200, b"<html>Are you a robot?</html>"
        return (403, b"") if request.path == "/site/song-103-lyrics" else genius_answer(request)

    api.answer = faulty
    with pytest.raises(VariorumError, match="status 403"):
        fetched(asking(api), context)
    api.asked.clear()
    api.answer = genius_answer
    assert len(fetched(asking(api), context)) == 4
    assert without_lyrics(context) == ["Mü: Empty"]
    assert "/site/song-101-lyrics" in paths(api)
    assert "/site/song-102-lyrics" not in paths(api)


def test_no_lyrics_at_all_are_an_error(api, context):
    api.answer = lambda request: (
        (404, b"") if request.path.startswith("/site/song") else genius_answer(request)
    )
    with pytest.raises(VariorumError, match="Genius has no lyrics of The Tins, Mü"):
        fetched(asking(api), context)


def test_what_was_locked_is_given_without_asking_or_a_token(api, context, monkeypatch):
    source = asking(api)
    sha256, _ = source.held(context)
    asked = len(api.asked)
    monkeypatch.delenv("GENIUS_ACCESS_TOKEN")
    assert len(fetched(source.model_copy(update={"sha256": sha256}), context)) == 4
    assert len(api.asked) == asked


def test_other_lyrics_than_locked_are_refused(api, context):
    with pytest.raises(
        ChecksumError, match=r"genius\?.*artists=The\+Tins&artists=M%C3%BC&max_songs=50"
    ):
        fetched(asking(api, sha256="0" * 64), context)


def test_the_token_is_in_nothing_that_is_left(api, context, lines):
    fetched(asking(api), context)
    kept = [file for file in context.root.rglob("*") if file.is_file()]
    assert len(kept) > 5
    for file in kept:
        assert TOKEN.encode() not in file.read_bytes()
        assert TOKEN not in str(file)
    assert not any(TOKEN in line for line in lines)


@pytest.mark.parametrize(
    ("lyrics", "expected"),
    [
        ("[Verse 1: A &\nB]\nline\n\n\n[Chorus]\nother", "line\n\nother"),
        ("[Chorus]", ""),
        ("a [x2] b\n[Bridge] c", "a [x2] b\n[Bridge] c"),
        ("31 ContributorsTitle Lyrics[Intro]\nfirst", "first"),
        ("12 Contributors brought Lyrics of light", "12 Contributors brought Lyrics of light"),
        ("one\nYou might also like\ntwo", "one\n\ntwo"),
        ("one\nYou might also like[Chorus]\ntwo", "one\ntwo"),
        ("You might also like the rain", "You might also like the rain"),
        ("See A B LiveGet tickets as low as $61one", "one"),
        ("end1.2KEmbed", "end"),
        ("endEmbed", "end"),
        ("Embed me\nin lead", "Embed me\nin lead"),
        ("  spaced  \n\n\n\n lines ", "spaced\n\nlines"),
    ],
)
def test_remnants_of_the_page_are_removed_and_words_are_not(lyrics, expected):
    assert cleaned(lyrics) == expected
    assert cleaned(expected) == expected
