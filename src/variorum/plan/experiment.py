"""The plan: an experiment as a graph of keyed stages; `ablation_plan` joins many. Nothing runs.

Each node holds the spec of one result. Keys follow from specs, so a plan says before anything runs
which results are at hand, which are missing, and which several runs share. Planning imports no
numerical library: it takes milliseconds.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from variorum.base import machine
from variorum.base.components import PACKAGE, module_name
from variorum.base.errors import VariorumError
from variorum.config.canonical import canonical, chosen_components
from variorum.config.layers import NOWHERE, Layered, Place
from variorum.config.model_settings import ImportedSettings
from variorum.config.setting_errors import ConfigError
from variorum.config.types import Settings
from variorum.config.yaml_text import in_yaml
from variorum.corpus.source_kinds import Source
from variorum.identity.code import Code
from variorum.identity.fingerprint import Fingerprint, fingerprint
from variorum.identity.spec import Ref, Spec
from variorum.plan import declared, source_lock
from variorum.plan.code_versions import CodeVersion
from variorum.plan.experiment_settings import CorpusSettings
from variorum.plan.loading import LoadedExperiment
from variorum.stages.download import DownloadStage
from variorum.stages.encode import EncodeStage
from variorum.stages.evaluate import EvaluateStage
from variorum.stages.figures import FiguresStage
from variorum.stages.finetune import FinetuneStage
from variorum.stages.imported import ImportedStage
from variorum.stages.normalize import NormalizeStage
from variorum.stages.pretrain import PretrainStage
from variorum.stages.registry import STAGES, function_of
from variorum.stages.report import ReportStage
from variorum.stages.stage import Scope
from variorum.stages.stress import StressStage
from variorum.stages.tokenizer import TokenizerStage
from variorum.store.result import Result

REPORT = "results/finetune/report.html"
"""The page of the current experiment."""

SIDES = ("base", "domain")

Components = tuple[tuple[str, str], ...]
"""What settings choose: (folder, option) of each."""


@dataclass(frozen=True)
class Node:
    """One result of a plan: its spec, what people call it, and the nodes it needs.

    places: where in the experiment each section of the spec's settings stands.
    layers: that experiment's settings, which know where each was written.
    tree: the package that makes it, where that is not the present one.
    notes: what `run.json` shall say of it beside what its run finds out.
    """

    spec: Spec
    label: str
    upstream: Mapping[str, "Node"]
    code: Fingerprint = field(compare=False)
    places: Mapping[str, Place] = field(default_factory=dict, compare=False)
    layers: Layered = field(default=NOWHERE, compare=False)
    tree: CodeVersion | None = field(default=None, compare=False)
    notes: Mapping[str, Any] = field(default_factory=dict, compare=False)
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


class Planner:
    """Collects nodes; equal specs become one node."""

    def __init__(self, root: Path, *, offline: bool, package: Path | Code) -> None:
        self.root = root
        self.offline = offline
        self.package = package if isinstance(package, Code) else Code(package)
        self.nodes: dict[Ref, Node] = {}
        self._readers: dict[Path, Code] = {}
        self._codes: dict[tuple[Path, str, Components], Fingerprint] = {}
        self._pinned: dict[Source, Source] = {}
        self._imports: dict[ImportedSettings, ImportedSettings] = {}

    def code(self, stage: str, parts: Components, tree: CodeVersion | None = None) -> Fingerprint:
        """Fingerprint of a stage's code with the components that its settings choose.

        It is the present one, or that of another tree. Raises `ConfigError` if that is no Python.
        """
        reader = self.package if tree is None else self._reader(tree)
        if (reader.package, stage, parts) not in self._codes:
            try:
                found = fingerprint(function_of(stage), parts, reader)
            except SyntaxError as error:
                if tree is None:
                    raise
                raise ConfigError(
                    f"{tree.where}: {tree.name}: {error.filename}:{error.lineno}: {error.msg}; "
                    "mend that code"
                ) from None
            self._codes[reader.package, stage, parts] = found
        return self._codes[reader.package, stage, parts]

    def refuse_lacking(self, stage: str, parts: Components, tree: CodeVersion) -> None:
        """Raise `ConfigError` if a tree has no such stage, or no such component."""
        modules = [function_of(stage).partition(":")[0], *(module_name(*part) for part in parts)]
        for module in modules:
            if self._reader(tree).path(module) is None:
                raise ConfigError(
                    f"{tree.where}: {tree.name} has no {module}, which these settings need; name "
                    "newer code, or choose what it has"
                )

    def _reader(self, tree: CodeVersion) -> Code:
        """What was read of a tree, once for all."""
        return self._readers.setdefault(tree.package, Code(tree.package, tree.files))

    def leaf(self, result: Result, label: str) -> Node:
        """A stored result, whatever code made it: it is never run, so it needs nothing."""
        code = Fingerprint(result.spec.code, result.code)
        return self.nodes.setdefault(result.ref, Node(result.spec, label, {}, code))

    def pinned(self, source: Source) -> Source:
        """The source with its SHA-256; each is hashed once, however many runs read it."""
        if source not in self._pinned:
            self._pinned[source] = source_lock.pinned(source, self.root, offline=self.offline)
        return self._pinned[source]

    def pinned_import(self, imported: ImportedSettings) -> ImportedSettings:
        """The imported model with its SHA-256; each is hashed once."""
        if imported not in self._imports:
            self._imports[imported] = source_lock.pinned_import(imported, self.root)
        return self._imports[imported]

    def plan(self, last: Node, others: Iterable[Node] = ()) -> Plan:
        """Everything that `last` and the others need, in the order of the flow."""
        order: dict[Ref, Node] = {}

        def visit(node: Node) -> None:
            if node.ref not in order:
                for needed in node.upstream.values():
                    visit(needed)
                order[node.ref] = node

        for node in (*others, last):
            visit(node)
        return Plan(order, last)


class Stages:
    """The nodes of one experiment, stage by stage; by the present code, or that of another tree."""

    def __init__(
        self, planner: Planner, loaded: LoadedExperiment, tree: CodeVersion | None = None
    ) -> None:
        self.planner = planner
        self.tree = tree
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
        code, tree = self._code(stage, tuple(chosen_components(settings)), upstream.values())
        refs = {name: node.ref for name, node in upstream.items()}
        strict = self.experiment.strict_libraries
        libraries = machine.versions(code.libraries) if strict else {}
        spec = Spec(stage, canonical(settings), refs, code.digest, libraries)
        node = Node(spec, label, upstream, code, places, self.loaded.layers, tree)
        return self.planner.nodes.setdefault(node.ref, node)

    def _code(
        self, stage: str, parts: Components, upstream: Iterable[Node]
    ) -> tuple[Fingerprint, CodeVersion | None]:
        """The code of a stage, and the tree that runs it where the present one does not.

        What a tree made only that tree reads: a model's own components are chosen by its files,
        and no fingerprint of what evaluates it holds them.
        """
        present = self.planner.code(stage, parts)
        if self.tree is None:
            return present, None
        self.planner.refuse_lacking(stage, parts, self.tree)
        code = self.planner.code(stage, parts, self.tree)
        follows = any(node.tree for node in upstream)
        return code, self.tree if follows or code != present else None

    def corpora(self, sides: Iterable[str]) -> dict[str, Node]:
        """The cleaned text of each of these sides that the experiment has."""
        return {
            side: self.corpus(side, corpus)
            for side in sides
            if (corpus := getattr(self.experiment.corpus, side))
        }

    def corpus(self, side: str, corpus: CorpusSettings) -> Node:
        """The cleaned text of one side."""
        context_length, root = self.experiment.model.context_length, self.planner.root
        place = ("corpus", side)
        try:
            source = self.planner.pinned(corpus.source)
            source_lock.check_length(source, root, context_length)
        except VariorumError as error:
            where = self.loaded.layers.origin((*place, "source"))
            raise ConfigError(f"{where}: corpus.{side}.source: {error}") from None
        fetched = DownloadStage(source=source)
        download = self.node("download", side, fetched, {"source": (*place, "source")})
        settings = NormalizeStage(normalize=corpus.normalize, split=corpus.split)
        places = {name: (*place, name) for name in ("normalize", "split")}
        return self.node("normalize", side, settings, places, documents=download)

    def imported(self, imported: ImportedSettings) -> Node:
        """The model that was made elsewhere, which is its own tokenizer."""
        try:
            pinned = self.planner.pinned_import(imported)
        except VariorumError as error:
            where = self.loaded.layers.origin(("imported", "path"))
            raise ConfigError(f"{where}: imported.path: {error}") from None
        settings = ImportedStage(imported=pinned, model=self.experiment.model)
        places = {"imported": ("imported",), "model": ("model",)}
        return self.node("imported", imported.path, settings, places)

    def tokenizer(self, texts: dict[str, Node]) -> Node:
        """The tokenizer that these texts train, or that the imported model brings."""
        if self.experiment.imported is not None:
            return self.imported(self.experiment.imported)
        chosen = self.experiment.tokenizer
        settings = TokenizerStage(tokenizer=chosen)
        used = texts if chosen.train_on == "both" else {"base": texts["base"]}
        places = {"tokenizer": ("tokenizer",)}
        return self.node("tokenizer", chosen.kind, settings, places, **used)

    def encode(self, side: str, text: Node, tokenizer: Node) -> Node:
        """The token files of one side."""
        return self.node("encode", side, EncodeStage(), {}, text=text, tokenizer=tokenizer)

    def pretrain(self, label: str, base: Node, tokenizer: Node) -> Node:
        """The model that is trained on the tokens of `base`, or imported."""
        if self.experiment.imported is not None:
            return self.imported(self.experiment.imported)
        chosen = self.experiment
        settings = PretrainStage(seed=chosen.seed, model=chosen.model, training=chosen.pretrain)
        places = {"seed": ("seed",), "model": ("model",), "training": ("pretrain",)}
        return self.node("pretrain", label, settings, places, tokens=base, tokenizer=tokenizer)

    def finetune(
        self, label: str, model: Node, tokens: Mapping[str, Node], tokenizer: Node
    ) -> Node:
        """The model trained on, on the domain's tokens, with those of the base where it replays."""
        chosen = self.experiment
        settings = FinetuneStage(seed=chosen.seed, training=chosen.finetune)
        places = {"seed": ("seed",), "training": ("finetune",)}
        inputs = {"model": model, "tokens": tokens["domain"], "tokenizer": tokenizer}
        if chosen.finetune.replay:
            inputs["replayed"] = tokens["base"]
        return self.node("finetune", label, settings, places, **inputs)

    def evaluate(self, label: str, model: Node, **corpus: Node) -> Node:
        """A model's scores; `corpus` are the cleaned `text` and its `tokens`."""
        settings = EvaluateStage(evaluate=self.experiment.evaluate)
        places = {"evaluate": ("evaluate",)}
        return self.node("evaluate", label, settings, places, model=model, **corpus)

    def stress(self, label: str, model: Node, **corpus: Node) -> Node:
        """A model's stress cases; `corpus` are the `tokens` that it is held against."""
        settings = StressStage(stress=self.experiment.stress)
        return self.node("stress", label, settings, {"stress": ("stress",)}, model=model, **corpus)

    def report(self, label: str, **upstream: Node) -> Node:
        """The page that stands on these."""
        chosen = self.experiment
        settings = ReportStage(
            title=chosen.title,
            experiment=self.loaded.name,
            command=experiment_command(self.loaded),
            notes={str(side): note for side, note in chosen.report.notes.items()},
        )
        places = {"title": ("title",), "notes": ("report", "notes")}
        return self.node("report", label, settings, places, **upstream)

    def declared(self, scopes: Mapping[Scope, Mapping[str, list[Node]]]) -> list[Node]:
        """The results of stages that declare themselves what an experiment has one of."""
        found = []
        for name, stage in STAGES.items():
            for label, nodes in scopes[stage.per].items() if stage.per else ():
                if inputs := declared.inputs_of(stage, nodes):
                    chosen, places = declared.settings_of(stage, self.experiment)
                    found.append(self.node(name, label, chosen, places, **inputs))
                    nodes.append(found[-1])
        return found


def plan_experiment(
    loaded: LoadedExperiment, root: Path, *, offline: bool = False, package: Path | Code = PACKAGE
) -> Plan:
    """Everything from the sources to the report of one experiment.

    With `offline`, a source that has yet to be locked is an error instead of a download.
    """
    planner = Planner(root, offline=offline, package=package)
    stages = Stages(planner, loaded)
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
        "figures",
        label,
        FiguresStage(),
        {},
        **downloads,
        **models,
        **corpora,
        **evaluations,
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
    scopes: dict[Scope, dict[str, list[Node]]] = {
        "corpus": {s: [t.upstream["documents"], t, tokenizer, tokens[s]] for s, t in texts.items()},
        "model": {n: [texts[_side_of(n)], tokens[_side_of(n)], m] for n, m in models.items()},
        "experiment": {label: list(planner.plan(report))},
    }
    return planner.plan(report, stages.declared(scopes))


def _side_of(model: str) -> str:
    return "base" if model == "pretrained" else "domain"


def experiment_command(loaded: LoadedExperiment) -> str:
    """The command that makes this report again, where `config/config.yaml` overrides nothing."""
    options = [f"experiment={loaded.name}"]
    options += [f"{name}={in_yaml(value)}" for name, value in sorted(loaded.overrides.items())]
    return f"snakemake --cores 4 --config {shlex.join(options)} -- {REPORT}"
