"""What baselines read of train: its end, as far as the limit reaches, and they say so."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracles import recompute_scores as again
from variorum.base.machine import Machine
from variorum.base.progress import Progress
from variorum.config.canonical import canonical
from variorum.config.evaluation_settings import BaselineSettings
from variorum.corpus import documents
from variorum.corpus.documents import Document
from variorum.evaluation.baselines import last_of
from variorum.identity.spec import Ref, Spec
from variorum.stages import baselines
from variorum.stages.task import Task
from variorum.store.result import Result

PARTS = ("train", "val", "test")
FEW = BaselineSettings(most_ngram_order=4, ppmd_orders=(3,))


@given(st.lists(st.binary(max_size=6), max_size=6), st.integers(1, 30))
def test_the_end_of_all_texts_is_kept_up_to_the_limit(texts: list[bytes], most: int) -> None:
    kept, before = last_of(iter(texts), most)
    stream = [symbol for text in texts for symbol in (*text, "end")]
    assert [symbol for text in kept for symbol in (*text, "end")] == stream[-most:]
    assert before + sum(map(len, kept)) == sum(map(len, texts))


def texts(seed: int, count: int) -> list[str]:
    return [f"the {n * seed % 17}th é of {n % 7} kings and {n % 5} queens" for n in range(count)]


def made(folder: Path, train: list[str], settings: BaselineSettings, *, repeats: bool) -> Path:
    """The result of the stage, run on texts; `repeats`: train has val, too."""
    own = {"train": train, "val": texts(5, 6), "test": texts(3, 12)}
    folder.mkdir()
    for part in PARTS:
        found = [Document(f"{part} {n}", f"{part} {n}", text) for n, text in enumerate(own[part])]
        if part == "train" and repeats:
            found += [Document(f"val {n}", f"val {n}", text) for n, text in enumerate(own["val"])]
        documents.write(folder / f"{part}.jsonl", found)
    files = {file.name: {} for file in folder.iterdir()}
    text = Result(Ref("normalize", "0" * 12), folder, {"files": files})
    (folder / "output").mkdir()
    task = Task(
        Spec("baselines", {"baselines": canonical(settings)}, {}, ""),
        {"text": text},
        *(folder, folder / "output", folder, Machine()),
        Progress("baselines", folder / "log"),
    )
    baselines.run(task)
    return folder


@pytest.mark.parametrize("repeats", [False, True])
def test_the_limit_is_respected_and_said(
    tmp_path: Path, repeats: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A longer train gives what its end alone gives, and states how much was read."""
    own = texts(2, 20)
    end = sum(len(text.encode()) + 1 for text in own)
    end += sum(len(text.encode()) + 1 for text in texts(5, 6)) if repeats else 0
    limit = FEW.model_copy(update={"most_train_bytes": end})
    cases = {
        "alone": ([*own], FEW),
        "limited": ([*texts(7, 30), *own], limit),
        "whole": ([*texts(7, 30), *own], FEW),
    }
    said, metrics, costs = {}, {}, {}
    for name, (train, settings) in cases.items():
        folder = made(tmp_path / name, train, settings, repeats=repeats)
        said[name] = "baselines.most_train_bytes" in capsys.readouterr().err
        metrics[name] = json.loads((folder / "output/metrics.json").read_text(encoding="utf-8"))
        costs[name] = (folder / "output/parts.csv").read_text(encoding="utf-8")
    read = {name: each.pop("train") for name, each in metrics.items() if "train" in each}
    assert said == {"alone": False, "limited": True, "whole": False}
    before = sum(len(text.encode()) for text in texts(7, 30))
    documents = 20 + (6 if repeats else 0)
    assert read == {"limited": {"bytes": before + end - documents, "read": end - documents}}
    if not repeats:  # else the choice by val sees more of what stands before
        assert costs["limited"] == costs["alone"]
        assert metrics["limited"] == metrics["alone"]
    assert costs["whole"] != costs["limited"]
    check_again(tmp_path / "limited", limit, repeats=repeats)


def check_again(folder: Path, settings: BaselineSettings, *, repeats: bool) -> None:
    """Compare a result with what the twin computes from its texts."""
    split = {
        part: tuple(
            again.Document(each.id, each.group, each.text.encode())
            for each in documents.read(folder / f"{part}.jsonl")
        )
        for part in PARTS
    }
    text = again.Text(**split, train_includes_val=repeats, most=settings.most_train_bytes)
    metrics, costs = again.baselines(text, settings.most_ngram_order, settings.ppmd_orders)
    stored = json.loads((folder / "output/metrics.json").read_text(encoding="utf-8"))
    assert stored["train"] == metrics["train"]
    with (folder / "output/parts.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    for name, own in costs.items():
        assert [float(line[name]) for line in lines] == pytest.approx(own, rel=1e-9)
