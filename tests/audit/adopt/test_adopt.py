"""Old results serve new keys when an edit changed nothing: proved, or on a person's word."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import flow
from adoptable import (
    ABLATION,
    NORMALIZE,
    RENAMED,
    SPLIT,
    edit,
    finished_project,
    is_new,
    missing,
    nothing_changes,
    pairs,
    planned,
    run_by_the_edited_code,
    runs_by_the_edited_code,
    told,
    widths,
)
from conftest import Project
from variorum.audit.adopt.adopting import SAME, adopt
from variorum.base.errors import Stopped, VariorumError
from variorum.base.files import sha256_of
from variorum.cli import command
from variorum.report import page_trace
from variorum.store.result import MANIFEST, Result
from variorum.store.store import Store


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment to its report, and as the tiny experiment one without a domain."""
    folder = tmp_path_factory.mktemp("adopt") / "project"
    return Project(flow.made_by_commands(folder, finished_project))


@pytest.fixture
def here(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to change, as the working directory."""
    shutil.copytree(finished.root, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


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
    table = runs_by_the_edited_code(here)["adopted"]
    key = planned(here).of_stage("pretrain")[0].ref.key
    assert table[key].endswith(word)
    assert table.isna().sum() == len(table) - 2, "two models were adopted, the old ones are there"
    assert any("on your word: only <names> changed" in line for line in adopted.lines())

    result = run_by_the_edited_code(here, planned(here).last)
    page = result.file("report.html").read_text()
    assert "On someone’s word" in page
    assert "word: only &lt;names&gt; changed" in page
    assert not page_trace.check(Store(here), result.ref).faults

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
    assert "name what to adopt without it: normalize, baselines, tokenizer, encode, " in line
    adopted = adopt(here, ["pretrain"], because=because, package=package)
    stages = {result.ref.stage for result, _ in adopted.results}
    assert stages == {
        *("normalize", "baselines", "tokenizer", "encode", "pretrain"),
        *("evaluate", "dynamic", "stress"),
    }
    assert any(line.startswith("finetune micro") for line in adopted.left)
    assert missing(here, planned(here)) == {
        *("finetune", "evaluate", "dynamic", "comparisons"),
        *("stress", "figures", "report"),
    }


def test_other_bytes_are_refused_by_the_name_of_their_file(here: Path) -> None:
    package = edit(here, ("tokenizer/kinds/characters.py", "\n\n\n", "\n\n\nprint(end='')\n\n\n"))
    (node,) = planned(here).of_stage("tokenizer")
    old = Store(here).open(flow.current(here).of_stage("tokenizer")[0].ref)
    output = here / "scratch/made"
    output.mkdir(parents=True)
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
        ([], "nothing to adopt: every planned result except pages is here"),
        (["pretrain", "report"], "nothing to adopt: every planned result except pages is here"),
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


def test_an_adoption_that_is_stopped_leaves_whole_results_and_resumes(
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
        message = "^stopped; 2 of 14 results were adopted; the same command continues$"
        with pytest.raises(Stopped, match=message):
            adopt(here, because="names alone changed", package=package)
    store, new = Store(here), [node.ref for node in planned(here) if node.ref.stage != "report"]
    before = {ref: told(store.open(ref)) for ref in new if store.exists(ref) and is_new(here, ref)}
    assert len(before) == 2
    assert not (here / "scratch/adopt").exists()
    adopted = adopt(here, because="names alone changed", package=package)
    assert len(adopted.results) == 12
    assert all(told(store.open(ref)) == adoption for ref, adoption in before.items())
    assert missing(here, planned(here)) == {"report"}


# The command


@pytest.mark.parametrize("arguments", [[], ["--prove", "--because", "x"]])
def test_the_command_asks_for_a_proof_or_a_word(
    here: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["variorum", "adopt", *arguments])
    with pytest.raises(VariorumError, match="give --prove, or a reason"):
        command.app(standalone_mode=False)
