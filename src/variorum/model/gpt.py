"""The model: a decoder-only Transformer, GPT-2 by default (Radford et al. 2019, section 2.3).

Token ids go in, a score for every possible next token comes out. Each block reads the residual
stream through a norm, and adds what attention and then a feed-forward network make of it; the
embedding of the tokens serves again as the output layer. `model.gpt2` is the same without options.

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

from variorum import components
from variorum.config import ModelSettings
from variorum.errors import VariorumError
from variorum.model.attention import Attention, KeyValueCache
from variorum.model.gelu import gelu
from variorum.model.position_encoding import PositionEncoding

INIT_STD = 0.02  # GPT-2's, for all weights


class FeedForward(nn.Module):
    """Two layers with a GELU between them, four times as wide inside: (B, T, C) to (B, T, C)."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        width = settings.n_embd
        self.c_fc = nn.Linear(width, 4 * width, bias=settings.bias)
        self.c_proj = nn.Linear(4 * width, width, bias=settings.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The same function of each token's vector."""
        y: Tensor = self.c_proj(gelu(self.c_fc(x)))  # (B, T, 4C) inside
        return y


class Block(nn.Module):
    """One layer: attention, then the feed-forward network, each added to what comes in."""

    def __init__(self, settings: ModelSettings, layer: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(settings.n_embd, bias=settings.bias)
        self.attn = Attention(settings, layer)
        self.ln_2 = nn.LayerNorm(settings.n_embd, bias=settings.bias)
        self.mlp = FeedForward(settings)
        self.drop = _dropout(settings)

    def forward(
        self, x: Tensor, positions: PositionEncoding, cache: KeyValueCache | None = None
    ) -> Tensor:
        """The residual stream (B, T, C) behind this layer."""
        x = x + self.drop(self.attn(self.ln_1(x), positions, cache))
        y: Tensor = x + self.drop(self.mlp(self.ln_2(x)))
        return y


class GPT(nn.Module):
    """A language model over `vocab_size` tokens, with the initial weights of `seed`."""

    def __init__(self, settings: ModelSettings, vocab_size: int, seed: int = 0) -> None:
        super().__init__()
        self.settings, self.vocab_size = settings, vocab_size
        with torch.random.fork_rng(devices=[]):  # PyTorch's own initial weights are not kept
            self._build(settings)
        self.init_weights(seed)

    def _build(self, settings: ModelSettings) -> None:
        self.wte = nn.Embedding(self.vocab_size, settings.n_embd)
        component = components.load("model/positions", settings.positions)
        self.positions: PositionEncoding = component.Positions(settings)
        self.drop = _dropout(settings)
        self.h = nn.ModuleList(Block(settings, layer) for layer in range(settings.n_layer))
        self.ln_f = nn.LayerNorm(settings.n_embd, bias=settings.bias)

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
            if name.endswith(".bias"):
                nn.init.zeros_(parameter)
            elif ".ln_" in f".{name}":
                nn.init.ones_(parameter)
            elif name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, std=residual_std, generator=_draw(seed, name))
            else:  # wte, c_attn, c_fc
                nn.init.normal_(parameter, std=INIT_STD, generator=_draw(seed, name))
        self.positions.init_weights(_draw(seed, "positions"))

    @property
    def n_parameters(self) -> int:
        """Trained numbers; the embedding, which is also the output layer, counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def blocks(self) -> Iterator[Block]:
        """The layers, first to last."""
        return (cast(Block, block) for block in self.h)

    def embed(self, ids: Tensor, start: int = 0) -> Tensor:
        """What the first block reads (B, T, C), of ids (B, T) from position `start` on.

        Raises:
            VariorumError: if they reach beyond the context.
        """
        end, context_length = start + ids.shape[1], self.settings.context_length
        if end > context_length:
            raise VariorumError(
                f"the model was given {end} tokens, and its context_length is {context_length}; "
                "give it fewer, such as the last ones"
            )
        x: Tensor = self.drop(self.positions.embed(self.wte(ids), start))
        return x

    def features(self, ids: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """The last layer's normalized output (B, T, C), from which `head` makes logits.

        With a cache, ids are those that follow what it holds, and it holds them afterwards.
        """
        x = self.embed(ids, 0 if cache is None else cache.length)
        for block in self.blocks():
            x = block(x, self.positions, cache)
        if cache is not None:
            cache.advance(ids.shape[1])
        y: Tensor = self.ln_f(x)
        return y

    def head(self, features: Tensor) -> Tensor:
        """Logits (..., V) of features (..., C): their products with every token's embedding."""
        return F.linear(features, self.wte.weight)

    def forward(self, ids: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """Logits (B, T, V) of the token after each of ids (B, T)."""
        return self.head(self.features(ids, cache))

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy, in nats a token, of targets (B, T) after ids (B, T)."""
        logits: Tensor = self(ids)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def _dropout(settings: ModelSettings) -> nn.Module:
    # an idle nn.Dropout would cost a tenth of the time of writing a token
    return nn.Dropout(settings.dropout) if settings.dropout else nn.Identity()


def _draw(seed: int, name: str) -> torch.Generator:
    # 32 bits are all that PyTorch's generator takes in
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))
