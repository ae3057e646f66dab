"""Define what a stage is handed: settings, opened upstreams, places to work in.

A stage never sees the experiment, so nothing can reach a result that its spec does not hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from variorum.base.machine import Device, Machine, computing_on, use_deterministic_kernels
from variorum.base.progress import Progress
from variorum.config.canonical import canonical, restored
from variorum.config.types import AnySettings
from variorum.identity.spec import Spec
from variorum.store.result import Result


@dataclass(frozen=True)
class Task:
    """Hold one stage about to run.

    root: the project's folder; only sources of text look at it.
    output: the folder whose files become the result.
    scratch: a folder that survives a kill, for state to resume from.
    run: facts for `run.json`, such as speed, that may differ each time.
    """

    spec: Spec
    inputs: Mapping[str, Result]
    root: Path
    output: Path
    scratch: Path
    machine: Machine
    progress: Progress
    run: dict[str, object] = field(default_factory=dict)

    def use_device(self) -> Device:
        """Choose where models compute here; say so, and note it for `run.json`.

        Raises:
            VariorumError: if it is asked for and not here.
        """
        device = self.machine.device
        self.progress.say(f"computes {computing_on(device)}")
        use_deterministic_kernels(device)
        self.run["device"] = device
        return device

    def settings(self, model: type[AnySettings]) -> AnySettings:
        """Return the stage's settings, typed: just what the key stands on."""
        settings = restored(model, dict(self.spec.settings))
        assert canonical(settings) == self.spec.settings, f"{model.__name__} is not its spec"
        return settings
