"""Old results serve new keys when an edit changed nothing: proved, or on a person's word."""

import csv
import json
import os
import re
import shutil
import signal
import struct
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import flow
import variorum
from conftest import MICRO, MICRO_DOMAIN, Project
from variorum import cli, runner
from variorum.ablation_plan import plan_ablation
from variorum.ablations import load_ablation
from variorum.audit.adoption.adopt import SAME, adopt
from variorum.audit.checks import traced
from variorum.errors import Stopped, VariorumError
from variorum.experiments import load_experiment, named_experiment
from variorum.plan import Node, Plan, plan_experiment
from variorum.store import COPY, MANIFEST, Ref, Result, Store, readable_json, sha256_of
from variorum.training.shards import Shards

ABLATION = """
title: Widths
question: Is wider better?
experiment: tiny
variants:
  narrow: {}
  wide: {model: {n_embd: 32}}
baseline: narrow
seeds: [1, 2]
"""

Edit = tuple[str, str, str]

SPLIT: Edit = (
    "training/loop.py",
    "        self._position.step = step\n",
    "        position = self._position\n        position.step = step\n",
)
RENAMED: Edit = ("model/attention.py", "mixed", "weighted")
NORMALIZE: Edit = ("corpus/normalize.py", "\n\n\n", "\n\n\nprint(end='')\n\n\n")
BETWEEN: Edit = (
    "training/loop.py",
    "            self._note(step, norm)\n",
    "            self._note(step, norm)\n            shards.weights += 0.001 * (step == 15)\n",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment to its report, and as the tiny experiment one without a domain."""
    project = flow.copy_project(tmp_path_factory.mktemp("adopt") / "project")
    flow.add_micro_experiment(project)
    root = project.root
    tiny = MICRO.replace(MICRO_DOMAIN, "  domain: null\n")
    (root / "config/experiments/tiny.yaml").write_text(tiny)
    (root / "config/ablations/widths.yaml").write_text(ABLATION)
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "The code before the edit")
    flow.finish(root, flow.current(root))
    flow.before(root, plan_experiment(named_experiment(root, "tiny"), root), "report")
    flow.before(root, widths(root), "table")
    return project


@pytest.fixture
def here(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to change, as the working directory."""
    shutil.copytree(finished.root, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def source(root: Path) -> Path:
    return root / "src/variorum"


def widths(root: Path, package: Path | None = None) -> Plan:
    given = {} if package is None else {"package": package}
    return plan_ablation(load_ablation(root, "widths"), root, **given)


def edit(root: Path, *edits: Edit) -> Path:
    """Edit the project's own copy of the package, which plans are made by; gives its folder."""
    for file, old, new in edits:
        path = source(root) / file
        text = path.read_text()
        assert old in text, f"{file} holds no {old!r}"
        path.write_text(text.replace(old, new))
    return source(root)


def planned(root: Path) -> Plan:
    """The current experiment by the project's own copy of the package."""
    return plan_experiment(load_experiment(root), root, package=source(root))


def missing(root: Path, plan: Plan) -> set[str]:
    return {node.ref.stage for node in plan if not Store(root).exists(node.ref)}


def pairs(root: Path, before: Plan) -> list[tuple[Result, Result]]:
    """What the plan before an edit made, beside what serves the plan after it."""
    store = Store(root)
    after = {(node.ref.stage, node.label): node.ref for node in planned(root)}
    nodes = [node for node in before if node.ref.stage != "report"]
    return [(store.open(n.ref), store.open(after[n.ref.stage, n.label])) for n in nodes]


def run_by_the_edited_code(root: Path, node: Node) -> Result:
    runner.hand_over(Store(root), node.spec, node.label)
    command(root, "run", str(node.ref))
    return Store(root).open(node.ref)


def command(root: Path, *arguments: str) -> str:
    """What the command prints to stderr when the project's own copy of the package runs it."""
    environment = {"PYTHONPATH": str(root / "src"), "PYTHONSAFEPATH": "1"}
    return Project(root).run("variorum", *arguments, environment=environment).stderr


def nothing_changes(root: Path, call: Callable[[], object], message: str) -> str:
    """A call that must fail with one line, and leave results and scratch as they are."""
    before = flow.files_of(root / "results")
    with pytest.raises(VariorumError, match=message) as error:
        call()
    assert flow.files_of(root / "results") == before
    assert not (root / "scratch/adopt").exists()
    assert "\n" not in str(error.value)
    return str(error.value)


def told(result: Result) -> Mapping[str, Any]:
    assert result.adopted is not None
    return result.adopted


# Proofs


def test_a_refactoring_is_proved_and_all_but_the_page_is_adopted(here: Path) -> None:
    before = flow.current(here)
    tiny = plan_experiment(named_experiment(here, "tiny"), here)
    shutil.rmtree(Store(here).folder(tiny.of_stage("figures")[0].ref))  # so git has the old code
    commit = Project(here).run("git", "rev-parse", "HEAD").stdout[:12]
    edit(here, SPLIT, RENAMED)
    assert missing(here, planned(here)) == {
        *("pretrain", "finetune", "evaluate", "stress", "figures", "report")
    }
    said = command(here, "adopt", "--prove")
    assert f"the old code is that of commit {commit}" in said
    assert missing(here, planned(here)) == {"report"}
    for old, new in pairs(here, before):
        assert new.manifest["files"] == old.manifest["files"]
        assert (new.ref == old.ref) == (new.adopted is None)
        if new.ref != old.ref:
            assert told(new)["from"] == str(old.ref)
            assert told(new)["how"] == "proved"
            assert told(new)["manifest_sha256"] == sha256_of(old.folder / MANIFEST)
            assert new.run["seconds"] == old.run["seconds"]
            assert "adopt --prove" in new.run["adopted"]["command"]
            for file in new.manifest["files"]:
                assert (new.folder / file).stat().st_nlink == 1
                assert not (new.folder / file).is_symlink()

    trained = Store(here).open(planned(here).of_stage("pretrain")[0].ref)
    assert "position.step = step" in trained.code["variorum.training.loop:Training"]
    rows = [line.split(",") for line in trained.file("metrics.csv").read_text().splitlines()]
    first, last, whole = told(trained)["evidence"]
    assert first.startswith("steps 0 to 10 computed again: the same losses and samples, and the ")
    assert rows[2][-1] in first
    assert last.startswith("steps 20 to 30 computed again from last_interval.safetensors: 8 files")
    assert sha256_of(trained.file("model.safetensors")) in last
    assert re.match(r"the tiny experiment by the old code and by this one: 8 results with", whole)
    scored = Store(here).open(planned(here).of_stage("evaluate")[0].ref)
    (line,) = told(scored)["evidence"]
    assert line == "computed again as a whole: 1 files are the same, byte for byte"


def act_from(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the code do something else from a step on."""
    update = Shards.update

    def other(self: Shards, index: int, now: int, rate: float, norm: float) -> None:
        update(self, index, now, rate, norm)
        if now >= step:
            self.weights[self.layout.slices(self.settings.shards)[index]] += 1e-3

    monkeypatch.setattr(Shards, "update", other)


@pytest.mark.parametrize(("step", "seen_at"), [(1, 10), (10, 10), (21, 30), (30, 30)])
def test_an_edit_that_changes_behaviour_is_refused_naming_the_step(
    here: Path, monkeypatch: pytest.MonkeyPatch, step: int, seen_at: int
) -> None:
    package = edit(here, SPLIT)
    act_from(step, monkeypatch)
    line = nothing_changes(
        here,
        lambda: adopt(here, package=package),
        rf"pretrain micro \w+: this code does not make what pretrain/\w+ holds: "
        rf"\w+ at step {seen_at} was .*, is .*. Nothing was adopted; a normal run makes new",
    )
    assert "another platform" not in line


def test_a_change_between_the_two_ends_is_found_by_the_tiny_experiment(here: Path) -> None:
    package = edit(here, BETWEEN)
    nothing_changes(
        here,
        lambda: adopt(here, package=package),
        "the tiny experiment differs between the old code and the new, first in pretrain tiny: "
        r"metrics.csv: column train_loss: row 3: '5.3",
    )


def test_a_change_in_what_is_computed_again_as_a_whole_names_the_file(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = edit(here, ("evaluation/bits.py", "\n\n\n", "\n\n\nprint(end='')\n\n\n"))
    score = variorum.evaluation.bits.summary  # type: ignore[attr-defined]

    def other(*args: Any, **options: Any) -> dict[str, Any]:
        return {**score(*args, **options), "perplexity": 2.0}

    monkeypatch.setattr("variorum.stages.evaluate.summary", other)
    nothing_changes(
        here,
        lambda: adopt(here, package=package),
        r"evaluate pretrained on base \w+: .* metrics.json: perplexity: [\d.]+ → 2.0",
    )


def test_where_only_what_was_made_before_was_edited_the_rest_is_adopted_as_it_is(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = flow.current(here)
    adopted = adopt(here, package=edit(here, NORMALIZE))
    assert not adopted.left
    for old, new in pairs(here, before):
        if new.ref.stage == "download":
            assert new.ref == old.ref
            continue
        (line,) = told(new)["evidence"]
        whole = "computed again as a whole: 5 files are the same, byte for byte"
        assert line == (whole if new.ref.stage == "normalize" else SAME)
    said = capfd.readouterr().err
    assert "the tiny experiment" not in said, "nothing was left out of the proofs"
    assert "steps" not in said


def test_a_training_of_one_interval_is_run_again_as_a_whole(here: Path) -> None:
    (here / "config/config.yaml").write_text("experiment: tiny\npretrain: {val_interval: 30}\n")
    flow.before(here, flow.current(here), "evaluate")
    adopted = adopt(here, ["pretrain"], package=edit(here, SPLIT))
    (trained,) = (result for result, _ in adopted.results if result.ref.stage == "pretrain")
    assert told(trained)["evidence"] == [
        "computed again as a whole: 8 files are the same, byte for byte"
    ]


def test_a_model_chosen_before_the_last_interval_is_held_against_the_log(here: Path) -> None:
    file = here / "config/config.yaml"
    fast = "{learning_rate: 1.0, warmup_steps: 1, max_steps: 7, val_interval: 2}"
    file.write_text(f"experiment: tiny\npretrain: {fast}\n")
    flow.before(here, flow.current(here), "evaluate")
    old = Store(here).open(flow.current(here).of_stage("pretrain")[0].ref)
    rows = list(csv.DictReader(old.file("metrics.csv").open()))
    (row,) = [row for row in rows if row["step"] == str(old.json("metrics.json")["chosen_step"])]
    assert int(row["step"]) <= 6, "the planted rate must make the last interval worse"
    package = edit(here, SPLIT)
    shutil.copytree(old.folder, here / "untouched")
    plant_another_model(old)
    nothing_changes(
        here,
        lambda: adopt(here, ["pretrain"], package=package),
        r"the weights in model.safetensors are not those that metrics.csv notes at step "
        rf"{row['step']}, where they were chosen. Nothing was adopted",
    )

    shutil.copytree(here / "untouched", old.folder, dirs_exist_ok=True)
    adopted = adopt(here, ["pretrain"], package=package)
    (trained,) = (result for result, _ in adopted.results if result.ref.stage == "pretrain")
    line = told(trained)["evidence"][1]
    assert f"which was chosen before, at step {row['step']}, and carried over: its weights" in line
    assert line.endswith(f"have the sha256 that metrics.csv notes there, {row['weights_sha256']})")


def plant_another_model(result: Result) -> None:
    """Change one weight, and what the manifest says of the file with it."""
    path = result.file("model.safetensors")
    path.write_bytes(path.read_bytes()[:-4] + struct.pack("<f", 0.5))
    for name in (MANIFEST, COPY):
        manifest = json.loads((result.folder / name).read_text())
        manifest["files"][path.name]["sha256"] = sha256_of(path)
        (result.folder / name).write_text(readable_json(manifest))


def test_a_training_that_kept_no_state_cannot_be_replayed(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("variorum.audit.adoption.replay.LAST_INTERVAL", "none.safetensors")
    package = edit(here, SPLIT)
    message = (
        r"pretrain/\w+ cannot be replayed: its none.safetensors is missing, or this code cannot"
    )
    nothing_changes(here, lambda: adopt(here, ["pretrain"], package=package), message)


def test_without_the_old_code_there_is_no_proof_and_two_remedies(here: Path) -> None:
    package = edit(here, SPLIT)
    tiny = plan_experiment(named_experiment(here, "tiny"), here)
    shutil.rmtree(Store(here).folder(tiny.of_stage("figures")[0].ref))
    Project(here).run("git", "commit", "--quiet", "--all", "--amend", "--no-edit")
    message = "cannot be compared: commit the code before you edit it, or adopt on your word"
    said = nothing_changes(here, lambda: adopt(here, package=package), message)
    assert said.startswith("none of the 1 commits of the code has what made the old results")
    shutil.rmtree(here / ".git")
    said = nothing_changes(here, lambda: adopt(here, package=package), "adopt on your word")
    assert said.startswith("the old code is not at hand, as no git keeps it")


def test_an_old_result_that_is_damaged_serves_nothing(here: Path) -> None:
    model = Store(here).open(flow.current(here).of_stage("pretrain")[0].ref)
    content = bytearray(model.file("model.safetensors").read_bytes())
    content[-1] ^= 1
    model.file("model.safetensors").write_bytes(content)
    package = edit(here, SPLIT)
    for because in (None, "names alone changed"):
        nothing_changes(
            here,
            lambda because=because: adopt(here, package=package, because=because),  # type: ignore[misc]
            "cannot be adopted: its model.safetensors is missing or not what its manifest says",
        )


# On a person's word


def test_what_is_adopted_on_a_word_says_so_wherever_it_is_shown(here: Path) -> None:
    before = flow.current(here)
    package = edit(here, SPLIT)
    adopted = adopt(here, because=" only <names>\n changed ", package=package)
    assert missing(here, planned(here)) == {"report"}
    for old, new in pairs(here, before):
        if new.ref != old.ref:
            assert told(new) == {
                "from": str(old.ref),
                "manifest_sha256": sha256_of(old.folder / MANIFEST),
                "how": "because",
                "because": "only <names> changed",
                "evidence": [] if new.spec.code != old.spec.code else [SAME],
            }
    word = "on someone's word: only <names> changed"
    table = variorum.runs(root=here).set_index("key")["adopted"]
    key = planned(here).of_stage("pretrain")[0].ref.key
    assert table[key].endswith(word)
    assert table.isna().sum() == len(table) - 2, "two models were adopted, the old ones are there"
    assert any("on your word: only <names> changed" in line for line in adopted.lines())

    result = run_by_the_edited_code(here, planned(here).last)
    page = result.file("report.html").read_text()
    assert "On someone’s word" in page
    assert "word: only &lt;names&gt; changed" in page
    assert not traced.check(Store(here), result.ref).faults

    adopt(here, ["widths"], because="only names", package=package)
    table = run_by_the_edited_code(here, widths(here, package).last).file("table.md").read_text()
    assert "| wide† |" in table
    assert table.count("on someone's word: only names") == 6, "three models, three evaluations"
    assert table.count("on someone's word: only <names> changed") == 2, "shared with the report"


def test_a_word_needs_words(here: Path) -> None:
    package = edit(here, SPLIT)
    for because in ("", " \n"):
        nothing_changes(
            here,
            lambda because=because: adopt(here, because=because, package=package),  # type: ignore[misc]
            "--because: say why",
        )


def test_a_result_adopted_from_an_adopted_one_leads_to_the_original_and_keeps_its_word(
    here: Path,
) -> None:
    store = Store(here)
    original = flow.current(here).of_stage("pretrain")[0].ref
    adopt(here, ["pretrain"], because="split in two", package=edit(here, SPLIT))
    between = planned(here).of_stage("pretrain")[0].ref
    shutil.rmtree(store.folder(original))
    package = edit(here, RENAMED)
    adopt(here, ["pretrain"], because="renamed", package=package)
    last = store.open(planned(here).of_stage("pretrain")[0].ref)
    assert last.ref not in (original, between)
    assert told(last)["from"] == str(original)
    assert told(last)["manifest_sha256"] == told(store.open(between))["manifest_sha256"]
    assert told(last)["because"] == "split in two; renamed"

    adopt(here, ["tiny"], package=edit(here, NORMALIZE))
    last = store.open(planned(here).of_stage("pretrain")[0].ref)
    assert told(last)["how"] == "because", "that the rest is the same proves nothing of the word"
    assert told(last)["because"] == "split in two; renamed"
    assert told(last)["evidence"][0].startswith("the code is the same")


def test_a_proof_begins_from_the_original_where_it_is_here(here: Path) -> None:
    (here / "config/config.yaml").write_text("experiment: tiny\npretrain: {val_interval: 30}\n")
    flow.before(here, flow.current(here), "evaluate")
    original = flow.current(here).of_stage("pretrain")[0].ref
    adopt(here, ["pretrain"], because="split in two", package=edit(here, SPLIT))
    adopt(here, ["pretrain"], package=edit(here, RENAMED))
    proved = told(Store(here).open(planned(here).of_stage("pretrain")[0].ref))
    assert (proved["from"], proved["how"]) == (str(original), "proved")


# What is refused, and what is left out


@pytest.mark.parametrize("because", [None, "names alone changed"])
def test_other_settings_are_refused_by_name_and_the_rest_can_be_adopted(
    here: Path, because: str | None
) -> None:
    package = edit(here, NORMALIZE)
    (here / "config/config.yaml").write_text("experiment: micro\nfinetune: {batch_size: 2}\n")
    line = nothing_changes(
        here,
        lambda: adopt(here, because=because, package=package),
        r"finetune micro \w+ cannot be adopted: finetune/\w+ has other settings: "
        r"finetune.batch_size 4 -> 2 \(config/config.yaml:2\)",
    )
    assert "name what to adopt without it: normalize, tokenizer, encode, pretrain, " in line
    adopted = adopt(here, ["pretrain"], because=because, package=package)
    stages = {result.ref.stage for result, _ in adopted.results}
    assert stages == {"normalize", "tokenizer", "encode", "pretrain", "evaluate", "stress"}
    assert any(line.startswith("finetune micro") for line in adopted.left)
    assert missing(here, planned(here)) == {"finetune", "evaluate", "stress", "figures", "report"}


def test_other_bytes_are_refused_by_the_name_of_their_file(here: Path) -> None:
    package = edit(here, ("tokenizer/kinds/characters.py", "\n\n\n", "\n\n\nprint(end='')\n\n\n"))
    (node,) = planned(here).of_stage("tokenizer")
    old = Store(here).open(flow.current(here).of_stage("tokenizer")[0].ref)
    output = here / "scratch/made"
    output.mkdir()
    tokenizer = json.loads(old.file("tokenizer.json").read_text())
    (output / "tokenizer.json").write_text(json.dumps({**tokenizer, "another": 1}))
    inputs = {name: Store(here).open(ref) for name, ref in node.spec.upstream.items()}
    Store(here).publish(node.spec, output, inputs, {"run.json": {}, "code.json": {}})
    for because in (None, "names alone changed"):
        nothing_changes(
            here,
            lambda because=because: adopt(here, because=because, package=package),  # type: ignore[misc]
            r"encode base \w+ cannot be adopted: encode/\w+ has its settings, but it was made from "
            "another tokenizer: tokenizer.json differs",
        )


def test_runs_that_were_never_made_are_left_to_a_normal_run(here: Path) -> None:
    file = here / "config/ablations/widths.yaml"
    file.write_text(ABLATION.replace("[1, 2]", "[1, 2, 3]"))
    package = edit(here, SPLIT)
    adopted = adopt(here, ["widths"], because="names alone changed", package=package)
    assert len([r for r, _ in adopted.results if r.ref.stage == "pretrain"]) == 4
    left = "\n".join(adopted.left)
    assert re.search(r"pretrain widths/wide/3 \w+: pretrain/\w+ has other settings: seed", left)
    assert len(adopted.left) == 4, "a model and an evaluation of each variant"


def test_one_run_of_an_ablation_is_adopted_with_its_evaluation(here: Path) -> None:
    package = edit(here, SPLIT)
    adopted = adopt(here, ["widths/wide/2"], because="names alone changed", package=package)
    found = {str(result.ref) for result, _ in adopted.results}
    run = widths(here, package).last.upstream["wide/2/base"]
    assert found == {str(run.ref), str(run.upstream["model"].ref)}


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ([], "nothing to adopt: all that is planned is here, pages apart"),
        (["pretrain", "report"], "nothing to adopt: all that is planned is here"),
        (["pretrian"], r"pretrian: no result, .* is called that; did you mean `pretrain`\?"),
        (["widths/wide/9"], "widths/wide/9: no such run; known are widths/narrow/1"),
        ([""], "a reference must not be empty"),
    ],
)
def test_what_leaves_nothing_to_adopt_is_one_line(
    here: Path, references: list[str], message: str
) -> None:
    nothing_changes(here, lambda: adopt(here, references), message)


def test_results_that_travel_in_a_report_can_be_adopted(here: Path) -> None:
    for stage in ("evaluate", "stress", "figures"):
        shutil.rmtree(here / "results" / stage)
    adopt(here, because="names alone changed", package=edit(here, SPLIT))
    assert missing(here, planned(here)) == {"report"}


def test_an_adoption_that_is_stopped_leaves_whole_results_and_goes_on(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = edit(here, SPLIT)
    publish, count = Store.publish, 0

    def stop_at_the_third(*arguments: Any) -> Result:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return publish(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "publish", stop_at_the_third)
        message = "^stopped; 2 of 9 results were adopted; the same command goes on$"
        with pytest.raises(Stopped, match=message):
            adopt(here, because="names alone changed", package=package)
    store, new = Store(here), [node.ref for node in planned(here) if node.ref.stage != "report"]
    before = {ref: told(store.open(ref)) for ref in new if store.exists(ref) and is_new(here, ref)}
    assert len(before) == 2
    assert not (here / "scratch/adopt").exists()
    adopted = adopt(here, because="names alone changed", package=package)
    assert len(adopted.results) == 7
    assert all(told(store.open(ref)) == adoption for ref, adoption in before.items())
    assert missing(here, planned(here)) == {"report"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_proof_that_is_asked_to_stop_leaves_no_process_and_no_folder(
    here: Path, number: int
) -> None:
    edit(here, SPLIT)
    environment = {"PYTHONPATH": str(here / "src"), "PYTHONSAFEPATH": "1"}
    before = flow.files_of(here / "results")
    with subprocess.Popen(
        ["variorum", "adopt", "--prove"],
        cwd=here,
        env=Project(here).environment(environment),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        assert any("tiny by the new code" in line for line in process.stderr)
        process.send_signal(number)
        last = process.stderr.read().splitlines()[-1]
        assert process.wait(20) == cli.INTERRUPTED
    assert last == "variorum: stopped; nothing was adopted"
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert not (here / "scratch/adopt").exists()
    assert flow.files_of(here / "results") == before


def is_new(root: Path, ref: Ref) -> bool:
    return Store(root).open(ref).adopted is not None


def test_an_edit_during_the_proof_is_noticed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = edit(here, NORMALIZE)

    def evidence(*arguments: Any) -> Any:
        edit(here, ("corpus/normalize.py", "print(end='')", "print(end=str())"))
        monkeypatch.undo()
        return variorum.audit.adoption.replay.evidence(*arguments)  # type: ignore[attr-defined]

    monkeypatch.setattr("variorum.audit.adoption.adopt.evidence", evidence)
    nothing_changes(
        here,
        lambda: adopt(here, package=package),
        "the code of normalize was edited meanwhile; nothing was adopted. Run the same command",
    )


# The command


@pytest.mark.parametrize("arguments", [[], ["--prove", "--because", "x"]])
def test_the_command_asks_for_a_proof_or_a_word(
    here: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["variorum", "adopt", *arguments])
    with pytest.raises(VariorumError, match="say either --prove, or on whose word"):
        cli.app(standalone_mode=False)
