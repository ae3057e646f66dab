"""Define the settings of an experiment: all sections, and what must fit between them."""

import re
from typing import Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from variorum.config.corpus_settings import NormalizeSettings, SplitSettings
from variorum.config.evaluation_settings import (
    BaselineSettings,
    DynamicSettings,
    EvaluateSettings,
    StressSettings,
)
from variorum.config.model_settings import ImportedSettings, ModelSettings
from variorum.config.report_settings import ReportSettings
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.config.training_settings import FinetuneSettings, TrainingSettings
from variorum.config.types import MOST_SEED, Settings, Text, Truth, Whole, setting
from variorum.corpus.source_kinds import Source
from variorum.plan.ablation_settings import Ablation
from variorum.plan.last_test_settings import LastTest


class CorpusSettings(Settings):
    """Describe one corpus: where its text comes from, how it is cleaned and split."""

    source: Source = setting(..., "Where the text comes from.")
    normalize: NormalizeSettings = setting(NormalizeSettings(), "How it is cleaned.")
    split: SplitSettings = setting(SplitSettings(), "How it is split.")


class CorporaSettings(Settings):
    """Name the corpora of pretraining and of fine-tuning."""

    base: CorpusSettings = setting(..., "What the model is pretrained on.")
    domain: CorpusSettings | None = setting(
        ..., "What it is fine-tuned on; null leaves fine-tuning out."
    )

    @model_validator(mode="after")
    def _split_alike(self) -> Self:
        """Refuse splits that could put one group on two sides and train on test text."""
        if self.domain is None or {self.base.split.by, self.domain.split.by} != {"group"}:
            return self
        for name in ("salt", "val_fraction", "test_fraction"):
            base, domain = getattr(self.base.split, name), getattr(self.domain.split, name)
            if base != domain:
                raise PydanticCustomError(
                    "split",
                    "domain.split.{name}: {domain} differs from base's {base}, so one group could "
                    "stand on two sides; give both the same",
                    {"name": name, "domain": str(domain), "base": str(base)},
                )
        return self


class Experiment(Settings):
    """Hold everything that decides a result."""

    title: Text = setting(..., "One line for the report.")
    preset: Text | None = setting(
        None, "A file of config/presets/ whose settings hold where nothing else is said."
    )
    seed: Whole = setting(1, "Seed of initial weights and batches.", ge=0, le=MOST_SEED)
    corpus: CorporaSettings = setting(..., "The texts.")
    imported: ImportedSettings | None = setting(
        None,
        "A GPT-2 that takes the place of the tokenizer and of pretraining; null: none does.",
        omit_when=None,
    )
    tokenizer: TokenizerSettings = setting(TokenizerSettings(), "The tokenizer.")
    model: ModelSettings = setting(ModelSettings(), "The model.")
    pretrain: TrainingSettings = setting(TrainingSettings(), "Training on the base corpus.")
    finetune: FinetuneSettings = setting(
        FinetuneSettings(), "Training of the pretrained model on the domain corpus."
    )
    evaluate: EvaluateSettings = setting(EvaluateSettings(), "Scoring on test.")
    dynamic: DynamicSettings = setting(
        DynamicSettings(), "Scoring on test by models that learn from it while they read."
    )
    baselines: BaselineSettings = setting(BaselineSettings(), "What models are compared with.")
    stress: StressSettings = setting(StressSettings(), "Stress tests and samples.")
    report: ReportSettings = setting(ReportSettings(), "The page.")
    strict_libraries: Truth = setting(
        False,
        "Make the versions of the libraries that a stage uses part of its key. Else `variorum "
        "verify` warns when they changed.",
        omit_when=False,
    )

    @model_validator(mode="after")
    def _tokenizer_has_both(self) -> Self:
        if self.tokenizer.train_on == "both" and self.corpus.domain is None:
            raise PydanticCustomError(
                "train_on",
                "tokenizer.train_on: both needs a domain corpus, and corpus.domain is null; "
                "give one, or train_on: base",
            )
        return self

    @model_validator(mode="after")
    def _frozen_parts_exist(self) -> Self:
        """Refuse unknown parts before the pretraining; deeper names are checked with the model."""
        last = self.model.n_layer - 1
        layers = f"h.0 to h.{last}" if last else "h.0"
        known = ["wte", "positions", "shift", "ngrams", "h", layers, "ln_f", "lm_head"]
        for name in self.finetune.freeze:
            part, _, inner = name.partition(".")
            number = inner.partition(".")[0]
            is_layer = re.fullmatch("0|[1-9][0-9]{0,17}", number) and int(number) <= last
            if part not in known or (part == "h" and inner and not is_layer):
                raise PydanticCustomError(
                    "freeze",
                    "finetune.freeze: no part of a model is called {found}; there are {known}",
                    {"found": name, "known": ", ".join(known)},
                )
        return self

    @model_validator(mode="after")
    def _strides_fit(self) -> Self:
        """Refuse strides that leave text between two windows, which nobody would read."""
        context = self.model.context_length
        for section in type(self).model_fields:
            stride = getattr(getattr(self, section), "stride", None)
            if stride is not None and stride > context:
                raise PydanticCustomError(
                    "stride",
                    "{section}.stride: {stride} is more than model.context_length = {context}; "
                    "give at most that",
                    {"section": section, "stride": stride, "context": context},
                )
        return self


CONFIGURATIONS: dict[str, type[Settings]] = {
    "experiment": Experiment,
    "ablation": Ablation,
    "last_test": LastTest,
}
"""Kinds of configuration files, each with its settings and its schema for editors."""
