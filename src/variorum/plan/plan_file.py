"""Write what Snakemake planned into one file, and read it in its jobs.

Jobs plan nothing themselves. `scratch/plans/<hash>.json` holds the spec, the label, the notes and
the code version of each result. Its name is the hash of its content: equal plans are one file, and
a plan that jobs read never changes, whatever is edited meanwhile. Which results are complete is not
part of it, as the store tells that at any moment.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from variorum.base.atomic import write_atomically
from variorum.base.errors import VariorumError
from variorum.base.locks import Presence
from variorum.identity.spec import Ref, Spec
from variorum.plan.experiment import Node

FOLDER = "scratch/plans"

VARIABLE = "VARIORUM_PLAN"
"""The environment variable that leads jobs to the file of their plan."""

DIGITS = 16

AGAIN = "run the same `snakemake` command again, which plans anew"


@dataclass(frozen=True)
class Job:
    """Hold what the process that makes a result is told.

    package: the code version that makes it, where that is not the present code. notes: what goes
    into its `run.json`.
    """

    spec: Spec
    label: str
    package: Path | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, node: Node) -> "Job":
        """Return the job that makes a planned result."""
        return cls(
            node.spec, node.label, node.version.package if node.version else None, node.notes
        )

    def as_data(self, root: Path) -> dict[str, Any]:
        """Return plain data, with paths as seen from the project at `root`."""
        data: dict[str, Any] = {"spec": self.spec.as_data(), "label": self.label}
        if self.package is not None:
            data["package"] = self.package.relative_to(root).as_posix()
        return {**data, "notes": dict(self.notes)} if self.notes else data

    @classmethod
    def from_data(cls, root: Path, data: Mapping[str, Any]) -> "Job":
        """Return the job in such data; raises what broken data raises."""
        package = root / data["package"] if "package" in data else None
        spec = Spec.from_data(data["spec"])
        return cls(spec, str(data["label"]), package, dict(data.get("notes", {})))


def write_plan(root: Path, nodes: Iterable[Node]) -> Path:
    """Write the plan file of these nodes, unless it is there, and return its path."""
    results = {str(node.ref): Job.of(node).as_data(root) for node in nodes}
    content = json.dumps(
        {"results": results}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()
    path = root / FOLDER / f"{hashlib.sha256(content).hexdigest()[:DIGITS]}.json"
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content)
    return path


def hold(path: Path) -> Presence:
    """Hold a plan file, so that `variorum gc` leaves it while this process lives."""
    held = Presence(path)
    held.share()
    return held


class PlanFile:
    """Read a plan file; raises `VariorumError` if it is gone or damaged."""

    def __init__(self, root: Path, path: Path) -> None:
        self._root, self._path = root, path
        try:
            self._results = dict(json.loads(path.read_text(encoding="utf-8"))["results"])
        except FileNotFoundError:
            raise VariorumError(f"the plan {path} is gone; {AGAIN}") from None
        except (ValueError, KeyError, TypeError):
            raise self._damaged from None

    def __contains__(self, ref: Ref) -> bool:
        """Check whether a result is planned here."""
        return str(ref) in self._results

    def job(self, ref: Ref) -> Job:
        """Return the job that makes `ref`; raises `VariorumError` if it is not planned here."""
        if ref not in self:
            raise VariorumError(f"the plan {self._path} has no {ref}; {AGAIN}")
        try:
            job = Job.from_data(self._root, self._results[str(ref)])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._damaged from None
        if job.spec.ref != ref:
            raise self._damaged
        return job

    def refs(self) -> Iterator[Ref]:
        """Yield every result that is planned."""
        yield from map(Ref.parse, self._results)

    @property
    def _damaged(self) -> VariorumError:
        return VariorumError(f"the plan {self._path} is cut off or not a plan; {AGAIN}")


def plan_files(root: Path) -> list[Path]:
    """Return the plan files of a project, sorted."""
    return sorted((root / FOLDER).glob("*.json"))
