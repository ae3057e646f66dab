"""Computes the numbers of `baselines` and `comparisons` again, without the project's code.

    python tests/oracles/recompute_scores.py results

reads the texts and what each part of them costs each model, computes everything else from these,
and compares it with what is stored. Sizes of archives must be equal, other numbers up to 1e-9 (of
their size, where they are over 1). It needs numpy, scipy, pyppmd and a system that can fork.
"""

import argparse
import bz2
import csv
import json
import lzma
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyppmd
from scipy import stats

TOLERANCE = 1e-9
END = b"\xff"
"""Stands for the end of a document: no UTF-8 text holds this byte."""

SYMBOLS = 257
PPMD_MEMORY = 256 << 20
CHOICE_DOCUMENTS = 128
"""At most so many documents of val choose the order of static PPMd."""

BLANK_LINE = b"\n\n"
BZ2_BLOCK = 899_981
FEWEST_GROUPS, BLOCKS = 10, 40
MODELS = ("pretrained", "finetuned")
"""In the order of their training: each is compared with those before it."""

Costs = list[float]
Archive = Callable[[bytes], int]


# Texts and their parts.


@dataclass(frozen=True)
class Document:
    """One line of a split."""

    id: str
    group: str
    text: bytes


Documents = tuple[Document, ...]


@dataclass(frozen=True)
class Piece:
    """Neighbouring bytes of one document that belong to one part."""

    document: int
    part: int
    begin: int
    end: int


@dataclass(frozen=True)
class Parts:
    """How a text is cut: the part of each symbol of each document, its end being the last."""

    drawn: str
    names: list[str]
    of: list[list[int]]

    @classmethod
    def cut(cls, documents: Documents) -> "Parts":
        """By groups, in order of first appearance, or into blocks if these are too few."""
        groups = list(dict.fromkeys(document.group for document in documents))
        if len(groups) >= FEWEST_GROUPS:
            places = {group: place for place, group in enumerate(groups)}
            of = [[places[d.group]] * (len(d.text) + 1) for d in documents]
            return cls("groups", groups, of)
        total = sum(len(document.text) + 1 for document in documents)
        count, of, at = min(BLOCKS, total), [], 0
        for document in documents:
            size = len(document.text) + 1
            of.append([(at + place) * count // total for place in range(size)])
            at += size
        return cls("blocks", [f"block {number + 1}" for number in range(count)], of)

    @cached_property
    def n_bytes(self) -> list[int]:
        """Bytes of each part, without ends of documents."""
        counts = Counter(part for parts in self.of for part in parts[:-1])
        return [counts[part] for part in range(len(self.names))]

    def pieces(self) -> Iterator[Piece]:
        """All bytes in order; an empty document is one empty piece."""
        for document, parts in enumerate(self.of):
            begin, last = 0, len(parts) - 1
            if not last:
                yield Piece(document, parts[0], 0, 0)
            for place in range(1, last + 1):
                if place == last or parts[place] != parts[begin]:
                    yield Piece(document, parts[begin], begin, place)
                    begin = place


@dataclass(frozen=True)
class Text:
    """A corpus: its three splits."""

    train: Documents
    val: Documents
    test: Documents
    train_includes_val: bool = False
    most: int = 32_000_000

    @classmethod
    def read(cls, folder: Path) -> "Text":
        """Read a result of `normalize`."""

        def split(name: str) -> Documents:
            with (folder / f"{name}.jsonl").open(encoding="utf-8") as file:
                rows = [json.loads(line) for line in file]
            return tuple(Document(r["id"], r["group"], r["text"].encode()) for r in rows)

        settings = _json(folder / "manifest.json")["spec"]["settings"]["split"]
        includes = bool(settings["train_includes_val"])
        return cls(split("train"), split("val"), split("test"), includes)

    @cached_property
    def read_train(self) -> Documents:
        """The end of train that baselines read."""
        return _end(self.train, self.most)

    @cached_property
    def train_without_val(self) -> Documents:
        """What is known while val chooses: no document of val, and no end that val holds."""
        if not self.train_includes_val:
            return self.read_train
        val = {document.id: document.text for document in self.val}
        known = []
        for document in self.train:
            end = val.get(document.id.removesuffix(":train") + ":val", b"")
            text = document.text.removesuffix(end)
            if text and document.id not in val:
                known.append(Document(document.id, document.group, text))
        return _end(tuple(known), self.most)

    @cached_property
    def parts(self) -> Parts:
        """The parts of the test text."""
        return Parts.cut(self.test)


def _end(documents: Documents, most: int) -> Documents:
    """The last symbols of documents, whose ends count as one each."""
    kept, left = [], most
    for document in reversed(documents):
        if left > 0:
            text = document.text[max(0, len(document.text) + 1 - left) :]
            kept.append(Document(document.id, document.group, text))
            left -= len(text) + 1
    return tuple(reversed(kept))


# N-grams.


def _stream(documents: Documents) -> bytes:
    return b"".join(document.text + END for document in documents)


def _grams(stream: bytes, order: int) -> list[bytes]:
    """The n-gram that ends at each symbol, as if ends of documents stood before the first."""
    padded = END * (order - 1) + stream
    return [padded[at : at + order] for at in range(len(stream))]


def _discounts(counts: Counter[bytes]) -> list[float]:
    """Of what came once, twice, and three times or more (Chen and Goodman 1999, equation 17).

    One that counts cannot say is a half, and each leaves at least a tenth on both sides.
    """
    n = Counter(counts.values())
    y = n[1] / (n[1] + 2 * n[2]) if n[1] else 0.5
    found = []
    for r in (1, 2, 3):
        discount = r - (r + 1) * y * n[r + 1] / n[r] if n[r] and n[r + 1] else 0.5
        found.append(min(max(discount, 0.1), r - 0.1))
    return found


def _interpolated(counts: Counter[bytes], grams: list[bytes], shorter: Costs) -> Costs:
    """The probability of each n-gram's last symbol behind the others."""
    discounts = _discounts(counts)
    wanted = {gram[:-1] for gram in grams}
    totals: dict[bytes, int] = dict.fromkeys(wanted, 0)
    taken: dict[bytes, float] = dict.fromkeys(wanted, 0.0)
    for gram, count in counts.items():
        behind = gram[:-1]
        if behind in wanted:
            totals[behind] += count
            taken[behind] += discounts[min(count, 3) - 1]
    found = []
    for gram, less in zip(grams, shorter, strict=True):
        total = totals[gram[:-1]]
        if not total:
            found.append(less)
            continue
        count = counts.get(gram, 0)
        own = count - discounts[min(count, 3) - 1] if count else 0.0
        found.append((own + taken[gram[:-1]] * less) / total)
    return found


def ngram_bits(train: Documents, texts: list[Documents], most: int) -> list[list[Costs]]:
    """Bits of every symbol of each text, by n-grams of each length from one on."""
    known, streams = _stream(train), [_stream(text) for text in texts]
    probabilities = [[1 / SYMBOLS] * len(stream) for stream in streams]
    bits: list[list[Costs]] = [[] for _ in texts]
    counts = Counter(_grams(known, 1))
    for order in range(1, most + 1):
        longer = Counter(_grams(known, order + 1)) if order < most else Counter()
        befores = Counter(gram[1:] for gram in longer)  # different symbols that stood before it
        for place, stream in enumerate(streams):
            grams, shorter = _grams(stream, order), probabilities[place]
            of_longest = _interpolated(counts, grams, shorter)
            bits[place].append([-math.log2(probability) for probability in of_longest])
            if order < most:
                probabilities[place] = _interpolated(befores, grams, shorter)
        counts = longer
    return bits


def by_ngrams(text: Text, most: int) -> tuple[int, Costs]:
    """The length that val chooses, and the bits of each part of the test text."""
    if text.train_includes_val:
        [val] = ngram_bits(text.train_without_val, [text.val], most)
        [test] = ngram_bits(text.read_train, [text.test], most)
    else:
        val, test = ngram_bits(text.read_train, [text.val, text.test], most)
    totals = [math.fsum(bits) for bits in val]
    place = totals.index(min(totals))
    of_parts: list[list[float]] = [[] for _ in text.parts.names]
    numbers = (part for parts in text.parts.of for part in parts)
    for part, cost in zip(numbers, test[place], strict=True):
        of_parts[part].append(cost)
    return place + 1, [math.fsum(costs) for costs in of_parts]


# Archives.


def _joined(documents: Documents) -> bytes:
    return BLANK_LINE.join(document.text for document in documents)


def _growth(known: bytes, documents: Documents, pieces: list[Piece]) -> tuple[bytes, list[int]]:
    """What is written behind the known text, and how much of it up to each piece's end."""
    written, ends = [], []
    size = 0
    for piece in pieces:
        lead = BLANK_LINE if not piece.begin and (known or piece.document) else b""
        more = lead + documents[piece.document].text[piece.begin : piece.end]
        written.append(more)
        size += len(more)
        ends.append(size)
    return b"".join(written), ends


def _by_part(count: int, pieces: list[Piece], n_bytes: list[int]) -> Costs:
    costs = [0.0] * count
    for piece, size in zip(pieces, n_bytes, strict=True):
        costs[piece.part] += 8 * size
    return costs


def by_xz(text: Text) -> Costs:
    """LZMA2 with a dictionary that reaches back to the first byte."""
    reach = sum(len(document.text) + 2 for document in [*text.read_train, *text.test])
    reach = min(max(reach, 1 << 12), 1 << 28)
    preset = 9 | lzma.PRESET_EXTREME
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": reach}]
    known, pieces = _joined(text.read_train), list(text.parts.pieces())
    new, ends = _growth(known, text.test, pieces)
    sizes = [len(lzma.compress(known + new[:end], filters=filters)) for end in [0, *ends]]
    return _by_part(len(text.parts.names), pieces, np.diff(sizes).tolist())


def by_bz2(text: Text) -> Costs:
    """Each half block of new text in one block with as much as fits of what stands before it."""
    known, pieces = _joined(text.read_train), list(text.parts.pieces())
    new, ends = _growth(known, text.test, pieces)
    half = BZ2_BLOCK // 2
    grown = [0] * len(pieces)
    for begin in range(0, len(new), half):
        cut = new[begin : begin + half]
        behind = (known + new[:begin])[-(BZ2_BLOCK - len(cut)) :]
        before = len(bz2.compress(behind))
        seen = begin
        for place, end in enumerate(ends):
            end = min(end, begin + len(cut))
            if end > seen:
                now = len(bz2.compress(behind + new[begin:end]))
                grown[place] += now - before
                before, seen = now, end
    return _by_part(len(text.parts.names), pieces, grown)


def ppmd_archive(order: int, text: bytes) -> int:
    """Bytes of an archive by PPMd, variant H."""
    return len(pyppmd.compress(text, max_order=order, mem_size=PPMD_MEMORY, variant="H"))


def _in_fork(work: Callable[[], list[int]]) -> list[int]:
    """Call a function in a copy of this process, which stays as it is itself."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reads)
            with os.fdopen(writes, "w", encoding="utf-8") as pipe:
                json.dump(work(), pipe)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writes)
    with os.fdopen(reads, encoding="utf-8") as pipe:
        said = pipe.read()
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("a copy of this process failed")
    return list(json.loads(said))


@dataclass
class Ppmd:
    """An archive that is being written, whose size can be asked at any time.

    An encoder cannot be copied, and it can only say its size by ending; so a copy of the process
    ends it.
    """

    order: int
    written: int = 0
    encoder: Any = field(init=False)

    def __post_init__(self) -> None:
        self.encoder = pyppmd.Ppmd7Encoder(self.order, PPMD_MEMORY)

    def add(self, text: bytes) -> None:
        """Write on."""
        if text:
            self.written += len(self.encoder.encode(text))

    def end(self) -> int:
        """End the archive, and return its bytes."""
        return self.written + len(self.encoder.flush())

    def size(self) -> int:
        """Bytes of the archive if it ended here."""
        return _in_fork(lambda: [self.end()])[0]

    def sizes(self, text: bytes, ends: list[int]) -> list[int]:
        """Bytes of the archive at places in a text, which is written."""
        found, at = [], 0
        for end in ends:
            self.add(text[at:end])
            found.append(self.size())
            at = end
        return found

    def last_sizes(self, text: bytes, ends: list[int]) -> list[int]:
        """The same, and the archive ends with the text."""
        found = self.sizes(text, ends[:-1])
        self.add(text[ends[-2] if len(ends) > 1 else 0 : ends[-1]])
        return [*found, self.end()]


def _ppmd_growth(
    order: int, train: Documents, documents: Documents, pieces: list[Piece], alone: bool
) -> list[int]:
    """Bytes that each piece adds: all in one archive, or each document alone behind train."""
    known, archive = _joined(train), Ppmd(order)
    archive.add(known)
    before = archive.size()
    if not alone:
        sizes = archive.last_sizes(*_growth(known, documents, pieces))
        return np.diff([before, *sizes]).tolist()
    grown: list[int] = []
    own: dict[int, list[Piece]] = {}
    for piece in pieces:
        own.setdefault(piece.document, []).append(piece)
    for of_document in own.values():
        [place] = {piece.document for piece in of_document}
        first = [Piece(0, piece.part, piece.begin, piece.end) for piece in of_document]
        new, ends = _growth(known, (documents[place],), first)
        sizes = _in_fork(lambda new=new, ends=ends: archive.last_sizes(new, ends))
        grown += np.diff([before, *sizes]).tolist()
    return grown


def by_ppmd(text: Text, orders: tuple[int, ...], *, alone: bool) -> tuple[int, Costs]:
    """The order that val chooses, and the bits of each part of the test text."""
    val = text.val[:: max(1, math.ceil(len(text.val) / CHOICE_DOCUMENTS))] if alone else text.val
    whole = [Piece(place, 0, 0, len(document.text)) for place, document in enumerate(val)]
    if not alone:  # only the last size matters
        whole = [Piece(0, 0, 0, len(_joined(val)))]
        val = (Document("", "", _joined(val)),)
    totals = {
        order: sum(_ppmd_growth(order, text.train_without_val, val, whole, alone))
        for order in orders
    }
    order = min(orders, key=lambda order: totals[order])
    pieces = list(text.parts.pieces())
    grown = _ppmd_growth(order, text.read_train, text.test, pieces, alone)
    return order, _by_part(len(text.parts.names), pieces, grown)


# Intervals and comparisons.


def interval(costs: Costs, n_bytes: list[int], drawn: str, confidence: float = 0.95) -> Any:
    """Bits per byte with the interval of a jackknife over parts, or None if these are too few."""
    bits, sizes = np.array(costs, float), np.array(n_bytes, float)
    count, effective = len(bits), sizes.sum() ** 2 / (sizes**2).sum()
    if count < 2 or effective <= 1:
        return None
    value = math.fsum(costs) / sum(n_bytes)
    without = (bits.sum() - bits) / (sizes.sum() - sizes)
    error = math.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum())
    reach = float(stats.t.ppf((1 + confidence) / 2, effective - 1)) * error
    return {
        "confidence": confidence,
        "count": count,
        "drawn": drawn,
        "effective": float(effective),
        "high": value + reach,
        "low": value - reach,
        "value": value,
    }


def compared(costs: dict[str, Costs], n_bytes: list[int], drawn: str) -> dict[str, Any]:
    """Scores, and the differences of all pairs of a model and a model before it or a baseline."""
    models = [name for name in MODELS if name in costs]
    baselines = [name for name in costs if name not in models]
    pairs = [
        (model, other)
        for place, model in enumerate(models)
        for other in [*models[:place], *baselines]
    ]
    confidence = 1 - 0.05 / max(1, len(pairs))
    differences: dict[str, dict[str, Any]] = {}
    for model, other in pairs:
        less = [a - b for a, b in zip(costs[model], costs[other], strict=True)]
        found = interval(less, n_bytes, drawn, confidence)
        differences.setdefault(model, {})[other] = found
    scores = {name: interval(own, n_bytes, drawn) for name, own in costs.items()}
    return {"confidence": confidence, "pairs": differences, "scores": scores}


@cache
def baselines(
    text: Text, most: int, orders: tuple[int, ...]
) -> tuple[dict[str, Any], dict[str, Costs]]:
    """What `metrics.json` and the columns of `parts.csv` have to hold."""
    found: dict[tuple[str, str], tuple[int | None, Costs]] = {
        ("ngram", "static"): by_ngrams(text, most),
        ("ppmd", "adaptive"): by_ppmd(text, orders, alone=False),
        ("bz2", "adaptive"): (None, by_bz2(text)),
        ("xz", "adaptive"): (None, by_xz(text)),
    }
    if len(text.test) > 1:
        found["ppmd", "static"] = by_ppmd(text, orders, alone=True)
    parts = text.parts
    metrics: dict[str, Any] = {"bytes": sum(parts.n_bytes), "drawn": parts.drawn}
    sizes = [sum(len(d.text) for d in documents) for documents in (text.train, text.read_train)]
    if sizes[1] < sizes[0]:
        metrics["train"] = {"bytes": sizes[0], "read": sizes[1]}
    for (name, kind), (order, costs) in found.items():
        metrics.setdefault(kind, {})[name] = {
            "bits_per_byte": math.fsum(costs) / sum(parts.n_bytes),
            "interval": interval(costs, parts.n_bytes, parts.drawn),
            "order": order,
        }
    return metrics, {f"{name}_{kind}": costs for (name, kind), (_, costs) in found.items()}


# What is stored, beside what is computed.


@dataclass
class Row:
    """One line of the table: numbers of one meaning and their largest difference."""

    result: str
    what: str
    tolerance: float
    count: int = 0
    largest: float = 0.0
    equal: bool = True

    def add(self, stored: Any, computed: Any) -> None:
        """Take in two values, or two of the same structure; others differ by infinity."""
        if isinstance(stored, dict) and isinstance(computed, dict):
            for name in {**stored, **computed}:
                self.add(stored.get(name, math.nan), computed.get(name, math.nan))
            return
        if isinstance(stored, list) and isinstance(computed, list) and len(stored) == len(computed):
            for one, other in zip(stored, computed, strict=True):
                self.add(one, other)
            return
        self.count += 1
        off, tolerance = math.inf, 0.0
        if stored == computed and type(stored) is type(computed):
            off = 0.0
        elif isinstance(stored, float) and isinstance(computed, float):
            off = abs(stored - computed)
            tolerance = self.tolerance * max(1.0, abs(computed))
        self.largest = max(self.largest, math.inf if math.isnan(off) else off)
        self.equal &= off <= tolerance


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _columns(path: Path) -> dict[str, list[Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    for name in columns:
        if name != "part":
            columns[name] = list(map(int if name == "bytes" else float, columns[name]))
    return columns


class Checked:
    """A folder of results, and what was found in it."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.rows: list[Row] = []
        self._texts: dict[str, Text] = {}

    def _spec(self, result: str) -> dict[str, Any]:
        return dict(_json(self.results / result / "manifest.json")["spec"])

    def _compare(
        self, result: str, what: str, stored: Any, computed: Any, tolerance: float = TOLERANCE
    ) -> None:
        row = Row(result, what, tolerance)
        row.add(stored, computed)
        self.rows.append(row)

    def text(self, result: str) -> Text:
        """The texts of a result of `normalize`."""
        if result not in self._texts:
            self._texts[result] = Text.read(self.results / result)
        return self._texts[result]

    def check_parts(self, result: str, parts: Parts) -> dict[str, list[Any]]:
        """Compare the names and sizes of parts, and return the costs."""
        columns = _columns(self.results / result / "parts.csv")
        self._compare(result, "parts: names", columns.pop("part"), parts.names)
        self._compare(result, "parts: bytes", columns.pop("bytes"), parts.n_bytes)
        return columns

    def check_baselines(self, result: str) -> None:
        """Compute all baselines from the texts."""
        spec = self._spec(result)
        settings = spec["settings"]["baselines"]
        most = settings.get("most_train_bytes", Text.most)
        text = replace(self.text(spec["upstream"]["text"]), most=most)
        orders = tuple(settings["ppmd_orders"])
        metrics, costs = baselines(text, settings["most_ngram_order"], orders)
        stored = _json(self.results / result / "metrics.json")
        columns = self.check_parts(result, text.parts)
        for name in {**columns, **costs}:
            tolerance = TOLERANCE if name.startswith("ngram") else 0.0
            self._compare(result, f"parts: {name}", columns.get(name), costs.get(name), tolerance)
        for kind in ("static", "adaptive"):
            olds, news = stored.pop(kind, {}), metrics.get(kind, {})
            for name in {**olds, **news}:
                old, new = olds.get(name, {}), news.get(name, {})
                for what in {**old, **new}:
                    label = f"{kind} {name}: {what}"
                    self._compare(result, label, old.get(what, ""), new.get(what, ""))
        rest = {name: metrics[name] for name in ("bytes", "drawn", "train") if name in metrics}
        self._compare(result, "bytes, drawn", stored, rest)

    def check_model(self, result: str, parts: Parts, kind: str) -> Costs:
        """Compute a model's score from what each part costs it, and return these costs."""
        costs = self.check_parts(result, parts)[kind]
        stored = _json(self.results / result / "metrics.json")
        value = math.fsum(costs) / sum(parts.n_bytes)
        self._compare(result, f"{kind}: bits_per_byte", stored["bits_per_byte"], value)
        found = interval(costs, parts.n_bytes, parts.drawn)
        self._compare(result, f"{kind}: interval", stored["interval"], found)
        return costs

    def check_comparisons(self, result: str) -> None:
        """Compute all scores and pairs from what each part costs whom."""
        upstream = self._spec(result)["upstream"]
        computed: dict[str, Any] = {}
        for role, of_text in upstream.items():
            if not role.startswith("baselines_"):
                continue
            name = role.removeprefix("baselines_")
            parts = self.text(self._spec(of_text)["upstream"]["text"]).parts
            costs: dict[str, dict[str, Costs]] = {"static": {}, "adaptive": {}}
            for kind, middle in (("static", ""), ("adaptive", "_dynamic")):
                for model in MODELS:
                    ref = upstream.get(f"{model}{middle}_on_{name}")
                    if ref:
                        costs[kind][model] = self.check_model(ref, parts, kind)
            for column, own in _columns(self.results / of_text / "parts.csv").items():
                who, _, kind = column.rpartition("_")
                if kind in costs:
                    costs[kind][who] = own
            computed[name] = {
                kind: compared(own, parts.n_bytes, parts.drawn) for kind, own in costs.items()
            }
        stored = _json(self.results / result / "comparisons.json")
        for name in {**stored, **computed}:
            olds, news = stored.get(name, {}), computed.get(name, {})
            for kind in {**olds, **news}:
                old, new = olds.get(kind, {}), news.get(kind, {})
                for what in {**old, **new}:
                    label = f"{name} {kind}: {what}"
                    self._compare(result, label, old.get(what), new.get(what))


def check(results: Path, only: tuple[str, ...] = ()) -> list[Row]:
    """Compare every result of `baselines` and `comparisons`, or those whose key is in `only`."""
    checked = Checked(results)
    for stage in ("baselines", "comparisons"):
        for manifest in sorted((results / stage).glob("*/manifest.json")):
            if not only or manifest.parent.name in only:
                ref = f"{stage}/{manifest.parent.name}"
                getattr(checked, f"check_{stage}")(ref)
    unique: dict[tuple[str, str], Row] = {}
    for row in checked.rows:
        unique.setdefault((row.result, row.what), row)
    return list(unique.values())


def main() -> None:
    """Print a table, and exit with 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="the folder of results")
    parser.add_argument("--only", action="append", default=[], help="the key of one result")
    options = parser.parse_args()
    rows = check(options.results, tuple(options.only))
    if not rows:
        sys.exit("There is no such result.")
    print(f"{'result':25} {'number':34} {'count':>6} {'largest difference':>18}")
    for row in rows:
        verdict = "" if row.equal else "  DIFFERS"
        print(f"{row.result:25} {row.what:34} {row.count:6} {row.largest:18.3g}{verdict}")
    wrong = sum(not row.equal for row in rows)
    print(f"{wrong} of {len(rows)} rows differ" if wrong else f"All {len(rows)} rows are equal.")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
