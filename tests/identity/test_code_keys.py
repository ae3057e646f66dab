"""Edits of code change the keys of the stages that reach it, of those after them, and no others.

Every way that a stage can be planned is held against what it runs (`oracles.reach`) and against
edits of each definition of the package (`oracles.edits`). No edited code is ever imported.
"""

import ast
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from random import Random
from types import CodeType
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML

import flow
import peers
from apis import TOKEN, arxiv_answer, genius_answer
from conftest import Record, add_micro_experiment, copy_project
from loopback import served
from oracles import edits, reach
from variorum.base import machine
from variorum.base.components import CONTRACTS, PACKAGE, module_name, options
from variorum.base.errors import VariorumError
from variorum.base.machine import Machine
from variorum.config.canonical import chosen_components, restored
from variorum.config.model_settings import ModelSettings
from variorum.config.training_settings import TrainingSettings
from variorum.config.types import Settings, field_metadata
from variorum.corpus import genius_client
from variorum.corpus.fetching import FetchContext
from variorum.corpus.source import SOURCES
from variorum.corpus.sources import python_package
from variorum.corpus.sources.arxiv import ArxivSource
from variorum.corpus.sources.genius import GeniusSource
from variorum.identity.code import OUTSIDE_NAME, Code, is_outside
from variorum.identity.fingerprint import MEANINGS, Fingerprint, fingerprint
from variorum.identity.modules import LOOSE
from variorum.identity.recorded import is_definition
from variorum.identity.spec import Ref
from variorum.plan import current_code
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.experiment import Node, Plan, plan_experiment
from variorum.plan.loading import LoadedExperiment, load_experiment, named_experiment
from variorum.run import runner
from variorum.stages.registry import STAGES
from variorum.store.result import sha256_of
from variorum.store.store import Store

TEXT = "".join(f"Line {i} tells of the sun, the moon and {i * i} stars.\n" for i in range(900))
PURE = "jinja2"  # a small package that is installed here anyway

OTHER = """
title: The other choice of everything
corpus:
  base:
    source: {{kind: url, url: "http://127.0.0.1:9/text.txt", sha256: {text}}}
    split: {{by: position}}
  domain:
    source: {{kind: python-package, package: {package}, version: {version}, part: docstrings,
              sha256: {digest}}}
    split: {{val_fraction: 0.3, test_fraction: 0.3}}
tokenizer: {{kind: bpe, vocab_size: 300}}
model: {{n_layer: 1, n_head: 2, n_embd: 16, context_length: 8, positions: rotary}}
pretrain: {{batch_size: 4, max_steps: 4, warmup_steps: 1, val_interval: 2, val_tokens: 64}}
finetune: {{batch_size: 4, max_steps: 4, warmup_steps: 1, val_interval: 2, val_tokens: 64}}
stress: {{prompts: ["the "], sampling: {{max_tokens: 8}}, case_tokens: 16}}
"""
OF_APIS = """
title: Answers of servers
corpus:
  base: {{source: {{kind: arxiv, query: "all:testing", max_results: 10, page_size: 10,
                    api: "{papers}/", sha256: "{papers_sha256}"}}}}
  domain: {{source: {{kind: genius, artists: [Mü], api: "{songs}/api/", site: "{songs}/site/",
                      sha256: "{songs_sha256}"}}}}
"""
OF_FILES = """
title: Rows and made-up words
corpus:
  base: {source: {kind: csv, path: rows, text: "{a} {b}", id: a,
                  where: [{column: b, matches: n}]}}
  domain: {source: {kind: synthetic, documents: 3, length: 50}}
model: {context_length: 8}
"""
ROWS = {"a.csv": "a;b\n1;one\n2;none\n3\n", "b.jsonl": '{"a": 4, "b": "nine"}\n[]\n'}
OF_IMPORT = """
title: A model of others
imported: {path: models/gpt2}
corpus: {base: {source: {kind: files, path: texts/base}}, domain: null}
"""
BESIDES: tuple[dict[str, dict[str, Any]], ...] = (
    {},
    {"model": {"token_shift": True, "ngrams": [2], "qk_norm": True}},
    {"model": {"document_attention": True}, "pretrain": {"patience": 2}},
    {"model": {"norm_position": "after", "tied_head": False}},
    {"pretrain": {"precision": "bf16", "accumulation": 2}},
)
"""What models and trainings have besides components, for one variant each."""


def kinds() -> dict[str, Any]:
    """An ablation whose variants take every component of models and trainings."""
    sections = {"model": ModelSettings, "pretrain": TrainingSettings}
    variants: dict[str, dict[str, dict[str, Any]]] = {}
    for section, settings in sections.items():
        for name, field in settings.model_fields.items():
            if folder := field_metadata(field).get("component"):
                for number, option in enumerate(options(folder)):
                    variant = variants.setdefault(f"kind {number}", {})
                    variant.setdefault(section, {})[name] = option
    for number, besides in enumerate(BESIDES):
        for section, values in besides.items():
            variants[f"kind {number}"].setdefault(section, {}).update(values)
    return {
        "title": "One of each kind",
        "question": "Is there a difference?",
        "experiment": "micro",
        "variants": variants,
        "baseline": "kind 0",
        "seeds": [1, 2],
    }


@dataclass(frozen=True, order=True)
class Way:
    """A way that a stage can be planned: with these components."""

    stage: str
    parts: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return " ".join([self.stage, *(option for _, option in self.parts)])

    @property
    def roots(self) -> list[str]:
        """Where its code begins, as `module:name`."""
        roots = [f"variorum.stages.{self.stage}:run"]
        for part in self.parts:
            module = import_module(module_name(*part))
            asked = (name for name in CONTRACTS[part[0]] if hasattr(module, name))
            roots += [f"{module.__name__}:{name}" for name in asked]
        return roots

    def fingerprint(self, code: Code) -> str:
        """Of the package as `code` read it."""
        return fingerprint(self.roots[0], self.parts, code).digest


def way_of(node: Node) -> Way:
    """How a node was planned."""
    settings = restored(STAGES[node.spec.stage].settings, dict(node.spec.settings))
    return Way(node.spec.stage, tuple(chosen_components(settings)))


def planned(root: Path, package: Path = PACKAGE) -> list[Plan]:
    """The plans of the project: two experiments and an ablation."""
    loaded: list[LoadedExperiment] = [load_experiment(root), named_experiment(root, "other")]
    plans = [plan_experiment(each, root, offline=True, package=package) for each in loaded]
    for name in ("of_apis", "of_files"):  # of these, how they get their text is enough
        plan = plan_experiment(named_experiment(root, name), root, offline=True, package=package)
        downloads = plan.of_stage("download")
        plans.append(Plan({node.ref: node for node in downloads}, downloads[-1]))
    of_import = named_experiment(root, "of_import")
    plan = plan_experiment(of_import, root, offline=True, package=package)
    evaluation = plan.of_stage("evaluate")[0]
    up_to = list(plan.nodes).index(evaluation.ref) + 1
    plans.append(Plan(dict(list(plan.nodes.items())[:up_to]), evaluation))
    ablation = load_ablation(root, "kinds")
    return [*plans, plan_ablation(ablation, root, offline=True, package=package)]


@pytest.fixture(scope="module")
def apis() -> Iterator[tuple[str, str]]:
    """Addresses of servers that answer as arXiv and as Genius."""
    with (
        pytest.MonkeyPatch.context() as patch,
        served(arxiv_answer) as papers,
        served(genius_answer) as songs,
    ):
        patch.setattr(genius_client, "_PAUSE", 0.0)
        patch.setenv(genius_client.TOKEN, TOKEN)
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield papers.address, songs.address


@pytest.fixture(scope="module")
def project_root(tmp_path_factory: pytest.TempPathFactory, apis: tuple[str, str]) -> Path:
    """A project that plans every stage, source, tokenizer and position encoding."""
    project = copy_project(tmp_path_factory.mktemp("code_keys") / "project")
    add_micro_experiment(project)
    mirror = project.root / "mirror"
    mirror.mkdir()
    (mirror / "text.txt").write_text(TEXT)
    facts = {
        "text": sha256_of(mirror / "text.txt"),
        "package": PURE,
        "version": version(PURE),
        "digest": python_package.digest(PURE),
    }
    (project.root / "config/experiments/other.yaml").write_text(OTHER.format(**facts))
    (project.root / "config/experiments/of_import.yaml").write_text(OF_IMPORT)
    peers.save_gpt2(project.root / "models/gpt2", [TEXT])
    (project.root / "rows").mkdir()
    for name, content in ROWS.items():
        (project.root / "rows" / name).write_text(content)
    (project.root / "config/experiments/of_files.yaml").write_text(OF_FILES)
    nowhere = "0" * 64
    of_apis = OF_APIS.format(
        papers=apis[0], songs=apis[1], papers_sha256=nowhere, songs_sha256=nowhere
    )
    (project.root / "config/experiments/of_apis.yaml").write_text(of_apis)
    context = FetchContext(project.root, tmp_path_factory.mktemp("answers"), (), str)
    corpus = named_experiment(project.root, "of_apis").settings.corpus
    assert isinstance(corpus.base.source, ArxivSource)
    assert corpus.domain is not None
    assert isinstance(corpus.domain.source, GeniusSource)
    of_apis = OF_APIS.format(
        papers=apis[0],
        songs=apis[1],
        papers_sha256=corpus.base.source.held(context)[0],
        songs_sha256=corpus.domain.source.held(context)[0],
    )
    (project.root / "config/experiments/of_apis.yaml").write_text(of_apis)
    for file in (project.root / "config/ablations").iterdir():
        file.unlink()
    with (project.root / "config/ablations/kinds.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(kinds(), file)
    return project.root


@pytest.fixture(scope="module")
def plans(project_root: Path) -> list[Plan]:
    return planned(project_root)


@pytest.fixture(scope="module")
def ways(plans: list[Plan]) -> list[Way]:
    return sorted({way_of(node) for plan in plans for node in plan})


@pytest.fixture(scope="module")
def evidence(project_root: Path, plans: list[Plan]) -> dict[Ref, reach.Evidence]:
    """What ran for each result, seen while the plans were carried out; one page is enough."""
    for file in PACKAGE.rglob("*.py"):
        import_module(reach.module_of(file, PACKAGE))  # what runs on import is another test's
    found: dict[Ref, reach.Evidence] = {}
    store = Store(project_root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VARIORUM_MIRRORS", str(project_root / "mirror"))
        for node in chain.from_iterable(plans):
            if node.ref in found:
                continue
            if is_page(node) and plans[0].last.ref in found:
                found[node.ref] = reach.Evidence()
                continue
            runner.submit(store, node.spec, node.label)
            with reach.watched(PACKAGE) as found[node.ref]:
                runner.run(store, node.ref, Machine())
    return found


def is_page(node: Node) -> bool:
    return node.ref.stage in ("figures", "report")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package's source, to edit; whoever edits puts it back."""
    target = tmp_path_factory.mktemp("code") / "variorum"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def module_of(code: CodeType) -> str:
    return reach.module_of(Path(code.co_filename), PACKAGE)


def held(node: Node) -> set[str]:
    """Everything that the key of a node stands on: its code and that of all it is made from."""
    names = set(node.code.sources)
    return names.union(*(held(needed) for needed in node.upstream.values()))


def test_the_plans_here_take_every_stage_and_every_component(ways: list[Way]) -> None:
    assert {way.stage for way in ways} == set(STAGES)
    folders = {folder for way in ways for folder, _ in way.parts}
    assert {part for way in ways for part in way.parts} == {
        (folder, file.stem.replace("_", "-") if folder == SOURCES else file.stem)
        for folder in folders
        for file in (PACKAGE / folder).glob("[!_]*.py")
    }


def test_components_are_found_wherever_in_the_settings_they_are_chosen() -> None:
    class Many(Settings):
        models: tuple[ModelSettings, ...]
        trainings: dict[str, TrainingSettings]

    rotary = ModelSettings(positions="rotary")
    assert chosen_components(Many(models=(rotary,), trainings={"one": TrainingSettings()})) == [
        ("model/attentions", "fused"),
        ("model/feed_forwards", "gelu"),
        ("model/norms", "layer"),
        ("model/positions", "rotary"),
        ("training/batch_orders", "replacement"),
        ("training/optimizers", "adamw"),
        ("training/schedules", "cosine"),
    ]


# What ran is in the key


def test_every_function_that_ran_is_in_the_key(
    plans: list[Plan], evidence: dict[Ref, reach.Evidence], record_property: Record
) -> None:
    ran: set[tuple[Way, str]] = set()
    for node in chain.from_iterable(plans):
        inside = held(node)
        for code in evidence[node.ref].codes:
            name = reach.definition_of(code, PACKAGE)
            if "<" not in name and not is_outside(module_of(code)):
                ran.add((way_of(node), name))
                assert name in inside, f"{name} ran for {node} and is not in its key"
    assert len(ran) > 300
    record_property("functions that ran, by way of a stage", len(ran))


def test_every_constant_that_what_ran_names_is_in_the_key(
    plans: list[Plan], evidence: dict[Ref, reach.Evidence]
) -> None:
    compiled = reach.Compiled(PACKAGE)
    named: set[str] = set()
    for node in chain.from_iterable(plans):
        inside = held(node)
        for code in evidence[node.ref].codes:
            module = module_of(code)
            if is_outside(module):
                continue
            for local in code.co_names:
                statements = compiled.modules[module].statements.get(local, [])
                if any(isinstance(each, ast.Assign | ast.AnnAssign) for each in statements):
                    named.add(f"{module}:{local}")
                    assert f"{module}:{local}" in inside
    assert len(named) > 40


def test_every_file_that_was_read_is_in_the_key(
    plans: list[Plan], evidence: dict[Ref, reach.Evidence]
) -> None:
    read = set()
    for node in chain.from_iterable(plans):
        for file in evidence[node.ref].opened:
            if file.suffix not in (".py", ".pyc"):
                read.add(file.relative_to(PACKAGE).as_posix())
                assert file.relative_to(PACKAGE).as_posix() in node.code.sources
    assert read == data_files(PACKAGE)


def data_files(package: Path) -> set[str]:
    """Everything in the package that is no code."""
    return {
        file.relative_to(package).as_posix()
        for file in package.rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc")
    }


# Edits that change nothing


def digests(ways: list[Way], package: Path) -> dict[Way, str]:
    code = Code(package)
    return {way: way.fingerprint(code) for way in ways}


@pytest.fixture(scope="module")
def before(ways: list[Way], package: Path) -> dict[Way, str]:
    return digests(ways, package)


def test_a_copy_has_the_fingerprints_that_were_planned(
    plans: list[Plan], before: dict[Way, str]
) -> None:
    for node in chain.from_iterable(plans):
        assert before[way_of(node)] == node.spec.code


@pytest.mark.parametrize("edit", edits.SILENT)
def test_no_key_changes_with(
    edit: str, ways: list[Way], tmp_path: Path, before: dict[Way, str]
) -> None:
    """Every file of the package is edited at once."""
    copy = tmp_path / "variorum"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    edited = 0
    for file in copy.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        new = edits.SILENT[edit](text)
        file.write_text(new, encoding="utf-8")
        edited += new != text
    assert edited > 40
    assert digests(ways, copy) == before


# Edits that change something


@dataclass(frozen=True)
class Edit:
    """One of the loud edits, in one top-level statement of one file."""

    file: str
    place: int
    names: tuple[str, ...]
    kind: str
    is_constant: bool


@cache
def possible_edits() -> list[Edit]:
    """Every (definition, edit) of the package."""
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        module = reach.module_of(file, PACKAGE)
        for place, statement in enumerate(ast.parse(file.read_text(encoding="utf-8")).body):
            if isinstance(statement, reach.DEFINING):
                names = tuple(f"{module}:{name}" for name in reach.names_of(statement))
                is_constant = isinstance(statement, reach.ASSIGNING)
                path = file.relative_to(PACKAGE).as_posix()
                found += [Edit(path, place, names, kind, is_constant) for kind in edits.LOUD]
    return found


@dataclass
class Counts:
    """What a series of edits did."""

    edits: int = 0
    changed: int = 0
    kept: int = 0
    undecided: int = 0


@dataclass(frozen=True)
class Bounds:
    """Definitions that a way reaches at least, and at most."""

    least: dict[Way, set[str]]
    most: dict[Way, set[str]]


@pytest.fixture(scope="module")
def bounds(ways: list[Way]) -> Bounds:
    compiled = reach.Compiled(PACKAGE)
    outside = frozenset(filter(is_outside, compiled.modules))
    least, most = (
        {way: compiled.reached(way.roots, outside, annotations=each) for way in ways}
        for each in (False, True)
    )
    return Bounds(least, most)


def test_fingerprints_hold_what_the_compiler_names(ways: list[Way], bounds: Bounds) -> None:
    code = Code(PACKAGE)
    for way in ways:
        sources = fingerprint(way.roots[0], way.parts, code).sources
        found = set(filter(is_definition, sources))
        assert bounds.least[way] <= found <= bounds.most[way], way


def carry_out(
    chosen: list[Edit],
    package: Path,
    before: dict[Way, str],
    bounds: Bounds,
    random: Random,
    most: int | None = None,
) -> Counts:
    """Make each edit, or the first `most` of them, by itself: it changes what it should.

    What a definition names in annotations alone may be part of a key or not.
    """
    counts = Counts()
    for edit in chosen:
        if counts.edits == most:
            break
        file = package / edit.file
        text = file.read_text(encoding="utf-8")
        new = edits.edited(text, edit.place, edit.kind, random)
        if new is None:
            continue
        file.write_text(new, encoding="utf-8")
        after = digests(list(before), package)
        file.write_text(text, encoding="utf-8")
        counts.edits += 1
        for way in before:
            differs = before[way] != after[way]
            if bounds.least[way].intersection(edit.names):
                assert differs, f"{edit} left the key of {way}"
                counts.changed += 1
            elif not bounds.most[way].intersection(edit.names):
                assert not differs, f"{edit} changed the key of {way}"
                counts.kept += 1
            else:
                counts.undecided += 1
    return counts


def test_an_edit_changes_just_the_stages_that_reach_it(
    package: Path, before: dict[Way, str], bounds: Bounds, record_property: Record
) -> None:
    random = Random(20)
    chosen = [edit for edit in possible_edits() if part_of(edit) != "the rest"]
    random.shuffle(chosen)
    counts = carry_out(chosen, package, before, bounds, random, most=40)
    tell(counts, record_property)
    assert min(counts.changed, counts.kept) > 40


def test_edits_of_every_function_and_class_outside_change_no_key(
    ways: list[Way], tmp_path: Path, before: dict[Way, str], record_property: Record
) -> None:
    copy, random, edited = tmp_path / "variorum", Random(22), 0
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file in copy.rglob("*.py"):
        if is_outside(reach.module_of(file, copy)):
            text = file.read_text(encoding="utf-8")
            new = edits.with_every_definition_edited(text, random)
            file.write_text(new, encoding="utf-8")
            edited += new != edits.unparsed(text)
    record_property("files outside that were edited", edited)
    assert edited > 15
    assert digests(ways, copy) == before


@pytest.mark.long
@pytest.mark.parametrize("part", ["components", "science", "stages", "constants outside"])
def test_every_edit_of_every_definition_changes_just_the_stages_that_reach_it(
    part: str, package: Path, before: dict[Way, str], bounds: Bounds, record_property: Record
) -> None:
    chosen = [edit for edit in possible_edits() if part_of(edit) == part]
    counts = carry_out(chosen, package, before, bounds, Random(21))
    tell(counts, record_property)
    assert counts.edits > 20


def part_of(edit: Edit) -> str:
    if is_outside(edit.names[0].split(":")[0]):
        return "constants outside" if edit.is_constant else "the rest"
    folder = str(Path(edit.file).parent)
    return "components" if "/" in folder else "stages" if folder == "stages" else "science"


def tell(counts: Counts, record_property: Record) -> None:
    record_property("edits of code", counts.edits)
    record_property("keys that had to change, and did", counts.changed)
    record_property("keys that had to stay, and did", counts.kept)


def test_an_edit_of_package_data_changes_just_the_stages_that_read_it(
    plans: list[Plan],
    package: Path,
    before: dict[Way, str],
    evidence: dict[Ref, reach.Evidence],
) -> None:
    for name in data_files(package):
        file = package / name
        content = file.read_bytes()
        file.write_bytes(content + b" ")
        after = digests(list(before), package)
        file.write_bytes(content)
        nodes = chain.from_iterable(plans)
        reading = {way_of(each) for each in nodes if PACKAGE / name in evidence[each.ref].opened}
        assert {way for way in before if before[way] != after[way]} == reading


def test_what_runs_on_import_counts_in_just_the_stages_that_import_it(
    ways: list[Way], tmp_path: Path
) -> None:
    """Every module of the package gets a statement that runs on import."""
    copy = tmp_path / "variorum"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file in copy.rglob("*.py"):
        file.write_text(file.read_text(encoding="utf-8") + "\nprint()\n", encoding="utf-8")
    code = Code(copy)
    for way in ways:
        imported = {module for module in imported_for(way) if not is_outside(module)}
        assert len(imported) > 3
        sources = fingerprint(way.roots[0], way.parts, code).sources
        assert {name.split(":")[0] for name in sources if name.endswith(LOOSE)} == imported, way


def imported_for(way: Way) -> set[str]:
    """Modules of the package that a fresh interpreter has after importing what `way` needs."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in sys.modules if name.split(".")[0] == "variorum"]:
            patch.delitem(sys.modules, name)
        for root in way.roots:
            import_module(root.split(":")[0])
        current_code.import_reached(fingerprint(way.roots[0], way.parts))
        found = {name for name in sys.modules if name.split(".")[0] == "variorum"}
        for name in found:
            del sys.modules[name]
    return found


# Keys follow from code


@pytest.mark.parametrize("stage", STAGES)
def test_new_code_changes_the_keys_of_its_stage_and_of_those_after_it(
    stage: str, project_root: Path, package: Path, plans: list[Plan]
) -> None:
    file = package / f"stages/{stage}.py"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("    settings = ", "    edited = settings = ", 1) + "\nprint()\n")
    edited = planned(project_root, package)
    file.write_text(text, encoding="utf-8")
    for old, new in zip(plans, edited, strict=True):
        for above, below in zip(old, new, strict=True):
            assert (above.ref != below.ref) == (stage in stages_up_to(above)), above


def test_what_runs_is_imported_before_its_code_is_held_against_the_plan(
    plans: list[Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit between the two would run under a key that knows nothing of it."""
    did: list[str] = []
    node, project = plans[0].of_stage("download")[0], Store(tmp_path)

    def look(*arguments: Any) -> Fingerprint:
        did.append("look")
        if did.count("look") > 1:
            raise VariorumError("enough")
        return node.code

    monkeypatch.setattr(current_code, "import_module", did.append)
    monkeypatch.setattr(current_code, "fingerprint", look)
    runner.submit(project, node.spec, node.label)
    with pytest.raises(VariorumError, match="enough"):
        runner.run(project, node.ref, Machine())
    modules = {name.split(":")[0] for name in node.code.sources if name.startswith("variorum.")}
    assert did == ["look", *sorted(modules), "look"]


def stages_up_to(node: Node) -> set[str]:
    return {node.ref.stage}.union(*(stages_up_to(each) for each in node.upstream.values()))


# Modules outside: what they decide enters keys as values

NAMED_OUTSIDE = {
    "DownloadStage": "settings",
    "EncodeStage": "settings",
    "EvaluateStage": "settings",
    "FiguresStage": "settings",
    "FinetuneStage": "settings",
    "ImportedStage": "settings",
    "MANIFEST": "a constant, which counts",
    "ModelSettings": "settings",
    "NormalizeStage": "settings",
    "PretrainStage": "settings",
    "ReportStage": "settings",
    "Progress": "tells a person how it goes",
    "SPECIAL_TOKENS": "a constant, which counts",
    "SamplingSettings": "settings, every one of them given; see below",
    "Settings": "settings",
    "Stopped": "raised",
    "StressSettings": "settings",
    "StressStage": "settings",
    "TableStage": "settings",
    "TokenizerStage": "settings",
    "VariorumError": "raised",
    **dict.fromkeys(("MOST_SEED", "Settings", "Sha256", "Text", "Whole", "setting"), "settings"),
    "canonical": "writes the model's settings as they stand in the spec",
    "load": "`components`: gives what the contract of a folder lists, of the file that is chosen",
    "options": "`components`: names for a message",
    "restored": "reads them again; the inverse of `canonical`, held by a property test",
    "replacing": "gives a place for the state that is written, and puts it in place",
}
"""Why a name from outside that code of a stage mentions can change no result silently."""

CALLED_OUTSIDE = {
    "variorum.base.atomic:replacing",
    "variorum.base.components:classes",  # settings of each kind of source
    "variorum.base.components:load",
    # made of settings; a cache's folder, and messages
    "variorum.corpus.source:ChangingSource.lock_name",
    "variorum.config.canonical:canonical",
    "variorum.config.canonical:restored",
    "variorum.config.types:setting",  # in the settings of sources
    "variorum.base.progress:Progress.say",
    "variorum.base.progress:Progress.step",
    "variorum.identity.spec:Ref.__str__",  # a key, which is in the spec
    "variorum.store.result:Result.adopted",  # shown on pages
    "variorum.store.result:Result.file",
    "variorum.store.result:Result.json",
    "variorum.store.result:Result.run",  # costs, which a table hands on to its own `run.json`
    "variorum.store.result:Result.spec",
    "variorum.identity.spec:Spec.as_data",  # what the key is the hash of
    "variorum.identity.spec:Spec.ref",
    "variorum.stages.task:Task.settings",  # those of the spec, which it checks
    "variorum.stages.task:Task.use_device",  # another device is another platform
}
"""What code of a stage may call outside, methods included."""


def test_what_stages_name_outside_is_known(plans: list[Plan]) -> None:
    named = {
        line.split(f" is {OUTSIDE_NAME}")[1].split(".")[0]
        for node in chain.from_iterable(plans)
        for name, text in node.code.sources.items()
        if name.endswith(MEANINGS)
        for line in text.splitlines()
        if f" is {OUTSIDE_NAME}" in line
    }
    assert named == NAMED_OUTSIDE.keys(), "decide whether what it decides enters keys as a value"


def test_what_stages_call_outside_is_known(evidence: dict[Ref, reach.Evidence]) -> None:
    called = {
        f"{module_of(code)}:{code.co_qualname}"
        for seen in evidence.values()
        for caller, code in seen.calls
        if is_ours(caller) and not is_outside(module_of(caller)) and is_outside(module_of(code))
    }
    assert called <= CALLED_OUTSIDE, "decide whether what it decides enters keys as a value"
    assert "variorum.stages.task:Task.settings" in called


def is_ours(code: CodeType) -> bool:
    file = Path(code.co_filename)
    return file.is_relative_to(PACKAGE) and file.suffix == ".py"


def settings_models(model: type[Settings] = Settings) -> Iterator[type[BaseModel]]:
    for inner in model.__subclasses__():
        if inner.__module__.startswith("variorum."):
            yield inner
            yield from settings_models(inner)


NEUTRAL_FOR_EVER = {
    "ArxivSource.api": "https://export.arxiv.org/api/query",
    "ArxivSource.page_size": 100,
    "CsvSource.quote": None,
    "EvaluateSettings.memorization_tokens": 2048,
    "EvaluateSettings.ngram_order": 6,
    "Experiment.imported": None,
    "Experiment.strict_libraries": False,
    "FinetuneSettings.accumulation": 1,
    "FinetuneSettings.batches": "replacement",
    "FinetuneSettings.compile": False,
    "FinetuneSettings.decay_share": 0.2,
    "FinetuneSettings.freeze": (),
    "FinetuneSettings.matrix_rate": 1.0,
    "FinetuneSettings.momentum": 0.95,
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
    "SamplingSettings.min_p": 0.0,
    "SamplingSettings.repetition_penalty": 1.0,
    "SamplingSettings.repetition_window": 64,
    "SamplingSettings.stop": (),
    "SamplingSettings.valid_utf8": False,
    "StressSettings.noise_loss_ratio": 1.5,
    "StressSettings.noise_share": 0.1,
    "TableStage.codes": {},
    "TableStage.edited": {},
    "TableStage.kept": {},
    "TableStage.uncounted": (),
    "TrainingSettings.accumulation": 1,
    "TrainingSettings.batches": "replacement",
    "TrainingSettings.compile": False,
    "TrainingSettings.decay_share": 0.2,
    "TrainingSettings.matrix_rate": 1.0,
    "TrainingSettings.momentum": 0.95,
    "TrainingSettings.patience": None,
    "TrainingSettings.precision": "fp32",
    "TrainingSettings.stride": None,
}
"""A neutral value is in no key: results that were made with it would silently mean another."""


def test_neutral_values_stay_what_they_are() -> None:
    found = {
        f"{model.__name__}.{name}": extra["neutral"]
        for model in settings_models()
        for name, info in model.model_fields.items()
        if "neutral" in (extra := field_metadata(info))
    }
    assert found == NEUTRAL_FOR_EVER, "a new one is added here; none is ever changed or removed"


def test_settings_that_code_makes_by_itself_take_no_default_from_outside() -> None:
    """A default is part of a key where an experiment is planned, but not in code of a stage."""
    models = {model.__name__: model for model in settings_models()}
    made = 0
    for file in PACKAGE.rglob("*.py"):
        if is_outside(reach.module_of(file, PACKAGE)):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = node.func.id if is_call_of_name(node) else ""
            if model := models.get(name):
                given = {keyword.arg for keyword in node.keywords}
                fields = model.model_fields.items()
                asked = {n for n, f in fields if not neutral_by_default(f)}
                assert asked <= given, f"{file.name}:{node.lineno} takes defaults"
                made += 1
    assert made


def neutral_by_default(field: FieldInfo) -> bool:
    """Whether leaving the setting out means what it meant before it existed, for ever."""
    extra = field_metadata(field)
    return "neutral" in extra and bool(field.default == extra["neutral"])


def is_call_of_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


# What no fingerprint can see is not done

BLIND_FUNCTIONS = {
    *("globals", "locals", "vars", "eval", "exec", "compile", "setattr", "delattr", "__import__"),
    *("import_module", "singledispatch", "singledispatchmethod", "get_type_hints", "signature"),
    *("getsource", "validate_call", "getenv", "environ"),
}
BLIND_ATTRIBUTES = {
    *("__annotations__", "__doc__", "__subclasses__", "__init_subclass__", "__code__"),
    *("__globals__", "__dict__", "import_module", "singledispatch", "get_type_hints", "environ"),
    *("signature", "getsource", "getenv", "__name__", "__qualname__", "__module__"),
}
ALLOWED = {
    ("variorum.corpus.fetching", "environ"),
    ("variorum.corpus.sources.arxiv", "__name__"),
    ("variorum.corpus.sources.genius", "__name__"),
    ("variorum.evaluation.stress.writing", "__name__"),
    ("variorum.model.description", "__name__"),
}
"""Where mirrors are, whose bytes are verified, and the tokens of servers; kinds of errors of
libraries, in messages; kinds of PyTorch's modules."""


def test_code_of_stages_does_nothing_that_its_fingerprint_cannot_see() -> None:
    found = set()
    for file in PACKAGE.rglob("*.py"):
        module = reach.module_of(file, PACKAGE)
        if is_outside(module):
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        found |= {(module, name) for name in blind_spots(tree)}
    assert found == ALLOWED


def blind_spots(tree: ast.AST) -> Iterator[str]:
    """Whatever in a module is decided by names that are put together at run time."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(name):
                yield from {name} & BLIND_FUNCTIONS
            case ast.alias(name):
                yield from {name.split(".")[-1]} & BLIND_FUNCTIONS
            case ast.Attribute(ast.Name("sys"), "modules"):
                yield "modules"
            case ast.Attribute(_, name) | ast.FunctionDef(name):
                yield from {name} & BLIND_ATTRIBUTES
            case ast.keyword("metaclass"):
                yield "metaclass"
            case ast.Call(ast.Name("getattr"), [_, asked, *_]) if not is_literal(asked):
                yield "getattr"


def is_literal(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant)


@pytest.mark.parametrize(
    "line",
    [
        "globals()['f']()",
        "getattr(module, name)()",
        "from importlib import import_module",
        "class C(metaclass=M): pass",
        "@singledispatch\ndef f(x): pass",
        "x = f.__doc__",
        "os.environ['A']",
        "x = type(f).__name__",
    ],
)
def test_the_reader_of_blind_spots_sees(line: str) -> None:
    assert list(blind_spots(ast.parse(line)))


def test_every_folder_of_code_is_a_package() -> None:
    for folder in {file.parent for file in PACKAGE.rglob("*.py")}:
        assert (folder / "__init__.py").is_file(), folder


# Versions of libraries


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make it look as if another version of a library were installed."""

    def pretend(library: str) -> None:
        installed = machine.version
        monkeypatch.setattr(
            machine, "version", lambda name: "99.0" if name == library else installed(name)
        )

    return pretend


@pytest.fixture
def strict_root(project_root: Path, tmp_path: Path) -> Path:
    """The same project, whose experiments are strict about libraries."""
    root = tmp_path / "strict"
    shutil.copytree(project_root, root, ignore=shutil.ignore_patterns("results", ".git", "scratch"))
    for file in (root / "config/experiments").glob("*.yaml"):
        file.write_text(file.read_text(encoding="utf-8") + "\nstrict_libraries: true\n")
    return root


@pytest.mark.parametrize("library", ["torch", "ftfy", "scipy", "matplotlib"])
def test_in_strict_mode_a_new_version_changes_the_keys_of_what_uses_it_and_of_what_follows(
    strict_root: Path, newer: Any, library: str
) -> None:
    before = planned(strict_root)
    newer(library)
    for old, new in zip(before, planned(strict_root), strict=True):
        downloads_alone = not old.of_stage("pretrain")
        used = any(uses(node, library) for node in old)
        assert used or library == "scipy" or downloads_alone
        for above, below in zip(old, new, strict=True):
            assert (above.ref != below.ref) == uses(above, library), above


def uses(node: Node, library: str) -> bool:
    """Whether a node, or anything that it is made from, uses a library."""
    return library in node.code.libraries or any(
        uses(needed, library) for needed in node.upstream.values()
    )


def test_in_strict_mode_a_new_python_changes_every_key(
    strict_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = planned(strict_root)
    monkeypatch.setattr("platform.python_version_tuple", lambda: ("3", "99", "0"))
    for old, new in zip(before, planned(strict_root), strict=True):
        assert not old.nodes.keys() & new.nodes.keys()


def test_else_a_new_version_changes_no_key(
    project_root: Path, plans: list[Plan], newer: Any
) -> None:
    newer("torch")
    assert [list(plan.nodes) for plan in planned(project_root)] == [
        list(plan.nodes) for plan in plans
    ]


def test_strict_results_say_their_versions_and_others_say_none(
    strict_root: Path, project_root: Path, plans: list[Plan]
) -> None:
    strict = planned(strict_root)[0]
    for plan, root in ((strict, strict_root), (plans[0], project_root)):
        node = flow.before(root, plan, "tokenizer").upstream["base"]
        manifest = Store(root).open(node.ref).manifest
        versions = machine.versions(node.code.libraries)
        assert versions.keys() == {"python", "ftfy", "numpy", "datasketch"}
        assert manifest["spec"].get("libraries") == (versions if plan is strict else None)


def test_a_spec_that_was_planned_with_another_version_is_refused(
    strict_root: Path, newer: Any
) -> None:
    node = flow.before(strict_root, planned(strict_root)[0], "normalize")
    newer("ftfy")
    with pytest.raises(VariorumError, match=f"libraries of normalize changed after {node.ref}"):
        flow.make(strict_root, node)
    assert not Store(strict_root).exists(node.ref)


def test_every_library_that_a_stage_uses_has_a_version_that_its_result_tells(
    plans: list[Plan],
) -> None:
    used = set().union(*(node.code.libraries for node in chain.from_iterable(plans)))
    assert {"torch", "numpy", "jinja2", "requests", "ftfy"} <= used
    assert machine.versions(used).keys() == used | {"python"}
    assert {name for name, found in machine.description()["libraries"].items() if found} >= used
