"""Differences are traced to their cause, by `variorum why` and by what Snakemake says of a job."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flow
from conftest import ROOT, Edit, Project
from variorum import cli, machine
from variorum.ablation_plan import plan_ablation
from variorum.ablations import load_ablation
from variorum.audit.explain.differences import (
    Edited,
    Meaning,
    Moved,
    Reached,
    Unseen,
    _spelled,
    code_differences,
)
from variorum.audit.explain.operands import Likeness, Shelf, Side
from variorum.audit.explain.why import reason, why
from variorum.components import PACKAGE
from variorum.errors import VariorumError
from variorum.plan import Node, Plan
from variorum.store import CODE, MANIFEST, RUN, Ref, Result, Spec, Store, readable_json

ABLATION = """
title: Position encodings
question: Learned or rotary?
experiment: micro
variants:
  learned: {model: {positions: learned}}
  rotary:
    model:
      positions: rotary
      rotary_base: 5000.0
baseline: learned
seeds: [1, 2]
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment, run to its report; tests leave it as it is."""
    project = flow.finished_project(tmp_path_factory.mktemp("explain") / "project")
    (project.root / "config/ablations/positions.yaml").write_text(ABLATION)
    return project


@pytest.fixture
def root(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished project, to change, as the working directory."""
    copy = flow.copied(finished, tmp_path / "again")
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def here(finished: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished project itself, as the working directory, for tests that change nothing."""
    monkeypatch.chdir(finished.root)
    return finished.root


def told(root: Path, *references: str, package: Path = PACKAGE, **overrides: Any) -> str:
    """What `variorum why` prints."""
    first, second = (*references, None, None)[:2]
    return "\n".join(why(root, first, second, overrides, package).lines())


def causes_of(text: str) -> list[str]:
    """The lines that name a cause, of all that was printed."""
    return re.findall(r"^  (\S.*)$", text, re.MULTILINE)


def write(root: Path, **lines: str) -> None:
    """Make settings the current ones, on top of the micro experiment's."""
    text = "".join(f"{name}: {value}\n" for name, value in lines.items())
    (root / "config/config.yaml").write_text(f"experiment: micro\n{text}")


def ref_of(root: Path, stage: str, place: int = 0) -> Ref:
    """The current result of a stage."""
    return flow.current(root).of_stage(stage)[place].ref


def reasons(root: Path, plan: Plan | None = None) -> dict[str, str]:
    """What Snakemake is told of each missing result, by stage and label."""
    shelf = Shelf(Store(root))
    nodes = [node for node in plan or flow.current(root) if not shelf.finished(node.ref)]
    return {f"{node.ref.stage} {node.label}": reason(node, shelf) for node in nodes}


# Settings


def test_of_what_is_finished_and_current_nothing_differs(here: Path) -> None:
    for reference in ([], ["micro"], ["pretrain"], [str(ref_of(here, "evaluate"))]):
        text = told(here, *reference)
        assert "nothing differs" in text
        assert not causes_of(text)
    assert told(here, "pretrain", "pretrain").startswith("Nothing differs: both are pretrain micro")
    assert not reasons(here)


def test_a_setting_is_named_with_both_values_and_where_it_was_written(root: Path) -> None:
    old = ref_of(root, "pretrain")
    write(root, seed="1", model="{n_layer: 2}")
    text = told(root)
    assert causes_of(text) == ["model.n_layer 1 -> 2 (config/config.yaml:3)"]
    new = ref_of(root, "pretrain")
    assert f"pretrain micro, {old.key} -> {new.key}, then report micro:" in text
    found = reasons(root)
    assert found["pretrain micro"] == "model.n_layer 1 -> 2 (config/config.yaml:3)"
    assert found["finetune micro"] == f"follows pretrain {new.key[:6]}…"
    assert "normalize base" not in found


def test_a_setting_of_the_experiments_file_or_of_the_command_line_says_so(root: Path) -> None:
    text = told(root, pretrain={"max_steps": 40})
    assert causes_of(text) == ["pretrain.max_steps 30 -> 40 (command line)"]
    file = root / "config/experiments/micro.yaml"
    file.write_text(file.read_text().replace("max_steps: 30", "max_steps: 50"))
    line = 1 + next(n for n, text in enumerate(file.read_text().splitlines()) if "50" in text)
    expected = f"pretrain.max_steps 30 -> 50 (config/experiments/micro.yaml:{line})"
    assert causes_of(told(root)) == [expected]


def test_a_setting_that_was_taken_out_has_its_default_and_a_neutral_one_its_value(
    root: Path,
) -> None:
    file = root / "config/experiments/micro.yaml"
    file.write_text(file.read_text().replace("n_layer: 1, ", ""))
    assert causes_of(told(root)) == ["model.n_layer 1 -> 4 (default)"]
    changed = told(root, "pretrain", model={"n_layer": 1, "rotary_base": 5000})
    assert causes_of(changed) == ["model.rotary_base 10000.0 -> 5000.0 (command line)"]


def test_another_component_is_one_cause_though_the_code_is_another_one(here: Path) -> None:
    text = told(here, model={"positions": "rotary"})
    assert causes_of(text) == ["model.positions learned -> rotary (command line)"]


def test_causes_that_do_not_hang_together_are_all_told_the_shortest_chain_first(here: Path) -> None:
    chosen = {"title": "Another", "finetune": {"max_steps": 12}, "tokenizer": {"train_on": "both"}}
    text = told(here, **chosen)
    assert causes_of(text) == [
        "title A text of a few pages -> Another (command line)",
        "tokenizer.train_on base -> both (command line)",
        "finetune.max_steps 10 -> 12 (command line)",
    ]
    headings = re.findall(r"^(\w+) .*, \w+ -> \w+(, then report micro)?:$", text, re.MULTILINE)
    assert headings == [
        ("report", ""),
        ("tokenizer", ", then report micro"),
        ("finetune", ", then report micro"),
    ]


def test_one_setting_that_two_stages_read_is_told_once(here: Path) -> None:
    assert causes_of(told(here, seed=2)) == ["seed 1 -> 2 (command line), also in finetune micro"]


def test_the_command_of_a_report_is_a_cause_only_where_there_is_no_other(here: Path) -> None:
    text = told(here, model={"n_layer": 1})
    (cause,) = causes_of(text)
    assert cause.startswith("command snakemake")


def test_a_domain_that_is_left_out_is_one_cause(here: Path) -> None:
    text = told(here, corpus={"domain": None})
    assert causes_of(text) == ["corpus.domain given -> null (command line), also in report micro"]


def test_lists_are_told_by_what_came_and_went(root: Path) -> None:
    text = told(root, "stress/" + ref_of(root, "stress").key, "micro")
    assert "Nothing differs" in text
    write(root, stress='{prompts: ["the ", "a sun"]}')
    assert "stress.prompts with a sun (config/config.yaml:2)" in told(root)


# Code


ATTENTION = "variorum.model.attention"


def test_an_edited_method_is_shown_as_a_diff_of_what_counts(
    here: Path, package_copy: Path, edit: Edit
) -> None:
    edit("model/attention.py", '"""Each token\'s mixture', '"""The mixture')
    edit("model/attention.py", "# (B, H, S, D)\n", "# keys and values\n")
    edit("model/attention.py", "mixed.transpose(1, 2)", "mixed.transpose(2, 1)")
    text = told(here, package=package_copy)
    (cause,) = causes_of(text)
    assert cause.startswith(f"edited: {ATTENTION}:Attention.forward, also in finetune micro, ")
    assert "-        y: Tensor = self.c_proj(mixed.transpose(1, 2).flatten(2))" in text
    assert "+        y: Tensor = self.c_proj(mixed.transpose(2, 1).flatten(2))" in text
    changed = [line for line in text.splitlines() if re.match(r"    [-+]", line)]
    assert len(changed) == 2, "the edits of a docstring and a comment are not shown"
    assert re.search(r"^pretrain micro, .* then report micro:$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("file", "old", "new", "symbol"),
    [
        ("model/gpt.py", "INIT_STD = 0.02", "INIT_STD = 0.03", "variorum.model.gpt:INIT_STD"),
        ("model/gpt.py", "digest[:4]", "digest[:5]", "variorum.model.gpt:_draw"),
        (
            "training/schedules/cosine.py",
            "0.5 * (1",
            "0.4 * (1",
            "variorum.training.schedules.cosine:rate",
        ),
        ("report/templates/report.css", "{", "{ ", "report/templates/report.css"),
    ],
    ids=["a constant", "a private helper", "a chosen component", "package data"],
)
def test_edited_code_is_named(
    here: Path, package_copy: Path, edit: Edit, file: str, old: str, new: str, symbol: str
) -> None:
    edit(file, old, new)
    text = told(here, package=package_copy)
    assert [cause.split(",")[0] for cause in causes_of(text)] == [f"edited: {symbol}"]
    assert re.search(rf"^    -.*{re.escape(old)}", text, re.MULTILINE)
    assert re.search(rf"^    \+.*{re.escape(new)}", text, re.MULTILINE)


def test_a_name_that_comes_from_another_place_is_told(
    root: Path, package_copy: Path, edit: Edit
) -> None:
    edit(
        "model/attention.py",
        "from torch.nn import functional as F",
        "import torch.nn.functional as F",
    )
    imports = "`import torch.nn.functional` instead of `from torch.nn import functional`"
    text = told(root, package=package_copy)
    assert causes_of(text)[0].startswith(f"in {ATTENTION}, F is from {imports}")
    code = Store(root).folder(ref_of(root, "pretrain")) / CODE
    kept = json.loads(code.read_text())
    older = {symbol: text for symbol, text in kept.items() if not symbol.endswith(": names")}
    assert len(older) < len(kept)
    code.write_text(readable_json(older))
    text = told(root, str(ref_of(root, "pretrain")), package=package_copy)
    (cause,) = causes_of(text)
    assert "which library a name comes from" in cause


def test_a_result_whose_source_was_not_kept_says_so(
    root: Path, package_copy: Path, edit: Edit
) -> None:
    edit("model/gpt.py", "INIT_STD = 0.02", "INIT_STD = 0.03")
    old = ref_of(root, "pretrain")
    (Store(root).folder(old) / CODE).unlink()
    assert "was not kept" in told(root, str(old), package=package_copy)


def sources(**modules: str) -> dict[str, str]:
    return {f"variorum.{name}:*": text for name, text in modules.items()}


def test_values_differ_by_type_and_not_by_the_order_of_keys() -> None:
    assert _spelled([{"a": 1, "b": None}]) == _spelled(({"b": None, "a": 1},))
    assert _spelled([1]) != _spelled([1.0]) != _spelled(["1.0"])


def test_edits_without_effect_are_no_differences_of_code() -> None:
    old = sources(a='def f(x: int) -> int:\n    """Doc."""\n    return (x)  # comment')
    new = sources(a="def f(x):\n    return x")
    assert code_differences(old, new) == [Unseen(kept=True)], "so the fingerprints must be equal"


def test_what_moved_is_not_shown_in_full_and_what_an_edit_reaches_is_only_named() -> None:
    helper = "def g():\n    return 1"
    assert code_differences(sources(a=helper), sources(b=helper)) == [
        Moved("variorum.a:g", "variorum.b:g")
    ]
    old = {"variorum.a:f": "def f():\n    return 0"}
    new = {"variorum.a:f": "def f():\n    return g()", "variorum.a:g": helper}
    assert code_differences(old, new) == [
        Edited("variorum.a:f", "def f():\n    return 0", "def f():\n    return g()"),
        Reached(("variorum.a:g",), ()),
    ]
    del old["variorum.a:f"], new["variorum.a:f"]
    old["variorum.a:h"] = new["variorum.a:h"] = "H = 1"
    assert code_differences(old, new) == [Edited("variorum.a:g", "", helper)]


def test_statements_in_another_order_are_told_where_nothing_else_differs(
    here: Path, package_copy: Path, edit: Edit
) -> None:
    first, second = 'WEIGHTS = "model.safetensors"\n', 'CONFIG = "config.json"\n'
    edit("model/files.py", first + second, second + first)
    text = told(here, "pretrain", package=package_copy)
    (cause,) = causes_of(text)
    assert cause.startswith("variorum.model.files runs its statements in another order: ")
    edit("model/files.py", second, 'CONFIG = "settings.json"\n')
    text = told(here, "pretrain", package=package_copy)
    assert [cause.split(",")[0] for cause in causes_of(text)] == [
        "edited: variorum.model.files:CONFIG"
    ]


def test_of_a_class_the_method_is_named_and_of_names_those_that_both_sides_have() -> None:
    body = "class A:\n    limit = {}\n\n    def f(self):\n        return {}\n"
    old = sources(a=body.format(1, 1))
    found = {
        difference.symbol
        for new in (body.format(2, 1), body.format(1, 2))
        for difference in code_differences(old, sources(a=new))
        if isinstance(difference, Edited)
    }
    assert found == {"variorum.a:A", "variorum.a:A.f"}
    names = (
        {"variorum.a: names": "F is torch.nn:functional\nold is x"},
        {"variorum.a: names": "F is jax:*\nnew is y"},
    )
    difference = Meaning("variorum.a", "F", "`from torch.nn import functional`", "`import jax`")
    assert code_differences(*names) == [difference]


# Bytes and libraries


def test_changed_texts_are_named_before_and_after_they_are_downloaded_again(root: Path) -> None:
    texts = root / "texts/base"
    (texts / "03.txt").write_text("Quite another text.\n" * 40)
    (texts / "05.txt").unlink()
    (texts / "new.txt").write_text("One more text.\n" * 40)
    old = flow.current(root, experiment="micro").of_stage("download")
    new = old[0]
    line = "config/experiments/micro.yaml:5"
    for _ in range(2):
        text = told(root)
        (cause,) = causes_of(text)
        assert re.fullmatch(
            rf"the bytes of corpus\.base\.source, sha256 \w{{12}}… -> \w{{12}}… \({line}\)", cause
        )
        for shown in ("1 changed: 03.txt", "1 added: new.txt", "1 removed: 05.txt"):
            assert f"    {shown}\n" in f"{text}\n"
        flow.make(root, new)
    assert reasons(root)["normalize base"].startswith(
        f"follows download {new.ref.key[:6]}…: the bytes of corpus.base.source"
    )


def test_a_librarys_version_is_a_cause_where_it_is_part_of_the_key(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, strict_libraries="true")
    text = told(root)
    assert causes_of(text)[0].startswith("strict_libraries false -> true (config/config.yaml:2)")
    flow.before(root, flow.current(root), "tokenizer")
    current = machine.versions
    monkeypatch.setattr(
        machine, "versions", lambda names: {**current(names), "ftfy": "0.1", "python": "3.99"}
    )
    old = flow.current(root).of_stage("normalize")[0]
    text = told(root, str(old.ref))
    python = current([])["python"]
    assert f"library python {python} -> 3.99" in text
    assert re.search(r"library ftfy \d[\d.]* -> 0\.1", text)


# What is missing


def test_the_walk_ends_at_a_result_that_is_not_here(root: Path) -> None:
    old = ref_of(root, "tokenizer")
    shutil.rmtree(Store(root).folder(old))
    changed = told(root, tokenizer={"train_on": "both"})
    assert f"{old} differs, but it is not here to tell in what, nor pinned by DVC" in changed
    Store(root).folder(old).with_name(f"{old.key}.dvc").write_text("outs: []\n")
    changed = told(root, tokenizer={"train_on": "both"})
    assert f"`dvc pull results/{old}.dvc` brings it" in changed


def test_what_was_made_and_is_gone_is_told_apart_from_what_never_was(root: Path) -> None:
    model, report = ref_of(root, "pretrain"), ref_of(root, "report")
    for ref in (model, report):
        shutil.rmtree(Store(root).folder(ref))
    assert f"its files are gone from results/{model}" in told(root, "pretrain")
    found = reasons(root)
    assert found["pretrain micro"] == "its files are gone", "the fine-tuned model was made from it"
    assert found["report micro"] == f"follows pretrain {model.key[:6]}…"
    Store(root).folder(report).with_name(f"{report.key}.dvc").write_text("outs: []\n")
    assert f"`dvc pull results/{report}.dvc` brings them back" in told(root)
    assert reasons(root)["report micro"] == "its files are gone"


def test_where_nothing_was_made_that_is_said(root: Path) -> None:
    shutil.rmtree(root / "results")
    for reference in ([], ["pretrain"]):
        assert "nothing like it" in told(root, *reference)
    found = reasons(root)
    assert found["download base"] == "nothing like it was made before"
    assert found["normalize base"].startswith("follows download")
    (root / "results/pretrain").mkdir(parents=True)
    (root / "results/pretrain/0123456789ab.dvc").write_text("outs: []\n")
    assert "DVC knows of 1 in results/pretrain; `dvc pull` brings" in told(root, "pretrain")


def test_of_an_experiment_without_a_report_the_last_stage_that_was_made_is_compared(
    root: Path,
) -> None:
    shutil.rmtree(root / "results/report")
    text = told(root, model={"n_layer": 2})
    assert "stress" in text.splitlines()[0]
    assert "model.n_layer 1 -> 2 (command line)" in causes_of(text)


# References


def test_two_runs_of_an_ablation_differ_by_variant_and_seed_and_say_where(here: Path) -> None:
    text = told(here, "positions/learned/1", "positions/rotary/2")
    file = "config/ablations/positions.yaml"
    assert causes_of(text) == [
        f"seed 1 -> 2 ({file}:12)",
        f"model.positions learned -> rotary ({file}:6 -> {file}:9)",
        f"model.rotary_base 10000.0 -> 5000.0 (default -> {file}:10)",
    ]
    assert "seed" not in told(here, "positions/learned", "positions/rotary")


def test_a_finished_run_is_compared_with_the_baselines(root: Path) -> None:
    plan = plan_ablation(load_ablation(root, "positions"), root)
    run = plan.last.upstream["rotary/2/model"]
    assert "differs from pretrain micro" in told(root, "positions/rotary/2").splitlines()[0]
    flow.make(root, run)
    flow.make(root, plan.last.upstream["learned/2/model"])
    text = told(root, "positions/rotary/2")
    assert "differs from pretrain positions/learned/2" in text
    settings = [cause.split()[0] for cause in causes_of(text)]
    assert settings == ["model.positions", "model.rotary_base"]


def test_an_old_result_is_held_against_the_current_experiment(root: Path) -> None:
    old = ref_of(root, "finetune")
    (root / "config/config.yaml").write_text("experiment: tiny\n")
    for reference in (old.key, old.key[:7], str(old), f"results/{old}", f"./results/{old}/"):
        text = told(root, reference)
        assert text.splitlines()[0].startswith("finetune tiny")
        assert f"differs from finetune micro {old.key} (finished)" in text.splitlines()[0]
        assert any(cause.startswith("finetune.max_steps 10 -> 100 (") for cause in causes_of(text))


def test_a_kept_result_is_named_by_its_name_and_explained_as_a_variant(root: Path) -> None:
    old = ref_of(root, "pretrain")
    second = flow.make(root, flow.current(root, seed=2).of_stage("pretrain")[0]).ref
    (root / "config/kept.yaml").write_text(f"before: {{1: {old}, 2: {second}}}\n")
    file = root / "config/ablations/positions.yaml"
    file.write_text(ABLATION.replace("{model: {positions: learned}}", "{kept: before}"))
    text = told(root, "before/1", model={"n_layer": 2})
    assert causes_of(text) == ["model.n_layer 1 -> 2 (command line)"]
    assert causes_of(told(root, "before/1", "before/2")) == ["seed 1 -> 2 (before: default)"]
    text = told(root, "positions/learned/1", "positions/rotary/1")
    assert [cause.split()[0] for cause in causes_of(text)] == [
        "model.positions",
        "model.rotary_base",
    ]


def test_an_experiment_or_a_run_is_taken_at_the_stage_of_what_it_is_compared_with(
    here: Path,
) -> None:
    model = ref_of(here, "pretrain")
    assert "Nothing differs" in told(here, "micro", str(model))
    assert "Nothing differs" in told(here, str(model), "micro")
    assert "Nothing differs" in told(here, "positions/learned/1", "micro")
    text = told(here, "micro", "tiny")
    assert "experiment micro -> tiny" in causes_of(text)
    with pytest.raises(VariorumError, match="are results of different stages; name two of one"):
        told(here, str(model), str(ref_of(here, "tokenizer")))


def test_a_planned_result_is_named_by_its_key_whichever_ablation_it_is_part_of(here: Path) -> None:
    plan = plan_ablation(load_ablation(here, "positions"), here)
    run = plan.last.upstream["rotary/1/model"]
    text = told(here, run.ref.key[:8])
    assert "pretrain positions/rotary/1" in text.splitlines()[0]
    assert causes_of(text)[0].startswith("model.positions learned -> rotary")
    table = told(here, "positions")
    assert "nothing like it is here. evaluate positions/rotary/2" in table
    assert "differs from evaluate pretrained on base" in table


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("pretrein", r"^pretrein: no result, .* is called that; did you mean `pretrain`\? "),
        ("ffffffffffffff", r"^ffffffffffffff: no result, stage, experiment or ablation"),
        ("results/", r"^results/: no result"),
        ("evaluate", r"^evaluate names 4 results \(evaluate/\w+, pretrained on base; .*give one"),
        ("evaluate/", r"^evaluate/: no result"),
        ("positions/rotary/9", r"no such run; known are positions/learned/1, positions/learned/2"),
        ("table", r"^table: the current experiment makes none"),
    ],
)
def test_a_reference_that_names_none_or_several_is_one_clear_line(
    here: Path, reference: str, message: str
) -> None:
    with pytest.raises(VariorumError, match=message) as error:
        told(here, reference)
    assert len(str(error.value).splitlines()) == 1


def test_a_beginning_that_several_keys_share_is_ambiguous(here: Path) -> None:
    keys = Counter(ref.key[0] for ref in Store(here).refs())
    start = keys.most_common(1)[0][0]
    with pytest.raises(VariorumError, match=rf"^{start} names \d+ results \("):
        told(here, start)


def test_a_result_that_the_current_experiment_has_no_like_of_needs_a_second_name(
    here: Path,
) -> None:
    old = ref_of(here, "finetune")
    with pytest.raises(VariorumError, match="makes no finetune; name a second result"):
        told(here, str(old), corpus={"domain": None})


# The most similar one


def fake(number: int, facts: dict[str, int], shelf: Shelf) -> Side:
    """A finished result with these settings, made as the `number`th."""
    spec = Spec("stress", {**facts, "number": number}, {}, "code")
    result = Result(spec.ref, Path(), {"spec": spec.as_data()})
    return Side(spec, shelf, None, result)


FACTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2))


@settings(max_examples=60, deadline=None)
@given(st.lists(FACTS, max_size=8), FACTS)
def test_the_most_similar_result_is_the_one_that_shares_most_facts_and_the_last_of_such(
    made: list[dict[str, int]], asked: dict[str, int]
) -> None:
    shelf = Shelf(Store(Path()))
    sides = [fake(number, facts, shelf) for number, facts in enumerate(made)]
    shared = [len(facts.items() & asked.items()) for facts in made]
    found = Likeness(sides).best(fake(-1, asked, shelf))
    if not sides:
        assert found is None
    else:
        best = max(range(len(made)), key=lambda place: (shared[place], place))
        assert found is sides[best]


def fabricate(root: Path, nodes: list[Node]) -> None:
    """Make nodes look finished, as far as manifests tell."""
    for node in nodes:
        folder = Store(root).folder(node.ref)
        folder.mkdir(parents=True)
        manifest = {"key": node.ref.key, "spec": node.spec.as_data(), "files": {}, "inputs": {}}
        facts = {MANIFEST: manifest, RUN: {"label": node.label}, CODE: node.code.sources}
        for name, content in facts.items():
            (folder / name).write_text(readable_json(content))


def test_many_results_are_explained_with_each_manifest_and_each_pair_of_codes_read_once(
    root: Path, package_copy: Path, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(root / "results")
    file = root / "config/ablations/positions.yaml"
    file.write_text(ABLATION.replace("[1, 2]", str(list(range(60)))))

    def planned(package: Path = PACKAGE) -> Plan:
        return plan_ablation(load_ablation(root, "positions"), root, package=package)

    fabricate(root, list(planned()))
    edit("model/gpt.py", "INIT_STD = 0.02", "INIT_STD = 0.03")
    glanced: Counter[Ref] = Counter()
    glance, code = Store.glance, Result.code
    sources_read: list[Ref] = []

    def counted(store: Store, ref: Ref) -> Result:
        glanced[ref] += 1
        return glance(store, ref)

    def read(result: Result) -> dict[str, str]:
        sources_read.append(result.ref)
        found: dict[str, str] = code.fget(result)  # type: ignore[attr-defined]
        return found

    monkeypatch.setattr(Store, "glance", counted)
    monkeypatch.setattr(Result, "code", property(read))
    found = reasons(root, planned(package_copy))
    trainings = [text for name, text in found.items() if name.startswith("pretrain")]
    assert trainings == ["edited: variorum.model.gpt:INIT_STD"] * 120
    assert set(glanced.values()) == {1}
    assert len(sources_read) == 2, "one for each position encoding"


# The commands themselves


def test_the_command_answers_without_a_numerical_library(root: Path) -> None:
    write(root, model="{n_layer: 2}")
    code = (
        "import sys; from pathlib import Path; from variorum.audit.explain.why import why\n"
        "print(*why(Path(sys.argv[1])).lines(), sep='\\n')\n"
        "heavy = {'torch', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
    assert causes_of(done.stdout) == ["model.n_layer 1 -> 2 (config/config.yaml:2)"]
    assert Project(root).run("variorum", "why").stdout == done.stdout


def test_the_command_takes_settings_and_refuses_in_one_line(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["variorum", "why", "pretrain", "--config", "model={n_head: 1}"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert causes_of(capsys.readouterr().out) == ["model.n_head 2 -> 1 (command line)"]
    monkeypatch.setattr(sys, "argv", ["variorum", "why", "nothing"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert (end.value.code, said.out) == (1, "")
    assert re.fullmatch(r"variorum: nothing: no result, .*\n", said.err)


def test_snakemake_shows_the_same_words_with_each_job(root: Path) -> None:
    write(root, pretrain="{max_steps: 31}", stress='{prompts: ["{the} "]}')
    said = Project(root).snakemake("-n", "results/finetune/report.html")
    shown = said.stdout + said.stderr
    pretrain, stress = ref_of(root, "pretrain"), ref_of(root, "stress")
    assert (
        f"pretrain micro ({pretrain.key}): pretrain.max_steps 30 -> 31 (config/config.yaml:2)"
        in shown
    )
    assert f"stress pretrained ({stress.key}): follows pretrain {pretrain.key[:6]}…" in shown
    tokenizer = flow.current(root).of_stage("tokenizer")[0]
    assert reason(tokenizer, Shelf(Store(root))) == "it is here, and was asked for by force"


def test_every_rule_that_makes_a_result_says_why() -> None:
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    made = re.findall(r"^rule make_(\w+):", rules, re.MULTILINE)
    assert len(made) == 12
    for stage in made:
        assert f'why=flow.why("{stage}")' in rules
        assert f'"{stage} {{params.label}} ({{wildcards.key}}): {{params.why}}"' in rules
