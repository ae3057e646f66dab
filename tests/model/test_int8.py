"""Weights of 8 bits: how far they are rounded, and that a file gives back what was rounded."""

from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_export import saved
from torch import Tensor

from variorum.base.errors import VariorumError
from variorum.model import checkpoint, int8
from variorum.model.export import export, export_int8
from variorum.model.int8 import SCALE, WEIGHTS, Quantized, rounded
from variorum.tokenizer.serialization import load as load_tokenizer

VARIANTS: list[dict[str, object]] = [
    {},
    {"positions": "rotary", "norm": "rms", "bias": False, "tied_head": False},
    {"ngrams": (2,), "ngram_buckets": 50, "token_shift": True, "feed_forward": "swiglu"},
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("exported")
    export_int8(saved(place / "model", "characters"), place / "a new" / "folder")
    return place / "a new" / "folder"


MATRICES = st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(0, 2**20)).map(
    lambda drawn: torch.randn(drawn[:2], generator=torch.Generator().manual_seed(drawn[2]))
)


@settings(deadline=None)
@given(MATRICES, st.sampled_from([0.0, 1e-30, 1e-3, 1.0, 1e30]))
def test_a_weight_is_the_nearest_multiple_of_its_rows_scale(matrix: Tensor, size: float) -> None:
    matrix[0] *= size
    quantized = Quantized.of(matrix, "w")
    assert quantized.weights.dtype == torch.int8
    for row, whole, scale in zip(matrix, quantized.weights, quantized.scale, strict=True):
        assert float(scale) == pytest.approx(float(row.abs().max()) / 127, rel=1e-6)
        for weight, multiple in zip(row.tolist(), whole.tolist(), strict=True):
            assert -127 <= multiple <= 127
            assert abs(weight - multiple * float(scale)) <= 0.5001 * float(scale)
    assert torch.equal(quantized.matrix()[:, 0], quantized.weights[:, 0] * quantized.scale)


@pytest.mark.parametrize("changes", VARIANTS)
def test_an_exported_model_is_the_rounded_one(tmp_path: Path, changes: dict[str, object]) -> None:
    folder = saved(tmp_path / "model", "characters", **changes)
    files = export_int8(folder, tmp_path / "int8")
    assert sorted(file.name for file in files) == ["config.json", WEIGHTS, "tokenizer.json"]
    found, expected = int8.load(tmp_path / "int8"), rounded(checkpoint.load(folder))
    assert found.settings == expected.settings
    for (name, one), other in zip(
        found.state_dict().items(), expected.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name
    ids = torch.tensor([load_tokenizer(tmp_path / "int8/tokenizer.json").encode("to be or not")])
    with torch.no_grad():
        whole, rough = checkpoint.load(folder)(ids), found(ids)
    assert 0 < float((whole - rough).std()) < 0.05 * float(whole.std())
    size = (folder / "model.safetensors").stat().st_size
    assert (tmp_path / "int8" / WEIGHTS).stat().st_size < size / 2


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", "characters")
    for name in ("one", "other"):
        export_int8(folder, tmp_path / name)
    one, other = ((tmp_path / name / WEIGHTS).read_bytes() for name in ("one", "other"))
    assert one == other


def test_a_damaged_scale_is_noticed(exported: Path, tmp_path: Path) -> None:
    with safetensors.safe_open(exported / WEIGHTS, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    (tmp_path / "config.json").write_bytes((exported / "config.json").read_bytes())
    for name, tensor in sorted(tensors.items()):
        before = tensor.clone()
        tensor.view(torch.uint8).flatten()[-1] ^= 1  # one bit
        (tmp_path / WEIGHTS).write_bytes(safetensors.torch.save(tensors, metadata))
        with pytest.raises(VariorumError, match=r"scales are not as they were written .*again"):
            int8.load(tmp_path)
        tensors[name] = before
    (tmp_path / WEIGHTS).write_bytes(safetensors.torch.save(tensors, metadata))
    int8.load(tmp_path)


def test_a_file_that_does_not_fit_or_is_not_there_is_told(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(VariorumError, match=r"int8.safetensors: cannot be read .*--weights int8"):
        int8.load(saved(tmp_path / "model", "characters"))
    (tmp_path / "model" / WEIGHTS).write_bytes((exported / WEIGHTS).read_bytes()[:99])
    with pytest.raises(VariorumError, match="not a whole safetensors file"):
        int8.load(tmp_path / "model")
    other = saved(tmp_path / "other", "characters", n_layer=3)
    (other / WEIGHTS).write_bytes((exported / WEIGHTS).read_bytes())
    with pytest.raises(VariorumError, match=r"h\.2\.\S+ is nothing, .* not of one model"):
        int8.load(other)


def test_a_matrix_without_its_scale_is_told(tmp_path: Path, exported: Path) -> None:
    tensors = safetensors.torch.load((exported / WEIGHTS).read_bytes())
    del tensors["wte.weight" + SCALE]
    (tmp_path / "config.json").write_bytes((exported / "config.json").read_bytes())
    content = safetensors.torch.save(tensors, {int8.CHECKSUM: int8._checksum(tensors)})
    (tmp_path / WEIGHTS).write_bytes(content)
    with pytest.raises(VariorumError, match=r"wte\.weight is nothing"):
        int8.load(tmp_path)


def test_nothing_is_overwritten_and_nothing_left_of_a_model_that_diverged(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", "characters")
    with pytest.raises(VariorumError, match="is not empty"):
        export_int8(folder, folder)
    model = checkpoint.load(folder)
    with torch.no_grad():
        model.wte.weight[0, 0] = torch.nan
    checkpoint.save(model, folder)
    with pytest.raises(VariorumError, match=r"wte\.weight holds weights that are not finite"):
        export_int8(folder, tmp_path / "target")
    assert not (tmp_path / "target" / WEIGHTS).exists()


def test_a_model_that_is_no_gpt2_is_told_how_it_can_be_exported(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", "characters", positions="rotary")
    with pytest.raises(VariorumError, match=r"--weights int8. exports any model"):
        export(folder, tmp_path / "target")
    assert export_int8(folder, tmp_path / "target")
