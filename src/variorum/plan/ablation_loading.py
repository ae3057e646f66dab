"""Read ablations: their variants, and the settings that each runs with.

Variants are named, or are the combinations of a grid; each may be tuned, and have its steps set by
a budget. Whatever is wrong becomes one line that names the file, the setting and what would be
right.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from variorum.base.counts import counted
from variorum.config.setting_checks import validated
from variorum.config.setting_errors import ConfigError
from variorum.config.setting_layers import (
    NOWHERE,
    Layered,
    Place,
    file_of,
    merged,
    read_layers,
    written_at,
)
from variorum.config.yaml_text import in_yaml
from variorum.plan.ablation_settings import CODE_AS, LAST_STAGE, PINNED_AS, Ablation, LastStage
from variorum.plan.declared import corpora_of, sections_of
from variorum.plan.loading import LoadedExperiment, experiment_names, named_experiment
from variorum.stages.registry import STAGES, TRAININGS, model_of

TUNED_SECTIONS = sections_of(*TRAININGS)
"""What may be tuned stands in one of these sections."""

YARDSTICKS = ("val_interval", "val_tokens", "selection", "context_length", "sample_tokens")
"""Settings in them that decide how the validation loss is taken, or nothing."""


NAME = re.compile(r"[A-Za-z0-9_-]+")
"""What an ablation may be called: the Snakefile knows its page by that."""


PAGES = "experiments"
"""The folder beside the tables' under `reports/`."""


def sections_until(last_stage: str) -> tuple[str, ...]:
    """Return the sections that the trainings up to this one read."""
    return sections_of(*TRAININGS[: TRAININGS.index(last_stage) + 1])


@dataclass(frozen=True)
class Variant:
    """Hold one variant, which an ablation compares with others.

    experiment: what it runs, with its own value of what is tuned.
    last_stage: the training whose model is judged.
    tuned: the same experiment with each value that is tried.
    pinned: the name that its models, which were made before, are pinned under.
    code: what it is run by, where that is not the present code: see `code_versions`.
    changes: what the file says of it, by setting.
    """

    name: str
    experiment: LoadedExperiment
    last_stage: LastStage
    tuned: Mapping[float, LoadedExperiment] = field(default_factory=dict)
    pinned: str | None = None
    code: str | None = None
    changes: Mapping[str, str] = field(default_factory=dict)

    @property
    def runs(self) -> Iterator[tuple[str, float | None, LoadedExperiment]]:
        """Yield the name of each run without its seed, its tuned value and its settings."""
        yield self.name, None, self.experiment
        for value, experiment in self.tuned.items():
            yield f"{self.name}@{in_yaml(value)}", value, experiment


@dataclass(frozen=True)
class LoadedAblation:
    """Hold a valid ablation: variants in the table's order, and where each value is from."""

    name: str
    settings: Ablation
    variants: dict[str, Variant]
    layers: Layered = NOWHERE

    @property
    def experiments(self) -> Iterator[LoadedExperiment]:
        """Yield the settings of every run, without seeds."""
        for variant in self.variants.values():
            yield from (experiment for _, _, experiment in variant.runs)


def ablation_names(root: Path) -> list[str]:
    """Return the names of all ablations of the project, sorted."""
    return sorted(file.stem for file in (root / "config/ablations").glob("*.yaml"))


def refuse_name(root: Path, name: str) -> None:
    """Raise `ConfigError` if no ablation can have that name, or another thing has it."""
    file = f"config/ablations/{name}.yaml"
    if not NAME.fullmatch(name):
        raise ConfigError(f"{file}: a name has letters, digits, _ and - alone; rename the file")
    for kind, taken in (("a stage", list(STAGES)), ("an experiment", experiment_names(root))):
        if name in taken:
            raise ConfigError(f"{file}: {name} is the name of {kind}; rename the file")
    if any(experiment.startswith(f"{name}/") for experiment in experiment_names(root)):
        raise ConfigError(f"{file}: {name} is the name of a folder of experiments; rename the file")
    if name == PAGES:
        raise ConfigError(f"{file}: reports/{PAGES}/ holds numbers of pages; rename the file")


def load_ablation(root: Path, name: str) -> LoadedAblation:
    """Read `config/ablations/<name>.yaml`, never `config/config.yaml`.

    With `budget: time` its variants have the baseline's steps: their own are planned. Raises
    `ConfigError`.
    """
    reading = _reading(root, name)
    variants = {variant.name: variant for variant in reading.variants()}
    return LoadedAblation(name, reading.settings, variants, reading.layers)


def _reading(root: Path, name: str) -> "_Reading":
    refuse_name(root, name)
    file = file_of(root, "ablations", name)
    layers = read_layers(root, file)
    return _Reading(root, file, layers, validated(Ablation, layers, file))


@dataclass(frozen=True)
class _Asked:
    """Hold what the file says of one variant: settings, and where each was written."""

    name: str
    changes: Layered
    place: Place
    last_stage: LastStage
    pinned: str | None = None
    code: str | None = None


@dataclass(frozen=True)
class _Reading:
    """Hold an ablation while its variants are found."""

    root: Path
    file: str
    layers: Layered
    settings: Ablation

    def variants(self) -> Iterator[Variant]:
        asked, baseline = self._asked()
        for each in asked:
            yield self._variant(each, baseline)

    def _asked(self) -> tuple[list[_Asked], LoadedExperiment]:
        """Return what the file says of each variant, and the settings of the baseline."""
        asked = [*self._named(), *self._of_grid()]
        names = [each.name for each in asked]
        if len(names) < 2:
            raise ConfigError(
                f"{self.file}: {counted(len(names), 'variant')}; compare at least two, by "
                "`variants` or `grid`"
            )
        for each in asked:
            if not each.name.strip(" .") or set(each.name) & set("/@"):
                raise ConfigError(
                    f"{self.layers.origin(each.place)}: '{each.name}' is no name of a variant, "
                    "which has letters or digits and no / or @; name it under `variants`"
                )
            if names.count(each.name) > 1:
                raise ConfigError(f"{self.file}: two variants are called {each.name}; rename one")
        if self.settings.baseline not in names:
            raise ConfigError(
                f"{self.layers.origin(('baseline',))}: baseline: '{self.settings.baseline}' is no "
                f"variant; choose one of {', '.join(names)}"
            )
        for setting in self.settings.tune:
            self._refuse_to_tune(setting)
        baseline = self._loaded(asked[names.index(self.settings.baseline)])
        self._refuse_other_measures(asked, baseline)
        return asked, baseline

    def _named(self) -> Iterator[_Asked]:
        for name, changes in self.settings.variants.items():
            place = ("variants", name)
            if PINNED_AS in changes:
                self._refuse_kept((*place, PINNED_AS))
                yield _Asked(name, NOWHERE, place, self.settings.last_stage, changes[PINNED_AS])
                continue
            last_stage = changes.get(LAST_STAGE, self.settings.last_stage)
            if last_stage not in TRAININGS:
                raise ConfigError(
                    f"{self.layers.origin((*place, LAST_STAGE))}: {'.'.join(place)}.{LAST_STAGE}: "
                    f"{last_stage!r} should be one of {', '.join(TRAININGS)}"
                )
            words = (LAST_STAGE, CODE_AS)
            settings = {key: value for key, value in changes.items() if key not in words}
            code = changes.get(CODE_AS)
            if code is not None and self.settings.budget == "time":
                raise ConfigError(
                    f"{self.layers.origin((*place, CODE_AS))}: {'.'.join(place)}.{CODE_AS}: a "
                    "budget of time is measured by the code that is here; take tokens or steps"
                )
            yield _Asked(name, self._at(settings, place), place, last_stage, code=code)

    def _refuse_kept(self, place: Place) -> None:
        """Raise `ConfigError` for pinned models where variants are trained alike, or tuned."""
        for name in ("tune", "budget"):
            if getattr(self.settings, name):
                raise ConfigError(
                    f"{self.layers.origin(place)}: {'.'.join(place)}: `{name}` decides how "
                    "variants are trained, and pinned models are trained already; leave one out"
                )

    def _of_grid(self) -> Iterator[_Asked]:
        grid = self.settings.grid
        for values in product(*grid.values()) if grid else ():
            changes = NOWHERE
            for dotted, value in zip(grid, values, strict=True):
                changes = merged(changes, self._one(dotted, value, ("grid", dotted)))
            name = _combined(list(grid), values)
            yield _Asked(name, changes, ("grid",), self.settings.last_stage)

    def _at(self, changes: dict[str, Any], place: Place) -> Layered:
        return written_at(changes, lambda inner: self.layers.origin((*place, *inner)))

    def _one(self, dotted: str, value: Any, place: Place) -> Layered:
        """Return one setting by its dotted name, as written at `place`."""
        changes: Any = value
        for section in reversed(dotted.split(".")):
            changes = {section: changes}
        return written_at(changes, lambda inner: self.layers.origin(place))

    def _loaded(self, asked: _Asked, *more: Layered) -> LoadedExperiment:
        changes = asked.changes
        for each in more:
            changes = merged(changes, each)
        return named_experiment(self.root, self.settings.experiment, changes)

    def _variant(self, asked: _Asked, baseline: LoadedExperiment) -> Variant:
        if asked.pinned is not None:
            loaded, said = self._loaded(asked), {PINNED_AS: asked.pinned}
            return Variant(asked.name, loaded, asked.last_stage, pinned=asked.pinned, changes=said)
        own = self._budgeted(asked, NOWHERE, baseline)
        self._refuse_no_domain(asked, own)
        tuned = {}
        for setting, values in self._tuned(asked):
            tuned = {
                value: self._budgeted(asked, self._one(setting, value, ("tune", setting)), baseline)
                for value in values
            }
        said = self._said(asked)
        return Variant(asked.name, own, asked.last_stage, tuned, code=asked.code, changes=said)

    def _said(self, asked: _Asked) -> dict[str, str]:
        """Return what the file says of a variant, by setting, as in YAML."""
        said = dict(_flat(asked.changes.values))
        if asked.last_stage != self.settings.last_stage:
            said[LAST_STAGE] = asked.last_stage
        if asked.code is not None:
            said[CODE_AS] = asked.code
        return said

    def _tuned(self, asked: _Asked) -> Iterator[tuple[str, tuple[float, ...]]]:
        """Yield what is tuned of a variant: nothing of a training that it lacks."""
        for setting, values in self.settings.tune.items():
            if setting.partition(".")[0] in sections_until(asked.last_stage):
                yield setting, values

    def _budgeted(
        self, asked: _Asked, change: Layered, baseline: LoadedExperiment
    ) -> LoadedExperiment:
        """Return a variant with one more change, and the steps that its budget then gives."""
        loaded = self._loaded(asked, change)
        budget = self._budget(asked, loaded, baseline)
        try:
            return self._loaded(asked, change, budget)
        except ConfigError as error:  # without a budget it was read already
            raise ConfigError(
                f"{self.layers.origin(('budget',))}: budget: with the steps that variant "
                f"{asked.name} gets, {error}"
            ) from None

    def _refuse_to_tune(self, setting: str) -> None:
        """Raise `ConfigError` for a setting that decides the text or the loss of the choice."""
        section, _, name = setting.partition(".")
        held = ("max_steps",) if self.settings.budget else ()
        if section not in TUNED_SECTIONS or name in (*YARDSTICKS, *held):
            raise ConfigError(
                f"{self.layers.origin(('tune', setting))}: tune.{setting}: is chosen by the "
                f"validation loss, so it should be one of {', '.join(TUNED_SECTIONS)}, and decide "
                "neither the text nor how that loss is taken nor what `budget` settles"
            )
        last_stage = self.settings.last_stage
        if section not in sections_until(last_stage):
            later = next(name for name in TRAININGS if section in sections_until(name))
            raise ConfigError(
                f"{self.layers.origin(('tune', setting))}: tune.{setting}: no {later} runs where "
                f"last_stage is {last_stage}; set last_stage: {later}"
            )

    def _refuse_no_domain(self, asked: _Asked, loaded: LoadedExperiment) -> None:
        needed = {*self.settings.corpora, model_of(asked.last_stage).corpus}
        if lacking := sorted(needed - {*corpora_of(loaded.settings)}, key=str):
            raise ConfigError(
                f"{self.file}: variant {asked.name} has no {lacking[0]} corpus, which corpora = "
                f"{', '.join(self.settings.corpora)} and last_stage = {asked.last_stage} need; "
                "name an experiment that has one"
            )

    def _refuse_other_measures(self, asked: list[_Asked], baseline: LoadedExperiment) -> None:
        """Raise `ConfigError` where variants would be measured in different ways."""
        for each in asked:
            settings = self._loaded(each).settings
            where = self.layers.origin(each.place)
            if settings.evaluate != baseline.settings.evaluate:
                raise ConfigError(
                    f"{where}: variant {each.name} sets `evaluate`, so it would be measured in "
                    "another way than the baseline; set it in the experiment, for all alike"
                )

    def _budget(self, asked: _Asked, own: LoadedExperiment, baseline: LoadedExperiment) -> Layered:
        """Return the steps that give a variant as many steps or tokens as the baseline."""
        if self.settings.budget is None:
            return NOWHERE
        section = asked.last_stage
        where = self.layers.origin(("budget",))
        place: Place = (section, "max_steps")
        if asked.changes.origins.keys() & {place}:
            raise ConfigError(
                f"{asked.changes.origin(place)}: variant {asked.name} sets {'.'.join(place)}, "
                f"which follows from `budget` ({where}); drop one of them"
            )
        if self.settings.budget == "time":
            return NOWHERE
        steps = _equal_steps(self.settings.budget, section, own, baseline)
        return self._one(".".join(place), steps, ("budget",))


def _equal_steps(
    budget: str, section: str, own: LoadedExperiment, baseline: LoadedExperiment
) -> int:
    """Return the whole steps of a training that sees as much as the baseline's."""

    def tokens(loaded: LoadedExperiment) -> int:
        training = getattr(loaded.settings, section)
        return int(training.batch_size * loaded.settings.model.context_length)

    steps: int = getattr(baseline.settings, section).max_steps
    if budget == "steps":
        return steps
    return max(1, round(steps * tokens(baseline) / tokens(own)))


def _flat(settings: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested settings by their dotted names, with values in YAML."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{section}{name}.")
        else:
            yield f"{section}{name}", in_yaml(value)


def _combined(settings: list[str], values: tuple[Any, ...]) -> str:
    """Return the name of a combination.

    It is like `rotary`, `batch_size=8`, or `learning_rate=0.001,replay=0.5`.
    """
    if len(settings) == 1 and isinstance(values[0], str):
        return in_yaml(values[0])
    lasts = [dotted.rsplit(".", 1)[-1] for dotted in settings]
    names = [s if lasts.count(last) > 1 else last for s, last in zip(settings, lasts, strict=True)]
    return ",".join(f"{name}={in_yaml(v)}" for name, v in zip(names, values, strict=True))
