"""Read what stages declare against an experiment: its results, their inputs and their settings.

A result is told from others of its stage by its `Role`: its model and its corpus.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from variorum.base.errors import VariorumError
from variorum.config.setting_layers import Place
from variorum.config.types import Settings
from variorum.stages.registry import MODELS, STAGES
from variorum.stages.stage import Axis, Input, Role, Stage

CORPORA = ("base", "domain")
"""The corpora that an experiment may have."""


def corpora_of(experiment: Any) -> list[str]:
    """Return the corpora that an experiment has."""
    return [name for name in CORPORA if getattr(experiment.corpus, name) is not None]


def models_of(experiment: Any) -> dict[str, str]:
    """Return the corpus of each model of an experiment, in the order of the flow."""
    made = [STAGES[name].makes for name in MODELS if STAGES[name].when(experiment)]
    corpora = corpora_of(experiment)
    return {
        role.model: role.corpus for role in made if role and role.model and role.corpus in corpora
    }


def roles_of(stage: Stage, experiment: Any) -> list[Role]:
    """Return the role of each result of a stage in an experiment, base before domain."""
    if not stage.when(experiment):
        return []
    corpora, models = corpora_of(experiment), models_of(experiment)
    if stage.makes is not None:
        return [stage.makes] if stage.makes.corpus in corpora else []
    if stage.per is None:
        return []
    if stage.per == ("model",):  # on its model's corpus
        return [Role(model, corpus) for model, corpus in models.items()]
    return [
        Role(model, corpus)
        for model in (models if "model" in stage.per else (None,))
        for corpus in (corpora if "corpus" in stage.per else (None,))
    ]


def inputs_of(
    stage: Stage, role: Role, experiment: Any
) -> Iterator[tuple[str, list[tuple[str, Role]]]]:
    """Yield each input's name with the stages and roles that may fill it, best first.

    An input that nothing in the experiment can fill is left out.
    """
    for template, needed in stage.inputs.items():
        if needed.when(experiment):
            for own, name in _named(template, needed, role, experiment):
                if found := list(_fillings(needed, own, experiment)):
                    yield name, found


def _named(template: str, needed: Input, role: Role, experiment: Any) -> Iterator[tuple[Role, str]]:
    """Yield the role and the name of each input that a template stands for."""
    if "{" not in template:
        yield Role(needed.model or role.model, needed.corpus or role.corpus), template
        return
    for stage in needed.stages:
        for each in roles_of(STAGES[stage], experiment):
            yield each, template.format(model=each.model, corpus=each.corpus)


def _fillings(needed: Input, wanted: Role, experiment: Any) -> Iterator[tuple[str, Role]]:
    for name in reversed(needed.stages):
        for role in reversed(roles_of(STAGES[name], experiment)):
            if _fits(role, wanted, STAGES[name].axes):
                yield name, role


def _fits(role: Role, wanted: Role, axes: tuple[Axis, ...]) -> bool:
    """Return whether a role is as wanted, on the axes that its stage has."""
    return all(getattr(wanted, axis) in (None, getattr(role, axis)) for axis in axes)


def sections_of(*stages: str) -> tuple[str, ...]:
    """Return the sections of an experiment that stages' settings are from, seeds aside."""
    names = [
        STAGES[stage].sections.get(name, name).partition(".")[0]
        for stage in stages
        for name, field in STAGES[stage].settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
    ]
    return tuple(dict.fromkeys(names))


def settings_of(
    stage: Stage,
    role: Role,
    experiment: Settings,
    facts: Mapping[str, Any],
    pinned: Callable[[Any, Place], Any],
) -> tuple[Settings, dict[str, Place]]:
    """Return a stage's settings, and the experiment's section that each is from.

    A setting has the value of its section, or that among `facts`; without either, its default.
    pinned: gives a section's value with what it reads pinned by hash.
    """
    places: dict[str, Place] = {}
    values = {name: facts[name] for name in stage.settings.model_fields if name in facts}
    for name in stage.settings.model_fields.keys() - values.keys():
        place = tuple(stage.sections.get(name, name).format(corpus=role.corpus).split("."))
        if place[0] in type(experiment).model_fields:
            places[name], value = place, experiment
            for part in place:
                value = getattr(value, part)
            values[name] = pinned(value, place)
    try:
        return stage.settings(**values), dict(sorted(places.items()))
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{stage.settings.__name__}.{'.'.join(map(str, first['loc']))}"
        raise VariorumError(
            f"{where}: {first['msg']}; a stage's setting has the name of an experiment's section, "
            "or `sections` names one, or it has a default"
        ) from None


def label_of(stage: Stage, role: Role, words: Mapping[str, Any], settings: Settings) -> str:
    """Return what people call a result."""
    parts = [f"{{{axis}}}" for axis in (() if stage.makes else stage.axes)]
    template = stage.label or " on ".join(parts) or "{experiment}"
    named = {name: getattr(settings, name) for name in type(settings).model_fields}
    return template.format(**{**named, "model": role.model, "corpus": role.corpus, **words})
