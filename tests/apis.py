"""What arXiv and Genius answer, for servers on loopback.

`corpus/arxiv_pages/` holds the answers of arXiv's API to the query `all:testing`, 10 papers a page,
as they came (descriptions of papers are in the public domain, CC0). Genius is played, and all
lyrics are made up.
"""

import json
import re
from pathlib import Path
from typing import Any

from loopback import Answer, Request

PAGES = Path(__file__).parent / "corpus/arxiv_pages"
ENTRY = re.compile(rb"<entry>.*?</entry>", re.DOTALL)
TOTAL = re.compile(rb"(<opensearch:totalResults>)\d+")


def arxiv_page(start: int) -> bytes:
    return (PAGES / f"start-{start}.xml").read_bytes()


def arxiv_answer(request: Request) -> Answer:
    """The API as it was: pages of ten, of which four are here."""
    assert request.query["max_results"] == "10"
    assert request.query["search_query"] == "all:testing"
    return 200, arxiv_page(int(request.query["start"]))


TOKEN = "a-token-that-must-stay-secret"

SONGS: dict[str, dict[str, str]] = {
    "The Tins": {
        "Kettle": "[Verse 1]<br>The kettle sings at noon<br>The noon sings back<br><br>"
        "[Chorus]<br>Tin, tin, tin",
        "Kettle (Live)": "[Intro: The Tins &amp; <i>choir</i>]<br>The kettle sings at noon, hey",
        "Spoon & Fork": "Spoons are moons<br>See The Tins LiveGet tickets as low as $30<br>"
        "You might also likeForks are storks12Embed",
        "Waltz (Instrumental)": "la",
    },
    "Mü": {"Grün": "Grün ist der Wald<br>[?]", "Empty": ""},
}
ARTISTS = list(SONGS)
TITLES = [(artist, title) for artist in ARTISTS for title in SONGS[artist]]


def artist_body(name: str) -> dict[str, Any]:
    number = ARTISTS.index(name) + 1
    return {
        "id": number,
        "name": name,
        "api_path": f"/artists/{number}",
        "url": f"https://genius.com/artists/{number}",
        "header_image_url": "",
        "image_url": "",
        "is_meme_verified": False,
        "is_verified": False,
    }


def song_body(artist: str, title: str) -> dict[str, Any]:
    number = TITLES.index((artist, title)) + 101
    return {
        "id": number,
        "title": title,
        "api_path": f"/songs/{number}",
        "full_title": f"{title} by {artist}",
        "url": f"https://genius.com/song-{number}-lyrics",
        "path": f"/song-{number}-lyrics",
        "lyrics_state": "complete",
        "instrumental": "Instrumental" in title,
        "header_image_thumbnail_url": "",
        "header_image_url": "",
        "annotation_count": 0,
        "lyrics_owner_id": 1,
        "pyongs_count": None,
        "song_art_image_thumbnail_url": "",
        "song_art_image_url": "",
        "stats": {},
        "title_with_featured": title,
        "primary_artist": artist_body(artist),
        "artist_names": artist,
    }


def page(lyrics: str) -> str:
    """A song's page, with the parts around the lyrics that the site has."""
    halves = lyrics.split("<br><br>", 1)
    blocks = "<br><br>".join(halves[:1]), "<br><br>".join(halves[1:])
    return (
        "<html><body><div class='LyricsHeader__Container'>12 Contributors</div>"
        f"<div data-lyrics-container='true'>{blocks[0]}</div>"
        "<div class='Ad'>Buy this</div>"
        + (f"<div data-lyrics-container='true'><br><br>{blocks[1]}</div>" if blocks[1] else "")
        + "</body></html>"
    )


def genius_answer(request: Request) -> Answer:
    """The search, an artist, an artist's songs in pages of two, and song pages."""
    path = request.path
    if path == "/site/api/search/multi":
        wanted = request.query["q"].lower()
        hits = [n for n in ARTISTS if wanted in n.lower() or n.lower() in wanted]
        found = [{"index": "artist", "result": artist_body(name)} for name in hits]
        sections = [{"type": "top_hit", "hits": found[:1]}, {"type": "artist", "hits": found}]
        return 200, json.dumps({"response": {"sections": sections}}).encode()
    if path.startswith("/site/song-"):
        artist, title = TITLES[int(path.split("-")[1]) - 101]
        return 200, page(SONGS[artist][title]).encode()
    if request.authorization != f"Bearer {TOKEN}":
        return 401, b'{"error": "invalid_token"}'
    number, *rest = path.removeprefix("/api/artists/").split("/")
    name = ARTISTS[int(number) - 1]
    if not rest:
        return 200, json.dumps({"response": {"artist": artist_body(name)}}).encode()
    assert rest == ["songs"]
    start = 2 * (int(request.query["page"]) - 1)
    titles = list(SONGS[name])
    songs = [song_body(name, title) for title in titles[start : start + 2]]
    following = int(request.query["page"]) + 1 if start + 2 < len(titles) else None
    answer = {"response": {"songs": songs, "next_page": following}}
    return 200, json.dumps(answer).encode()
