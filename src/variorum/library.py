"""Two ways in for people: `variorum.open()` gives a model, `variorum.runs()` a table of all.

Every command takes the same references: nothing (the current fine-tuned model, or the pretrained
one without a domain), a stage (`pretrain`), a run of an ablation (`positions/rotary/1`), the
beginning of a key, or a path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from variorum.config import AnySettings, SamplingSettings
from variorum.errors import VariorumError
from variorum.experiments import ablation_names, load_ablation, load_experiment
from variorum.plan import Node, plan_ablation, plan_experiment
from variorum.project import find_project
from variorum.report.adoption import Adoption
from variorum.store import MANIFEST, Ref, Result, Store

if TYPE_CHECKING:
    import pandas as pd

    from variorum.model.gpt import GPT
    from variorum.tokenizer.base import Tokenizer

MODELS = ("finetune", "pretrain")


@dataclass(frozen=True)
class Opened:
    """A trained model with its tokenizer, ready to use.

    model: in evaluation mode, `model(ids (B, T)) -> logits (B, T, V)`.
    """

    ref: Ref
    folder: Path
    model: GPT
    tokenizer: Tokenizer

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.model.n_parameters

    def stream(
        self, prompt: str = "", settings: SamplingSettings | None = None, *, use_cache: bool = True
    ) -> Iterator[str]:
        """The continuation of `prompt`, piece by piece."""
        from variorum.generation.text import stream_text

        chosen = settings or SamplingSettings()
        yield from stream_text(self.model, self.tokenizer, prompt, chosen, use_cache=use_cache)

    def sample(self, prompt: str = "", **settings: Any) -> str:
        """The continuation of `prompt`; settings are those of `config.SamplingSettings`."""
        return "".join(self.stream(prompt, checked(SamplingSettings, **settings)))


def open(reference: str | Path | None = None, *, root: Path | None = None) -> Opened:
    """The model that `reference` names, of the project that `root` lies in (the working directory).

    Raises `VariorumError` if there is no such result, or more than one.
    """
    from variorum.model import files
    from variorum.tokenizer.files import load as load_tokenizer

    result = find(reference, root=root)
    if result.ref.stage not in MODELS:
        raise VariorumError(
            f"{result.ref} is no model; name a result of {' or '.join(MODELS)} (`variorum ls`)"
        )
    model = files.load(result.folder)
    tokenizer = load_tokenizer(result.file("tokenizer.json"))
    return Opened(result.ref, result.folder, model, tokenizer)


def find(reference: str | Path | None = None, *, root: Path | None = None) -> Result:
    """The result that `reference` names."""
    store, ref = locate(reference, root=root)
    return store.open(ref)


def locate(reference: str | Path | None = None, *, root: Path | None = None) -> tuple[Store, Ref]:
    """The name of the result that `reference` names, which may be missing or damaged."""
    if reference is not None and (Path(reference) / MANIFEST).is_file():
        return _at(Path(reference).resolve())
    store = Store(find_project(root))
    return store, _ref(None if reference is None else str(reference), store)


def _at(folder: Path) -> tuple[Store, Ref]:
    """The result in `folder`, of whichever project it is part."""
    ref = Ref(folder.parent.name, folder.name)
    store = Store(Path(*folder.parts[:-3]))
    if store.folder(ref) != folder:
        raise VariorumError(f"{folder}: a result lies in results/STAGE/KEY of a project; name one")
    return store, ref


def _ref(reference: str | None, store: Store) -> Ref:
    plan = None
    if reference is None or reference in _stages():
        plan = plan_experiment(load_experiment(store.root), store.root, offline=True)
    if reference is None:
        assert plan is not None
        return next(nodes[-1].ref for stage in MODELS if (nodes := plan.of_stage(stage)))
    if plan is not None:
        return _only(reference, [node.ref for node in plan.of_stage(reference)])
    if reference.split("/")[0] in ablation_names(store.root) and reference.count("/") == 2:
        return _run_of_ablation(reference, store)
    stage, _, start = reference.rpartition("/")
    return _only(reference, [ref for ref in store.refs(stage or None) if ref.key.startswith(start)])


def _stages() -> tuple[str, ...]:
    from variorum.config import STAGES

    return tuple(STAGES)


def _run_of_ablation(reference: str, store: Store) -> Ref:
    """The model of `ablation/variant/seed`."""
    name = reference.split("/")[0]
    plan = plan_ablation(load_ablation(store.root, name), store.root, offline=True)
    evaluation = plan.last.upstream.get(reference.removeprefix(f"{name}/"))
    if evaluation is None:
        raise VariorumError(
            f"{reference}: no such run; known are "
            + ", ".join(f"{name}/{run}" for run in plan.last.upstream if run.count("/") == 1)
        )
    return evaluation.upstream["model"].ref


def _only(reference: str, found: list[Ref]) -> Ref:
    if len(found) == 1:
        return found[0]
    if not found:
        raise VariorumError(f"{reference}: no result is called that; `variorum ls` shows what is")
    names = ", ".join([*(str(ref) for ref in found[:5]), *(["..."] if len(found) > 5 else [])])
    raise VariorumError(f"{reference} names {len(found)} results ({names}); give one of them")


def checked(model: type[AnySettings], **values: Any) -> AnySettings:
    """Settings given by hand, checked like the configuration's."""
    try:
        return model(**values)
    except ValidationError as error:
        fault = error.errors()[0]
        name = ".".join(map(str, fault["loc"]))
        raise VariorumError(f"{name}: {fault['input']!r}: {fault['msg']}") from None


def runs(*, root: Path | None = None) -> pd.DataFrame:
    """Every model and its evaluations: settings, metrics, cost and key, one row a model."""
    import pandas as pd

    store = Store(find_project(root))
    labels = _labels(store)
    scores = _scores(store)
    rows = []
    for stage in reversed(MODELS):
        for ref in store.refs(stage):
            result = store.open(ref)
            run, adoption = result.run, Adoption.of(result.adopted)
            rows.append(
                {
                    "key": ref.key,
                    "stage": stage,
                    "label": labels.get(ref, run.get("label")),
                    **_flat(result.spec.settings),
                    **result.json("metrics.json"),
                    **scores.get(ref, {}),
                    "seconds": run.get("seconds"),
                    "tokens_per_second": run.get("tokens_per_second"),
                    "host": run.get("host"),
                    "adopted": str(adoption) if adoption else None,
                }
            )
    return pd.DataFrame(rows)


def _labels(store: Store) -> dict[Ref, str]:
    """What the current plans call each result."""
    nodes: list[Node] = []
    for name in ablation_names(store.root):
        with suppress(VariorumError):  # what cannot be planned now can have results all the same
            nodes += plan_ablation(load_ablation(store.root, name), store.root, offline=True)
    with suppress(VariorumError):
        nodes += plan_experiment(load_experiment(store.root), store.root, offline=True)
    return {node.ref: node.label for node in nodes}


def _scores(store: Store) -> dict[Ref, dict[str, float]]:
    """Bits per byte of each evaluated model, by what the corpus was called when it was made."""
    found: dict[Ref, dict[str, float]] = {}
    for ref in store.refs("evaluate"):
        result = store.open(ref)
        upstream = result.spec.upstream
        score = result.json("metrics.json")["bits_per_byte"]
        text = upstream["text"]
        side = store.open(text).run.get("label", text.key) if store.exists(text) else text.key
        found.setdefault(upstream["model"], {})[f"bits_per_byte_{side}"] = score
    return found


def _flat(settings: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{place}{name}.")
        else:
            flat[f"{place}{name}"] = value
    return flat
