"""Open models and list runs from Python: `variorum.open()` and `variorum.runs()`.

A reference names a model as everywhere (`references`); without one, the current fine-tuned model
or, without a domain, the pretrained or imported one.

Text is computed with one thread, as by the commands: a small model gains nothing from more, and on
a busy machine they wait for each other, which takes about ten times as long. Between pieces PyTorch
has the caller's number of threads, and `opened.model` always has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from variorum.base.errors import VariorumError
from variorum.base.machine import Device, computing_on, computing_with_one_thread
from variorum.base.project import find_project
from variorum.config.canonical import with_omitted
from variorum.config.evaluation_settings import SamplingSettings
from variorum.config.setting_checks import check
from variorum.config.setting_layers import leaves
from variorum.config.types import MOST_SEED
from variorum.evaluation.metrics import METRICS
from variorum.identity.code_diff import first_difference
from variorum.identity.spec import Ref
from variorum.plan.ablation import MODEL_CODE, ablation_plans
from variorum.plan.current_code import current_code
from variorum.plan.experiment import plan_experiment
from variorum.plan.loading import load_experiment
from variorum.plan.references import find
from variorum.report.adopted import Adoption
from variorum.stages.registry import MODELS, STAGES
from variorum.store.result import Result
from variorum.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from variorum.generation.text import Account, Prompt, Streamed, Written
    from variorum.model.gpt import GPT
    from variorum.tokenizer.base import Tokenizer

SAMPLING = "sampling"  # name of the section of given settings in messages


@dataclass(frozen=True)
class Opened:
    """Hold a trained model with its tokenizer, ready to use.

    model: in evaluation mode, `model(ids (B, T)) -> logits (B, T, V)`.
    """

    ref: Ref
    folder: Path
    model: GPT
    tokenizer: Tokenizer

    @cached_property
    def edited(self) -> str | None:
        """Return a definition of models that was edited since this was trained, if any.

        The present code may then compute something else with its weights. Reading the code takes
        most of a second, so it happens only on access.
        """
        store = Store(self.folder.parents[2])
        return _edited(store, store.open(self.ref))

    @property
    def parameters(self) -> int:
        """Return the number of weights."""
        return self.model.n_parameters

    def stream(
        self,
        prompt: Prompt = "",
        settings: SamplingSettings | None = None,
        *,
        use_cache: bool = True,
    ) -> Pieces:
        """Return the continuation of `prompt` piece by piece, and its `account`.

        `prompt` is text or token ids.
        """
        from variorum.generation.text import stream_text

        chosen = settings or SamplingSettings()
        written = stream_text(self.model, self.tokenizer, prompt, chosen, use_cache=use_cache)
        return Pieces(written)

    def sample(self, prompt: Prompt = "", **settings: Any) -> str:
        """Return the continuation of `prompt`; keywords are fields of `SamplingSettings`."""
        return "".join(self.stream(prompt, check(SamplingSettings, settings, SAMPLING)))

    def samples(
        self, prompts: Sequence[Prompt], *, seeds: Sequence[int] | None = None, **settings: Any
    ) -> list[Written]:
        """Return the continuations of several prompts, computed together.

        Each equals the continuation of its prompt alone. `seeds` holds one for each prompt; by
        default they count up from `seed`.
        """
        from variorum.generation.text import continue_texts

        first = check(SamplingSettings, settings, SAMPLING)
        if seeds is None:
            seeds = [(first.seed + number) % (MOST_SEED + 1) for number in range(len(prompts))]
        if len(seeds) != len(prompts):
            raise VariorumError(
                f"seeds: {len(seeds)} for {len(prompts)} prompts; give one for each"
            )
        chosen = [check(SamplingSettings, {**settings, "seed": seed}, SAMPLING) for seed in seeds]
        with computing_with_one_thread():
            return continue_texts(self.model, self.tokenizer, prompts, chosen)


class Pieces(Iterator[str]):
    """Yield the pieces of a text, each computed with one thread; `account` reports so far."""

    def __init__(self, written: Streamed) -> None:
        self._written = written

    def __next__(self) -> str:
        """Return the next piece, which is not empty."""
        with computing_with_one_thread():
            return next(self._written)

    @property
    def account(self) -> Account:
        """Return how the text was written so far."""
        return self._written.account


def open(
    reference: str | Path | None = None,
    *,
    root: Path | None = None,
    device: Device = "cpu",
    weights: Literal["float32", "int8"] = "float32",
) -> Opened:
    """Return the model that `reference` names in the project around `root`.

    `root` is by default the working directory. With weights of `int8`, the model's matrices are
    rounded to 8 bits (`model.int8`). Raises `VariorumError` if no such result, several,
    or no such device are here.
    """
    from variorum.model import checkpoint, int8
    from variorum.tokenizer.serialization import load as load_tokenizer

    result = find(reference, root=root)
    if result.ref.stage not in MODELS:
        stages = " or ".join(reversed(MODELS))
        raise VariorumError(f"{result.ref} is no model; name a result of {stages} (`variorum ls`)")
    computing_on(device)
    model = checkpoint.load(result.folder)
    if weights == "int8":
        int8.rounded(model)
    model = model.to(device)
    tokenizer = load_tokenizer(result.file("tokenizer.json"))
    return Opened(result.ref, result.folder, model, tokenizer)


def _edited(store: Store, result: Result) -> str | None:
    """Return the first definition of models that was edited since training.

    A fine-tuned model has the parts of its pretrained model.
    """
    code = current_code(result.spec)
    if code is not None and code.digest != result.spec.code and result.code:
        found = first_difference(result.code, code.sources, MODEL_CODE)
        if found is not None:
            return found
    upstream = result.spec.upstream.get("model")
    if upstream is None or not store.exists(upstream):
        return None
    return _edited(store, store.open(upstream))


def runs(*, root: Path | None = None) -> pd.DataFrame:
    """Return every model with settings, metrics, cost and key, one row each.

    A fine-tuned model's row has the settings `model.…` of its pretrained model, and its key as
    `pretrained`.
    """
    import pandas as pd

    store = Store(find_project(root))
    labels = _labels(store)
    scores = _scores(store)
    rows = []
    for stage in MODELS:
        for ref in store.refs(stage):
            result = store.open(ref)
            run, adoption = result.run, Adoption.of(result.adopted)
            rows.append(
                {
                    "key": ref.key,
                    "stage": stage,
                    "label": labels.get(ref, run.get("label")),
                    **{".".join(place): v for place, v in leaves(_settings(store, result))},
                    **result.json("metrics.json"),
                    **scores.get(ref, {}),
                    "seconds": run.get("seconds"),
                    "tokens_per_second": run.get("tokens_per_second"),
                    "host": run.get("host"),
                    "adopted": str(adoption) if adoption else None,
                }
            )
    return pd.DataFrame(rows)


def _settings(store: Store, result: Result) -> dict[str, Any]:
    """Return a model's settings, with the values that its key omits."""
    spec = result.spec
    settings = with_omitted(STAGES[spec.ref.stage].settings, dict(spec.settings))
    beginning = spec.upstream.get("model")
    if beginning is not None:
        settings["pretrained"] = beginning.key
        if store.exists(beginning):
            settings["model"] = _settings(store, store.open(beginning))["model"]
    return settings


def _labels(store: Store) -> dict[Ref, str]:
    """Return the current plans' label of each result."""
    nodes = [node for _, plan in ablation_plans(store.root) for node in plan]
    with suppress(VariorumError):  # what cannot be planned may still have results
        nodes += plan_experiment(load_experiment(store.root), store.root, offline=True)
    return {node.ref: node.label for node in nodes}


def _scores(store: Store) -> dict[Ref, dict[str, float]]:
    """Return every metric of each evaluated model, by the corpus's label.

    The name of what dynamic evaluation measured begins with `adaptive_`.
    """
    found: dict[Ref, dict[str, float]] = {}
    for ref in chain.from_iterable(map(store.refs, ("evaluate", "dynamic"))):
        result = store.open(ref)
        upstream = result.spec.upstream
        metrics = result.json("metrics.json")
        kind = "adaptive_" if ref.stage == "dynamic" else ""
        text = upstream["text"]
        side = store.open(text).run.get("label", text.key) if store.exists(text) else text.key
        for metric in METRICS.values():
            with suppress(KeyError):  # an older evaluation may lack newer metrics
                name = f"{kind}{metric.name}_{side}"
                found.setdefault(upstream["model"], {})[name] = metric.of(metrics)
    return found
