"""What holds on the CPU holds on NVIDIA's GPUs: the same bits twice, and after a stop.

Run where there is one, with `make test-gpu`; `tests/model/test_devices.py` holds everywhere that
nothing is left on the CPU.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import add_micro_experiment, copy_project
from flow import current, files_of, make
from model.test_devices import PARTS
from training.test_loop import MODEL, SETTINGS, train
from variorum.base.errors import Stopped
from variorum.base.machine import Machine, use_deterministic_kernels
from variorum.config.evaluation_settings import SamplingSettings
from variorum.config.model_settings import ModelSettings
from variorum.generation.sampler import generate
from variorum.model.gpt import GPT
from variorum.store.result import VARYING
from variorum.store.store import Store

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="none of NVIDIA's GPUs is here"),
]


@pytest.fixture(autouse=True)
def deterministic() -> None:
    """As stages set it, and before any product is computed there."""
    use_deterministic_kernels("cuda")


def model_with(**parts: Any) -> GPT:
    settings = ModelSettings(n_layer=2, n_head=2, n_embd=32, context_length=16, **parts)
    return GPT(settings, vocab_size=50, seed=1)


def gradients(model: GPT, device: str) -> dict[str, torch.Tensor]:
    model.to(device).zero_grad()
    ids = torch.arange(34).reshape(2, 17).to(device)
    model.loss(ids[:, :-1], ids[:, 1:]).backward()  # type: ignore[no-untyped-call]
    return {
        name: parameter.grad.detach().cpu().clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize("parts", [each for each in PARTS if "dropout" not in each], ids=str)
def test_gradients_equal_the_cpus(parts: dict[str, Any]) -> None:
    model = model_with(**parts)
    here = gradients(model, "cpu")
    there = gradients(model, "cuda")
    assert here.keys() == there.keys()
    for name, expected in here.items():
        torch.testing.assert_close(there[name], expected, rtol=1e-3, atol=1e-5)


WAYS: list[dict[str, Any]] = [
    {},
    {"optimizer": "muon"},
    {"precision": "bf16"},
    {"accumulation": 2, "shards": 1},
    {"compile": True},
]


@pytest.mark.parametrize("changes", WAYS, ids=str)
def test_a_training_gives_the_same_bits_twice_and_after_a_stop(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    settings = SETTINGS.model_copy(update=changes)
    model = MODEL.model_copy(update={"dropout": 0.2})
    _, once = train(tmp_path / "once", settings, model, device="cuda")
    with pytest.raises(Stopped):
        train(tmp_path / "again", settings, model, device="cuda", stop_after=7)
    _, again = train(tmp_path / "again", settings, model, device="cuda")
    assert (again.rows, again.samples) == (once.rows, once.samples)
    assert again.summary == once.summary


def test_a_training_ends_where_that_on_the_cpu_ends(tmp_path: Path) -> None:
    _, there = train(tmp_path / "there", device="cuda")
    _, here = train(tmp_path / "here")
    assert [row["val_loss"] for row in there.rows] == pytest.approx(
        [row["val_loss"] for row in here.rows], rel=1e-3
    )


@pytest.mark.parametrize("parts", PARTS, ids=str)
def test_the_cache_writes_what_is_written_without_it(parts: dict[str, Any]) -> None:
    model = model_with(**parts).to("cuda").eval()
    settings = SamplingSettings(temperature=0, max_tokens=40, valid_utf8=False)
    written = [
        list(generate(model, [1, 2, 3], settings, use_cache=use_cache))
        for use_cache in (True, False)
    ]
    assert written[0] == written[1]


def lasting(files: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in files.items() if name not in VARYING}


def test_an_experiment_gives_the_same_bytes_twice(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        project = copy_project(tmp_path / name)
        add_micro_experiment(project)
        plan = current(project.root)
        for node in plan:
            make(project.root, node, machine=Machine(device="cuda"))
        store = Store(project.root)
        # but for the page, whose bundle keeps how long things took
        nodes = [node for node in plan if node.ref.stage != "report"]
        made.append([lasting(files_of(store.folder(node.ref))) for node in nodes])
    assert made[0] == made[1]
