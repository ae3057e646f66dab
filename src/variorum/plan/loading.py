"""Read experiments: merge layers, check them, remember origins.

Layers, later ones win: the defaults of the settings, the preset that the experiment names,
`config/experiments/<name>.yaml`, the rest of `config/config.yaml`, then overrides from a command
line.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from variorum.base.errors import VariorumError
from variorum.config.setting_checks import validated
from variorum.config.setting_errors import ConfigError, shown
from variorum.config.setting_layers import (
    DEFAULT,
    NOWHERE,
    Layered,
    Place,
    file_of,
    merged,
    names_in,
    read_layers,
    without,
    written_at,
)
from variorum.config.types import Settings
from variorum.model.config_file import read as read_model_config
from variorum.plan.declared import sections_of
from variorum.plan.experiment_settings import Experiment
from variorum.stages.registry import STAGES

CURRENT = "config/config.yaml"


COMMAND_LINE = "command line"


@dataclass(frozen=True)
class LoadedExperiment:
    """Hold a valid experiment: name, changes to its file, and where each value is from."""

    name: str
    settings: Experiment
    overrides: dict[str, Any] = field(default_factory=dict)
    layers: Layered = NOWHERE


Overrides = Mapping[str, Any] | Layered
"""Nested settings from a command line, or a layer with files that it names."""


def load_experiment(root: Path, overrides: Overrides | None = None) -> LoadedExperiment:
    """Read the current experiment of the project at `root`.

    `experiment` among the overrides chooses another file. Raises `ConfigError`.
    """
    current = read_layers(root, CURRENT)
    command = overrides if isinstance(overrides, Layered) else on_command_line(overrides or {})
    name = _name(merged(current, command), "experiment") or "default"
    changes = merged(without(current, "experiment"), without(command, "experiment"))
    return named_experiment(root, name, changes)


def on_command_line(settings: Mapping[str, Any]) -> Layered:
    """Return settings as a layer that was written on the command line."""
    return written_at(dict(settings), lambda place: COMMAND_LINE)


def _name(layers: Layered, setting: str) -> str | None:
    """Return what a setting names; raises `ConfigError` if that was read as a number, say."""
    name = layers.values.get(setting)
    if name is not None and not isinstance(name, str):
        where = layers.origin((setting,))
        in_a_shell = f", with the shell's around all: '{setting}=\"...\"'"
        typed = in_a_shell if where == COMMAND_LINE else ""
        raise ConfigError(
            f"{where}: {setting}: {shown(name)} should be text: put it in quotes{typed}"
        )
    return name


def named_experiment(root: Path, name: str, changes: Layered | None = None) -> LoadedExperiment:
    """Read `config/experiments/<name>.yaml` with `changes` on top.

    Raises `ConfigError`.
    """
    file = file_of(root, "experiments", name)
    changes = changes or NOWHERE
    given = _with_preset(root, merged(read_layers(root, file), changes))
    imported = _imported_model(root, given)
    layers = merged(imported, given)
    settings = validated(Experiment, layers, file)
    _refuse_what_is_imported(settings, imported, given)
    taken = _as_taken(changes.values, settings.model_dump(mode="json"))
    return LoadedExperiment(name, settings, taken, layers)


def _as_taken(values: Mapping[str, Any], taken: Mapping[str, Any]) -> dict[str, Any]:
    """Return raw settings in the types of checked ones: Snakemake passes nested numbers as text."""
    return {
        name: _as_taken(value, taken[name])
        if isinstance(value, Mapping) and isinstance(taken[name], Mapping)
        else taken[name]
        for name, value in values.items()
    }


def _with_preset(root: Path, layers: Layered) -> Layered:
    """Return settings merged over the preset that they name, if they name one."""
    preset = _name(layers, "preset")
    if preset is None:
        return layers
    return merged(read_layers(root, file_of(root, "presets", preset)), layers)


def _imported_model(root: Path, given: Layered) -> Layered:
    """Return the settings of the model that an experiment imports; nothing without one."""
    chosen = given.values.get("imported")
    path = chosen.get("path") if isinstance(chosen, dict) else None
    if not isinstance(path, str) or not path:
        return NOWHERE
    where = given.origin(("imported", "path"))
    try:
        file = Path(path).expanduser() / "config.json"
        model, _ = read_model_config(root / file)
    except VariorumError as error:
        raise ConfigError(f"{where}: imported.path: {error}") from None
    except RuntimeError:
        raise ConfigError(
            f"{where}: imported.path: {path}: no home folder of that user is known; write the path "
            "out"
        ) from None
    return written_at({"model": model.model_dump()}, lambda place: file.as_posix())


def _refuse_what_is_imported(settings: Experiment, imported: Layered, given: Layered) -> None:
    """Raise `ConfigError` for settings that an imported model brings or does not run."""
    if imported is NOWHERE:
        return
    lines = [
        f"{given.origin(('model', name))}: model.{name}: {getattr(settings.model, name)!r} is not "
        f"what the imported model has, {value!r} ({imported.origin(('model', name))}); leave it out"
        for name, value in imported.values["model"].items()
        if getattr(settings.model, name) != (tuple(value) if isinstance(value, list) else value)
    ]
    present = sections_of(*(name for name, stage in STAGES.items() if stage.when(settings)))
    lines += [
        f"{given.origin((section,))}: {section}: decides nothing here, as the imported model "
        "takes its place; leave it out"
        for section in sections_of(*STAGES)
        if section in given.values and section not in present
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def experiment_names(root: Path) -> list[str]:
    """Return the names of all experiments of the project, sorted."""
    return names_in(root, "experiments")


def provenance(experiment: LoadedExperiment) -> Iterator[tuple[str, Any, str]]:
    """Yield every setting as (dotted name, value, where it was written)."""
    yield from _leaves(experiment.settings, (), experiment.layers)


def _leaves(settings: Settings, place: Place, layers: Layered) -> Iterator[tuple[str, Any, str]]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings):
            yield from _leaves(value, (*place, name), layers)
        else:
            yield ".".join((*place, name)), value, layers.origins.get((*place, name), DEFAULT)
