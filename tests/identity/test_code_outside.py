"""What lies outside fingerprints enters keys as values, or decides nothing."""

import ast
from collections.abc import Iterator

from code_ways import nodes
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from oracles.watching import module_of
from variorum.base.components import PACKAGE
from variorum.config.types import Settings, field_metadata
from variorum.identity.fingerprint import MEANINGS
from variorum.identity.package_code import OUTSIDE_NAME, is_outside

NAMED_OUTSIDE = {
    "BaselinesStage": "settings",
    "DownloadStage": "settings",
    "DynamicStage": "settings",
    "EvaluateStage": "settings",
    "FinetuneStage": "settings",
    "ImportedStage": "settings",
    "ModelSettings": "settings",
    "NormalizeStage": "settings",
    "PretrainStage": "settings",
    "Progress": "tells a person how it goes",
    "SamplingSettings": "settings, every one of them given; see below",
    "SourceSettings": "settings",
    "Stopped": "raised",
    "StressSettings": "settings",
    "StressStage": "settings",
    "TableStage": "settings",
    "TokenizerStage": "settings",
    "VariorumError": "raised",
    "classes": "`components`: settings of each kind of source",
    "canonical": "writes the model's settings as they stand in the spec",
    "load": "`components`: gives what the contract of a folder lists, of the file that is chosen",
    "end_with": "ends a process whose leader is gone, and with it what it computes",
    "in_order": "gives what the work gives, in the order of the tasks, by any number of processes",
    "options": "`components`: names for a message",
    "restored": "reads them again; the inverse of `canonical`, held by a property test",
    "sha256_of": "computes the checksum of a text, which its key holds",
    "replacing": "gives a place for the state that is written, and puts it in place",
}
"""Why a name from outside that code of a stage mentions can change no result silently."""


def test_what_stages_name_outside_is_known() -> None:
    named = {
        line.split(f" is {OUTSIDE_NAME}")[1].split(".")[0]
        for node in nodes()
        for name, text in node.code.sources.items()
        if name.endswith(MEANINGS)
        for line in text.splitlines()
        if f" is {OUTSIDE_NAME}" in line
    }
    assert named == NAMED_OUTSIDE.keys(), "decide whether what it decides enters keys as a value"


def settings_models(model: type[Settings] = Settings) -> Iterator[type[BaseModel]]:
    for inner in model.__subclasses__():
        if inner.__module__.startswith("variorum."):
            yield inner
            yield from settings_models(inner)


OMITTED_FOR_EVER = {
    "ArxivSource.api": "https://export.arxiv.org/api/query",
    "ArxivSource.page_size": 100,
    "BaselineSettings.most_train_bytes": 32_000_000,
    "CsvSource.quote": None,
    "CsvSource.short_rows": None,
    "EvaluateSettings.memorization_tokens": 2048,
    "Experiment.imported": None,
    "Experiment.strict_libraries": False,
    "FinetuneSettings.accumulation": 1,
    "FinetuneSettings.batches": "replacement",
    "FinetuneSettings.compile": False,
    "FinetuneSettings.decay_share": 0.2,
    "FinetuneSettings.freeze": (),
    "FinetuneSettings.matrix_rate": 1.0,
    "FinetuneSettings.momentum": 0.95,
    "FinetuneSettings.muon_iterations": 5,
    "FinetuneSettings.muon_separately": False,
    "FinetuneSettings.patience": None,
    "FinetuneSettings.precision": "fp32",
    "FinetuneSettings.replay": 0.0,
    "FinetuneSettings.stride": None,
    "GeniusSource.api": "https://api.genius.com/",
    "GeniusSource.site": "https://genius.com/",
    "ModelSettings.attention": "fused",
    "ModelSettings.attention_dropout": None,
    "ModelSettings.document_attention": False,
    "ModelSettings.feed_forward": "gelu",
    "ModelSettings.ngram_buckets": 16384,
    "ModelSettings.ngrams": (),
    "ModelSettings.norm": "layer",
    "ModelSettings.norm_position": "before",
    "ModelSettings.qk_norm": False,
    "ModelSettings.rotary_base": 10000.0,
    "ModelSettings.tied_head": True,
    "ModelSettings.token_shift": False,
    "ModelSettings.zero_outputs": False,
    "NormalizeSettings.max_mean_word_length": None,
    "NormalizeSettings.max_repeated_lines": None,
    "NormalizeSettings.max_symbols_per_word": None,
    "NormalizeSettings.min_letter_share": None,
    "NormalizeSettings.min_mean_word_length": None,
    "NormalizeSettings.near_duplicates": None,
    "ReportStage.last_test": None,
    "SamplingSettings.min_p": 0.0,
    "SamplingSettings.repetition_penalty": 1.0,
    "SamplingSettings.repetition_window": 64,
    "SamplingSettings.stop": (),
    "SamplingSettings.valid_utf8": False,
    "StressSettings.noise_share": 0.1,
    "TableStage.axes": (),
    "TableStage.changes": {},
    "TableStage.codes": {},
    "TableStage.edited": {},
    "TableStage.experiment": "",
    "TableStage.looks": "once",
    "TableStage.margin": None,
    "TableStage.pinned": {},
    "TableStage.texts": {},
    "TableStage.uncounted": (),
    "TrainingSettings.accumulation": 1,
    "TrainingSettings.batches": "replacement",
    "TrainingSettings.compile": False,
    "TrainingSettings.decay_share": 0.2,
    "TrainingSettings.matrix_rate": 1.0,
    "TrainingSettings.momentum": 0.95,
    "TrainingSettings.muon_iterations": 5,
    "TrainingSettings.muon_separately": False,
    "TrainingSettings.patience": None,
    "TrainingSettings.precision": "fp32",
    "TrainingSettings.stride": None,
}
"""An omitted value is in no key: results that were made with it would silently mean another."""


def test_values_that_are_omitted_stay_what_they_are() -> None:
    found = {
        f"{model.__name__}.{name}": extra["omit_when"]
        for model in settings_models()
        for name, info in model.model_fields.items()
        if "omit_when" in (extra := field_metadata(info))
    }
    assert found == OMITTED_FOR_EVER, "a new one is added here; none is ever changed or removed"


def test_settings_that_code_makes_by_itself_take_no_default_from_outside() -> None:
    """A default is part of a key where an experiment is planned, but not in code of a stage."""
    models = {model.__name__: model for model in settings_models()}
    made = 0
    for file in PACKAGE.rglob("*.py"):
        if is_outside(module_of(file, PACKAGE)):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = node.func.id if is_call_of_name(node) else ""
            if model := models.get(name):
                given = {keyword.arg for keyword in node.keywords}
                fields = model.model_fields.items()
                asked = {n for n, f in fields if not omitted_by_default(f)}
                assert asked <= given, f"{file.name}:{node.lineno} takes defaults"
                made += 1
    assert made


def omitted_by_default(field: FieldInfo) -> bool:
    """Whether leaving the setting out means what it meant before it existed, for ever."""
    extra = field_metadata(field)
    return "omit_when" in extra and bool(field.default == extra["omit_when"])


def is_call_of_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
