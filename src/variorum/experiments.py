"""Reads experiments: merges layers, checks them, remembers origins.

Layers, later ones win: the defaults of `config.py`, the preset that the experiment names,
`config/experiments/<name>.yaml`, the rest of `config/config.yaml`, then overrides from a command
line. Whatever is wrong becomes one line that
names the file, the setting and what would be right.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core.core_schema import ErrorType
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from variorum.config import (
    SOURCE_KINDS,
    AnySettings,
    Experiment,
    Settings,
    models_of,
)
from variorum.errors import VariorumError
from variorum.model_config import read as read_model_config

Place = tuple[str, ...]

CURRENT = "config/config.yaml"
COMMAND_LINE = "command line"
DEFAULT = "default"

YAML_1_1_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
"""Texts that Snakemake's YAML would read as something else."""

NO_VALUES = (ValueError, LookupError, RecursionError)
"""What ruamel.yaml raises for the 45th of a month, for `!!int a`, for brackets without end."""

# What other code bases call our settings, for "did you mean".
PEER_NAMES = {
    "block_size": "context_length",
    "n_ctx": "context_length",
    "n_positions": "context_length",
    "max_seq_len": "context_length",
    "seq_len": "context_length",
    "d_model": "n_embd",
    "hidden_size": "n_embd",
    "dim": "n_embd",
    "num_layers": "n_layer",
    "n_layers": "n_layer",
    "num_hidden_layers": "n_layer",
    "depth": "n_layer",
    "num_heads": "n_head",
    "n_heads": "n_head",
    "num_attention_heads": "n_head",
    "lr": "learning_rate",
    "min_lr": "min_learning_rate",
    "max_iters": "max_steps",
    "num_steps": "max_steps",
    "warmup_iters": "warmup_steps",
    "eval_interval": "val_interval",
    "max_norm": "grad_clip",
    "max_grad_norm": "grad_clip",
    "rope_theta": "rotary_base",
    "pos_emb": "positions",
    "position_encoding": "positions",
    "optim": "optimizer",
    "num_merges": "vocab_size",
    "temp": "temperature",
    "max_new_tokens": "max_tokens",
}


class ConfigError(VariorumError):
    """The configuration says something that cannot be; one line for each fault."""


@dataclass(frozen=True)
class Layered:
    """Merged raw settings, with the place each was written at."""

    values: dict[str, Any]
    origins: dict[Place, str]

    def origin(self, place: Place) -> str:
        """Where the setting at `place`, or what encloses it, was written."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.origins:
                return self.origins[place[:length]]
        return DEFAULT


NOWHERE = Layered({}, {})


@dataclass(frozen=True)
class LoadedExperiment:
    """A valid experiment, its name, what departs from its file, and where each value is from."""

    name: str
    settings: Experiment
    overrides: dict[str, Any] = field(default_factory=dict)
    layers: Layered = NOWHERE


def load_experiment(root: Path, overrides: Mapping[str, Any] | None = None) -> LoadedExperiment:
    """The current experiment of the project at `root`.

    `overrides` are nested settings from a command line; `experiment` among them chooses another
    file. Raises `ConfigError`.
    """
    current = read_layers(root, CURRENT)
    command = written_at(dict(overrides or {}), lambda place: COMMAND_LINE)
    name = str(command.values.get("experiment", current.values.get("experiment", "default")))
    changes = merged(_without(current, "experiment"), _without(command, "experiment"))
    return named_experiment(root, name, changes)


def named_experiment(root: Path, name: str, changes: Layered | None = None) -> LoadedExperiment:
    """The experiment `config/experiments/<name>.yaml` with `changes` on top.

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
    """Raw settings as the checked ones have them: Snakemake hands over nested numbers as text."""
    return {
        name: _as_taken(value, taken[name])
        if isinstance(value, Mapping) and isinstance(taken[name], Mapping)
        else taken[name]
        for name, value in values.items()
    }


def _with_preset(root: Path, layers: Layered) -> Layered:
    """The settings over those of the preset that they name, if they name one."""
    preset = layers.values.get("preset")
    if preset is None:
        return layers
    return merged(read_layers(root, file_of(root, "presets", str(preset))), layers)


def _imported_model(root: Path, given: Layered) -> Layered:
    """The settings of the model that an experiment imports; nothing if it imports none."""
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
    """Raise `ConfigError` for what is set and comes with the imported model, or is not run."""
    if imported is NOWHERE:
        return
    lines = [
        f"{given.origin(('model', name))}: model.{name}: {getattr(settings.model, name)!r} is not "
        f"what the imported model has, {value!r} ({imported.origin(('model', name))}); leave it out"
        for name, value in imported.values["model"].items()
        if getattr(settings.model, name) != (tuple(value) if isinstance(value, list) else value)
    ]
    reasons = {
        "tokenizer": "the imported model brings its own",
        "pretrain": "the imported model was trained elsewhere",
    }
    lines += [
        f"{given.origin((section,))}: {section}: decides nothing here, as {reason}; leave it out"
        for section, reason in reasons.items()
        if section in given.values
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def experiment_names(root: Path) -> list[str]:
    """Names of all experiments of the project, sorted."""
    return sorted(file.stem for file in (root / "config/experiments").glob("*.yaml"))


def provenance(experiment: LoadedExperiment) -> Iterator[tuple[str, Any, str]]:
    """Every setting of the experiment as (dotted name, value, where it was written)."""
    yield from _leaves(experiment.settings, (), experiment.layers)


def _leaves(settings: Settings, place: Place, layers: Layered) -> Iterator[tuple[str, Any, str]]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings):
            yield from _leaves(value, (*place, name), layers)
        else:
            yield ".".join((*place, name)), value, layers.origins.get((*place, name), DEFAULT)


# Reading


def file_of(root: Path, folder: str, name: str) -> str:
    """The file of that name in a folder of `config/`; raises `ConfigError` if there is none."""
    file = f"config/{folder}/{name}.yaml"
    if not (root / file).is_file():
        known = sorted(path.stem for path in (root / "config" / folder).glob("*.yaml"))
        raise ConfigError(
            f"{file}: there is no such file;{did_you_mean(name, known)} "
            f"known are {', '.join(known) or 'none'}"
        )
    return file


def read_layers(root: Path, file: str) -> Layered:
    """What a file of settings says, with the line of each; raises `ConfigError`."""
    try:
        values = YAML(typ="rt").load((root / file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: there is no such file; run this inside a clone of the project"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = " ".join(str(error.problem).split())
        raise ConfigError(f"{file}:{line}: not valid YAML: {problem}; mend that line") from None
    except YAMLError as error:
        raise ConfigError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from None
    except NO_VALUES as error:
        problem = str(error) or type(error).__name__
        raise ConfigError(f"{file}: not valid YAML: {problem}; put text in quotes") from None
    if values is None:
        values = CommentedMap()
    if not isinstance(values, CommentedMap):
        raise ConfigError(f"{file}: holds {values!r}; write `setting: value` lines")
    origins: dict[Place, str] = {}
    _note_lines(values, (), file, origins)
    return Layered(_plain(values), origins)


def _note_lines(node: CommentedMap, place: Place, file: str, origins: dict[Place, str]) -> None:
    for name, value in node.items():
        here = (*place, str(name))
        line = node.lc.data[name][0] + 1 if name in (node.lc.data or {}) else node.lc.line + 1
        origins[here] = f"{file}:{line}"
        if isinstance(value, CommentedMap):
            _note_lines(value, here, file, origins)


def _plain(value: Any) -> Any:
    """Round-trip nodes as plain Python data."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def written_at(values: dict[str, Any], origin: Callable[[Place], str]) -> Layered:
    """Raw settings that somebody gave; `origin` tells of each place where that was."""
    origins: dict[Place, str] = {}

    def note(node: Mapping[str, Any], place: Place) -> None:
        for name, value in node.items():
            origins[*place, str(name)] = origin((*place, str(name)))
            if isinstance(value, Mapping):
                note(value, (*place, str(name)))

    note(values, ())
    return Layered(_plain(values), origins)


def _without(layer: Layered, name: str) -> Layered:
    values = {key: value for key, value in layer.values.items() if key != name}
    return Layered(values, {place: at for place, at in layer.origins.items() if place[0] != name})


def merged(below: Layered, above: Layered) -> Layered:
    """`above` wins; a section whose `kind` changes is replaced whole."""
    origins = dict(below.origins)

    def joined(low: Any, high: Any, place: Place) -> Any:
        sections = isinstance(low, dict) and isinstance(high, dict)
        if not sections or ("kind" in high and high["kind"] != low.get("kind", high["kind"])):
            for inner in [other for other in origins if other[: len(place)] == place]:
                del origins[inner]
            return high
        return low | {
            name: joined(low.get(name), value, (*place, name)) for name, value in high.items()
        }

    return Layered(joined(below.values, above.values, ()), origins | above.origins)


def read_value(value: str, said: str) -> Any:
    """The value that somebody typed, in YAML; `said` is the whole of it, for the message.

    Raises `ConfigError`.
    """
    try:
        return YAML(typ="safe").load(value)
    except (YAMLError, *NO_VALUES):
        raise ConfigError(f"{said}: the value is not valid YAML; put text in quotes") from None


def in_yaml(value: Any) -> str:
    """A value as YAML's flow style writes it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {in_yaml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(in_yaml, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, str):
        return str(value)
    plain = re.fullmatch(r"[A-Za-z][\w./-]*", value) and value.lower() not in YAML_1_1_WORDS
    return value if plain else json.dumps(value, ensure_ascii=False)


# Checking


def check(model: type[AnySettings], values: Mapping[str, Any], section: str) -> AnySettings:
    """Settings that were given by hand, checked as those of a file. Raises `ConfigError`."""
    return validated(model, Layered(dict(values), {}), section)


def validated(model: type[AnySettings], layers: Layered, file: str) -> AnySettings:
    """The settings of `file`, checked; raises `ConfigError` with one line for each fault."""
    try:
        return model.model_validate(layers.values)
    except ValidationError as error:
        faults = error.errors()
        lines = [_line(model, layers, file, f) for f in faults if not _is_echo(f, faults)]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from None


def _is_echo(fault: Any, faults: Sequence[Any]) -> bool:
    """Whether a list is called too short only because entries of it were refused."""
    place = fault["loc"]
    return fault["type"] == "too_short" and any(
        other["loc"][: len(place)] == place and other is not fault for other in faults
    )


def _line(model: type[Settings], layers: Layered, file: str, fault: Any) -> str:
    place = _place(layers.values, fault["loc"])
    name, message, kind = ".".join(place), fault["msg"], fault["type"]
    origin = layers.origin(place)
    where = file if origin == DEFAULT else origin
    found = fault.get("input")
    if kind == "extra_forbidden":
        return f"{where}: {name}: unknown setting;{_suggestion(model, place)}"
    if kind == "missing":
        return f"{where}: {name}: missing; add it"
    if kind == "union_tag_invalid":
        tag, known = fault["ctx"]["tag"], SOURCE_KINDS
        inner = layers.origin((*place, "kind"))
        listed = ", ".join(known)
        return f"{inner}: {name}.kind: '{tag}' is none of {listed};{did_you_mean(tag, known)}"
    if kind == "union_tag_not_found":
        return f"{where}: {name}.kind: missing; choose one of {', '.join(SOURCE_KINDS)}"
    if kind not in _PYDANTICS_OWN and not message.startswith("should "):
        # the message already names the setting and the remedy
        prefix = ".".join(place[:-1] if place and place[-1] == kind else place)
        own = message if not prefix else f"{prefix}.{message}"
        culprit = layers.origin((*place, *message.split(":")[0].split(".")))
        return f"{file if culprit == DEFAULT else culprit}: {own}"
    if kind == "too_short":
        return (
            f"{where}: {name}: {found!r} should have at least {fault['ctx']['min_length']} entries"
        )
    wanted = _PLAIN_WORDS.get(kind, message.replace("Input should", "should"))
    return f"{where}: {name}: {found!r} {wanted}"


_PLAIN_WORDS = {
    "model_type": "should be a section of settings",
    "model_attributes_type": "should be a section of settings",
    "bool_type": "should be true or false",
    "tuple_type": "should be a list, such as [one, two]",
    "dict_type": "should be a section of settings; write {} for none",
    "too_long": "should be one alone",
    "string_pattern_mismatch": "does not look right: a SHA-256 has 64 hexadecimal digits, an "
    "address begins with http:// or https://",
}

_PYDANTICS_OWN = frozenset(get_args(ErrorType))


def _place(values: Any, location: tuple[Any, ...]) -> Place:
    """Pydantic's location without the tags of unions, which nobody wrote."""
    place: list[str] = []
    node = values
    for index, step in enumerate(location):
        last = index == len(location) - 1
        tag = isinstance(node, dict) and node.get("kind") == step and step not in node
        if tag and not last:
            continue
        place.append(str(step))
        node = node.get(step) if isinstance(node, dict) else None
    return tuple(place)


def _suggestion(model: type[Settings], place: Place) -> str:
    *sections, unknown = place
    here = _known_settings(model, tuple(sections))
    anywhere = {name: path for path, name in reversed(list(_all_settings(model, ())))}
    if close := did_you_mean(unknown, here):
        return close
    target = PEER_NAMES.get(unknown, unknown)
    if target in here:
        return f" did you mean `{target}`?"
    if target in anywhere:
        return f" did you mean `{anywhere[target]}`?"
    return f" known here are {', '.join(here)}"


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A question that names the known word most like `word`; nothing if none is."""
    word = PEER_NAMES.get(word, word)
    close = get_close_matches(word, known, n=1)
    return f" did you mean `{close[0]}`?" if close else ""


def _all_settings(model: type[BaseModel], path: Place) -> Iterator[tuple[str, str]]:
    for name, info in model.model_fields.items():
        yield ".".join((*path, name)), name
        for inner in models_of(info.annotation):
            yield from _all_settings(inner, (*path, name))


def _known_settings(model: type[Settings], sections: Place) -> list[str]:
    models = [model]
    for section in sections:
        infos = [m.model_fields[section] for m in models if section in m.model_fields]
        models = [inner for info in infos for inner in models_of(info.annotation)]
    return sorted({name for m in models for name in m.model_fields})
