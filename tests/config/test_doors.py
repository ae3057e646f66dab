"""One reader: settings mean the same through every door, or every door refuses them.

The doors are config/config.yaml, words as after `variorum config`, Snakemake's `--config` and
`--configfile`, a variant of an ablation, and DVC's `-S`, which writes config/config.yaml itself.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.cli import get_argument_parser, parse_config
from snakemake.settings.types import ConfigSettings
from snakemake_interface_executor_plugins.settings import SharedFSUsage

from conftest import Project, add_micro_experiment, copy_project
from variorum.base.errors import VariorumError
from variorum.config.canonical import canonical
from variorum.config.setting_errors import ConfigError
from variorum.config.setting_layers import read_layers
from variorum.config.yaml_text import read_typed
from variorum.corpus.sources.csv import CsvSource
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.loading import load_experiment
from variorum.run.given_settings import (
    given_settings,
    is_command,
    refuse_to_pack,
    refuse_unshared,
)
from variorum.run.workload import workload
from variorum.snakemake import Flow

SETTINGS = (
    *("title", "corpus.domain", "strict_libraries", "model.positions", "model.n_layer"),
    *("pretrain.max_steps", "pretrain.learning_rate", "pretrain.weight_decay", "finetune.replay"),
    *("finetune.freeze", "stress.prompts", "report.samples", "tokenizer.kind", "imported", "seed"),
)
WORDS = (
    *(
        "0200",
        "0o20",
        "0x1F",
        "0b11",
        "08",
        "1_000",
        "2024_05_01",
        "2024-05-01",
        "1:30",
        "+1",
        "-1",
    ),
    *("9007199254740993", "1e3", "1e-3", "1E3", ".5", "1.", "0.5", ".inf", ".NaN", "nan", "'7'"),
    *('"8"', "'9007199254740993'", "~", "null", "Null", "", "True", "TRUE", "yes", "on", "false"),
    *("'true'", '"null"', "[1, 2]", "[]", "{}", "[a, b]", "rotary", "a b", "!!str 5", "!foo x"),
    *("!foo {a: 1}", "!foo [1]", "!!map [1]", "!!set {a}", "!!str {a: 1}", "{!foo a: 1}"),
    *(
        "{a: 1, a: 2}",
        "=",
        "<<",
        "[1, 2",
        "{<<: {a: 1}}",
        "'it''s'",
        '"\\u0041"',
        "a#b",
        "@a",
        "%a",
    ),
)
Typed = list[tuple[str, str]]
ABLATION = "title: t\nquestion: q\nexperiment: micro\nbaseline: a\nvariants:\n  a: {}\n  b: {"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = copy_project(tmp_path_factory.mktemp("doors") / "project")
    add_micro_experiment(made)
    return made


def words_of(typed: Typed) -> list[str]:
    """The settings as words: what is nested in braces."""
    sections: dict[str, list[str]] = {}
    for name, word in typed:
        section, _, inner = name.partition(".")
        sections.setdefault(section, []).append(f"{inner}: {word}" if inner else word)
    nested = {name.partition(".")[0] for name, _ in typed if "." in name}
    return [
        f"{section}={'{' + ', '.join(said) + '}' if section in nested else said[0]}"
        for section, said in sections.items()
    ]


def lines_of(typed: Typed) -> list[str]:
    return [word.replace("=", ": ", 1) for word in words_of(typed)]


def outcome(read: Callable[[], Any]) -> Any:
    """The canonical settings; None if they are refused in lines."""
    try:
        return canonical(read().settings)
    except ConfigError:
        return None


def by_file(root: Path, typed: Typed) -> Any:
    file = root / "config/config.yaml"
    before = file.read_text()
    file.write_text("experiment: micro\n" + "".join(f"{line}\n" for line in lines_of(typed)))
    try:
        return outcome(lambda: load_experiment(root))
    finally:
        file.write_text(before)


def by_words(root: Path, typed: Typed) -> Any:
    return outcome(lambda: load_experiment(root, read_typed(words_of(typed))))


def by_config(root: Path, typed: Typed) -> Any:
    words = words_of(typed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["/bin/snakemake", "--config", *words])
        asked = ConfigSettings(config=parse_config(words), config_args=words)
        return outcome(lambda: load_experiment(root, given_settings(root, asked, is_command())[0]))


def by_configfile(root: Path, typed: Typed) -> Any:
    file = root / "other.yaml"
    file.write_text("".join(f"{line}\n" for line in lines_of(typed)))
    asked = ConfigSettings()
    asked.configfiles = [file]  # what Snakemake itself cannot read, it refuses
    return outcome(lambda: load_experiment(root, given_settings(root, asked, True)[0]))


def by_ablation(root: Path, typed: Typed) -> Any:
    inside = "".join(f"\n    {line}," for line in lines_of(typed))
    (root / "config/ablations/doors.yaml").write_text(f"{ABLATION}{inside}\n  }}\n")
    try:
        return outcome(lambda: load_ablation(root, "doors").variants["b"].experiment)
    finally:
        (root / "config/ablations/doors.yaml").unlink()


TYPED = st.lists(
    st.tuples(st.sampled_from(SETTINGS), st.sampled_from(WORDS)),
    min_size=1,
    max_size=3,
    unique_by=lambda each: each[0].partition(".")[0] if "." not in each[0] else each[0],
)


def fits(typed: Typed) -> bool:
    """Whether no section is both given whole and in parts."""
    whole = {name for name, _ in typed if "." not in name}
    return not any(name.partition(".")[0] in whole for name, _ in typed if "." in name)


@given(typed=TYPED.filter(fits))
@settings(max_examples=150)
def test_every_door_reads_the_same(project: Project, typed: Typed) -> None:
    expected = by_file(project.root, typed)
    assert by_words(project.root, typed) == expected
    assert by_config(project.root, typed) == expected
    assert by_configfile(project.root, typed) == expected
    if not any(name == "seed" for name, _ in typed):  # an ablation has seeds of its own
        assert by_ablation(project.root, typed) == expected


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", ["pretrain.max_steps", "title", "strict_libraries"])
def test_every_word_is_read_the_same_by_every_door(project: Project, name: str, word: str) -> None:
    typed = [(name, word)]
    expected = by_file(project.root, typed)
    doors = (by_words, by_config, by_configfile, by_ablation)
    assert {door.__name__: door(project.root, typed) for door in doors} == {
        door.__name__: expected for door in doors
    }


def by_dvc(root: Path, typed: Typed) -> Any:
    file = root / "config/config.yaml"
    before = file.read_text()
    try:
        apply_overrides(file, [f"++{name}={word}" for name, word in typed])
        return outcome(lambda: load_experiment(root))
    except Exception as error:  # DVC's own, of several kinds
        assert "dvc" in type(error).__module__  # noqa: PT017 # it refuses the word
        return None
    finally:
        file.write_text(before)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", ["pretrain.max_steps", "title", "strict_libraries", "imported"])
def test_what_dvc_writes_is_the_same_or_refused_or_text_as_it_was_typed(
    project: Project, name: str, word: str
) -> None:
    """DVC reads words by Hydra's grammar and puts texts in quotes when it writes them."""
    found = by_dvc(project.root, [(name, word)])
    as_typed = (word, json.dumps(word), json.dumps(word.strip("'\"")))
    read = (by_file(project.root, [(name, each)]) for each in as_typed)
    assert found is None or found in read


def test_words_that_dvc_reads_otherwise_are_refused_with_words_that_work(project: Project) -> None:
    file = project.root / "config/config.yaml"
    before = file.read_text()
    for name, word in (("experiment", "2024_05_01"), ("title", "2024_05_01"), ("title", "true")):
        try:
            apply_overrides(file, [f"++{name}={word}"])
            with pytest.raises(ConfigError, match="should be text: put it in quotes"):
                load_experiment(project.root)
        finally:
            file.write_text(before)
        if name == "title":
            assert by_dvc(project.root, [(name, f"'{word}'")])["title"] == word
    for word in ("null", "Null"):
        assert by_dvc(project.root, [("corpus.domain", word)])["corpus"]["domain"] is None


# Names, and words that are given twice or change nothing


def test_a_name_is_text_whatever_it_looks_like(project: Project) -> None:
    for name in ("2024_05_01", "1e3", "0200", "true", "~"):
        inside = ABLATION.replace("  a: {}", f"  {name}: {{}}").replace(
            "line: a", f"line: '{name}'"
        )
        (project.root / "config/ablations/names.yaml").write_text(inside + "}\n")
        assert [*load_ablation(project.root, "names").variants] == [name, "b"]
    (project.root / "config/ablations/names.yaml").unlink()
    for read in (by_words, by_file, by_config, by_configfile):
        assert read(project.root, [("preset", "2024_05_01")]) is None
    for name, read in (("2024_05_01", "20240501"), ("2024-05-01", "2024-05-01")):
        said = rf"experiment: {read} should be text: put it in quotes"
        with pytest.raises(ConfigError, match=rf"""{said}, .*: 'experiment="\.\.\."'"""):
            load_experiment(project.root, read_typed([f"experiment={name}"]))
        with pytest.raises(ConfigError, match=f"{name}.yaml: there is no such file"):
            load_experiment(project.root, read_typed([f'experiment="{name}"']))
    with pytest.raises(ConfigError, match=r"title: .* should be text: put it in quotes"):
        load_experiment(project.root, read_typed(["title=2020-01-01"]))


@pytest.mark.parametrize(
    "value",
    [
        *(
            "!foo 1",
            "!foo {max_steps: 1}",
            "!foo [1]",
            "{!foo max_steps: 1}",
            "{max_steps: !foo 1}",
        ),
        *(
            "!!merge hi",
            "[!!merge <<]",
            "!!binary aGk=",
            "[!!binary aGk=]",
            "!!map [1]",
            "!!seq {a: 1}",
            "!!set {max_steps}",
            "!!omap [max_steps: 1]",
        ),
        *("!!pairs [max_steps: 1]", "!!str {max_steps: 1}", "!!str [1]", "!!int [1]"),
    ],
)
def test_a_tag_that_is_not_plain_data_is_refused_with_its_line(
    project: Project, value: str
) -> None:
    with pytest.raises(ConfigError, match=r"pretrain=.*: the value is not valid YAML"):
        read_typed([f"pretrain={value}"])
    file = project.root / "tagged.yaml"
    file.write_text(f"title: t\npretrain: {value}\n")
    with pytest.raises(ConfigError, match=r"tagged\.yaml:2: not valid YAML: "):
        read_layers(project.root, file.name)
    assert read_typed(["pretrain=!!map {max_steps: !!int 1}"]) == {"pretrain": {"max_steps": 1}}


def test_a_path_has_one_spelling_or_is_refused(project: Project) -> None:
    def spelled(path: str) -> str:
        return CsvSource(path=path, text="body").path

    assert {*map(spelled, ("texts", "./texts", "texts/", "texts/.", ".//texts"))} == {"texts"}
    assert {*map(spelled, ("/texts", "//texts", "///texts/"))} == {"/texts"}
    assert spelled("../.././texts") == "../../texts"
    for path in ("texts/../texts", "../a/../texts", "/../texts", "//../texts", "a/..", "*/../a"):
        with pytest.raises(ValueError, match=r"should have \.\. at its beginning alone"):
            spelled(path)


def test_large_seeds_are_exact_through_every_door(project: Project) -> None:
    for word in ("9007199254740993", "'9007199254740993'"):
        for read in (by_words, by_file, by_config, by_configfile):
            assert read(project.root, [("seed", word)])["seed"] == 9007199254740993


@pytest.mark.parametrize("n_layer", [1, 10**6, 2**53 + 1, 10**30])
def test_an_absurd_number_of_layers_is_read_at_once(project: Project, n_layer: int) -> None:
    words = [f"model={{n_layer: {n_layer}}}", "finetune={freeze: [wte, h.0, h.0.mlp]}"]
    begun = time.process_time()
    assert load_experiment(project.root, read_typed(words)).settings.model.n_layer == n_layer
    assert time.process_time() - begun < 2


def test_a_setting_that_is_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="seed=2: seed is given twice"):
        read_typed(["seed=1", "seed=2"])


@pytest.mark.parametrize(
    ("words", "repeated"),
    [
        ("--config seed=7 --config title=x -- pretrain", "--config"),
        ("--config seed=7 -C title=x", "--config"),
        ("-C seed=7 -nC title=x", "--config"),
        ("--config=seed=7 -Ctitle=x", "--config"),
        ("--configfile a.yaml --configfile b.yaml", "--configfile"),
        ("--configfile=a.yaml -n --configfiles b.yaml", "--configfile"),
        ("-n --config seed=7 title=x --configfile a.yaml b.yaml -- --config", None),
        ("-sC.smk --config seed=7 --configfile a.yaml -c 2", None),
    ],
)
def test_an_option_that_stands_twice_is_refused_unless_snakemake_reads_all_of_it(
    project: Project, monkeypatch: pytest.MonkeyPatch, words: str, repeated: str | None
) -> None:
    for name in ("a", "b"):
        (project.root / f"{name}.yaml").write_text(f"pretrain: {{max_steps: 1{ord(name)}}}\n")
    monkeypatch.setattr(sys, "argv", ["/bin/snakemake", *words.split()])
    args = get_argument_parser().parse_args(words.split())
    asked = ConfigSettings(config=parse_config(args.config or []), config_args=args.config or [])
    asked.configfiles = [project.root / file for file in args.configfile]
    if repeated:
        with pytest.raises(VariorumError, match=f"{repeated} is given twice.*after one {repeated}"):
            given_settings(project.root, asked, is_command())
        return
    values = given_settings(project.root, asked, is_command())[0].values
    typed = [word for word in words.partition(" -- ")[0].split() if re.match(r"\w+=", word)]
    assert {f"{name}={value}" for name, value in values.items() if name != "pretrain"} == {*typed}
    assert ("pretrain" in values) == (".yaml" in words)


def test_words_of_a_profile_are_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/snakemake", "--profile", "mine"])
    asked = ConfigSettings(config={"seed": 128}, config_args=["seed=128"])
    with pytest.raises(VariorumError, match="seed=128: Snakemake takes this from a profile"):
        given_settings(project.root, asked, is_command())


def test_called_from_python_values_are_taken_as_they_are(project: Project) -> None:
    asked = ConfigSettings(config={"title": "true", "graph": "whole"})
    layers, whole = given_settings(project.root, asked, is_command())
    assert layers.values == {"title": "true"}
    assert whole


@pytest.mark.parametrize("changes", [{"model": {"n_layer": 1}}, {"nonsense": 1}, {"seed": "x"}])
@pytest.mark.parametrize("target", ["reports/positions/table.md", "positions", "tiny"])
def test_settings_beside_what_they_do_not_change_are_refused(
    project: Project, target: str, changes: dict[str, Any]
) -> None:
    says = "change the current experiment alone|unknown setting|should be"
    if target.startswith("reports"):
        with pytest.raises(VariorumError, match=says):
            Flow(project.root, changes, dry_run=True).prepare([target])
    with pytest.raises(VariorumError, match=says):
        workload(project.root, target, changes)


def test_settings_beside_a_result_of_an_ablation_alone_are_refused(project: Project) -> None:
    flow = Flow(project.root, {}, dry_run=True)
    flow.prepare(["reports/positions/table.md"])
    ref = flow.ablation("positions").last.ref
    with pytest.raises(VariorumError, match="belongs to other settings"):
        Flow(project.root, {"seed": 2}, dry_run=True).prepare([f"results/{ref}/manifest.json"])
    with pytest.raises(VariorumError, match="nonsense: unknown setting"):
        Flow(project.root, {"nonsense": 1}, dry_run=True).prepare([f"results/{ref}/manifest.json"])


# Other options of Snakemake


def test_an_executor_that_does_not_share_the_folder_is_refused_at_once() -> None:
    refuse_unshared(SharedFSUsage.all())
    for shared in ([], [*SharedFSUsage.all() - {SharedFSUsage.INPUT_OUTPUT}]):
        with pytest.raises(VariorumError, match=r"is not shared with them .*INPUT_OUTPUT"):
            refuse_unshared(shared)


@pytest.mark.parametrize(
    ("words", "refused"),
    [("--report", True), ("--report=r.zip", True), ("--report r.zip --report-after-run", False)],
)
def test_another_experiments_page_is_not_packed(
    monkeypatch: pytest.MonkeyPatch, words: str, refused: bool
) -> None:
    monkeypatch.setattr(sys, "argv", ["snakemake", *words.split()])
    refuse_to_pack([])
    if not refused:
        refuse_to_pack(["results/finetune/report.html"])
        return
    with pytest.raises(VariorumError, match=r"report.html is not of the current settings and code"):
        refuse_to_pack(["results/finetune/report.html"])
