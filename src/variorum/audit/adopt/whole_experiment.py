"""Run an experiment except its pages: a script for another version of the package.

`adopt` starts it with the old code on the path and with the new code, each in its own project, so
it imports only what every version has. It prints, as JSON, the result of each part, or why there is
none.
"""

import json
import sys
from pathlib import Path

from variorum.base import machine
from variorum.base.errors import VariorumError
from variorum.base.machine import Machine
from variorum.plan.experiment import plan_experiment
from variorum.plan.loading import named_experiment
from variorum.store.store import Store


def run(root: Path, experiment: str, code: str) -> dict[str, str]:
    """Make what the project plans; return the results by stage and label.

    `code` is shown in progress lines. Raises `VariorumError`.
    """
    machine.use_one_thread()
    from variorum.run import runner

    store, made = Store(root), {}
    plan = plan_experiment(named_experiment(root, experiment), root, offline=True)
    for node in plan:
        if node != plan.last:  # the page shows keys, which are others for other code
            runner.submit(store, node.spec, f"{node.label} by the {code} code")
            runner.run(store, node.ref, Machine())
            made[f"{node.ref.stage} {node.label}"] = str(node.ref)
    return made


if __name__ == "__main__":
    try:
        print(json.dumps(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3])))
    except VariorumError as error:
        print(error)
        sys.exit(1)
