"""Pins of results: written, listed, refused, and compared as a variant of an ablation."""

import multiprocessing
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flow
from conftest import Edit, Project
from variorum.base.errors import VariorumError
from variorum.base.locks import LockFile
from variorum.cli.command import main
from variorum.config.setting_errors import ConfigError
from variorum.identity.spec import Ref
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.experiment import Plan
from variorum.plan.references import References
from variorum.store import pins
from variorum.store.pins import FILE, PINS, Pins
from variorum.store.store import Store

SEEDS = """
title: Seeds
question: Do seeds matter?
experiment: micro
variants:
  narrow: {}
  wide: {model: {n_embd: 32}}
baseline: narrow
seeds: [1, 2]
"""

BEFORE = """
title: Before and after
question: Did the edit change anything?
experiment: micro
variants:
  before: {pinned: old}
  after: {}
baseline: before
seeds: [1, 2]
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment up to its fine-tuned model, and both seeds of an ablation."""
    project = flow.copy_project(tmp_path_factory.mktemp("pins") / "project")
    flow.add_micro_experiment(project)
    flow.before(project.root, flow.current(project.root), "evaluate")
    (project.root / "config/ablations/seeds.yaml").write_text(SEEDS)
    flow.finish(project.root, ablation(project.root, "seeds"))
    return project


@pytest.fixture
def here(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to change, as the working directory."""
    shutil.copytree(finished.root, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def ablation(root: Path, name: str, package: Path | None = None) -> Plan:
    given = {} if package is None else {"package": package}
    return plan_ablation(load_ablation(root, name), root, **given)


def model(root: Path, run: str) -> Ref:
    return ablation(root, "seeds").last.upstream[f"{run}/model"].ref


def name_pinned(root: Path, text: str = BEFORE) -> None:
    (root / "config/ablations/before.yaml").write_text(text)


# Keeping


def pin(root: Path, name: str, references: Iterable[str] = ()) -> dict[str, Ref]:
    """As the command does."""
    return pins.pin(root, name, References(root).to_pin(references))


def test_without_references_the_current_finetuned_model_is_pinned(here: Path) -> None:
    ref = flow.current(here).of_stage("finetune")[0].ref
    assert pin(here, "mine") == {"1": ref}
    assert pins.entries(here) == {"mine": {"1": ref}}
    assert list(pins.lines(here)) == [f"mine/1  {ref}    micro"]


def test_a_variant_is_pinned_with_all_of_its_seeds_and_a_run_alone(here: Path) -> None:
    refs = {seed: model(here, f"wide/{seed}") for seed in "12"}
    assert pin(here, "all", ["seeds/wide"]) == refs
    assert pin(here, "one", ["seeds/wide/2"]) == {"2": refs["2"]}
    assert pin(here, "one", ["seeds/wide/1"]) == refs, "beside what the name has"
    assert pins.pins(here) == {f"{name}/{s}": refs[s] for name in ("all", "one") for s in "12"}


def test_a_result_that_has_no_seed_is_pinned_by_its_stage(here: Path) -> None:
    ref = flow.current(here).of_stage("tokenizer")[0].ref
    assert pin(here, "tokens", [str(ref)]) == {"tokenizer": ref}


def test_what_is_dropped_is_pinned_no_longer_and_the_others_are(here: Path) -> None:
    pin(here, "one", ["seeds/wide/1"])
    pin(here, "two", ["seeds/wide/2"])
    pins.drop(here, "one")
    assert pins.pins(here) == {"two/2": model(here, "wide/2")}
    pins.drop(here, "two")
    assert pins.entries(here) == {}
    assert (here / PINS).read_text() == FILE.header


def test_two_processes_that_change_the_file_at_once_both_succeed(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = LockFile.read

    def slowly(self: LockFile[dict[str, Ref]], root: Path) -> Pins:
        found: Pins = read(self, root)
        time.sleep(0.5)
        return found

    pin(here, "old", ["seeds/wide/2"])
    monkeypatch.setattr(LockFile, "read", slowly)
    forking = multiprocessing.get_context("fork")
    calls = [(pin, (here, "new", ["seeds/wide/1"])), (pins.drop, (here, "old"))]
    processes = [forking.Process(target=function, args=given) for function, given in calls]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0]
    assert pins.pins(here) == {"new/1": model(here, "wide/1")}


def test_the_file_does_not_depend_on_the_order_of_calls(here: Path) -> None:
    calls = [("b", "seeds/wide/2"), ("a", "seeds/narrow"), ("b", "seeds/wide/1"), ("a", "seeds")]
    written = set()
    for order in (calls[:3], calls[2::-1]):
        for name, reference in order:
            pin(here, name, [reference])
        written.add((here / PINS).read_text())
        (here / PINS).unlink()
    (text,) = written
    assert re.findall(r'^ *"?(\w+)"?:', text, re.MULTILINE) == ["a", "1", "2", "b", "1", "2"]
    assert text.startswith("# Results that `variorum pin` pinned")


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,8}", fullmatch=True)
REFS = st.builds(Ref, st.just("pretrain"), st.from_regex(r"[0-9a-f]{12}", fullmatch=True))
SEEDED = st.dictionaries(st.integers(0, 2**63 - 1).map(str), REFS, min_size=1)


@settings(max_examples=25)
@given(st.dictionaries(NAMES, SEEDED | st.builds(lambda ref: {ref.stage: ref}, REFS)))
def test_what_is_written_is_read_again_whatever_it_is_called(
    tmp_path_factory: pytest.TempPathFactory, entries: Pins
) -> None:
    root = tmp_path_factory.getbasetemp() / "written"
    (root / PINS).parent.mkdir(parents=True, exist_ok=True)
    (root / PINS).write_text(FILE.text(entries), encoding="utf-8")
    assert pins.entries(root) == entries
    assert list(pins.entries(root)) == sorted(entries)


@pytest.mark.parametrize(
    ("name", "references", "message"),
    [
        ("a/b", [], "a/b: a name has letters, digits, _ and - alone"),
        ("old", ["seeds/wide/2"], "differs from pretrain/.*, which is pinned as old, in more than"),
        ("old", ["finetune"], "pins pretrain/.* as old, 1; pin finetune/.* under another name"),
        ("new", ["seeds/wid"], "seeds/wid: no such variant; did you mean `wide`. known are"),
        ("new", ["seeds/wide/3"], "seeds/wide/3: no such run"),
        ("new", ["report"], "report/.* does not exist"),
        ("new", ["seeds"], "seeds names an ablation; keep its variants one by one, .* seeds/"),
    ],
)
def test_what_does_not_fit_is_one_line_and_changes_nothing(
    here: Path, name: str, references: list[str], message: str
) -> None:
    pin(here, "old", ["seeds/narrow/1"])
    before = (here / PINS).read_text()
    with pytest.raises(VariorumError, match=message) as error:
        pin(here, name, references)
    assert "\n" not in str(error.value)
    assert (here / PINS).read_text() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("old: pretrain/0123456789ab\n", r"pins.yaml:1: old: 'pretrain/0123456789ab' should be"),
        ("# a\nold:\n  1: pretrain/xyz\n", r"pins.yaml:3: old.1: 'pretrain/xyz' should be a seed"),
        ("old: [\n", r"pins.yaml:\d: cannot be read"),
    ],
)
def test_a_file_that_says_something_else_is_named_with_its_line(
    here: Path, text: str, message: str
) -> None:
    (here / PINS).write_text(text)
    with pytest.raises(VariorumError, match=message) as error:
        pins.pins(here)
    assert "\n" not in str(error.value)


def test_the_command_pins_lists_and_drops(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> list[str]:
        monkeypatch.setattr("sys.argv", ["variorum", "pin", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return [str(end.value.code), *printed.out.splitlines(), *printed.err.splitlines()]

    ref = model(here, "wide/1")
    assert said() == ["0"]
    assert said("wide", "seeds/wide/1") == ["0", f"wide/1  {ref}    seeds/wide/1"]
    assert said() == ["0", f"wide/1  {ref}    seeds/wide/1"]
    assert said("--drop") == ["1", "variorum: --drop takes a name alone: variorum pin --drop NAME"]
    (refusal,) = said("--drop", "wid")[1:]
    assert "config/pins.yaml pins nothing as wid; did you mean `wide`? known are wide." in refusal
    assert said("--drop", "wide") == ["0"]


# Kept models as a variant


def test_pinned_models_of_other_code_are_compared_with_models_of_this_code(
    here: Path, package_copy: Path, edit: Edit
) -> None:
    pin(here, "old", ["seeds/narrow"])
    name_pinned(here)
    same = ablation(here, "before").last.upstream
    assert same["before/1/base"] is same["after/1/base"], "the same code: the same runs"

    edit("training/loop.py", "position.last_loss = ", "position.last_loss = 1 * ")
    plan = ablation(here, "before", package_copy)
    assert plan.last.spec.settings["pinned"] == {"before": "old"}
    assert plan.last.spec.settings["uncounted"] == ["before"]
    for seed in "12":
        old, new = (plan.last.upstream[f"{v}/{seed}/base"] for v in ("before", "after"))
        assert old.upstream["model"].ref == model(here, f"narrow/{seed}")
        assert not Store(here).exists(new.upstream["model"].ref), "the edit made another key"
        assert old.upstream["tokens"] is new.upstream["tokens"], "the tokenizer is the same"
    missing = {node.ref.stage for node in plan if not Store(here).exists(node.ref)}
    assert missing == {"pretrain", "evaluate", "table"}
    assert {node.ref.stage for node in plan} >= {"download", "normalize", "tokenizer", "encode"}


def test_a_pinned_model_is_judged_on_text_that_its_own_tokenizer_encodes(
    here: Path, package_copy: Path, edit: Edit
) -> None:
    pin(here, "old", ["seeds/narrow"])
    name_pinned(here)
    edit("tokenizer/kinds/characters.py", "\n\n\n", "\n\n\nprint('edited')\n\n\n")
    run = ablation(here, "before", package_copy).last.upstream
    tokens = [run[f"{variant}/1/base"].upstream["tokens"] for variant in ("before", "after")]
    assert tokens[0].spec.settings == tokens[1].spec.settings
    assert tokens[0].upstream["text"] is tokens[1].upstream["text"]
    own = Store(here).open(model(here, "narrow/1")).spec.upstream["tokenizer"]
    assert [each.upstream["tokenizer"].ref == own for each in tokens] == [True, False]


def test_an_ablation_with_pinned_models_runs_to_its_table(here: Path) -> None:
    pin(here, "old", ["seeds/wide"])
    name_pinned(here, BEFORE.replace("after: {}", "after: {pretrain: {max_steps: 20}}"))
    plan = ablation(here, "before")
    published = flow.files_of(here / "results/pretrain")
    flow.finish(here, plan)
    assert published.items() <= flow.files_of(here / "results/pretrain").items()
    table = Store(here).open(plan.last.ref).file("table.md").read_text()
    for seed in "12":
        assert f"{seed}: `{model(here, f'wide/{seed}')}`" in table
    assert "| before |" in table
    assert "| after |" in table


def test_models_of_the_finetuned_kind_are_judged_too(here: Path) -> None:
    pin(here, "old")
    text = BEFORE.replace("seeds: [1, 2]", "seeds: [1, 2]\nlast_stage: finetune\ncorpora: [domain]")
    name_pinned(here, text)
    with pytest.raises(ConfigError, match="old pins no model of seed 2, only of 1"):
        ablation(here, "before")
    second = flow.current(here, seed=2)
    flow.before(here, second, "evaluate")
    pin(here, "old", [str(second.of_stage("finetune")[0].ref)])
    run = ablation(here, "before").last.upstream["before/2/domain"]
    assert run.upstream["model"].ref == second.of_stage("finetune")[0].ref
    assert run.upstream["text"].label == "domain"


def test_fine_tuned_models_of_other_pretrained_ones_are_another_kind(here: Path) -> None:
    pin(here, "old")
    wide = flow.current(here, seed=2, model={"n_embd": 32})
    flow.before(here, wide, "evaluate")
    other = str(wide.of_stage("finetune")[0].ref)
    with pytest.raises(VariorumError, match="in more than the seed"):
        pin(here, "old", [other])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "pinned: old",
            "pinned: od",
            r"before.yaml:6: variants.before.pinned: config/pins.yaml pins nothing as od; did you "
            r"mean `old`\? known are old. `variorum pin od`",
        ),
        (
            "seeds: [1, 2]",
            "seeds: [1, 2, 7]",
            r"before.yaml:6: variants.before.pinned: old pins no model of seed 7, only of 1, 2 \(",
        ),
        (
            "seeds: [1, 2]",
            "seeds: [1, 2]\nlast_stage: finetune",
            r"before.yaml:6: variants.before.pinned: old pins pretrain/\w+ "
            r"\(config/pins.yaml:4\), and the ablation compares models of finetune",
        ),
        (
            "{pinned: old}",
            "{pinned: old, model: {n_layer: 1}}",
            "before.yaml:6: variants.before.pinned: should be the name of pinned results, and the",
        ),
        (
            "{pinned: old}",
            "{pinned: 3}",
            "before.yaml:6: variants.before.pinned: should be the name",
        ),
    ],
)
def test_a_pinned_variant_that_cannot_be_is_one_line_with_its_place(
    here: Path, old: str, new: str, message: str
) -> None:
    pin(here, "old", ["seeds/narrow"])
    name_pinned(here, BEFORE.replace(old, new))
    with pytest.raises(ConfigError, match=message) as error:
        ablation(here, "before")
    assert "\n" not in str(error.value)


def test_a_pinned_model_that_is_not_here_is_named_with_how_to_fetch_it(here: Path) -> None:
    pin(here, "old", ["seeds/narrow"])
    name_pinned(here)
    ref = model(here, "narrow/2")
    shutil.rmtree(Store(here).folder(ref))
    said = f"config/pins.yaml:5: {ref} is pinned but missing; fetch it with `dvc pull results/"
    with pytest.raises(ConfigError, match=said):
        ablation(here, "before")
    assert list(pins.lines(here))[1] == f"old/2  {ref}    missing: `dvc pull -R results` fetches it"
