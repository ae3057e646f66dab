"""What `variorum plan` foretells beside what comes: time and disk of the tiny experiment.

    python benchmarks/forecast.py             # four runs, one after the other, on two cores
    python benchmarks/forecast.py --cores 1

In a copy of the project without results the experiment is run, then with another seed, with another
model, and with twice the steps, by which time results of the others are at hand. On a busy machine
all takes longer than was foretold from an empty store; the load is printed with each.
"""

import os
import shlex
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from bookkeeping import REPORT, copy_of_the_project

from variorum.audit.holdings.inventory import size_of
from variorum.config.yaml_text import read_value
from variorum.forecasts.forecast import Forecast, forecast

RUNS: tuple[dict[str, str], ...] = (
    {},
    {"seed": "2"},
    {"model": "{n_layer: 3, n_embd: 48}"},
    {"pretrain": "{max_steps: 400}"},
)
HEAD = ("changed", "missing", "foretold", "took", "ratio", "MB", "came", "load")


def main(cores: Annotated[int, typer.Option(min=1)] = 2) -> None:
    print(_line(*HEAD))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy_of_the_project(root)
        for changes in RUNS:
            print(_compared(root, {"experiment": "tiny", **changes}, cores), flush=True)


def _compared(root: Path, changes: dict[str, str], cores: int) -> str:
    read = {name: read_value(value, name) for name, value in changes.items()}
    told: Forecast = forecast(root, None, read, cores=cores)
    config = [f"{name}={value}" for name, value in changes.items()]
    command = ["snakemake", "--cores", str(cores), "--quiet", "--config", *config, "--", REPORT]
    begun = time.monotonic()
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    took = time.monotonic() - begun
    came = sum(size_of(root / "results" / str(ref)) for ref in told.missing)
    return _line(
        shlex.join(config[1:]) or "nothing here",
        str(len(told.missing)),
        f"{told.seconds:.0f} s",
        f"{took:.0f} s",
        f"{took / told.seconds:.2f}",
        f"{told.n_bytes / 1e6:.1f}",
        f"{came / 1e6:.1f}",
        f"{os.getloadavg()[0]:.1f}",
    )


def _line(first: str, *cells: str) -> str:
    return f"{first:<38}" + "".join(f"{cell:>10}" for cell in cells)


if __name__ == "__main__":
    typer.run(main)
