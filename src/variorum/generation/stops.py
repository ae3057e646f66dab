"""End a text that comes in pieces before the first stop string in it.

The first is the one that is complete first; if two end together, the longer one. So the result
depends on the text alone, not on how it was cut into pieces.
"""

from collections.abc import Sequence


class StopStrings:
    """Take pieces of a text, and return what certainly precedes any stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""  # the longest end of the text that could begin a stop string
        self.found = False

    def feed(self, piece: str) -> str:
        """Return the text that this piece makes certain; nothing after a stop string."""
        if self.found:
            return ""
        text = self._held + piece
        places = [(text.find(stop), len(stop)) for stop in self._stops]
        ends = [(start + length, start) for start, length in places if start >= 0]
        self.found = bool(ends)
        cut = min(ends)[1] if ends else len(text) - self._could_begin(text)
        self._held = "" if ends else text[cut:]
        return text[:cut]

    def finish(self) -> str:
        """Return the text held back: here the text ends, so it became no stop string."""
        held, self._held = self._held, ""
        return held

    def _could_begin(self, text: str) -> int:
        """Return the length of the longest end of the text that begins a stop string."""
        longest = max((len(stop) for stop in self._stops), default=0)
        lengths = range(min(longest - 1, len(text)), 0, -1)
        return next((n for n in lengths if self._begins(text[-n:])), 0)

    def _begins(self, end: str) -> bool:
        return any(stop.startswith(end) for stop in self._stops)
