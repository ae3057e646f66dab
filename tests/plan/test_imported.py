"""An experiment that begins with a GPT-2 of others: planned, made, told of, and refused."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import safetensors.torch
import torch
import transformers

import flow
import peers
import variorum
from conftest import Project, add_micro_experiment, copy_project
from variorum import api
from variorum.audit.explain import why as explanation
from variorum.audit.gc.needs import needs
from variorum.audit.verify import integrity, rerun, selection
from variorum.base.errors import VariorumError
from variorum.base.machine import Machine
from variorum.base.progress import Progress
from variorum.cli import model_summary
from variorum.config.canonical import restored
from variorum.config.setting_errors import ConfigError
from variorum.model.export import export
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.loading import load_experiment, provenance
from variorum.plan.references import References
from variorum.stages.imported import ImportedStage
from variorum.store.pins import pin
from variorum.store.store import Store

NO_DROPOUT = {"embd_pdrop": 0.0, "resid_pdrop": 0.0, "attn_pdrop": 0.0}

ABLATION = """
title: Rates
question: Which rate suits the imported model?
experiment: micro
last_stage: finetune
corpora: [domain]
variants: {low: {finetune: {learning_rate: 2.0e-4}}, high: {finetune: {learning_rate: 1.0e-2}}}
baseline: low
seeds: [1, 2]
"""


def with_import(target: Path) -> Project:
    """The micro experiment, which begins with a GPT-2 of theirs."""
    project = copy_project(target)
    add_micro_experiment(project)
    peers.import_gpt2(project.root)
    return project


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """That experiment with an ablation, run to the end."""
    project = with_import(tmp_path_factory.mktemp("imported") / "project")
    flow.finish(project.root, flow.current(project.root))
    (project.root / "config/ablations/rates.yaml").write_text(ABLATION)
    ablation = load_ablation(project.root, "rates")
    flow.finish(project.root, plan_ablation(ablation, project.root))
    return project


@pytest.fixture
def root(finished: Project, tmp_path: Path) -> Path:
    """A copy of the finished project, to change."""
    shutil.copytree(finished.root, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """The experiment, of which nothing was made."""
    return with_import(tmp_path / "fresh").root


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def page_of(root: Path) -> str:
    return Store(root).open(flow.current(root).last.ref).file("report.html").read_text()


# The plan


def test_it_takes_the_place_of_the_tokenizer_and_of_pretraining(fresh: Path) -> None:
    plan = flow.current(fresh)
    (imported,) = plan.of_stage("imported")
    assert not plan.of_stage("tokenizer")
    assert not plan.of_stage("pretrain")
    for stage, name in (("encode", "tokenizer"), ("finetune", "model"), ("finetune", "tokenizer")):
        assert all(node.upstream[name] is imported for node in plan.of_stage(stage))
    assert plan.last.upstream["pretrained"] is plan.last.upstream["tokenizer"] is imported


def test_settings_of_the_model_come_from_its_files(fresh: Path) -> None:
    loaded = load_experiment(fresh)
    found = {name: (value, origin) for name, value, origin in provenance(loaded)}
    assert found["model.context_length"] == (16, "models/gpt2/config.json")
    assert found["model.n_embd"] == (16, "models/gpt2/config.json")
    assert found["model.dropout"] == (0.1, "models/gpt2/config.json")
    settings = restored(ImportedStage, dict(flow.current(fresh).nodes[_ref(fresh)].spec.settings))
    assert settings.model == loaded.settings.model


def _ref(root: Path) -> variorum.identity.spec.Ref:
    (node,) = flow.current(root).of_stage("imported")
    return node.ref


def test_equal_settings_may_stand_there_and_change_nothing(fresh: Path) -> None:
    before = flow.current(fresh)
    same = flow.current(fresh, model={"n_embd": 16, "positions": "learned", "ngrams": []})
    assert list(same.nodes)[:-1] == list(before.nodes)[:-1], "the page tells its command"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"n_layer": 2}}, r"model\.n_layer: 2 is not what the imported model has, 1 \(m"),
        ({"model": {"dropout": 0.2}}, r"model\.dropout: 0\.2 is not what .* 0\.1 \(models/gpt2/co"),
        ({"preset": "modern"}, r"config/presets/modern\.yaml:\d+: model\.positions: 'rotary' is n"),
        ({"tokenizer": {"vocab_size": 400}}, "tokenizer: decides nothing here, .* leave it out"),
        ({"pretrain": {"max_steps": 400}}, "pretrain: decides nothing here, .* leave it out"),
        ({"evaluate": {"stride": 17}}, r"evaluate\.stride: 17 is more than .* = 16"),
        ({"imported": {"path": "models/none"}}, r"imported\.path: .*none/config\.json: cannot be"),
        ({"imported": {"path": ""}}, r"imported\.path: "),
        ({"imported": {"folder": "x"}}, r"imported\.folder: unknown setting"),
    ],
)
def test_what_contradicts_the_import_is_refused_by_name(
    fresh: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        flow.current(fresh, **changes)


def test_a_folder_that_lacks_a_file_is_named_where_it_is_written(fresh: Path) -> None:
    (fresh / "models/gpt2/tokenizer.json").unlink()
    place = (
        r"config/experiments/micro\.yaml:\d+: imported\.path: .*models/gpt2 holds no vocab\.json"
    )
    with pytest.raises(ConfigError, match=place):
        flow.current(fresh)


def test_a_model_that_cannot_be_read_is_refused_when_it_is_planned(fresh: Path) -> None:
    edit_config(fresh / "models/gpt2", activation_function="relu")
    with pytest.raises(ConfigError, match=r"imported\.path: .*activation_function is 'relu'"):
        flow.current(fresh)


def test_keys_stand_on_the_bytes_of_the_model_and_on_no_other_file(fresh: Path) -> None:
    before, folder = _ref(fresh), fresh / "models/gpt2"
    (folder / "README.md").write_text("of no account")
    assert _ref(fresh) == before
    (folder / "tokenizer_config.json").write_text("{}")
    assert _ref(fresh) != before
    (folder / "tokenizer_config.json").unlink()
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert _ref(fresh) != before


def test_a_given_checksum_is_compared_with_the_files(fresh: Path) -> None:
    pinned = {"imported": {"sha256": "0" * 64}}
    plan = flow.current(fresh, **pinned)
    with pytest.raises(VariorumError, match=r"imported\.sha256: .* has SHA-256 \w+, expected 0000"):
        flow.make(fresh, plan.of_stage("imported")[0])


def test_model_and_tokenizer_must_be_of_one_model(fresh: Path) -> None:
    peers.byte_level_tokenizer(["a b c"], 270).save(str(fresh / "models/gpt2/tokenizer.json"))
    node = flow.current(fresh).of_stage("imported")[0]
    with pytest.raises(VariorumError, match=r"model has 300 rows .* tokenizer 2.*resize_token_emb"):
        flow.make(fresh, node)


def weights(root: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(root / "models/gpt2/model.safetensors")


def test_weights_that_are_no_numbers_are_refused(fresh: Path) -> None:
    changed = weights(fresh)
    changed["transformer.h.0.mlp.c_fc.weight"][0, 0] = float("nan")
    safetensors.torch.save_file(changed, fresh / "models/gpt2/model.safetensors")
    node = flow.current(fresh).of_stage("imported")[0]
    with pytest.raises(
        VariorumError, match=r"h\.0\.mlp\.c_fc\.weight holds numbers that are not f"
    ):
        flow.make(fresh, node)


def test_weights_in_several_files_are_part_of_the_key_and_imported(fresh: Path) -> None:
    folder, before = fresh / "models/gpt2", weights(fresh)
    transformers.AutoModelForCausalLM.from_pretrained(folder).save_pretrained(
        fresh / "parts", max_shard_size="10KB"
    )
    (folder / "model.safetensors").unlink()
    for path in (fresh / "parts").glob("model*"):
        shutil.copy(path, folder)
    (node,) = flow.current(fresh).of_stage("imported")
    flow.make(fresh, node)
    made = safetensors.torch.load_file(Store(fresh).open(node.ref).file("model.safetensors"))
    assert all(torch.equal(made[name], before[name]) for name in made)
    last = max(folder.glob("model-*"))
    last.write_bytes(last.read_bytes()[:-1] + b"\1")
    assert _ref(fresh) != node.ref


# What comes of it


def test_the_result_is_the_model_and_the_tokenizer_of_theirs(finished: Project) -> None:
    opened = variorum.open("imported", root=finished.root)
    folder = finished.root / "models/gpt2"
    theirs, tokens = (
        kind.from_pretrained(folder)
        for kind in (transformers.AutoModelForCausalLM, transformers.AutoTokenizer)
    )
    for path in sorted((finished.root / "texts/domain").iterdir())[:3]:
        assert opened.tokenizer.encode(path.read_text()) == tokens.encode(path.read_text())
    ids = torch.randint(300, (3, 16), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(
            opened.model(ids), theirs.eval()(ids).logits, rtol=1e-5, atol=1e-5
        )


def test_what_was_fine_tuned_goes_back_to_their_libraries(
    finished: Project, tmp_path: Path
) -> None:
    opened = variorum.open(root=finished.root)
    assert opened.ref.stage == "finetune"
    export(opened.folder, tmp_path / "back")
    ids = torch.tensor([opened.tokenizer.encode("the leaf of the tree")[:16]])
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "back").eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, opened.model(ids), rtol=1e-5, atol=1e-5)
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "back")
    text = "the leaf of the tree"
    assert tokens.encode(text) == opened.tokenizer.encode(text)


def test_fine_tuning_begins_with_its_weights(finished: Project) -> None:
    store, plan = Store(finished.root), flow.current(finished.root)
    start, end = (variorum.open(stage, root=finished.root).model for stage in MODELS)
    moved = max(
        (a - b).abs().max().item()
        for a, b in zip(start.parameters(), end.parameters(), strict=True)
    )
    assert 0 < moved < 0.1
    rows = pd.read_csv(store.open(plan.of_stage("finetune")[0].ref).file("metrics.csv"))
    assert rows["val_loss"].dropna().iloc[-1] < rows["val_loss"].iloc[0]


MODELS = ("imported", "finetune")


def test_the_page_says_that_it_was_imported(finished: Project) -> None:
    page, plan = page_of(finished.root), flow.current(finished.root)
    (node,) = plan.of_stage("imported")
    text = " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL).split())
    assert f"were imported from models/gpt2 ( {node.ref.key} ) and not trained here" in text
    assert "Model parameters 8 368 layers 1 heads" in text
    assert "there is no curve of its pretraining" in text
    assert str(node.spec.settings["imported"]["sha256"]) in text
    training = text[text.index("and not trained here") : text.index("Val loss in nats")]
    assert "fine-tuned" in training
    curves = Store(finished.root).open(plan.last.ref).file("curves.csv")
    assert set(pd.read_csv(curves)["training"]) == {"finetuned"}


def test_without_a_domain_it_is_judged_as_it_is(finished: Project, tmp_path: Path) -> None:
    root = tmp_path / "alone"
    shutil.copytree(finished.root, root)
    (root / "config/config.yaml").write_text("experiment: micro\ncorpus: {domain: null}\n")
    plan = flow.current(root)
    flow.finish(root, plan)
    page = page_of(root)
    assert "there is no curve of its pretraining" in page
    assert 'id="figure-curves"' not in page
    curves = Store(root).open(plan.last.ref).file("curves.csv").read_text()
    assert curves.startswith("step,train_loss,val_loss,")
    assert len(curves.splitlines()) == 1
    assert variorum.open(root=root).ref.stage == "imported"


def test_an_ablation_of_fine_tuning_shares_the_import(finished: Project) -> None:
    plan = plan_ablation(load_ablation(finished.root, "rates"), finished.root)
    assert [node.ref for node in plan.of_stage("imported")] == [_ref(finished.root)]
    assert len(plan.of_stage("finetune")) == 4
    table = Store(finished.root).open(plan.last.ref).file("table.csv").read_text()
    assert "high" in table
    assert "8368" in table


def test_an_ablation_of_imported_models_themselves_is_a_table_too(root: Path) -> None:
    texts = [path.read_text() for path in sorted((root / "texts/base").iterdir())]
    peers.save_gpt2(root / "models/wider", texts, n_embd=32)
    variants = "{one: {}, wider: {imported: {path: models/wider}}}"
    text = re.sub(r"variants: .*", f"variants: {variants}", ABLATION)
    text = text.replace("last_stage: finetune", "last_stage: pretrain")
    text = text.replace("baseline: low", "baseline: one")
    (root / "config/ablations/sizes.yaml").write_text(text)
    plan = plan_ablation(load_ablation(root, "sizes"), root)
    flow.finish(root, plan)
    assert len(plan.of_stage("imported")) == 2
    assert "wider" in Store(root).open(plan.last.ref).file("table.md").read_text()


def test_a_plan_is_described_without_pretraining(finished: Project) -> None:
    lines = list(model_summary.of_plan({}, finished.root))
    assert "  vocabulary                              300 tokens" in lines
    assert [line.split(",")[0] for line in lines if "steps with" in line] == ["finetune"]
    lines = list(model_summary.of_result("imported", finished.root))
    assert not [line for line in lines if "steps with" in line]


def test_it_stands_in_the_table_of_models(finished: Project) -> None:
    table = api.runs(root=finished.root)
    (row,) = table[table["stage"] == "imported"].to_dict("records")
    assert row["imported.path"] == "models/gpt2"
    assert row["parameters"] == 8368
    assert row["bits_per_byte_domain"] > 0


# Audit


def test_verify_holds_it_against_its_files(root: Path) -> None:
    def verified() -> integrity.Findings:
        chosen = selection.select(root, [], everything=False)
        return integrity.verify(chosen, Progress("verify"))

    found = verified()
    assert not found.damage
    assert not found.notes or not [note for note in found.notes if "imported" in note]
    chosen = selection.select(root, ["imported"], everything=False)
    (outcome,) = rerun.rerun_all(chosen, Machine())
    assert outcome.passed
    old = _ref(root)
    edit_config(root / "models/gpt2", **NO_DROPOUT)
    chosen = selection.select(root, [str(old)], everything=False)
    found = integrity.verify(chosen, Progress("verify"))
    assert not found.damage
    assert [note for note in found.notes if "the source of imported/" in note]


def test_gc_needs_it(root: Path) -> None:
    found = needs(root, lambda ref: ())
    assert "micro" in found.serves[_ref(root)]


def test_why_names_the_bytes_of_the_model(root: Path) -> None:
    edit_config(root / "models/gpt2", **NO_DROPOUT)
    text = "\n".join(explanation.why(root, "imported", None, {}).lines())
    assert "the bytes of imported, sha256 " in text
    assert re.search(r"config/experiments/micro\.yaml:\d+", text)
    assert "model.dropout 0.1 -> 0.0 (models/gpt2/config.json)" in text


def test_a_fine_tuned_model_is_kept_with_the_import_as_its_tokenizer(root: Path) -> None:
    pin(root, "before", References(root).to_pin(["rates/high"]))
    text = ABLATION.replace("high: {finetune: {learning_rate: 1.0e-2}}", "high: {pinned: before}")
    (root / "config/ablations/again.yaml").write_text(text)
    plan = plan_ablation(load_ablation(root, "again"), root)
    flow.finish(root, plan)
    table = Store(root).open(plan.last.ref).file("table.md").read_text()
    assert "high" in table


def test_a_model_pinned_beside_an_import_keeps_its_own_tokenizer(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "beside")
    add_micro_experiment(project)
    root, experiments = project.root, project.root / "config/experiments"
    shutil.copy(experiments / "micro.yaml", experiments / "own.yaml")
    peers.import_gpt2(root)
    for seed in (1, 2):
        flow.before(root, flow.current(root, experiment="own", seed=seed), "finetune")
    trained = set(Store(root).refs("pretrain"))
    pin(root, "before", trained)
    text = ABLATION.replace("last_stage: finetune\n", "").replace("[domain]", "[base]")
    text = re.sub("(?m)^variants: .*$", "variants: {low: {}, mine: {pinned: before}}", text)
    (root / "config/ablations/beside.yaml").write_text(text)
    table = plan_ablation(load_ablation(root, "beside"), root).last
    for seed in (1, 2):
        model = table.upstream[f"mine/{seed}/model"]
        assert model.ref in trained
        judged = table.upstream[f"mine/{seed}/base"]
        assert judged.upstream["model"].ref == model.ref
        tokenizer = judged.upstream["tokens"].upstream["tokenizer"].ref
        assert tokenizer == model.spec.upstream["tokenizer"]
        assert table.upstream[f"low/{seed}/model"].ref.stage == "imported"
