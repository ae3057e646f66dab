"""Name the models and corpora of a report's inputs."""

from typing import Literal

PRETRAINED, FINETUNED = "pretrained", "fine-tuned"

Role = Literal["base", "domain"]

MODELS = {"pretrained": PRETRAINED, "finetuned": FINETUNED}
"""The models' names on the page, by their names in inputs."""

SIDES: tuple[Role, ...] = ("base", "domain")
"""The corpora, in the order of the page."""


def model_of(task: str) -> str:
    """Return the model of an input such as `finetuned_on_base` or `stress_finetuned`."""
    return next(shown for name, shown in MODELS.items() if name in task.split("_"))


def corpus_of(task: str) -> str:
    """Return the corpus of an input such as `finetuned_on_base`."""
    return task.rpartition("_")[2]


def baseline_name(name: str, order: int | None = None) -> str:
    """Return what people call a baseline, such as `PPMd of order 16`, or just `PPMd`."""
    named = {"ppmd": "PPMd", "ngram": "n-grams"}
    if order is not None:
        named = {"ppmd": f"PPMd of order {order}", "ngram": f"{order}-grams"}
    return named.get(name, name)
