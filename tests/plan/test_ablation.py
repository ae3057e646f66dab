"""Ablations: how their files are read, what is planned for them, and what their tables say."""

import csv
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

import flow
from conftest import ROOT, Project, add_micro_experiment, copy_project
from variorum.base.errors import VariorumError
from variorum.config.model_settings import ModelSettings
from variorum.config.setting_errors import ConfigError
from variorum.config.training_settings import TrainingSettings
from variorum.corpus.tokenfile import TokenFile
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import (
    LoadedAblation,
    _equal_steps,
    ablation_names,
    load_ablation,
)
from variorum.plan.experiment import Plan
from variorum.plan.experiment_settings import Experiment
from variorum.plan.loading import LoadedExperiment
from variorum.plan.references import References
from variorum.report.ablation.table import ablation_table
from variorum.report.claims import Verdict
from variorum.run.publish import publish
from variorum.stages.table import passes, placed
from variorum.store.store import Store

Asked = tuple[list[int], str]
"""Seeds and looks of an ablation."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment, of which tests plan ablations."""
    project = copy_project(tmp_path_factory.mktemp("ablations") / "project")
    add_micro_experiment(project)
    return project


def asked(root: Path, **said: Any) -> LoadedAblation:
    """An ablation of the micro experiment that says this beside what every one must."""
    said = {
        "title": "A title",
        "question": "A question?",
        "experiment": "micro",
        "baseline": "a",
        "seeds": [1, 2],
        **said,
    }
    said.setdefault("variants", {"a": {}, "b": {"model": {"n_embd": 32}}})
    with (root / "config/ablations/asked.yaml").open("w", encoding="utf-8") as file:
        YAML().dump({k: v for k, v in said.items() if v is not None}, file)
    return load_ablation(root, "asked")


def planned(root: Path, **said: Any) -> Plan:
    return plan_ablation(asked(root, **said), root)


def stages(plan: Plan) -> Counter[str]:
    return Counter(node.ref.stage for node in plan)


# Reading


@pytest.mark.parametrize("name", ablation_names(ROOT))
def test_every_ablation_of_the_project_is_valid(name: str) -> None:
    load_ablation(ROOT, name)


def test_an_ablation_never_reads_the_current_configuration(project: Project) -> None:
    (project.root / "config/config.yaml").write_text("not: [valid")
    assert len(load_ablation(project.root, "positions").variants) == 5


def test_a_grid_is_every_combination_in_its_order(shared: Project) -> None:
    grid = {"model.positions": ["learned", "rotary"], "pretrain.batch_size": [4, 8]}
    found = asked(
        shared.root, grid=grid, variants={"a": {"model": {"n_embd": 32}}}, baseline="a"
    ).variants
    assert list(found) == [
        "a",
        "positions=learned,batch_size=4",
        "positions=learned,batch_size=8",
        "positions=rotary,batch_size=4",
        "positions=rotary,batch_size=8",
    ]
    settings = found["positions=rotary,batch_size=8"].experiment.settings
    assert (settings.model.positions, settings.pretrain.batch_size) == ("rotary", 8)


def test_a_list_is_a_grid_of_one_and_its_values_are_the_names(shared: Project) -> None:
    found = asked(
        shared.root,
        variants=None,
        grid={"model.norm": ["layer", "rms"]},
        baseline="layer",
    ).variants
    assert list(found) == ["layer", "rms"]
    values = asked(
        shared.root, variants=None, grid={"model.bias": [True, False]}, baseline="bias=true"
    ).variants
    assert list(values) == ["bias=true", "bias=false"]


def test_settings_of_one_last_name_are_told_apart_in_names(shared: Project) -> None:
    grid = {"pretrain.learning_rate": [1e-3], "finetune.learning_rate": [1e-3]}
    found = asked(shared.root, grid=grid).variants
    assert "pretrain.learning_rate=0.001,finetune.learning_rate=0.001" in found


def test_what_is_tuned_is_tried_for_every_variant_beside_its_own_value(shared: Project) -> None:
    found = asked(shared.root, tune={"pretrain.learning_rate": [0.001, 0.002, 0.004]}).variants
    for variant in found.values():
        runs = {name: experiment for name, _, experiment in variant.runs}
        assert list(runs) == [variant.name, *(f"{variant.name}@0.00{n}" for n in (1, 2, 4))]
        rates = [experiment.settings.pretrain.learning_rate for experiment in runs.values()]
        assert rates[1:] == [0.001, 0.002, 0.004]
        assert {e.settings.model.n_embd for e in runs.values()} == {
            variant.experiment.settings.model.n_embd
        }


def test_only_what_is_fine_tuned_is_tuned_by_a_setting_of_that(shared: Project) -> None:
    variants = {"a": {"last_stage": "pretrain"}, "b": {}}
    tune = {"finetune.learning_rate": [0.001, 0.002, 0.004]}
    found = asked(shared.root, variants=variants, tune=tune, last_stage="finetune").variants
    assert [list(variant.tuned) for variant in found.values()] == [[], [0.001, 0.002, 0.004]]


def test_a_budget_gives_every_variant_as_many_steps_or_tokens(shared: Project) -> None:
    variants = {"a": {}, "b": {"pretrain": {"batch_size": 8}}, "c": {"model": {"n_embd": 32}}}
    for budget, steps in (("steps", [30, 30, 30]), ("tokens", [30, 15, 30])):
        found = asked(shared.root, variants=variants, budget=budget).variants
        got = [v.experiment.settings.pretrain.max_steps for v in found.values()]
        assert got == steps


def test_a_budget_holds_for_every_value_that_is_tried(shared: Project) -> None:
    tune = {"pretrain.batch_size": [2, 4, 8]}
    for variant in asked(shared.root, tune=tune, budget="tokens").variants.values():
        steps = {v: e.settings.pretrain.max_steps for v, e in variant.tuned.items()}
        assert steps == {2: 60, 4: 30, 8: 15}


@given(
    st.integers(1, 64).map(lambda n: 2 * n),
    st.integers(1, 64).map(lambda n: 2 * n),
    st.integers(2, 128),
    st.integers(2, 128),
    st.integers(100, 10_000),
)
def test_equal_tokens_are_equal_within_one_step(
    batch: int, other_batch: int, context: int, other_context: int, steps: int
) -> None:
    def loaded(batch_size: int, context_length: int) -> LoadedExperiment:
        settings = Experiment.model_construct(
            model=ModelSettings(context_length=context_length),
            pretrain=TrainingSettings(batch_size=batch_size, max_steps=steps, warmup_steps=1),
        )
        return LoadedExperiment("any", settings)

    baseline, own = loaded(batch, context), loaded(other_batch, other_context)
    found = _equal_steps("tokens", "pretrain", own, baseline)
    a_step = other_batch * other_context
    assert found == 1 or abs(found * a_step - steps * batch * context) <= a_step / 2


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"baseline": "c"}, "'c' is no variant; choose one of a, b"),
    ({"variants": {"a": {}}}, "1 variant; compare at least two"),
    ({"variants": {"a": {}, "b": {"model": {"position": 1}}}}, "model.position: .*`positions`"),
    ({"variants": {"a": {}, "b/c": {}}}, "'b/c' is no name of a variant"),
    ({"grid": {"model.n_embd": []}}, "grid.model.n_embd: no values"),
    ({"grid": {"model.n_embed": [32]}}, r"model.n_embed: unknown setting; did you mean `n_embd`"),
    ({"grid": {"seed": [1, 2]}}, "a variant sets seed, which every variant takes from here"),
    ({"grid": {"model.n_layer": [1, 1]}}, "two variants are called n_layer=1"),
    ({"variants": {"a": {}, "b": {"seed": 3}}}, "a variant sets seed"),
    ({"margin": 0}, "margin: 0 should be greater than 0"),
    ({"looks": "often"}, "looks: 'often' should be 'once' or 'any'"),
    ({"seeds": [1]}, r"seeds: \[1\] should have at least 2 entries"),
    ({"seeds": [1, 1]}, "seeds: each may occur once"),
    ({"corpora": ["base", "base"]}, "corpora: each may occur once"),
    ({"corpora": ["bass"]}, "corpora.0: 'bass' should be 'base' or 'domain'"),
    ({"corpus": "base"}, "corpus: unknown setting; did you mean `corpora`"),
    ({"tune": {"pretrain.learning_rate": [1e-3, 2e-3]}}, "should be three values or more"),
    ({"tune": {"pretrain.learning_rate": [3e-3, 2e-3, 1e-3]}}, "in rising order"),
    ({"tune": {"pretrain.rate": [1e-3, 2e-3, 3e-3]}}, "pretrain.rate: unknown setting"),
    (
        {"tune": {"evaluate.stride": [2, 4, 8]}},
        "tune.evaluate.stride: is chosen by the validation loss",
    ),
    ({"tune": {"pretrain.val_tokens": [64, 128, 256]}}, "tune.pretrain.val_tokens: is chosen by"),
    ({"tune": {"seed": [1, 2, 3]}}, "tune.seed: is chosen by the validation loss"),
    (
        {"tune": {"pretrain.max_steps": [9, 18, 27]}, "budget": "tokens"},
        "tune.pretrain.max_steps: is chosen by the validation loss",
    ),
    (
        {"tune": {"finetune.learning_rate": [1e-4, 1e-3, 1e-2]}},
        "no finetune runs where last_stage is pretrain; set last_stage: finetune",
    ),
    (
        {"variants": {"a": {}, "b": {"pinned": "old"}}, "budget": "steps"},
        "variants.b.pinned: `budget` decides how variants are trained",
    ),
    ({"variants": {"a": {}, "..": {}}}, "'..' is no name of a variant"),
    ({"variants": {"a": None, "b": {}}}, "None should be a section of settings"),
    ({"seeds": [-1, 2]}, "seeds.0: -1 should be greater than or equal to 0"),
    (
        {"variants": {"a": {}, "b": {"evaluate": {"stride": 4}}}},
        "variant b sets `evaluate`, so it would be measured in another way",
    ),
    (
        {"variants": {"a": {}, "b": {"pretrain": {"max_steps": 9}}}, "budget": "tokens"},
        "variant b sets pretrain.max_steps, which follows from `budget`",
    ),
    (
        {"variants": {"a": {}, "b": {"last_stage": "encode"}}},
        "variants.b.last_stage: 'encode' should be one of pretrain, finetune",
    ),
    (
        {"variants": {"a": {}, "b": {"corpus": {"domain": None}}}, "last_stage": "finetune"},
        "variant b has no domain corpus",
    ),
]


@pytest.mark.parametrize(("said", "message"), WRONG)
def test_what_cannot_be_is_one_line_with_its_place(
    shared: Project, said: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        asked(shared.root, **said)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("config/ablations/asked.yaml")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("micro", "micro is the name of an experiment"),
        ("table", "table is the name of a stage"),
        ("experiments", "reports/experiments/ holds numbers of pages"),
        ("my.run", "a name has letters, digits, _ and - alone"),
        ("trainée", "a name has letters, digits, _ and - alone"),
    ],
)
def test_a_name_that_cannot_be_told_from_others_is_refused(
    shared: Project, name: str, why: str
) -> None:
    asked(shared.root)
    file = shared.root / "config/ablations/asked.yaml"
    same = file.with_stem(name)
    same.write_text(file.read_text())
    wanted = f"config/ablations/{name}.yaml: {why}; rename the file"
    for read in (load_ablation, lambda root, name: References(root).named(name)):
        with pytest.raises(ConfigError) as error:
            read(shared.root, name)
        assert str(error.value) == wanted
    same.unlink()


# Planning


def test_runs_share_what_is_equal(shared: Project) -> None:
    variants = {"a": {}, "same": {}, "b": {"model": {"n_embd": 32}}}
    found = stages(planned(shared.root, variants=variants))
    assert found == {
        **dict.fromkeys(("download", "normalize", "tokenizer", "encode", "table"), 1),
        "baselines": 1,
        **dict.fromkeys(("pretrain", "evaluate"), 4),
    }


def test_what_is_tuned_at_a_variants_own_value_is_the_same_run(shared: Project) -> None:
    own = asked(shared.root).variants["a"].experiment.settings.pretrain.learning_rate
    plan = planned(shared.root, tune={"pretrain.learning_rate": [own / 2, own, own * 2]})
    upstream = plan.last.upstream
    assert upstream[f"a@{own}/1/model"] is upstream["a/1/model"]
    assert stages(plan)["pretrain"] == 2 * 3 * 2


def test_every_corpus_is_scored_and_a_variant_may_end_earlier(shared: Project) -> None:
    plan = planned(
        shared.root,
        last_stage="finetune",
        corpora=["domain", "base"],
        variants={"a": {"last_stage": "pretrain"}, "b": {}},
    )
    assert stages(plan)["evaluate"] == 2 * 2 * 2
    upstream = plan.last.upstream
    assert upstream["a/1/model"].ref.stage == "pretrain"
    assert upstream["b/1/model"].ref.stage == "finetune"
    assert upstream["b/1/model"].upstream["model"] is upstream["a/1/model"]
    assert {upstream[f"{v}/text/domain"].label for v in "ab"} == {"domain"}


def test_what_counts_by_token_is_not_compared_over_tokenizers(shared: Project) -> None:
    variants = {"a": {}, "b": {"tokenizer": {"kind": "bpe", "vocab_size": 300}}}
    planned(shared.root, variants=variants)
    with pytest.raises(ConfigError, match=r"asked.yaml:\d+: metric: perplexity counts by token"):
        planned(shared.root, variants=variants, metric="perplexity")


def test_what_a_variant_changes_is_told_by_its_settings(shared: Project) -> None:
    variants = {
        "a": {"last_stage": "pretrain"},
        "b": {"tokenizer": {"kind": "characters"}, "finetune": {"replay": 0.25}},
    }
    grid = {"finetune.replay": [0.0, 0.5], "finetune.batch_size": [4]}
    plan = planned(shared.root, variants=variants, grid=grid, last_stage="finetune")
    settings = plan.last.spec.settings
    assert settings["changes"] == {
        "a": {"last_stage": "pretrain"},
        "b": {"tokenizer.kind": "characters", "finetune.replay": "0.25"},
        "replay=0.0,batch_size=4": {"finetune.replay": "0.0", "finetune.batch_size": "4"},
        "replay=0.5,batch_size=4": {"finetune.replay": "0.5", "finetune.batch_size": "4"},
    }
    assert settings["axes"] == ["finetune.replay", "finetune.batch_size"]
    assert settings["experiment"] == "micro"
    assert settings["texts"].keys() == {"base", "domain"}


def test_baselines_are_planned_of_the_text_that_is_judged(shared: Project) -> None:
    corpora = ["domain", "base"]
    upstream = planned(shared.root, corpora=corpora, last_stage="finetune").last.upstream
    for corpus in corpora:
        baselines = upstream[f"baselines/{corpus}"]
        assert baselines.upstream["text"] is upstream[f"a/text/{corpus}"]
    others = planned(shared.root, metric="perplexity").last.upstream
    assert not [name for name in others if name.startswith("baselines/")]


@pytest.mark.parametrize(
    ("known", "new", "refused"),
    [
        (([1, 2], "once"), ([1, 2, 3], "once"), True),
        (([1, 2, 3], "once"), ([1, 2], "once"), True),
        (([1, 2, 3], "once"), ([1, 2, 4], "once"), True),
        (([1, 2, 3], "any"), ([1, 2, 3], "once"), True),
        (([1, 2], "once"), ([1, 2, 3], "any"), False),
        (([1, 2], "any"), ([1, 2, 3], "any"), False),
        (([1, 2], "once"), ([3, 4, 5], "once"), False),
        (([1, 2], "any"), ([3, 4, 5], "once"), False),
        (([1, 2], "once"), ([2, 1], "once"), False),
    ],
)
def test_seeds_do_not_change_after_a_look(
    project: Project, known: Asked, new: Asked, refused: bool
) -> None:
    add_micro_experiment(project)
    place_table(project, *known)
    seeds, looks = new
    other = {"variants": {"a": {"model": {"n_embd": 48}}, "b": {"model": {"n_embd": 64}}}}
    planned(project.root, seeds=seeds, looks=looks, **other)  # runs that nobody looked at
    if not refused:
        planned(project.root, seeds=seeds, looks=looks)
        return
    with pytest.raises(ConfigError, match=r"asked.yaml:\d+: seeds: reports/asked/table.md shows"):
        planned(project.root, seeds=seeds, looks=looks)


@pytest.mark.parametrize(
    ("known", "margin", "refused"),
    [(None, 0.1, True), (0.1, 0.2, True), (0.1, 0.1, False), (0.1, None, False)],
)
def test_a_margin_is_not_named_after_a_look(
    project: Project, known: float | None, margin: float | None, refused: bool
) -> None:
    add_micro_experiment(project)
    place_table(project, [1, 2], "once", known)
    planned(project.root, seeds=[3, 4], margin=margin)
    if not refused:
        planned(project.root, seeds=[1, 2], margin=margin)
        return
    with pytest.raises(ConfigError, match=r"asked.yaml:\d+: margin: reports/asked/table.md shows"):
        planned(project.root, seeds=[1, 2], margin=margin)


def place_table(
    project: Project, seeds: list[int], looks: str, margin: float | None = None
) -> None:
    """Put the manifest of a table of these runs where people look at it."""
    table = planned(project.root, seeds=seeds, looks=looks, margin=margin).last
    folder = project.root / "reports/asked"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"spec": table.spec.as_data()}))


def test_a_reference_names_a_run_with_a_value_that_was_tried(shared: Project) -> None:
    plan = planned(shared.root, tune={"pretrain.learning_rate": [0.001, 0.002, 0.004]})
    named = References(shared.root).named("asked/b@0.002/2")
    assert named.refs == (plan.last.upstream["b@0.002/2/model"].ref,)
    assert len(References(shared.root).named("asked/b").refs) == 2


# What tables say


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """An ablation, made, with a rate that is ten times too high and variants that are equal."""
    project = copy_project(tmp_path_factory.mktemp("judged") / "project")
    add_micro_experiment(project)
    variants = {
        "a": {},
        "tenfold": {"pretrain": {"learning_rate": 0.3}},
        "silent": {"pretrain": {"sample_tokens": 0}},
        "one shard": {"pretrain": {"shards": 1}},
    }
    file = project.root / "config/experiments/micro.yaml"
    file.write_text(file.read_text().replace("max_steps: 30", "learning_rate: 0.03, max_steps: 60"))
    plan = planned(project.root, variants=variants, seeds=[1, 2, 3, 4, 5], margin=0.05)
    flow.finish(project.root, plan)
    publish(Store(project.root), plan.last.ref, project.root / "reports/asked")
    return project


def verdicts(project: Project) -> dict[str, str]:
    with (project.root / "reports/asked/table.csv").open(encoding="utf-8") as file:
        return {row["variant"]: row["verdict"] for row in csv.DictReader(file)}


def test_a_rate_that_is_ten_times_too_high_is_called_worse(judged: Project) -> None:
    assert verdicts(judged)["tenfold"] == "worse"


def test_equal_variants_are_called_neither_better_nor_worse(judged: Project) -> None:
    found = verdicts(judged)
    assert (found["silent"], found["one shard"]) == ("alike", "alike")
    folder = judged.root / "reports/asked"
    assert re.search(
        r"alike to a: silent \(0.0000\), one shard \(", (folder / "table.md").read_text()
    )
    table = placed(folder)
    without = ablation_table(table.runs, replace(table.question, margin=None))
    rows = {row.variant: row.verdict for row in without.sections[0].rows}
    assert (rows["silent"], rows["one shard"]) == (Verdict.OPEN, Verdict.OPEN)


def test_a_table_shows_the_baselines_of_its_text(judged: Project) -> None:
    folder = judged.root / "reports/asked"
    baselines = Store(judged.root).open(
        load_and_plan(judged.root).last.upstream["baselines/base"].ref
    )
    content = baselines.json("metrics.json")
    with (folder / "baselines.csv").open(encoding="utf-8") as file:
        found = {
            (row["kind"], row["name"]): float(row["bits_per_byte"]) for row in csv.DictReader(file)
        }
    assert found == {
        (kind, name): each["bits_per_byte"]
        for kind in ("static", "adaptive")
        for name, each in content[kind].items()
    }
    assert {("static", "ppmd"), ("adaptive", "ppmd"), ("adaptive", "bz2")} <= found.keys()
    text = (folder / "table.md").read_text()
    assert re.search(
        r"On the base test text, judged by seeds alone, worse than static "
        r"(PPMd of order \d+|\d+-grams) \(\d",
        text,
    )


def test_a_table_says_what_was_compared(judged: Project) -> None:
    text = (judged.root / "reports/asked/table.md").read_text()
    assert "Experiment `micro`; base corpus: " in text
    assert "has 60 steps of 4 sequences of 16 tokens." in text
    assert "| tenfold | pretrain.learning_rate: 0.3 |" in text
    assert "| a | nothing |" in text


def test_a_table_lies_in_its_place_with_its_manifest_and_costs(judged: Project) -> None:
    folder = judged.root / "reports/asked"
    assert {file.name for file in folder.iterdir()} == {
        *("table.md", "table.csv", "table.html", "runs.csv", "costs.csv", "manifest.json"),
        *("intervals.svg", "curves.svg", "baselines.csv"),
    }
    with (folder / "costs.csv").open(encoding="utf-8") as file:
        costs = list(csv.DictReader(file))
    assert len(costs) == 20
    assert all(float(cost["seconds"]) > 0 and cost["device"] == "cpu" for cost in costs)


def test_a_table_counts_tokens_and_operations(judged: Project) -> None:
    with (judged.root / "reports/asked/runs.csv").open(encoding="utf-8") as file:
        run = next(csv.DictReader(file))
    assert int(run["tokens"]) == 60 * 4 * 16
    assert int(run["flops"]) > 6 * int(run["tokens"]) * 3_000
    encoded = Store(judged.root).open(load_and_plan(judged.root).last.upstream["a/tokens"].ref)
    n_train = len(TokenFile.open(encoded.folder, "train").tokens)
    assert float(run["passes"]) == pytest.approx(60 * 4 * 16 / n_train)
    for replay, own in ((0.0, 4), (0.25, 3), (0.3, 3), (0.5, 2), (0.9, 0)):
        seen = passes(encoded, {"batch_size": 4, "replay": replay}, 1000)
        assert seen == pytest.approx(own / 4 * 1000 / n_train)
    assert passes(encoded, {}, 1000) is None


def test_what_another_table_left_in_the_place_goes(judged: Project) -> None:
    folder = judged.root / "reports/other"
    ref = load_and_plan(judged.root).last.ref
    publish(Store(judged.root), ref, folder)
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace('"curves.svg"', '"gone.svg"'))
    (folder / "gone.svg").write_text("old")
    (folder / "notes.txt").write_text("somebody's own")
    publish(Store(judged.root), ref, folder)
    assert not (folder / "gone.svg").exists()
    assert (folder / "notes.txt").exists()


def load_and_plan(root: Path) -> Plan:
    return plan_ablation(load_ablation(root, "asked"), root)


def test_variants_that_were_judged_on_other_texts_are_not_compared(shared: Project) -> None:
    split = {"split": {"salt": "others"}}
    variants = {"a": {}, "b": {"corpus": {"base": split, "domain": split}}}
    plan = planned(shared.root, variants=variants)
    node = flow.before(shared.root, plan, "table")
    with pytest.raises(VariorumError, match="b have another base test text than a"):
        flow.make(shared.root, node)
