"""Define the settings of pretraining and fine-tuning."""

from typing import Annotated, Literal, Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from variorum.config.types import Real, Settings, Text, Truth, Whole, setting, unordered


class TrainingSettings(Settings):
    """Describe one training, pretraining or fine-tuning."""

    learning_rate: Real = setting(1e-3, "Highest rate of the schedule.", gt=0, le=1)
    min_learning_rate: Real = setting(
        1e-4, "Rate that the schedule falls to: the step after the last would have it.", ge=0, le=1
    )
    warmup_steps: Whole = setting(100, "Steps over which the rate rises.", unit="steps", ge=0)
    max_steps: Whole = setting(2000, "Steps in all.", unit="steps", ge=1)
    schedule: Text = setting("cosine", "How the rate changes.", component="training/schedules")
    decay_share: Real = setting(
        0.2, "stable_decay: share of the steps in which the rate falls.", gt=0, le=1, omit_when=0.2
    )
    optimizer: Text = setting("adamw", "The optimizer.", component="training/optimizers")
    momentum: Real = setting(
        0.95, "Memory of the gradient of sgd and of muon's matrices.", ge=0, lt=1, omit_when=0.95
    )
    matrix_rate: Real = setting(
        1.0, "Factor on the rate of the matrices that muon orthogonalizes.", gt=0, omit_when=1.0
    )
    muon_iterations: Whole = setting(
        5, "Steps of the iteration by which muon orthogonalizes.", ge=1, omit_when=5
    )
    muon_separately: Truth = setting(
        False,
        "muon takes queries, keys and values, and gates, each by itself; false: as one matrix.",
        omit_when=False,
    )
    beta1: Real = setting(0.9, "Memory of Adam's mean gradient.", ge=0, lt=1)
    beta2: Real = setting(0.99, "Memory of Adam's mean squared gradient.", ge=0, lt=1)
    epsilon: Real = setting(1e-8, "Keeps Adam's division finite.", gt=0)
    weight_decay: Real = setting(0.1, "Decoupled weight decay of matrices, times the rate.", ge=0)
    grad_clip: Real = setting(1.0, "Largest norm of the gradient; 0 never clips.", ge=0)
    batch_size: Whole = setting(24, "Sequences a step.", unit="sequences", ge=1)
    accumulation: Whole = setting(
        1,
        "Parts of a shard that are computed in turn, for less memory.",
        ge=1,
        omit_when=1,
    )
    batches: Text = setting(
        "replacement",
        "Which windows of the text a step sees.",
        component="training/batch_orders",
        omit_when="replacement",
    )
    stride: Whole | None = setting(
        None,
        "Tokens from one window to the next, for sliding and permutation; null: the context.",
        unit="tokens",
        ge=1,
        omit_when=None,
    )
    precision: Literal["fp32", "bf16"] = setting(
        "fp32", "Number format of matrix products; weights and sums stay fp32.", omit_when="fp32"
    )
    compile: Truth = setting(
        False,
        "Compile the model's loss with PyTorch: half a minute first, then faster steps.",
        omit_when=False,
    )
    patience: Whole | None = setting(
        None,
        "Validations without a lower loss after which the training ends; null: never.",
        unit="validations",
        ge=1,
        omit_when=None,
    )
    shards: Whole = setting(
        2, "Logical shards of a batch, each one thread's work; part of the numerics.", ge=1, le=64
    )
    val_interval: Whole = setting(
        100, "Steps between validations, which choose the checkpoint.", unit="steps", ge=1
    )
    val_tokens: Whole = setting(65536, "Most tokens of val in a validation.", unit="tokens", ge=2)
    selection: Literal["best", "last"] = setting(
        "best", "Keep the weights with the lowest validation loss, or the last ones."
    )
    sample_tokens: Whole = setting(
        64, "Length of the text sample at each validation; 0 for none.", unit="tokens", ge=0
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        rows = self.batch_size // self.shards
        if self.batch_size % self.shards == 0 and rows % self.accumulation:
            raise PydanticCustomError(
                "accumulation",
                "accumulation: the {rows} sequences of a shard cannot be cut into {parts} equal "
                "parts; give a divisor of {rows}",
                {"rows": rows, "parts": self.accumulation},
            )
        if self.batch_size % self.shards:
            raise PydanticCustomError(
                "batch_size",
                "batch_size: {batch} sequences cannot be shared equally by {shards} shards; "
                "try {near}",
                {
                    "batch": self.batch_size,
                    "shards": self.shards,
                    "near": -(-self.batch_size // self.shards) * self.shards,
                },
            )
        if self.warmup_steps >= self.max_steps:
            raise PydanticCustomError(
                "warmup_steps",
                "warmup_steps: {warmup} leaves nothing of max_steps = {steps}; give less",
                {"warmup": self.warmup_steps, "steps": self.max_steps},
            )
        if self.min_learning_rate > self.learning_rate:
            raise PydanticCustomError(
                "min_learning_rate",
                "min_learning_rate: {low} is above learning_rate = {high}; give at most that",
                {"low": self.min_learning_rate, "high": self.learning_rate},
            )
        return self


class FinetuneSettings(TrainingSettings):
    """Describe fine-tuning: the same training at a reduced rate."""

    learning_rate: Real = setting(3e-4, "Highest rate of the schedule.", gt=0, le=1)
    min_learning_rate: Real = setting(
        3e-5, "Rate that the schedule falls to: the step after the last would have it.", ge=0, le=1
    )
    warmup_steps: Whole = setting(20, "Steps over which the rate rises.", unit="steps", ge=0)
    max_steps: Whole = setting(500, "Steps in all.", unit="steps", ge=1)
    replay: Real = setting(
        0.0, "Share of each batch that is text from the base corpus.", ge=0, lt=1, omit_when=0.0
    )
    freeze: Annotated[tuple[Text, ...], unordered()] = setting(
        (),
        "Parameters that stay fixed, by prefixes of their names: wte, h.0, h.0.attn.",
        omit_when=(),
    )

    @model_validator(mode="after")
    def _replays_what_it_says(self) -> Self:
        rows = round(self.replay * self.batch_size)
        if self.replay and not 1 <= rows < self.batch_size:
            raise PydanticCustomError(
                "replay",
                "replay: {share} of {batch} sequences is {rows}; with this batch_size give 0, or "
                "from {least} to {most}",
                {
                    "share": self.replay,
                    "batch": self.batch_size,
                    "rows": "none" if not rows else "all of them",
                    "least": f"{1 / self.batch_size:.2g}",
                    "most": f"{1 - 1 / self.batch_size:.2g}",
                },
            )
        return self
