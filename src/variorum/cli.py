"""The `variorum` command: thin; everything it does can be called from Python."""

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer

from variorum import machine
from variorum.errors import VariorumError
from variorum.project import find_project

app = typer.Typer(
    help="From raw text to a small GPT and its report, every result keyed by what made it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

REFERENCE = (
    "A result: nothing (the current fine-tuned model), a stage, "
    "`positions/rotary/1`, the beginning of a key, or a path."
)


def main() -> None:
    """Entry point: what a user can mend is one line on stderr and exit status 1."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a stray byte is no reason to stop
    try:
        app()
    except VariorumError as error:
        for line in str(error).splitlines():
            print(f"variorum: {line}", file=sys.stderr)
        sys.exit(1)


@app.command()
def run(
    result: Annotated[str, typer.Argument(help="`stage/key`, as Snakemake planned it.")],
    processes: Annotated[int, typer.Option(min=1, help="Processes of a training.")] = 1,
    checkpoint_seconds: Annotated[
        float,
        typer.Option(
            min=0.0,
            envvar="VARIORUM_CHECKPOINT_SECONDS",
            help="How often a training saves the state that it goes on from.",
        ),
    ] = 20.0,
    log: Annotated[Path | None, typer.Option(help="Also write progress lines here.")] = None,
) -> None:
    """Make one planned result. Snakemake calls this; a killed one goes on where it was."""
    machine.use_one_thread()
    from variorum import runner
    from variorum.machine import Machine
    from variorum.store import Ref, Store

    runner.run(
        Store(find_project()), Ref.parse(result), Machine(processes, checkpoint_seconds), log
    )


@app.command()
def config(
    changes: Annotated[
        list[str] | None,
        typer.Argument(help="As after snakemake's --config: experiment=tiny 'model={n_layer: 2}'."),
    ] = None,
) -> None:
    """Print the settings that count, where each was written, and the keys they lead to."""
    from variorum.experiments import load_experiment, provenance
    from variorum.plan import plan_experiment
    from variorum.store import Store

    root = find_project()
    loaded = load_experiment(root, _overrides(changes or []))
    width = max(len(name) for name, _, _ in provenance(loaded))
    print(f"experiment {loaded.name}")
    for name, value, origin in provenance(loaded):
        print(f"  {name:<{width}} = {value!r:<24} # {origin}")
    store = Store(root)
    print("results")
    for node in plan_experiment(loaded, root, offline=True):
        state = "complete" if store.exists(node.ref) else "missing"
        print(f"  {node.ref!s:<24} {state:<9} {node.label}")


@app.command()
def ls(
    stage: Annotated[str | None, typer.Argument(help="Only this stage.")] = None,
) -> None:
    """List the results that are here: reference, label, size, time it took."""
    from variorum.config import STAGES
    from variorum.store import Store

    if stage is not None and stage not in STAGES:
        raise VariorumError(f"{stage}: no such stage; known are {', '.join(STAGES)}")
    store = Store(find_project())
    total = 0
    for ref in store.refs(stage):
        try:
            result = store.open(ref)
        except VariorumError as error:
            print(f"{ref!s:<26} damaged: {error}")
            continue
        size = sum(entry["bytes"] for entry in result.manifest["files"].values())
        total += size
        run = result.run
        seconds = f"{run['seconds']:.1f} s" if "seconds" in run else ""
        print(f"{ref!s:<26} {size / 1e6:9.2f} MB {seconds:>9}  {run.get('label', '')}")
    print(f"{total / 1e6:.1f} MB in all")


@app.command()
def sample(
    prompt: Annotated[str, typer.Argument(help="What the text begins with.")] = "",
    model: Annotated[str | None, typer.Option("--model", "-m", help=REFERENCE)] = None,
    temperature: Annotated[float, typer.Option("--temperature", "-t", min=0.0)] = 0.8,
    top_k: Annotated[int | None, typer.Option(min=1)] = None,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0)] = 0.95,
    tokens: Annotated[int, typer.Option("--tokens", "-n", min=1)] = 200,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    greedy: Annotated[bool, typer.Option("--greedy", help="The likeliest token, always.")] = False,
    cache: Annotated[bool, typer.Option(help="Keep keys and values of earlier tokens.")] = True,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Ask for prompts until end of input.")
    ] = False,
) -> None:
    """Let a model write; the text appears as it is drawn."""
    machine.use_one_thread()
    from variorum import library
    from variorum.config import SamplingSettings

    settings = library.checked(
        SamplingSettings,
        temperature=0.0 if greedy else temperature,
        top_k=top_k,
        top_p=top_p,
        max_tokens=tokens,
        seed=seed,
    )
    opened = library.open(model, root=find_project())
    print(f"{opened.ref}: {opened.parameters:,} parameters", file=sys.stderr)
    if not interactive:
        _write(opened, prompt, settings, cache)
        return
    while True:
        try:
            prompt = input("prompt> ")
        except (EOFError, KeyboardInterrupt):
            print()
            return
        try:
            _write(opened, prompt, settings, cache)
        except KeyboardInterrupt:
            print()


def _write(opened: Any, prompt: str, settings: Any, cache: bool) -> None:
    from variorum.evaluation.legible import legible

    print(prompt, end="", flush=True)
    for text in opened.stream(prompt, settings, use_cache=cache):
        # A model may write anything; a terminal must not obey it.
        print(legible(text) if sys.stdout.isatty() else text, end="", flush=True)
    print()


@app.command()
def track() -> None:
    """Hand finished results to DVC, all in one go. Snakemake calls this after each run."""
    from variorum import tracking

    tracking.track(find_project())


@app.command()
def digest(
    package: Annotated[str, typer.Argument(help="An installed package.")],
) -> None:
    """Print a package's version and the SHA-256 that a `python-package` source pins."""
    from importlib.metadata import PackageNotFoundError, version

    from variorum.corpus.sources import python_package

    found = python_package.digest(package)
    try:
        print(f"version: {version(package)}\nsha256: {found}")
    except PackageNotFoundError:
        raise VariorumError(
            f"{package}: no distribution of that name is installed, so there is no version to pin; "
            "choose another package"
        ) from None


@app.command()
def schema() -> None:
    """Write the schemas that editors complete and check the configuration with."""
    from variorum import schemas

    for path in schemas.write(find_project()):
        print(path)


def _overrides(changes: list[str]) -> dict[str, Any]:
    """`name=value` pairs, values in YAML, as snakemake's --config takes them."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    overrides: dict[str, Any] = {}
    for change in changes:
        name, sign, value = change.partition("=")
        if not sign:
            raise VariorumError(f"{change}: write NAME=VALUE, such as experiment=tiny")
        try:
            overrides[name] = YAML(typ="safe").load(value)
        except YAMLError:
            raise VariorumError(f"{change}: the value is not valid YAML") from None
    return overrides
