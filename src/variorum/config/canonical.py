"""Write settings in the canonical form that keys are computed from, and read it back."""

from collections.abc import Iterator
from typing import Any

from variorum.config.types import AnySettings, Settings, field_metadata


def canonical(settings: Settings) -> dict[str, Any]:
    """Return the settings as plain data, without any at its `omit_when`."""
    result: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        extra = field_metadata(field)
        if "omit_when" in extra and value == extra["omit_when"]:
            continue
        result[name] = _plain(value)
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return canonical(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def chosen_components(settings: Settings) -> list[tuple[str, str]]:
    """Return every (folder, option) that these settings choose, sorted."""
    found: set[tuple[str, str]] = set()
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if folder := field_metadata(field).get("component"):
            found.add((str(folder), value))
        else:
            found.update(*map(chosen_components, _settings_in(value)))
    return sorted(found)


def _settings_in(value: Any) -> Iterator[Settings]:
    if isinstance(value, Settings):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _settings_in(item)


def restored(model: type[AnySettings], data: dict[str, Any]) -> AnySettings:
    """Read settings that `canonical` wrote; an omitted one has its `omit_when`."""
    return model.model_validate(with_omitted(model, data))


def with_omitted(model: type[Settings], data: dict[str, Any]) -> dict[str, Any]:
    """Return canonical settings with the omitted values filled in."""
    filled = dict(data)
    for name, field in model.model_fields.items():
        extra = field_metadata(field)
        if name not in filled and "omit_when" in extra:
            filled[name] = extra["omit_when"]
        if isinstance(filled.get(name), dict) and (inner := models_of(field.annotation)):
            kind = filled[name].get("kind")
            chosen = [m for m in inner if kind in (None, _default_kind(m))] or inner
            filled[name] = with_omitted(chosen[0], filled[name])
    return filled


def _default_kind(model: type[Settings]) -> Any:
    field = model.model_fields.get("kind")
    return field.default if field else None


def models_of(annotation: Any) -> list[type[Settings]]:
    """Return the settings models inside a type such as `A | B | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in models_of(part)]
