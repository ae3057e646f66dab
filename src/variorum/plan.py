"""The plan: an experiment or an ablation as a graph of keyed stages. Nothing runs here.

Each node holds the spec of one result. Keys follow from specs, so a plan says before anything runs
which results are at hand, which are missing, and which several runs share. Planning imports no
numerical library: it takes milliseconds.
"""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from variorum import config, kept, machine, sources
from variorum.components import PACKAGE
from variorum.config import (
    KEPT_AS,
    CorpusSettings,
    ImportedSettings,
    Settings,
    Source,
    canonical,
    chosen_components,
)
from variorum.errors import VariorumError
from variorum.experiments import (
    NOWHERE,
    ConfigError,
    Layered,
    LoadedAblation,
    LoadedExperiment,
    Place,
)
from variorum.fingerprint import Code, Fingerprint, fingerprint
from variorum.store import Ref, Result, Spec, Store

REPORT = "results/finetune/report.html"
"""The page of the current experiment."""

SIDES = ("base", "domain")

YAML_1_1_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
"""Texts that Snakemake's YAML would read as something else."""


@dataclass(frozen=True)
class Node:
    """One result of a plan: its spec, what people call it, and the nodes it needs.

    places: where in the experiment each section of the spec's settings stands.
    layers: that experiment's settings, which know where each was written.
    """

    spec: Spec
    label: str
    upstream: Mapping[str, "Node"]
    code: Fingerprint = field(compare=False)
    places: Mapping[str, Place] = field(default_factory=dict, compare=False)
    layers: Layered = field(default=NOWHERE, compare=False)
    ref: Ref = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ref", self.spec.ref)

    def __str__(self) -> str:
        return f"{self.ref.stage} {self.label} {self.ref.key}"


@dataclass(frozen=True)
class Plan:
    """Keyed nodes by their results, in the order of the flow; the last one is what it is for."""

    nodes: dict[Ref, Node]
    last: Node

    def of_stage(self, stage: str) -> list[Node]:
        """The nodes of one stage."""
        return [node for node in self.nodes.values() if node.ref.stage == stage]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())


class _Planner:
    """Collects nodes; equal specs become one node."""

    def __init__(self, root: Path, *, offline: bool, package: Path | Code) -> None:
        self.root = root
        self.offline = offline
        self.package = package if isinstance(package, Code) else Code(package)
        self.nodes: dict[Ref, Node] = {}
        self._codes: dict[tuple[str, tuple[tuple[str, str], ...]], Fingerprint] = {}
        self._pinned: dict[Source, Source] = {}
        self._imports: dict[ImportedSettings, ImportedSettings] = {}

    def code(self, stage: str, parts: tuple[tuple[str, str], ...]) -> Fingerprint:
        if (stage, parts) not in self._codes:
            function = f"variorum.stages.{stage}:run"
            self._codes[stage, parts] = fingerprint(function, parts, self.package)
        return self._codes[stage, parts]

    def leaf(self, result: Result, label: str) -> Node:
        """A stored result, whatever code made it: it is never run, so it needs nothing."""
        code = Fingerprint(result.spec.code, result.code)
        return self.nodes.setdefault(result.ref, Node(result.spec, label, {}, code))

    def pinned(self, source: Source) -> Source:
        """The source with its SHA-256; each is hashed once, however many runs read it."""
        if source not in self._pinned:
            self._pinned[source] = sources.pinned(source, self.root, offline=self.offline)
        return self._pinned[source]

    def pinned_import(self, imported: ImportedSettings) -> ImportedSettings:
        """The imported model with its SHA-256; each is hashed once."""
        if imported not in self._imports:
            self._imports[imported] = sources.pinned_import(imported, self.root)
        return self._imports[imported]

    def plan(self, last: Node) -> Plan:
        """Everything that `last` needs, in the order of the flow."""
        order: dict[Ref, Node] = {}

        def visit(node: Node) -> None:
            if node.ref not in order:
                for needed in node.upstream.values():
                    visit(needed)
                order[node.ref] = node

        visit(last)
        return Plan(order, last)


class _Stages:
    """The nodes of one experiment, stage by stage."""

    def __init__(self, planner: _Planner, loaded: LoadedExperiment) -> None:
        self.planner = planner
        self.loaded = loaded
        self.experiment = loaded.settings

    def node(
        self,
        stage: str,
        label: str,
        settings: Settings,
        places: Mapping[str, Place],
        **upstream: Node,
    ) -> Node:
        """`places` tells for each section of `settings` where it stands in the experiment."""
        code = self.planner.code(stage, tuple(chosen_components(settings)))
        refs = {name: node.ref for name, node in upstream.items()}
        strict = self.experiment.strict_libraries
        libraries = machine.versions(code.libraries) if strict else {}
        spec = Spec(stage, canonical(settings), refs, code.digest, libraries)
        node = Node(spec, label, upstream, code, places, self.loaded.layers)
        return self.planner.nodes.setdefault(node.ref, node)

    def corpora(self, sides: Iterable[str]) -> dict[str, Node]:
        """The cleaned text of each of these sides that the experiment has."""
        return {
            side: self.corpus(side, corpus)
            for side in sides
            if (corpus := getattr(self.experiment.corpus, side))
        }

    def corpus(self, side: str, corpus: CorpusSettings) -> Node:
        context_length, root = self.experiment.model.context_length, self.planner.root
        place = ("corpus", side)
        try:
            source = self.planner.pinned(corpus.source)
            sources.check_length(source, root, context_length)
        except VariorumError as error:
            where = self.loaded.layers.origin((*place, "source"))
            raise ConfigError(f"{where}: corpus.{side}.source: {error}") from None
        fetched = config.DownloadStage(source=source)
        download = self.node("download", side, fetched, {"source": (*place, "source")})
        settings = config.NormalizeStage(normalize=corpus.normalize, split=corpus.split)
        places = {name: (*place, name) for name in ("normalize", "split")}
        return self.node("normalize", side, settings, places, documents=download)

    def imported(self, imported: ImportedSettings) -> Node:
        """The model that was made elsewhere, which is its own tokenizer."""
        try:
            pinned = self.planner.pinned_import(imported)
        except VariorumError as error:
            where = self.loaded.layers.origin(("imported", "path"))
            raise ConfigError(f"{where}: imported.path: {error}") from None
        settings = config.ImportedStage(imported=pinned, model=self.experiment.model)
        places = {"imported": ("imported",), "model": ("model",)}
        return self.node("imported", imported.path, settings, places)

    def tokenizer(self, texts: dict[str, Node]) -> Node:
        if self.experiment.imported is not None:
            return self.imported(self.experiment.imported)
        chosen = self.experiment.tokenizer
        settings = config.TokenizerStage(tokenizer=chosen)
        used = texts if chosen.train_on == "both" else {"base": texts["base"]}
        places = {"tokenizer": ("tokenizer",)}
        return self.node("tokenizer", chosen.kind, settings, places, **used)

    def encode(self, side: str, text: Node, tokenizer: Node) -> Node:
        return self.node("encode", side, config.EncodeStage(), {}, text=text, tokenizer=tokenizer)

    def pretrain(self, label: str, base: Node, tokenizer: Node) -> Node:
        if self.experiment.imported is not None:
            return self.imported(self.experiment.imported)
        chosen = self.experiment
        settings = config.PretrainStage(
            seed=chosen.seed, model=chosen.model, training=chosen.pretrain
        )
        places = {"seed": ("seed",), "model": ("model",), "training": ("pretrain",)}
        return self.node("pretrain", label, settings, places, tokens=base, tokenizer=tokenizer)

    def finetune(
        self, label: str, model: Node, tokens: Mapping[str, Node], tokenizer: Node
    ) -> Node:
        chosen = self.experiment
        settings = config.FinetuneStage(seed=chosen.seed, training=chosen.finetune)
        places = {"seed": ("seed",), "training": ("finetune",)}
        inputs = {"model": model, "tokens": tokens["domain"], "tokenizer": tokenizer}
        if chosen.finetune.replay:
            inputs["replayed"] = tokens["base"]
        return self.node("finetune", label, settings, places, **inputs)

    def evaluate(self, label: str, model: Node, **corpus: Node) -> Node:
        """`corpus` are the cleaned `text` and its `tokens`."""
        settings = config.EvaluateStage(evaluate=self.experiment.evaluate)
        places = {"evaluate": ("evaluate",)}
        return self.node("evaluate", label, settings, places, model=model, **corpus)

    def stress(self, label: str, model: Node, **corpus: Node) -> Node:
        settings = config.StressStage(stress=self.experiment.stress)
        return self.node("stress", label, settings, {"stress": ("stress",)}, model=model, **corpus)

    def report(self, label: str, **upstream: Node) -> Node:
        chosen = self.experiment
        settings = config.ReportStage(
            title=chosen.title,
            experiment=self.loaded.name,
            command=experiment_command(self.loaded),
            notes={str(side): note for side, note in chosen.report.notes.items()},
        )
        places = {"title": ("title",), "notes": ("report", "notes")}
        return self.node("report", label, settings, places, **upstream)


def plan_experiment(
    loaded: LoadedExperiment, root: Path, *, offline: bool = False, package: Path | Code = PACKAGE
) -> Plan:
    """Everything from the sources to the report of one experiment.

    With `offline`, a source that has yet to be locked is an error instead of a download.
    """
    planner = _Planner(root, offline=offline, package=package)
    stages = _Stages(planner, loaded)
    texts = stages.corpora(SIDES)
    tokenizer = stages.tokenizer(texts)
    tokens = {side: stages.encode(side, text, tokenizer) for side, text in texts.items()}
    label = loaded.name
    models = {"pretrained": stages.pretrain(label, tokens["base"], tokenizer)}
    if "domain" in tokens:
        models["finetuned"] = stages.finetune(label, models["pretrained"], tokens, tokenizer)
    evaluations = {
        f"{name}_on_{side}": stages.evaluate(
            f"{name} on {side}", model, text=texts[side], tokens=tokens[side]
        )
        for name, model in models.items()
        for side in texts
    }
    stresses = {
        f"stress_{name}": stages.stress(name, model, tokens=tokens[_side_of(name)])
        for name, model in models.items()
    }
    corpora = {f"text_{side}": text for side, text in texts.items()}
    corpora |= {f"tokens_{side}": encoded for side, encoded in tokens.items()}
    downloads = {f"source_{side}": text.upstream["documents"] for side, text in texts.items()}
    figures = stages.node(
        "figures", label, config.FiguresStage(), {}, **models, **corpora, **evaluations
    )
    report = stages.report(
        label,
        figures=figures,
        tokenizer=tokenizer,
        **downloads,
        **models,
        **corpora,
        **evaluations,
        **stresses,
    )
    return planner.plan(report)


def plan_ablation(
    loaded: LoadedAblation, root: Path, *, offline: bool = False, package: Path | Code = PACKAGE
) -> Plan:
    """Every run of an ablation up to its table; runs share all results whose specs are equal."""
    ablation = loaded.settings
    planner = _Planner(root, offline=offline, package=package)
    kept_models = {
        variant: kept.models(
            root,
            name,
            ablation.seeds,
            ablation.last_stage,
            f"{loaded.layers.origin(('variants', variant, KEPT_AS))}: variants.{variant}.{KEPT_AS}",
        )
        for variant, name in loaded.kept.items()
    }
    upstream: dict[str, Node] = {}
    rows = []
    for variant, experiment in loaded.variants.items():
        origins = experiment.layers.origins | {("seed",): loaded.layers.origin(("seeds",))}
        layers = replace(experiment.layers, origins=origins)
        for seed in ablation.seeds:
            settings = experiment.settings.model_copy(update={"seed": seed})
            stages = _Stages(planner, replace(experiment, settings=settings, layers=layers))
            label = f"{loaded.name}/{variant}/{seed}"
            if variant in loaded.kept:
                run = _plan_kept_run(stages, ablation, label, kept_models[variant][seed])
            else:
                run = _plan_run(stages, ablation, label)
            upstream[f"{variant}/{seed}"] = run
            upstream[f"{variant}/{seed}/model"] = run.upstream["model"]
            rows.append(config.TableRow(variant=variant, seed=seed))
    asked = replace(loaded.variants[ablation.baseline], layers=loaded.layers)
    table = _Stages(planner, asked).node(
        "table",
        loaded.name,
        config.TableStage(
            title=ablation.title,
            question=ablation.question,
            baseline=ablation.baseline,
            corpus=ablation.corpus,
            command=ablation_command(loaded.name),
            rows=tuple(rows),
        ),
        {name: (name,) for name in ("title", "question", "baseline", "corpus")},
        **upstream,
    )
    return planner.plan(table)


def _plan_run(stages: _Stages, ablation: config.Ablation, label: str) -> Node:
    """One variant with one seed, up to its evaluation."""
    needed = {"base", ablation.corpus} | (
        {"domain"} if ablation.last_stage == "finetune" else set()
    )
    if stages.experiment.tokenizer.train_on == "both":
        needed.add("domain")
    texts = stages.corpora(sorted(needed))
    tokenizer = stages.tokenizer(texts)
    tokens = {side: stages.encode(side, text, tokenizer) for side, text in texts.items()}
    model = stages.pretrain(label, tokens["base"], tokenizer)
    if ablation.last_stage == "finetune":
        model = stages.finetune(label, model, tokens, tokenizer)
    corpus = {"text": texts[ablation.corpus], "tokens": tokens[ablation.corpus]}
    return stages.evaluate(label, model, **corpus)


def _plan_kept_run(stages: _Stages, ablation: config.Ablation, label: str, stored: Result) -> Node:
    """The evaluation of a kept model, by today's code, on text that its own tokenizer encodes."""
    planner, side = stages.planner, ablation.corpus
    both = stages.experiment.tokenizer.train_on == "both"
    texts = stages.corpora(sorted({"base", side} | ({"domain"} if both else set())))
    tokenizer, own = stages.tokenizer(texts), stored.spec.upstream["tokenizer"]
    if tokenizer.ref != own:
        result = kept.at_hand(Store(planner.root), own, f"the tokenizer of {stored.ref}")
        tokenizer = planner.leaf(result, tokenizer.label)
    tokens = stages.encode(side, texts[side], tokenizer)
    return stages.evaluate(label, planner.leaf(stored, label), text=texts[side], tokens=tokens)


def _side_of(model: str) -> str:
    return "base" if model == "pretrained" else "domain"


def experiment_command(loaded: LoadedExperiment) -> str:
    """The command that makes this report again, where `config/config.yaml` overrides nothing."""
    options = [f"experiment={loaded.name}"]
    options += [f"{name}={in_yaml(value)}" for name, value in sorted(loaded.overrides.items())]
    return f"snakemake --cores 4 --config {shlex.join(options)} -- {REPORT}"


def ablation_command(name: str) -> str:
    """The command that makes an ablation's table."""
    return f"snakemake --cores 4 reports/{name}/table.md"


def in_yaml(value: Any) -> str:
    """A value as YAML's flow style writes it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {in_yaml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(in_yaml, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, str):
        return str(value)
    plain = re.fullmatch(r"[A-Za-z][\w./-]*", value) and value.lower() not in YAML_1_1_WORDS
    return value if plain else json.dumps(value, ensure_ascii=False)
