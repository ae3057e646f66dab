"""A model is described before it is made, and as it was made."""

import re

import pytest

import flow
import variorum
from conftest import Project, add_micro_experiment, copy_project
from variorum.base.errors import VariorumError
from variorum.cli import model_summary

BPE = {"tokenizer": {"kind": "bpe", "vocab_size": 300}}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment, of which nothing was made."""
    project = copy_project(tmp_path_factory.mktemp("described") / "fresh")
    add_micro_experiment(project)
    return project


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment up to its fine-tuned model."""
    project = copy_project(tmp_path_factory.mktemp("described") / "trained")
    add_micro_experiment(project)
    flow.before(project.root, flow.current(project.root), "evaluate")
    return project


def number(lines: list[str], name: str) -> int:
    """The first number that the line of this name tells."""
    (line,) = (line for line in lines if line.startswith(f"  {name} "))
    found = re.search(r"[\d,]+", line)
    assert found
    return int(found[0].replace(",", ""))


def test_a_plan_is_described_by_the_vocabulary_that_its_settings_give(fresh: Project) -> None:
    lines = list(model_summary.of_plan(BPE, fresh.root))
    assert lines[0] == "experiment micro, as planned"
    assert number(lines, "vocabulary") == 300
    embedded, block = (300 + 16) * 16, 12 * 16 * 16 + 9 * 16 + 2 * 2 * 16
    assert number(lines, "parameters") == embedded + block + 2 * 16
    assert "pretrain, 30 steps with adamw" in lines
    assert "finetune, 10 steps with adamw" in lines
    assert not list(fresh.root.glob("results/*/*"))


def test_the_table_is_aligned_and_its_columns_add_up(fresh: Project) -> None:
    lines = list(model_summary.of_plan(BPE, fresh.root))
    table = lines[1 : lines.index("")]
    assert table[0].split("  ")[0].strip() == "layer"
    assert len({len(line) for line in table}) == 1
    cells = [line.rsplit(maxsplit=2)[1:] for line in table[1:]]
    parameters, flops = (
        sum(int(cell.replace(",", "")) for cell in column) for column in zip(*cells, strict=True)
    )
    assert parameters == number(lines, "parameters")
    assert f"  forward, a token                        {flops / 1000:.3g} kFLOPs" in lines


def test_settings_are_changed_as_on_a_command_line(fresh: Project) -> None:
    lines = list(model_summary.of_plan({**BPE, "model": {"n_layer": 3}}, fresh.root))
    assert [line.split()[0] for line in lines if ".attn.c_attn" in line] == [
        f"h.{layer}.attn.c_attn" for layer in range(3)
    ]
    without = list(model_summary.of_plan({**BPE, "corpus": {"domain": None}}, fresh.root))
    assert not [line for line in without if line.startswith("finetune")]


def test_a_vocabulary_that_the_text_decides_needs_the_tokenizer(
    fresh: Project, trained: Project
) -> None:
    with pytest.raises(VariorumError, match=r"characters: .* tokenizer/\w+ is not made yet; run"):
        list(model_summary.of_plan({}, fresh.root))
    lines = list(model_summary.of_plan({}, trained.root))
    assert number(lines, "vocabulary") == variorum.open(root=trained.root).tokenizer.vocab_size


@pytest.mark.parametrize(("reference", "steps"), [("pretrain", 30), ("finetune", 10)])
def test_a_result_is_described_with_the_training_that_made_it(
    trained: Project, reference: str, steps: int
) -> None:
    opened = variorum.open(reference, root=trained.root)
    lines = list(model_summary.of_result(reference, trained.root))
    assert lines[0] == f"{opened.ref} (micro)"
    assert number(lines, "parameters") == opened.parameters
    assert f"{reference}, {steps} steps with adamw" in lines
    assert f"for {steps * 4 * 16:,} tokens" in "\n".join(lines)
    assert sum("steps with" in line for line in lines) == 1


def test_what_is_no_model_is_not_described(trained: Project) -> None:
    with pytest.raises(VariorumError, match="is no model; name a result of"):
        list(model_summary.of_result("tokenizer", trained.root))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0 FLOPs"),
        (999, "999 FLOPs"),
        (1000, "1 kFLOPs"),
        (999_499, "999 kFLOPs"),
        (999_500, "1 MFLOPs"),
        (1_234_567, "1.23 MFLOPs"),
        (10**21, "1e+03 EFLOPs"),
    ],
)
def test_numbers_have_three_digits(value: int, written: str) -> None:
    assert model_summary._scaled(value, "FLOPs") == written
