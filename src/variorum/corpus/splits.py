"""Split text into train, validation (val) and test.

A model is trained on train, chosen by val and reported on test. By group: a hash of a document's
group decides, equally in every corpus, so that a module, paper or file falls on one side in all
of them. By position: for one single text, which is cut into train, val and test, in this order.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Literal

from variorum.base.errors import VariorumError
from variorum.config.corpus_settings import SplitSettings
from variorum.corpus.documents import Document


class SplitError(VariorumError):
    """Report that documents cannot be split; cleaning may have dropped too many."""


Side = Literal["train", "val", "test"]
SIDES: tuple[Side, ...] = ("train", "val", "test")


def side(group: str, split: SplitSettings) -> Side:
    """Return the side of `group`, which group, salt and fractions alone decide."""
    name = f"{split.salt}\n{group}".encode("utf-8", "surrogatepass")
    place = int.from_bytes(sha256(name).digest()[:8], "big") / 2**64  # even in [0, 1)
    if place < split.test_fraction:
        return "test"
    if place < split.test_fraction + split.val_fraction:
        return "val"
    return "train"


def by_position(document: Document, split: SplitSettings) -> dict[Side, Document]:
    """Cut one text into its parts, in characters.

    With n characters, test begins at int(n * (1 - test_fraction)): for 0.1 exactly where nanoGPT's
    `data/shakespeare_char/prepare.py` cuts train from validation. val is the end of the rest;
    with `train_includes_val` it is trained on as well. Raises `SplitError` for an empty part.
    """
    text = document.text
    test_start = int(len(text) * (1 - split.test_fraction))
    val_start = int(len(text) * (1 - split.test_fraction - split.val_fraction))
    spans: dict[Side, tuple[int, int]] = {
        "train": (0, test_start if split.train_includes_val else val_start),
        "val": (val_start, test_start),
        "test": (test_start, len(text)),
    }
    if empty := [name for name, (start, end) in spans.items() if start == end]:
        raise SplitError(
            f"split: {document.id} has {len(text)} characters, too few for a part to "
            f"{' and '.join(empty)}; give more text."
        )
    return {
        name: replace(
            document,
            id=f"{document.id}:{name}",
            text=text[start:end],
            meta=document.meta | {"characters": [start, end]},
        )
        for name, (start, end) in spans.items()
    }


def assign(documents: Iterable[Document], split: SplitSettings) -> Iterator[tuple[Side, Document]]:
    """Yield each document, or part of the single one, with its side, in order.

    With `train_includes_val` the documents of val are yielded twice, once for train. Raises
    `SplitError` when a side stays empty, and for several documents split by position.
    """
    if split.by == "position":
        yield from by_position(_single(documents), split).items()
    else:
        yield from _by_group(documents, split)


def without_val(train: Iterable[Document], val: Iterable[Document]) -> Iterator[Document]:
    """Yield what train has beside val, for a choice by val.

    With `train_includes_val` train has both. A text that is cut by position loses the end that val
    repeats.
    """
    held = {document.id: document for document in val}
    for document in train:
        cut = held.get(f"{document.id.removesuffix(':train')}:val")
        if cut is not None and document.text.endswith(cut.text):
            yield replace(document, text=document.text.removesuffix(cut.text))
        elif document.id not in held:
            yield document


def _by_group(
    documents: Iterable[Document], split: SplitSettings
) -> Iterator[tuple[Side, Document]]:
    groups: dict[Side, set[str]] = {name: set() for name in SIDES}
    for document in documents:
        where = side(document.group, split)
        sides: tuple[Side, ...] = (where,)
        if where == "val" and split.train_includes_val:
            sides = ("train", "val")
        for each in sides:
            if not all(groups.values()):  # afterwards nobody asks which they are
                groups[each].add(document.group)
            yield each, document
    if empty := [name for name in SIDES if not groups[name]]:
        count = len(set().union(*groups.values()))
        raise SplitError(
            f"split: none of the {count} groups fell on {' or '.join(empty)}; give more groups, "
            "larger fractions or another split.salt, or split one single text with "
            "split.by: position."
        )


def _single(documents: Iterable[Document]) -> Document:
    several = iter(documents)
    first = next(several, None)
    if first is None:
        raise SplitError("split: there is no document to split; check the source.")
    if (second := next(several, None)) is not None:
        raise SplitError(
            f"split.by: position needs one single text, found several documents ({first.id}, "
            f"{second.id}); set split.by: group."
        )
    return first
