"""What people open: a model by any of its names, and the table of all models."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pandas as pd
import pytest
import torch

import flow
import variorum
from conftest import Command, Project
from variorum import api
from variorum.base.errors import VariorumError
from variorum.base.machine import computing_with_one_thread
from variorum.config.evaluation_settings import SamplingSettings
from variorum.evaluation.metrics import METRICS
from variorum.identity.fingerprint import Fingerprint
from variorum.identity.spec import Ref, Spec
from variorum.plan import references
from variorum.plan.references import References
from variorum.stages.registry import TRAININGS
from variorum.store.store import Store

ATTEND = "variorum.model.attentions.fused:attend"
UNKNOWN = "no result, stage, experiment or ablation is called that"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment and an ablation of it, run to the end."""
    return flow.finished_ablation(tmp_path_factory.mktemp("library") / "project")


@pytest.fixture
def here(finished: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished project, as the working directory. Tests leave it as it is."""
    monkeypatch.chdir(finished.root)
    return finished.root


@pytest.fixture
def changed(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished project, to change, as the working directory."""
    shutil.copytree(finished.root, tmp_path / "changed")
    monkeypatch.chdir(tmp_path / "changed")
    return tmp_path / "changed"


def ref_of(root: Path, stage: str, place: int = 0) -> Ref:
    """The current result of a stage."""
    return flow.current(root).of_stage(stage)[place].ref


# Opening


def test_nothing_opens_the_current_finetuned_model(here: Path) -> None:
    opened = variorum.open()
    assert opened.ref == ref_of(here, "finetune")
    assert opened.folder == Store(here).folder(opened.ref)
    assert not opened.model.training
    assert opened.parameters == sum(p.numel() for p in opened.model.parameters())
    ids = torch.tensor([opened.tokenizer.encode("the sun")])
    assert opened.model(ids).shape == (1, 7, opened.tokenizer.vocab_size)


def test_what_was_edited_in_the_model_since_is_named_also_of_a_finetuned_one(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the code of pretraining names the parts that a fine-tuned model consists of."""
    assert variorum.open("finetune").edited is None
    present = api.current_code

    def edited(spec: Spec) -> Fingerprint | None:
        code = present(spec)
        if code is None or spec.stage != "pretrain":
            return code
        attend = code.sources[ATTEND].replace("dropout_p=dropout", "dropout_p=0.0")
        return replace(code, digest="another", sources={**code.sources, ATTEND: attend})

    monkeypatch.setattr(api, "current_code", edited)
    assert variorum.open("finetune").edited == ATTEND
    assert variorum.open("pretrain").edited == ATTEND


def test_a_project_elsewhere_is_opened_by_its_root(
    finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert variorum.open(root=finished.root).ref == ref_of(finished.root, "finetune")
    with pytest.raises(VariorumError, match="cd into your clone"):
        variorum.open()


def test_a_stage_a_key_its_beginning_and_a_path_name_the_same_result(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = ref_of(here, "pretrain")
    folder = Store(here).folder(ref)
    names = ["pretrain", ref.key, ref.key[:8], str(ref), f"pretrain/{ref.key[:6]}", folder]
    names += [str(folder), f"results/{ref}", f"./results/{ref}/"]
    assert {variorum.open(name).ref for name in names} == {ref}
    monkeypatch.chdir(tmp_path)
    assert variorum.open(folder).ref == ref, "a path needs no project around it"


def test_a_key_is_not_known_by_its_middle(here: Path) -> None:
    with pytest.raises(VariorumError, match=UNKNOWN):
        variorum.open(ref_of(here, "pretrain").key[2:10])


def test_a_run_of_an_ablation_is_a_name(here: Path) -> None:
    learned, rotary = (variorum.open(f"positions/{name}/1") for name in ("learned", "rotary"))
    assert learned.ref == ref_of(here, "pretrain"), "the ablation shares the experiment's model"
    assert rotary.model.settings.positions == "rotary"
    assert variorum.open("positions/rotary/2").ref != rotary.ref


def test_an_experiment_and_a_kept_result_are_names_too(changed: Path) -> None:
    model = ref_of(changed, "pretrain")
    (changed / "config/pins.yaml").write_text(f"before: {{1: {model}}}\n")
    assert variorum.open("before/1").ref == model
    assert variorum.open("before").ref == model
    assert variorum.open("micro").ref == ref_of(changed, "finetune")


def test_a_result_that_is_planned_and_not_made_is_known_by_its_key(changed: Path) -> None:
    run = variorum.open("positions/rotary/2").ref
    shutil.rmtree(Store(changed).folder(run))
    with pytest.raises(VariorumError, match=rf"there is no complete result {run}; make it with"):
        variorum.open(run.key[:9])


def test_a_beginning_that_a_finished_and_a_planned_result_share_names_both(changed: Path) -> None:
    """Which one is meant cannot be told, so that it must not be guessed."""
    plan = References(changed).current
    planned = [node.ref for node in plan if not Store(changed).exists(node.ref)]
    assert not planned
    report = plan.last.ref
    shutil.rmtree(Store(changed).folder(report))
    like = replace(ref_of(changed, "pretrain"), key=report.key[:6] + "000000")
    shutil.copytree(Store(changed).folder(ref_of(changed, "pretrain")), Store(changed).folder(like))
    with pytest.raises(VariorumError, match=f"{report.key[:6]} names 2 results"):
        References(changed).named(report.key[:6])


def test_what_cannot_be_planned_is_said_where_nothing_is_found(changed: Path) -> None:
    (changed / "config/config.yaml").write_text("experiment: micro\nmodel: {n_layer: many}\n")
    with pytest.raises(VariorumError, match=rf"zzz: {UNKNOWN}.*could be planned: config/config"):
        References(changed).named("zzz")


def test_experiments_that_cannot_be_planned_are_named_where_a_key_is_not_found(
    changed: Path, variorum: Command
) -> None:
    broken = changed / "config/experiments/a-broken.yaml"
    broken.write_text("model: {n_layer: many}\n")
    with pytest.raises(
        VariorumError, match=rf"{UNKNOWN}.*plans of a-broken.* not searched"
    ) as said:
        References(changed).named("pretrain/0123456789ab")
    (told,) = re.findall("`variorum (config [^`]*)` says why", str(said.value))
    assert "n_layer" in variorum(*told.split()).err
    with pytest.raises(VariorumError, match=UNKNOWN) as said:
        References(changed).named("tiney")
    assert "a-broken" not in str(said.value), "no key begins so"


def test_results_that_are_no_models_are_found_and_not_opened_as_models(here: Path) -> None:
    assert references.find("tokenizer").ref.stage == "tokenizer"
    with pytest.raises(VariorumError, match=r"tokenizer/\w+ is no model; name a result of"):
        variorum.open("tokenizer")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("normalize", r"names 2 results \(normalize/\w+, base; normalize/\w+, domain\)"),
        ("evaluate", r"evaluate names 4 results"),
        ("positions/rotary", r"rotary names 2 results \(.*, positions/rotary/1; "),
        ("positions", r"positions names 4 results \(.*\); give one of them"),
        ("", "^a reference must not be empty; leave it out, or name a result"),
        ("seed=7", "^seed=7 is a setting and no result; give it as `--config 'seed=7'`"),
        ("model.n_layer=3", "no result; give it as `--config 'model={n_layer: 3}'`"),
        (" ", "^a reference must not be empty"),
        ("pretrain/", f"pretrain/: {UNKNOWN}"),
        ("zzz", f"zzz: {UNKNOWN}; `variorum ls` shows what is here"),
        ("pretrain/zzz", f"pretrain/zzz: {UNKNOWN}"),
        ("table/positions", f"table/positions: {UNKNOWN}"),
        ("texts", f"texts: {UNKNOWN}"),
        ("positions/rotry", r"no such variant; did you mean `rotary`\? known are learned, rotary"),
        ("positions/rotary/3", r"no such run; known are positions/learned/1, .*/rotary/2"),
        ("positions/absolute/1", "no such run; known are positions/learned/1"),
    ],
)
def test_a_name_of_none_or_several_results_is_refused(
    here: Path, reference: str, message: str
) -> None:
    with pytest.raises(VariorumError, match=message) as error:
        variorum.open(reference)
    assert "\n" not in str(error.value)


def test_a_run_that_was_not_made_yet_says_how_to_get_it(changed: Path) -> None:
    shutil.rmtree(changed / "results/pretrain")
    with pytest.raises(VariorumError, match=r"make it with `snakemake .*`, or fetch it with `dvc"):
        variorum.open("positions/rotary/1")
    with pytest.raises(VariorumError, match=r"results/pretrain/\w+/manifest.json does not exist"):
        variorum.open("pretrain")


def test_a_result_that_was_carried_out_of_its_place_is_refused(here: Path, tmp_path: Path) -> None:
    shutil.copytree(Store(here).folder(ref_of(here, "pretrain")), tmp_path / "mine")
    with pytest.raises(VariorumError, match="mine: a result lies in results/STAGE/KEY"):
        variorum.open(tmp_path / "mine")


def test_a_damaged_model_is_not_opened(changed: Path) -> None:
    ref = ref_of(changed, "finetune")
    (Store(changed).folder(ref) / "model.safetensors").write_bytes(b"")
    with pytest.raises(VariorumError, match=r"model.safetensors has 0 bytes"):
        variorum.open()


# Writing


def test_the_same_seed_writes_the_same_text(here: Path) -> None:
    opened = variorum.open()
    first = opened.sample("the ", max_tokens=40, seed=3)
    assert first == opened.sample("the ", max_tokens=40, seed=3)
    assert first == "".join(opened.stream("the ", SamplingSettings(max_tokens=40, seed=3)))
    cold = SamplingSettings(max_tokens=40, seed=3)
    assert first == "".join(opened.stream("the ", cold, use_cache=False))
    assert first != opened.sample("the ", max_tokens=40, seed=4)
    assert opened.sample() == variorum.open().sample()


def test_texts_written_together_are_those_written_alone(here: Path) -> None:
    opened = variorum.open()
    prompts = ["the ", "", "the sun and the moon ", "the "]
    written = opened.samples(prompts, max_tokens=30, seed=5)
    alone = [opened.sample(p, max_tokens=30, seed=5 + n) for n, p in enumerate(prompts)]
    assert [each.text for each in written] == alone
    assert alone[0] != alone[3], "the same prompt continues differently"
    seeded = opened.samples(["the ", "the "], seeds=[7, 7], max_tokens=30)
    assert [each.text for each in seeded] == 2 * [opened.sample("the ", max_tokens=30, seed=7)]
    longest = max((each.account for each in written), key=lambda account: account.tokens)
    assert longest.tokens > 16
    assert (longest.window_cuts > 0, longest.window_mode) == (True, "half-window")
    with pytest.raises(VariorumError, match="seeds: 1 for 2 prompts"):
        opened.samples(["a", "b"], seeds=[1])


def test_text_is_computed_with_one_thread_and_the_callers_number_stays(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, seen = variorum.open(), []
    features = opened.model.features

    def noting(*args: Any) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return features(*args)

    before = torch.get_num_threads()
    monkeypatch.setattr(opened.model, "features", noting)
    torch.set_num_threads(3)
    try:
        pieces = opened.stream("the ")
        assert next(pieces)
        assert torch.get_num_threads() == 3
        assert "".join(pieces)
        assert opened.sample("the ", max_tokens=5)
        assert opened.samples(["the ", "a"], max_tokens=5)
        with pytest.raises(VariorumError, match="token id 1000000 is not in"):
            opened.samples([[10**6]], max_tokens=5)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert len(seen) > 10
    assert set(seen) == {1}


def test_blocks_in_several_threads_leave_the_callers_number_of_threads() -> None:
    first, second, over = Event(), Event(), []

    def long() -> None:
        with computing_with_one_thread():
            first.set()
            assert second.wait(10)
            over.append(torch.get_num_threads())
        over.append(torch.get_num_threads())

    def short() -> None:
        with computing_with_one_thread():
            over.append(torch.get_num_threads())
        over.append(torch.get_num_threads())
        second.set()

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        one = Thread(target=long)
        one.start()
        assert first.wait(10)
        other = Thread(target=short)
        other.start()
        for each in (other, one):
            each.join()
        later = Thread(target=lambda: over.append(torch.get_num_threads()))
        later.start()
        later.join()
    finally:
        torch.set_num_threads(before)
    assert over == [1, 3, 1, 3, 3]


def test_a_number_of_threads_of_ones_own_stays_and_blocks_nest() -> None:
    over = []

    def other() -> None:
        torch.set_num_threads(2)
        with computing_with_one_thread():
            over.append(torch.get_num_threads())
        over.append(torch.get_num_threads())

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with computing_with_one_thread():
            one = Thread(target=other)
            one.start()
            one.join()
            with computing_with_one_thread():
                pass
            inside = torch.get_num_threads()
        assert (inside, torch.get_num_threads()) == (1, 3)
    finally:
        torch.set_num_threads(before)
    assert over == [1, 2]


def test_a_stream_tells_how_it_was_written(here: Path) -> None:
    pieces = variorum.open().stream("the ", SamplingSettings(max_tokens=30, temperature=3.0))
    text = "".join(pieces)
    assert text.encode().decode() == text
    account = pieces.account
    assert account.ending in ("length", "document")
    assert 0 < account.removed_mean <= account.removed_largest < 1


def test_greedy_writing_does_not_depend_on_the_seed(here: Path) -> None:
    opened = variorum.open("pretrain")
    greedy = opened.sample("the ", temperature=0, max_tokens=20, seed=1)
    assert greedy == opened.sample("the ", temperature=0, max_tokens=20, seed=2)
    ids = opened.tokenizer.encode("the ")
    likeliest = int(opened.model(torch.tensor([ids]))[0, -1].argmax())
    assert greedy.startswith(opened.tokenizer.decode([likeliest]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1}, "sampling: temperature: -1 should be greater than or equal to 0"),
        ({"top_p": 0}, "top_p: 0 should be greater than 0"),
        ({"top_k": 0}, "top_k: 0 should be greater than or equal to 1"),
        ({"min_p": 1.5}, "min_p: 1.5 should be less than or equal to 1"),
        ({"repetition_penalty": 0.5}, "repetition_penalty: 0.5 should be greater"),
        ({"stop": "end"}, r"stop: 'end' should be a list, such as \[one, two\]"),
        ({"stop": [""]}, "stop.0: ''"),
        ({"valid_utf8": 1}, "valid_utf8: 1 should be true or false"),
        ({"max_tokens": 0}, "max_tokens: 0 should be greater"),
        ({"temprature": 1}, "temprature: unknown setting; did you mean `temperature`"),
    ],
)
def test_wrong_sampling_settings_are_one_line(
    here: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(VariorumError, match=message) as error:
        variorum.open().sample("the ", **settings)
    assert "\n" not in str(error.value)


# The table


def test_runs_has_one_row_for_every_model(here: Path) -> None:
    table = variorum.runs()
    assert isinstance(table, pd.DataFrame)
    assert list(table["stage"]) == ["pretrain"] * 4 + ["finetune"]
    assert set(table["key"]) == {r.key for s in TRAININGS for r in Store(here).refs(s)}
    assert set(table["label"]) == {
        "micro",
        "positions/learned/2",
        "positions/rotary/1",
        "positions/rotary/2",
    }
    assert table.equals(variorum.runs(root=here))


def test_runs_holds_settings_metrics_and_cost(here: Path) -> None:
    table = variorum.runs().set_index("key")
    ref = ref_of(here, "pretrain")
    row, result = table.loc[ref.key], Store(here).open(ref)
    assert row["model.n_embd"] == 16
    assert row["training.max_steps"] == 30
    assert row["model.positions"] == "learned"
    assert row["model.feed_forward"] == "gelu", "also what its key leaves out"
    tuned = table.loc[ref_of(here, "finetune").key]
    assert (tuned["model.n_embd"], tuned["pretrained"]) == (16, ref.key)
    metrics = result.json("metrics.json")
    assert {name: row[name] for name in metrics} == metrics
    assert row["seconds"] == result.run["seconds"]
    assert row["host"] == result.run["host"]
    evaluation = Store(here).open(ref_of(here, "evaluate"))
    assert evaluation.spec.upstream["model"] == ref
    label = Store(here).open(evaluation.spec.upstream["text"]).run["label"]
    for name, metric in METRICS.items():
        assert row[f"{name}_{label}"] == metric.of(evaluation.json("metrics.json"))
    scored = table[[name for name in table if name.startswith("bits_per_byte")]]
    assert scored.shape[1] == 2, "one column a corpus"
    assert scored.notna().any(axis=1).all(), "every model was scored on something"


def test_runs_of_a_project_without_results_is_empty(micro: Project) -> None:
    assert variorum.runs(root=micro.root).empty


def test_what_cannot_be_planned_does_not_hide_the_runs(changed: Path) -> None:
    (changed / "config/ablations/positions.yaml").write_text("title: 3\n")
    (changed / "config/config.yaml").write_text("not: [valid")
    table = variorum.runs()
    assert len(table) == 5
    assert set(table["label"]) == {
        "micro",
        "positions/learned/2",
        "positions/rotary/1",
        "positions/rotary/2",
    }


# Without a domain


def test_without_a_domain_nothing_is_finetuned_and_the_report_says_so(changed: Path) -> None:
    shared = flow.files_of(changed / "results/pretrain")
    (changed / "config/config.yaml").write_text("experiment: micro\ncorpus: {domain: null}\n")
    plan = flow.current(changed)
    assert not plan.of_stage("finetune")
    assert [len(plan.of_stage(stage)) for stage in ("download", "evaluate", "stress")] == [1, 1, 1]
    flow.finish(changed, plan)
    page = Store(changed).open(plan.last.ref).file("report.html").read_text()
    assert "No domain corpus is configured" in page
    assert "fine-tuned model" not in page
    assert flow.files_of(changed / "results/pretrain") == shared, "the model is the same"
    assert variorum.open().ref == plan.of_stage("pretrain")[0].ref
    with pytest.raises(VariorumError, match="finetune: the current experiment makes none; name a"):
        variorum.open("finetune")


# The package


def test_importing_the_package_imports_no_torch_and_offers_two_names() -> None:
    code = (
        "import sys, variorum\n"
        "assert not {'torch', 'pandas', 'variorum.api'} & set(sys.modules)\n"
        "from variorum import open, runs, api\n"
        "assert (open, runs) == (api.open, api.runs)\n"
        "assert 'torch' not in sys.modules\n"
        "assert not hasattr(variorum, 'close')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
