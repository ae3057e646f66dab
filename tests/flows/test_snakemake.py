"""Snakemake runs what is missing and nothing else, through edits and changes of experiment.

Everything here runs the real commands on an experiment that takes seconds.
"""

import os
import re
import shutil
import subprocess
import time
from base64 import b64encode
from pathlib import Path
from zipfile import ZipFile

import pytest

import flow
from conftest import Project, add_micro_experiment, copy_project
from variorum.base.files import sha256_of
from variorum.identity.spec import Ref
from variorum.report.figures.captions import FIGURES
from variorum.store.store import OWN_PINS, Store

REPORT = "results/finetune/report.html"
NOTHING = "Nothing to be done"


Done = subprocess.CompletedProcess[str]


def said(done: Done) -> str:
    """Everything that was printed: dry runs and real ones use different streams."""
    return done.stdout + done.stderr


def jobs(done: Done) -> list[str]:
    """Names of the rules that ran, in their order."""
    return re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", said(done))


def stages(done: Done) -> list[str]:
    """Names of the rules that made results, sorted."""
    return sorted(job for job in jobs(done) if job.startswith("make_"))


def planned(done: Done) -> dict[str, int]:
    """Rules and counts that a dry run announces."""
    table = re.findall(r"^(make_\w+|publish_\w+)\s+(\d+)$", said(done), re.MULTILINE)
    return {rule: int(count) for rule, count in table}


def weights(project: Project) -> dict[str, str]:
    """SHA-256 of every model that is published."""
    files = sorted(project.root.glob("results/*/*/model.safetensors"))
    return {str(file.relative_to(project.root)): sha256_of(file) for file in files}


def every_file(project: Project) -> dict[str, str]:
    """SHA-256 of all files of all results but those that may vary."""
    return {
        str(file.relative_to(project.root)): sha256_of(file)
        for file in sorted(project.root.glob("results/*/*/**/*"))
        if file.is_file() and file.name not in ("run.json", "code.json")
    }


def run_to_report(folder: Path) -> None:
    """Run the micro experiment to its report."""
    project = copy_project(folder)
    add_micro_experiment(project)
    project.snakemake(REPORT)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment, run to its report once; tests copy it."""
    folder = tmp_path_factory.mktemp("finished") / "project"
    return Project(flow.made_by_commands(folder, run_to_report))


@pytest.fixture
def again(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, with all times made new."""
    shutil.copytree(finished.root, tmp_path / "again", symlinks=True, copy_function=shutil.copy)
    return Project(tmp_path / "again")


def test_after_a_run_nothing_is_to_be_done_whatever_the_times_say(again: Project) -> None:
    assert NOTHING in said(again.snakemake("-n", REPORT))
    for path in again.root.glob("results/*/*/*"):
        moment = time.time() + hash(path.name) % (2 * 10**6) - 10**6
        os.utime(path, (moment, moment))
    shutil.rmtree(again.root / ".snakemake")
    assert NOTHING in said(again.snakemake("-n", REPORT))
    assert NOTHING in said(again.snakemake(REPORT))


@pytest.mark.long
def test_another_number_of_cores_gives_the_same_files(finished: Project, tmp_path: Path) -> None:
    other = copy_project(tmp_path / "a folder with spaces")
    add_micro_experiment(other)
    other.run("snakemake", "--cores", "1", REPORT)
    assert every_file(other) == every_file(finished)
    assert (other.root / REPORT).read_bytes() == (finished.root / REPORT).read_bytes()
    run = next(other.root.glob("results/pretrain/*/run.json")).read_text()
    assert '"processes": 1' in run
    run = next(finished.root.glob("results/pretrain/*/run.json")).read_text()
    assert '"processes": 2' in run


def test_nested_settings_of_every_kind_are_understood(again: Project) -> None:
    """Numbers, truths, nothing and lists lead to the keys that a file leads to."""
    nested = "model={attention_dropout: null, bias: false, ngrams: [2, 3], n_head: 1}"
    done = again.snakemake("-n", "--config", nested, "--", "pretrain")
    (again.root / "config/config.yaml").write_text(
        "experiment: micro\nmodel: {bias: false, ngrams: [2, 3], n_head: 1}\n"
    )
    key = again.run("variorum", "config").stdout
    assert re.search(r"pretrain/[0-9a-f]{12} ", key)[0].strip() in said(done)


def test_a_deleted_result_that_is_needed_again_is_all_that_runs(again: Project) -> None:
    encoded = next((again.root / "results/encode").glob("*/train.bin")).parent
    shutil.rmtree(encoded)
    Store(again.root).own_pin(Ref("encode", encoded.name)).unlink()
    again.forget("pretrain", "finetune")
    done = again.snakemake("finetune")
    assert stages(done) == ["make_encode", "make_finetune", "make_pretrain"]


def test_a_deleted_result_that_dvc_still_holds_is_taken_from_there(again: Project) -> None:
    before = every_file(again)
    for folder in (again.root / "results").glob("*/*/"):
        shutil.rmtree(folder)  # their .dvc files stay in scratch/pins
    done = again.snakemake("finetune")
    assert stages(done) == []
    assert "results restored from DVC's cache: 1" in said(done)
    assert every_file(again).items() <= before.items()


def test_deleting_an_upstream_of_a_finished_report_runs_nothing(again: Project) -> None:
    shutil.rmtree(again.root / "results/tokenizer")
    shutil.rmtree(again.root / "results/evaluate")
    assert NOTHING in said(again.snakemake(REPORT))
    assert len(list(again.root.glob("results/evaluate/*/manifest.json"))) == 4, "from the bundle"


@pytest.mark.long
def test_one_upstream_deleted_and_one_variant_added_runs_just_what_is_missing(
    again: Project,
) -> None:
    ablation = again.root / "config/ablations/rates.yaml"
    text = """
title: Rates
question: Which rate?
experiment: micro
variants: {low: {pretrain: {learning_rate: 5.0e-4}}, high: {pretrain: {learning_rate: 2.0e-3}}}
baseline: low
seeds: [1, 2]
"""
    ablation.write_text(text)
    again.snakemake("reports/rates/table.md")
    table = (again.root / "reports/rates/table.md").read_text()
    assert "high" in table
    before = weights(again)
    again.forget("tokenizer")
    added = "variants: {higher: {pretrain: {learning_rate: 3.0e-3}}, "
    ablation.write_text(text.replace("variants: {", added).replace("[1, 2]", "[1, 2]"))
    done = again.snakemake("reports/rates/table.md")
    assert stages(done) == sorted(
        ["make_tokenizer", *2 * ["make_pretrain"], *2 * ["make_evaluate"], "make_table"]
    )
    assert before.items() <= weights(again).items()
    assert "higher" in (again.root / "reports/rates/table.md").read_text()
    assert NOTHING in said(again.snakemake("reports/rates/table.md"))


def test_several_new_tables_may_be_asked_for_at_once(again: Project) -> None:
    text = "experiment: micro\nvariants: {a: {}, b: {model: {n_layer: 2}}}\nbaseline: a\n"
    for name in ("first", "second"):
        file = again.root / "config/ablations" / f"{name}.yaml"
        file.write_text(f"title: {name}\nquestion: Which?\nseeds: [1, 2]\n{text}")
    done = again.snakemake("-n", "reports/first/table.md", "reports/second/table.md")
    assert planned(done)["publish_table"] == 2


def test_a_table_that_was_edited_by_hand_is_put_right(again: Project) -> None:
    page = again.root / REPORT
    original = page.read_bytes()
    page.write_text("edited")
    future = time.time() + 10**6
    os.utime(page, (future, future))
    done = again.snakemake(REPORT)
    assert jobs(done) == ["publish_report"]
    assert page.read_bytes() == original
    assert NOTHING in said(again.snakemake("-n", REPORT))


def test_a_changed_experiment_and_one_changed_back_get_their_own_page(again: Project) -> None:
    page, config = again.root / REPORT, again.root / "config/config.yaml"
    first, models = page.read_bytes(), weights(again)
    config.write_text("experiment: micro\ntitle: Another title\n")
    done = again.snakemake(REPORT)
    assert stages(done) == ["make_report"]
    assert b"Another title" in page.read_bytes()
    config.write_text("experiment: micro\n")
    done = again.snakemake(REPORT)
    assert jobs(done) == ["publish_report"]
    assert page.read_bytes() == first
    done = again.snakemake("--config", "title=Third", "--", REPORT)
    assert stages(done) == ["make_report"]
    assert b"Third" in page.read_bytes()
    assert weights(again) == models


def test_a_setting_means_the_same_in_the_file_and_on_the_command_line(again: Project) -> None:
    again.snakemake("--config", "title=Same", "--", REPORT)
    (again.root / "config/config.yaml").write_text("experiment: micro\ntitle: Same\n")
    assert NOTHING in said(again.snakemake("-n", REPORT))


def test_a_damaged_result_stops_with_its_name_and_a_remedy(again: Project) -> None:
    again.share()
    model = next(again.root.glob("results/pretrain/*/model.safetensors"))
    model.write_bytes(model.read_bytes()[:-1])
    (again.root / "config/config.yaml").write_text("experiment: micro\nfinetune: {max_steps: 12}\n")
    done = again.snakemake(REPORT, check=False)
    assert done.returncode
    assert f"{model.relative_to(again.root)} has" in said(done)
    assert "dvc checkout" in said(done)
    assert "Traceback" not in said(done)


def test_the_whole_graph_can_be_shown_of_a_finished_report(again: Project) -> None:
    done = again.snakemake("--rulegraph", "--config", "graph=whole", "--", REPORT)
    assert "make_download" in done.stdout
    assert "make_report" in done.stdout


def test_snakemakes_own_report_of_another_experiment_is_refused(again: Project) -> None:
    asked = ("--config", "graph=whole", "title=Another", "--", REPORT)
    done = again.snakemake("--report", "other.zip", *asked, check=False)
    assert done.returncode
    assert f"variorum: {REPORT} is not of the current settings and code" in done.stderr
    assert "Traceback" not in said(done)
    assert not (again.root / "other.zip").exists()


def test_words_mean_the_same_by_config_and_configfile(again: Project) -> None:
    def keys(*asked: str) -> set[str]:
        done = again.snakemake("-n", *asked, "--", "pretrain", check=False)
        return set(re.findall("pretrain/([0-9a-f]{12})", said(done)))

    (again.root / "other.yaml").write_text("pretrain: {max_steps: 0200}\n")
    (of_file,) = keys("--configfile", "other.yaml")
    assert keys("--config", "pretrain={max_steps: 0200}") == {of_file}
    assert keys("--config", "pretrain={max_steps: 200}") == {of_file}
    (again.root / "other.yaml").write_text("seed: 2\nseed: 3\n")
    assert keys("--configfile", "other.yaml") == set()


@pytest.mark.parametrize("name", ["report.zip", "report.html"])
def test_snakemakes_own_report_holds_the_page_and_its_figures(again: Project, name: str) -> None:
    done = again.snakemake("--report", name, "--config", "graph=whole", "--", REPORT)
    assert "warning" not in said(done).lower()
    assert "Missing metadata" not in said(done)
    page = (again.root / REPORT).read_bytes()
    figures = {f"{figure}.svg" for figure in FIGURES}
    if name == "report.zip":
        with ZipFile(again.root / name) as archive:
            held = {Path(file).name: file for file in archive.namelist() if "/data/" in file}
            assert held.keys() == figures | {"report.html", "metrics.json", "curves.csv"}
            assert archive.read(held["report.html"]) == page
            text = archive.read("report/report.html").decode()
    else:
        text = (again.root / name).read_text()
        assert b64encode(page).decode() in text
    for title, caption in FIGURES.values():
        assert title in text
        assert caption[:30] in text


@pytest.mark.parametrize("force", [("--forcerun", "make_tokenizer"), ("--config", "graph=whole")])
def test_forcing_a_finished_result_neither_loses_nor_remakes_it(
    again: Project, force: tuple[str, str]
) -> None:
    before = every_file(again)
    for path in again.root.glob("results/normalize/*/manifest.json"):
        os.utime(path, (time.time() + 60, time.time() + 60))  # as after a pull
    again.snakemake(*force, "--", "tokenizer")
    assert every_file(again) == before
    assert NOTHING in said(again.snakemake("-n", "tokenizer"))


def test_it_runs_from_a_folder_below(again: Project) -> None:
    shutil.rmtree(again.root / "results/tokenizer")
    shutil.rmtree(again.root / OWN_PINS / "tokenizer")
    done = Project(again.root / "config").snakemake("--snakefile", "../Snakefile", "tokenizer")
    assert stages(done) == ["make_tokenizer"]


def test_stages_without_wildcards_are_targets(micro: Project) -> None:
    assert planned(micro.snakemake("-n", "tokenizer")) == {
        "make_download": 1,
        "make_normalize": 1,
        "make_tokenizer": 1,
    }


def test_the_default_target_is_the_report(again: Project) -> None:
    (again.root / REPORT).unlink()
    done = again.snakemake()
    assert jobs(done)[0] == "publish_report"


def test_an_edited_stage_makes_new_results_beside_the_old(again: Project) -> None:
    attention = again.root / "src/variorum/model/attention.py"
    attention.write_text(attention.read_text() + "\nprint('', end='')\n")
    before = every_file(again)
    done = again.snakemake("pretrain")
    assert stages(done) == ["make_pretrain"]
    assert before.items() <= every_file(again).items()
    assert len(list(again.root.glob("results/pretrain/*/manifest.json"))) == 2
