"""What a run would make, and what that takes: counted against oracles, held against real runs."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flow
from conftest import Command, Project
from variorum.forecasts import estimates, forecast
from variorum.forecasts.estimates import GUESS, MADE, TIMED, Estimate, Estimates
from variorum.forecasts.pace import Pace
from variorum.identity.fingerprint import Fingerprint
from variorum.paces import Steps
from variorum.plan import Node, Plan
from variorum.references import References
from variorum.store import RUN, Ref, Spec, Store


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment and an ablation of it, complete."""
    return flow.finished_ablation(tmp_path_factory.mktemp("forecast") / "project")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, finished: Project) -> Path:
    """The same, of which nothing was made."""
    root = tmp_path_factory.mktemp("forecast") / "fresh"
    shutil.copytree(finished.root, root, ignore=shutil.ignore_patterns("results", "scratch"))
    return root


@pytest.fixture
def copy(finished: Project, tmp_path: Path) -> Project:
    """The finished project, to take results from."""
    shutil.copytree(finished.root, tmp_path / "copy", symlinks=True)
    return Project(tmp_path / "copy")


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[Steps]:
    """Steps take 10 ms each; gives what was timed. Timing itself is tested with the paces."""
    asked: list[Steps] = []

    def timing(steps: Sequence[Steps], **how: Any) -> list[Pace]:
        asked.extend(steps)
        return [Pace(0.01, 0.0, 3) for _ in steps]

    monkeypatch.setattr(Estimates.__init__, "__defaults__", ("cpu", timing))
    return asked


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
    finished: Project, data: st.DataObject
) -> None:
    plan = References(finished.root).named("positions").plan
    assert plan is not None
    every = nodes(plan)
    done = {
        node.ref
        for node in data.draw(
            st.sets(st.sampled_from(range(len(every)))).map(
                lambda numbers: [every[n] for n in numbers]
            )
        )
    }
    wanted = [every[n] for n in data.draw(st.sets(st.sampled_from(range(len(every))), min_size=1))]
    found = forecast.walk(wanted, done.__contains__)
    assert {node.ref for node in found} == made_by_oracle([n.ref for n in wanted], plan, done)
    seen: set[Ref] = set()
    for node in found:  # in an order that can be run
        assert {n.ref for n in node.upstream.values()} - done <= seen
        seen.add(node.ref)


def test_sharing_is_what_runs_would_need_alone_less_what_they_need_together(
    finished: Project,
) -> None:
    runs = References(finished.root).named("positions").runs
    alone = [{node.ref for node in forecast.everything(run)} for run in runs.values()]
    together = set().union(*alone)
    found = forecast.sharing(runs.values())
    assert found.saved == sum(map(len, alone)) - len(together)
    assert found.serving == sum(sum(ref in own for own in alone) > 1 for ref in together)
    # four runs: one text, one tokenizer and its tokens serve all; models and scores do not
    assert (found.serving, found.saved) == (4, 12)


STAGES_RUN = re.compile(r"^make_(\w+)\s+(\d+)$", re.MULTILINE)


@pytest.mark.parametrize(
    ("target", "removed"),
    [
        ("results/finetune/report.html", ["report", "figures", "finetune"]),
        ("results/finetune/report.html", ["report"]),
        ("results/finetune/report.html", ["download"]),
        ("reports/positions/table.md", ["table", "pretrain"]),
        ("reports/positions/table.md", ["table", "encode"]),
        ("stress", ["stress", "pretrain", "tokenizer"]),
    ],
)
def test_snakemake_makes_what_was_said(
    copy: Project, target: str, removed: list[str], timed: list[Steps]
) -> None:
    for stage in removed:
        shutil.rmtree(copy.root / "results" / stage)
    found = forecast.forecast(copy.root, target)
    said = Counter(ref.stage for ref in found.missing)
    dry = copy.snakemake("-n", "--quiet", "rules", "--", target)
    assert said == {stage: int(count) for stage, count in STAGES_RUN.findall(dry.stdout)}


def test_a_finished_page_needs_nothing(finished: Project) -> None:
    found = forecast.forecast(finished.root)
    assert not found.missing
    assert found.seconds == found.n_bytes == 0
    assert list(forecast.lines(found))[-1] == "  complete: nothing to make"


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
    assert forecast.reference_of(target) == reference


def test_one_run_needs_itself_alone(fresh: Path, timed: list[Steps]) -> None:
    run = forecast.forecast(fresh, "positions/rotary/1")
    assert Counter(ref.stage for ref in run.missing) == Counter(
        ["download", "normalize", "tokenizer", "encode", "pretrain", "evaluate"]
    )
    assert run.sharing is None
    variant = forecast.forecast(fresh, "positions/rotary")
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
    costs = {node.ref: Estimate(seconds, 0) for node, seconds in graph}
    found = forecast.span([node for node, _ in graph], costs, cores)
    ends: dict[Ref, float] = {}
    for node, seconds in graph:
        begin = max((ends[each.ref] for each in node.upstream.values()), default=0.0)
        ends[node.ref] = begin + seconds
    work = sum(seconds * forecast._slots(node.ref, cores) for node, seconds in graph)
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
        costs = {node.ref: Estimate(10.0, 0) for node in two}
        assert forecast.span(two, costs, 2) == seconds


# Estimates


def planned(root: Path, **changes: Any) -> Plan:
    return flow.current(root, **changes)


def noted(root: Path, ref: Ref, **facts: Any) -> None:
    """Change what a result's `run.json` says."""
    path = Store(root).folder(ref) / RUN
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def of_stage(root: Path, stage: str, **changes: Any) -> tuple[Node, Estimate]:
    node = planned(root, **changes).of_stage(stage)[0]
    return node, Estimates(Store(root), processes=1).of([node])[node.ref]


def only_model(root: Path) -> Ref:
    """Leave one training of the current experiment, and say that it took 12 s and 2 to start."""
    kept = planned(root).of_stage("pretrain")[0].ref
    for ref in Store(root).refs():
        if ref.stage in ("pretrain", "finetune") and ref != kept:
            shutil.rmtree(Store(root).folder(ref))
    noted(root, kept, seconds=12.0, start_seconds=2.0, tokens_per_second=1e9)
    return kept


def test_the_same_training_takes_as_long_as_it_took(copy: Project, timed: list[Steps]) -> None:
    kept = only_model(copy.root)
    _, found = of_stage(copy.root, "pretrain", seed=7)
    assert found.seconds == pytest.approx(14.0)
    assert (found.basis, found.evidence) == (MADE, {str(kept)})
    assert not timed


def test_a_training_with_twice_the_steps_takes_about_twice_as_long(
    copy: Project, timed: list[Steps]
) -> None:
    only_model(copy.root)
    longer = {"max_steps": 60, "learning_rate": 0.002}
    _, found = of_stage(copy.root, "pretrain", pretrain=longer)
    looks, more_looks = 4, 7
    passes = (3 * 60 * 64 + more_looks * 512) / (3 * 30 * 64 + looks * 512)
    assert found.seconds == pytest.approx(2 + 12 * passes)
    assert not timed


def test_a_training_that_went_on_after_a_stop_counts_whole(copy: Project) -> None:
    kept = only_model(copy.root)
    noted(copy.root, kept, seconds=1.0, tokens_per_second=30 * 64 / 12.0)
    _, found = of_stage(copy.root, "pretrain", seed=7)
    assert found.seconds == pytest.approx(14.0)


def test_with_two_processes_two_shards_take_half_as_long(copy: Project) -> None:
    only_model(copy.root)
    node = planned(copy.root, seed=7).of_stage("pretrain")[0]
    found = Estimates(Store(copy.root), processes=2).of([node])[node.ref]
    assert found.seconds == pytest.approx(2 + 6)


def test_models_that_cost_about_as_much_are_scaled_by_operations(
    copy: Project, timed: list[Steps]
) -> None:
    only_model(copy.root)
    _, found = of_stage(copy.root, "pretrain", model={"feed_forward": "relu"})
    assert found.basis == estimates.SCALED
    assert found.seconds == pytest.approx(14.0)
    assert not timed


@pytest.mark.parametrize("other", [{"processor": "another"}, {"device": "cuda"}])
def test_other_processors_and_devices_tell_nothing(
    copy: Project, timed: list[Steps], other: dict[str, str]
) -> None:
    noted(copy.root, only_model(copy.root), **other)
    _, found = of_stage(copy.root, "pretrain", seed=7)
    assert (found.basis, len(timed)) == (TIMED, 1)
    passes = (3 * 30 * 64 + 4 * 512) / (3 * 64)
    assert found.seconds == pytest.approx(estimates.START_SECONDS + 0.01 * passes)


def test_each_kind_of_training_is_timed_once(fresh: Path, timed: list[Steps]) -> None:
    found = forecast.forecast(fresh, "positions")
    assert [each.model.positions for each in timed] == ["learned", "rotary"]
    assert {e.basis for ref, e in found.missing.items() if ref.stage == "pretrain"} == {TIMED}
    assert {e.basis for ref, e in found.missing.items() if ref.stage != "pretrain"} == {GUESS}
    assert "  the text decides the vocabulary; 350 characters are assumed" in forecast.lines(found)


def test_a_much_larger_model_is_timed_rather_than_scaled(copy: Project, timed: list[Steps]) -> None:
    only_model(copy.root)
    _, found = of_stage(copy.root, "pretrain", model={"n_embd": 64})
    assert (found.basis, len(timed)) == (TIMED, 1)


def test_an_evaluation_on_the_same_text_tells_more_than_one_on_another(copy: Project) -> None:
    on_base, on_domain = planned(copy.root).of_stage("evaluate")[:2]
    for ref in Store(copy.root).refs("evaluate"):
        noted(copy.root, ref, seconds=99.0, start_seconds=1.0)
    text = on_domain.spec.upstream["text"]
    for ref in Store(copy.root).refs("evaluate"):
        if Store(copy.root).open(ref).spec.upstream["text"] == text:
            noted(copy.root, ref, seconds=5.0)
    node = planned(copy.root, seed=7).of_stage("evaluate")[1]
    assert node.label == on_domain.label != on_base.label
    found = Estimates(Store(copy.root), processes=1).of([node])[node.ref]
    assert (found.seconds, found.basis) == (6.0, MADE)


def test_the_size_of_a_training_is_that_of_its_files(finished: Project, fresh: Path) -> None:
    """Of one that was made, and, before it is made, from its parameters."""
    size = {"n_embd": 128, "n_layer": 2}
    changes: dict[str, Any] = {"model": size, "tokenizer": {"kind": "bpe", "vocab_size": 300}}
    _, found = of_stage(fresh, "pretrain", **changes)
    parameters = (300 + 16) * 128 + 2 * (12 * 128**2 + 13 * 128) + 2 * 128
    assert found.n_bytes == pytest.approx(4 * 4 * parameters, rel=0.1)
    _, made = of_stage(finished.root, "pretrain", seed=7)
    (ref,) = [n.ref for n in planned(finished.root).of_stage("pretrain")]
    folder = Store(finished.root).folder(ref)
    real = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert made.n_bytes == pytest.approx(real, rel=0.05)


# Real runs


def test_what_was_said_of_size_is_what_comes(copy: Project) -> None:
    """Another seed of everything, by what is at hand, against its run in this process."""
    found = forecast.forecast(copy.root, None, {"seed": 5})
    before = {ref: estimate.n_bytes for ref, estimate in found.missing.items()}
    flow.finish(copy.root, planned(copy.root, seed=5))
    for ref, estimated in before.items():
        folder = Store(copy.root).folder(ref)
        real = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        assert estimated == pytest.approx(real, rel=0.3), ref


def test_where_records_suffice_no_numerical_library_is_loaded(finished: Project) -> None:
    script = (
        "import sys; from pathlib import Path; from variorum.forecasts.forecast import forecast\n"
        "found = forecast(Path(sys.argv[1]), None, {'seed': 5})\n"
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
    fresh: Path, variorum: Command, monkeypatch: pytest.MonkeyPatch, timed: list[Steps]
) -> None:
    monkeypatch.chdir(fresh)
    said = variorum("plan", "positions", "--cores", "1", "--all").out.splitlines()
    assert said[0] == "positions"
    table = said[1 : next(n for n, line in enumerate(said) if "in all" in line) + 1]
    assert [line.split()[0] for line in table] == [
        *("stage", "download", "normalize", "tokenizer", "encode", "pretrain", "evaluate"),
        *("table", "in"),
    ]
    assert table[5].split()[1:3] == ["4", "4"]
    assert table[5].endswith("from 6 steps timed just now")
    assert (
        "  4 results serve several runs; if each run made its own, there would be 12 more" in said
    )
    assert any(re.fullmatch(r"  takes about \S+ (s|min) on 1 core", line) for line in said)
    listed = said[said.index("missing") + 1 :]
    assert len(listed) == 4 + 4 + 4 + 1
    assert any(re.fullmatch(r"  pretrain/\w{12} +\d+ s  positions/rotary/2", x) for x in listed)


def test_a_setting_is_given_as_to_why(
    fresh: Path, variorum: Command, monkeypatch: pytest.MonkeyPatch, timed: list[Steps]
) -> None:
    monkeypatch.chdir(fresh)
    said = variorum("plan", "--config", "corpus={domain: null}").out
    assert "pretrain" in said
    assert "finetune  " not in said
    wrong = variorum("plan", "positions/rotery")
    assert wrong.code == 1
    assert "no such variant; did you mean `rotary`" in wrong.err


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (42.4, "42 s"),
        (99.4, "99 s"),
        (100, "1.7 min"),
        (596, "9.9 min"),
        (600, "10 min"),
        (5900, "98 min"),
        (6000, "1.7 h"),
        (36_000, "10 h"),
    ],
)
def test_spans_of_time_have_two_digits(seconds: float, words: str) -> None:
    assert forecast.duration(seconds) == words
