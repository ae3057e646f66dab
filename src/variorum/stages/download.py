"""Download one corpus's raw documents from its source, verified by SHA-256."""

import json

from variorum.base import components
from variorum.config.types import Settings
from variorum.corpus import documents
from variorum.corpus.fetch_context import context_of
from variorum.corpus.source_kinds import Source
from variorum.stages.stage import Stage
from variorum.stages.task import Task


class DownloadStage(Settings):
    """Name the text to fetch; its bytes are pinned by the source's SHA-256."""

    source: Source


STAGE = Stage(
    DownloadStage,
    products=("documents.jsonl", "facts.json"),
    per=("corpus",),
    sections={"source": "corpus.{corpus}.source"},
)


def run(task: Task) -> None:
    """Write `documents.jsonl`, and `facts.json`: what the source tells of its text."""
    source = task.settings(DownloadStage).source
    context = context_of(task.root, task.progress.say)
    fetched = components.load("corpus/sources", source.kind).fetch(source, context)
    count = documents.write(task.output / "documents.jsonl", fetched)
    facts = json.dumps(context.facts.to_dict(), indent=2, ensure_ascii=False)
    (task.output / "facts.json").write_text(facts + "\n", encoding="utf-8")
    task.progress.say(f"{count:,} documents")
