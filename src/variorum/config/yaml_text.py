"""Read settings in YAML 1.2, and write values.

There is one reader for files and command lines, so that a word means the same wherever it is
written: `0200` is 200, `yes` is text, and no name is given twice. A name is text whatever it looks
like: `2024_05_01:` is no number.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import TaggedScalar
from ruamel.yaml.constructor import ConstructorError, RoundTripConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.tag import Tag

from variorum.config.setting_errors import ConfigError

YAML_1_1_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
"""Texts that Snakemake's YAML would read as something else."""

NO_VALUES = (ValueError, LookupError, RecursionError)
"""Errors of ruamel.yaml for the 45th of a month, for `!!int a`, for endless brackets."""


_PLAIN = "tag:yaml.org,2002:"
_TEXT = f"{_PLAIN}str"
_MERGED = f"{_PLAIN}merge"
_SCALARS = ("str", "int", "float", "bool", "null", "timestamp")


class _Constructor(RoundTripConstructor):
    """Read names as the text that was typed, and refuse other tags than plain data's."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        _refuse_tag(node)
        return super().construct_object(node, deep)

    def construct_mapping(  # type: ignore[override] # as the class above has it
        self, node: Any, maptyp: Any, deep: bool = False
    ) -> Any:
        for name, _ in node.value:
            if name.tag == _MERGED:  # `<<: *other`
                continue
            _refuse_tag(name)
            if isinstance(name, ScalarNode):
                name.ctag = Tag(suffix=_TEXT)
        return super().construct_mapping(node, maptyp, deep)


def _refuse_tag(node: Any) -> None:
    """Raise `ConstructorError` for `!foo`, a set, an ordered mapping, or text in braces."""
    tags = {MappingNode: ("map",), SequenceNode: ("seq",)}.get(type(node), _SCALARS)
    if node.tag not in [f"{_PLAIN}{name}" for name in tags]:
        problem = f"the tag {node.tag} is unknown here"
        raise ConstructorError(None, None, problem, node.start_mark)


@lru_cache(maxsize=64)
def parsed(text: str) -> Any:
    """Return what a YAML text holds, with the lines of names.

    Variants of an ablation read the same files again.
    """
    yaml = YAML(typ="rt")
    yaml.Constructor = _Constructor
    return yaml.load(text)


def plain(value: Any) -> Any:
    """Return parsed YAML as plain data."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, TaggedScalar):  # `!!str 3`; other tags were read or refused
        return str(value.value)
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def read_value(value: str, said: str) -> Any:
    """Read a value that somebody typed in YAML; `said` is shown in the message.

    Raises `ConfigError`.
    """
    try:
        return plain(parsed(value))
    except (YAMLError, *NO_VALUES):
        raise ConfigError(f"{said}: the value is not valid YAML; put text in quotes") from None


def read_typed(words: Iterable[str]) -> dict[str, Any]:
    """Return settings typed as NAME=VALUE, values in YAML, as after Snakemake's `--config`.

    Raises `ConfigError` for a word that is none, and for a name that is given twice.
    """
    settings: dict[str, Any] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            raise ConfigError(f"{word}: write NAME=VALUE, such as experiment=tiny")
        if "." in name:
            section, _, inner = name.partition(".")
            raise ConfigError(
                f"{word}: write nested settings in braces, as '{section}={{{inner}: {value}}}'"
            )
        if name in settings:
            raise ConfigError(f"{word}: {name} is given twice; write all of it once, in braces")
        settings[name] = read_value(value, word)
    return settings


def in_yaml(value: Any) -> str:
    """Return a value in YAML's flow style."""
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
