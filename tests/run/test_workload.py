"""What a run would make, and what that takes: compared with oracles."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flow
from conftest import Command, Project
from variorum.identity.fingerprint import Fingerprint
from variorum.identity.spec import Ref, Spec
from variorum.plan.experiment import Node, Plan
from variorum.plan.references import References
from variorum.run import workload


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment and an ablation of it, complete."""
    return flow.finished_ablation(tmp_path_factory.mktemp("workload") / "project")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, finished: Project) -> Path:
    """The same, of which nothing was made."""
    root = tmp_path_factory.mktemp("workload") / "fresh"
    shutil.copytree(finished.root, root, ignore=shutil.ignore_patterns("results", "scratch"))
    return root


@pytest.fixture(scope="module")
def ablation(finished: Project) -> Plan:
    """The plan of the ablation."""
    plan = References(finished.root).named("positions").plan
    assert plan is not None
    return plan


@pytest.fixture
def copy(finished: Project, tmp_path: Path) -> Project:
    """The finished project, to take results from."""
    shutil.copytree(finished.root, tmp_path / "copy", symlinks=True)
    return Project(tmp_path / "copy")


# Counting


def nodes(of: Plan) -> list[Node]:
    return list(of.nodes.values())


def made_by_oracle(wanted: Iterable[Ref], plan: Plan, done: set[Ref]) -> set[Ref]:
    """What Snakemake makes: what is wanted and not done, and so on for what that needs."""
    found = {ref for ref in wanted if ref not in done}
    while True:
        needed = {each.ref for ref in found for each in plan.nodes[ref].upstream.values()}
        if needed - done <= found:
            return found
        found |= needed - done


@settings(max_examples=50)
@given(st.data())
def test_what_is_missing_is_what_is_needed_and_not_there(
    ablation: Plan, data: st.DataObject
) -> None:
    every = nodes(ablation)
    done = {
        node.ref
        for node in data.draw(
            st.sets(st.sampled_from(range(len(every)))).map(
                lambda numbers: [every[n] for n in numbers]
            )
        )
    }
    wanted = [every[n] for n in data.draw(st.sets(st.sampled_from(range(len(every))), min_size=1))]
    found = workload.walk(wanted, done.__contains__)
    assert {node.ref for node in found} == made_by_oracle([n.ref for n in wanted], ablation, done)
    seen: set[Ref] = set()
    for node in found:  # in an order that can be run
        assert {n.ref for n in node.upstream.values()} - done <= seen
        seen.add(node.ref)


def test_sharing_is_what_runs_would_need_alone_less_what_they_need_together(
    finished: Project,
) -> None:
    runs = References(finished.root).named("positions").runs
    alone = [{node.ref for node in workload.everything(run)} for run in runs.values()]
    together = set().union(*alone)
    found = workload.sharing(runs.values())
    assert found.saved == sum(map(len, alone)) - len(together)
    assert found.serving == sum(sum(ref in own for own in alone) > 1 for ref in together)
    # four runs: one text, one tokenizer and its tokens serve all; models and scores do not
    assert (found.serving, found.saved) == (4, 12)


def test_a_finished_page_needs_nothing(finished: Project) -> None:
    found = workload.workload(finished.root)
    assert not found.missing
    assert found.seconds == found.n_bytes == 0
    assert list(workload.lines(found))[-1] == "complete: nothing to make"


@pytest.mark.parametrize(
    ("target", "reference"),
    [
        (None, None),
        ("results/finetune/report.html", None),
        ("results/finetune/metrics.json", None),
        ("reports/positions/table.md", "positions"),
        ("reports/positions/runs.csv", "positions"),
        ("reports/positions/", "positions"),
        ("reports/positions", "positions"),
        ("results/pretrain/0123456789ab/manifest.json", "results/pretrain/0123456789ab"),
        ("pretrain", "pretrain"),
        ("positions/rotary/1", "positions/rotary/1"),
        ("pretrain/0123", "pretrain/0123"),
        ("results/finetune/0123456789ab", "results/finetune/0123456789ab"),
    ],
)
def test_a_target_is_what_snakemake_takes_or_a_reference(
    target: str | None, reference: str | None
) -> None:
    assert workload.reference_of(target) == reference


def test_one_run_needs_itself_alone(fresh: Path) -> None:
    run = workload.workload(fresh, "positions/rotary/1")
    assert Counter(ref.stage for ref in run.missing) == Counter(
        ["download", "normalize", "tokenizer", "encode", "pretrain", "evaluate"]
    )
    assert run.sharing is None
    variant = workload.workload(fresh, "positions/rotary")
    assert Counter(ref.stage for ref in variant.missing)["pretrain"] == 2


# Time from beginning to end


def made_up(number: int, stage: str, upstream: list[Node]) -> Node:
    refs = {str(place): node.ref for place, node in enumerate(upstream)}
    spec = Spec(stage, {"number": number}, refs, "")
    inputs = {str(place): node for place, node in enumerate(upstream)}
    return Node(spec, str(number), inputs, Fingerprint("", {}))


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[Node, float]]:
    found: list[tuple[Node, float]] = []
    for number in range(draw(st.integers(1, 12))):
        stage = draw(st.sampled_from(["encode", "pretrain", "evaluate"]))
        before = [node for node, _ in found]
        upstream = draw(st.lists(st.sampled_from(before), unique_by=id)) if before else []
        found.append((made_up(number, stage, upstream), draw(st.floats(0.1, 100))))
    return found


@given(graphs(), st.integers(1, 8))
def test_a_schedule_is_between_what_must_be_and_one_after_the_other(
    graph: list[tuple[Node, float]], cores: int
) -> None:
    costs = {node.ref: seconds for node, seconds in graph}
    found = workload.span([node for node, _ in graph], costs, cores)
    ends: dict[Ref, float] = {}
    for node, seconds in graph:
        begin = max((ends[each.ref] for each in node.upstream.values()), default=0.0)
        ends[node.ref] = begin + seconds
    work = sum(seconds * workload._slots(node.ref, cores) for node, seconds in graph)
    assert found >= max(*ends.values(), work / cores) - 1e-6
    assert found <= sum(seconds for _, seconds in graph) + 1e-6
    if cores == 1:
        assert found == pytest.approx(sum(seconds for _, seconds in graph))


def test_trainings_take_turns_on_two_cores_and_evaluations_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    for stage, seconds in (("pretrain", 20.0), ("evaluate", 10.0)):
        two = [made_up(number, stage, []) for number in range(2)]
        costs = {node.ref: 10.0 for node in two}
        assert workload.span(two, costs, 2) == seconds


def test_no_numerical_library_is_loaded(finished: Project) -> None:
    script = (
        "import sys; from pathlib import Path; from variorum.run.workload import workload\n"
        "found = workload(Path(sys.argv[1]), None, {'seed': 5})\n"
        "assert len(found.missing) > 5\n"
        "heavy = {'torch', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(finished.root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr


# The command


def test_the_command_says_it_in_a_few_lines(
    fresh: Path, variorum: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fresh)
    said = variorum("plan", "positions", "--cores", "1", "--all").out.splitlines()
    assert said[0] == "positions"
    table = said[1 : next(n for n, line in enumerate(said) if "in all" in line) + 1]
    assert [line.split()[0] for line in table] == [
        *("stage", "download", "normalize", "baselines", "tokenizer", "encode", "pretrain"),
        *("evaluate", "table", "in"),
    ]
    assert table[6].split()[1:3] == ["4", "4"]
    assert table[6].split("4", 2)[2].split() == [
        "unknown",
        "unknown",
        "no",
        "run",
        "like",
        "it",
        "here",
    ]
    assert "4 results serve several runs; if each run made its own, there would be 12 more" in said
    assert "time and disk are unknown, as no results like these were made here" in said
    listed = said[said.index("") + 2 :]
    assert len(listed) == 5 + 4 + 4 + 1
    pattern = r"pretrain/\w{12} +unknown  positions/rotary/2"
    assert any(re.fullmatch(pattern, line) for line in listed)


def test_each_figure_says_what_it_stands_on(
    copy: Project, variorum: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another seed; its model has runs like it here, its fine-tuning has none.

    Nor have four results after it: nobody can tell any more what texts theirs stood on.
    """
    monkeypatch.chdir(copy.root)
    for manifest in copy.root.glob("results/pretrain/*/manifest.json"):
        run = manifest.with_name("run.json")
        facts = {**json.loads(run.read_text()), "processes": 1, "seconds": 4.0}
        run.write_text(json.dumps({**facts, "tokens_per_second": 1e9, "start_seconds": 1.0}))
    shutil.rmtree(copy.root / "results/finetune")
    said = variorum("plan", "--config", "seed=7", "--cores", "1", "--all").out.splitlines()
    rows = {line.split()[0]: line for line in said[1:] if line and "/" not in line.split()[0]}
    assert re.fullmatch(r"pretrain +1 +1 +5 s +\S+ kB  median of 2 runs", rows["pretrain"])
    assert re.fullmatch(r"finetune +1 +1 +unknown +unknown  no run like it here", rows["finetune"])
    known = r"14 of 15 results known: \d+ s on 1 core, \S+ .B in results/"
    told = f"{known}; time and disk of 1 other are unknown"
    assert any(re.fullmatch(told, line) for line in said)
    assert not {"takes", "needs"} & rows.keys(), "no total is known"
    assert rows["download"].split() == ["download", "0", "2"]


def test_a_setting_is_given_as_to_why(
    fresh: Path, variorum: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fresh)
    said = variorum("plan", "--config", "corpus={domain: null}").out
    assert "pretrain" in said
    assert "finetune  " not in said
    wrong = variorum("plan", "positions/rotery")
    assert wrong.code == 1
    assert "no such variant; did you mean `rotary`" in wrong.err
