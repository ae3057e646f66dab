"""Clean raw documents, count them in a funnel, split them into train, val and test."""

import json
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from variorum.base.errors import VariorumError
from variorum.base.parallel import in_order
from variorum.config.corpus_settings import NormalizeSettings, SplitSettings
from variorum.config.types import Settings
from variorum.corpus import documents, splits
from variorum.corpus.documents import Document
from variorum.stages.stage import Input, Resources, Stage
from variorum.stages.task import Task


class NormalizeStage(Settings):
    """Clean one corpus and split it."""

    normalize: NormalizeSettings
    split: SplitSettings


STAGE = Stage(
    NormalizeStage,
    products=("train.jsonl", "val.jsonl", "test.jsonl", "funnel.json", "splits.json"),
    per=("corpus",),
    inputs={"documents": Input(("download",))},
    resources=Resources(is_parallel=True),
    sections={"normalize": "corpus.{corpus}.normalize", "split": "corpus.{corpus}.split"},
)


def run(task: Task) -> None:
    """Write `train.jsonl`, `val.jsonl`, `test.jsonl`, `funnel.json` and `splits.json`."""
    from variorum.corpus.normalize import Normalizer

    settings = task.settings(NormalizeStage)
    raw = documents.read(task.inputs["documents"].file("documents.jsonl"))
    normalizer = Normalizer(settings.normalize)
    try:
        counts = _write_parts(task.output, splits.assign(normalizer.run(raw), settings.split))
    except splits.SplitError as error:
        raise VariorumError(f"{error} {normalizer.funnel.losses()}") from None
    overlaps = in_order(partial(_overlap, task.output), splits.SIDES, task.machine.processes)
    for (part, count), overlap in zip(counts.items(), overlaps, strict=True):
        count["overlap"] = overlap
        task.progress.say(f"{part}: {count['documents']:,} documents, {count['bytes']:,} bytes")
    for name, content in (("funnel", normalizer.funnel.to_dict()), ("splits", counts)):
        text = json.dumps(content, indent=2, ensure_ascii=False)
        (task.output / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _write_parts(
    folder: Path, assigned: Iterable[tuple[splits.Side, Document]]
) -> dict[str, dict[str, Any]]:
    """Write every document to its part's file; gives documents and bytes by part."""
    counts: dict[str, dict[str, Any]] = {
        part: {"documents": 0, "bytes": 0} for part in splits.SIDES
    }
    with ExitStack() as stack:
        files = {
            part: stack.enter_context(_path(folder, part).open("w", encoding="utf-8", newline="\n"))
            for part in splits.SIDES
        }
        for part, document in assigned:
            files[part].write(documents.line(document))
            counts[part]["documents"] += 1
            counts[part]["bytes"] += len(document.text.encode())
    return counts


def _overlap(folder: Path, part: str) -> float | None:
    """Return the share of a part's spans that occur in train.

    None for train itself, and where there is no text.
    """
    from variorum.corpus.leakage import share_of_spans

    if part == "train":
        return None
    texts, train = (
        (document.text for document in documents.read(_path(folder, name)))
        for name in (part, "train")
    )
    return share_of_spans(texts, train)


def _path(folder: Path, part: str) -> Path:
    return folder / f"{part}.jsonl"
