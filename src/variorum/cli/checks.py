"""Define commands that check results, adopt old ones, and open the last test."""

from typing import Annotated, Any

import typer

from variorum.base import machine
from variorum.base.errors import VariorumError
from variorum.base.project import find_project
from variorum.cli.app import REFERENCE, Device, app, print_lines
from variorum.cli.signals import interrupt_on_signals, leave_at_once_on_signals


@app.command()
def verify(
    results: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"Results, checked with all inputs: {REFERENCE} Without any, also the pages."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Check all results.")] = False,
    again: Annotated[
        bool,
        typer.Option("--rerun", help="Rerun only these, beside the store, and compare."),
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="Processes of a training.")] = 2,
    device: Device = "cpu",
) -> None:
    """Compare results with their manifests, and the manifests with each other."""
    machine.use_one_thread()
    from variorum.audit.verify import selection

    chosen = selection.select(find_project(), results or [], everything=everything)
    if again:
        _rerun(chosen, machine.Machine(processes, device=device))
    else:
        _verify(chosen)


def _verify(chosen: Any) -> None:
    from variorum.audit.verify import integrity
    from variorum.base.progress import Progress

    findings = integrity.verify(chosen, Progress("verify"))
    print_lines(findings.lines())
    raise typer.Exit(int(bool(findings.damage)))


def _rerun(chosen: Any, here: machine.Machine) -> None:
    from variorum.audit.verify import rerun

    outcomes = []
    for outcome in rerun.rerun_all(chosen, here):
        print_lines(outcome.lines())
        outcomes.append(outcome)
    print_lines([rerun.summary(outcomes)])
    raise typer.Exit(int(not all(outcome.passed for outcome in outcomes)))


@app.command()
def adopt(
    results: Annotated[
        list[str] | None,
        typer.Argument(
            help="Planned results that are missing, with their inputs and all made from them: "
            f"{REFERENCE}"
        ),
    ] = None,
    prove: Annotated[
        bool, typer.Option("--prove", help="Rerun enough to prove that nothing changed.")
    ] = False,
    because: Annotated[
        str | None, typer.Option(help="Adopt without proof, for this reason, which is recorded.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes of a training.")] = 2,
    device: Device = "cpu",
) -> None:
    """Let old results serve new keys, after an edit that should change nothing."""
    if prove == (because is not None):
        raise VariorumError(
            'give --prove, or a reason: variorum adopt --because "only names changed"'
        )
    leave_at_once_on_signals(None)
    machine.use_one_thread()
    from variorum.audit.adopt import adopting
    from variorum.base.machine import Machine

    interrupt_on_signals()
    root, here = find_project(), Machine(processes, device=device)
    for line in adopting.adopt(root, results or [], because=because, here=here).lines():
        print(line)


@app.command("last-test")
def last_test(
    opening: Annotated[
        bool, typer.Option("--open", help="Score the models on the texts, once, and record it.")
    ] = False,
    again: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Open it once more, for this reason: recorded, too."),
    ] = None,
) -> None:
    """Show the texts that nothing was chosen by, and how often they were opened."""
    if again is not None and not opening:
        raise VariorumError("--again gives the reason of an opening; add --open")
    machine.use_one_thread()
    from variorum.audit.last_test.opening import open_texts, opening_lines, prepare
    from variorum.base.progress import Progress

    root = find_project()
    if opening:
        print_lines(opening_lines(open_texts(root, again, Progress("last test").say)))
    else:
        print_lines(prepare(root).lines())
