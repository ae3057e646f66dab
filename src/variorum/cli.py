"""The `variorum` command: thin; everything it does can be called from Python."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from variorum import machine
from variorum.errors import Stopped, VariorumError, clear_about_storage
from variorum.project import find_project

if TYPE_CHECKING:
    from variorum.library import Opened

app = typer.Typer(
    help="From raw text to a small GPT and its report, every result keyed by what made it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

models = typer.Typer(
    help="Look into a model, or hand it on.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(models, name="model")

INTERRUPTED = 128 + signal.SIGINT
"""Exit status of what was asked to stop, as shells give it."""

STOPPING = (signal.SIGINT, signal.SIGTERM)
SECONDS_TO_CLEAR = 10
"""How long a command may take to clear away what it began, once it is asked to stop."""

STOPPED = "stopped; nothing was lost, and the same command goes on"

REFERENCE = (
    "nothing (the current experiment), a stage, an experiment, an ablation, a variant of one "
    "(`positions/rotary`) or a run (`positions/rotary/1`), a kept result (`before/1`), the "
    "beginning of a key, or a path."
)


Changes = Annotated[
    list[str] | None,
    typer.Option(help="A setting of the current experiment, as after snakemake's --config."),
]
Device = Annotated[
    machine.Device,
    typer.Option(envvar="VARIORUM_DEVICE", help="Where models compute: a GPU is used if named."),
]


def main() -> None:
    """Entry point: what a user can mend is one line on stderr and exit status 1."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a stray byte is no reason to stop
    try:
        with clear_about_storage():
            app()
    except VariorumError as error:
        for line in str(error).splitlines():
            print(f"variorum: {line}", file=sys.stderr)
        sys.exit(INTERRUPTED if isinstance(error, Stopped) else 1)


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
    device: Device = "cpu",
    log: Annotated[Path | None, typer.Option(help="Also write progress lines here.")] = None,
) -> None:
    """Make one planned result. Snakemake calls this; a killed one goes on where it was."""
    _leave_at_once_on_signals(log)
    began = time.monotonic()
    machine.use_one_thread()
    from variorum import runner
    from variorum.machine import Machine
    from variorum.store import Ref, Store

    here = Machine(processes, checkpoint_seconds, device=device, began=began)
    store, ref = Store(find_project()), Ref.parse(result)
    runner.give_way(store, ref)
    runner.run(store, ref, here, log)


def _leave_at_once_on_signals(log: Path | None, signals: Iterable[int] = STOPPING) -> None:
    """End on Ctrl-C and SIGTERM with one line; a training has a gentler way while it takes steps.

    A stage may be killed anywhere, so no exception has to make its way out of foreign code, some
    of which takes it for an error of its own.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        os.write(sys.stderr.fileno(), f"variorum: {STOPPED}\n".encode())
        if log is not None and log.is_file():
            with suppress(OSError), log.open("a", encoding="utf-8") as file:
                file.write(f"{STOPPED}\n")
        os._exit(INTERRUPTED)

    for number in signals:
        signal.signal(number, leave)


def _interrupt_on_signals() -> None:
    """Raise `KeyboardInterrupt` on Ctrl-C and SIGTERM; end soon, should it come to nothing.

    For what has processes and folders of its own to clear away.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in STOPPING:
            signal.signal(each, signal.SIG_IGN)
        _leave_at_once_on_signals(None, [signal.SIGALRM])
        signal.alarm(SECONDS_TO_CLEAR)
        raise KeyboardInterrupt

    for number in STOPPING:
        signal.signal(number, interrupt)


@app.command()
def config(
    changes: Annotated[
        list[str] | None,
        typer.Argument(help="As after snakemake's --config: experiment=tiny 'model={n_layer: 2}'."),
    ] = None,
) -> None:
    """Print the settings that count, where each was written, and the keys they lead to."""
    from variorum.config.yaml_text import in_yaml
    from variorum.experiments import load_experiment, provenance
    from variorum.plan import plan_experiment
    from variorum.store import Store

    root = find_project()
    loaded = load_experiment(root, _overrides(changes or []))
    width = max(len(name) for name, _, _ in provenance(loaded))
    print(f"experiment {loaded.name}")
    for name, value, origin in provenance(loaded):
        print(f"  {name:<{width}} = {in_yaml(value):<24} # {origin}")
    store = Store(root)
    print("results")
    for node in plan_experiment(loaded, root, offline=True):
        state = "complete" if store.exists(node.ref) else "missing"
        print(f"  {node.ref!s:<24} {state:<9} {node.label}")


@app.command()
def plan(
    target: Annotated[
        str | None,
        typer.Argument(help=f"What Snakemake takes, as reports/positions/table.md, or {REFERENCE}"),
    ] = None,
    config: Changes = None,
    cores: Annotated[
        int | None, typer.Option("--cores", "-c", min=1, help="As Snakemake's; else all.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", "-v", help="Also list each result that is missing.")
    ] = False,
    device: Device = "cpu",
) -> None:
    """Tell what a run would make, how long that takes here, and how much disk it needs."""
    machine.use_one_thread()
    from variorum.forecasts.workload import lines, workload

    changes = _overrides(config or [])
    found = workload(find_project(), target, changes, cores=cores, device=device)
    for line in lines(found, listed=everything):
        print(line)


@app.command()
def ls(
    stage: Annotated[str | None, typer.Argument(help="Only this stage.")] = None,
    unneeded: Annotated[bool, typer.Option("--unneeded", help="Only what nobody needs.")] = False,
) -> None:
    """List the results that are here: reference, size, age, time it took, label, who needs it."""
    from variorum.audit.gc import inventory
    from variorum.stages.stage_settings import STAGES

    if stage is not None and stage not in STAGES:
        raise VariorumError(f"{stage}: no such stage; known are {', '.join(STAGES)}")
    rows, doubts = inventory.inventory(find_project(), stage)
    for doubt in doubts:
        print(f"variorum: {doubt}", file=sys.stderr)
    for line in inventory.lines([r for r in rows if not (unneeded and r.names)], time.time()):
        print(line)


@app.command()
def gc(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also remove what DVC has not stored.")
    ] = False,
) -> None:
    """Remove results that no plan, no kept name and no other branch or tag needs."""
    from variorum.audit.gc import removal

    root = find_project()
    chosen = removal.plan(root, force=force)
    for line in chosen.lines(time.time()):
        print(line)
    if not chosen:
        return
    if not yes:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            print("nothing was removed; `variorum gc --yes` removes without asking")
            return
        if not typer.confirm("Remove them?"):
            print("nothing was removed")
            return
        # Somebody may have begun to need them meanwhile.
        chosen = chosen.agreed(removal.plan(root, force=force))
    print(removal.remove(root, chosen).done())


@app.command()
def why(
    result: Annotated[
        str | None,
        typer.Argument(help=f"A result, finished or not: {REFERENCE}"),
    ] = None,
    other: Annotated[
        str | None,
        typer.Argument(help="A second one. Left out, the one that is most naturally asked about."),
    ] = None,
    config: Changes = None,
) -> None:
    """Explain why a result must be made, or how two differ: the setting, code or text behind it."""
    from variorum.audit.explain import why as explanation

    for line in explanation.why(find_project(), result, other, _overrides(config or [])).lines():
        print(line)


@app.command()
def verify(
    results: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"Results, with what they stand on: {REFERENCE} With none, also the pages."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every result that is here.")] = False,
    again: Annotated[
        bool,
        typer.Option("--rerun", help="Make just these again, beside the store, and compare."),
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="Processes of a training made again.")] = 2,
    device: Device = "cpu",
) -> None:
    """Hold results against their manifests, and those against each other up to the sources."""
    machine.use_one_thread()
    from variorum.audit.verify import selection

    chosen = selection.select(find_project(), results or [], everything=everything)
    if again:
        _rerun(chosen, machine.Machine(processes, device=device))
    else:
        _verify(chosen)


def _verify(chosen: Any) -> None:
    from variorum.audit.verify import integrity
    from variorum.progress import Progress

    findings = integrity.verify(chosen, Progress("verify"))
    _say(findings.lines())
    raise typer.Exit(int(bool(findings.damage)))


def _rerun(chosen: Any, here: machine.Machine) -> None:
    from variorum.audit.verify import rerun

    outcomes = []
    for outcome in rerun.rerun_all(chosen, here):
        _say(outcome.lines())
        outcomes.append(outcome)
    _say([rerun.summary(outcomes)])
    raise typer.Exit(int(not all(outcome.passed for outcome in outcomes)))


def _say(lines: Iterable[str]) -> None:
    """Print lines, above a bar if there is one."""
    from tqdm import tqdm

    for line in lines:
        tqdm.write(line)


@app.command()
def sample(
    prompt: Annotated[str, typer.Argument(help="What the text begins with.")] = "",
    model: Annotated[
        str | None, typer.Option("--model", "-m", help=f"A model: {REFERENCE}")
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", "-t", min=0.0, help="0: the likeliest, always.")
    ] = 0.8,
    top_k: Annotated[int | None, typer.Option(min=1, help="Only so many tokens.")] = None,
    top_p: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Only the likeliest with this probability.")
    ] = 0.95,
    min_p: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Only with this share of the likeliest's.")
    ] = 0.0,
    repetition_penalty: Annotated[
        float, typer.Option(min=1.0, help="Above 1: what stood there lately is less likely.")
    ] = 1.0,
    repetition_window: Annotated[
        int, typer.Option(min=1, help="How many tokens back that looks.")
    ] = 64,
    stop: Annotated[
        list[str] | None, typer.Option(help="The text ends before this; may be given again.")
    ] = None,
    valid_utf8: Annotated[
        bool,
        typer.Option("--valid-utf8/--any-bytes", help="Draw whole characters only, or any bytes."),
    ] = True,
    tokens: Annotated[int, typer.Option("--tokens", "-n", min=1)] = 200,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    greedy: Annotated[bool, typer.Option("--greedy", help="As --temperature 0.")] = False,
    cache: Annotated[bool, typer.Option(help="Keep keys and values of earlier tokens.")] = True,
    device: Device = "cpu",
    interactive: Annotated[
        bool,
        typer.Option("--interactive", "-i", help="Ask for prompts and settings; /help explains."),
    ] = False,
) -> None:
    """Let a model write; the text appears as it is drawn."""
    machine.use_one_thread()
    from variorum import library
    from variorum.config.evaluation_settings import SamplingSettings
    from variorum.config.validation import check

    chosen = {
        "temperature": 0.0 if greedy else temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "repetition_window": repetition_window,
        "stop": stop or [],
        "valid_utf8": valid_utf8,
        "max_tokens": tokens,
        "seed": seed,
    }
    settings = check(SamplingSettings, chosen, library.SAMPLING)
    opened = library.open(model, root=find_project(), device=device)
    _write_or_converse(opened, settings, prompt, use_cache=cache, interactive=interactive)


def _write_or_converse(
    opened: "Opened", settings: Any, prompt: str, *, use_cache: bool, interactive: bool
) -> None:
    from variorum import conversation

    print(f"{opened.ref}: {opened.parameters:,} parameters", file=sys.stderr)
    _tell_edited(opened, "it writes by the code that is here")
    if interactive:
        conversation.Conversation(opened, settings, use_cache=use_cache).run(prompt)
    else:
        conversation.write(opened, prompt, settings, use_cache=use_cache)


@models.command()
def describe(
    result: Annotated[
        str | None,
        typer.Argument(
            help="A finished model: a stage, `positions/rotary/1`, the beginning of a key, or a "
            "path. Nothing: that of the current experiment, before it is made."
        ),
    ] = None,
    config: Changes = None,
) -> None:
    """Tell a model's layers, parameters, operations and memory, before or after training."""
    machine.use_one_thread()
    from variorum import described
    from variorum.references import refuse_setting

    if result is not None:
        refuse_setting(result)
    if result is not None and config:
        raise VariorumError(
            f"{result} is finished, and --config changes what is planned; give one of them"
        )
    root = find_project()
    of_plan = described.of_plan(_overrides(config or []), root)
    for line in of_plan if result is None else described.of_result(result, root):
        print(line)


def _tell_edited(opened: "Opened", what: str) -> None:
    """Say that a model was trained by other code of models than is here, if it was."""
    if opened.edited:
        print(f"{opened.edited} was another when it was trained; {what}", file=sys.stderr)


@models.command()
def export(
    result: Annotated[str, typer.Argument(help=REFERENCE.replace("nothing", "`finetune`"))],
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
) -> None:
    """Copy a model and its tokenizer into a folder that transformers and tokenizers load."""
    machine.use_one_thread()
    from variorum import library
    from variorum.model.export import export as write

    opened = library.open(result, root=find_project())
    files = write(opened.folder, folder)
    _tell_edited(opened, "the files do not say so, and whoever loads them computes as usual")
    print(f"{opened.ref}: {len(files)} files in {folder}")


@app.command()
def adopt(
    results: Annotated[
        list[str] | None,
        typer.Argument(
            help="What is planned and missing, with what it is made from and what hangs on it: "
            f"{REFERENCE}"
        ),
    ] = None,
    prove: Annotated[
        bool, typer.Option("--prove", help="Run enough of it again to see that nothing changed.")
    ] = False,
    because: Annotated[
        str | None, typer.Option(help="Adopt without a proof, for this reason, which is shown.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes of a training.")] = 2,
    device: Device = "cpu",
) -> None:
    """Let old results serve the new keys, after an edit of code that should change nothing."""
    if prove == (because is not None):
        raise VariorumError(
            'say either --prove, or on whose word: variorum adopt --because "only names changed"'
        )
    _leave_at_once_on_signals(None)
    machine.use_one_thread()
    from variorum.audit.adopt import adopting
    from variorum.machine import Machine

    _interrupt_on_signals()
    root, here = find_project(), Machine(processes, device=device)
    for line in adopting.adopt(root, results or [], because=because, here=here).lines():
        print(line)


@app.command()
def keep(
    name: Annotated[
        str | None, typer.Argument(help="What to call it. Nothing: show what is kept.")
    ] = None,
    results: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"Models or other results: {REFERENCE} A variant is its model of each seed."
        ),
    ] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Keep it no longer.")] = False,
) -> None:
    """Pin results by a name, against `gc` and for ablations to stand beside (`kept: NAME`)."""
    from variorum import kept
    from variorum.references import References

    root = find_project()
    if drop and (name is None or results):
        raise VariorumError("--drop takes a name alone: variorum keep --drop NAME")
    if drop:
        kept.drop(root, str(name))
    elif name is not None:
        kept.keep(root, name, References(root).to_keep(results or []))
    for line in kept.lines(root):
        print(line)


@app.command()
def compare(
    code: Annotated[
        str, typer.Argument(help="A branch, a tag, a commit, or a patch for the code that is here.")
    ],
    experiment: Annotated[
        str | None, typer.Option(help="What both run. Nothing: the current one.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=2, help="How many seeds: from 1 on. Nothing: 5.")
    ] = None,
    last_stage: Annotated[
        Literal["pretrain", "finetune"] | None,
        typer.Option(help="The model that is judged. Nothing: pretrain."),
    ] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="For Snakemake. Nothing: all.")] = None,
) -> None:
    """Run an experiment by the code that is here and by other code, and tell the difference."""
    from variorum.other_code import comparing

    root = find_project()
    found, was_there = comparing.comparison(root, code, experiment, seeds, last_stage)
    state = (
        "is there, and is used as it is" if was_there else "is new: edit and keep it as you like"
    )
    print(f"{found.file} {state}", flush=True)
    if status := _snakemake(root, "--cores", str(cores or "all"), found.table):
        raise typer.Exit(status)
    for sentence in comparing.findings(root, found):
        print(sentence)
    print(found.table)


def _snakemake(root: Path, *arguments: str) -> int:
    """Run Snakemake to its end; it hears of Ctrl-C by itself, and of SIGTERM from here."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    with subprocess.Popen(command, cwd=root) as process:
        signal.signal(signal.SIGINT, lambda number, frame: None)
        signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
        return process.wait()


@app.command()
def place(
    result: Annotated[str, typer.Argument(help="A table or a report, such as `table/key`.")],
    folder: Annotated[
        Path, typer.Argument(help="Where people look for it: a folder below reports/.")
    ],
) -> None:
    """Put a table, or the numbers of a page, where they are committed, with their manifest."""
    from variorum import placing
    from variorum.references import References
    from variorum.store import Store

    root = find_project()
    ref = References(root).named(result).one()
    if ref.stage not in placing.PLACED:
        raise VariorumError(f"{ref}: only {' and '.join(placing.PLACED)} have a place; name one")
    placing.place(Store(root), ref, placing.place_of(root, folder))


@app.command()
def track() -> None:
    """Hand finished results to DVC, all in one go. Snakemake calls this after each run."""
    from variorum.engines import tracking

    tracking.track(find_project())


@app.command()
def lock(
    experiments: Annotated[
        list[str] | None, typer.Argument(help="Only what these experiments use; none: all.")
    ] = None,
    locked: Annotated[
        bool, typer.Option("--locked", help="Only check that nothing lacks an entry.")
    ] = False,
    accept: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Take what this source holds, or how fast this ablation is, now."
        ),
    ] = None,
) -> None:
    """Note what addresses and queries without a checksum hold, and step times of budgets of time.

    They stand in config/sources.lock and config/step_times.lock.
    """
    from variorum import sources
    from variorum.ablations import ablation_names
    from variorum.forecasts import step_times

    root = find_project()
    if locked and accept is not None:
        raise VariorumError("--locked changes nothing, and --accept does; give one of them")
    if accept in ablation_names(root):
        _accept_step_times(root, str(accept))
    elif accept is not None:
        _accept_source(root, accept)
    else:
        names = experiments or []
        if not names:
            new = [] if locked else step_times.resolve(root)
            if count := step_times.check(root):
                print(f"{count} step times locked, {len(new)} of them new")
        added = [] if locked else sources.resolve(root, names)
        print(f"{sources.check(root, names)} sources locked, {len(added)} of them new")


def _accept_source(root: Path, name: str) -> None:
    from variorum import sources

    old, new = sources.accept(name, root)
    print(f"{name}\n  was {old}\n  is  {new}")
    if old == new:
        print(f"{sources.LOCK} stays as it was")
    else:
        print(
            f"{sources.LOCK} changed: commit it. Keys of all that is made from it change; old "
            "results stay, and the old entry leads to them"
        )


def _accept_step_times(root: Path, name: str) -> None:
    from variorum.forecasts import step_times

    for variant, (old, new) in step_times.accept(root, name).items():
        print(f"{variant}\n  was {old} s a step\n  is  {new} s a step")
    print(f"{step_times.LOCK} changed: commit it. Steps and keys of runs change where it does")


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
    from variorum.config import schema as schemas
    from variorum.experiment_settings import CONFIGURATIONS

    for path in schemas.write(find_project(), CONFIGURATIONS):
        print(path)


def _overrides(changes: list[str]) -> dict[str, Any]:
    """`name=value` pairs, values in YAML, as snakemake's --config takes them."""
    from variorum.config.yaml_text import read_value

    overrides: dict[str, Any] = {}
    for change in changes:
        name, sign, value = change.partition("=")
        if not sign:
            raise VariorumError(f"{change}: write NAME=VALUE, such as experiment=tiny")
        if "." in name:
            section, _, inner = name.partition(".")
            raise VariorumError(
                f"{change}: write nested settings in braces, as '{section}={{{inner}: {value}}}'"
            )
        overrides[name] = read_value(value, change)
    return overrides
