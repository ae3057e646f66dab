"""Define the settings of an ablation: what varies, over which seeds, judged how."""

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from variorum.config.types import Number, Real, Seed, Settings, Text, setting
from variorum.evaluation.metrics import HEADLINE, METRICS
from variorum.stages.registry import TRAININGS

PINNED_AS = "pinned"
"""In a variant: the name of the pinned results that it consists of."""

LAST_STAGE = "last_stage"
"""In a variant: the stage that it ends with, if not the ablation's."""

CODE_AS = "code"
"""In a variant: the code that runs it, if not the present code."""

if TYPE_CHECKING:
    MetricName = str
    LastStage = str
else:
    MetricName = Literal[*METRICS]
    LastStage = Literal[*TRAININGS]


class Ablation(Settings):
    """Describe a question: one experiment, what varies, the seeds, and the baseline."""

    title: Text = setting(..., "One line above the table.")
    question: Text = setting(..., "The question that the table answers.")
    experiment: Text = setting(..., "The experiment whose settings are varied.")
    last_stage: LastStage = setting(
        TRAININGS[0], "The stage of the model that is judged; no later training runs."
    )
    corpora: tuple[Literal["base", "domain"], ...] = setting(
        ("base",), "The corpora whose test parts are scored.", min_length=1
    )
    metric: MetricName = setting(HEADLINE.name, "The metric that compares the variants.")
    margin: Real | None = setting(
        None,
        "Variants are called alike if the interval of their difference includes 0 and reaches no "
        "further than this to either side, in the metric's unit. It is named before the runs are "
        "looked at. null: none is named.",
        gt=0,
    )
    variants: dict[str, dict[str, Any]] = setting(
        {},
        "Name of each variant and the settings it changes. It may also say `last_stage`, and "
        "`code`, a branch, tag, commit or patch file that it is run by; or `pinned: NAME` alone, "
        "for models that `variorum pin NAME` pinned.",
    )
    grid: dict[str, tuple[Any, ...]] = setting(
        {},
        "Settings, such as `model.positions`, and the values of each: every combination is a "
        "variant, beside the named `variants`.",
    )
    baseline: Text = setting(..., "The variant that the others are compared with.")
    seeds: tuple[Seed, ...] = setting((1, 2, 3, 4, 5), "Seeds of the runs.", min_length=2)
    looks: Literal["once", "any"] = setting(
        "once",
        "once: the seeds are fixed before the runs are looked at. any: seeds may be added after "
        "a look, and intervals are wider, so that they hold all the same.",
    )
    budget: Literal["steps", "tokens", "time"] | None = setting(
        None,
        "What every variant's last training gets equally, as much as the baseline's: steps, "
        "tokens, or time by config/step_times.lock. null: each trains for its own steps.",
    )
    tune: dict[str, tuple[Number, ...]] = setting(
        {},
        "A setting, such as `pretrain.learning_rate`, and the values to try for every variant, in "
        "rising order; each variant takes the value with the lowest validation loss.",
        max_length=1,
    )

    @model_validator(mode="after")
    def _pinned_variants_stand_alone(self) -> Self:
        for variant, changes in self.variants.items():
            if PINNED_AS in changes and not (len(changes) == 1 and type(changes[PINNED_AS]) is str):
                raise PydanticCustomError(
                    "pinned",
                    "variants.{variant}.pinned: should be the name of pinned results, and the only "
                    "entry: their settings cannot change",
                    {"variant": variant},
                )
        return self

    @model_validator(mode="after")
    def _code_is_named(self) -> Self:
        for variant, changes in self.variants.items():
            if CODE_AS in changes and not (changes[CODE_AS] and type(changes[CODE_AS]) is str):
                raise PydanticCustomError(
                    "code",
                    "variants.{variant}.code: {found} should be a branch, a tag, a commit or a "
                    "patch file, as text: put it in quotes",
                    {"variant": variant, "found": changes[CODE_AS]},
                )
        return self

    @model_validator(mode="after")
    def _lists_hold_something(self) -> Self:
        for name, values in self.grid.items():
            if not values:
                raise PydanticCustomError(
                    "grid", "grid.{name}: no values; give at least one", {"name": name}
                )
        for name, values in self.tune.items():
            if len(values) < 3 or list(values) != sorted(set(values)):
                raise PydanticCustomError(
                    "tune",
                    "tune.{name}: {found} should be three values or more, in rising order",
                    {"name": name, "found": list(values)},
                )
        for name in ("corpora", "seeds"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise PydanticCustomError(name, "{name}: each may occur once", {"name": name})
        return self

    @model_validator(mode="after")
    def _seeds_are_shared(self) -> Self:
        if "seed" in self.grid or any("seed" in changes for changes in self.variants.values()):
            raise PydanticCustomError(
                "seeds", "seeds: a variant sets seed, which every variant takes from here; drop it"
            )
        return self
