"""Read layers of raw settings from files and merge them, with each setting's line."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from variorum.config.setting_errors import ConfigError, did_you_mean
from variorum.config.yaml_text import NO_VALUES, parsed, plain

Place = tuple[str, ...]

DEFAULT = "default"


@dataclass(frozen=True)
class Layered:
    """Hold merged raw settings, with the place where each was written."""

    values: dict[str, Any]
    origins: dict[Place, str]

    def origin(self, place: Place) -> str:
        """Return where the setting at `place`, or its section, was written."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.origins:
                return self.origins[place[:length]]
        return DEFAULT


NOWHERE = Layered({}, {})


def names_in(root: Path, folder: str) -> list[str]:
    """Return the names of all files of settings below a folder of `config/`, sorted.

    In a folder of its own a file is called `group/name`. Hidden files and folders are left out.
    """
    base = root / "config" / folder
    names = (path.relative_to(base).with_suffix("").as_posix() for path in base.rglob("*.yaml"))
    return sorted(name for name in names if not f"/{name}".count("/."))


def file_of(root: Path, folder: str, name: str) -> str:
    """Return the file of that name in a folder of `config/`.

    Raises `ConfigError` if there is none, or if `names_in` gives it another name: what one command
    runs, all others must find.
    """
    file, known = f"config/{folder}/{name}.yaml", names_in(root, folder)
    if name not in known:
        found = "that is no name of it" if (root / file).is_file() else "there is no such file"
        raise ConfigError(
            f"{file}: {found};{did_you_mean(name, known)} known are {', '.join(known) or 'none'}"
        )
    return file


def read_layers(root: Path, file: str) -> Layered:
    """Read a file of settings, with the line of each; raises `ConfigError`."""
    try:
        values = parsed((root / file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: there is no such file; run this inside a clone of the project"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = " ".join(str(error.problem).split())
        raise ConfigError(f"{file}:{line}: not valid YAML: {problem}; fix that line") from None
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
    return Layered(plain(values), origins)


def _note_lines(node: CommentedMap, place: Place, file: str, origins: dict[Place, str]) -> None:
    for name, value in node.items():
        here = (*place, str(name))
        line = node.lc.data[name][0] + 1 if name in (node.lc.data or {}) else node.lc.line + 1
        origins[here] = f"{file}:{line}"
        if isinstance(value, CommentedMap):
            _note_lines(value, here, file, origins)


def written_at(values: dict[str, Any], origin: Callable[[Place], str]) -> Layered:
    """Return given raw settings as a layer; `origin` says where each was given."""
    origins: dict[Place, str] = {}

    def note(node: Mapping[str, Any], place: Place) -> None:
        for name, value in node.items():
            origins[*place, str(name)] = origin((*place, str(name)))
            if isinstance(value, Mapping):
                note(value, (*place, str(name)))

    note(values, ())
    return Layered(plain(values), origins)


def without(layer: Layered, name: str) -> Layered:
    """Return the layer without one of its sections."""
    values = {key: value for key, value in layer.values.items() if key != name}
    return Layered(values, {place: at for place, at in layer.origins.items() if place[0] != name})


def merged(below: Layered, above: Layered) -> Layered:
    """Merge two layers: `above` wins, and replaces a section whose `kind` changes."""
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


def leaves(settings: Mapping[str, Any], place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yield every setting in plain data that is no section, by its place."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*place, name))
        else:
            yield (*place, name), value
