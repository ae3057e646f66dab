"""Measure all areas beside their peers, and write `reports/speed/`.

    python benchmarks/bench.py

The folder gets `table.md`, `speeds.csv`, `speed.svg` and `speed.json`: the machine, versions of
both sides, the code's commit, the command, and the SHA-256 of the other files. Peers that are not
are missing are named in the table, and aloud at the end.
"""

import argparse
import csv
import hashlib
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import matplotlib as mpl
from side_by_side import HEAD, Absent, Result, line, results

mpl.use("svg")
from matplotlib import pyplot as plt

from variorum.base import machine
from variorum.base.atomic import replacing
from variorum.base.project import find_project

AREAS = ("training", "generation", "text")
PEERS = ("torch", "transformers", "tokenizers", "tiktoken")
COLUMNS = (
    *("area", "work", "unit", "peer", "rounds"),
    *(f"{side}_{name}" for side in ("ours", "peer", "ratio") for name in ("min", "median", "max")),
    *("must", "aim"),
)

Found = tuple[str, Result | Absent]


def measured(areas: Sequence[str], rounds: int) -> Iterator[Found]:
    """Run the areas' contests; each result appears as soon as it is there."""
    for area in areas:
        module = importlib.import_module(area)
        for result in results(module.contests, rounds):
            yield area, result


def table(found: Sequence[Found]) -> str:
    """The page: what was measured by area, and what was missing."""
    parts = [
        "# Speed",
        "",
        f"On {machine.processor()}, {machine.description()['cores']} cores. Both sides of a row "
        "took turns in one run; speeds are medians, and ratios are taken round by round. A peer's "
        "speed is for the same work.",
    ]
    for area in dict.fromkeys(area for area, _ in found):
        own = [result for name, result in found if name == area]
        rows = [line(result) for result in own if isinstance(result, Result)]
        absent = [f"Missing: {a.peer_name}; {a.advice}." for a in own if isinstance(a, Absent)]
        parts += ["", f"## {area.capitalize()}", "", *([HEAD, *rows] if rows else [])]
        for sentence in dict.fromkeys(absent):
            parts += ["", sentence]
    return "\n".join(parts) + "\n"


def rows_of(found: Sequence[Found]) -> Iterator[dict[str, Any]]:
    """The rows of `speeds.csv`."""
    for area, result in found:
        if isinstance(result, Result):
            spreads = [result.ours, result.peer, result.ratio]
            numbers = [f"{n:.6g}" for s in spreads for n in (s.least, s.median, s.most)]
            contest = result.contest
            fixed = [area, contest.work, contest.unit, contest.peer_name, result.rounds]
            bars = ["" if bar is None else bar for bar in (contest.must, contest.aim)]
            yield dict(zip(COLUMNS, [*fixed, *numbers, *bars], strict=True))


def draw(found: Sequence[Found], path: Path) -> None:
    """Draw each ratio with its spread, and its bars."""
    shown = [result for _, result in found if isinstance(result, Result)]
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.42 * len(shown)), layout="constrained")
    for row, result in enumerate(shown):
        ratio = result.ratio
        axes.plot([ratio.least, ratio.most], [row, row], color="tab:blue", linewidth=3, alpha=0.4)
        axes.plot(ratio.median, row, "o", color="tab:blue")
        for bar, sign in ((result.contest.must, "|"), (result.contest.aim, "d")):
            if bar is not None:
                axes.plot(bar, row, sign, color="black", markersize=9, markerfacecolor="none")
    axes.axvline(1, color="gray", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="x", which="minor", labelsize=7)
    names = [f"{result.contest.work}\nbeside {result.contest.peer_name}" for result in shown]
    axes.set_yticks(range(len(shown)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("speed over the peer's: median and spread; | must, ◇ aim")
    with mpl.rc_context({"svg.hashsalt": "variorum"}):
        figure.savefig(path, metadata={"Date": None})


def versions() -> dict[str, str]:
    """The installed versions of what is compared."""
    found = {}
    for name in PEERS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit(root: Path) -> str:
    """The code's commit, and whether files differ from it."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def write(found: Sequence[Found], folder: Path, command: str) -> None:
    """Write the folder; `speed.json` comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    root = find_project()
    (folder / "table.md").write_text(table(found), encoding="utf-8")
    with (folder / "speeds.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows_of(found))
    draw(found, folder / "speed.svg")
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    about = {
        "command": command,
        "commit": commit(root),
        "processor": machine.processor(),
        "cores": machine.description()["cores"],
        "versions": {**versions(), "python": machine.description()["python"]},
        "files": files,
    }
    with replacing(folder / "speed.json") as new:
        new.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


FILES = ("speed.svg", "speeds.csv", "table.md")


def main() -> None:
    """Measure, print each result at once, and write the folder."""
    parser = argparse.ArgumentParser(description="All areas beside their peers.")
    parser.add_argument("areas", nargs="*", default=AREAS, metavar="AREA", help=", ".join(AREAS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=find_project() / "reports/speed")
    chosen = parser.parse_args()
    if unknown := set(chosen.areas) - set(AREAS):
        parser.error(f"no area is called {', '.join(sorted(unknown))}; give {', '.join(AREAS)}")
    print(HEAD)
    found: list[Found] = []
    for area, result in measured(chosen.areas, chosen.rounds):
        found.append((area, result))
        if isinstance(result, Result):
            print(line(result), flush=True)
    write(found, chosen.output, " ".join(["python benchmarks/bench.py", *sys.argv[1:]]))
    for absent in dict.fromkeys(r for _, r in found if isinstance(r, Absent)):
        print(f"Missing: {absent.peer_name}; {absent.advice}.", file=sys.stderr)
    print(f"Wrote {chosen.output}")


if __name__ == "__main__":
    main()
