"""Compute the logits of one more token for each of several texts, in few operations.

A small model's token is a hundred tiny products and sums, and PyTorch takes longer to begin each
than to compute it. NumPy begins one in half a microsecond. So the weights are folded (`folded`),
all buffers are taken once, and two more things save operations:

- The values' rows end with the constant 1, so that the product which mixes them also sums the
  weights, and the softmax divides by that sum afterwards.
- A single text's vectors are (C,), several texts' (B, C); the same lines compute both.

What several tokens at once need is read by the model itself, into the same cache. `decodes` says
which models are computed here; all others are read by the model, token by token. So is a model
whose first logits differ: somebody has edited a part of it, and not what stands for it here.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from variorum.generation.activations import activate_of
from variorum.generation.blas import one_thread
from variorum.generation.cache import Cache
from variorum.generation.folded import Affine, Array, FoldedBlock, array, fold
from variorum.generation.reading import LogitReader, Logits, next_logits
from variorum.model.feed_forward import TwoLayers
from variorum.model.gpt import GPT
from variorum.model.ngram_embedding import SCALE, NgramEmbeddings, factor

POSITIONS = {"none", "learned", "sinusoidal", "rotary", "alibi"}
NORMS = {"layer", "rms"}
ATTENTIONS = {"fused", "written_out"}
PATCHED = {"forward", "features", "embed", "mask", "head"}
"""Methods of a model that this module stands for."""
PROBED = 6
"""Tokens by which a decoder is compared with its model."""
TOLERANCE = 1e-4
"""Of the largest logit: ten times what roundings make of it."""


def decodes(model: GPT) -> bool:
    """Check whether a `Decoder` computes what this model does.

    It knows every option of this package, in float32 on the CPU. A component that somebody added,
    or a class derived from `GPT`, is not known.
    """
    settings = model.settings
    return (
        type(model) is GPT
        and not PATCHED & vars(model).keys()
        and settings.positions in POSITIONS
        and settings.norm in NORMS
        and settings.attention in ATTENTIONS
        and all(type(block.mlp).forward is TwoLayers.forward for block in model.blocks())
        and all(each.dtype == torch.float32 and each.is_cpu for each in model.parameters())
    )


def reader(model: GPT, n_texts: int, *, use_cache: bool) -> LogitReader:
    """Return what reads so many texts fastest."""
    if not use_cache:
        return LogitReader(model, None)
    if decodes(model):
        decoder = Decoder(model, DecoderCache(model.settings, n_texts))
        if decoder.agrees():
            return decoder
    weights = model.wte.weight
    return LogitReader(
        model, Cache(model.settings, n_texts, dtype=weights.dtype, device=weights.device)
    )


class DecoderCache(Cache):
    """Hold values as the decoder reads them: `long_values` (n_layer, B, H, capacity, D + 1)."""

    def _take(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device | None) -> None:
        super()._take(shape, dtype, device)
        self._share(torch.ones((*shape[:-1], shape[-1] + 1), dtype=dtype, device=device))

    def _share(self, long_values: Tensor) -> None:
        self.long_values, self.values = long_values, long_values[..., :-1]

    def keep(self, rows: list[int]) -> None:
        """Continue with these of the sequences alone."""
        long_values = self.long_values[:, rows]
        super().keep(rows)
        self._share(long_values)


class Decoder(LogitReader):
    """Read B texts of equal length; compute what one more token of each takes here."""

    cache: DecoderCache

    def __init__(self, model: GPT, cache: DecoderCache) -> None:
        """Prepare the weights of `model`, which must not change meanwhile; see `decodes`."""
        super().__init__(model, cache)
        self.folded = fold(model)
        settings, positions = model.settings, model.positions
        self.settings = settings
        self.epsilon = cast(float, next(model.blocks()).ln_1.eps)
        kind = settings.feed_forward
        self.activations = [activate_of(kind, block.mlp) for block in model.blocks()]
        self.tokens = array(model.wte.weight)  # (V, C)
        self.share = None if model.shift is None else array(model.shift.share)  # (C,)
        kind, capacity = settings.positions, settings.context_length
        table = {"learned": "wpe.weight", "sinusoidal": "waves"}.get(kind)
        self.places = _values(positions, table) if table else None  # (capacity, C)
        self.turns = _values(positions, "turns") if kind == "rotary" else None  # (capacity, D / 2)
        bias = positions.bias(1, capacity)
        self.bias = None if bias is None else array(bias)  # (H, 1, capacity)
        size = settings.n_embd // settings.n_head
        self.qk_scale = np.ones((2 * settings.n_head, 1), np.float32)
        self.qk_scale[: settings.n_head] = size**-0.5
        self._allocate(cache.ids.shape[0])

    def _allocate(self, n_texts: int) -> None:
        """Take the buffers of so many texts, and the views of them."""
        settings, folded = self.settings, self.folded
        width, heads = settings.n_embd, settings.n_head
        size, more = width // heads, int(settings.bias)
        self.single = n_texts == 1
        lead = () if self.single else (n_texts,)
        self.stream, self.change = (np.zeros((*lead, width), np.float32) for _ in range(2))
        self.qkv = np.zeros((*lead, 3 * width), np.float32)
        inner = folded.blocks[0].mlp_proj.shape[0] - more
        self.made = np.zeros((*lead, folded.blocks[0].c_fc.shape[1]), np.float32)
        # inputs of products: the constant 1 behind them meets the biases
        self.read_in = np.ones((*lead, width + more), np.float32)
        self.mixed_in = np.ones((*lead, width + more), np.float32)
        self.active_in = np.ones((*lead, inner + more), np.float32)
        self.normed, self.active = self.read_in[..., :width], self.active_in[..., :inner]
        self.mixed = self.mixed_in[..., :width].reshape(n_texts, heads, size)
        parts = self.qkv.reshape(n_texts, 3, heads, 1, size)
        self.queries, self.keys, self.values = parts[:, 0], parts[:, 1, :, 0], parts[:, 2, :, 0]
        self.queries_keys = self.qkv.reshape(n_texts, 3 * heads, size)[:, : 2 * heads]
        self.pairs = self.queries_keys.view(np.complex64) if self.turns is not None else None
        self.cached = [
            (array(self.cache.keys[layer]), array(self.cache.long_values[layer]))
            for layer in range(settings.n_layer)
        ]
        self.ids = self.cache.ids.numpy()  # (B, capacity)
        if settings.document_attention:
            self.begins = np.zeros(n_texts, np.int64)  # where each text's present document begins
            self.hidden = np.zeros((n_texts, 1, 1, settings.context_length), np.float32)

    def keep(self, rows: list[int]) -> None:
        """Continue with these of the texts alone."""
        super().keep(rows)
        self._allocate(len(rows))
        self._find_documents()

    def clear(self) -> None:
        """Forget everything that was read."""
        super().clear()
        self._find_documents()

    def read(self, ids: list[list[int]]) -> Logits:
        """Return logits (B, V) of the token after each row of ids (B, T)."""
        if len(ids[0]) == 1:
            with one_thread():
                return self._step([token for (token,) in ids])
        logits = super().read(ids)
        self._find_documents()
        return logits

    def agrees(self) -> bool:
        """Check whether a few tokens, read one by one, have the model's logits."""
        ids = [place % self.model.vocab_size for place in range(min(PROBED, self.cache.capacity))]
        expected = next_logits(self.model, [ids], None).numpy()  # (1, V)
        for token in ids:
            found = self.read([[token]] * len(self.ids))
        self.clear()
        if not np.isfinite(expected).all():
            return True  # of a diverged model the sampler tells
        largest = 1 + float(np.abs(expected).max())
        return float(np.abs(found - expected).max()) <= TOLERANCE * largest

    def _step(self, ids: list[int]) -> Array:
        place = self.cache.length
        self.ids[:, place] = ids
        with np.errstate(all="ignore"):  # of a diverged model the sampler tells
            self._embed(ids, place)
            for number, block in enumerate(self.folded.blocks):
                self._block(number, block, place)
            if self.settings.norm_position == "before":
                self._normalize(self.stream, self.normed)
            else:
                np.copyto(self.normed, self.stream)
            logits: Array = np.dot(self.read_in, self.folded.head)
        self.cache.advance(1)
        return logits.reshape(len(ids), -1)

    def _embed(self, ids: list[int], place: int) -> None:
        """Fill the residual stream with the embeddings of tokens at `place`."""
        x = self.stream
        begun = None  # texts that begin a document here
        if self.settings.document_attention:
            begun = np.array(ids) == self.model.vocab_size - 1
            self.begins[begun] = place
            self.hidden[begun, ..., :place] = -np.inf
        np.copyto(x, self._tokens(ids))
        if self.share is not None and place:
            before = self._tokens(self.ids[:, place - 1].tolist()) * self.share
            if begun is not None:
                before *= ~begun[0] if self.single else ~begun[:, None]
            x += before
        if self.model.ngrams is not None:
            self._add_ngrams(self.model.ngrams, place)
        if self.places is not None:
            x += self.places[place]
        if self.folded.centred:
            x -= np.add.reduce(x, axis=-1, keepdims=True) / x.shape[-1]

    def _tokens(self, ids: list[int]) -> Array:
        return self.tokens[ids[0]] if self.single else self.tokens[ids]

    def _add_ngrams(self, ngrams: NgramEmbeddings, place: int) -> None:
        for length, table in zip(ngrams.lengths, ngrams.tables, strict=True):
            if place < length - 1:
                continue
            mixed = np.zeros(len(self.ids), np.int64)
            for back in range(length):
                mixed ^= (self.ids[:, place - back] + 1) * factor(back)
            rows = (mixed ^ (mixed >> 15)) % ngrams.rows
            found = array(cast(Tensor, table.weight))[rows] * np.float32(SCALE)  # (B, C)
            if self.settings.document_attention:
                found *= (place - length + 1 >= self.begins)[:, None]
            self.stream += found[0] if self.single else found

    def _find_documents(self) -> None:
        """Find where each text's present document begins, and hide what precedes it."""
        if self.settings.document_attention:
            ends = self.ids[:, : self.cache.length] == self.model.vocab_size - 1  # (B, S)
            places = np.arange(self.cache.length)
            self.begins = (ends * places).max(1, initial=0)  # (B,)
            self.hidden.fill(0)
            for row, begin in enumerate(self.begins):
                self.hidden[row, ..., :begin] = -np.inf

    def _block(self, number: int, block: FoldedBlock, place: int) -> None:
        x, change = self.stream, self.change
        self._enter(block.norms)
        np.dot(self.read_in, block.c_attn, out=self.qkv)
        self._attend(number, place)
        np.dot(self.mixed_in, block.attn_proj, out=change)
        x += change
        if block.norms is not None:
            self._normalize_after(block.norms[0])
        self._enter(block.norms)
        np.dot(self.read_in, block.c_fc, out=self.made)
        self.activations[number](self.made, self.active)
        np.dot(self.active_in, block.mlp_proj, out=change)
        x += change
        if block.norms is not None:
            self._normalize_after(block.norms[1])

    def _enter(self, norms: tuple[Affine, Affine] | None) -> None:
        """Bring the residual stream to where products read it."""
        if norms is None:
            self._normalize(self.stream, self.normed)
        else:
            np.copyto(self.normed, self.stream)

    def _normalize(self, x: Array, into: Array) -> None:
        """Divide each vector by the root of its mean square."""
        if self.single:
            share = (float(x.dot(x)) / len(x) + self.epsilon) ** -0.5
            np.multiply(x, share, out=into)
        else:
            squares = np.vecdot(x, x)[:, None] / x.shape[1]  # (B, 1)
            squares += self.epsilon
            np.divide(x, np.sqrt(squares), out=into)

    def _normalize_after(self, norm: Affine) -> None:
        """Apply a norm to the residual stream itself."""
        x = self.stream
        if self.settings.norm == "layer":
            x -= np.add.reduce(x, axis=-1, keepdims=True) / x.shape[-1]
        self._normalize(x, x)
        if norm.scale is not None:
            x *= norm.scale
        if norm.shift is not None:
            x += norm.shift

    def _attend(self, number: int, place: int) -> None:
        """Mix values for the queries in `qkv`, into `mixed`."""
        end = place + 1
        if self.settings.qk_norm:
            self._normalize_heads()
        if self.pairs is not None:
            self.pairs *= self.turns[place]  # type: ignore[index]
        keys, values = self.cached[number]
        keys[:, :, place] = self.keys
        values[:, :, place, :-1] = self.values
        scores = np.matmul(self.queries, keys[:, :, :end].swapaxes(2, 3))  # (B, H, 1, S)
        if self.bias is not None:
            scores += self.bias[..., -end:]
        if self.settings.document_attention:
            scores += self.hidden[..., :end]
        scores -= np.maximum.reduce(scores, axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        mixed = np.matmul(scores, values[:, :, :end])[:, :, 0]  # (B, H, D + 1)
        np.divide(mixed[..., :-1], mixed[..., -1:], out=self.mixed)

    def _normalize_heads(self) -> None:
        """Bring queries and keys to length √D, and divide the queries by √D."""
        x = self.queries_keys  # (B, 2 H, D)
        squares = np.vecdot(x, x)[..., None] / x.shape[-1]
        squares += np.finfo(np.float32).eps
        x *= self.qk_scale / np.sqrt(squares)


def _values(module: nn.Module, name: str) -> npt.NDArray[Any]:
    """Return a parameter or buffer that a dotted name finds in a module."""
    found: npt.NDArray[Any] = cast(Tensor, attrgetter(name)(module)).detach().numpy()
    return found
