"""Round a model's matrices to 8 bits, and save them so.

Each row of a matrix, which is one output's or one token's weights, has a scale: its largest
magnitude over 127. A weight is the nearest of the 255 multiples of its row's scale (symmetric
quantization, per channel; Jacob et al. 2018, section 2.1). Biases and the trained scales of norms
are few and stay as they are. Products are computed in float32.

The file `model.int8.safetensors` holds, by a parameter's name in `model.gpt`, either the weights
(out, in) as int8 beside `<name>.scale` (out,) in float32, or a vector in float32. Its metadata
holds a SHA-256 over all of them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from variorum.base.errors import VariorumError
from variorum.model.config_file import read as read_config
from variorum.model.gpt import GPT
from variorum.model.imported_files import CONFIG

WEIGHTS = "model.int8.safetensors"
LARGEST = 127
SCALE = ".scale"  # behind the name of a matrix
CHECKSUM = "sha256"


@dataclass(frozen=True)
class Quantized:
    """Hold a matrix (out, in) as int8, and the scale (out,) of each row."""

    weights: Tensor
    scale: Tensor

    @classmethod
    def of(cls, matrix: Tensor, name: str) -> "Quantized":
        """Round a matrix (out, in); a row of zeros has the scale 0.

        Raises:
            VariorumError: if a weight is no finite number.
        """
        if not torch.isfinite(matrix).all():
            raise VariorumError(
                f"{name} holds weights that are not finite numbers, and 8 bits hold none; use a "
                "checkpoint from before the training diverged"
            )
        scale = matrix.abs().amax(1) / LARGEST
        divisor = torch.where(scale > 0, scale, 1.0)
        weights = (matrix / divisor[:, None]).round().clamp(-LARGEST, LARGEST).to(torch.int8)
        return cls(weights, scale)

    def matrix(self) -> Tensor:
        """Return the rounded matrix (out, in) in float32."""
        return self.weights.float() * self.scale[:, None]


@torch.no_grad()
def rounded(model: GPT) -> GPT:
    """Round the matrices of a model, in place, to what 8 bits hold; return it.

    Raises:
        VariorumError: if a weight is no finite number.
    """
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            parameter.copy_(Quantized.of(parameter, name).matrix())
    return model


def save(model: GPT, folder: Path) -> None:
    """Write the weights of `model` into `folder`, rounded. Equal models give equal bytes.

    Raises:
        VariorumError: if a weight is no finite number.
    """
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.state_dict().items():
        if parameter.dim() == 2:
            quantized = Quantized.of(parameter, name)
            tensors |= {name: quantized.weights, name + SCALE: quantized.scale}
        else:
            tensors[name] = parameter
    tensors = {name: each.cpu().contiguous() for name, each in tensors.items()}
    # more than one entry of metadata would be written in an order that changes
    content = safetensors.torch.save(tensors, {CHECKSUM: _checksum(tensors)})
    (folder / WEIGHTS).write_bytes(content)


def load(folder: Path) -> GPT:
    """Load the model of an exported folder with weights of 8 bits.

    It is on the CPU, and ready to be used.

    Raises:
        VariorumError: if a file is missing or damaged, or the two do not belong together.
    """
    settings, vocab_size = read_config(folder / CONFIG)
    model, path = GPT(settings, vocab_size), folder / WEIGHTS
    tensors = _read(path)
    parameters = model.state_dict()
    for name, parameter in parameters.items():
        found = _value(tensors, name)
        if found is None or found.shape != parameter.shape:
            shape = "nothing" if found is None else str(tuple(found.shape))
            raise VariorumError(
                f"{path}: {name} is {shape}, and {CONFIG} beside it asks for "
                f"{tuple(parameter.shape)}; the two files are not of one model: export it again"
            )
        parameter.copy_(found)
    return model.eval()


def _value(tensors: Mapping[str, Tensor], name: str) -> Tensor | None:
    """Return a parameter in float32; None if it is not there as it should be."""
    found, scale = tensors.get(name), tensors.get(name + SCALE)
    if found is None or found.dtype == torch.float32:
        return found
    if found.dtype != torch.int8 or scale is None or scale.shape != found.shape[:1]:
        return None
    return Quantized(found, scale).matrix()


def _read(path: Path) -> dict[str, Tensor]:
    try:
        data = path.read_bytes()
        tensors = safetensors.torch.load(data)
        size = int.from_bytes(data[:8], "little")
        expected = json.loads(data[8 : 8 + size]).get("__metadata__", {}).get(CHECKSUM)
    except OSError as error:
        raise VariorumError(
            f"{path}: cannot be read ({error.strerror}); `variorum model export MODEL FOLDER "
            "--weights int8` writes it"
        ) from None
    except SafetensorError as error:
        raise VariorumError(
            f"{path}: not a whole safetensors file ({error}); export the model again"
        ) from None
    if _checksum(tensors) != expected:
        raise VariorumError(
            f"{path}: the weights or their scales are not as they were written (their SHA-256 "
            "differs); export the model again"
        )
    return tensors


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 over names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
