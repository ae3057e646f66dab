"""Differences are traced to their cause, by `variorum why` and by what Snakemake says of a job."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from explaining import ABLATION, causes_of, reasons, ref_of, told, write

import flow
from conftest import ROOT, Command, Project
from variorum.audit.explain.differences import _spelled
from variorum.audit.explain.operands import ResultIndex
from variorum.audit.explain.why import reason
from variorum.base import machine
from variorum.cli.command import main
from variorum.plan.experiment import Plan
from variorum.stages.registry import STAGES
from variorum.store.store import Store


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment, run to its report; tests leave it as it is."""
    project = flow.finished_project(tmp_path_factory.mktemp("explain") / "project")
    (project.root / "config/ablations/positions.yaml").write_text(ABLATION)
    return project


@pytest.fixture
def root(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished project, to change, as the working directory."""
    copy = flow.copied(finished, tmp_path / "again")
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def here(finished: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished project itself, as the working directory, for tests that change nothing."""
    monkeypatch.chdir(finished.root)
    return finished.root


# Settings


def test_of_what_is_finished_and_current_nothing_differs(here: Path) -> None:
    for reference in ([], ["micro"], ["pretrain"], [str(ref_of(here, "evaluate"))]):
        text = told(here, *reference)
        assert "nothing differs" in text
        assert not causes_of(text)
    assert told(here, "pretrain", "pretrain").startswith("Nothing differs: both are pretrain micro")
    assert not reasons(here)


def test_a_setting_is_named_with_both_values_and_where_it_was_written(root: Path) -> None:
    old = ref_of(root, "pretrain")
    write(root, seed="1", model="{n_layer: 2}")
    text = told(root)
    assert causes_of(text) == ["model.n_layer 1 -> 2 (config/config.yaml:3)"]
    new = ref_of(root, "pretrain")
    assert f"pretrain micro, {old.key} -> {new.key}, then report micro:" in text
    found = reasons(root)
    assert found["pretrain micro"] == "model.n_layer 1 -> 2 (config/config.yaml:3)"
    assert found["finetune micro"] == f"follows pretrain {new.key[:6]}…"
    assert "normalize base" not in found


def test_a_setting_of_the_experiments_file_or_of_the_command_line_says_so(root: Path) -> None:
    text = told(root, pretrain={"max_steps": 40})
    assert causes_of(text) == ["pretrain.max_steps 30 -> 40 (command line)"]
    file = root / "config/experiments/micro.yaml"
    file.write_text(file.read_text().replace("max_steps: 30", "max_steps: 50"))
    line = 1 + next(n for n, text in enumerate(file.read_text().splitlines()) if "50" in text)
    expected = f"pretrain.max_steps 30 -> 50 (config/experiments/micro.yaml:{line})"
    assert causes_of(told(root)) == [expected]


def test_a_setting_that_was_taken_out_has_its_default_and_an_omitted_one_its_value(
    root: Path,
) -> None:
    file = root / "config/experiments/micro.yaml"
    file.write_text(file.read_text().replace("n_layer: 1, ", ""))
    assert causes_of(told(root)) == ["model.n_layer 1 -> 4 (default)"]
    changed = told(root, "pretrain", model={"n_layer": 1, "rotary_base": 5000})
    assert causes_of(changed) == ["model.rotary_base 10000.0 -> 5000.0 (command line)"]


def test_another_component_is_one_cause_though_the_code_is_another_one(here: Path) -> None:
    text = told(here, model={"positions": "rotary"})
    assert causes_of(text) == ["model.positions learned -> rotary (command line)"]


def test_causes_that_do_not_hang_together_are_all_told_the_shortest_chain_first(here: Path) -> None:
    chosen = {"title": "Another", "finetune": {"max_steps": 12}, "tokenizer": {"train_on": "both"}}
    text = told(here, **chosen)
    assert causes_of(text) == [
        "title A text of a few pages -> Another (command line)",
        "tokenizer.train_on base -> both (command line)",
        "finetune.max_steps 10 -> 12 (command line)",
    ]
    headings = re.findall(r"^(\w+) .*, \w+ -> \w+(, then report micro)?:$", text, re.MULTILINE)
    assert headings == [
        ("report", ""),
        ("tokenizer", ", then report micro"),
        ("finetune", ", then report micro"),
    ]


def test_one_setting_that_two_stages_read_is_told_once(here: Path) -> None:
    assert causes_of(told(here, seed=2)) == ["seed 1 -> 2 (command line), also in finetune micro"]


def test_the_command_of_a_report_is_a_cause_only_where_there_is_no_other(here: Path) -> None:
    text = told(here, model={"n_layer": 1})
    (cause,) = causes_of(text)
    assert cause.startswith("command snakemake")


def test_a_domain_that_is_left_out_is_one_cause(here: Path) -> None:
    text = told(here, corpus={"domain": None})
    assert causes_of(text) == [
        "corpus.domain given -> null (command line), also in figures micro, report micro"
    ]


def test_lists_are_told_by_what_came_and_went(root: Path) -> None:
    text = told(root, "stress/" + ref_of(root, "stress").key, "micro")
    assert "Nothing differs" in text
    write(root, stress='{prompts: ["the ", "a sun"]}')
    assert "stress.prompts with a sun (config/config.yaml:2)" in told(root)


def test_values_differ_by_type_and_not_by_the_order_of_keys() -> None:
    assert _spelled([{"a": 1, "b": None}]) == _spelled(({"b": None, "a": 1},))
    assert _spelled([1]) != _spelled([1.0]) != _spelled(["1.0"])


# Bytes and libraries


def test_changed_texts_are_named_before_and_after_they_are_downloaded_again(root: Path) -> None:
    texts = root / "texts/base"
    (texts / "03.txt").write_text("Quite another text.\n" * 40)
    (texts / "05.txt").unlink()
    (texts / "new.txt").write_text("One more text.\n" * 40)
    old = flow.current(root, experiment="micro").of_stage("download")
    new = old[0]
    line = "config/experiments/micro.yaml:5"
    for _ in range(2):
        text = told(root)
        (cause,) = causes_of(text)
        assert re.fullmatch(
            rf"the bytes of corpus\.base\.source, sha256 \w{{12}}… -> \w{{12}}… \({line}\)", cause
        )
        for shown in ("1 changed: 03.txt", "1 added: new.txt", "1 removed: 05.txt"):
            assert f"    {shown}\n" in f"{text}\n"
        flow.make(root, new)
    assert reasons(root)["normalize base"].startswith(
        f"follows download {new.ref.key[:6]}…: the bytes of corpus.base.source"
    )


def test_a_librarys_version_is_a_cause_where_it_is_part_of_the_key(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, strict_libraries="true")
    text = told(root)
    assert causes_of(text)[0].startswith("strict_libraries false -> true (config/config.yaml:2)")
    flow.before(root, flow.current(root), "tokenizer")
    current = machine.versions
    monkeypatch.setattr(
        machine, "versions", lambda names: {**current(names), "ftfy": "0.1", "python": "3.99"}
    )
    old = flow.current(root).of_stage("normalize")[0]
    text = told(root, str(old.ref))
    python = current([])["python"]
    assert f"library python {python} -> 3.99" in text
    assert re.search(r"library ftfy \d[\d.]* -> 0\.1", text)


# What is missing


def test_the_walk_ends_at_a_result_that_is_not_here(root: Path) -> None:
    old = ref_of(root, "tokenizer")
    shutil.rmtree(Store(root).folder(old))
    changed = told(root, tokenizer={"train_on": "both"})
    assert f"{old} differs, but is not here, so the cause is unknown, nor pinned by DVC" in changed
    Store(root).folder(old).with_name(f"{old.key}.dvc").write_text("outs: []\n")
    changed = told(root, tokenizer={"train_on": "both"})
    assert f"`dvc pull results/{old}.dvc` restores it" in changed


def test_what_was_made_and_is_gone_is_told_apart_from_what_never_was(root: Path) -> None:
    model, report = ref_of(root, "pretrain"), ref_of(root, "report")
    for ref in (model, report):
        shutil.rmtree(Store(root).folder(ref))
    assert f"its files are missing from results/{model}" in told(root, "pretrain")
    found = reasons(root)
    assert found["pretrain micro"] == "its files are missing", (
        "the fine-tuned model was made from it"
    )
    assert found["report micro"] == f"follows pretrain {model.key[:6]}…"
    Store(root).folder(report).with_name(f"{report.key}.dvc").write_text("outs: []\n")
    assert f"`dvc pull results/{report}.dvc` restores them" in told(root)
    assert reasons(root)["report micro"] == "its files are missing"


def test_where_nothing_was_made_that_is_said(root: Path) -> None:
    shutil.rmtree(root / "results")
    for reference in ([], ["pretrain"]):
        assert "nothing similar" in told(root, *reference)
    found = reasons(root)
    assert found["download base"] == "nothing similar was made before"
    assert found["normalize base"].startswith("follows download")
    (root / "results/pretrain").mkdir(parents=True)
    (root / "results/pretrain/0123456789ab.dvc").write_text("outs: []\n")
    assert "DVC knows of 1 in results/pretrain; `dvc pull -R results` restores" in told(
        root, "pretrain"
    )


def test_of_an_experiment_without_a_report_the_last_stage_that_was_made_is_compared(
    root: Path,
) -> None:
    shutil.rmtree(root / "results/report")
    text = told(root, model={"n_layer": 2})
    assert "figures micro" in text.splitlines()[0]
    assert "model.n_layer 1 -> 2 (command line)" in causes_of(text)


def test_the_command_that_is_offered_compares(
    root: Path, variorum: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the settings that were given: without them nothing plans that result."""
    shutil.copyfile(root / "config/experiments/micro.yaml", root / "config/experiments/second.yaml")
    monkeypatch.chdir(root)
    said = variorum("why", "--config", "experiment=second", "--config", "model={n_layer: 2}")
    offered = re.search("`variorum (why .*)` compares it", said.out)
    assert offered, said.out + said.err
    found = variorum(*shlex.split(offered[1]))
    assert not found.code
    assert "model.n_layer 1 -> 2 (command line)" in causes_of(found.out)


def test_an_experiment_is_compared_with_its_own_older_results(root: Path) -> None:
    experiments = root / "config/experiments"
    shutil.copyfile(experiments / "micro.yaml", experiments / "second.yaml")
    similar, micro = ref_of(root, "report"), ref_of(root, "pretrain")

    def choose(**settings: str) -> Plan:
        write(root, **settings)
        config = root / "config/config.yaml"
        config.write_text(config.read_text().replace("experiment: micro", "experiment: second"))
        return flow.current(root)

    plan = choose(seed="7", pretrain="{max_steps: 29}")
    report = plan.last.ref
    text = told(root)
    assert text == (
        f"report second {report.key} is not made yet, and no earlier report of second is here. "
        f"`variorum why {similar} {report}` compares it with the most similar one, "
        f"report micro {similar.key}."
    )
    assert causes_of(told(root, "report")), "what is named is compared with the most similar one"

    [old] = plan.of_stage("pretrain")
    flow.with_inputs(root, old)
    [now] = choose(seed="7", pretrain="{max_steps: 30}", model="{n_head: 1}").of_stage("pretrain")
    text = told(root)
    assert f"pretrain second {now.ref.key} (not made yet) differs from" in text.splitlines()[0]
    assert f"pretrain second {old.ref.key} (finished)." in text.splitlines()[0]
    assert micro.key not in text


# The commands themselves


def test_the_command_answers_without_a_numerical_library(root: Path) -> None:
    write(root, model="{n_layer: 2}")
    code = (
        "import sys; from pathlib import Path; from variorum.audit.explain.why import why\n"
        "print(*why(Path(sys.argv[1])).lines(), sep='\\n')\n"
        "heavy = {'torch', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
    assert causes_of(done.stdout) == ["model.n_layer 1 -> 2 (config/config.yaml:2)"]
    assert Project(root).run("variorum", "why").stdout == done.stdout


def test_the_command_takes_settings_and_refuses_in_one_line(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["variorum", "why", "pretrain", "--config", "model={n_head: 1}"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert causes_of(capsys.readouterr().out) == ["model.n_head 2 -> 1 (command line)"]
    monkeypatch.setattr(sys, "argv", ["variorum", "why", "nothing"])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert (end.value.code, said.out) == (1, "")
    assert re.fullmatch(r"variorum: nothing: no result, .*\n", said.err)


def test_snakemake_shows_the_same_words_with_each_job(root: Path) -> None:
    write(root, pretrain="{max_steps: 31}", stress='{prompts: ["{the} "]}')
    said = Project(root).snakemake("-n", "results/finetune/report.html")
    shown = said.stdout + said.stderr
    pretrain, stress = ref_of(root, "pretrain"), ref_of(root, "stress")
    assert (
        f"pretrain micro ({pretrain.key}): pretrain.max_steps 30 -> 31 (config/config.yaml:2)"
        in shown
    )
    assert f"stress pretrained ({stress.key}): follows pretrain {pretrain.key[:6]}…" in shown
    tokenizer = flow.current(root).of_stage("tokenizer")[0]
    assert reason(tokenizer, ResultIndex(Store(root))) == "it is here; its rerun was forced"


def test_every_rule_that_makes_a_result_says_why() -> None:
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    made = re.findall(r"^(?:rule|use rule make_\w+ as) make_(\w+)\b", rules, re.MULTILINE)
    assert len(made) == len(STAGES)
    for stage in made:
        assert f'why=flow.why("{stage}")' in rules
        assert f'stage="{stage}",' in rules
    first = re.findall(r"^rule make_\w+:", rules, re.MULTILINE)
    shown = '"{params.stage} {params.label} ({wildcards.key}): {params.why}"'
    assert rules.count(shown) == len(first), "rules made from these show the same"
