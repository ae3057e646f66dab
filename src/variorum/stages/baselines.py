"""Score compressors and n-grams on one corpus's test part: lines for its models to cross."""

import json
from typing import TYPE_CHECKING, Any

from variorum.config.evaluation_settings import BaselineSettings
from variorum.config.types import Settings
from variorum.corpus import documents, splits
from variorum.corpus.documents import Document
from variorum.stages.stage import Input, Rerun, Resources, Stage, Storage
from variorum.stages.task import Task

if TYPE_CHECKING:
    from variorum.evaluation.baselines import Texts


class BaselinesStage(Settings):
    """Describe the baselines of one corpus."""

    baselines: BaselineSettings


STAGE = Stage(
    BaselinesStage,
    products=("baselines.json", "groups.csv"),
    per=("corpus",),
    inputs={"text": Input(("normalize",))},
    storage=Storage.BUNDLED,
    rerun=Rerun.SCORES,
    resources=Resources(mem_mb=2000, minutes=30),
)


def run(task: Task) -> None:
    """Write `baselines.json`, and `groups.csv`, the bits that each group of documents costs.

    By kind, static or adaptive: what each baseline needs in bits per byte, and its order.
    """
    from variorum.evaluation import compressors
    from variorum.evaluation.baselines import KINDS, by_ngrams, by_ppmd
    from variorum.evaluation.groups import write_groups

    settings = task.settings(BaselinesStage).baselines
    test = _documents(task, "test")
    texts = _texts(task, test)
    found = [by_ngrams(texts, settings.most_ngram_order), *(by_ppmd(texts, k) for k in KINDS)]
    result: dict[str, Any] = {"n_bytes": texts.n_bytes, **{kind: {} for kind in KINDS}}
    for each in found:
        needed = float(each.bits.sum()) / texts.n_bytes
        result[each.kind][each.name] = {"bits_per_byte": needed, "order": each.order}
        task.progress.say(f"{each.name}, {each.kind}: {needed:.4f} bits per byte")
    for name, bits_of in (("bz2", compressors.bz2_bits), ("xz", compressors.xz_bits)):
        needed = bits_of(texts.train, texts.test) / texts.n_bytes
        result["adaptive"][name] = {"bits_per_byte": needed}
    content = json.dumps(result, indent=2, sort_keys=True) + "\n"
    (task.output / "baselines.json").write_text(content, encoding="utf-8")
    columns = {f"{each.name}_{each.kind}_bits": each.bits for each in found}
    write_groups(task.output / "groups.csv", test, columns)


def _documents(task: Task, part: str) -> list[Document]:
    return list(documents.read(task.inputs["text"].file(f"{part}.jsonl")))


def _texts(task: Task, test: list[Document]) -> "Texts":
    from variorum.evaluation.baselines import Texts

    train, val = _documents(task, "train"), _documents(task, "val")
    parts = (splits.without_val(train, val), val, train, test)
    return Texts(*([document.text.encode() for document in part] for part in parts))
