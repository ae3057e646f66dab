"""A training gives the same bits for any number of processes, and after any number of kills."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from variorum.base import components
from variorum.base.errors import Stopped, VariorumError
from variorum.base.progress import Progress
from variorum.config.model_settings import ModelSettings
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.config.training_settings import FinetuneSettings, TrainingSettings
from variorum.model.description import describe
from variorum.model.gpt import GPT
from variorum.tokenizer.kinds import characters
from variorum.training import loop, state
from variorum.training.loop import Data, Host, Outcome, Training

TEXT = "".join(f"{i} times {i} is {i * i}. " for i in range(400))
MODEL = ModelSettings(n_layer=1, n_head=2, n_embd=16, context_length=16, positions="rotary")
SETTINGS = TrainingSettings(
    batch_size=8,
    max_steps=20,
    warmup_steps=3,
    learning_rate=2e-2,
    val_interval=5,
    val_tokens=256,
    sample_tokens=8,
)


def train(
    folder: Path,
    settings: TrainingSettings = SETTINGS,
    model: ModelSettings = MODEL,
    **host: object,
) -> tuple[GPT, Outcome]:
    tokenizer = characters.train([TEXT], TokenizerSettings(kind="characters"))
    ids = np.array(tokenizer.encode(TEXT), dtype=np.uint16)
    data = Data(ids[:-600], ids[-600:])
    gpt = GPT(model, tokenizer.vocab_size, seed=3)
    here = Host(folder / "state.safetensors", **host)  # type: ignore[arg-type]
    return gpt, Training(gpt, tokenizer, data, settings, 3, here).run()


def weights(model: GPT) -> list[bytes]:
    return [parameter.detach().numpy().tobytes() for parameter in model.parameters()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[GPT, Outcome]:
    return train(tmp_path_factory.mktemp("whole"))


def test_it_learns(whole: tuple[GPT, Outcome]) -> None:
    losses = [row["val_loss"] for row in whole[1].rows]
    assert losses[-1] < losses[0] - 0.5


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_one_process_and_several_give_the_same_bits(tmp_path: Path, shards: int) -> None:
    settings = SETTINGS.model_copy(update={"shards": shards})
    outcomes = [
        train(tmp_path / str(processes), settings, processes=processes) for processes in (1, 2, 3)
    ]
    assert weights(outcomes[0][0]) == weights(outcomes[1][0]) == weights(outcomes[2][0])
    assert outcomes[0][1].rows == outcomes[1][1].rows == outcomes[2][1].rows


def test_dropout_does_not_depend_on_who_computes_a_shard(tmp_path: Path) -> None:
    model = MODEL.model_copy(update={"dropout": 0.2})
    one, _ = train(tmp_path / "1", model=model, processes=1)
    two, _ = train(tmp_path / "2", model=model, processes=2)
    plain, _ = train(tmp_path / "0")
    assert weights(one) == weights(two) != weights(plain)


def test_shards_are_part_of_the_numerics_and_close_to_the_whole_batch(tmp_path: Path) -> None:
    one, _ = train(tmp_path / "1", SETTINGS.model_copy(update={"shards": 1}))
    four, _ = train(tmp_path / "4", SETTINGS.model_copy(update={"shards": 4}))
    for a, b in zip(one.parameters(), four.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_the_chosen_weights_have_the_lowest_val_loss(tmp_path: Path) -> None:
    rates = {"learning_rate": 1.0, "min_learning_rate": 1.0, "warmup_steps": 15}
    settings = SETTINGS.model_copy(update={**rates, "val_interval": 2})
    _, outcome = train(tmp_path, settings)
    best = min(outcome.rows, key=lambda row: row["val_loss"])
    assert outcome.summary["chosen_step"] == best["step"]
    assert best["step"] < settings.max_steps, "the planted rate must make the end the worse choice"


def test_last_keeps_the_last_weights(tmp_path: Path, whole: tuple[GPT, Outcome]) -> None:
    _, outcome = train(tmp_path, SETTINGS.model_copy(update={"selection": "last"}))
    assert outcome.summary["chosen_step"] == SETTINGS.max_steps
    assert outcome.rows == whole[1].rows


FINAL = ("final_weights_sha256", "final_states_sha256")


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize(
    "changes",
    [{"val_interval": 2}, {"val_interval": 50}, {"val_tokens": 64}, {"sample_tokens": 0}],
    ids=str,
)
def test_how_often_it_evaluates_and_samples_changes_no_weight(
    tmp_path: Path, whole: tuple[GPT, Outcome], changes: dict[str, int], dropout: float
) -> None:
    model = MODEL.model_copy(update={"dropout": dropout})
    reference = whole[1] if not dropout else train(tmp_path / "reference", model=model)[1]
    _, outcome = train(tmp_path / "changed", SETTINGS.model_copy(update=changes), model)
    assert outcome.rows != reference.rows or outcome.samples != reference.samples
    assert [outcome.summary[name] for name in FINAL] == [reference.summary[name] for name in FINAL]


def test_how_often_it_saves_and_logs_changes_no_byte(
    tmp_path: Path, whole: tuple[GPT, Outcome]
) -> None:
    log = Progress("training", tmp_path / "log")
    model, outcome = train(tmp_path, checkpoint_seconds=0, progress=log)
    assert weights(model) == weights(whole[0])
    assert (outcome.rows, outcome.samples, outcome.summary) == (
        whole[1].rows,
        whole[1].samples,
        whole[1].summary,
    )
    assert "step 20: val" in (tmp_path / "log").read_text()


def test_a_stopped_training_resumes_to_the_same_bits(
    tmp_path: Path, whole: tuple[GPT, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    note = Training._note

    def ask_to_stop_after_seven(self: Training, step: int) -> None:
        nonlocal steps
        steps += 1
        note(self, step)
        if steps == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Training, "_note", ask_to_stop_after_seven)
    with pytest.raises(VariorumError, match=r"stopped after step [78] of 20"):
        train(tmp_path)
    model, outcome = train(tmp_path)
    assert steps < 2 * SETTINGS.max_steps - 7, "it must not have begun anew"
    assert weights(model) == weights(whole[0])
    assert outcome.rows == whole[1].rows
    assert outcome.samples == whole[1].samples
    assert outcome.summary == whole[1].summary


def test_a_damaged_state_is_left_aside(tmp_path: Path, whole: tuple[GPT, Outcome]) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{cut")
    model, _ = train(tmp_path)
    assert weights(model) == weights(whole[0])


def test_a_loss_that_is_no_number_stops_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = GPT.loss
    monkeypatch.setattr(
        GPT, "loss", lambda self, x, y: loss(self, x, y) * (float("nan") if self.training else 1)
    )
    with pytest.raises(VariorumError, match=r"loss became nan at step 1; lower learning_rate"):
        train(tmp_path, processes=2)


def test_a_loss_on_val_that_is_no_number_stops_with_advice(tmp_path: Path) -> None:
    wild = {"optimizer": "sgd", "weight_decay": 1e20, "val_interval": 1, "warmup_steps": 0}
    for more in ({}, {"sample_tokens": 0, "max_steps": 1, "selection": "last"}):
        settings = SETTINGS.model_copy(update={**wild, **more})
        with pytest.raises(VariorumError, match=r"validation loss became nan at step 1; lower"):
            train(tmp_path / str(len(more)), settings)


def test_a_saved_state_is_one_that_the_next_loss_vouched_for(tmp_path: Path) -> None:
    wild = {"optimizer": "sgd", "weight_decay": 1e20, "warmup_steps": 10, "learning_rate": 1e-19}
    settings = SETTINGS.model_copy(update={**wild, "min_learning_rate": 1e-20, "max_steps": 40})
    ruined = {**wild, "learning_rate": 1.0, "min_learning_rate": 1.0, "warmup_steps": 3}
    with pytest.raises(Stopped):
        train(tmp_path, settings, stop_after=3)
    with pytest.raises(VariorumError, match=r"step 5; .*; the last good state is .*state.safe"):
        train(tmp_path, SETTINGS.model_copy(update=ruined), checkpoint_seconds=0.0)
    kept = state.read(tmp_path / "state.safetensors")
    assert kept is not None
    assert kept[0].position.step == 3
    assert kept[0].tensors["weights"].abs().max() < 10


def test_without_a_compiler_that_is_said(tmp_path: Path) -> None:
    from torch._inductor import config

    message = r"compile: true needs a C\+\+ compiler.*install g\+\+"
    with config.patch({"cpp.cxx": ("/nowhere/g++",)}), pytest.raises(VariorumError, match=message):
        train(tmp_path, SETTINGS.model_copy(update={"compile": True}))


KILLED = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
import test_loop
settings = test_loop.SETTINGS.model_copy(update={{"max_steps": 100000}})
test_loop.train(Path({folder!r}), settings, processes=2, checkpoint_seconds=0.1)
"""


def test_a_killed_leader_leaves_no_worker_behind(tmp_path: Path) -> None:
    program = KILLED.format(paths=[str(Path(__file__).parent)], folder=str(tmp_path))
    leader = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    state = tmp_path / "state.safetensors"
    wait_for(lambda: state.is_file(), 30)
    workers = children_of(leader.pid)
    assert workers
    leader.kill()
    leader.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 10)


def test_a_killed_worker_stops_the_training_with_a_clear_line(tmp_path: Path) -> None:
    program = KILLED.format(paths=[str(Path(__file__).parent)], folder=str(tmp_path))
    leader = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (tmp_path / "state.safetensors").is_file(), 30)
    os.kill(children_of(leader.pid)[0], signal.SIGKILL)
    _, errors = leader.communicate(timeout=30)
    assert leader.returncode == 1
    assert "a worker process of this training died" in errors


def children_of(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def wait_for(condition: object, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def test_the_last_interval_is_kept_to_be_replayed(
    whole: tuple[GPT, Outcome], tmp_path: Path
) -> None:
    kept = whole[1].last_interval
    assert kept.position.step == SETTINGS.max_steps - SETTINGS.val_interval
    assert kept.position.rows == whole[1].rows[:-1]
    tensors = {**kept.tensors, "best": kept.tensors["weights"].clone()}
    state.write(tmp_path / "state.safetensors", state.State(tensors, kept.position))
    model, outcome = train(tmp_path, processes=2)
    assert weights(model) == weights(whole[0])
    assert (outcome.rows, outcome.summary) == (whole[1].rows, whole[1].summary)
    assert_same(outcome.last_interval, kept)


def test_one_that_was_stopped_keeps_the_last_interval_all_the_same(
    whole: tuple[GPT, Outcome], tmp_path: Path
) -> None:
    for stop in (5, 17):
        with pytest.raises(Stopped, match=f"stopped after step {stop} of 20"):
            train(tmp_path, processes=2, stop_after=stop)
    _, outcome = train(tmp_path)
    assert_same(outcome.last_interval, whole[1].last_interval)
    assert outcome.summary == whole[1].summary


def test_a_training_of_one_interval_is_kept_from_its_beginning(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"val_interval": 50})
    _, first = train(tmp_path / "first", settings)
    assert first.last_interval.position.step == 0
    tensors = {
        **first.last_interval.tensors,
        "best": first.last_interval.tensors["weights"].clone(),
    }
    again = state.State(tensors, first.last_interval.position)
    state.write(tmp_path / "again/state.safetensors", again)
    _, second = train(tmp_path / "again", settings)
    assert (second.rows, second.summary) == (first.rows, first.summary)


def assert_same(one: state.State, other: state.State) -> None:
    assert one.position == other.position
    assert one.tensors.keys() == other.tensors.keys()
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)


# What a training may choose


@pytest.mark.parametrize("optimizer", components.options("training/optimizers"))
def test_every_optimizer_learns_the_same_bits_for_any_number_of_processes(
    tmp_path: Path, optimizer: str
) -> None:
    rate = 0.5 if optimizer == "sgd" else 2e-2
    changes = {"optimizer": optimizer, "learning_rate": rate, "weight_decay": 0.0}
    settings = SETTINGS.model_copy(update=changes)
    outcomes = [train(tmp_path / str(n), settings, processes=n) for n in (1, 2)]
    assert weights(outcomes[0][0]) == weights(outcomes[1][0])
    losses = [row["val_loss"] for row in outcomes[0][1].rows]
    assert losses[-1] < losses[0] - 0.3


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_gradients_equal_the_large_batchs(
    tmp_path: Path, whole: tuple[GPT, Outcome], parts: int
) -> None:
    settings = SETTINGS.model_copy(update={"accumulation": parts})
    model, outcome = train(tmp_path, settings)
    for ours, large in zip(model.parameters(), whole[0].parameters(), strict=True):
        torch.testing.assert_close(ours, large, rtol=1e-3, atol=1e-4)
    for ours, large in zip(outcome.rows, whole[1].rows, strict=True):
        assert ours["val_loss"] == pytest.approx(large["val_loss"], rel=1e-4)


@pytest.mark.parametrize("order", components.options("training/batch_orders"))
def test_it_learns_from_batches_of_any_order(tmp_path: Path, order: str) -> None:
    _, outcome = train(tmp_path, SETTINGS.model_copy(update={"batches": order}))
    assert outcome.rows[-1]["val_loss"] < outcome.rows[0]["val_loss"] - 0.5


def test_bf16_learns_about_as_much_as_fp32(tmp_path: Path, whole: tuple[GPT, Outcome]) -> None:
    model, outcome = train(tmp_path, SETTINGS.model_copy(update={"precision": "bf16"}))
    assert outcome.rows[-1]["val_loss"] == pytest.approx(whole[1].rows[-1]["val_loss"], rel=0.05)
    assert weights(model) != weights(whole[0])
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


OVERSHOOTING = {"learning_rate": 1.0, "min_learning_rate": 1.0, "warmup_steps": 15}


def test_it_ends_early_when_val_falls_no_more(tmp_path: Path) -> None:
    changes = {**OVERSHOOTING, "val_interval": 2, "max_steps": 60, "patience": 3}
    settings = SETTINGS.model_copy(update=changes)
    model, outcome = train(tmp_path / "1", settings)
    chosen, last = outcome.summary["chosen_step"], outcome.summary["steps"]
    assert last < 60
    assert last == outcome.rows[-1]["step"]
    assert last - chosen == 3 * 2
    assert outcome.last_interval.position.step == last - 2
    other, two = train(tmp_path / "2", settings, processes=2)
    assert weights(model) == weights(other)
    assert outcome.rows == two.rows


def test_with_patience_left_it_is_as_without(tmp_path: Path, whole: tuple[GPT, Outcome]) -> None:
    model, outcome = train(tmp_path, SETTINGS.model_copy(update={"patience": 4}))
    assert weights(model) == weights(whole[0])
    assert outcome.rows == whole[1].rows


def test_a_training_that_ended_early_ends_again_when_it_resumes(tmp_path: Path) -> None:
    changes = {**OVERSHOOTING, "val_interval": 2, "max_steps": 60, "patience": 3}
    settings = SETTINGS.model_copy(update=changes)
    _, outcome = train(tmp_path, settings, checkpoint_seconds=0)
    _, again = train(tmp_path, settings)
    assert again.rows == outcome.rows
    assert again.summary == outcome.summary


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_frozen_parts_stay_to_the_bit_and_the_rest_learns(tmp_path: Path, optimizer: str) -> None:
    settings = FinetuneSettings(
        **SETTINGS.model_dump(exclude={"optimizer"}), optimizer=optimizer, freeze=("wte", "h.0.mlp")
    )
    model, outcome = train(tmp_path, settings)
    begun = GPT(MODEL, model.vocab_size, seed=3).state_dict()
    same = {name for name, w in model.state_dict().items() if torch.equal(w, begun[name])}
    assert same == {name for name in begun if name.startswith(("wte.", "h.0.mlp."))}
    assert outcome.rows[-1]["val_loss"] < outcome.rows[0]["val_loss"]


def test_replayed_text_is_learned_as_well(tmp_path: Path) -> None:
    """Trained on one half of the text alone, and with the other half shown again."""
    tokenizer = characters.train([TEXT + "xyz"], TokenizerSettings(kind="characters"))
    own = np.array(tokenizer.encode(TEXT), dtype=np.uint16)
    base = np.array(tokenizer.encode("xyz" * 300), dtype=np.uint16)
    losses = []
    for share in (0.0, 0.5):
        settings = FinetuneSettings(**SETTINGS.model_dump())
        gpt = GPT(MODEL, tokenizer.vocab_size, seed=3)
        host = Host(tmp_path / f"{share}.safetensors")
        Training(gpt, tokenizer, Data(own[:-600], own[-600:], base, share), settings, 3, host).run()
        ids = torch.from_numpy(base[:17].astype(np.int64))[None]
        losses.append(gpt.loss(ids[:, :-1], ids[:, 1:]).item())
    assert losses[1] < losses[0] - 1


def test_what_happens_inside_is_noted_at_each_validation(whole: tuple[GPT, Outcome]) -> None:
    noted = whole[1].diagnostics
    steps = [row["step"] for row in whole[1].rows if row["step"]]
    parts = {row["part"] for row in noted}
    assert parts == {"wte", "h.0.attn", "h.0.mlp", "h.0.ln_1", "h.0.ln_2", "ln_f", "h.0"}
    assert {row["step"] for row in noted} == set(steps)
    for step, row in zip(steps, whole[1].rows[1:], strict=True):
        here = [each for each in noted if each["step"] == step and "gradient_norm" in each]
        total = math.sqrt(sum(each["gradient_norm"] ** 2 for each in here))
        assert total == pytest.approx(row["gradient_norm"], rel=1e-5)
        assert all(0 < each["update_ratio"] < 1 for each in here if each["update_ratio"])
    layers = [row for row in noted if row["part"] == "h.0"]
    assert all(0 < row["activation_rms"] < row["activation_max"] for row in layers)
    assert all(0 <= row["dead_share"] <= 1 for row in layers)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_training_holds_as_much_memory_as_its_description_says(
    tmp_path: Path, optimizer: str
) -> None:
    settings = SETTINGS.model_copy(update={"optimizer": optimizer, "shards": 4})
    tokenizer = characters.train([TEXT], TokenizerSettings(kind="characters"))
    ids = np.array(tokenizer.encode(TEXT), dtype=np.uint16)
    gpt = GPT(MODEL.model_copy(update={"n_embd": 64}), tokenizer.vocab_size, seed=3)
    host = Host(tmp_path / "state.safetensors")
    training = Training(gpt, tokenizer, Data(ids[:-600], ids[-600:]), settings, 3, host)
    training.run()
    shards, last = training._shards, training._last_interval
    assert last is not None
    held = [shards.weights, shards.gradients, shards.states, shards.decayed, training._best]
    held += last.tensors.values()
    n_states = shards.states.shape[0]
    said = describe(gpt).training_bytes(settings.shards, n_states)
    assert sum(tensor.nbytes for tensor in held) == pytest.approx(said, rel=0.01)


@pytest.mark.long
def test_compiled_bits_do_not_depend_on_processes_or_stops(tmp_path: Path) -> None:
    compiled = SETTINGS.model_copy(update={"compile": True})
    model = MODEL.model_copy(update={"ngrams": (2,), "ngram_buckets": 50})
    two, _ = train(tmp_path / "two", compiled, model, processes=2)
    one, outcome = train(tmp_path / "one", compiled, model)
    with pytest.raises(Stopped):
        train(tmp_path / "stopped", compiled, model, stop_after=7)
    resumed, _ = train(tmp_path / "stopped", compiled, model)
    assert weights(one) == weights(two) == weights(resumed)
    _, plain = train(tmp_path / "plain", model=model)
    losses = [[row["val_loss"] for row in each.rows] for each in (outcome, plain)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_one_process_takes_no_shared_memory(
    tmp_path: Path, whole: tuple[GPT, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: torch.Tensor) -> None:
        raise RuntimeError("No space left on device")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    model, _ = train(tmp_path)
    assert weights(model) == weights(whole[0])
    with pytest.raises(VariorumError, match="no shared memory is left for"):
        train(tmp_path / "two", processes=2)


SAVED = """
import sys
from pathlib import Path
import torch
from peak_memory import peak_memory
from variorum.training import state
kept = state.State({"weights": torch.ones(25_000_000)}, state.Position())
before = peak_memory()
state.write(Path(sys.argv[1]), kept)
print(peak_memory() - before)
"""


def test_a_state_is_written_without_a_copy_in_memory(tmp_path: Path) -> None:
    from conftest import measured  # workers of other tests import this file, and need it at once

    file = tmp_path / "state.safetensors"
    grown = int(measured(SAVED, file))
    assert file.stat().st_size > 100_000_000
    assert grown < 20_000_000


def test_a_training_quotes_no_sample_of_nothing_but_spaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = iter([" \n\t", "the sun", ""])
    monkeypatch.setattr(loop, "continue_text", lambda *_: next(written))
    log = tmp_path / "log"
    train(tmp_path, SETTINGS.model_copy(update={"max_steps": 10}), progress=Progress("train", log))
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if ": val " in line]
    assert len(lines) == 3
    assert [line.partition("  “")[2] for line in lines] == ["", "the sun”", ""]
    assert not any(line.endswith((" ", "“”")) for line in lines)
