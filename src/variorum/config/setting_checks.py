"""Check settings; report each fault in one line with file, setting and remedy."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core.core_schema import ErrorType

from variorum.config.canonical import models_of
from variorum.config.setting_errors import PEER_NAMES, ConfigError, did_you_mean, shown
from variorum.config.setting_layers import DEFAULT, Layered, Place
from variorum.config.types import AnySettings, Settings


def check(model: type[AnySettings], values: Mapping[str, Any], section: str) -> AnySettings:
    """Check settings that were given by hand; raises `ConfigError`."""
    return validated(model, Layered(dict(values), {}), section)


def validated(model: type[AnySettings], layers: Layered, file: str) -> AnySettings:
    """Check the settings of `file`; raises `ConfigError`, one line a fault."""
    try:
        return model.model_validate(layers.values)
    except ValidationError as error:
        faults = error.errors()
        lines = [_line(model, layers, file, f) for f in faults if not _is_echo(f, faults)]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from None


def _is_echo(fault: Any, faults: Sequence[Any]) -> bool:
    """Check whether a list is too short only because entries were refused."""
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
        tag, known = fault["ctx"]["tag"], _kinds_at(model, place)
        inner = layers.origin((*place, "kind"))
        listed = ", ".join(known)
        near = did_you_mean(tag, known) or " choose one of them"
        return f"{inner}: {name}.kind: '{tag}' is none of {listed};{near}"
    if kind == "union_tag_not_found":
        return f"{where}: {name}.kind: missing; choose one of {', '.join(_kinds_at(model, place))}"
    if kind not in _PYDANTICS_OWN and not message.startswith("should "):
        # the message already names the setting and the remedy
        prefix = ".".join(place[:-1] if place and place[-1] == kind else place)
        own = message if not prefix else f"{prefix}.{message}"
        culprit = layers.origin((*place, *message.split(":")[0].split(".")))
        return f"{file if culprit == DEFAULT else culprit}: {own}"
    if kind == "too_short":
        least = fault["ctx"]["min_length"]
        return f"{where}: {name}: {shown(found)} should have at least {least} entries"
    wanted = _PLAIN_WORDS.get(kind, message.replace("Input should", "should"))
    return f"{where}: {name}: {shown(found)} {wanted}"


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
    """Return pydantic's location without the tags of unions, which nobody wrote."""
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


def _all_settings(model: type[BaseModel], path: Place) -> Iterator[tuple[str, str]]:
    for name, info in model.model_fields.items():
        yield ".".join((*path, name)), name
        for inner in models_of(info.annotation):
            yield from _all_settings(inner, (*path, name))


def _known_settings(model: type[Settings], sections: Place) -> list[str]:
    return sorted({name for m in models_at(model, sections) for name in m.model_fields})


def _kinds_at(model: type[Settings], sections: Place) -> list[str]:
    """Return the kinds that a section may be of."""
    return [str(m.model_fields["kind"].default) for m in models_at(model, sections)]


def models_at(model: type[Settings], sections: Place) -> list[type[Settings]]:
    """Return the settings models that a section may have."""
    models = [model]
    for section in sections:
        infos = [m.model_fields[section] for m in models if section in m.model_fields]
        models = [inner for info in infos for inner in models_of(info.annotation)]
    return models
