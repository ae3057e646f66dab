"""Write JSON schemas of configuration files, for completion and checks in editors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from variorum.base import components
from variorum.config.types import Settings

FOLDER = "config/schemas"


def schema(model: type[Settings]) -> dict[str, Any]:
    """Return the schema of one kind of configuration file."""
    generated = model.model_json_schema()
    for section in (generated, *generated.get("$defs", {}).values()):
        for entry in section.get("properties", {}).values():
            if "component" in entry and "const" not in entry:
                entry["enum"] = list(components.options(entry["component"]))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **generated}


def texts(models: Mapping[str, type[Settings]]) -> dict[str, str]:
    """Return the text of every schema file by its path in the project."""
    return {
        f"{FOLDER}/{name}.schema.json": json.dumps(schema(model), indent=2) + "\n"
        for name, model in models.items()
    }


def write(root: Path, models: Mapping[str, type[Settings]]) -> list[str]:
    """Write the schema files; return their paths."""
    found = texts(models)
    for name, text in found.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(found)
