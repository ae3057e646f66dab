"""Settings: merged in one order, checked before anything runs, and refused in clear lines."""

import json
import math
import time
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from conftest import ROOT, Project
from variorum.config.canonical import canonical, chosen_components, models_of, restored
from variorum.config.model_settings import ModelSettings
from variorum.config.schema import texts
from variorum.config.setting_checks import _all_settings
from variorum.config.setting_errors import PEER_NAMES, ConfigError
from variorum.config.setting_layers import leaves
from variorum.config.types import Settings, setting
from variorum.config.yaml_text import read_value
from variorum.corpus.sources.csv import CsvSource, RowFilter
from variorum.plan.ablation_settings import Ablation
from variorum.plan.experiment import plan_experiment
from variorum.plan.experiment_settings import CONFIGURATIONS, Experiment
from variorum.plan.loading import load_experiment, named_experiment, provenance

NAMES = [path.stem for path in sorted((ROOT / "config/experiments").glob("*.yaml"))]

WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"pretrain": {"learning_rat": 1}},
        "pretrain.learning_rat: unknown setting; did you mean `learning_rate`?",
    ),
    ({"pretrain": {"max_iters": 1}}, "did you mean `max_steps`?"),
    ({"model": {"block_size": 8}}, "did you mean `context_length`?"),
    ({"model": {"d_model": 8}}, "did you mean `n_embd`?"),
    ({"learning_rate": 1e-3}, "did you mean `pretrain.learning_rate`?"),
    ({"lr": 1e-3}, "did you mean `pretrain.learning_rate`?"),
    ({"model": {"n_layer": "many"}}, "model.n_layer: 'many' should be a number"),
    ({"model": {"n_layer": 1.5}}, "model.n_layer: 1.5 should be a whole number"),
    ({"model": {"n_layer": True}}, "model.n_layer: True should be a number"),
    ({"model": {"n_layer": 0}}, "model.n_layer: 0 should be greater than or equal to 1"),
    ({"model": {"bias": "yes"}}, "model.bias: 'yes' should be true or false"),
    ({"pretrain": {"compile": "yes"}}, "pretrain.compile: 'yes' should be true or false"),
    ({"finetune": {"compile": 1}}, "finetune.compile: 1 should be true or false"),
    ({"model": {"dropout": 1.0}}, "model.dropout: 1.0 should be less than 1"),
    ({"pretrain": {"learning_rate": math.nan}}, "should be a finite number"),
    ({"model": {"n_head": 3}}, "3 heads do not divide the width n_embd = 128; try 4"),
    ({"model": {"n_head": 6}}, "6 heads do not divide the width n_embd = 128; try 8"),
    ({"model": {"n_head": 999}}, "999 heads do not divide the width n_embd = 128; try 128"),
    ({"model": {"n_embd": 2**53 + 1, "n_head": 4}}, f"the width n_embd = {2**53 + 1}; try 3"),
    ({"model": {"n_embd": 2**61 - 1, "n_head": 2**60}}, f"n_embd = {2**61 - 1}; try 1"),
    ({"model": {"n_head": 128}}, "n_embd / n_head must be even, not 1"),
    ({"model": {"positions": "rotry"}}, "no 'rotry'; choose one of alibi, learned, none, rotary"),
    ({"tokenizer": {"vocab_size": 100}}, "100 cannot hold the 256 bytes"),
    ({"tokenizer": {"vocab_size": None}}, "None cannot hold the 256 bytes"),
    ({"pretrain": {"batch_size": 7}}, "7 sequences cannot be shared equally by 2 shards; try 8"),
    ({"pretrain": {"warmup_steps": 9999}}, "leaves nothing of max_steps"),
    ({"pretrain": {"min_learning_rate": 0.5}}, "min_learning_rate: 0.5 is above learning_rate"),
    ({"evaluate": {"stride": 1000}}, "1000 is more than model.context_length = 128"),
    ({"finetune": {"freeze": ["h.0", "h.4"]}}, "no part of a model is called h.4; there are wte, "),
    ({"finetune": {"freeze": ["h.01"]}}, "no part of a model is called h.01; there are wte, "),
    ({"finetune": {"freeze": ["h.x.mlp"]}}, "no part of a model is called h.x.mlp"),
    ({"finetune": {"freeze": ["wtee"]}}, "finetune.freeze: no part of a model is called wtee"),
    ({"pretrain": {"stride": 129}}, "pretrain.stride: 129 is more than model.context_length = 128"),
    (
        {"finetune": {"replay": 0.02}},
        "command line: finetune.replay: 0.02 of 12 sequences is none; with "
        "this batch_size give 0, or from 0.083 to 0.92",
    ),
    ({"finetune": {"replay": 0.99}}, "replay: 0.99 of 12 sequences is all of them"),
    ({"title": 3}, "title: 3 should be text: put it in quotes"),
    ({"pretrain": 3}, "pretrain: 3 should be a section of settings"),
    (
        {"corpus": {"base": {"source": {"kind": "ur"}}}},
        "'ur' is none of arxiv, csv, files, genius, python-package, synthetic, url; "
        "did you mean `url`?",
    ),
    ({"corpus": {"base": {"source": {"kind": "gopher"}}}}, "synthetic, url; choose one of them"),
    (
        {"corpus": {"base": {"source": {"kind": ["url"]}}}},
        "source.kind: '['url']' is none of arxiv",
    ),
    ({"corpus": {"base": {"source": {"kind": None}}}}, "source.kind: 'None' is none of arxiv"),
    ({"corpus": {"base": {"source": {"verion": "1"}}}}, "did you mean `version`?"),
    ({"corpus": {"base": {"source": {"sha256": "abc"}}}}, "64 hexadecimal digits"),
    (
        {"experiment": "defalt"},
        "config/experiments/defalt.yaml: there is no such file; did you mean `default`?",
    ),
]


@pytest.mark.parametrize(("overrides", "message"), WRONG)
def test_a_wrong_setting_is_one_clear_line(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_experiment(ROOT, overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    place = "config/" if "experiment" in overrides else "command line: "
    assert str(error.value).startswith(place)


def test_several_faults_are_several_lines() -> None:
    with pytest.raises(ConfigError) as error:
        load_experiment(ROOT, {"model": {"n_layer": 0, "n_heads": 3}})
    assert len(str(error.value).splitlines()) == 2


def test_file_and_line_of_a_wrong_setting_are_named(project: Project) -> None:
    config = project.root / "config/config.yaml"
    config.write_text("experiment: default\nmodel:\n  n_layer: 3\n  n_heads: 4\n")
    with pytest.raises(ConfigError, match=r"config/config.yaml:4: model.n_heads"):
        load_experiment(project.root)
    experiment = project.root / "config/experiments/default.yaml"
    experiment.write_text(experiment.read_text().replace("dropout: 0.2", "dropout: 2"))
    config.write_text("experiment: default\n")
    with pytest.raises(ConfigError, match=r"config/experiments/default.yaml:\d+: model.dropout"):
        load_experiment(project.root)
    source = "\ncorpus:\n  domain:\n    source:\n      kind: gopher\n"
    config.write_text("experiment: tiny" + source)
    with pytest.raises(ConfigError, match=r"config/config.yaml:5: corpus.domain.source.kind: "):
        load_experiment(project.root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experiment: [default\n", "not valid YAML"),
        ("a: 1\na: 2\n", "not valid YAML"),
        ("title: 2001-13-45\n", "not valid YAML: month must be .*; put text in quotes"),
        ("- default\n", "write `setting: value` lines"),
        ("experiment: d\xe4\n".encode("latin-1"), "not UTF-8"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(
    project: Project, text: str | bytes, message: str
) -> None:
    content = text if isinstance(text, bytes) else text.encode()
    (project.root / "config/config.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_experiment(project.root)


@pytest.mark.parametrize(
    "typed", ["2001-13-45", "!!int a", "!!int ''", "!!bool q", "0b_", "-_", "[" * 5000, "[", "\0"]
)
def test_a_typed_value_that_is_none_is_one_clear_line(typed: str) -> None:
    with pytest.raises(ConfigError, match=r"^/stop: the value is not valid YAML; put text in") as e:
        read_value(typed, "/stop")
    assert "\n" not in str(e.value)


def test_an_imported_model_at_home_of_nobody_is_one_clear_line() -> None:
    with pytest.raises(ConfigError, match=r"imported\.path: ~no-such-user/x: no home folder"):
        load_experiment(ROOT, {"imported": {"path": "~no-such-user/x"}})


def test_a_wrong_configuration_ends_every_command_within_a_second_of_its_start(
    project: Project,
) -> None:
    (project.root / "config/config.yaml").write_text("experiment: default\nmodel: {n_layr: 3}\n")
    begun = time.monotonic()
    done = project.run("variorum", "config", check=False)
    assert time.monotonic() - begun < 5, "the start of Python included, on a busy machine"
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "variorum: config/config.yaml:2: model.n_layr: unknown setting; did you mean `n_layer`?\n"
    )
    run = project.snakemake("results/finetune/report.html", check=False)
    assert run.returncode
    assert "did you mean `n_layer`?" in run.stderr
    assert "Traceback" not in run.stderr + run.stdout


def test_layers_win_in_their_order_and_their_places_are_known(project: Project) -> None:
    (project.root / "config/config.yaml").write_text(
        "experiment: tiny\nmodel:\n  n_layer: 3\n  n_head: 1\n"
    )
    loaded = load_experiment(project.root, {"model": {"n_head": 4}})
    known = {name: (value, origin) for name, value, origin in provenance(loaded)}
    assert loaded.name == "tiny"
    assert known["model.n_head"] == (4, "command line")
    assert known["model.n_layer"] == (3, "config/config.yaml:3")
    assert known["model.n_embd"][1].startswith("config/experiments/tiny.yaml:")
    assert known["model.dropout"] == (0.0, "default")
    assert load_experiment(project.root, {"experiment": "classic"}).settings.model.n_layer == 3


def test_another_kind_of_source_replaces_the_whole_section() -> None:
    source = {"kind": "url", "url": "https://example.org/a.txt"}
    loaded = load_experiment(ROOT, {"corpus": {"base": {"source": source}}})
    assert loaded.settings.corpus.base.source.kind == "url"


@pytest.mark.parametrize("written", ["1e-05", 1e-5, "0.00001", "1E-5"])
def test_a_number_is_a_number_however_it_was_written(written: object) -> None:
    changes = {"pretrain": {"learning_rate": written, "min_learning_rate": 0}}
    pretrain = load_experiment(ROOT, changes).settings.pretrain
    assert canonical(pretrain)["learning_rate"] == 1e-5
    assert repr(canonical(pretrain)["min_learning_rate"]) == "0.0"


@pytest.mark.parametrize("written", [100, 100.0, "100", "1e2"])
def test_a_whole_number_is_an_int_however_it_was_written(written: object) -> None:
    pretrain = load_experiment(ROOT, {"pretrain": {"max_steps": 150, "warmup_steps": written}})
    assert repr(pretrain.settings.pretrain.warmup_steps) == "100"


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_of_the_project_is_valid(name: str) -> None:
    named_experiment(ROOT, name)


# Canonical form


class Later(Settings):
    n: int = setting(1, "An old setting.")
    added: float = setting(0.5, "A setting that was added later.", omit_when=0.0)


class Outer(Settings):
    inner: Later = setting(Later(), "A section.")


def test_a_setting_at_its_omitted_value_is_left_out_of_the_canonical_form() -> None:
    assert canonical(Outer(inner=Later(added=0.0))) == {"inner": {"n": 1}}
    assert canonical(Outer()) == {"inner": {"n": 1, "added": 0.5}}


def test_what_was_left_out_is_restored_to_the_omitted_value_not_the_default() -> None:
    for settings in (Outer(inner=Later(added=0.0)), Outer()):
        assert restored(Outer, canonical(settings)) == settings


def test_every_experiment_survives_its_canonical_form() -> None:
    for name in NAMES:
        settings = named_experiment(ROOT, name).settings
        assert restored(Experiment, json.loads(json.dumps(canonical(settings)))) == settings


def test_the_chosen_components_are_found_wherever_they_stand() -> None:
    settings = named_experiment(ROOT, "shakespeare").settings
    assert {
        ("corpus/sources", "url"),
        ("corpus/sources", "python-package"),
        ("tokenizer/kinds", "characters"),
        ("model/attentions", "fused"),
        ("model/feed_forwards", "gelu"),
        ("model/norms", "layer"),
        ("model/positions", "learned"),
        ("training/batch_orders", "replacement"),
        ("training/optimizers", "adamw"),
        ("training/schedules", "cosine"),
    } == set(chosen_components(settings))


def test_numbers_that_a_tool_hands_over_as_text_lead_to_the_same_keys(micro: Project) -> None:
    """Snakemake does so with nested settings; the report's key holds the command they are in."""
    keys = []
    for steps, rate in ((15, 1e-3), ("15", "1e-3"), ("15", "0.001"), (15.0, 0.001)):
        changes = {"pretrain": {"max_steps": steps, "learning_rate": rate}}
        loaded = load_experiment(micro.root, changes)
        assert loaded.overrides == {"pretrain": {"max_steps": 15, "learning_rate": 0.001}}
        keys.append(list(plan_experiment(loaded, micro.root, offline=True).nodes))
    assert keys[1:] == keys[:-1]


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        ModelSettings().n_layer = 3  # type: ignore[misc]


# What is written about settings elsewhere


def test_the_default_experiment_explains_every_setting() -> None:
    loaded = named_experiment(ROOT, "default")
    inherited = {"finetune", "report", "corpus.domain"}
    silent = [
        name
        for name, _, origin in provenance(loaded)
        if origin == "default" and not any(name.startswith(section) for section in inherited)
    ]
    assert not silent, "config/experiments/default.yaml leaves these out"


def test_what_default_yaml_says_of_defaults_is_so() -> None:
    text = (ROOT / "config/experiments/default.yaml").read_text()
    assert YAML(typ="safe").load(text)["model"]["rotary_base"] == ModelSettings().rotary_base


def test_docstrings_is_the_default_on_other_parts_of_the_same_packages() -> None:
    default, docstrings = (
        named_experiment(ROOT, name).settings.model_dump(mode="json")
        for name in ("default", "docstrings")
    )
    parts = [docstrings["corpus"][name]["source"].pop("part") for name in ("base", "domain")]
    assert parts == ["docstrings", "docstrings"]
    parts = [default["corpus"][name]["source"].pop("part") for name in ("base", "domain")]
    assert parts == ["prose", "prose"]
    assert docstrings | {"title": default["title"]} == default


def test_the_committed_schemas_equal_the_settings() -> None:
    for name, text in texts(CONFIGURATIONS).items():
        assert (ROOT / name).read_text() == text, "run `variorum schema`"


def test_every_truth_value_is_strict() -> None:
    """Else `yes` in quotes, or 1, would be taken for true here and be refused there."""
    models: list[type[Settings]] = [Experiment, Ablation]
    found = 0
    for model in models:
        for name, field in model.model_fields.items():
            models += [inner for inner in models_of(field.annotation) if inner not in models]
            if field.annotation is bool:
                found += 1
                assert any(getattr(each, "strict", False) for each in field.metadata), name
    assert found > 10


def test_every_field_has_an_explanation() -> None:
    for path, name in _all_settings(Experiment, ()):
        model: Any = Experiment
        for section, following in pairwise(path.split(".")):
            model = _inner(model, section, following)
        assert model.model_fields[name].description, path


def _inner(model: Any, section: str, name: str) -> Any:
    found = models_of(model.model_fields[section].annotation)
    return next((m for m in found if name in m.model_fields), found[0])


def test_every_peers_name_leads_to_a_setting_of_ours() -> None:
    ours = {name for _, name in _all_settings(Experiment, ())}
    assert set(PEER_NAMES.values()) <= ours
    assert not set(PEER_NAMES) & ours


# Presets


def with_text(project: Project, name: str, text: str) -> None:
    """An experiment of the project: the micro one with some lines more."""
    micro = (project.root / "config/experiments/micro.yaml").read_text()
    (project.root / f"config/experiments/{name}.yaml").write_text(text + micro)


@pytest.mark.parametrize("name", [path.stem for path in (ROOT / "config/presets").glob("*.yaml")])
def test_a_preset_holds_where_nothing_else_is_said(micro: Project, name: str) -> None:
    with_text(micro, "mine", f"preset: {name}\n")
    mine = named_experiment(micro.root, "mine")
    preset = YAML(typ="safe").load(micro.root / f"config/presets/{name}.yaml")
    for section, values in preset.items():
        for setting_name, value in values.items():
            found = getattr(getattr(mine.settings, section), setting_name)
            assert found == (tuple(value) if isinstance(value, list) else value)
            origin = mine.layers.origin((section, setting_name))
            assert origin.startswith(f"config/presets/{name}.yaml:")
    assert mine.settings.model.n_embd == 16  # the experiment's own


def test_a_preset_is_no_part_of_a_key_but_what_it_sets_is(micro: Project) -> None:
    plain = named_experiment(micro.root, "micro")
    with_text(micro, "mine", "preset: gpt2\n")
    assert canonical(named_experiment(micro.root, "mine").settings.model) == canonical(
        plain.settings.model
    )
    changed = load_experiment(micro.root, {"preset": "modern"})
    assert changed.settings.model.positions == "rotary"
    assert changed.overrides == {"preset": "modern"}


def test_a_preset_that_is_none_is_refused_with_what_is_known(micro: Project) -> None:
    with pytest.raises(ConfigError, match=r"config/presets/moder\.yaml: .* did you mean `modern`"):
        load_experiment(micro.root, {"preset": "moder"})


SPELLINGS = ("./texts/base", "texts/base/", "texts//base", "texts/./base", "./texts//base/")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_path_has_one_key_however_it_is_spelled(micro: Project, spelling: str) -> None:
    def keys(path: str) -> list[str]:
        source = {"kind": "files", "path": path}
        loaded = load_experiment(micro.root, {"corpus": {"base": {"source": source}}})
        return [str(node.ref) for node in plan_experiment(loaded, micro.root)]

    assert keys(spelling) == keys("texts/base")


@pytest.mark.parametrize(
    ("place", "one", "other"),
    [
        ("suffixes", [".txt", ".md"], [".md", ".txt", ".md"]),
        ("suffixes", [".txt", ".a", ".z"], [".z", ".a", ".txt"]),
        ("freeze", ["h.0", "wte"], ["wte", "h.0", "wte"]),
        ("temperatures", [0.5, 2, 1.0], [2.0, 1, 0.5]),
        ("stop", ["\n\n", "a"], ["a", "\n\n", "a"]),
    ],
)
def test_a_set_has_one_key_in_any_order(
    micro: Project, place: str, one: list[Any], other: list[Any]
) -> None:
    """The usual endings keep the order that keys have always had."""

    def keys(names: list[Any]) -> list[str]:
        sections: dict[str, dict[str, Any]] = {
            "suffixes": {"corpus": {"base": {"source": {"kind": "files", "path": "texts/base"}}}},
            "freeze": {"finetune": {"freeze": names}},
            "temperatures": {"stress": {"temperatures": names}},
            "stop": {"stress": {"sampling": {"stop": names}}},
        }
        if place == "suffixes":
            sections[place]["corpus"]["base"]["source"]["suffixes"] = names
        loaded = load_experiment(micro.root, sections[place])
        return [str(node.ref) for node in plan_experiment(loaded, micro.root)]

    assert keys(one) == keys(other)
    assert keys(one) != keys(one[:1])


def test_values_of_a_column_are_a_set() -> None:
    one, other = (RowFilter(column="a", any_of=names) for names in (("x", "b"), ("b", "x", "x")))
    assert canonical(one) == canonical(other)


def test_conditions_of_rows_are_a_set() -> None:
    long, short = RowFilter(column="a", matches=".{9}"), RowFilter(column="b", equals="x")
    one, other = (
        CsvSource(path="t", text="t", where=conditions)
        for conditions in ((long, short), (short, long, short))
    )
    assert canonical(one) == canonical(other)
    assert len(one.where) == 2


def test_a_number_of_any_size_is_taken_or_refused(micro: Project) -> None:
    """At once: no check counts up to a number that it is given."""
    settings = load_experiment(micro.root).settings.model_dump(mode="json")
    numbers = [
        place
        for place, value in leaves(settings)
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    assert len(numbers) > 60
    for *sections, name in numbers:
        for number in (2**53 + 1, 10**30, 1e300, -(10**18)):
            changes: dict[str, Any] = {name: number}
            for section in reversed(sections):
                changes = {section: changes}
            with suppress(ConfigError):
                load_experiment(micro.root, changes)


@pytest.mark.parametrize("path", ["", " "])
def test_an_empty_path_is_refused(micro: Project, path: str) -> None:
    for settings in (
        {"corpus": {"base": {"source": {"kind": "files", "path": path}}}},
        {"corpus": {"base": {"source": {"kind": "csv", "path": path, "text": "t"}}}},
    ):
        with pytest.raises(ConfigError, match=r"path: '.?' should name a file or a folder"):
            load_experiment(micro.root, settings)
