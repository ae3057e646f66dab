"""Read lyrics of named artists from Genius, with the `lyricsgenius` package.

The package searches the artist, lists the songs and takes the lyrics out of a song's page. Here
every answer is stored, so that nothing is asked twice. An artist of another name is refused (the
package would take the nearest). Whatever is not lyrics is removed: lines such as [Chorus], and
what the page puts between lines.

The access token comes from the environment variable GENIUS_ACCESS_TOKEN, when a request needs it.
It is sent to the API and written nowhere.

A song is a document. Its group is artist and title, without anything in brackets: so a remix
or a live version falls on the same side of a split as its song.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any
from urllib.parse import urlencode

import requests
from lyricsgenius import Genius
from lyricsgenius.types import Artist
from lyricsgenius.utils import clean_str
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from variorum.base.errors import VariorumError
from variorum.corpus.documents import Document
from variorum.corpus.fetch_context import Facts, secret
from variorum.corpus.funnel import FunnelStep, size
from variorum.corpus.response_cache import Answers

TOKEN = "GENIUS_ACCESS_TOKEN"

_WEB = "web "  # begins the questions that are pages of songs
_PAUSE = 0.5  # seconds after each request
_BACKOFF = 0.5  # seconds before a second try; then twice that
_TIMEOUT = 30  # seconds
_GONE = (404, 410)  # a song's page is no more: it has no lyrics
_PAGE = 50  # songs of an artist's list that come at once: the most that the API gives

# A line that is a section's name, which may itself go over lines where it names the singers.
_HEADER = re.compile(r"^[ \t]*\[[^\[\]]{1,200}\][ \t]*(?:\n|\Z)", re.MULTILINE)
# What older and newer pages put around and between the lines. The page's number of embeddings
# follows the last word directly, so a number that ends a song is removed with it.
_REMNANTS = (
    re.compile(r"\A\s*\d+ Contributors?[^\n]*Lyrics(?=\n|\[|\Z)"),
    re.compile(r"See [^\n]{1,80}? LiveGet tickets as low as \$\d+"),
    re.compile(r"^[ \t]*You might also like(?=\[|[A-Z\"'(]|[ \t]*$)", re.MULTILINE),
    re.compile(r"\d*(?:\.\d+)?K?Embed\s*\Z"),
)
_BLANK_LINES = re.compile(r"\n{3,}")
_IN_BRACKETS = re.compile(r"\s*[(\[][^()\[\]]*[)\]]")


def cleaned(lyrics: str) -> str:
    """Return lyrics without section names and remnants of the page."""
    for remnant in _REMNANTS:
        lyrics = remnant.sub("", lyrics)
    lines = _HEADER.sub("", lyrics).split("\n")
    return _BLANK_LINES.sub("\n\n", "\n".join(line.strip() for line in lines)).strip("\n")


def read(
    client: "GeniusClient", names: tuple[str, ...], most: int, facts: Facts
) -> Iterator[Document]:
    """Yield a document for each song: `most` per artist, the most popular first.

    Raises `VariorumError` if an artist is unknown, the token is missing or wrong, or Genius does
    not answer.
    """
    step = FunnelStep("lyrics", "songs without lyrics dropped")
    facts.steps[:] = [step]  # of this reading; the last one counts
    seen: set[str] = set()
    for artist in _artists(names, client):
        songs = [song for song in client.songs(artist, most) if song.id not in seen]
        seen |= {song.id for song in songs}
        client.kept.say(f"Genius, {artist.name}: {len(songs)} songs")
        for song in songs:
            if song.text:
                step.keep(size(song.text), size(song.text))
                yield song
            else:
                step.drop(f"{song.meta['artist']}: {song.meta['title']}", "")
    if not step.documents_kept:
        raise VariorumError(
            f"source.artists: Genius has no lyrics of {', '.join(names)}; name others."
        )


def _artists(names: tuple[str, ...], client: "GeniusClient") -> list[Artist]:
    """Return the artists of these names.

    Raises `VariorumError` that lists all unknown names, and names for which another artist was
    found.
    """
    found = [client.artist_of(name) for name in names]
    known = [
        artist
        for name, artist in zip(names, found, strict=True)
        if artist is not None and _is_called(artist, name)
    ]
    if len(known) == len(names):
        return known
    others = [
        f"'{name}' ({'nothing like it' if artist is None else f'the nearest is {artist.name!r}'})"
        for name, artist in zip(names, found, strict=True)
        if artist not in known
    ]
    raise VariorumError(
        f"source.artists: Genius does not know {', '.join(others)}; correct the name or leave it "
        f"out. It does know {', '.join(artist.name for artist in known) or 'none of the others'}."
    )


def _is_called(artist: Artist, name: str) -> bool:
    return bool(clean_str(artist.name) == clean_str(name))


def _document(song: dict[str, Any], artist: str, lyrics: str) -> Document:
    title = _IN_BRACKETS.sub("", song["title"]).strip() or song["title"]
    return Document(
        id=str(song["id"]),
        group=f"{clean_str(artist)}: {clean_str(title)}",
        text=cleaned(lyrics),
        meta={"artist": artist, "title": song["title"], "url": song["url"]},
    )


class GeniusClient(Genius):  # type: ignore[misc]  # the package comes without types
    """Wrap the package's client: use the settings' addresses, and store each answer."""

    def __init__(self, api: str, site: str, kept: Answers) -> None:
        token = secret(TOKEN)
        super().__init__(token, timeout=_TIMEOUT, sleep_time=_PAUSE)
        # The package sets this for its own class alone.
        self.authorization_header = {"authorization": f"Bearer {token}"}
        self.API_ROOT, self.WEB_ROOT = api, site
        self.PUBLIC_API_ROOT = f"{site}api/"
        self._has_token, self.kept, self._status = bool(token), kept, 0
        self._questions: list[str] = []  # of the current step
        retry = Retry(
            total=4,
            connect=2,
            backoff_factor=_BACKOFF,
            status_forcelist=(429, 500, 502, 503, 504),
            retry_after_max=60,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))
        self._session.hooks["response"].append(self._note_status)

    def artist_of(self, name: str) -> Artist | None:
        """Return the artist that Genius finds for a name; it may be another artist."""
        with self._understood():
            artist = self.search_artist(name, max_songs=0)
        if artist is None or not _is_called(artist, name):
            self._forget()
        return artist

    def songs(self, artist: Artist, most: int) -> list[Document]:
        """Return the artist's songs, the most popular first; some texts may be empty."""
        with self._understood():
            full = self.search_artist(
                artist.name,
                max_songs=most,
                per_page=_PAGE,
                get_full_info=False,
                artist_id=artist._body["id"],
            )
            assert full is not None
            return [_document(song._body, full.name, song.lyrics) for song in full.songs]

    def lyrics(self, *arguments: Any, **named: Any) -> str | None:
        """Return the lyrics of a song's page; an empty answer may be a mistake."""
        found: str | None = super().lyrics(*arguments, **named)
        if not found:
            self.kept.doubt(self._questions[-1])
        return found

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Report an answer of an unexpected form in one line, and discard it."""
        self._questions.clear()
        try:
            yield
        except (KeyError, IndexError, TypeError, AttributeError, AssertionError) as problem:
            self._forget()
            raise VariorumError(
                "Genius answers in another form than lyricsgenius "
                f"{version('lyricsgenius')} reads ({type(problem).__name__}: {problem}); look for "
                "a newer version of that package."
            ) from None

    def _forget(self) -> None:
        """Discard this step's answers, but for the pages of songs already read."""
        last = len(self._questions) - 1
        for number, question in enumerate(self._questions):
            if number == last or not question.startswith(_WEB):
                self.kept.forget(question)

    def _make_request(
        self,
        path: str,
        method: str = "GET",
        params_: Any = None,
        public_api: bool = False,
        web: bool = False,
        **options: Any,
    ) -> dict[str, Any]:
        """Return one answer in the package's form: from the cache, or else from Genius."""
        question = f"{_WEB if web else 'api '}{path}?{urlencode(sorted((params_ or {}).items()))}"
        self._questions.append(question)
        content = self.kept.kept(question)
        if content is None:
            answer = self._asked(path, method, params_, public_api, web, options)
            content = json.dumps(answer, sort_keys=True).encode()
            self.kept.keep(question, content)
        kept: dict[str, Any] = json.loads(content)
        return kept

    def _asked(
        self,
        path: str,
        method: str,
        parameters: Any,
        public_api: bool,
        web: bool,
        options: dict[str, Any],
    ) -> Any:
        if not self._has_token:
            raise VariorumError(
                f"Genius asks for an access token: make one at https://genius.com/api-clients and "
                f"set the environment variable {TOKEN} to it. It is not written anywhere."
            )
        self._status = 0
        try:
            answer = super()._make_request(path, method, parameters, public_api, web, **options)
        except (AssertionError, ValueError, RuntimeError, requests.RequestException) as problem:
            reason = type(problem).__name__  # its text may hold anything that the server sent
        else:
            if self._status == 200:
                return answer
            if web and self._status in _GONE:
                return {"html": ""}
            reason = ""
        if self._status == 401:
            raise VariorumError(
                f"Genius refuses {path} (status 401); check the access token in {TOKEN}."
            )
        what = f"status {self._status}" if self._status not in (0, 200) else reason
        raise VariorumError(
            f"Genius gives no answer to {path} ({what}); check the network and run again: the "
            "answers that came are kept."
        )

    def _note_status(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self._status = response.status_code
