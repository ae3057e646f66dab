"""Define the settings of a model that is trained here, or imported."""

from typing import Literal, Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from variorum.config.types import Location, Real, Settings, Sha256, Text, Truth, Whole, setting

SEARCHED = 10_000
"""How far from a number of heads one that divides the width is looked for."""


class ModelSettings(Settings):
    """Describe a decoder-only Transformer (Radford et al. 2019) and its size."""

    n_layer: Whole = setting(4, "Transformer blocks.", ge=1)
    n_head: Whole = setting(4, "Attention heads; must divide n_embd.", ge=1)
    n_embd: Whole = setting(128, "Width of the residual stream.", ge=1)
    context_length: Whole = setting(128, "Most tokens seen at once.", unit="tokens", ge=2)
    positions: Text = setting("learned", "Position encoding.", component="model/positions")
    rotary_base: Real = setting(
        10000.0, "Slowest wavelength of rotary positions, over 2π.", gt=1, omit_when=10000.0
    )
    feed_forward: Text = setting(
        "gelu", "Feed-forward network.", component="model/feed_forwards", omit_when="gelu"
    )
    norm: Text = setting("layer", "Norm.", component="model/norms", omit_when="layer")
    norm_position: Literal["before", "after"] = setting(
        "before", "Norms before each part of a block (GPT-2), or after it.", omit_when="before"
    )
    attention: Text = setting(
        "fused",
        "How attention is computed: fused, or written out.",
        component="model/attentions",
        omit_when="fused",
    )
    document_attention: Truth = setting(
        False, "Tokens attend to no earlier document.", omit_when=False
    )
    qk_norm: Truth = setting(False, "Normalize queries and keys to length √D.", omit_when=False)
    token_shift: Truth = setting(
        False, "Each token's embedding also holds a share of its predecessor's.", omit_when=False
    )
    ngrams: tuple[Whole, ...] = setting(
        (), "Lengths of the n-grams with hashed embeddings.", omit_when=()
    )
    ngram_buckets: Whole = setting(
        16384, "Rows of each table of n-grams.", unit="rows", ge=1, omit_when=16384
    )
    tied_head: Truth = setting(
        True, "Share the embedding's weights with the output layer, as GPT-2 does.", omit_when=True
    )
    zero_outputs: Truth = setting(
        False, "Initialize the layers that write into the residual stream to zero.", omit_when=False
    )
    dropout: Real = setting(0.0, "Share of activations dropped while training.", ge=0, lt=1)
    attention_dropout: Real | None = setting(
        None,
        "Share of attention's weights dropped while training; null: as dropout.",
        ge=0,
        lt=1,
        omit_when=None,
    )
    bias: Truth = setting(True, "Biases in linear layers and norms, as GPT-2 has them.")

    @model_validator(mode="after")
    def _ngrams_fit(self) -> Self:
        orders = self.ngrams
        if any(order < 2 for order in orders) or len(set(orders)) < len(orders):
            raise PydanticCustomError(
                "ngrams",
                "ngrams: {found} should name lengths of 2 and more, each once, as [2, 3]",
                {"found": str(list(orders))},
            )
        if orders and max(orders) > self.context_length:
            raise PydanticCustomError(
                "ngrams",
                "ngrams: {longest} tokens are more than the model ever sees, context_length = "
                "{most}; give at most that",
                {"longest": max(orders), "most": self.context_length},
            )
        return self

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.n_embd % self.n_head:
            raise PydanticCustomError(
                "n_head",
                "n_head: {heads} heads do not divide the width n_embd = {width}; try {near}",
                {"heads": self.n_head, "width": self.n_embd, "near": self._nearest_divisor()},
            )
        if self.positions == "rotary" and (self.n_embd // self.n_head) % 2:
            raise PydanticCustomError(
                "n_head",
                "n_head: rotary positions turn pairs of channels, so n_embd / n_head must be even, "
                "not {size}",
                {"size": self.n_embd // self.n_head},
            )
        return self

    def _nearest_divisor(self) -> int:
        start = min(self.n_head, self.n_embd)
        near = (n for d in range(min(start, SEARCHED)) for n in (start + d, start - d))
        return next((n for n in near if self.n_embd % n == 0), 1)


class ImportedSettings(Settings):
    """Describe an imported GPT-2 with its tokenizer, in Hugging Face's layout."""

    path: Location = setting(..., "Folder of the model, relative to the project.")
    sha256: Sha256 | None = setting(
        None, "SHA-256 over its files. Left out, it is computed before anything runs."
    )
