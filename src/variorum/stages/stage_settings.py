"""Settings that each stage is given: the part of an experiment that its key stands on."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from variorum.config.ablation_settings import MetricName
from variorum.config.corpus_settings import NormalizeSettings, SplitSettings
from variorum.config.evaluation_settings import EvaluateSettings, StressSettings
from variorum.config.model_settings import ImportedSettings, ModelSettings
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.config.training_settings import FinetuneSettings, TrainingSettings
from variorum.config.types import Number, Settings, Text, Truth, Whole, setting
from variorum.corpus.source import SourceSettings
from variorum.corpus.source_kinds import KINDS

if TYPE_CHECKING:
    Source = SourceSettings
else:
    Source = Annotated[reduce(or_, KINDS.values()), Field(discriminator="kind")]
"""A source of any kind, told apart by `kind`."""


class DownloadStage(Settings):
    """Fetch one corpus's text; its bytes are pinned by the source's SHA-256."""

    source: Source


class NormalizeStage(Settings):
    """Clean one corpus and split it."""

    normalize: NormalizeSettings
    split: SplitSettings


class TokenizerStage(Settings):
    """Learn the tokens."""

    tokenizer: TokenizerSettings


class EncodeStage(Settings):
    """Turn one corpus into token files; there is nothing to choose."""


class PretrainStage(Settings):
    """Train from nothing."""

    seed: Whole
    model: ModelSettings
    training: TrainingSettings


class ImportedStage(Settings):
    """Read a model that was made elsewhere; `model` is what its files say that it is."""

    imported: ImportedSettings
    model: ModelSettings


class FinetuneStage(Settings):
    """Train on from a pretrained result."""

    seed: Whole
    training: FinetuneSettings


class EvaluateStage(Settings):
    """Score one model on one corpus's test part."""

    evaluate: EvaluateSettings


class StressStage(Settings):
    """Ask one model to write."""

    stress: StressSettings


class FiguresStage(Settings):
    """Draw; there is nothing to choose."""


class ReportStage(Settings):
    """The page: what it is called and which command makes it."""

    title: Text
    experiment: Text
    command: Text
    notes: dict[Text, Text] = setting({})


class TableRun(Settings):
    """One run of an ablation, whose results are the upstreams `<run>/<seed>/...`.

    value: of the setting that is tuned; None: the variant's own.
    """

    run: Text
    variant: Text
    seed: Whole
    value: Number | None


class TableStage(Settings):
    """The table of an ablation.

    tuned: the setting that was tuned. codes: of variants that another code runs, how that was
    named. edited: of variants that could have another code than the baseline, whether they have.
    pinned: of variants that were made before, the name that they are pinned under. uncounted:
    variants whose models other code defines, so the code that is here cannot count operations.
    """

    title: Text
    question: Text
    baseline: Text
    last_stage: Text
    corpora: tuple[Text, ...]
    metric: MetricName
    tuned: Text | None
    command: Text
    runs: tuple[TableRun, ...]
    codes: dict[Text, Text] = setting({}, omit_when={})
    edited: dict[Text, Truth] = setting({}, omit_when={})
    pinned: dict[Text, Text] = setting({}, omit_when={})
    uncounted: tuple[Text, ...] = setting((), omit_when=())


STAGES: dict[str, type[Settings]] = {
    "download": DownloadStage,
    "normalize": NormalizeStage,
    "tokenizer": TokenizerStage,
    "encode": EncodeStage,
    "pretrain": PretrainStage,
    "imported": ImportedStage,
    "finetune": FinetuneStage,
    "evaluate": EvaluateStage,
    "stress": StressStage,
    "figures": FiguresStage,
    "report": ReportStage,
    "table": TableStage,
}
"""Every stage, in the order of the flow, and the settings it is given."""

TRAININGS = ("pretrain", "finetune")
"""The stages that train a model, in the order of the flow."""

MODELS = ("pretrain", "imported", "finetune")
"""The stages whose results hold a model, in the order of the flow."""
