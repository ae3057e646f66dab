"""normalize: raw documents cleaned, counted in a funnel, and split into train, val and test."""

import json

from variorum.config import NormalizeStage
from variorum.corpus import documents, splits
from variorum.corpus.normalize import Normalizer
from variorum.task import Task


def run(task: Task) -> None:
    """Write `train.jsonl`, `val.jsonl`, `test.jsonl`, `funnel.json` and `splits.json`."""
    settings = task.settings(NormalizeStage)
    raw = documents.read(task.inputs["documents"].file("documents.jsonl"))
    normalizer = Normalizer(settings.normalize)
    summary = splits.write(task.output, normalizer.clean(raw), settings.split)
    for name, content in (("funnel", normalizer.funnel.to_dict()), ("splits", summary)):
        text = json.dumps(content, indent=2, ensure_ascii=False)
        (task.output / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    for side, counts in summary.items():
        task.progress.say(f"{side}: {counts['documents']:,} documents, {counts['bytes']:,} bytes")
