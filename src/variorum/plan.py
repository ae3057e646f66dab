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

from variorum import config, sources
from variorum.components import PACKAGE
from variorum.config import CorpusSettings, Experiment, Settings, canonical, chosen_components
from variorum.errors import VariorumError
from variorum.experiments import ConfigError, LoadedAblation, LoadedExperiment
from variorum.fingerprint import Fingerprint, fingerprint
from variorum.store import Ref, Spec

REPORT = "results/finetune/report.html"
"""The page of the current experiment."""

SIDES = ("base", "domain")

YAML_1_1_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
"""Texts that Snakemake's YAML would read as something else."""


@dataclass(frozen=True)
class Node:
    """One result of a plan: its spec, what people call it, and the nodes it needs."""

    spec: Spec
    label: str
    upstream: Mapping[str, "Node"]
    code: Fingerprint = field(compare=False)
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

    def __init__(self, root: Path, *, offline: bool, package: Path) -> None:
        self.root = root
        self.offline = offline
        self.package = package
        self.nodes: dict[Ref, Node] = {}
        self._codes: dict[tuple[str, tuple[tuple[str, str], ...]], Fingerprint] = {}

    def node(self, stage: str, label: str, settings: Settings, **upstream: Node) -> Node:
        parts = tuple(chosen_components(settings))
        code = self._code(stage, parts)
        refs = {name: node.ref for name, node in upstream.items()}
        node = Node(Spec(stage, canonical(settings), refs, code.digest), label, upstream, code)
        return self.nodes.setdefault(node.ref, node)

    def _code(self, stage: str, parts: tuple[tuple[str, str], ...]) -> Fingerprint:
        if (stage, parts) not in self._codes:
            function = f"variorum.stages.{stage}:run"
            self._codes[stage, parts] = fingerprint(function, parts, self.package)
        return self._codes[stage, parts]

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

    # The flow, stage by stage

    def corpora(self, loaded: LoadedExperiment, sides: Iterable[str]) -> dict[str, Node]:
        """The cleaned text of each of these sides that the experiment has."""
        return {
            side: self.corpus(side, corpus, loaded)
            for side in sides
            if (corpus := getattr(loaded.settings.corpus, side))
        }

    def corpus(self, side: str, corpus: CorpusSettings, loaded: LoadedExperiment) -> Node:
        context_length = loaded.settings.model.context_length
        try:
            source = sources.pinned(corpus.source, self.root, offline=self.offline)
            sources.check_length(source, self.root, context_length)
        except VariorumError as error:
            where = loaded.layers.origin(("corpus", side, "source"))
            raise ConfigError(f"{where}: corpus.{side}.source: {error}") from None
        download = self.node("download", side, config.DownloadStage(source=source))
        settings = config.NormalizeStage(normalize=corpus.normalize, split=corpus.split)
        return self.node("normalize", side, settings, documents=download)

    def tokenizer(self, experiment: Experiment, texts: dict[str, Node]) -> Node:
        settings = config.TokenizerStage(tokenizer=experiment.tokenizer)
        used = texts if experiment.tokenizer.train_on == "both" else {"base": texts["base"]}
        return self.node("tokenizer", experiment.tokenizer.kind, settings, **used)

    def encode(self, side: str, text: Node, tokenizer: Node) -> Node:
        return self.node("encode", side, config.EncodeStage(), text=text, tokenizer=tokenizer)

    def pretrain(self, experiment: Experiment, label: str, base: Node, tokenizer: Node) -> Node:
        settings = config.PretrainStage(
            seed=experiment.seed, model=experiment.model, training=experiment.pretrain
        )
        return self.node("pretrain", label, settings, tokens=base, tokenizer=tokenizer)

    def finetune(
        self, experiment: Experiment, label: str, model: Node, domain: Node, tokenizer: Node
    ) -> Node:
        settings = config.FinetuneStage(seed=experiment.seed, training=experiment.finetune)
        inputs = {"model": model, "tokens": domain, "tokenizer": tokenizer}
        return self.node("finetune", label, settings, **inputs)

    def evaluate(self, settings: Experiment, label: str, model: Node, **corpus: Node) -> Node:
        """`corpus` are the cleaned `text` and its `tokens`."""
        stage = config.EvaluateStage(evaluate=settings.evaluate)
        return self.node("evaluate", label, stage, model=model, **corpus)

    def stress(self, experiment: Experiment, label: str, model: Node, **corpus: Node) -> Node:
        stage = config.StressStage(stress=experiment.stress)
        return self.node("stress", label, stage, model=model, **corpus)


def plan_experiment(
    loaded: LoadedExperiment, root: Path, *, offline: bool = False, package: Path = PACKAGE
) -> Plan:
    """Everything from the sources to the report of one experiment.

    With `offline`, a source that has yet to be locked is an error instead of a download.
    """
    experiment = loaded.settings
    planner = _Planner(root, offline=offline, package=package)
    texts = planner.corpora(loaded, SIDES)
    tokenizer = planner.tokenizer(experiment, texts)
    tokens = {side: planner.encode(side, text, tokenizer) for side, text in texts.items()}
    label = loaded.name
    models = {"pretrained": planner.pretrain(experiment, label, tokens["base"], tokenizer)}
    if "domain" in tokens:
        models["finetuned"] = planner.finetune(
            experiment, label, models["pretrained"], tokens["domain"], tokenizer
        )
    evaluations = {
        f"{name}_on_{side}": planner.evaluate(
            experiment, f"{name} on {side}", model, text=texts[side], tokens=tokens[side]
        )
        for name, model in models.items()
        for side in texts
    }
    stresses = {
        f"stress_{name}": planner.stress(experiment, name, model, tokens=tokens[_side_of(name)])
        for name, model in models.items()
    }
    corpora = {f"text_{side}": text for side, text in texts.items()}
    corpora |= {f"tokens_{side}": encoded for side, encoded in tokens.items()}
    downloads = {f"source_{side}": text.upstream["documents"] for side, text in texts.items()}
    figures = planner.node("figures", label, config.FiguresStage(), **models, **corpora)
    report = planner.node(
        "report",
        label,
        config.ReportStage(
            title=experiment.title,
            experiment=loaded.name,
            command=experiment_command(loaded),
            notes={str(side): note for side, note in experiment.report.notes.items()},
        ),
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
    loaded: LoadedAblation, root: Path, *, offline: bool = False, package: Path = PACKAGE
) -> Plan:
    """Every run of an ablation up to its table; runs share all results whose specs are equal."""
    ablation = loaded.settings
    planner = _Planner(root, offline=offline, package=package)
    upstream: dict[str, Node] = {}
    rows = []
    for variant, experiment in loaded.variants.items():
        for seed in ablation.seeds:
            settings = experiment.settings.model_copy(update={"seed": seed})
            seeded = replace(experiment, settings=settings)
            name = f"{loaded.name}/{variant}/{seed}"
            run = _plan_run(planner, ablation, seeded, name)
            upstream[f"{variant}/{seed}"] = run
            upstream[f"{variant}/{seed}/model"] = run.upstream["model"]
            rows.append(config.TableRow(variant=variant, seed=seed))
    table = planner.node(
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
        **upstream,
    )
    return planner.plan(table)


def _plan_run(
    planner: _Planner, ablation: config.Ablation, loaded: LoadedExperiment, label: str
) -> Node:
    """One variant with one seed, up to its evaluation."""
    experiment = loaded.settings
    needed = {"base", ablation.corpus} | (
        {"domain"} if ablation.last_stage == "finetune" else set()
    )
    if experiment.tokenizer.train_on == "both":
        needed.add("domain")
    texts = planner.corpora(loaded, sorted(needed))
    tokenizer = planner.tokenizer(experiment, texts)
    tokens = {side: planner.encode(side, text, tokenizer) for side, text in texts.items()}
    model = planner.pretrain(experiment, label, tokens["base"], tokenizer)
    if ablation.last_stage == "finetune":
        model = planner.finetune(experiment, label, model, tokens["domain"], tokenizer)
    corpus = {"text": texts[ablation.corpus], "tokens": tokens[ablation.corpus]}
    return planner.evaluate(experiment, label, model, **corpus)


def _side_of(model: str) -> str:
    return "base" if model == "pretrained" else "domain"


def experiment_command(loaded: LoadedExperiment) -> str:
    """The command that makes this report again, where `config/config.yaml` overrides nothing."""
    options = [f"experiment={loaded.name}"]
    options += [f"{name}={_flow(value)}" for name, value in sorted(loaded.overrides.items())]
    return f"snakemake --cores 4 --config {shlex.join(options)} -- {REPORT}"


def ablation_command(name: str) -> str:
    """The command that makes an ablation's table."""
    return f"snakemake --cores 4 reports/{name}/table.md"


def _flow(value: Any) -> str:
    """A value as YAML's flow style writes it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, str):
        return str(value)
    plain = re.fullmatch(r"[A-Za-z][\w./-]*", value) and value.lower() not in YAML_1_1_WORDS
    return value if plain else json.dumps(value, ensure_ascii=False)
