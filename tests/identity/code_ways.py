"""Every way that a stage can be planned, as plans of a project that takes each component once.

The project, its plans and what ran are made once a process; what ran is kept from one run of the
tests to the next.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import import_module
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from ruamel.yaml import YAML

import cached
import flow
import peers
from apis import TOKEN, arxiv_answer, genius_answer
from conftest import SESSION, add_micro_experiment, copy_project
from loopback import Answer, Request, served
from oracles import watching
from oracles.watching import Evidence, module_of, watched
from variorum.base.components import CONTRACTS, PACKAGE, module_name, options
from variorum.base.files import sha256_of
from variorum.base.machine import Machine
from variorum.config.canonical import chosen_components, restored
from variorum.config.model_settings import ModelSettings
from variorum.config.training_settings import TrainingSettings
from variorum.config.types import Settings, field_metadata
from variorum.corpus import genius_client
from variorum.corpus.fetch_context import FetchContext
from variorum.corpus.sources import python_package
from variorum.corpus.sources.arxiv import ArxivSource
from variorum.corpus.sources.genius import GeniusSource
from variorum.identity.fingerprint import fingerprint
from variorum.identity.package_code import Code
from variorum.identity.spec import Ref
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.experiment import Node, Plan, plan_experiment
from variorum.plan.loading import LoadedExperiment, load_experiment, named_experiment
from variorum.run import runner
from variorum.stages.registry import STAGES
from variorum.store.store import Store

TEXT = "".join(f"Line {i} tells of the sun, the moon and {i * i} stars.\n" for i in range(400))
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
evaluate: {{memorization_tokens: 64}}
baselines: {{most_ngram_order: 3, ppmd_orders: [4]}}
dynamic: {{rates: [0.0, 0.1], pulls: [0.01], val_tokens: 64}}
stress: {{prompts: ["the "], sampling: {{max_tokens: 8}}, case_tokens: 16, texts: 2, text_tokens: 8,
  temperatures: [1.0]}}
"""
OF_APIS = """
title: Answers of servers
corpus:
  base: {{source: {{kind: arxiv, query: "all:testing", max_results: 10, page_size: 10,
                    api: "http://127.0.0.1:9/papers/", sha256: "{papers}"}}}}
  domain: {{source: {{kind: genius, artists: [Mü], api: "http://127.0.0.1:9/api/",
                      site: "http://127.0.0.1:9/site/", sha256: "{songs}"}}}}
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


# Ways


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
    code = Code(package)
    loaded: list[LoadedExperiment] = [load_experiment(root), named_experiment(root, "other")]
    plans = [plan_experiment(each, root, offline=True, package=code) for each in loaded]
    for name in ("of_apis", "of_files"):  # of these, how they get their text is enough
        plan = plan_experiment(named_experiment(root, name), root, offline=True, package=code)
        downloads = plan.of_stage("download")
        plans.append(Plan({node.ref: node for node in downloads}, downloads[-1]))
    of_import = named_experiment(root, "of_import")
    plan = plan_experiment(of_import, root, offline=True, package=code)
    evaluation = plan.of_stage("evaluate")[0]
    up_to = list(plan.nodes).index(evaluation.ref) + 1
    plans.append(Plan(dict(list(plan.nodes.items())[:up_to]), evaluation))
    ablation = load_ablation(root, "kinds")
    return [*plans, plan_ablation(ablation, root, offline=True, package=code)]


# The project


@contextmanager
def apis() -> Iterator[None]:
    """Let `http://127.0.0.1:9/` answer as arXiv and as Genius; its address is part of keys."""

    def answer(request: Request) -> Answer:
        return (arxiv_answer if request.path == "/papers/" else genius_answer)(request)

    with pytest.MonkeyPatch.context() as patch, served(answer) as server:
        patch.setattr(genius_client, "_PAUSE", 0.0)
        patch.setenv(genius_client.TOKEN, TOKEN)
        for name in ("HTTP_PROXY", "http_proxy"):
            patch.setenv(name, server.address)
        for name in ("NO_PROXY", "no_proxy"):
            patch.delenv(name, raising=False)
        yield


@cache
def project_root() -> Path:
    """Lay out a project that plans every stage, source, tokenizer and position encoding."""
    project = copy_project(Path(os.environ[SESSION]) / "code_ways")
    add_micro_experiment(project)
    root, experiments = project.root, project.root / "config/experiments"
    text = root / "mirror/text.txt"
    text.parent.mkdir()
    text.write_text(TEXT)
    facts = {
        "text": sha256_of(text),
        "package": PURE,
        "version": version(PURE),
        "digest": python_package.digest(PURE),
    }
    (experiments / "other.yaml").write_text(OTHER.format(**facts))
    (experiments / "of_import.yaml").write_text(OF_IMPORT)
    flow.made_by_function(root / "models/gpt2", save_model, Path(peers.__file__))
    (root / "rows").mkdir()
    for name, content in ROWS.items():
        (root / "rows" / name).write_text(content)
    (experiments / "of_files.yaml").write_text(OF_FILES)
    (experiments / "of_apis.yaml").write_text(of_apis(root))
    for file in (root / "config/ablations").iterdir():
        file.unlink()
    with (root / "config/ablations/kinds.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(kinds(), file)
    return root


def save_model(folder: Path) -> None:
    """A model of others."""
    peers.save_gpt2(folder, [TEXT])


def of_apis(root: Path) -> str:
    """The experiment of servers' answers, which are asked for what they hold."""
    file = root / "config/experiments/of_apis.yaml"
    file.write_text(OF_APIS.format(papers="0" * 64, songs="0" * 64))
    corpus = named_experiment(root, "of_apis").settings.corpus
    assert isinstance(corpus.base.source, ArxivSource)
    assert corpus.domain is not None
    assert isinstance(corpus.domain.source, GeniusSource)
    with apis(), TemporaryDirectory() as answers:
        context = FetchContext(root, Path(answers), (), str)
        papers, _ = corpus.base.source.held(context)
        songs, _ = corpus.domain.source.held(context)
    return OF_APIS.format(papers=papers, songs=songs)


@cache
def plans() -> list[Plan]:
    """The project's plans."""
    return planned(project_root())


@cache
def ways() -> list[Way]:
    """Every way that the plans have."""
    return sorted({way_of(node) for node in nodes()})


def digests(package: Path) -> dict[Way, str]:
    """The fingerprint of each way, of the package in a folder."""
    code = Code(package)
    return {way: way.fingerprint(code) for way in ways()}


def nodes() -> Iterator[Node]:
    """Every node of every plan."""
    return chain.from_iterable(plans())


@cache
def classes_of_settings() -> frozenset[str]:
    """Classes whose values are in keys: what they say, and what only they name, doesn't count."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        for value in vars(import_module(module_of(file, PACKAGE))).values():
            if isinstance(value, type) and issubclass(value, Settings):
                found.add(f"{value.__module__}:{value.__name__}")
    assert len(found) > 30
    return frozenset(found)


# What ran


@cache
def evidence() -> dict[Ref, Evidence]:
    """What ran for each result, seen while the plans were carried out.

    Of pages, and of runs that differ in their seed alone, one is enough.
    """
    for file in PACKAGE.rglob("*.py"):
        import_module(module_of(file, PACKAGE))  # what runs on import is another test's
    found: dict[Ref, Evidence] = {}
    kinds_seen: set[Ref] = set()
    with pytest.MonkeyPatch.context() as patch, apis():
        patch.setenv("VARIORUM_MIRRORS", str(project_root() / "mirror"))
        for node in nodes():
            if node.ref not in found:
                is_page = node.ref.stage in ("figures", "report")
                another = is_page and plans()[0].last.ref in found
                kind = without_seed(node)
                found[node.ref] = Evidence() if another or kind in kinds_seen else seen_once(node)
                kinds_seen.add(kind)
    return found


def without_seed(node: Node) -> Ref:
    """The key that a node would have if no seed were part of any."""
    settings = {name: value for name, value in node.spec.settings.items() if name != "seed"}
    upstream = {name: without_seed(needed) for name, needed in node.upstream.items()}
    return replace(node.spec, settings=settings, upstream=upstream).ref


def seen_once(node: Node) -> Evidence:
    """What ran for a result, now or when these tests ran before."""
    package = sorted(PACKAGE.rglob("*.py"))  # what ran outside is evidence too
    digest = cached.digest_of_files([Path(watching.__file__), *package])
    name = cached.name_of("evidence", cached.writers(), digest, str(node.ref))
    folder = Path(os.environ[SESSION]) / "evidence" / name
    folder.parent.mkdir(exist_ok=True)
    if not cached.fetch(name, folder):
        folder.mkdir()
        data = json.dumps(asdict(seen(node)))
        (folder / "evidence.json").write_text(data, encoding="utf-8")
        cached.keep(name, folder)
    return Evidence(**json.loads((folder / "evidence.json").read_text(encoding="utf-8")))


def seen(node: Node) -> Evidence:
    """What runs for a result."""
    store = Store(project_root())
    for needed in all_before(node):
        flow.made_once(store.root, needed)
    assert not store.exists(node.ref)
    runner.submit(store, node.spec, node.label)
    with watched(PACKAGE) as watch:
        runner.run(store, node.ref, Machine())
    flow.keep(store.root, node)
    return watch.evidence()


def all_before(node: Node) -> Iterator[Node]:
    """Everything that a node is made from, what comes first before what comes later."""
    for needed in node.upstream.values():
        yield from all_before(needed)
        yield needed
