"""Score compressors and n-grams on one corpus's test part: lines for its models to cross."""

import json
from typing import TYPE_CHECKING, Any

from variorum.config.evaluation_settings import BaselineSettings
from variorum.config.types import Settings
from variorum.corpus import documents
from variorum.stages.stage import Input, Rerun, Resources, Stage, Storage
from variorum.stages.task import Task

if TYPE_CHECKING:
    from variorum.evaluation.baselines import Texts


class BaselinesStage(Settings):
    """Describe the baselines of one corpus."""

    baselines: BaselineSettings


STAGE = Stage(
    BaselinesStage,
    products=("metrics.json", "parts.csv"),
    per=("corpus",),
    inputs={"text": Input(("normalize",))},
    storage=Storage.BUNDLED,
    rerun=Rerun.PAGES,
    resources=Resources(mem_mb=2000, minutes=30),
)


def run(task: Task) -> None:
    """Write `metrics.json`, and `parts.csv`, the bits that each part of the text costs.

    By kind, static or adaptive: what each baseline needs in bits per byte, with its interval and
    the order that val chose. `train`: its bytes and how many of them were read, if not all.
    """
    from variorum.evaluation import intervals, parts
    from variorum.evaluation.baselines import all_costs
    from variorum.evaluation.metrics import KINDS

    settings = task.settings(BaselinesStage).baselines
    texts = _texts(task, settings.most_train_bytes)
    found = list(all_costs(texts, settings))
    cut = texts.parts
    result: dict[str, Any] = {"bytes": int(cut.n_bytes.sum()), "drawn": cut.drawn}
    if texts.unread:
        result["train"] = texts.of_train
        task.progress.say(
            "of {bytes:,} bytes of train the last {read:,} are read "
            "(baselines.most_train_bytes)".format(**result["train"])
        )
    result |= {kind: {} for kind in KINDS}
    for each in found:
        needed = float(each.bits.sum()) / result["bytes"]
        result[each.kind][each.name] = {
            "bits_per_byte": needed,
            "interval": intervals.as_data(each.bits, cut.n_bytes, cut.drawn),
            "order": each.order,
        }
        task.progress.say(f"{each.name}, {each.kind}: {needed:.4f} bits per byte")
    content = json.dumps(result, indent=2, sort_keys=True) + "\n"
    (task.output / "metrics.json").write_text(content, encoding="utf-8")
    columns = {f"{each.name}_{each.kind}": each.bits for each in found}
    parts.write(task.output / "parts.csv", cut, columns)


def _texts(task: Task, most: int) -> "Texts":
    from variorum.evaluation.baselines import Texts

    train, val, test = (
        task.inputs["text"].file(f"{part}.jsonl") for part in ("train", "val", "test")
    )
    return Texts.read([(train, val)], list(documents.read(test)), most)
