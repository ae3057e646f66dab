"""Plan an ablation: every run of every variant, and the table that compares them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from variorum.base.components import PACKAGE
from variorum.base.errors import VariorumError
from variorum.config.canonical import chosen_components, restored
from variorum.config.setting_errors import ConfigError
from variorum.evaluation.metrics import HEADLINE, METRICS
from variorum.identity.code_diff import diff, first_difference
from variorum.identity.package_code import Code
from variorum.identity.spec import Spec
from variorum.plan import code_versions
from variorum.plan.ablation_loading import (
    LoadedAblation,
    Variant,
    ablation_names,
    load_ablation,
)
from variorum.plan.ablation_settings import CODE_AS, PINNED_AS
from variorum.plan.code_versions import CodeVersion
from variorum.plan.declared import CORPORA
from variorum.plan.experiment import Components, ExperimentPlan, Node, Plan, Planner
from variorum.plan.loading import LoadedExperiment
from variorum.plan.step_times import with_equal_time
from variorum.stages.registry import STAGES, model_of
from variorum.stages.stage import Role
from variorum.stages.table import TableRun, TableStage
from variorum.store import pins
from variorum.store.result import MANIFEST, Result
from variorum.store.store import Store

DIFFS = "diffs"
"""In `run.json` of a table: by variant, what its code changes against that of the baseline."""

CODES = "codes"
"""In `run.json` of a table: by variant that names a code, that code and the commit that it was."""

MODEL_CODE = ("variorum.model",)
"""The modules that decide how many operations a model takes, with those below them."""

MEASURING = ("variorum.stages.evaluate", "variorum.evaluation")
"""The modules that decide what a score is, with those below them."""


def plan_ablation(
    loaded: LoadedAblation, root: Path, *, offline: bool = False, package: Path | Code = PACKAGE
) -> Plan:
    """Plan every run of an ablation up to its table; equal specs are shared.

    The table's inputs are, by run (`rotary/1`), `<run>/model` and its evaluations `<run>/<corpus>`;
    by variant, `<variant>/tokens`, which it was trained on last, and `<variant>/text/<corpus>`; by
    corpus, `baselines/<corpus>`, if the metric is one that baselines have.

    With `offline`, a source or a step time that has yet to be locked is an error.
    """
    loaded = with_equal_time(loaded, root, offline=offline)
    planning = _Planning(loaded, Planner(root, offline=offline, package=package))
    return planning.plan()


def ablation_plans(root: Path) -> Iterator[tuple[str, Plan]]:
    """Yield name and plan of every ablation that can be planned offline."""
    for name in ablation_names(root):
        with suppress(VariorumError):
            yield name, plan_ablation(load_ablation(root, name), root, offline=True)


def table_of(name: str) -> Path:
    """Return the path of an ablation's table in the project."""
    return Path("reports", name, "table.md")


def ablation_command(name: str) -> str:
    """Return the command that makes an ablation's table."""
    return f"snakemake --cores 4 {table_of(name)}"


def _published(manifest: Path) -> Spec | None:
    """Return the spec of a table that lies in its place; None if none does."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return Spec.from_data(json.loads(manifest.read_text(encoding="utf-8"))["spec"])
    return None


@dataclass(frozen=True)
class _Run:
    """Hold one run: its judged model, that training's tokens, its evaluations by corpus."""

    model: Node
    tokens: Node
    evaluations: Mapping[str, Node]

    @property
    def nodes(self) -> list[Node]:
        """Return its last nodes."""
        return [self.model, *self.evaluations.values()]

    def inputs(self, variant: str, run: str) -> dict[str, Node]:
        """Return what the table reads of it, and of its variant."""
        texts = {f"{variant}/text/{c}": e.upstream["text"] for c, e in self.evaluations.items()}
        scores = {f"{run}/{corpus}": each for corpus, each in self.evaluations.items()}
        return {f"{run}/model": self.model, **scores, f"{variant}/tokens": self.tokens, **texts}


@dataclass(frozen=True)
class _Planned:
    """Hold a variant with its first run, and the code that it names."""

    variant: Variant
    version: CodeVersion | None
    run: _Run

    @property
    def called(self) -> str:
        """Return the variant's name with its code, for people."""
        return f"{self.variant.name} ({self.version.name if self.version else 'the working tree'})"


def _way_of(node: Node) -> tuple[str, Components]:
    """Return a node's stage and the components that its settings choose."""
    settings = restored(STAGES[node.spec.stage].settings, dict(node.spec.settings))
    return node.spec.stage, tuple(chosen_components(settings))


def _trainings(model: Node) -> Iterator[Node]:
    """Yield what trained a model, the last training first.

    The code of fine-tuning alone names no parts of a model.
    """
    yield model
    if "model" in model.upstream:
        yield from _trainings(model.upstream["model"])


@dataclass(frozen=True)
class _Planning:
    loaded: LoadedAblation
    planner: Planner

    def plan(self) -> Plan:
        upstream: dict[str, Node] = {}
        runs = []
        planned: dict[str, _Planned] = {}
        for variant in self.loaded.variants.values():
            stored, version = self._pinned_models(variant), self._version_of(variant)
            for name, value, experiment in variant.runs:
                for seed in self.loaded.settings.seeds:
                    own = self._experiment(name, experiment, seed, version)
                    run = self._run(own, variant.last_stage, stored.get(seed))
                    upstream |= run.inputs(variant.name, f"{name}/{seed}")
                    planned.setdefault(variant.name, _Planned(variant, version, run))
                    runs.append(TableRun(run=name, variant=variant.name, seed=seed, value=value))
        self._refuse_other_tokens(upstream)
        self._refuse_other_measures(planned)
        self._refuse_changes_after_a_look(upstream)
        upstream |= self._baselines(planned[self.loaded.settings.baseline])
        return self.planner.plan(self._table(runs, upstream, planned))

    def _version_of(self, variant: Variant) -> CodeVersion | None:
        """Return the code that a variant names, if it names any."""
        if variant.code is None:
            return None
        place = ("variants", variant.name, CODE_AS)
        where = f"{self.loaded.layers.origin(place)}: {'.'.join(place)}"
        package = self.planner.package.files
        try:
            return code_versions.code_version(self.planner.root, variant.code, package, where)
        except VariorumError as error:
            raise ConfigError(f"{where}: {error}") from None

    def _pinned_models(self, variant: Variant) -> dict[int, Result]:
        """Return the pinned model of each seed; nothing of a variant that is trained."""
        if variant.pinned is None:
            return {}
        place = ("variants", variant.name, PINNED_AS)
        return pins.models(
            self.planner.root,
            variant.pinned,
            self.loaded.settings.seeds,
            variant.last_stage,
            f"{self.loaded.layers.origin(place)}: {'.'.join(place)}",
        )

    def _experiment(
        self, name: str, experiment: LoadedExperiment, seed: int, version: CodeVersion | None
    ) -> ExperimentPlan:
        """Return an experiment with another seed, by a code version, called by its run."""
        seeds = {("seed",): self.loaded.layers.origin(("seeds",))}
        layers = replace(experiment.layers, origins=experiment.layers.origins | seeds)
        settings = experiment.settings.model_copy(update={"seed": seed})
        label = f"{self.loaded.name}/{name}/{seed}"
        return ExperimentPlan(
            self.planner,
            replace(experiment, settings=settings, layers=layers),
            version,
            {"experiment": label, "model": label},
        )

    def _run(self, planned: ExperimentPlan, last_stage: str, stored: Result | None) -> _Run:
        judged = model_of(last_stage)
        text = Role(corpus=judged.corpus)
        if stored is not None:
            self._place_pinned(planned, stored, judged)
        evaluations: dict[str, Node] = {
            corpus: planned.node("evaluate", Role(judged.model, corpus))
            for corpus in self.loaded.settings.corpora
        }
        return _Run(planned.model(judged), planned.node("encode", text), evaluations)

    def _place_pinned(self, planned: ExperimentPlan, stored: Result, judged: Role) -> None:
        """Let a pinned model be judged on text that its own tokenizer encodes."""
        own = stored.spec.upstream["tokenizer"]
        tokenizer = planned.input("tokenizer", "encode", Role(corpus=judged.corpus))
        if tokenizer.ref != own:
            result = pins.present(Store(self.planner.root), own, f"the tokenizer of {stored.ref}")
            tokenizer = self.planner.leaf(result, tokenizer.label)
        planned.give("tokenizer", tokenizer)
        planned.place_model(judged, self.planner.leaf(stored, planned.label))

    def _refuse_other_tokens(self, upstream: Mapping[str, Node]) -> None:
        """Raise `ConfigError` if the metric counts by token and tokenizers differ."""
        settings = self.loaded.settings
        tokens = [node for name, node in upstream.items() if name.endswith("/tokens")]
        by_token = METRICS[settings.metric].per == "token"
        if by_token and len({n.upstream["tokenizer"].ref for n in tokens}) > 1:
            raise ConfigError(
                f"{self.loaded.layers.origin(('metric',))}: metric: {settings.metric} counts by "
                f"token, and these variants have different tokenizers; take {HEADLINE.name}"
            )

    def _refuse_other_measures(self, planned: Mapping[str, "_Planned"]) -> None:
        """Raise `ConfigError` if the code that measures is not the same for all variants."""
        baseline = planned[self.loaded.settings.baseline]
        for name, each in planned.items():
            version = each.version or baseline.version
            for corpus, node in each.run.evaluations.items() if version else ():
                own = baseline.run.evaluations[corpus].code
                if node.code == own:
                    continue
                if symbol := first_difference(own.sources, node.code.sources, MEASURING):
                    raise ConfigError(
                        f"{version.where if version else name}: variant {name} would be measured "
                        f"in another way than the baseline, as {symbol} differs; let their code "
                        "measure alike, or keep the models of the other code (`variorum pin`) and "
                        "name them by `pinned`"
                    )

    def _refuse_changes_after_a_look(self, upstream: Mapping[str, Node]) -> None:
        """Raise `ConfigError` if a table of these runs has other seeds or another margin.

        Seeds that are added or dropped break intervals for one look; so does one look more, where
        the table allowed any number of them. A margin is none if the runs were seen before it.
        """
        asked, place = self.loaded.settings, table_of(self.loaded.name)
        known = _published(self.planner.root / place.parent / MANIFEST)
        models = {str(node.ref) for name, node in upstream.items() if name.endswith("/model")}
        if known is None or not models & {str(ref) for ref in known.upstream.values()}:
            return
        seen = sorted({run["seed"] for run in known.settings["runs"]})
        looked = known.settings.get("looks", "once")
        if asked.looks == "once" and (looked == "any" or seen != sorted(asked.seeds)):
            raise ConfigError(
                f"{self.loaded.layers.origin(('seeds',))}: seeds: {place} shows some of these runs "
                f"already, with seeds {', '.join(map(str, seen))} and looks: {looked}, and "
                "intervals for one look are too narrow after another; "
                f"{'keep' if looked == 'any' else 'set'} looks: any, or take other seeds alone"
            )
        if asked.margin not in (None, known.settings.get("margin")):
            named = known.settings.get("margin")
            known_as = "without one" if named is None else f"with {named}"
            raise ConfigError(
                f"{self.loaded.layers.origin(('margin',))}: margin: {place} shows some of these "
                f"runs already, {known_as}, and a margin has to be named before runs are looked "
                "at; leave it as it was, or take other seeds alone"
            )

    def _baselines(self, baseline: "_Planned") -> dict[str, Node]:
        """Return the baselines of each text that the ablation's baseline is scored on."""
        if self.loaded.settings.metric != HEADLINE.name:
            return {}
        found = {}
        for corpus, evaluation in baseline.run.evaluations.items():
            planned = ExperimentPlan(self.planner, baseline.variant.experiment)
            planned.give("text", evaluation.upstream["text"])
            found[f"baselines/{corpus}"] = planned.node("baselines", Role(corpus=corpus))
        return found

    def _diffs(self, planned: Mapping[str, "_Planned"]) -> dict[str, str]:
        """Return by variant what its code changes against the baseline's, where they may differ.

        It is empty if both are the same in all that the variant reaches. Both are looked at with
        the variant's settings.
        """
        baseline = planned[self.loaded.settings.baseline]
        return {
            name: self._diff(baseline, each)
            for name, each in planned.items()
            if each is not baseline
            and (each.version or baseline.version)
            and each.variant.pinned is baseline.variant.pinned is None
        }

    def _diff(self, baseline: "_Planned", other: "_Planned") -> str:
        sources: tuple[dict[str, str], dict[str, str]] = ({}, {})
        same = True
        *others, last = other.run.nodes
        for stage, parts in dict.fromkeys(map(_way_of, self.planner.plan(last, others))):
            codes = [self.planner.code(stage, parts, each.version) for each in (baseline, other)]
            same &= codes[0] == codes[1]
            for side, code in zip(sources, codes, strict=True):
                side.update(code.sources)
        if same:
            return ""
        names = (baseline.variant.name, other.variant.name)
        return f"{other.called} against {baseline.called}\n\n{diff(*sources, names)}"

    def _is_uncounted(self, planned: "_Planned") -> bool:
        """Return whether other code than the present one may define a variant's model."""
        if planned.version is None:
            return planned.variant.pinned is not None
        return any(map(self._has_other_models, _trainings(planned.run.model)))

    def _has_other_models(self, training: Node) -> bool:
        """Return whether a training's code of models is not the present one."""
        present = self.planner.code(*_way_of(training))
        return first_difference(present.sources, training.code.sources, MODEL_CODE) is not None

    def _texts(self, experiment: LoadedExperiment) -> dict[str, str]:
        """Return the source of each corpus that the judged models read, or are scored on."""
        asked = self.loaded.settings
        judged = model_of(asked.last_stage).corpus
        corpora = [c for c in CORPORA if c in (CORPORA[0], judged, *asked.corpora)]
        return {each: getattr(experiment.settings.corpus, each).source.title for each in corpora}

    def _table(
        self,
        runs: Iterable[TableRun],
        upstream: dict[str, Node],
        planned: Mapping[str, "_Planned"],
    ) -> Node:
        diffs = self._diffs(planned)
        pinned_as = {
            name: v.pinned for name, v in self.loaded.variants.items() if v.pinned is not None
        }
        asked = self.loaded.settings
        baseline = self.loaded.variants[asked.baseline].experiment
        settings = TableStage(
            title=asked.title,
            question=asked.question,
            baseline=asked.baseline,
            last_stage=asked.last_stage,
            corpora=asked.corpora,
            metric=asked.metric,
            tuned=next(iter(asked.tune), None),
            command=ablation_command(self.loaded.name),
            runs=tuple(runs),
            experiment=asked.experiment,
            texts=self._texts(baseline),
            changes={name: dict(each.changes) for name, each in self.loaded.variants.items()},
            axes=tuple(asked.grid) if len(asked.grid) > 1 else (),
            margin=asked.margin,
            looks=asked.looks,
            codes={name: v.code for name, v in self.loaded.variants.items() if v.code is not None},
            edited={name: bool(text) for name, text in diffs.items()},
            pinned=pinned_as,
            uncounted=tuple(name for name, each in planned.items() if self._is_uncounted(each)),
        )
        places = {
            **{name: (name,) for name in ("title", "question", "baseline", "corpora", "metric")},
            **{name: (name,) for name in ("experiment", "margin", "looks")},
            "tuned": ("tune",),
        }
        experiment = ExperimentPlan(self.planner, replace(baseline, layers=self.loaded.layers))
        node = experiment.keyed("table", self.loaded.name, settings, places, upstream)
        notes = {
            DIFFS: {name: text for name, text in diffs.items() if text},
            CODES: {name: each.version.name for name, each in planned.items() if each.version},
        }
        return replace(node, notes={name: noted for name, noted in notes.items() if noted})
