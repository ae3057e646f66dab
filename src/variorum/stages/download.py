"""download: one corpus's raw documents, from wherever its source says; verified by SHA-256."""

from variorum import components
from variorum.config import DownloadStage
from variorum.corpus import documents
from variorum.corpus.fetching import context_of
from variorum.task import Task


def run(task: Task) -> None:
    """Write `documents.jsonl`."""
    source = task.settings(DownloadStage).source
    context = context_of(task.root, task.progress.say)
    fetched = components.load("corpus/sources", source.kind).fetch(source, context)
    count = documents.write(task.output / "documents.jsonl", fetched)
    task.progress.say(f"{count:,} documents")
