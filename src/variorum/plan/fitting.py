"""Check whether a code version can run what is planned: a script that it runs.

`code_versions` starts it with that version on the path, before anything of it runs. So it imports
by name only what every version has. It reads specs, as JSON, and prints for each the fingerprint of
the code that would run, or what is wrong with it.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from variorum.config.canonical import restored
from variorum.identity.spec import Spec
from variorum.plan.current_code import current_code
from variorum.stages.registry import STAGES


def fit(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the `code` that would run for a spec here, or a `fault`."""
    spec = Spec.from_data(data)
    if spec.stage not in STAGES:
        return {"fault": "it has no such stage"}
    try:
        restored(STAGES[spec.stage].settings, dict(spec.settings))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        unknown = first["type"] == "extra_forbidden"
        return {"fault": f"it knows no setting {name}" if unknown else f"{name}: {first['msg']}"}
    code = current_code(spec)
    return {"code": code.digest} if code else {"fault": "it reads the settings in another way"}


if __name__ == "__main__":
    print(json.dumps([fit(data) for data in json.load(sys.stdin)]))
