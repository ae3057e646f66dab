"""Plan an experiment as a graph of keyed results. Nothing runs.

Each node holds the spec of one result. Keys follow from specs, so a plan says before anything runs
which results are present, which are missing, and which several runs share. Planning imports no
numerical library: it takes milliseconds.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from variorum.base import machine
from variorum.base.components import PACKAGE, module_name
from variorum.base.errors import VariorumError
from variorum.config.canonical import canonical, chosen_components
from variorum.config.model_settings import ImportedSettings
from variorum.config.setting_errors import ConfigError
from variorum.config.setting_layers import NOWHERE, Layered, Place
from variorum.config.training_settings import FinetuneSettings
from variorum.config.types import Settings
from variorum.config.yaml_text import in_yaml
from variorum.corpus.source import SourceSettings
from variorum.corpus.source_kinds import Source
from variorum.identity.fingerprint import Fingerprint, fingerprint
from variorum.identity.package_code import Code
from variorum.identity.spec import Ref, Spec
from variorum.plan import declared, source_lock
from variorum.plan.code_versions import CodeVersion
from variorum.plan.freezing import check_frozen
from variorum.plan.last_test import opened
from variorum.plan.loading import LoadedExperiment
from variorum.stages.registry import MODELS, STAGES, function_of
from variorum.stages.stage import Role
from variorum.store.result import Result

REPORT = "results/finetune/report.html"
"""The page of the current experiment."""

Components = tuple[tuple[str, str], ...]
"""What settings choose: (folder, option) of each."""


@dataclass(frozen=True)
class Node:
    """Hold one result of a plan: its spec, its label, and the nodes it needs.

    places: where in the experiment each section of the spec's settings stands.
    layers: that experiment's settings, which know where each was written.
    version: the package that makes it, where that is not the present one.
    notes: what `run.json` shall say of it beside what its run finds out.
    """

    spec: Spec
    label: str
    upstream: Mapping[str, "Node"]
    code: Fingerprint = field(compare=False)
    places: Mapping[str, Place] = field(default_factory=dict, compare=False)
    layers: Layered = field(default=NOWHERE, compare=False)
    version: CodeVersion | None = field(default=None, compare=False)
    notes: Mapping[str, Any] = field(default_factory=dict, compare=False)
    ref: Ref = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ref", self.spec.ref)

    def __str__(self) -> str:
        return f"{self.ref.stage} {self.label} {self.ref.key}"


@dataclass(frozen=True)
class Plan:
    """Hold keyed nodes by their results, in the order of the flow, the target last."""

    nodes: dict[Ref, Node]
    last: Node

    def of_stage(self, stage: str) -> list[Node]:
        """Return the nodes of one stage."""
        return [node for node in self.nodes.values() if node.ref.stage == stage]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())


class Planner:
    """Collect nodes; equal specs become one node."""

    def __init__(self, root: Path, *, offline: bool, package: Path | Code) -> None:
        self.root = root
        self.offline = offline
        self.package = package if isinstance(package, Code) else Code(package)
        self.nodes: dict[Ref, Node] = {}
        self._readers: dict[Path, Code] = {}
        self._codes: dict[tuple[Path, str, Components], Fingerprint] = {}
        self._pinned: dict[Source, Source] = {}
        self._sizes: dict[Source, int | None] = {}
        self._imports: dict[ImportedSettings, ImportedSettings] = {}

    def code(
        self, stage: str, parts: Components, version: CodeVersion | None = None
    ) -> Fingerprint:
        """Return the fingerprint of a stage's code with the components that its settings choose.

        It is of the present code, or of another version. Raises `ConfigError` if that is no Python.
        """
        reader = self.package if version is None else self._reader(version)
        if (reader.package, stage, parts) not in self._codes:
            try:
                found = fingerprint(function_of(stage), parts, reader)
            except SyntaxError as error:
                if version is None:
                    raise
                raise ConfigError(
                    f"{version.where}: {version.name}: {error.filename}:{error.lineno}: "
                    f"{error.msg}; fix that code"
                ) from None
            self._codes[reader.package, stage, parts] = found
        return self._codes[reader.package, stage, parts]

    def refuse_lacking(self, stage: str, parts: Components, version: CodeVersion) -> None:
        """Raise `ConfigError` if a code version has no such stage, or no such component."""
        modules = [function_of(stage).partition(":")[0], *(module_name(*part) for part in parts)]
        for module in modules:
            if self._reader(version).path(module) is None:
                raise ConfigError(
                    f"{version.where}: {version.name} has no {module}, which these settings need; "
                    "name newer code, or choose what it has"
                )

    def _reader(self, version: CodeVersion) -> Code:
        """Return the reader of a code version, which reads each file once."""
        return self._readers.setdefault(version.package, Code(version.package, version.files))

    def leaf(self, result: Result, label: str) -> Node:
        """Return the node of a stored result: it is never run, so it needs nothing."""
        code = Fingerprint(result.spec.code, result.code)
        return self.nodes.setdefault(result.ref, Node(result.spec, label, {}, code))

    def pinned(self, source: Source) -> Source:
        """Return the source with its SHA-256; each is hashed once."""
        if source not in self._pinned:
            self._pinned[source] = source_lock.pinned(source, self.root, offline=self.offline)
        return self._pinned[source]

    def n_bytes(self, source: Source) -> int | None:
        """Return the bytes of a source here; each is measured once."""
        if source not in self._sizes:
            self._sizes[source] = source.n_bytes_here(self.root)
        return self._sizes[source]

    def pinned_import(self, imported: ImportedSettings) -> ImportedSettings:
        """Return the imported model with its SHA-256; each is hashed once."""
        if imported not in self._imports:
            self._imports[imported] = source_lock.pinned_import(imported, self.root)
        return self._imports[imported]

    def plan(self, last: Node, others: Iterable[Node] = ()) -> Plan:
        """Return all that `last` and the others need, in the order of the flow."""
        order: dict[Ref, Node] = {}

        def visit(node: Node) -> None:
            if node.ref not in order:
                for needed in node.upstream.values():
                    visit(needed)
                order[node.ref] = node

        for node in (*others, last):
            visit(node)
        return Plan(order, last)


class ExperimentPlan:
    """Plan the results of one experiment as stages declare them, each when asked for.

    They are made by the present code, or by another version.
    """

    def __init__(
        self,
        planner: Planner,
        loaded: LoadedExperiment,
        code: CodeVersion | None = None,
        words: Mapping[str, str] | None = None,
    ) -> None:
        """Begin with nothing planned; `words` replace `experiment` and `model` in labels."""
        self.planner = planner
        self.loaded = loaded
        self.experiment = loaded.settings
        self.code_version = code
        self._words = {"experiment": loaded.name, **(words or {})}
        self._made: dict[tuple[str, Role], Node] = {}
        self._given: dict[str, Node] = {}

    @cached_property
    def _facts(self) -> Mapping[str, Any]:
        """Return the settings of stages that no section holds."""
        return {
            "experiment": self.loaded.name,
            "command": experiment_command(self.loaded),
            "last_test": opened(self.planner.root, self.loaded),
        }

    @property
    def nodes(self) -> list[Node]:
        """Return all results of the experiment, in the order of the flow."""
        return [
            self.node(stage, role)
            for stage, declaration in STAGES.items()
            for role in declared.roles_of(declaration, self.experiment)
        ]

    @property
    def label(self) -> str:
        """Return what people call the experiment."""
        return self._words["experiment"]

    def give(self, name: str, node: Node) -> None:
        """Take a node for every input of this name."""
        self._given[name] = node

    def place_model(self, model: Role, node: Node) -> None:
        """Take a node for one of the experiment's models."""
        self._made |= {(stage, model): node for stage in MODELS if STAGES[stage].makes == model}

    def model(self, model: Role) -> Node:
        """Return the node of one of the experiment's models, whichever stage makes it."""
        of = [s for s in MODELS if model in declared.roles_of(STAGES[s], self.experiment)]
        return self.node(of[-1], model)

    def input(self, name: str, stage: str, role: Role) -> Node:
        """Return the node that an input of a result has."""
        inputs = dict(declared.inputs_of(STAGES[stage], role, self.experiment))
        return self.node(*self._chosen(inputs[name]))

    def node(self, stage: str, role: Role) -> Node:
        """Return the result of a stage with this role, planned with all its inputs."""
        if (stage, role) not in self._made:
            declaration = STAGES[stage]
            upstream = {
                name: self._given.get(name) or self.node(*self._chosen(fillings))
                for name, fillings in declared.inputs_of(declaration, role, self.experiment)
            }
            chosen, places = declared.settings_of(
                declaration, role, self.experiment, self._facts, self._pinned
            )
            if "model" in upstream:
                self._refuse_unknown_parts(chosen, upstream["model"], places)
            label = declared.label_of(declaration, role, self._words, chosen)
            self._made[stage, role] = self.keyed(stage, label, chosen, places, upstream)
        return self._made[stage, role]

    def _chosen(self, fillings: list[tuple[str, Role]]) -> tuple[str, Role]:
        """Return the best of what may fill an input, a placed node before all."""
        return next((each for each in fillings if each in self._made), fillings[0])

    def _pinned(self, value: Any, place: Place) -> Any:
        """Return a section's value, with a SHA-256 where it reads bytes from outside."""
        try:
            if isinstance(value, ImportedSettings):
                place = (*place, "path")
                return self.planner.pinned_import(value)
            if isinstance(value, SourceSettings):
                source = self.planner.pinned(value)
                context_length = self.experiment.model.context_length
                source_lock.check_length(source, self.planner.n_bytes(source), context_length)
                return source
        except VariorumError as error:
            where = self.loaded.layers.origin(place)
            raise ConfigError(f"{where}: {'.'.join(place)}: {error}") from None
        return value

    def _refuse_unknown_parts(
        self, chosen: Settings, model: Node, places: Mapping[str, Place]
    ) -> None:
        """Raise `ConfigError` if a fine-tuning freezes what its model lacks."""
        training = getattr(chosen, "training", None)
        parts = model.spec.settings.get("model")
        if not isinstance(training, FinetuneSettings) or parts is None or model.version is not None:
            return  # parts of a model that other code makes are unknown here
        try:
            check_frozen(parts, training.freeze)
        except VariorumError as error:
            place = (*places["training"], "freeze")
            where = self.loaded.layers.origin(place)
            raise ConfigError(f"{where}: {'.'.join(place[:-1])}.{error}") from None

    def keyed(
        self,
        stage: str,
        label: str,
        settings: Settings,
        places: Mapping[str, Place],
        upstream: Mapping[str, Node],
    ) -> Node:
        """Return the node of these settings and inputs.

        `places` tells for each section of `settings` where it stands in the experiment.
        """
        code, version = self._code(stage, tuple(chosen_components(settings)), upstream.values())
        refs = {name: node.ref for name, node in upstream.items()}
        strict = self.experiment.strict_libraries
        libraries = machine.versions(code.libraries) if strict else {}
        spec = Spec(stage, canonical(settings), refs, code.digest, libraries)
        node = Node(spec, label, upstream, code, places, self.loaded.layers, version)
        return self.planner.nodes.setdefault(node.ref, node)

    def _code(
        self, stage: str, parts: Components, upstream: Iterable[Node]
    ) -> tuple[Fingerprint, CodeVersion | None]:
        """Return a stage's code, and the version that runs it if not the present one.

        What a version made only that version reads: a model's own components are chosen by its
        files, and no fingerprint of what evaluates it holds them.
        """
        present = self.planner.code(stage, parts)
        if self.code_version is None:
            return present, None
        self.planner.refuse_lacking(stage, parts, self.code_version)
        code = self.planner.code(stage, parts, self.code_version)
        follows = any(node.version for node in upstream)
        return code, self.code_version if follows or code != present else None


def plan_experiment(
    loaded: LoadedExperiment, root: Path, *, offline: bool = False, package: Path | Code = PACKAGE
) -> Plan:
    """Plan everything from the sources to the report of one experiment.

    With `offline`, a source that has yet to be locked is an error instead of a download.
    """
    planner = Planner(root, offline=offline, package=package)
    planned = ExperimentPlan(planner, loaded)
    report = planned.node("report", Role())
    return planner.plan(report, (node for node in planned.nodes if node is not report))


def experiment_command(loaded: LoadedExperiment) -> str:
    """Return the command that makes this report again.

    It is right where `config/config.yaml` overrides nothing.
    """
    options = [f"experiment={loaded.name}"]
    options += [f"{name}={in_yaml(value)}" for name, value in sorted(loaded.overrides.items())]
    return f"snakemake --cores 4 --config {shlex.join(options)} -- {REPORT}"
