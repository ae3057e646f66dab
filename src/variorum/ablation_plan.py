"""The plan of an ablation: every run of every variant, up to the table that compares them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from variorum import config, kept
from variorum.ablations import LoadedAblation, Variant
from variorum.components import PACKAGE
from variorum.config import KEPT_AS, OF_TOKENS
from variorum.experiments import ConfigError, LoadedExperiment
from variorum.fingerprint import Code
from variorum.plan import Node, Plan, Planner, Stages
from variorum.store import Result, Store


def plan_ablation(
    loaded: LoadedAblation, root: Path, *, offline: bool = False, package: Path | Code = PACKAGE
) -> Plan:
    """Every run of an ablation up to its table; runs share all results whose specs are equal.

    The table's inputs are, by run (`rotary/1`), `<run>/model` and its evaluations `<run>/<corpus>`;
    by variant, `<variant>/tokens`, which it was trained on last, and `<variant>/text/<corpus>`.

    With `offline`, a source that has yet to be locked is an error instead of a download.
    """
    planning = _Planning(loaded, Planner(root, offline=offline, package=package))
    return planning.plan()


def ablation_command(name: str) -> str:
    """The command that makes an ablation's table."""
    return f"snakemake --cores 4 reports/{name}/table.md"


@dataclass(frozen=True)
class _Run:
    """One run: its judged model, the tokens of that training, and its evaluations by corpus."""

    model: Node
    tokens: Node
    evaluations: Mapping[str, Node]

    def inputs(self, variant: str, run: str) -> dict[str, Node]:
        """What the table reads of it, and of its variant."""
        texts = {f"{variant}/text/{c}": e.upstream["text"] for c, e in self.evaluations.items()}
        scores = {f"{run}/{corpus}": each for corpus, each in self.evaluations.items()}
        return {f"{run}/model": self.model, **scores, f"{variant}/tokens": self.tokens, **texts}


@dataclass(frozen=True)
class _Planning:
    loaded: LoadedAblation
    planner: Planner

    def plan(self) -> Plan:
        upstream: dict[str, Node] = {}
        runs = []
        for variant in self.loaded.variants.values():
            stored = self._kept(variant)
            for name, value, experiment in variant.runs:
                for seed in self.loaded.settings.seeds:
                    stages = self._stages(experiment, seed)
                    run = self._run(stages, variant, f"{name}/{seed}", stored.get(seed))
                    upstream |= run.inputs(variant.name, f"{name}/{seed}")
                    runs.append(
                        config.TableRun(run=name, variant=variant.name, seed=seed, value=value)
                    )
        self._refuse_other_tokens(upstream)
        return self.planner.plan(self._table(runs, upstream))

    def _kept(self, variant: Variant) -> dict[int, Result]:
        """The kept model of each seed, of a variant that consists of such."""
        if variant.kept is None:
            return {}
        place = ("variants", variant.name, KEPT_AS)
        return kept.models(
            self.planner.root,
            variant.kept,
            self.loaded.settings.seeds,
            variant.last_stage,
            f"{self.loaded.layers.origin(place)}: {'.'.join(place)}",
        )

    def _stages(self, experiment: LoadedExperiment, seed: int) -> Stages:
        """The stages of an experiment with another seed."""
        seeds = {("seed",): self.loaded.layers.origin(("seeds",))}
        layers = replace(experiment.layers, origins=experiment.layers.origins | seeds)
        settings = experiment.settings.model_copy(update={"seed": seed})
        return Stages(self.planner, replace(experiment, settings=settings, layers=layers))

    def _run(self, stages: Stages, variant: Variant, name: str, stored: Result | None) -> _Run:
        label, corpora = f"{self.loaded.name}/{name}", self.loaded.settings.corpora
        trained_on = "domain" if variant.last_stage == "finetune" else "base"
        needed = {"base", trained_on, *corpora}
        if stages.experiment.tokenizer.train_on == "both":
            needed.add("domain")
        texts = stages.corpora(sorted(needed))
        tokenizer = stages.tokenizer(texts)
        if stored is not None:
            tokenizer = self._tokenizer_of(stored, tokenizer)
        tokens = {side: stages.encode(side, text, tokenizer) for side, text in texts.items()}
        if stored is not None:
            model = self.planner.leaf(stored, label)
        else:
            model = stages.pretrain(label, tokens["base"], tokenizer)
            if variant.last_stage == "finetune":
                model = stages.finetune(label, model, tokens, tokenizer)
        evaluations: dict[str, Node] = {
            side: stages.evaluate(
                _evaluated(label, side, corpora), model, text=texts[side], tokens=tokens[side]
            )
            for side in corpora
        }
        return _Run(model, tokens[trained_on], evaluations)

    def _tokenizer_of(self, stored: Result, planned: Node) -> Node:
        """A kept model is judged, by today's code, on text that its own tokenizer encodes."""
        own = stored.spec.upstream["tokenizer"]
        if planned.ref == own:
            return planned
        result = kept.at_hand(Store(self.planner.root), own, f"the tokenizer of {stored.ref}")
        return self.planner.leaf(result, planned.label)

    def _refuse_other_tokens(self, upstream: Mapping[str, Node]) -> None:
        """Raise `ConfigError` if the metric counts by token and tokenizers differ."""
        settings = self.loaded.settings
        tokens = [node for name, node in upstream.items() if name.endswith("/tokens")]
        if settings.metric in OF_TOKENS and len({n.upstream["tokenizer"].ref for n in tokens}) > 1:
            raise ConfigError(
                f"{self.loaded.layers.origin(('metric',))}: metric: {settings.metric} counts by "
                "token, and these variants have different tokenizers; take bits_per_byte"
            )

    def _table(self, runs: Iterable[config.TableRun], upstream: dict[str, Node]) -> Node:
        asked = self.loaded.settings
        baseline = self.loaded.variants[asked.baseline].experiment
        settings = config.TableStage(
            title=asked.title,
            question=asked.question,
            baseline=asked.baseline,
            last_stage=asked.last_stage,
            corpora=asked.corpora,
            metric=asked.metric,
            tuned=next(iter(asked.tune), None),
            command=ablation_command(self.loaded.name),
            runs=tuple(runs),
        )
        places = {
            **{name: (name,) for name in ("title", "question", "baseline", "corpora", "metric")},
            "tuned": ("tune",),
        }
        stages = Stages(self.planner, replace(baseline, layers=self.loaded.layers))
        return stages.node("table", self.loaded.name, settings, places, **upstream)


def _evaluated(label: str, side: str, corpora: tuple[str, ...]) -> str:
    """What an evaluation is called; the corpus is said where there are several."""
    return label if len(corpora) == 1 else f"{label} on {side}"
