"""Join a model's weights into few matrices, so that a token takes few operations.

- The trained scale and shift of a norm go into the linear layer behind it: W (g ∘ x + s) + b is
  (W ∘ g) x + (W s + b).
- A bias is one more row of its matrix, which the constant 1 behind each input meets.
- LayerNorm subtracts a mean. Where every norm comes before its part of a block, only norms read the
  residual stream; so what is written into it can be centred beforehand, and RMSNorm is left.
- The division of scores by √D goes into the queries' rows, unless these are normalized later.

Sums are rounded otherwise than in the model: logits agree to about 1e-6.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from variorum.model.gpt import GPT, Block

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Affine:
    """Hold the scale and shift (C,) of a norm that stays; None: there is none."""

    scale: Array | None
    shift: Array | None

    @classmethod
    def of(cls, norm: nn.Module) -> "Affine":
        """Take them from a LayerNorm or an RMSNorm."""
        found = getattr(norm, "weight", None), getattr(norm, "bias", None)
        return cls(*(None if each is None else array(each) for each in found))


@dataclass(frozen=True)
class FoldedBlock:
    """Hold one layer: matrices (in, out), with one more row where there are biases.

    norms: what is left of the norms behind attention and behind the feed-forward network; None
    where norms come first.
    """

    c_attn: Array
    attn_proj: Array
    c_fc: Array
    mlp_proj: Array
    norms: tuple[Affine, Affine] | None


@dataclass(frozen=True)
class Folded:
    """Hold all layers of a model, and its head.

    head: the matrix from features to logits, (C, V) or (C + 1, V). centred: what is added to
    the residual stream has mean 0, and so must the embeddings.
    """

    blocks: tuple[FoldedBlock, ...]
    head: Array
    centred: bool


def array(tensor: Tensor) -> Array:
    """Return a tensor's values; the memory is shared."""
    values: Array = tensor.detach().numpy()
    return values


def fold(model: GPT) -> Folded:
    """Return the folded weights of a model, which stays unchanged."""
    settings = model.settings
    first = settings.norm_position == "before"
    centred = first and settings.norm == "layer"
    head = model.wte.weight if settings.tied_head else model.lm_head.weight
    biased = settings.bias
    return Folded(
        blocks=tuple(_block(block, biased=biased, centred=centred) for block in model.blocks()),
        head=_matrix(head, None, norm=model.ln_f if first else None, biased=biased),
        centred=centred,
    )


def _block(block: Block, *, biased: bool, centred: bool) -> FoldedBlock:
    first, attention, forward = block.norms_first, block.attn, block.mlp
    width, heads = attention.c_proj.in_features, attention.n_head
    queries = None if attention.qk_norm else (width // heads) ** -0.5
    ln_1, ln_2 = (block.ln_1, block.ln_2) if first else (None, None)

    def matrix(layer: nn.Linear, **how: object) -> Array:
        return _matrix(layer.weight, layer.bias, biased=biased, **how)  # type: ignore[arg-type]

    return FoldedBlock(
        c_attn=matrix(attention.c_attn, norm=ln_1, queries=queries),
        attn_proj=matrix(attention.c_proj, centred=centred),
        c_fc=matrix(forward.c_fc, norm=ln_2),
        mlp_proj=matrix(forward.c_proj, centred=centred),
        norms=None if first else (Affine.of(block.ln_1), Affine.of(block.ln_2)),
    )


def _matrix(
    weight: Tensor,
    bias: Tensor | None,
    *,
    biased: bool,
    norm: nn.Module | None = None,
    queries: float | None = None,
    centred: bool = False,
) -> Array:
    """Return a linear layer as a matrix (in, out), with biases (in + 1, out).

    weight: (out, in). norm: its scale and shift are applied first. queries: the factor of the
    first third of the outputs. centred: the mean of the outputs is subtracted.
    """
    rows = array(weight)  # (out, in)
    made, read = rows.shape
    # a product with one vector is fastest along the longer side of the matrix
    folded = np.zeros((read + biased, made), np.float32, order="C" if made >= read else "F")
    affine = Affine(None, None) if norm is None else Affine.of(norm)
    if affine.scale is None:
        folded[:read] = rows.T
    else:
        np.multiply(rows.T, affine.scale[:, None], out=folded[:read])
    if bias is not None:
        folded[read] = array(bias)
    if affine.shift is not None:
        folded[read] += rows @ affine.shift
    if queries is not None:
        folded[:, : made // 3] *= queries
    if centred:
        folded -= folded.mean(1, keepdims=True)
    return folded
