"""Decode bytes as UTF-8, or say in one sentence what to do. Nothing is guessed.

A wrong guess would pass silently and be trained on.
"""

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE

from variorum.base.errors import VariorumError

# Bytes that no text has: the control characters but for tab, line ends, form feed and escape.
_CONTROL = bytes(sorted({*range(0x20), 0x7F} - {*b"\t\n\v\f\r\x1b"}))
_MOST_CONTROL = 0.01  # share of the bytes; old texts do have a stray one


def decode(data: bytes, name: str) -> str:
    """Return the text in `data`, without a byte-order mark.

    Raises `VariorumError`, which calls the data `name`, when it is not UTF-8 or no text at all.
    """
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise VariorumError(
            f"{name} is UTF-16 (it begins with its byte-order mark); convert it to UTF-8, "
            "for example with `iconv -f UTF-16 -t UTF-8`."
        )
    if (nul := data.find(0)) >= 0:
        raise VariorumError(
            f"{name} is no text: byte {nul} is NUL. Leave the file out; if it is UTF-16 or "
            "UTF-32, convert it to UTF-8."
        )
    try:
        text = data.removeprefix(BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as problem:
        offset = problem.start + (len(BOM_UTF8) if data.startswith(BOM_UTF8) else 0)
        raise VariorumError(
            f"{name} is no UTF-8: byte {offset} (line {data.count(10, 0, offset) + 1}) is "
            f"0x{data[offset]:02x}. Convert the file to UTF-8, for example with "
            "`iconv -f ISO-8859-1 -t UTF-8` if it is Latin-1."
        ) from None
    control = len(data) - len(data.translate(None, delete=_CONTROL))
    if control > _MOST_CONTROL * len(data):
        raise VariorumError(
            f"{name} is no text: {control} of its {len(data)} bytes are control characters. "
            "Leave the file out."
        )
    return text
