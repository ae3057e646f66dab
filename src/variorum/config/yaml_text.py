"""Read values that people typed in YAML, and write values in YAML."""

import json
import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from variorum.config.setting_errors import ConfigError

YAML_1_1_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
"""Texts that Snakemake's YAML would read as something else."""

NO_VALUES = (ValueError, LookupError, RecursionError)
"""Errors of ruamel.yaml for the 45th of a month, for `!!int a`, for endless brackets."""


def read_value(value: str, said: str) -> Any:
    """Read a value that somebody typed in YAML; `said` is shown in the message.

    Raises `ConfigError`.
    """
    try:
        return YAML(typ="safe").load(value)
    except (YAMLError, *NO_VALUES):
        raise ConfigError(f"{said}: the value is not valid YAML; put text in quotes") from None


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
