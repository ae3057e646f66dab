"""`variorum sample` writes a text from a prompt."""

import inspect
import os
import re
import shutil
from pathlib import Path

import pytest
from commands import refused, start, trained

import flow
from conftest import Command
from variorum.cli import models
from variorum.config.evaluation_settings import SamplingSettings

CTRL_C, CTRL_D = "\x03", "\x04"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trained project, as the working directory."""
    root = trained().root
    monkeypatch.chdir(root)
    return root


def test_sample_writes_the_prompt_and_its_continuation(variorum: Command, here: Path) -> None:
    said = variorum("sample", "the ", "-n", "20", "--seed", "3")
    assert said.code == 0
    assert said.out.startswith("the ")
    assert said.err.startswith(f"{flow.current(here).of_stage('finetune')[0].ref}: ")
    model, how = said.err.splitlines()
    assert model.endswith(" parameters")
    assert re.fullmatch(
        r"20 tokens: max_tokens reached; valid_utf8 removed \d+\.\d\d % of the probability, "
        r"\d+\.\d\d % at most; window cuts: 1 \(half-window\)",
        how,
    )
    assert said == variorum("sample", "the ", "-n", "20", "--seed", "3", "--no-cache")
    assert said.out != variorum("sample", "the ", "-n", "20", "--seed", "4").out


def test_sample_takes_any_reference_and_greedy_ignores_the_seed(
    variorum: Command, here: Path
) -> None:
    ref = flow.current(here).of_stage("pretrain")[0].ref
    by_stage = variorum("sample", "-m", "pretrain", "--greedy", "-n", "9", "--seed", "1")
    by_key = variorum("sample", "-m", ref.key[:7], "-t", "0", "-n", "9", "--seed", "2")
    assert by_stage == by_key
    assert str(ref) in by_stage.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--top-p", "0"], "sampling: top_p: 0.0 should be greater than 0"),
        (["-t", "inf"], "temperature: inf should be a finite number"),
        (["--stop", ""], "stop.0: '' "),
        (["-m", "zzz"], "zzz: no result, stage, experiment or ablation is called that; `variorum"),
        (["-m", "report"], "results/report/"),
        (["-m", "tokenizer"], "is no model; name a result of finetune or pretrain or imported"),
    ],
)
def test_wrong_options_of_sample_are_one_line(
    variorum: Command, here: Path, arguments: list[str], message: str
) -> None:
    refused(variorum("sample", "the ", *arguments), message)


def test_sample_has_the_defaults_of_the_settings() -> None:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(models.sample).parameters.items()
    }
    defaults["max_tokens"] = defaults.pop("tokens")
    for name, field in SamplingSettings.model_fields.items():
        assert (defaults[name] or None) == (field.default or None), name


def test_sample_ends_before_a_stop_string_and_says_so(variorum: Command, here: Path) -> None:
    whole = variorum("sample", "the ", "-n", "40", "--seed", "3").out[len("the ") : -1]
    stop = whole[5:7]
    said = variorum("sample", "the ", "-n", "40", "--seed", "3", "--stop", "§§", "--stop", stop)
    assert said.out == f"the {whole[: whole.index(stop)]}\n"
    assert " tokens: stop string found; " in said.err


def test_sample_writes_whole_characters_unless_it_is_told_not_to(
    variorum: Command, here: Path
) -> None:
    hot = ("sample", "the ", "-t", "50", "--top-p", "1", "-n", "60")
    whole, free = variorum(*hot), variorum(*hot, "--any-bytes")
    assert "\ufffd" not in whole.out
    assert "\ufffd" in free.out
    assert "valid_utf8 removed" in whole.err
    assert "valid_utf8" not in free.err


def test_sample_appears_while_it_is_written_and_a_closed_pipe_is_no_error() -> None:
    with start(trained(), "the sun ", "-n", "200000", "--greedy") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first, second = (os.read(process.stdout.fileno(), 1 << 16) for _ in range(2))
        assert first.startswith(b"the sun ")
        assert len(first + second) < 1000, "not a buffer full of it"
        assert process.poll() is None, "the rest is still being written"
        process.stdout.close()
        printed = process.stderr.read()
        assert process.wait(30) == 1
    assert len(printed.splitlines()) == 1, "the line that says which model it is"


def test_a_prompt_that_is_no_text_is_taken_all_the_same(variorum: Command, here: Path) -> None:
    said = variorum("sample", os.fsdecode(b"the \xff"), "-n", "3")
    assert said.code == 0
    assert said.out.startswith("the ?")


def test_a_model_that_is_missing_is_told_with_the_models_that_are_finished(
    variorum: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = flow.copied(trained(), tmp_path / "copy")
    monkeypatch.chdir(root)
    plan = flow.current(root)
    pretrained, finetuned = (plan.of_stage(stage)[0].ref for stage in ("pretrain", "finetune"))
    (root / "config/config.yaml").write_text("experiment: micro\nseed: 9\n")
    here = f"finished models here, to name instead: {finetuned} (micro), {pretrained} (micro)"
    for arguments in ([], ["-m", "pretrain"], ["-m", "default"]):
        refused(variorum("sample", *arguments), here, "make it with `snakemake")
    assert variorum("sample", "-m", finetuned.key, "-n", "2").code == 0
    for stage in ("pretrain", "finetune"):
        shutil.rmtree(root / "results" / stage)
    refused(variorum("sample"), "no model is here")


def test_weights_of_8_bits_write_a_text_and_give_a_folder(
    variorum: Command, here: Path, tmp_path: Path
) -> None:
    asked = ("sample", "the ", "-n", "20", "--seed", "3", "--weights")
    said = variorum(*asked, "int8")
    assert said.code == 0
    assert said == variorum(*asked, "int8", "--no-cache")
    assert variorum(*asked, "float32") == variorum(*asked[:-1])
    done = variorum("model", "export", "finetune", str(tmp_path / "int8"), "--weights", "int8")
    assert done.code == 0
    assert done.out.endswith(f": 3 files in {tmp_path / 'int8'}\n")
    assert variorum(*asked, "int4").code != 0
