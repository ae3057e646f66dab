"""JSON schemas of experiments and ablations, for completion and checks in editors."""

import json
from pathlib import Path
from typing import Any

from variorum import components
from variorum.config import Ablation, Experiment, Settings

FOLDER = "config/schemas"


def schema(model: type[Settings]) -> dict[str, Any]:
    """The schema of one kind of configuration file."""
    generated = model.model_json_schema()
    for section in (generated, *generated.get("$defs", {}).values()):
        for entry in section.get("properties", {}).values():
            if "component" in entry and "const" not in entry:
                entry["enum"] = list(components.options(entry["component"]))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **generated}


def texts() -> dict[str, str]:
    """Every schema file by its path in the project."""
    models: dict[str, type[Settings]] = {"experiment": Experiment, "ablation": Ablation}
    return {
        f"{FOLDER}/{name}.schema.json": json.dumps(schema(model), indent=2) + "\n"
        for name, model in models.items()
    }


def write(root: Path) -> list[str]:
    """Write the schema files; returns their paths."""
    for name, text in texts().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts())
