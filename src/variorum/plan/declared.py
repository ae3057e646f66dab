"""Fill the declarations of stages: settings from an experiment, inputs from results by their stage.

A stage that declares `per` is planned by this alone: once for each corpus, model or experiment.
"""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from variorum.config.layers import Place
from variorum.config.types import Settings
from variorum.identity.spec import Ref
from variorum.stages.stage import Stage


class HasRef(Protocol):
    """A planned result."""

    @property
    def ref(self) -> Ref:
        """Return its reference."""


Planned = TypeVar("Planned", bound=HasRef)


def settings_of(stage: Stage, experiment: Settings) -> tuple[Settings, dict[str, Place]]:
    """Return a stage's settings, and the experiment's section that each is from.

    A setting has the value of the section of its name; without such a section, its default.
    """
    names = stage.settings.model_fields.keys() & type(experiment).model_fields.keys()
    settings = stage.settings(**{name: getattr(experiment, name) for name in names})
    return settings, {name: (name,) for name in sorted(names)}


def inputs_of(stage: Stage, nodes: Iterable[Planned]) -> dict[str, Planned]:
    """Return for each role the last result whose stage may fill it."""
    return {
        role: node for node in nodes for role, of in stage.inputs.items() if node.ref.stage in of
    }
