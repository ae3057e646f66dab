"""Groups of held-out documents are numbered in the room that their names take."""

import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from variorum.corpus import documents
from variorum.corpus.documents import Document
from variorum.stages.stress import _groups


def test_one_long_name_does_not_make_all_names_long(tmp_path: Path) -> None:
    names = [f"group {number % 7}" for number in range(5000)] + ["long " * 2000]
    lines = [documents.line(Document(str(n), name, "text")) for n, name in enumerate(names)]
    (tmp_path / "val.jsonl").write_text("".join(lines), encoding="utf-8")
    text = SimpleNamespace(file=lambda name: tmp_path / name)
    n_tokens = np.arange(len(names)) % 3
    tracemalloc.start()
    found = _groups(text, n_tokens)  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000, "padded to the longest they would take 200 MB"
    padded = np.unique([name[:20] for name in names], return_inverse=True)[1]
    assert np.array_equal(found, np.repeat(padded, n_tokens))
