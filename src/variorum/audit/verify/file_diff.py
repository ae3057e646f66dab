"""Compare two versions of a result file by file: what differs, and how much.

Bytes decide. A differing file is described by its kind: tensors by name, columns and rows, values
by their place in JSON, the first line of a text, the first byte of anything else.
"""

import csv
import io
import itertools
import json
import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from variorum.base.counts import counted
from variorum.store.result import listed

if TYPE_CHECKING:
    from torch import Tensor

TEXTS = (".svg", ".html", ".md", ".txt")
LOG = "metrics.csv"
"""The log of a training."""

MOST_DETAILS = 5
MOST_CHARACTERS = 40
BLOCK = 1 << 20

UNREADABLE = (ValueError, OverflowError, csv.Error)
"""Errors of reading a file that is not of the kind that its name says."""


@dataclass(frozen=True)
class FileDiff:
    """Describe how a file differs."""

    name: str
    details: tuple[str, ...]


@dataclass(frozen=True)
class ResultDiff:
    """Hold how two folders differ: identical, differing, missing and extra files."""

    identical: int
    differing: tuple[FileDiff, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def is_identical(self) -> bool:
        """Check whether both hold the same files with the same bytes."""
        return not (self.differing or self.missing or self.extra)

    def in_short(self) -> str:
        """Return one differing file, a training's log first, and how; "" if none."""
        if self.differing:
            first = min(self.differing, key=lambda each: (each.name != LOG, each.name))
            return f"{first.name}: {first.details[0]}"
        alone = [f"{name} is missing" for name in self.missing]
        return next(iter([*alone, *(f"{name} is new" for name in self.extra)]), "")


def log_of(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a training's log."""
    return list(csv.DictReader(_text(folder / LOG).splitlines()))


def compare(old: Path, new: Path) -> ResultDiff:
    """Compare the files that manifests of the results in two folders list.

    `missing` files are only in `old`, `extra` files only in `new`.
    """
    first, second = (
        {path.relative_to(folder).as_posix() for path in listed(folder)} for folder in (old, new)
    )
    both = sorted(first & second)
    differing = [name for name in both if first_byte(old / name, new / name) is not None]
    return ResultDiff(
        identical=len(both) - len(differing),
        differing=tuple(FileDiff(name, differences(old / name, new / name)) for name in differing),
        missing=tuple(sorted(first - second)),
        extra=tuple(sorted(second - first)),
    )


def first_byte(old: Path, new: Path) -> int | None:
    """Return where two files first differ or one ends; None if equal."""
    place = 0
    with old.open("rb") as a, new.open("rb") as b:
        while True:
            blocks = a.read(BLOCK), b.read(BLOCK)
            if blocks[0] != blocks[1]:
                return place + _first_other(*blocks)
            if not blocks[0]:
                return None
            place += len(blocks[0])


def _first_other(old: Sequence[Any], new: Sequence[Any]) -> int:
    pairs = enumerate(zip(old, new, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(old), len(new)))


def differences(old: Path, new: Path) -> tuple[str, ...]:
    """Describe how two unequal files differ, in at least one line.

    A file that contradicts its ending is compared byte by byte.
    """
    readers = {
        ".safetensors": _of_tensors,
        ".csv": _of_tables,
        ".json": _of_json,
        ".jsonl": _of_json_lines,
        **dict.fromkeys(TEXTS, _of_texts),
    }
    try:
        found = list(readers.get(old.suffix, _of_bytes)(old, new))
    except UNREADABLE:
        found = list(_of_bytes(old, new))
    if not found:
        return (f"the same content, written differently, from byte {first_byte(old, new):,}",)
    more = len(found) - MOST_DETAILS
    return (*found[:MOST_DETAILS], *([f"and {more:,} more"] if more > 0 else []))


def _counts(unit: str, old: int, new: int) -> Iterator[str]:
    if old != new:
        yield f"{old:,} → {new:,} {unit}"


def _one_sided(kind: str, old: Collection[str], new: Collection[str]) -> Iterator[str]:
    yield from (f"{kind}{name} is gone" for name in old if name not in new)
    yield from (f"{kind}{name} is new" for name in new if name not in old)


# Any file, and texts


def _of_bytes(old: Path, new: Path) -> Iterator[str]:
    place = first_byte(old, new)
    assert place is not None
    yield from _counts("bytes", old.stat().st_size, new.stat().st_size)
    values = [_byte_at(path, place) for path in (old, new)]
    if all(values):
        yield f"byte {place:,}: 0x{values[0].hex()} → 0x{values[1].hex()}"


def _byte_at(path: Path, place: int) -> bytes:
    with path.open("rb") as file:
        file.seek(place)
        return file.read(1)


def _of_texts(old: Path, new: Path) -> Iterator[str]:
    texts = [_text(path).splitlines() for path in (old, new)]
    lines = enumerate(itertools.zip_longest(*texts), start=1)
    differing = ((number, a, b) for number, (a, b) in lines if a != b)
    for number, a, b in itertools.islice(differing, 1):
        yield f"line {number:,}: {_changed_text(a, b)}"
    yield from _counts("lines", *map(len, texts))


def _text(path: Path) -> str:
    return path.read_bytes().decode()


def _changed_text(old: str | None, new: str | None) -> str:
    """Return both texts around their first difference; None stands for no text."""
    start = max(0, _first_other(old or "", new or "") - MOST_CHARACTERS // 2)
    return f"{_excerpt(old, start)} → {_excerpt(new, start)}"


def _excerpt(text: str | None, start: int) -> str:
    if text is None:
        return "nothing"
    cut = text[start : start + MOST_CHARACTERS]
    return f"{'…' if start else ''}{cut!r}{'…' if start + len(cut) < len(text) else ''}"


# Numbers


def relative(old: float, new: float) -> float:
    """Return the difference over the larger magnitude; infinite if either is not a finite float.

    NaN does not differ from NaN, nor zero from zero of another sign.
    """
    with suppress(OverflowError):
        if old == new or (math.isnan(old) and math.isnan(new)):
            return 0.0
        if math.isfinite(old) and math.isfinite(new):
            return abs(old - new) / max(abs(old), abs(new))
    return math.inf


def _distance(pairs: Sequence[tuple[float, float]]) -> str:
    """Describe the largest differences of old and new values."""
    apart = max(abs(a - b) for a, b in pairs)
    return f"{apart:.3g}, relative {max(relative(a, b) for a, b in pairs):.3g}"


# JSON


def _of_json(old: Path, new: Path) -> Iterator[str]:
    yield from _changes(json.loads(_text(old)), json.loads(_text(new)), "")


def _of_json_lines(old: Path, new: Path) -> Iterator[str]:
    rows = [list(map(json.loads, _text(path).splitlines())) for path in (old, new)]
    yield from _counts("lines", *map(len, rows))
    for number, (a, b) in enumerate(zip(*rows, strict=False), start=1):
        yield from _changes(a, b, f"line {number:,}")


def _changes(old: Any, new: Any, place: str) -> Iterator[str]:
    """Describe every value that differs, by its place."""
    if isinstance(old, dict) and isinstance(new, dict):
        inner = f"{place}." if place else ""
        yield from _one_sided(inner, old, new)
        for name in sorted(old.keys() & new.keys()):
            yield from _changes(old[name], new[name], f"{inner}{name}")
    elif isinstance(old, list) and isinstance(new, list):
        for line in _counts("entries", len(old), len(new)):
            yield f"{place or 'the list'}: {line}"
        for index, (a, b) in enumerate(zip(old, new, strict=False)):
            yield from _changes(a, b, f"{place}[{index}]")
    elif type(old) is not type(new) or repr(old) != repr(new):  # NaN is NaN; 0.0 is not -0.0
        yield f"{place or 'the value'}: {_changed_value(old, new)}"


def _changed_value(old: Any, new: Any) -> str:
    if isinstance(old, str) and isinstance(new, str):
        return _changed_text(old, new)
    shown = f"{_shown(old)} → {_shown(new)}"
    finite = all(type(v) in (int, float) and _cell(str(v)) != str(v) for v in (old, new))
    return f"{shown} (by {_distance([(old, new)])})" if finite and old != new else shown


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "…"


# Tables


def _of_tables(old: Path, new: Path) -> Iterator[str]:
    tables = [_columns(path) for path in (old, new)]
    yield from _counts("rows", *(max(map(len, each.values()), default=0) for each in tables))
    yield from _one_sided("column ", *tables)
    for name in [name for name in tables[0] if name in tables[1]]:
        yield from _of_columns(name, tables[0][name], tables[1][name])


def _columns(path: Path) -> dict[str, list[str]]:
    rows = list(csv.reader(io.StringIO(_text(path), newline="")))
    if not rows or len(set(rows[0])) < len(rows[0]) or {len(row) for row in rows} != {len(rows[0])}:
        raise ValueError(path)
    return {name: [row[i] for row in rows[1:]] for i, name in enumerate(rows[0])}


def _of_columns(name: str, old: list[str], new: list[str]) -> Iterator[str]:
    """Describe a column in one line; rows count from 1 below the header."""
    rows = enumerate(zip(old, new, strict=False), start=1)
    differing = [(row, a, b) for row, (a, b) in rows if a != b and _cell(a) != _cell(b)]
    if not differing:
        return
    row, a, b = differing[0]
    line = f"column {name}: row {row:,}: {_changed_text(a, b)}"
    if len(differing) > 1:
        line += f", and {counted(len(differing) - 1, 'more row')}"
    cells = ((_cell(a), _cell(b)) for _, a, b in differing)
    numbers = ((a[0], b[0]) for a, b in cells if isinstance(a, tuple) and isinstance(b, tuple))
    if apart := [(a, b) for a, b in numbers if a != b]:
        line += f"; largest difference {_distance(apart)}"
    yield line


def _cell(text: str) -> tuple[float, float] | str:
    """Return a finite number with its sign, whole ones exactly; else the text."""
    for kind in (int, float):
        with suppress(ValueError, OverflowError):
            value: float = kind(text)
            return (value, math.copysign(1, value)) if math.isfinite(value) else text
    return text


# Tensors


def _of_tensors(old: Path, new: Path) -> Iterator[str]:
    (tensors, notes), (others, other_notes) = _tensors(old), _tensors(new)
    yield from _one_sided("tensor ", tensors, others)
    for name in tensors:
        if name in others and (line := ", ".join(_of_tensor(tensors[name], others[name]))):
            yield f"tensor {name}: {line}"
    yield from _changes(notes, other_notes, "")


def _tensors(path: Path) -> tuple["dict[str, Tensor]", dict[str, Any]]:
    """Read a file's tensors by name, and the notes beside them."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
            notes: dict[str, Any] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(path) from error
    for name, text in notes.items():
        with suppress(ValueError):
            notes[name] = json.loads(text)
    return tensors, notes


def _of_tensor(old: "Tensor", new: "Tensor") -> Iterator[str]:
    """Describe how two tensors differ: in bytes, or in values if their types differ."""
    import torch

    if old.dtype != new.dtype:
        yield f"{old.dtype} → {new.dtype}".replace("torch.", "")
    if old.shape != new.shape:
        yield f"shape {tuple(old.shape)} → {tuple(new.shape)}"
        return
    a, b = old.reshape(-1, 1), new.reshape(-1, 1)
    if old.dtype == new.dtype:
        differs = (a.view(torch.uint8) != b.view(torch.uint8)).any(dim=1)
    else:
        differs = ((a != b) & ~(a.isnan() & b.isnan())).any(dim=1)
    if count := int(differs.sum()):
        yield f"{count:,} of {counted(old.numel(), 'element differs', 'elements differ')}"
        yield from _how_far(a[differs], b[differs])


def _how_far(old: "Tensor", new: "Tensor") -> Iterator[str]:
    """Describe the largest differences of elements (N, 1)."""
    import torch

    kind = torch.float64 if old.is_floating_point() or new.is_floating_point() else torch.int64
    a, b = old.to(kind), new.to(kind)
    finite = a.isfinite() & b.isfinite()
    apart, larger = (a - b).abs()[finite], torch.maximum(a.abs(), b.abs())[finite]
    if apart.any():
        share = float((apart / larger).nan_to_num().max())
        yield f"by up to {float(apart.max()):.3g}, relative {share:.3g}"
    elif len(apart):
        yield "only in the sign of zero"
    if odd := len(a) - len(apart):
        yield f"{odd:,} of them not finite"
