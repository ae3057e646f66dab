"""Build the model: a decoder-only Transformer (Radford et al. 2019, section 2.3).

By default it is GPT-2. Token ids go in, a score for every possible next token comes out. Each block
reads the residual stream through a norm, and adds the outputs of attention and then of a
feed-forward network; the embedding of the tokens serves again as the output layer. `model.gpt2` is
the same without options.

Names of parameters are GPT-2's: wte (token embedding), h (blocks), ln (norms), c_attn (queries,
keys and values), c_proj (out of attention), c_fc and c_proj (into and out of the feed-forward
network).
"""

import hashlib
import math
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from variorum.base import components
from variorum.base.errors import VariorumError
from variorum.config.model_settings import ModelSettings
from variorum.model.attention import Attention, KeyValueCache, causal_mask
from variorum.model.cross_entropy import mean_cross_entropy
from variorum.model.dropout import Dropout
from variorum.model.feed_forward import TwoLayers
from variorum.model.ngram_embedding import NgramEmbeddings
from variorum.model.position_encoding import PositionEncoding
from variorum.model.trace import trace

INIT_STD = 0.02  # GPT-2's, for all weights


class Block(nn.Module):
    """Add attention, then the feed-forward network, to the residual stream."""

    def __init__(self, settings: ModelSettings, layer: int) -> None:
        super().__init__()
        self.ln_1 = _norm(settings)
        self.attn = Attention(settings, layer)
        self.ln_2 = _norm(settings)
        self.mlp: TwoLayers = components.load(
            "model/feed_forwards", settings.feed_forward
        ).FeedForward(settings)
        self.drop = _dropout(settings)
        self.norms_first = settings.norm_position == "before"

    def forward(
        self,
        x: Tensor,
        positions: PositionEncoding,
        mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """Return the residual stream (B, T, C) behind this layer.

        mask: see `attention.Attend`.
        """
        if self.norms_first:
            x = x + self.drop(self.attn(self.ln_1(x), positions, mask, cache))
            y: Tensor = x + self.drop(self.mlp(self.ln_2(x)))
        else:
            x = self.ln_1(x + self.drop(self.attn(x, positions, mask, cache)))
            y = self.ln_2(x + self.drop(self.mlp(x)))
        return y


class GPT(nn.Module):
    """Model language over `vocab_size` tokens, with the initial weights of `seed`."""

    def __init__(self, settings: ModelSettings, vocab_size: int, seed: int = 0) -> None:
        super().__init__()
        self.settings, self.vocab_size = settings, vocab_size
        with torch.random.fork_rng(devices=[]):  # PyTorch's own initial weights are overwritten
            self._build(settings)
        self.init_weights(seed)

    def _build(self, settings: ModelSettings) -> None:
        self.wte = nn.Embedding(self.vocab_size, settings.n_embd)
        component = components.load("model/positions", settings.positions)
        self.positions: PositionEncoding = component.Positions(settings)
        self.shift = TokenShift(settings.n_embd) if settings.token_shift else None
        self.ngrams = (
            NgramEmbeddings(settings.ngrams, settings.ngram_buckets, settings.n_embd)
            if settings.ngrams
            else None
        )
        self.drop = _dropout(settings)
        self.h = nn.ModuleList(Block(settings, layer) for layer in range(settings.n_layer))
        # norms after each part leave nothing to norm
        self.ln_f = _norm(settings) if settings.norm_position == "before" else nn.Identity()
        if not settings.tied_head:
            self.lm_head = nn.Linear(settings.n_embd, self.vocab_size, bias=False)

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Set every parameter as GPT-2 does. The same seed gives the same bits.

        A parameter's draw depends on the seed and its own name alone, so two variants of a model
        begin with the same values wherever they have the same parameters.
        """
        # a block adds twice to the residual stream: its size shall not grow with depth
        residual_std = INIT_STD / math.sqrt(2 * self.settings.n_layer)
        for name, parameter in self.named_parameters():
            if name.startswith("positions."):
                continue
            if name.endswith(".bias") or name.startswith(("shift.", "ngrams.")):
                nn.init.zeros_(parameter)
            elif ".ln_" in f".{name}":
                nn.init.ones_(parameter)
            elif name.endswith("c_proj.weight"):
                std = 0.0 if self.settings.zero_outputs else residual_std
                nn.init.normal_(parameter, std=std, generator=_draw(seed, name))
            else:  # wte, c_attn, c_fc, lm_head
                nn.init.normal_(parameter, std=INIT_STD, generator=_draw(seed, name))
        self.positions.init_weights(_draw(seed, "positions"))

    @property
    def n_parameters(self) -> int:
        """Return the number of parameters; an embedding that is also the head counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def looked_up(self, ids: Tensor) -> dict[str, Tensor]:
        """Return the rows (B, T) that ids (B, T) look up, by parameter."""
        found = [] if self.ngrams is None else self.ngrams.looked_up(ids)
        return {f"ngrams.tables.{i}.weight": rows for i, rows in enumerate(found)}

    def blocks(self) -> Iterator[Block]:
        """Return the layers, first to last."""
        return (cast(Block, block) for block in self.h)

    def embed(self, ids: Tensor, n_new: int | None = None) -> Tensor:
        """Embed ids (B, S); return the first block's input (B, T, C) for the last.

        T is `n_new`, or S by default. ids are the window so far, from position 0 on; all before the
        last T were read already.

        Raises:
            VariorumError: if they reach beyond the context.
        """
        end, context_length = ids.shape[1], self.settings.context_length
        if end > context_length:
            raise VariorumError(
                f"the model was given {end} tokens, and its context_length is {context_length}; "
                "give it fewer, such as the last ones"
            )
        n_new = end if n_new is None else n_new
        start = end - n_new
        x = self.wte(ids[:, start:])
        # where attention stays inside a document, so do the parts that read the tokens just before
        numbers = self._document_numbers(ids) if self.settings.document_attention else None
        if self.shift is not None:
            before = self.wte(ids[:, start - 1 : start]) if start else torch.zeros_like(x[:, :1])
            before = torch.cat([before, x[:, :-1]], dim=1)
            x = self.shift(x, before if numbers is None else _inside(before, numbers))
        if self.ngrams is not None:
            x = x + self.ngrams(ids, n_new, numbers)
        y: Tensor = self.drop(self.positions.embed(x, start))
        return y

    def features(self, ids: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """Return the last layer's normalized output (B, T, C), from which `head` makes logits.

        With a cache, ids continue the tokens that it holds, and it holds them afterwards.
        """
        n_new = ids.shape[1]
        window = ids if cache is None else cache.read(ids)  # (B, S)
        x = self.embed(window, n_new)
        mask = self.mask(window, n_new)
        for block in self.blocks():
            x = block(x, self.positions, mask, cache)
        if cache is not None:
            cache.advance(n_new)
        y: Tensor = self.ln_f(x)
        return y

    def mask(self, window: Tensor, n_new: int) -> Tensor | None:
        """Return a mask that hides the future from the last `n_new` of window (B, S).

        For its form see `attention.Attend`.
        """
        n_keys = window.shape[1]
        bias = self.positions.bias(n_new, n_keys)  # (H, n_new, S)
        documents = self.settings.document_attention
        if bias is None and not documents and n_new in (1, n_keys):
            return None
        seen = causal_mask(n_new, n_keys, window.device)  # (n_new, S)
        if documents:
            numbers = self._document_numbers(window)  # (B, S)
            same = numbers[:, :, None] == numbers[:, None, :]  # (B, S, S)
            seen = seen & same[:, None, n_keys - n_new :]  # (B, 1, n_new, S)
        return seen if bias is None else bias.masked_fill(~seen, -torch.inf)

    def _document_numbers(self, window: Tensor) -> Tensor:
        """Return the document number of each token of window (B, S), counted from its left.

        The result is (B, S). The token between two documents, which is the last of the vocabulary,
        begins the second.
        """
        return (window == self.vocab_size - 1).cumsum(1)

    def head(self, features: Tensor) -> Tensor:
        """Return logits (..., V) of features (..., C).

        They are products with every token's embedding, unless the head is free.
        """
        return F.linear(features, self._head_weights())

    def _head_weights(self) -> Tensor:
        """Return the output layer's weights (V, C)."""
        return self.wte.weight if self.settings.tied_head else self.lm_head.weight

    def forward(self, ids: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """Return logits (B, T, V) of the token after each of ids (B, T)."""
        return self.head(self.features(ids, cache))

    def trace(self, ids: Tensor) -> dict[str, Tensor]:
        """Return every intermediate from ids (B, T) to logits, by name."""
        layers = [(block.attn, block.mlp.c_proj) for block in self.blocks()]
        return trace(self, ids, self.drop, layers)

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross entropy of targets after ids, both (B, T): nats a token."""
        features = self.features(ids).flatten(0, 1)  # (B T, C)
        return mean_cross_entropy(features, self._head_weights(), targets.flatten())


class TokenShift(nn.Module):
    """Add to each embedding a trained share of its predecessor's (Peng et al. 2023, RWKV).

    The share (C,) of each channel begins at 0.
    """

    kind = "TokenShift"

    def __init__(self, width: int) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """Add to x its shares of `before`, the predecessors; all are (B, T, C)."""
        return x + self.share * before


def _inside(before: Tensor, numbers: Tensor) -> Tensor:
    """Set predecessors (B, T, C) from another document to zero.

    numbers (B, S) are the documents' numbers, of which the last T belong to the tokens.
    """
    n_new = before.shape[1]
    earlier = torch.cat([numbers[:, :1], numbers[:, :-1]], dim=1)  # (B, S)
    same = (numbers == earlier)[:, -n_new:, None]  # (B, T, 1)
    return before * same


def _norm(settings: ModelSettings) -> nn.Module:
    norm: nn.Module = components.load("model/norms", settings.norm).Norm(settings)
    return norm


def _dropout(settings: ModelSettings) -> nn.Module:
    # an idle module would cost a tenth of the time of writing a token
    return Dropout(settings.dropout) if settings.dropout else nn.Identity()


def _draw(seed: int, name: str) -> torch.Generator:
    # 32 bits are all that PyTorch's generator takes in
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))
