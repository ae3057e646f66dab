"""download: one corpus's raw documents, from wherever its source says; verified by SHA-256."""

import json

from variorum.base import components
from variorum.corpus import documents
from variorum.corpus.fetching import context_of
from variorum.stages.stage_settings import DownloadStage
from variorum.stages.task import Task


def run(task: Task) -> None:
    """Write `documents.jsonl`, and `facts.json`: what the source tells of its text."""
    source = task.settings(DownloadStage).source
    context = context_of(task.root, task.progress.say)
    fetched = components.load("corpus/sources", source.kind).fetch(source, context)
    count = documents.write(task.output / "documents.jsonl", fetched)
    facts = json.dumps(context.facts.to_dict(), indent=2, ensure_ascii=False)
    (task.output / "facts.json").write_text(facts + "\n", encoding="utf-8")
    task.progress.say(f"{count:,} documents")
