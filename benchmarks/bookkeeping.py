"""What keys, manifests and engines cost beside the work itself.

    python benchmarks/bookkeeping.py                  # planning, storing, tracking: a minute
    python benchmarks/bookkeeping.py --share          # publishing's share of the default run
    python benchmarks/bookkeeping.py --cores          # --cores 4 beside --cores 2

The first makes a copy of the project with an ablation of many runs whose results are there
(published by the store, with small made-up files instead of models) and times what a user waits
for, and planning by its parts. The second runs the default experiment and publishes its results
once more. The third runs an ablation of four short trainings with both numbers of cores in turn.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.experiment import Plan, plan_experiment
from variorum.plan.loading import load_experiment
from variorum.run.publish import TABLE_FILES
from variorum.store.store import Store

ROOT = Path(__file__).parents[1]
PARTS = ("workflow", "profiles", "config", "src", "Snakefile", "dvc.yaml", "requirements.lock")
MODEL_BYTES = 20_000
REPORT = "results/finetune/report.html"
TABLE = "reports/many/table.md"


def many(runs: int) -> str:
    """An ablation of ten variants."""
    rates = [round(1e-3 * (1 + n / 10), 5) for n in range(10)]
    variants = "\n".join(f"  rate-{r}: {{pretrain: {{learning_rate: {r}}}}}" for r in rates)
    return f"""title: Many
question: What does bookkeeping cost?
experiment: tiny
baseline: rate-{rates[0]}
seeds: {list(range(1, runs // 10 + 1))}
variants:
{variants}
"""


def copy_of_the_project(folder: Path) -> None:
    """A git and DVC repository like this one, without results."""
    for name in PARTS:
        source, target = ROOT / name, folder / name
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(source, target, ignore=ignore) if source.is_dir() else shutil.copy(
            source, target
        )
    for name in (".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    (folder / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc/config")
    for command in (
        ("init", "--quiet"),
        ("config", "user.name", "Benchmark"),
        ("config", "user.email", "benchmark@example.org"),
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)


def publish(root: Path, plan: Plan) -> None:
    """Put a result in the place of every node, without doing its work."""
    store = Store(root)
    for node in plan:
        output = store.scratch(node.ref) / "output"
        output.mkdir(parents=True, exist_ok=True)
        for name in ("metrics.json", "report.html", *TABLE_FILES):
            (output / name).write_text(f'{{"key": "{node.ref}"}}', encoding="utf-8")
        (output / "curves.csv").write_text("step\n", encoding="utf-8")
        (output / "model.safetensors").write_bytes(os.urandom(MODEL_BYTES))
        inputs = {name: store.open(needed.ref) for name, needed in node.upstream.items()}
        run = {"label": node.label, "seconds": 1.0, "begun": "2026-01-01T00:00:00+00:00"}
        store.publish(node.spec, output, inputs, {"run.json": run, "code.json": node.code.sources})


class Cost(NamedTuple):
    """Seconds on the clock, and of processors, child processes included."""

    elapsed: float
    processor: float


def cost(action: Callable[[], object], repeats: int = 3) -> Cost:
    """Return the medians of an action's costs."""
    taken = []
    for _ in range(repeats):
        before = _now()
        action()
        taken.append([end - begin for begin, end in zip(before, _now(), strict=True)])
    return Cost(*map(statistics.median, zip(*taken, strict=True)))


def _now() -> Cost:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Cost(time.perf_counter(), sum(each.ru_utime + each.ru_stime for each in used))


def command(root: Path, *words: str) -> Callable[[], object]:
    """A command run in the copy."""
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": scripts, "PYTHONPATH": str(root / "src")}

    def run() -> None:
        done = subprocess.run(
            words, cwd=root, env=environment, capture_output=True, text=True, check=False
        )
        assert not done.returncode, done.stdout + done.stderr

    return run


def many_runs(folder: Path, runs: int) -> None:
    """Time the bookkeeping of the default experiment and of an ablation of so many runs."""
    (folder / "config/ablations/many.yaml").write_text(many(runs), encoding="utf-8")

    def timed(name: str, action: Callable[[], object], note: str = "", repeats: int = 3) -> None:
        found = cost(action, repeats)
        print(f"{name:<40} {found.elapsed:8.2f} s {found.processor:8.2f} s CPU  {note}", flush=True)

    dry = ("snakemake", "-n", "--cores", "2")
    empty = folder / "scratch/empty"
    empty.mkdir(parents=True)
    (empty / "Snakefile").write_text('rule:\n    output: "x"\n', encoding="utf-8")
    experiment = load_experiment(folder)
    timed("snakemake -n of a workflow of one rule", command(empty, *dry), repeats=5)
    timed("settings of the default experiment", lambda: load_experiment(folder), "in process")
    timed("its plan, sources parsed before", lambda: plan_experiment(experiment, folder))
    timed("snakemake -n, nothing made", command(folder, *dry, REPORT), repeats=5)
    publish(folder, plan_experiment(experiment, folder))
    timed("snakemake -n, page missing", command(folder, *dry, REPORT))
    command(folder, "snakemake", "--cores", "2", REPORT)()
    timed("snakemake -n, everything made", command(folder, *dry, REPORT))

    ablation = load_ablation(folder, "many")
    plan = plan_ablation(ablation, folder)
    print(f"\nan ablation of {runs:,} runs, {len(plan.nodes):,} results")
    timed("its settings", lambda: load_ablation(folder, "many"), "in process")
    timed("its plan", lambda: plan_ablation(ablation, folder), "in process")
    timed("snakemake -n, nothing made", command(folder, *dry, TABLE), repeats=1)
    timed("publishing all results", lambda: publish(folder, plan), "made-up files", repeats=1)
    store = Store(folder)
    timed("opening all results", lambda: [store.open(node.ref) for node in plan], "in process")
    timed("variorum track: all results", command(folder, "variorum", "track"), repeats=1)
    timed("variorum track: nothing new", command(folder, "variorum", "track"))
    timed(
        "snakemake, page put in place", command(folder, "snakemake", "--cores", "2", TABLE), "", 1
    )
    timed("snakemake -n, everything made", command(folder, *dry, TABLE))
    timed("dvc status", command(folder, "dvc", "status"))


def share_of_a_run(folder: Path) -> None:
    """Run the default experiment; publish its results again, elsewhere, and compare the times."""
    begun = time.perf_counter()
    command(folder, "snakemake", "--cores", "2", REPORT)()
    whole = time.perf_counter() - begun
    made, again = Store(folder), Store(folder / "again")
    worked = published = 0.0
    for node in plan_experiment(load_experiment(folder), folder):
        result = made.open(node.ref)
        worked += result.run["seconds"]
        output = again.scratch(node.ref) / "output"
        shutil.copytree(result.folder, output, ignore=shutil.ignore_patterns("*manifest.json"))
        inputs = {name: again.open(needed.ref) for name, needed in node.upstream.items()}
        varying = {"run.json": result.run, "code.json": result.code}
        published += cost(partial(again.publish, node.spec, output, inputs, varying), 1).elapsed
    print(f"the run {whole:.1f} s, its stages' work {worked:.1f} s, publishing {published:.2f} s")
    print(f"share of publishing (hashing, syncing, renaming): {published / whole:.2%}")


def cores(folder: Path) -> None:
    """Time an ablation of four trainings with --cores 2 and 4, in turn."""
    target = "reports/many/table.md"
    text = many(20).split("variants:")[0]
    text += "variants: {rate-0.001: {}, other: {pretrain: {learning_rate: 2.0e-3}}}\n"
    (folder / "config/ablations/many.yaml").write_text(text, encoding="utf-8")
    command(folder, "snakemake", "--cores", "2", "--config", "experiment=tiny", "--", "encode")()
    taken: dict[str, list[float]] = {"2": [], "4": []}
    for _ in range(3):
        for number, times in taken.items():
            for stage in ("pretrain", "evaluate", "table"):
                shutil.rmtree(folder / "results" / stage, ignore_errors=True)
            times.append(cost(command(folder, "snakemake", "--cores", number, target), 1).elapsed)
    medians = {number: statistics.median(times) for number, times in taken.items()}
    print(f"--cores 2: {medians['2']:.1f} s, --cores 4: {medians['4']:.1f} s (medians of 3)")
    print(f"ratio {medians['4'] / medians['2']:.2f} on {len(os.sched_getaffinity(0))} cores")


def main(
    runs: int = 1000,
    share: Annotated[bool, typer.Option("--share")] = False,
    cores_: Annotated[bool, typer.Option("--cores")] = False,
) -> None:
    """Measure one of the three, in a copy of the project."""
    with tempfile.TemporaryDirectory(prefix="bookkeeping-") as name:
        folder = Path(name)
        copy_of_the_project(folder)
        if share:
            share_of_a_run(folder)
        elif cores_:
            cores(folder)
        else:
            many_runs(folder, runs)


if __name__ == "__main__":
    typer.run(main)
