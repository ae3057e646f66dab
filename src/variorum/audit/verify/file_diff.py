"""Two makings of one result, file by file: identical, or what differs and by how much.

Bytes decide. What is said about files that differ depends on their kind: tensors by name, columns
and rows, values by their place in JSON, the first line of a text, the first byte of anything else.
Numbers that are equal and have other bits, zeros of another sign and NaNs of another kind, are told
in words.
"""

import csv
import io
import itertools
import json
import math
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from variorum.store import listed

if TYPE_CHECKING:
    from torch import Tensor

TEXTS = (".svg", ".html", ".md", ".txt")
LOG = "metrics.csv"
MOST_DETAILS = 5
MOST_CHARACTERS = 40
BLOCK = 1 << 20

SAME_CONTENT = "the same content, written differently"
ZERO_SIGN = "only in the sign of zero"
NAN_BITS = "only in which NaN it is"


@dataclass(frozen=True)
class Difference:
    """A file that is not the same in both, and in what."""

    name: str
    details: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Two folders: how many files are identical, which differ, which only one of them has."""

    identical: int
    differing: tuple[Difference, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def is_identical(self) -> bool:
        """Whether both hold the same files with the same bytes."""
        return not (self.differing or self.missing or self.extra)

    def in_short(self) -> str:
        """One file that is not the same, a log of training first, and in what; "" if none."""
        if self.differing:
            told = min(self.differing, key=lambda each: (each.name != LOG, each.name))
            return f"{told.name}: {told.details[0]}"
        alone = [f"{name} is missing" for name in self.missing]
        return next(iter([*alone, *(f"{name} is new" for name in self.extra)]), "")


def compare(old: Path, new: Path) -> Comparison:
    """Compare what manifests of the results in these folders list.

    `missing` are files that only `old` has, `extra` those that only `new` has.
    """
    names = [
        {path.relative_to(folder).as_posix() for path in listed(folder)} for folder in (old, new)
    ]
    both = sorted(names[0] & names[1])
    differing = [name for name in both if first_byte(old / name, new / name) is not None]
    return Comparison(
        identical=len(both) - len(differing),
        differing=tuple(
            Difference(name, differences(old / name, new / name)) for name in differing
        ),
        missing=tuple(sorted(names[0] - names[1])),
        extra=tuple(sorted(names[1] - names[0])),
    )


def first_byte(old: Path, new: Path) -> int | None:
    """Where two files first differ, or where the shorter one ends; None if they are the same."""
    place = 0
    with old.open("rb") as a, new.open("rb") as b:
        while True:
            blocks = a.read(BLOCK), b.read(BLOCK)
            if blocks[0] != blocks[1]:
                pairs = enumerate(zip(*blocks, strict=False))
                shorter = min(map(len, blocks))
                return place + next((i for i, (x, y) in pairs if x != y), shorter)
            if not blocks[0]:
                return None
            place += len(blocks[0])


def differences(old: Path, new: Path) -> tuple[str, ...]:
    """What differs between two files that are not the same, most telling first; never nothing.

    A file that is not what its ending says is compared byte by byte.
    """
    readers = {
        ".safetensors": _of_tensors,
        ".csv": _of_tables,
        ".json": _of_json,
        ".jsonl": _of_json_lines,
        **dict.fromkeys(TEXTS, _of_texts),
    }
    reader = readers.get(old.suffix, _of_bytes)
    try:
        found = list(reader(old, new))
    except _UnreadableError:
        found = list(_of_bytes(old, new))
    if not found:
        return (f"{SAME_CONTENT}, from byte {first_byte(old, new):,}",)
    more = len(found) - MOST_DETAILS
    return (*found[:MOST_DETAILS], *([f"and {more:,} more"] if more > 0 else []))


class _UnreadableError(Exception):
    """A file is not of the kind that its name says."""


# Any file, and texts


def _of_bytes(old: Path, new: Path) -> Iterator[str]:
    place = first_byte(old, new)
    assert place is not None
    sizes = [path.stat().st_size for path in (old, new)]
    if sizes[0] != sizes[1]:
        yield f"{sizes[0]:,} → {sizes[1]:,} bytes"
    if place < min(sizes):
        values = [_byte_at(path, place) for path in (old, new)]
        yield f"byte {place:,}: 0x{values[0]:02x} → 0x{values[1]:02x}"


def _byte_at(path: Path, place: int) -> int:
    with path.open("rb") as file:
        file.seek(place)
        return file.read(1)[0]


def _of_texts(old: Path, new: Path) -> Iterator[str]:
    texts = [_text(path).splitlines() for path in (old, new)]
    for number, (a, b) in enumerate(itertools.zip_longest(*texts), start=1):
        if a != b:
            yield f"line {number:,}: {_changed_text(a, b)}"
            break
    if len(texts[0]) != len(texts[1]):
        yield f"{len(texts[0]):,} → {len(texts[1]):,} lines"


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        raise _UnreadableError from None


def _changed_text(old: str | None, new: str | None) -> str:
    """Both texts, cut to what stands around the first difference; None: there is no such text."""
    pairs = enumerate(zip(old or "", new or "", strict=False))
    same = next((i for i, (a, b) in pairs if a != b), min(len(old or ""), len(new or "")))
    start = max(0, same - MOST_CHARACTERS // 2)
    return f"{_excerpt(old, start)} → {_excerpt(new, start)}"


def _excerpt(text: str | None, start: int) -> str:
    if text is None:
        return "nothing"
    cut = text[start : start + MOST_CHARACTERS]
    return f"{'…' if start else ''}{cut!r}{'…' if start + len(cut) < len(text) else ''}"


# JSON


def _of_json(old: Path, new: Path) -> Iterator[str]:
    yield from _changes(_parsed(_text(old)), _parsed(_text(new)), "")


def _of_json_lines(old: Path, new: Path) -> Iterator[str]:
    rows = [[_parsed(line) for line in _text(path).splitlines()] for path in (old, new)]
    if len(rows[0]) != len(rows[1]):
        yield f"{len(rows[0]):,} → {len(rows[1]):,} lines"
    for number, (a, b) in enumerate(zip(*rows, strict=False), start=1):
        yield from _changes(a, b, f"line {number:,}")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise _UnreadableError from None


def _changes(old: Any, new: Any, place: str) -> Iterator[str]:
    """Every value that differs, by where it stands."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            inner = f"{place}.{name}" if place else name
            if name not in new:
                yield f"{inner} is gone"
            elif name not in old:
                yield f"{inner} is new"
            else:
                yield from _changes(old[name], new[name], inner)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{place or 'the list'}: {len(old):,} → {len(new):,} entries"
        for index, (a, b) in enumerate(zip(old, new, strict=False)):
            yield from _changes(a, b, f"{place}[{index}]")
    elif not _same(old, new):
        yield f"{place or 'the value'}: {_changed_value(old, new)}"


def _same(old: Any, new: Any) -> bool:
    """Whether two values are one: NaN is NaN; 1, 1.0 and true are three, 0.0 and -0.0 are two."""
    if isinstance(old, float) and isinstance(new, float):
        return repr(old) == repr(new)
    return type(old) is type(new) and old == new


def _changed_value(old: Any, new: Any) -> str:
    if isinstance(old, str) and isinstance(new, str):
        return _changed_text(old, new)
    shown = f"{_shown(old)} → {_shown(new)}"
    if _is_number(old) and _is_number(new) and old != new:
        return f"{shown} (by {_apart(old, new):.3g}, relative {relative(old, new):.3g})"
    if isinstance(old, float) and isinstance(new, float) and old == new:
        return f"{shown}, {ZERO_SIGN}"
    return shown


def _apart(old: float, new: float) -> float:
    """How far two finite numbers lie apart; never 0 for whole numbers that no float tells apart."""
    try:
        return float(abs(Fraction(old) - Fraction(new)))
    except OverflowError:
        return math.inf


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "…"


def _is_number(value: Any) -> bool:
    """Whether a value is a number that can be subtracted: finite, and no larger than a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -sys.float_info.max <= value <= sys.float_info.max


def relative(old: float, new: float) -> float:
    """The difference of two numbers in relation to the larger one; infinite if one is not finite.

    A number does not differ from itself, NaN not from NaN, and zero not from zero of another sign.
    """
    if old == new or (math.isnan(old) and math.isnan(new)):
        return 0.0
    if not (math.isfinite(old) and math.isfinite(new)):
        return math.inf
    return float(abs(Fraction(old) - Fraction(new)) / max(abs(Fraction(old)), abs(Fraction(new))))


# Tables


def _of_tables(old: Path, new: Path) -> Iterator[str]:
    tables = [_columns(path) for path in (old, new)]
    lengths = [max(map(len, table.values()), default=0) for table in tables]
    if lengths[0] != lengths[1]:
        yield f"{lengths[0]:,} → {lengths[1]:,} rows"
    for name in tables[0]:
        if name not in tables[1]:
            yield f"column {name} is gone"
        else:
            yield from _of_columns(name, tables[0][name], tables[1][name])
    yield from (f"column {name} is new" for name in tables[1] if name not in tables[0])


def _columns(path: Path) -> dict[str, list[str]]:
    rows = list(csv.reader(io.StringIO(_text(path), newline="")))
    if not rows or len(set(rows[0])) < len(rows[0]) or {len(row) for row in rows} != {len(rows[0])}:
        raise _UnreadableError
    return {name: [row[i] for row in rows[1:]] for i, name in enumerate(rows[0])}


def _of_columns(name: str, old: list[str], new: list[str]) -> Iterator[str]:
    """One line on a column, whose rows are counted from 1 below the header."""
    pairs = enumerate(zip(old, new, strict=False), start=1)
    differing = [(row, a, b) for row, (a, b) in pairs if not _same_cell(a, b)]
    if not differing:
        return
    row, a, b = differing[0]
    count = f", and {len(differing) - 1:,} more rows" if len(differing) > 1 else ""
    numbers = [(_number(a), _number(b)) for _, a, b in differing]
    finite = [(a, b) for a, b in numbers if a is not None and b is not None]
    apart = [(a, b) for a, b in finite if a != b]
    line = f"column {name}: row {row:,}: {_changed_text(a, b)}{count}"
    if apart:
        line += (
            f"; largest difference {max(_apart(a, b) for a, b in apart):.3g}, "
            f"relative {max(relative(a, b) for a, b in apart):.3g}"
        )
    if len(finite) > len(apart):
        line += f"; {len(finite) - len(apart):,} {ZERO_SIGN}"
    yield line


def _same_cell(old: str, new: str) -> bool:
    """Whether two cells hold the same text, or the same number in two spellings."""
    if old == new:
        return True
    a, b = _number(old), _number(new)
    return a is not None and b is not None and a == b and math.copysign(1, a) == math.copysign(1, b)


def _number(text: str) -> float | None:
    """A finite number, if the text is one; whole ones exactly."""
    for kind in (int, float):
        with suppress(ValueError):
            value: float = kind(text)
            return value if _is_number(value) else None
    return None


# Tensors


def _of_tensors(old: Path, new: Path) -> Iterator[str]:
    (tensors, notes), (others, other_notes) = _tensors(old), _tensors(new)
    yield from (f"tensor {name} is gone" for name in tensors if name not in others)
    yield from (f"tensor {name} is new" for name in others if name not in tensors)
    common = [name for name in tensors if name in others]
    for name in common:
        if (line := _of_tensor(tensors[name], others[name])) is not None:
            yield f"tensor {name}: {line}"
    yield from _changes(notes, other_notes, "")


def _tensors(path: Path) -> tuple["dict[str, Tensor]", dict[str, Any]]:
    """The tensors of a file by name, and what it notes beside them."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
            notes = file.metadata() or {}
    except (SafetensorError, OSError):
        raise _UnreadableError from None
    return tensors, {name: _json_or_text(text) for name, text in notes.items()}


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _of_tensor(old: "Tensor", new: "Tensor") -> str | None:
    """How two tensors differ; None if their values are the same."""
    kinds = [str(tensor.dtype).removeprefix("torch.") for tensor in (old, new)]
    changed = f"{kinds[0]} → {kinds[1]}" if kinds[0] != kinds[1] else ""
    if old.shape != new.shape:
        shapes = f"shape {tuple(old.shape)} → {tuple(new.shape)}"
        return ", ".join(filter(None, [changed, shapes]))
    nans = old.isnan() & new.isnan()
    differs = (old != new) & ~nans
    parts = [changed]
    if count := int(differs.sum()):
        parts.append(f"{count:,} of {old.numel():,} elements differ")
        parts += _how_far(old[differs], new[differs])
    if not changed:
        others = _other_bits(old, new) & ~differs
        parts += [
            f"{number:,} of {old.numel():,} elements differ {how}"
            for how, these in ((ZERO_SIGN, others & ~nans), (NAN_BITS, others & nans))
            if (number := int(these.sum()))
        ]
    return ", ".join(filter(None, parts)) or None


def _how_far(old: "Tensor", new: "Tensor") -> Iterator[str]:
    """How far elements lie apart that all differ."""
    import torch

    if not (old.is_floating_point() or new.is_floating_point()):  # no float tells all of them apart
        pairs = list(zip(old.tolist(), new.tolist(), strict=True))
        largest_apart = max(abs(a - b) for a, b in pairs)
        yield f"by up to {largest_apart:.3g}, relative {max(relative(a, b) for a, b in pairs):.3g}"
        return
    a, b = old.double(), new.double()
    numbers = a.isfinite() & b.isfinite()
    apart = (a - b).abs()[numbers]
    if len(apart):
        largest = torch.maximum(a.abs(), b.abs())[numbers]
        yield f"by up to {float(apart.max()):.3g}, relative {float((apart / largest).max()):.3g}"
    if odd := len(a) - len(apart):
        yield f"{odd:,} of them not finite"


def _other_bits(old: "Tensor", new: "Tensor") -> "Tensor":
    """Where two tensors of one kind and shape do not hold the same bytes."""
    import torch

    a, b = (tensor.reshape(-1, 1).contiguous().view(torch.uint8) for tensor in (old, new))
    return (a != b).any(dim=1).reshape(old.shape)
