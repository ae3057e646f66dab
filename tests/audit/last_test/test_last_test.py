"""The last test: named in a commit, opened once, recorded whatever comes out."""

import json
import math
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyppmd
import pytest

import flow
from conftest import ROOT, Command, Project, add_micro_experiment, copy_project
from oracles import compressed
from variorum import api
from variorum.audit.last_test import opening, scoring
from variorum.audit.last_test.scoring import read_by_baselines
from variorum.base.errors import VariorumError
from variorum.corpus import documents
from variorum.corpus.sources import python_package
from variorum.evaluation import baselines
from variorum.evaluation.baselines import by_xz
from variorum.evaluation.bits import score
from variorum.evaluation.dynamic import Adaptation, dynamic_nats
from variorum.plan.last_test import LIST, RECORD, load, opened, recorded, times
from variorum.plan.loading import load_experiment, named_experiment
from variorum.store.store import Store

MODULES = 12
SENTENCES = (
    "The moon of number {n} follows the sun, and the sky holds the star that it has passed.",
    "No leaf of the tree {n} is like another, though the root and the bark of all are alike.",
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a package whose modules have a paragraph or two of prose."""
    site = tmp_path_factory.mktemp("site")
    (site / "quire").mkdir()
    (site / "quire" / "__init__.py").touch()
    for n in range(MODULES):
        words = "\n\n".join(each.format(n=["one", "two", "three"][n % 3]) for each in SENTENCES)
        own = f"It is the sheet {'x' * (n + 1)}, one of the many that are here, and all are alike."
        text = f'"""{words}\n\n{own}"""\n'
        (site / "quire" / f"sheet_{n:02}.py").write_text(text, encoding="utf-8")
    info = site / "quire-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: quire\nVersion: 2.1\n")
    return site


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose models are there."""
    project = copy_project(tmp_path_factory.mktemp("trained") / "project")
    add_micro_experiment(project)
    last = flow.before(project.root, flow.current(project.root), "evaluate")
    for node in last.upstream.values():
        flow.made_once(project.root, node)
    return project


@pytest.fixture(scope="module", autouse=True)
def surroundings(package: Path) -> Iterator[None]:
    """Install the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(package), *sys.path])
        yield


@pytest.fixture(scope="module")
def named(trained: Project) -> Project:
    """The project, with a list that is committed."""
    name_texts(trained)
    commit(trained)
    return trained


@pytest.fixture(scope="module")
def first(named: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose last test was opened."""
    project = Project(tmp_path_factory.mktemp("first") / "project")
    shutil.copytree(named.root, project.root, symlinks=True)
    opening.open_texts(project.root, None, lambda line: None)
    return project


@pytest.fixture
def here(named: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose last test was never opened, as the working directory."""
    project = Project(tmp_path / "project")
    shutil.copytree(named.root, project.root, symlinks=True)
    monkeypatch.chdir(project.root)
    return project


def name_texts(project: Project, **changes: str) -> None:
    """Write the list of the stand-in."""
    source = {"sha256": python_package.digest("quire"), "version": "2.1"} | changes
    (project.root / LIST).write_text(
        f"""
experiment: micro
texts:
  - {{kind: python-package, package: quire, version: "{source["version"]}", part: prose,
     sha256: {source["sha256"]}}}
  - {{kind: synthetic, alphabet_size: 4, order: 1, sharpness: 4, documents: 12, length: 40}}
""",
        encoding="utf-8",
    )


def commit(project: Project, message: str = "Name texts", *paths: str) -> None:
    project.run("git", "add", *(paths or (LIST,)))
    project.run("git", "commit", "--quiet", "-m", message)


# Opening


def test_the_plan_says_what_is_scored_and_scores_nothing(
    variorum: Command, here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "read_texts", pytest.fail)
    said = variorum("last-test")
    assert said.code == 0
    first, *others = said.out.splitlines()
    assert first.startswith("config/last-test.yaml: committed 20")
    assert first.endswith("), never changed before")
    models = [flow.current(here.root).of_stage(stage)[0].ref for stage in ("pretrain", "finetune")]
    assert others == [
        "opened: never",
        "  prose of quire 2.1",
        f"  {load(here.root).texts[1].title}",
        "models of micro, each beside baselines that read the last 32 MB of the same text",
        f"  pretrained, {models[0]}, complete, read base",
        f"  finetuned, {models[1]}, complete, read base and domain",
        "next: once nothing is left to choose, score them: variorum last-test --open",
    ]
    assert not (here.root / RECORD).exists()
    shutil.rmtree(here.root / f"results/{models[0]}")
    assert variorum("last-test").out.splitlines()[-1] == (
        "next: make the missing models: snakemake --cores 4 --config experiment=micro -- pretrain"
    )


def test_it_is_opened_once_and_again_only_for_a_reason(
    variorum: Command, first: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "project"
    shutil.copytree(first.root, root, symlinks=True)
    monkeypatch.chdir(root)
    (found,) = recorded(root)
    assert (found["because"], found["experiment"]) == (None, "micro")
    assert found["list"]["versions"] == 1
    assert set(found["models"]) == set(found["scores"]) == {"pretrained", "finetuned"}
    assert variorum("last-test").out.splitlines()[1] == "opened: once"

    refused = variorum("last-test", "--open")
    assert refused.code == 1
    assert "was opened once, last on 20" in refused.err
    assert variorum("last-test", "--open", "--again", " ").code == 1
    assert recorded(root) == [found]

    said = variorum("last-test", "--open", "--again", "the first had a fault")
    assert said.code == 0, said.err
    one, two = recorded(root)
    assert one == found
    assert two["because"] == "the first had a fault"
    assert two["scores"] == one["scores"]
    plan = variorum("last-test").out.splitlines()
    assert plan[1] == "opened: twice"
    assert plan[-1] == f"next: read {RECORD}; to score them again: " + (
        "variorum last-test --open --again REASON"
    )
    assert said.out.splitlines()[-1].startswith(f"recorded in {RECORD}; next: commit that file")

    assert "prose of quire 2.1, static, read base: " in said.out
    assert "all texts, adaptive, read base and domain: " in said.out
    needed = found["scores"]["pretrained"]["texts"]["all texts"]["static"]["bits_per_byte"]
    assert set(needed) == {"pretrained", "ngram", "ppmd"}
    assert all(f"{bits:.3f}" in said.out for bits in needed.values())
    assert not any(f"{bits:.3f}" in said.err for bits in needed.values())


def test_scores_are_what_slow_twins_find(first: Project) -> None:
    """Static scores of the fine-tuned model and of PPMd, which read base, then domain."""
    found = recorded(first.root)[0]["scores"]["finetuned"]
    prepared = opening.prepare(first.root)
    texts = opening.read_texts(
        first.root,
        prepared.test.texts,
        prepared.loaded.settings.corpus.base.normalize,
        lambda line: None,
    )
    by_hand = [document.text for each in texts.values() for document in each]
    n_bytes = sum(len(text.encode()) for text in by_hand)

    model = api.open("finetune", root=first.root)
    eot = model.tokenizer.eot
    tokens = np.array([t for text in by_hand for t in (*model.tokenizer.encode(text), eot)])
    nats = score(model.model, tokens, eot=eot, stride=8).nats  # half of the context of 16
    of_all = found["texts"]["all texts"]
    static = of_all["static"]["bits_per_byte"]
    assert static["finetuned"] == pytest.approx(nats.sum() / math.log(2) / n_bytes, rel=1e-9)
    assert of_all["bytes"] == n_bytes
    chosen = Adaptation(**found["dynamic"])
    learning = dynamic_nats(model.model, tokens, eot=eot, adaptation=chosen).sum() / math.log(2)
    adaptive = of_all["adaptive"]["bits_per_byte"]
    assert adaptive["finetuned"] == pytest.approx(learning / n_bytes, rel=1e-9)

    plan, store = flow.current(first.root), Store(first.root)
    read = [
        document.text.encode()
        for node in plan.of_stage("normalize")  # base before domain
        for document in documents.read(store.open(node.ref).file("train.jsonl"))
    ]

    def length(text: bytes) -> int:
        encoder = pyppmd.Ppmd7Encoder(found["orders"]["ppmd_static"], 1 << 28)
        return len(encoder.encode(text)) + len(encoder.flush())

    one_part = [0] * (n_bytes + len(by_hand))  # each byte, and each document's end
    texts_in_bytes = [text.encode() for text in by_hand]
    (slow,) = compressed.by_parts(length, read, texts_in_bytes, one_part, adaptive=False)
    assert static["ppmd"] == pytest.approx(slow / n_bytes, rel=1e-9)


def test_each_text_has_its_share_of_the_costs(first: Project) -> None:
    texts = recorded(first.root)[0]["scores"]["pretrained"]["texts"]
    whole, own = texts["all texts"], [each for name, each in texts.items() if name != "all texts"]
    assert len(own) == 2
    assert whole["bytes"] == sum(each["bytes"] for each in own)
    for kind in ("static", "adaptive"):
        for name, needed in whole[kind]["bits_per_byte"].items():
            bits = sum(each[kind]["bits_per_byte"][name] * each["bytes"] for each in own)
            assert needed * whole["bytes"] == pytest.approx(bits)
    prose = texts["prose of quire 2.1"]["static"]["scores"]["pretrained"]
    assert (prose["drawn"], prose["count"]) == ("groups", MODULES)
    assert prose["low"] < prose["value"] < prose["high"]


def test_text_that_occurs_in_train_is_told(first: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "all_costs", lambda texts, settings: [by_xz(texts)])
    prepared = opening.prepare(first.root)
    reader = opening._reader(prepared, "pretrained")
    planted = list(documents.read(reader.corpora["base"].file("train.jsonl")))[:2]
    found = scoring.scored(
        reader, {"planted": planted}, prepared.loaded.settings, lambda line: None
    )
    assert found["in_train"] == 1
    assert recorded(first.root)[0]["scores"]["pretrained"]["in_train"] == 0


def test_a_list_that_was_exchanged_says_so(variorum: Command, here: Project) -> None:
    edited(here)
    commit(here, "Exchange a text")
    assert variorum("last-test").out.splitlines()[0].endswith("), once changed before")


# Refusals


def uncommitted(project: Project) -> None:
    project.run("git", "rm", "--quiet", "--cached", LIST)
    project.run("git", "commit", "--quiet", "-m", "Forget the list")


def edited(project: Project) -> None:
    with (project.root / LIST).open("a", encoding="utf-8") as file:
        file.write("# another text, now that results are known\n")


def no_repository(project: Project) -> None:
    shutil.rmtree(project.root / ".git")


def no_models(project: Project) -> None:
    for node in flow.current(project.root).of_stage("finetune"):
        shutil.rmtree(Store(project.root).folder(node.ref))


def no_list(project: Project) -> None:
    (project.root / LIST).unlink()


def another_version(project: Project) -> None:
    name_texts(project, version="2.0")
    commit(project)


def other_bytes(project: Project) -> None:
    name_texts(project, sha256="ab" * 32)
    commit(project)


def no_package(project: Project) -> None:
    text = (project.root / LIST).read_text(encoding="utf-8")
    (project.root / LIST).write_text(text.replace("quire", "no_such_package"), encoding="utf-8")
    commit(project)


def damaged_record(project: Project) -> None:
    (project.root / RECORD).parent.mkdir(parents=True)
    (project.root / RECORD).write_text("{}", encoding="utf-8")


def removed_record(project: Project) -> None:
    damaged_record(project)
    content = {"openings": [{"date": "2026-01-01T00:00:00+00:00"}]}
    (project.root / RECORD).write_text(json.dumps(content), encoding="utf-8")
    commit(project, "Open it", RECORD)
    (project.root / RECORD).unlink()


def changed_record(project: Project) -> None:
    removed_record(project)
    (project.root / RECORD).write_text('{"openings": []}', encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (uncommitted, "config/last-test.yaml is not committed; commit it"),
        (edited, "config/last-test.yaml was changed since it was committed; put it back"),
        (no_repository, "this is no git repository, so nothing shows when the texts were named"),
        (no_models, "which the last test needs, is not here; make it: snakemake --cores 4 "),
        (no_list, "config/last-test.yaml: there is no such file"),
        (another_version, "source.version: found quire 2.1, expected 2.0"),
        (other_bytes, "source.sha256: the files of quire 2.1"),
        (no_package, "'no_such_package' is not installed; run `make setup`"),
        (damaged_record, "found no list of openings; put the committed one back"),
        (removed_record, "lacks or changes an opening that is committed; put it back"),
        (changed_record, "lacks or changes an opening that is committed; put it back"),
    ],
)
def test_nothing_is_scored_or_counted_when_something_lacks(
    variorum: Command,
    here: Project,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Project], None],
    message: str,
) -> None:
    monkeypatch.setattr(opening, "scored", pytest.fail)
    spoil(here)
    before = flow.files_of(here.root / "reports") if (here.root / "reports").exists() else {}
    said = variorum("last-test", "--open")
    assert said.code == 1
    assert message in said.err
    after = flow.files_of(here.root / "reports") if (here.root / "reports").exists() else {}
    assert before == after


def test_a_failure_while_scoring_counts_nothing_and_shows_nothing(
    variorum: Command, here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> None:
        raise VariorumError("the disk is full")

    monkeypatch.setattr(opening, "scored", fail)
    said = variorum("last-test", "--open")
    assert (said.code, said.out) == (1, "")
    assert recorded(here.root) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--again", "why not"], "--again gives the reason of an opening; add --open"),
        (["--open", "--again", "why not"], "the last test was never opened; leave out --again"),
    ],
)
def test_a_reason_belongs_to_another_opening(
    variorum: Command, here: Project, arguments: list[str], message: str
) -> None:
    said = variorum("last-test", *arguments)
    assert said.code == 1
    assert message in said.err
    assert recorded(here.root) == []


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("[]", "texts: [] should have at least 1 entries"),
        ("[{kind: files, path: texts}]", "texts has no sha256, so it may change"),
        ("[{kind: synthetic}, {kind: synthetic}]", "texts: one is named twice"),
    ],
)
def test_a_list_pins_texts_and_names_each_once(tmp_path: Path, texts: str, message: str) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / LIST).write_text(f"experiment: micro\ntexts: {texts}\n", encoding="utf-8")
    with pytest.raises(VariorumError) as caught:
        load(tmp_path)
    assert message in str(caught.value)


# What is said of it


def test_how_often_is_said_in_words() -> None:
    assert [times(count) for count in range(4)] == ["never", "once", "twice", "3 times"]


def test_only_the_very_experiment_of_the_list_tells_how_often(here: Project) -> None:
    root = here.root
    assert opened(root, named_experiment(root, "micro")) == "never"
    assert opened(root, named_experiment(root, "tiny")) is None
    assert opened(root, load_experiment(root, {"seed": 2})) is None
    changed_record(here)
    here.run("git", "checkout", "HEAD", "--", RECORD)
    assert opened(root, named_experiment(root, "micro")) == "once"
    (root / LIST).unlink()
    assert opened(root, named_experiment(root, "micro")) is None


def test_how_often_is_part_of_the_pages_key_alone(here: Project) -> None:
    before = flow.current(here.root)
    assert before.last.spec.settings["last_test"] == "never"
    changed_record(here)
    here.run("git", "checkout", "HEAD", "--", RECORD)
    after = flow.current(here.root)
    assert after.last.spec.settings["last_test"] == "once"
    assert set(before.nodes) - set(after.nodes) == {before.last.ref}
    assert "last_test" not in flow.current(here.root, seed=2).last.spec.settings


def test_the_page_says_how_often(first: Project) -> None:
    plan = flow.current(first.root)
    flow.finish(first.root, plan)
    page = Store(first.root).open(plan.last.ref).file("report.html").read_text(encoding="utf-8")
    assert re.search(r"How often it was opened: <strong[^>]*>once</strong>", page)


def test_the_readme_says_how_often() -> None:
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"How often it was opened: **{times(len(recorded(ROOT)))}**." in readme


def test_the_list_of_this_project_is_pinned_by_the_lock() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    corpora = named_experiment(ROOT, "default").settings.corpus
    for text in load(ROOT).texts:
        assert f"{text.package}=={text.version}" in lock
        assert python_package.digest(text.package) == text.sha256
        assert text.package not in {corpora.base.source.package, corpora.domain.source.package}
    assert load(ROOT).experiment == "default"


def test_what_baselines_left_unread_is_said() -> None:
    whole = {"n_bytes": 40, "read": 40}
    assert read_by_baselines({"base": whole, "domain": whole}) == "base and domain"
    part = {"n_bytes": 2040, "read": 2000}
    told = read_by_baselines({"base": part, "domain": whole})
    assert told == "the last 2,000 of 2,040 bytes of base and domain"
    told = read_by_baselines({"base": {"n_bytes": 2040, "read": 0}, "domain": part})
    assert told == "0 of 2,040 bytes of base and the last 2,000 of 2,040 bytes of domain"


def test_an_opening_says_which_corpora_baselines_reached(variorum: Command, here: Project) -> None:
    experiment = here.root / "config/experiments/micro.yaml"
    text = experiment.read_text(encoding="utf-8")
    limited = text.replace("baselines: {", "baselines: {most_train_bytes: 300, ")
    assert limited != text
    experiment.write_text(limited, encoding="utf-8")
    assert "read the last 300 B of the same text" in variorum("last-test").out
    said = variorum("last-test", "--open")
    assert said.code == 0, said.err
    (found,) = recorded(here.root)
    train = found["scores"]["finetuned"]["train"]
    assert train["base"]["read"] == 0 < train["base"]["n_bytes"]
    assert 0 < train["domain"]["read"] <= 300 < train["domain"]["n_bytes"]
    told = f"read 0 of {train['base']['n_bytes']:,} bytes of base and the last "
    assert said.out.count(f", {told}") == 2 * len(found["scores"]["finetuned"]["texts"])
    assert told in said.err
