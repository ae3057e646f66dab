"""Make a model's text fit to print: it may hold any bytes, even meaningless ones.

Control characters are shown as escapes, so that they neither act on a terminal nor spoil a page.
Only the fixed sets of ASCII, Latin-1 and the bidirectional controls count: a list that follows
Python's Unicode tables would differ between versions.
"""

import re

LEGIBLE_CONTROLS = "\n"
TERMINAL_CONTROLS = "\t\u200c\u200d"
# C0 and DEL, C1, line and paragraph separator, directional marks, embeddings and isolates,
# the byte order mark, and the surrogates of undecodable bytes.
CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def legible(text: str) -> str:
    r"""Replace control and invisible characters by `\x07`, `\u200b`; line ends stay."""
    return CONTROLS.sub(_escape, text)


def for_terminal(text: str) -> str:
    """Do as `legible`, but keep tabs and joiners of letters.

    A tab moves the cursor to the right on its line, and a joiner (of Persian, of emoji) decides how
    the letters beside it look; neither can do anything else to a terminal.
    """
    return CONTROLS.sub(
        lambda match: match[0] if match[0] in TERMINAL_CONTROLS else _escape(match), text
    )


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if character in LEGIBLE_CONTROLS:
        return character
    if "\udc80" <= character <= "\udcff":  # an undecodable byte, by surrogateescape
        return f"\\x{ord(character) - 0xDC00:02x}"
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"


def legible_bytes(data: bytes) -> str:
    r"""Return UTF-8 bytes as legible text; bytes that are not UTF-8 as `\xff`."""
    return legible(data.decode("utf-8", errors="surrogateescape"))


def token_label(data: bytes) -> str:
    """Return one token on one line, its spaces and line ends visible: `␣the`, `↵`."""
    return legible_bytes(data).replace(" ", "␣").replace("\n", "↵")
