"""Describe the machine: where and how a stage runs. Nothing here enters a key.

Numbers must not depend on how many cores there are, so a numerical stage computes with one thread
a process (`use_one_thread`), and what may vary is how many processes share the logical shards.
"""

import os
import platform
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from threading import Lock, local
from typing import Any, Literal

from variorum.base.errors import VariorumError

Device = Literal["cpu", "cuda", "mps"]
"""PyTorch's names: processors, NVIDIA's or AMD's GPUs, Apple's GPUs."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

TRAINING_PROCESSES = 2
"""Processes of a training with the usual two shards."""

DISTRIBUTIONS = {"ruamel": "ruamel.yaml"}
"""Libraries whose distribution has another name."""

LIBRARIES = (
    *("torch", "numpy", "pandas", "matplotlib", "seaborn", "safetensors", "ftfy", "scipy"),
    *("jinja2", "markupsafe", "pydantic", "requests", "urllib3"),
    *("arxiv", "lyricsgenius", "datasketch", "pyppmd"),
)
"""Libraries that stages use. Every result records their versions; a test checks this list."""

version = cache(metadata.version)  # files are read to find one


@dataclass(frozen=True)
class Machine:
    """Hold how to run on this machine.

    processes: ranks that share the work of a training, at most one for each logical shard.
    checkpoint_seconds: how often a training saves the state that it can continue from.
    stop_after: a training ends after so many steps, with its state saved; None: at its end.
    device: where models compute. Keys do not hold it; a GPU's bits are another platform's.
    began: start of the process that runs a stage, by `time.monotonic`; None: not noted.
    """

    processes: int = 1
    checkpoint_seconds: float = 20.0
    stop_after: int | None = None
    device: Device = "cpu"
    began: float | None = None


def training_slots(granted: int | None) -> int:
    """Return how many of the cores granted by `--cores` a training takes.

    It takes the same share of the granted cores as of the cores that exist: with `--cores 4` on
    two, a second training beside the first would only slow down both. None: a cluster decides.
    """
    present = len(os.sched_getaffinity(0))
    if granted is None or granted <= present:
        return TRAINING_PROCESSES
    return min(granted, -(-TRAINING_PROCESSES * granted // present))


def gpu() -> tuple[Device, str] | None:
    """Return PyTorch's name of this machine's GPU and its model; None without a GPU."""
    import torch

    if torch.cuda.is_available():
        return "cuda", torch.cuda.get_device_name()
    if torch.backends.mps.is_available():
        return "mps", "Apple's GPU"
    return None


def computing_on(device: Device) -> str:
    """Return a line on the device that a model computes on, and any idle GPU.

    Raises:
        VariorumError: if the device is not here.
    """
    found = gpu()
    if device == "cpu":
        return "on the CPU" + (
            f"; {found[1]} is here too: VARIORUM_DEVICE={found[0]} computes on it" if found else ""
        )
    if found is None or found[0] != device:
        here = f"{found[0]} ({found[1]})" if found else "no GPU that PyTorch can use"
        raise VariorumError(
            f"VARIORUM_DEVICE: {device} was requested, but this machine has {here}; unset it, or "
            "install a build of PyTorch for this GPU (docs/training.md)"
        )
    return f"on {found[1]}"


def use_deterministic_kernels(device: Device) -> None:
    """Make NVIDIA's GPUs add sums in one order; CPU kernels do so anyway."""
    if device == "cuda":
        import torch

        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.set_deterministic_debug_mode("error")


def use_one_thread() -> None:
    """Set the thread variables, before any numerical library is imported."""
    for name in THREAD_VARIABLES:
        os.environ[name] = "1"


class _OneThread:
    """Let PyTorch compute with one thread while a block runs.

    PyTorch's number belongs to a thread, and a thread that has set none takes the one that was set
    last. So a thread that reads 1 beside others' blocks may read theirs, and gets the number from
    before the first of them.
    """

    def __init__(self) -> None:
        self._lock, self._blocks, self._before, self._own = Lock(), 0, 1, local()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        import torch

        if getattr(self._own, "is_inside", False):
            yield
            return
        with self._lock:
            before = torch.get_num_threads()
            if not self._blocks:
                self._before = before
            elif before == 1:
                before = self._before
            self._blocks += 1
            torch.set_num_threads(1)
        self._own.is_inside = True
        try:
            yield
        finally:
            self._own.is_inside = False
            with self._lock:
                self._blocks -= 1
                torch.set_num_threads(before)


computing_with_one_thread = _OneThread()


def host() -> str:
    """Return this machine's name."""
    return platform.node()


def boot() -> str:
    """Return what the kernel is called until it restarts, in containers too; without Linux, ""."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def description() -> dict[str, Any]:
    """Return host, processor and versions, for `run.json`."""
    return {
        "host": host(),
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        **_cpu_capability(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python and of the installed ones among these libraries."""
    found = {name: _version(name) for name in sorted(libraries)}
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, **{name: v for name, v in found.items() if v is not None}}


def processor() -> str:
    """Return the processor's name and vector features, which decide how floats are summed."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    entries = {name.strip(): value.strip() for name, value in facts.items()}
    vector = sorted(f for f in entries.get("flags", "").split() if f.startswith(("avx", "amx")))
    return f"{entries.get('model name', platform.machine())} ({' '.join(vector)})"


def _cpu_capability() -> dict[str, str]:
    """Return which CPU kernels PyTorch uses; empty if the stage did not import it."""
    if "torch" not in sys.modules:
        return {}
    import torch

    return {"cpu_capability": torch.backends.cpu.get_cpu_capability()}


def _version(name: str) -> str | None:
    """Return the version of a library's distribution; None if it is not installed."""
    try:
        return version(DISTRIBUTIONS.get(name, name))
    except metadata.PackageNotFoundError:
        return None
