"""The ablation table: what it computes, and that Markdown, CSV and HTML say the same."""

import csv
import io
import random
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_report import positions_table

from variorum.base.errors import VariorumError
from variorum.report.ablation import runs as run_files
from variorum.report.ablation.html import html
from variorum.report.ablation.render import codes, csv_text, findings, grids, markdown, tried
from variorum.report.ablation.runs import Run
from variorum.report.ablation.table import Question, ablation_table

QUESTION = Question(
    title="Sizes",
    question="Does size matter?",
    metric="bits per byte",
    variants=("small", "a|b"),
    baseline="small",
    command="snakemake sizes",
)


def run(variant, seed, value, **more):
    scores = value if isinstance(value, dict) else {"base": value}
    return Run(variant, seed, scores, f"{variant}-{seed}-{more.get('tuned') or 'own'}", 10, **more)


def runs(small, other):
    by_variant = {"small": small, "a|b": other}
    return [
        run(variant, seed, value)
        for variant, values in by_variant.items()
        for seed, value in enumerate(values, 1)
    ]


def rows_of(table):
    return list(csv.DictReader(io.StringIO(csv_text(table))))


def test_markdown_csv_and_html_say_the_same():
    table = positions_table()
    text, page = markdown(table), html(table, [])
    for row in rows_of(table):
        line = next(line for line in text.splitlines() if line.startswith(f"| {row['variant']} |"))
        assert f"| {float(row['mean']):.4f} |" in line
        assert f"| {row['verdict']} |" in line
        if row["difference"]:
            assert f"{abs(float(row['difference'])):.4f}" in line
    for grid in grids(table):
        for cells in grid.rows:
            assert "| " + " | ".join(cells) + " |" in text
            assert all(f">{cell}</td>" in page for cell in cells)
    assert [row["verdict"] for row in rows_of(table)] == [
        "baseline",
        "worse",
        "better",
        "no difference shown",
    ]


def test_table_says_question_metric_command_and_every_key():
    table = positions_table()
    for text in (markdown(table), csv_text(table), html(table, [])):
        for part in (table.question.question, table.question.metric, table.question.command):
            assert part in text
        assert all(run.key in text for run in table.runs)
        assert text.endswith("\n")
        assert not text.endswith("\n\n")


def test_a_page_needs_no_network_and_no_script():
    page = html(positions_table(), [("intervals", "Means", '<svg width="3"><g id="a"/></svg>')])
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert not re.search(r'(src|href)="(?!#)', page)


def test_order_of_the_runs_does_not_matter():
    shuffled = runs([1.0, 1.1, 1.2], [0.9, 1.0, 1.05])
    expected = ablation_table(shuffled, QUESTION)
    for seed in range(5):
        random.Random(seed).shuffle(shuffled)
        assert ablation_table(shuffled, QUESTION) == expected


OF_CODES = replace(
    QUESTION,
    variants=("before", "main", "same", "here"),
    baseline="here",
    codes={"main": "main", "same": "v1"},
    edited={"main": True, "same": False},
    pinned={"before": "old"},
)


def coded(question):
    values = {"before": None, "main": None, "same": 10**9, "here": 10**9}
    return ablation_table(
        [run(v, seed, 1.0, flops=flops) for v, flops in values.items() for seed in (1, 2)], question
    )


def test_the_code_of_every_variant_is_told():
    assert codes(coded(OF_CODES)).rows == (
        ("before", "pinned as `old`", ""),
        ("main", "[`main`](codes.csv)", "[main.diff](main.diff): what its code changes"),
        ("same", "[`v1`](codes.csv)", "the same in all that it reaches"),
        ("here", "working tree", ""),
    )
    against_kept = replace(OF_CODES, baseline="before", edited={})
    rows = codes(coded(against_kept)).rows
    assert [name for name, _, _ in rows] == list(OF_CODES.variants)
    assert {change for _, _, change in rows} == {""}, "nothing is known of a kept model's code"
    assert codes(ablation_table(runs([1.0], [2.0]), QUESTION)) is None


def test_operations_of_models_that_other_code_defines_are_left_empty():
    table = coded(OF_CODES)
    assert [row["flops"] for row in rows_of(table)] == ["", "", "1000000000", "1000000000"]
    assert [cells[-1] for cells in grids(table)[0].rows] == ["", "", "1.00e9", "1.00e9"]
    assert "those of models that other code defines are not counted" in markdown(table)
    assert "not counted" not in markdown(positions_table())


FINITE = st.floats(0.1, 10, allow_nan=False)


@given(
    st.lists(st.tuples(FINITE, FINITE), min_size=2, max_size=4),
    st.none() | FINITE,
    st.lists(st.text(max_size=8), max_size=2),
)
def test_runs_are_read_as_they_were_written(values, tuned, adopted):
    written = [
        run(
            variant,
            seed,
            {"base": base, "domain": domain},
            tuned=tuned,
            val_loss=base,
            tokens=seed * 1000,
            flops=None if seed == 0 else 10**15 + seed,
            evaluations={"base": "evaluate/1", "domain": "evaluate/2"},
            adopted=tuple(adopted),
        )
        for variant in ("small", "a|b")
        for seed, (base, domain) in enumerate(values)
    ]
    assert run_files.read_csv(run_files.csv_text(written)) == written


def test_equal_variants_show_no_difference_and_their_interval_holds_zero():
    table = ablation_table(runs([1.0, 1.2, 1.1], [1.1, 1.1, 1.1]), QUESTION)
    row = table.sections[0].rows[1]
    assert row.verdict == "no difference shown"
    assert row.difference.low < 0 < row.difference.high
    assert "no difference shown: a|b (0.0000)" in findings(table)[0]


@pytest.mark.parametrize(("lower_is_better", "verdict"), [(True, "worse"), (False, "better")])
def test_direction_decides_which_is_better(lower_is_better, verdict):
    question = replace(QUESTION, lower_is_better=lower_is_better)
    table = ablation_table(runs([1.0, 1.1, 1.2], [2.0, 2.1, 2.21]), question)
    assert table.sections[0].rows[1].verdict == verdict
    assert f"{verdict} than small: a|b (+1.0033)" in findings(table)[0]


def simulated(draw, variants, corpora, seeds=5):
    """Runs of variants that do not differ, whose seeds share luck and scatter normally."""
    luck = draw.normal(size=seeds)
    return [
        run(variant, seed, {c: 3 + luck[seed] + draw.normal() for c in corpora})
        for variant in variants
        for seed in range(seeds)
    ]


def test_intervals_of_means_and_of_one_difference_cover_as_they_say():
    draw, n = np.random.default_rng(0), 3000
    question = replace(QUESTION, variants=("small", "b"))
    means = differences = 0
    for _ in range(n):
        rows = ablation_table(simulated(draw, ["small", "b"], ["base"]), question).sections[0].rows
        means += rows[1].value.low <= 3 <= rows[1].value.high
        differences += rows[1].difference.low <= 0 <= rows[1].difference.high
    assert 0.93 < means / n < 0.97
    assert 0.93 < differences / n < 0.97


def test_intervals_of_several_differences_hold_together():
    draw, n = np.random.default_rng(0), 400
    variants = ("small", *"abcd")
    question, corpora = replace(QUESTION, variants=variants), ["base", "domain"]
    missed = 0
    for _ in range(n):
        table = ablation_table(simulated(draw, variants, corpora), question)
        verdicts = [row.verdict for section in table.sections for row in section.rows]
        missed += "better" in verdicts or "worse" in verdicts
    assert missed / n < 0.07
    assert "The intervals of the 8 differences hold together" in markdown(table)


def test_what_could_have_been_shown_stands_beside_what_was():
    table = positions_table()
    assert "shown at 80 % power" in markdown(table)
    first, *others = table.sections[0].rows
    assert first.detectable is None
    for row in others:
        assert f"| {row.verdict} | {row.detectable:.4f} |" in markdown(table)


def test_one_seed_has_no_interval_and_no_verdict():
    table = ablation_table(runs([1.0], [0.5]), QUESTION)
    assert table.sections[0].rows[1].verdict == "one run: cannot tell"
    assert "one run, so nothing is shown: a|b." in findings(table)[0]
    for text in (markdown(table), csv_text(table), html(table, [])):
        assert not re.search(r"\b(None|nan)\b", text)


def test_a_bar_in_a_name_does_not_break_the_markdown():
    table = ablation_table(runs([1.0, 2.0], [2.0, 1.0]), QUESTION)
    line = next(line for line in markdown(table).splitlines() if line.startswith("| a\\|b"))
    assert line.replace("\\|", "").count("|") == 13


def test_names_are_escaped_on_the_page():
    question = replace(QUESTION, title="<b>", variants=("small", "<i>`x`"))
    table = ablation_table([run("small", 1, 1.0), run("<i>`x`", 1, 1.0)], question)
    page = html(table, [])
    assert "&lt;b&gt;" in page
    assert "&lt;i&gt;<code>x</code>" in page
    assert "<i>" not in page


def test_missing_and_repeated_runs_are_refused():
    with pytest.raises(VariorumError, match=r"no runs of a\|b"):
        ablation_table(runs([1.0], []), QUESTION)
    with pytest.raises(VariorumError, match="seed 1 twice"):
        ablation_table(2 * runs([1.0], [1.0]), QUESTION)
    with pytest.raises(VariorumError, match="baseline 'big'"):
        ablation_table(runs([1.0], [1.0]), replace(QUESTION, baseline="big"))


def test_adopted_runs_are_marked_and_told_once_and_others_leave_the_table_as_it_was():
    plain = runs([1.0, 1.1, 1.2], [0.9, 1.0, 1.05])
    line = "pretrain/2: adopted from pretrain/1 on someone's word: it's so"
    adopted = [replace(r, adopted=(line,)) if r.key == "a|b-2-own" else r for r in plain]
    before, after = (ablation_table(each, QUESTION) for each in (plain, adopted))
    changed = set(markdown(after).splitlines()) - set(markdown(before).splitlines())
    assert sum(text.startswith("| a\\|b† |") for text in changed) == 1
    assert any("2: `a\\|b-2-own`†" in text for text in changed)
    assert f"- {line}" in changed
    assert len(changed) == 4, "both lines of the variant, the footnote, and what it tells"
    assert [row["adopted"] for row in rows_of(before)] == ["", ""]
    assert [row["adopted"] for row in rows_of(after)] == ["", line]


def test_runs_of_one_model_are_one_run_however_many_seeds_ask_for_it():
    imported = [replace(run("a|b", seed, 0.9), key="imported/1") for seed in (1, 2, 3)]
    same = [replace(run("small", seed, 1.0), key="imported/2") for seed in (1, 2, 3)]
    _, row = ablation_table([*same, *imported], QUESTION).sections[0].rows
    assert (row.verdict, row.value.n, row.value.sd) == ("one run: cannot tell", 1, None)


def test_every_seed_is_compared_with_a_single_model():
    single = [replace(run("small", seed, 1.0), key="imported/1") for seed in (1, 2, 3)]
    several = [run("a|b", seed, value) for seed, value in enumerate((0.91, 0.9, 0.89), 1)]
    judged, row = ablation_table([*single, *several], QUESTION).sections[0].rows
    assert judged.value.n == len(judged.runs) == 1
    assert row.difference is not None
    assert (row.difference.n, row.difference.mean) == (3, pytest.approx(-0.1))
    assert row.verdict == "better"
    other = replace(QUESTION, baseline="a|b")
    assert ablation_table([*single, *several], other).sections[0].rows[0].verdict == "worse"


def test_whole_values_that_were_tuned_are_written_as_such():
    question = replace(QUESTION, variants=("small",), tuned="pretrain.max_steps")
    tuned = [
        run("small", seed, 1.0, tuned=value, val_loss=loss)
        for value, loss in ((None, 3.0), (1000, 2.0), (2000, 1.8), (2004, 1.9))
        for seed in (1, 2)
    ]
    table = ablation_table(tuned, question)
    text = markdown(table)
    for name in ("small@1000", "small@2000", "small@2004"):
        assert f"| {name} | 1: " in text
    assert "| variant | 1000 | 2000 | 2004 | its own |" in text
    again = ablation_table(run_files.read_csv(run_files.csv_text(table.runs)), question)
    assert markdown(again) == text


def test_a_variant_that_shares_its_runs_with_the_baseline_says_so():
    both = [replace(r, key=f"k{r.seed}") for r in runs([1.0, 1.1, 1.2], [1.0, 1.1, 1.2])]
    table = ablation_table(both, QUESTION)
    assert table.sections[0].rows[1].detectable is None
    assert "no difference shown: a|b (the same runs)" in findings(table)[0]


# Tuning

RATES = replace(QUESTION, variants=("adamw", "muon"), baseline="adamw", tuned="pretrain.rate")


def tuned_runs():
    """AdamW is best within what was tried, Muon at its end; test says something else."""
    losses = {"adamw": {1: 5, 2: 3, 4: 4}, "muon": {1: 4, 2: 3, 4: 2}}
    own = {"adamw": 1, "muon": 2}
    for variant, by_value in losses.items():
        for value, loss in [(None, by_value[own[variant]]), *by_value.items()]:
            for seed in (1, 2, 3):
                shown = (value or own[variant]) + seed / 10
                yield run(variant, seed, shown, val_loss=loss + seed / 100, tuned=value)


def test_each_variant_gets_what_is_best_on_val_whatever_test_says():
    table = ablation_table(tuned_runs(), RATES)
    assert {choice.variant: choice.best for choice in table.choices} == {"adamw": 2.0, "muon": 4.0}
    tuned, untuned = table.sections
    assert [round(row.value.mean, 6) for row in tuned.rows] == [2.2, 4.2]
    assert [round(row.value.mean, 6) for row in untuned.rows] == [1.2, 2.2]
    assert {row.tuned for row in untuned.rows} == {None}


def test_an_optimum_at_the_end_of_what_was_tried_is_flagged():
    table = ablation_table(tuned_runs(), RATES)
    assert [choice.at_edge for choice in table.choices] == [False, True]
    flagged = "The best pretrain.rate of muon, 4, is the largest that was tried"
    assert [flagged in sentence for sentence in findings(table)] == [False, False, True]
    assert "| muon | 4 (edge) |" in markdown(table)
    assert "| adamw | 2 |" in markdown(table)


def test_what_was_tried_stands_in_the_table_with_tuned_and_untuned_apart():
    table = ablation_table(tuned_runs(), RATES)
    text = markdown(table)
    assert "## Base test text, tuned" in text
    assert "## Base test text, untuned" in text
    assert tried(table).columns == ("variant", "1", "2", "4", "its own")
    assert "| adamw | 5.0200 | 3.0200 (best) | 4.0200 | 5.0200 |" in text
    assert table.comparisons == 2
    assert [row["tuned"] for row in rows_of(table)] == ["true", "true", "false", "false"]


def test_a_variant_that_cannot_be_tuned_stands_untuned_beside_the_tuned():
    fixed = [run("kept", seed, 1.5 + seed / 10) for seed in (1, 2, 3)]
    question = replace(RATES, variants=("adamw", "muon", "kept"), baseline="kept")
    tuned = ablation_table([*tuned_runs(), *fixed], question).sections[0]
    assert [row.variant for row in tuned.rows] == ["adamw", "muon", "kept"]
    assert [row.tuned for row in tuned.rows] == [2.0, 4.0, None]


def test_several_corpora_stand_one_after_the_other():
    draw = np.random.default_rng(1)
    question = replace(QUESTION, variants=("small", "b"))
    table = ablation_table(simulated(draw, ["small", "b"], ["domain", "base"]), question)
    assert [section.corpus for section in table.sections] == ["domain", "base"]
    text = markdown(table)
    assert text.index("## Domain test text") < text.index("## Base test text")
