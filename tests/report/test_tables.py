"""The ablation table, in Markdown and CSV."""

import csv
import io
import random
from dataclasses import replace

import numpy as np
import pytest
from sample_report import positions_table

from variorum.errors import VariorumError
from variorum.report.tables import Run, ablation_table, csv_text, markdown

WORDS = {
    "title": "Sizes",
    "question": "Does size matter?",
    "metric": "test bits per byte",
    "variants": ["small", "a|b"],
    "baseline": "small",
    "command": "snakemake sizes",
}


def runs(small, other, parameters=10):
    by_variant = {"small": small, "a|b": other}
    return [
        Run(variant, seed, value, f"{variant}-{seed}", parameters)
        for variant, values in by_variant.items()
        for seed, value in enumerate(values, 1)
    ]


def test_markdown_and_csv_say_the_same():
    table = positions_table()
    text, rows = markdown(table), list(csv.DictReader(io.StringIO(csv_text(table))))
    for row in rows:
        line = next(line for line in text.splitlines() if line.startswith(f"| {row['variant']} |"))
        assert f"| {float(row['mean']):.4f} |" in line
        assert row["verdict"] in line
        if row["difference"]:
            assert f"{abs(float(row['difference'])):.4f}" in line
    assert [row["verdict"] for row in rows] == [
        "baseline",
        "worse",
        "better",
        "no difference shown",
    ]


def test_table_says_question_metric_command_and_every_key():
    table = positions_table()
    for text in (markdown(table), csv_text(table)):
        for part in (table.question, table.metric, table.command):
            assert part in text
        assert all(run.key in text for row in table.rows for run in row.runs)
        assert text.endswith("\n")
        assert not text.endswith("\n\n")


def test_order_of_the_runs_does_not_matter():
    given = runs([1.0, 1.1, 1.2], [0.9, 1.0, 1.05])
    expected = ablation_table(given, **WORDS)
    for seed in range(5):
        random.Random(seed).shuffle(given)
        assert ablation_table(given, **WORDS) == expected


def test_equal_variants_show_no_difference_and_their_interval_holds_zero():
    table = ablation_table(runs([1.0, 1.2, 1.1], [1.1, 1.1, 1.1]), **WORDS)
    row = table.rows[1]
    assert row.verdict == "no difference shown"
    assert row.difference.low < 0 < row.difference.high
    assert "no difference shown" in markdown(table)


@pytest.mark.parametrize(("lower_is_better", "verdict"), [(True, "worse"), (False, "better")])
def test_direction_decides_which_is_better(lower_is_better, verdict):
    given = runs([1.0, 1.1, 1.2], [2.0, 2.1, 2.21])
    table = ablation_table(given, **WORDS, lower_is_better=lower_is_better)
    assert table.rows[1].verdict == verdict


def test_intervals_of_several_differences_hold_together():
    draw = np.random.default_rng(0)
    variants = ["base", *"abcd"]
    missed = 0
    for _ in range(400):
        given = [
            Run(variant, seed, value, f"{variant}-{seed}", 10)
            for variant in variants
            for seed, value in enumerate(draw.normal(size=5), 1)
        ]
        words = {**WORDS, "variants": variants, "baseline": "base"}
        table = ablation_table(given, **words)
        missed += any(row.verdict in ("better", "worse") for row in table.rows)
    assert missed / 400 < 0.07
    assert "The intervals of the 4 differences hold together" in markdown(table)


def test_what_could_have_been_shown_stands_beside_what_was():
    table = positions_table()
    assert "shown at 80 % power" in markdown(table)
    assert table.rows[0].detectable is None
    for row in table.rows[1:]:
        assert f"| {row.detectable:.4f} | {row.verdict} |" in markdown(table)


def test_one_seed_has_no_interval_and_no_verdict():
    table = ablation_table(runs([1.0], [0.5]), **WORDS)
    assert table.rows[1].verdict == "one seed: cannot tell"
    assert "None" not in markdown(table) + csv_text(table)
    assert "nan" not in markdown(table) + csv_text(table)


def test_a_bar_in_a_name_does_not_break_the_markdown():
    line = next(
        line
        for line in markdown(ablation_table(runs([1.0, 2.0], [2.0, 1.0]), **WORDS)).splitlines()
        if "a\\|b" in line
    )
    assert line.replace("\\|", "").count("|") == 11


def test_missing_and_repeated_runs_are_refused():
    with pytest.raises(VariorumError, match=r"no runs of a\|b"):
        ablation_table(runs([1.0], []), **WORDS)
    with pytest.raises(VariorumError, match="seed 1 twice"):
        ablation_table(2 * runs([1.0], [1.0]), **WORDS)
    with pytest.raises(VariorumError, match="baseline 'big'"):
        ablation_table(runs([1.0], [1.0]), **{**WORDS, "baseline": "big"})


def test_adopted_runs_are_marked_and_told_once_and_others_leave_the_table_as_it_was():
    given = runs([1.0, 1.1, 1.2], [0.9, 1.0, 1.05])
    line = "pretrain/2: adopted from pretrain/1 on someone's word: it's so"
    adopted = [replace(run, adopted=(line,)) if run.key == "a|b-2" else run for run in given]
    before, after = (ablation_table(each, **WORDS) for each in (given, adopted))
    changed = set(markdown(after).splitlines()) - set(markdown(before).splitlines())
    assert sum(text.startswith("| a\\|b† |") for text in changed) == 1
    assert any("2: `a|b-2`†".replace("|", "\\|") in text for text in changed)
    assert f"- {line}" in changed
    assert len(changed) == 4, "both lines of the variant, the footnote, and what it tells"
    rows = {text: list(csv.reader(io.StringIO(csv_text(text)))) for text in (before, after)}
    assert [row[:-1] for row in rows[after]] == rows[before]
    assert [row[-1] for row in rows[after]] == ["adopted", "", line]
