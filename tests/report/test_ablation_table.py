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
from variorum.evaluation.metrics import METRICS
from variorum.report.ablation import runs as run_files
from variorum.report.ablation import text_baselines
from variorum.report.ablation.cells import codes, sheets, tried, variants
from variorum.report.ablation.html import html
from variorum.report.ablation.overview import overview, shared
from variorum.report.ablation.question import Question
from variorum.report.ablation.render import csv_text, markdown
from variorum.report.ablation.runs import Run
from variorum.report.ablation.sentences import findings, how_to_read, what_was_compared
from variorum.report.ablation.table import ablation_table
from variorum.report.ablation.text_baselines import measured
from variorum.report.claims import Verdict

QUESTION = Question(
    title="Sizes",
    question="Does size matter?",
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
        lines = [line for line in text.splitlines() if line.startswith(f"| {row['variant']} |")]
        first, means, *_ = lines
        assert f"| {row['verdict']} |" in first
        assert f"| {float(row['mean']):.4f} |" in means
        if row["difference"]:
            assert f"{abs(float(row['difference'])):.4f}" in first
        assert f"{abs(float(row['to_text'])):.4f}" in means
        assert f"| {row['to_text_verdict']} |" in means
    for sheet in sheets(table):
        for cells in sheet.rows:
            assert "| " + " | ".join(cells) + " |" in text
            assert all(f">{cell}</td>" in page for cell in cells)
    assert [row["verdict"] for row in rows_of(table)] == [
        "baseline",
        "worse",
        "better",
        "alike",
    ]


def test_table_says_question_metric_command_and_every_key():
    table = positions_table()
    for text in (markdown(table), csv_text(table), html(table, [])):
        for part in (table.question.question, "bits per byte", table.question.command):
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
    assert [cells[-1] for cells in variants(table).rows] == ["", "", "1.00e9", "1.00e9"]
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
            steps=seed * 10,
            batch_size=4,
            passes=base,
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
    assert row.verdict is Verdict.OPEN
    assert row.difference.low < 0 < row.difference.high
    assert "a|b and small are not told apart in bits per byte (" in findings(table)[0]


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("bits_per_byte", "a|b needs 1.0033 bits per byte more than small ("),
        ("top_1", "a|b is better than small in top-1 accuracy, by 1.0033 ("),
        ("perplexity", "a|b is worse than small in perplexity, by 1.0033 ("),
    ],
)
def test_the_metric_decides_which_is_better(metric, said):
    question = replace(QUESTION, metric=METRICS[metric])
    table = ablation_table(runs([1.0, 1.1, 1.2], [2.0, 2.1, 2.21]), question)
    assert table.sections[0].rows[1].verdict is Verdict.MORE
    assert said in findings(table)[0]


def test_within_a_named_margin_variants_are_alike_and_else_they_are_not():
    close = runs([1.0, 1.1, 1.2], [1.001, 1.1, 1.199])
    alike = ablation_table(close, replace(QUESTION, margin=0.02))
    assert alike.sections[0].rows[1].verdict is Verdict.ALIKE
    assert "a|b and small differ by at most 0.02 in bits per byte" in findings(alike)[0]
    assert "alike: it includes 0 and lies between ±0.02 bits per byte" in how_to_read(alike)
    for margin in (None, 0.0001):
        table = ablation_table(close, replace(QUESTION, margin=margin))
        assert table.sections[0].rows[1].verdict is Verdict.OPEN


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
        missed += Verdict.FEWER in verdicts or Verdict.MORE in verdicts
    assert missed / n < 0.07
    assert "The intervals of the 8 differences hold together" in markdown(table)


def test_seeds_may_be_added_after_a_look_where_the_question_says_so():
    some = runs([1.0, 1.1, 1.2, 1.3, 1.4], [1.05, 1.2, 1.25, 1.4, 1.45])
    once, often = (ablation_table(some, replace(QUESTION, looks=each)) for each in ("once", "any"))
    assert once.sections[0].rows[1].verdict is Verdict.MORE
    assert often.sections[0].rows[1].verdict is Verdict.MORE
    widths = [
        table.sections[0].rows[1].difference.high - table.sections[0].rows[1].difference.low
        for table in (once, often)
    ]
    assert 1.9 < widths[1] / widths[0] < 2
    assert "seeds that were named beforehand" in how_to_read(once)
    assert "however often the runs are looked at" in how_to_read(often)
    two = ablation_table(runs([1.0, 1.1], [1.5, 1.61]), replace(QUESTION, looks="any"))
    assert "too few seeds for an interval that holds at any look" in findings(two)[0]


def test_one_seed_has_no_interval_and_no_verdict():
    table = ablation_table(runs([1.0], [0.5]), QUESTION)
    assert table.sections[0].rows[1].verdict is Verdict.UNTOLD
    assert "a|b and small are not compared in bits per byte: one run." in findings(table)[0]
    assert "| not compared: one run |" in markdown(table)
    for text in (markdown(table), csv_text(table), html(table, [])):
        assert not re.search(r"\b(None|nan)\b", text)


def test_a_bar_in_a_name_does_not_break_the_markdown():
    table = ablation_table(runs([1.0, 2.0], [2.0, 1.0]), QUESTION)
    line = next(line for line in markdown(table).splitlines() if line.startswith("| a\\|b"))
    assert line.replace("\\|", "").count("|") == 5


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
    assert (row.verdict, row.why, row.value.n) == (Verdict.UNTOLD, "one run", 1)


def test_what_a_training_elsewhere_took_is_not_told_as_nothing():
    trained = {"steps": 10, "batch_size": 4, "tokens": 640, "passes": 0.5, "flops": 10**9}
    elsewhere = [run("small", 1, 1.0), *(run("a|b", seed, 0.9, **trained) for seed in (1, 2))]
    imported, own = variants(ablation_table(elsewhere, QUESTION)).rows
    assert imported[3:] == ("",) * 6
    assert own[3:] == ("10", "4", "16", "640", "0.5", "1.00e9")


def test_every_seed_is_compared_with_a_single_model():
    single = [replace(run("small", seed, 1.0), key="imported/1") for seed in (1, 2, 3)]
    several = [run("a|b", seed, value) for seed, value in enumerate((0.91, 0.9, 0.89), 1)]
    judged, row = ablation_table([*single, *several], QUESTION).sections[0].rows
    assert judged.value.n == len(judged.runs) == 1
    assert row.difference is not None
    assert (row.difference.n, row.difference.mean) == (3, pytest.approx(-0.1))
    assert row.verdict is Verdict.FEWER
    other = replace(QUESTION, baseline="a|b")
    assert ablation_table([*single, *several], other).sections[0].rows[0].verdict is Verdict.MORE


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
    assert "On the base test text, the same runs as small: a|b." in findings(table)
    assert "| the same runs |" in markdown(table)


# Tuning

TUNED_RATES = replace(QUESTION, variants=("adamw", "muon"), baseline="adamw", tuned="pretrain.rate")


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
    table = ablation_table(tuned_runs(), TUNED_RATES)
    assert {choice.variant: choice.best for choice in table.choices} == {"adamw": 2.0, "muon": 4.0}
    tuned, untuned = table.sections
    assert [round(row.value.mean, 6) for row in tuned.rows] == [2.2, 4.2]
    assert [round(row.value.mean, 6) for row in untuned.rows] == [1.2, 2.2]
    assert {row.tuned for row in untuned.rows} == {None}


def test_an_optimum_at_the_end_of_what_was_tried_is_flagged():
    table = ablation_table(tuned_runs(), TUNED_RATES)
    assert [choice.at_edge for choice in table.choices] == [False, True]
    flagged = "The pretrain.rate of muon with the lowest mean loss on val, 4, is the largest"
    assert [flagged in sentence for sentence in findings(table)] == [False, False, True]
    shown = {cells[0]: cells[-1] for cells in sheets(table)[0].rows}
    assert shown == {"adamw": "2", "muon": "4 (edge)"}


def test_what_was_tried_stands_in_the_table_with_tuned_and_untuned_apart():
    table = ablation_table(tuned_runs(), TUNED_RATES)
    text = markdown(table)
    assert "## Base test text, tuned" in text
    assert "## Base test text, untuned" in text
    assert tried(table).columns == ("variant", "1", "2", "4", "its own")
    assert "| adamw | 5.0200 | 3.0200 (lowest) | 4.0200 | 5.0200 |" in text
    assert table.comparisons == 2
    assert [row["tuned"] for row in rows_of(table)] == ["true", "true", "false", "false"]


def test_a_variant_that_cannot_be_tuned_stands_untuned_beside_the_tuned():
    fixed = [run("kept", seed, 1.5 + seed / 10) for seed in (1, 2, 3)]
    question = replace(TUNED_RATES, variants=("adamw", "muon", "kept"), baseline="kept")
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


# Baselines of the text


def measures(**static):
    """A text's baselines, of which the static ones need these bits per byte."""
    kinds = {"static": {n: {"bits_per_byte": v, "order": 3} for n, v in static.items()}}
    kinds["adaptive"] = {"ppmd": {"bits_per_byte": 0.1, "order": 4}, "xz": {"bits_per_byte": 3.5}}
    return tuple(measured("base", kinds, "baselines/c0ffee"))


def against_text(values, **static):
    table = ablation_table(runs(values, [9.0, 9.1, 9.2]), QUESTION, measures(**static))
    return table, table.sections[0].rows[0]


@pytest.mark.parametrize(
    ("values", "found", "said"),
    [
        (
            [2.0, 2.01, 2.02],
            Verdict.MORE,
            "worse than static PPMd of order 3 (1.5000): small (+0.5100), a|b",
        ),
        (
            [1.0, 1.01, 1.02],
            Verdict.FEWER,
            "better than static PPMd of order 3 (1.5000): small (−0.4900);",
        ),
        (
            [1.4, 1.5, 1.63],
            Verdict.OPEN,
            "not told apart from static PPMd of order 3 (1.5000): small (",
        ),
        (
            [2.0],
            Verdict.UNTOLD,
            "not compared with static PPMd of order 3 (1.5000): small (one run).",
        ),
    ],
)
def test_variants_are_compared_with_the_strongest_static_baseline(values, found, said):
    table, row = against_text(values, ppmd=1.5, ngram=1.7)
    assert table.sections[0].text.name == "ppmd"
    assert row.to_text.mean == pytest.approx(np.mean(values) - 1.5)
    assert row.to_text_verdict is found
    assert any(said in sentence for sentence in findings(table))
    stronger, _ = against_text(values, ppmd=1.5, ngram=1.2)
    assert stronger.sections[0].text.name == "ngram"


def test_intervals_to_a_baseline_of_the_text_hold_together():
    draw, n = np.random.default_rng(0), 400
    variants = ("small", *"abcd")
    question = replace(QUESTION, variants=variants)
    texts = tuple(replace(m, corpus=c) for c in ("base", "domain") for m in measures(ppmd=3.0))
    missed = 0
    for _ in range(n):
        drawn = [
            replace(run(v, seed, 3), scores={c: 3 + draw.normal() for c in ("base", "domain")})
            for v in variants
            for seed in range(5)
        ]
        sections = ablation_table(drawn, question, texts).sections
        rows = [row for section in sections for row in section.rows]
        assert len(rows) == 10
        missed += any(row.to_text_verdict in (Verdict.FEWER, Verdict.MORE) for row in rows)
    assert missed / n < 0.065  # 0.09 if each text counted by itself


def test_both_kinds_of_baselines_stand_side_by_side():
    table = positions_table()
    for text in (markdown(table), html(table, [])):
        for needed in ("1.8800 (order 16)", "1.7200 (order 12)", "2.1000", "2.0000"):
            assert needed in text
    lines = markdown(table).splitlines()
    assert "| PPMd | 1.8800 (order 16) | 1.7200 (order 12) | base |" in lines
    assert "| xz |  | 2.0000 | base |" in lines


def test_baselines_are_read_as_they_were_written():
    written = (*measures(ppmd=1.5, ngram=0.1 + 0.2), *positions_table().baselines)
    assert text_baselines.read_csv(text_baselines.csv_text(written)) == written


def test_a_training_text_that_was_not_read_to_its_begin_is_named():
    kinds = {"static": {"ngram": {"bits_per_byte": 1.5, "order": 3}}, "adaptive": {}}
    train = {"train": {"bytes": 400_000_000, "read": 32_000_000}}
    whole, cut = (tuple(measured("base", kinds | each, "b/1")) for each in ({}, train))
    assert text_baselines.read_csv(text_baselines.csv_text(cut)) == cut
    assert "train_read" not in text_baselines.csv_text(whole)
    values = [2.0, 2.01, 2.02], [9.0, 9.1, 9.2]
    said = [how_to_read(ablation_table(runs(*values), QUESTION, each)) for each in (whole, cut)]
    assert "of the same corpus. Static" in said[0]
    assert "of the same corpus (the last 32\u00a0MB of base). Static" in said[1]


def test_without_baselines_nothing_is_said_of_any():
    table = ablation_table(runs([1.0, 1.1], [1.0, 1.1]), QUESTION)
    assert table.sections[0].text is None
    for text in (markdown(table), html(table, [])):
        assert "Baselines" not in text
        assert "PPMd" not in text


# What was compared


def test_a_table_says_what_was_compared():
    table = positions_table()
    for text in (markdown(table), html(table, []).replace("<code>", "`").replace("</code>", "`")):
        assert "Experiment `study`; base corpus: prose of SymPy 1.14.0." in text
        text = text.replace("\u202f", "")
        assert "826880 parameters; the judged training has 500 steps of 16 sequences" in text
        assert "of 64 tokens." in text
        assert "model.positions: rotary" in text
    assert "Shares of text differ" not in markdown(table)


def test_unequal_shares_of_text_are_said():
    some = [
        replace(each, passes=2.0 if each.variant == "small" else 0.52, flops=10**12, steps=3)
        for each in runs([1.0, 1.1], [1.0, 1.1])
    ]
    said = " ".join(what_was_compared(ablation_table(some, QUESTION)))
    assert "saw their training text 0.52 to 2 times, and took 1.00e12 FLOPs." in said


# Grids

RATES, SHARES = ("0.1", "0.2", "0.3"), ("0", "0.5", "0.9")


def grid_table(means):
    """A grid of two settings, of which each combination has the difference that is given."""
    names = {f"rate={rate},share={share}": (rate, share) for rate in RATES for share in SHARES}
    question = replace(
        QUESTION,
        variants=("none", *names),
        baseline="none",
        axes=("finetune.rate", "finetune.share"),
        changes={
            "none": {"last_stage": "pretrain"},
            **{n: {"finetune.rate": r, "finetune.share": s} for n, (r, s) in names.items()},
        },
    )
    shifts = {"none": 0.0, **dict(zip(names, means, strict=True))}
    noise = (-0.001, 0.0, 0.001)
    drawn = [
        run(name, seed, 2 + shift + (noise[seed] if shift else 0))
        for name, shift in shifts.items()
        for seed in range(3)
    ]
    return ablation_table(drawn, question)


def test_a_grid_is_a_matrix_of_differences_and_verdicts():
    table = grid_table([-0.5, -0.4, -0.3, -0.2, -0.1, 0.1, 0.2, 0.3, 0.0])
    matrix, every, *_ = sheets(table)
    assert matrix.heading == "Base test text: difference to none, across by share"
    assert matrix.columns == ("rate", "0", "0.5", "0.9")
    assert matrix.rows == (
        ("0.1", "−0.5000 better", "−0.4000 better", "−0.3000 better"),
        ("0.2", "−0.2000 better", "−0.1000 better", "+0.1000 worse"),
        ("0.3", "+0.2000 worse", "+0.3000 worse", "0.0000 not told apart"),
    )
    assert not matrix.folded
    assert every.folded
    assert len(every.rows) == 10


def test_a_matrix_shows_the_variants_of_the_grid_alone():
    plain = grid_table([-0.5, -0.4, -0.3, -0.2, -0.1, 0.1, 0.2, 0.3, 0.0])
    special = {"finetune.rate": "0.2", "finetune.share": "0.5", "finetune.steps": "9"}
    elsewhere = {"finetune.rate": "7"}
    question = replace(
        plain.question,
        variants=(*plain.question.variants, "special", "elsewhere"),
        changes={**plain.question.changes, "special": special, "elsewhere": elsewhere},
    )
    named = [run(name, seed, 9.0 + seed) for name in ("special", "elsewhere") for seed in range(3)]
    table = ablation_table([*plain.runs, *named], question)
    assert [len(cells) for cells in sheets(table)[0].rows] == [4, 4, 4]
    assert not any("+7" in cell for cells in sheets(table)[0].rows for cell in cells)
    assert findings(table)[0].startswith("Of 11 variants on the base test text, better than none")


def test_a_grid_of_groups_of_settings_has_no_matrix_and_all_verdicts_in_sight():
    question = replace(
        QUESTION,
        axes=("tokenizer", "x.a"),
        changes={"a|b": {"tokenizer.kind": "bpe", "tokenizer.vocab_size": "512", "x.a": "1"}},
    )
    first = sheets(ablation_table(runs([1.0, 1.1], [1.2, 1.3]), question))[0]
    assert first.heading == "Base test text"
    assert not first.folded


def test_variants_with_the_baselines_runs_are_named_among_many():
    plain = grid_table([-0.5, -0.4, -0.3, -0.2, -0.1, 0.1, 0.2, 0.3, 0.0])
    question = replace(plain.question, variants=(*plain.question.variants, "again"))
    again = [replace(each, variant="again") for each in plain.runs if each.variant == "none"]
    said = findings(ablation_table([*plain.runs, *again], question))[0]
    assert said.endswith("not told apart from none: 1 (0.0000); the same runs as none: again.")


def test_variants_that_cannot_be_tuned_are_named_beside_tuned_ones():
    drawn = runs([1.0, 1.1], [1.2, 1.3])
    both = [replace(r, tuned=0.1, val_loss=1.0, key=f"tuned {r.key}") for r in drawn]
    tuned = [r for r in both if r.variant == "small"]
    question = replace(QUESTION, tuned="pretrain.learning_rate")
    assert "a|b cannot be tuned: the choice among" in how_to_read(
        ablation_table([*drawn, *tuned], question)
    )
    assert "cannot be tuned" not in how_to_read(ablation_table([*drawn, *both], question))


def test_a_grid_is_summed_up_in_one_short_sentence():
    table = grid_table([-0.5, -0.4, -0.3, -0.2, -0.1, 0.1, 0.2, 0.3, 0.0])
    assert findings(table) == [
        "Of 9 variants of rate and share on the base test text, better than none: 5 (−0.5000 to "
        "−0.1000); worse than none: 3 (+0.1000 to +0.3000); not told apart from none: 1 (0.0000)."
    ]


def test_a_grid_of_three_settings_has_the_last_across():
    names = [(a, b, c) for a in "12" for b in "34" for c in "56"]
    question = replace(
        QUESTION,
        variants=("small", *("".join(each) for each in names)),
        axes=("x.a", "x.b", "x.c"),
        changes={"".join(n): dict(zip(("x.a", "x.b", "x.c"), n, strict=True)) for n in names},
    )
    drawn = [run(v, seed, 1.0 + seed) for v in question.variants for seed in (1, 2)]
    matrix = sheets(ablation_table(drawn, question))[0]
    assert matrix.columns == ("a", "b", "5", "6")
    assert [cells[:2] for cells in matrix.rows] == [("1", "3"), ("1", "4"), ("2", "3"), ("2", "4")]


# Several tables


def test_tables_that_share_runs_say_so():
    first = ablation_table(runs([1.0, 1.1, 1.2], [1.2, 1.3, 1.4]), QUESTION)
    tuned = [replace(r, tuned=0.1, key=f"tuned {r.key}") for r in first.runs]
    own = [replace(r, variant={"small": "x", "a|b": "y"}[r.variant]) for r in (*first.runs, *tuned)]
    others = [r if r.variant == "x" else replace(r, key=f"new {r.key}") for r in own if r.seed > 1]
    first = ablation_table([*first.runs, *tuned], replace(QUESTION, tuned="rate"))
    second = ablation_table(others, replace(QUESTION, variants=("x", "y"), baseline="x"))
    said = shared({"one": first, "two": second})
    assert said == [
        "4 runs appear in `one/small` and `two/x`, so these tables are not independent."
    ]
    text = overview({"one": first, "two": second})
    assert all(sentence in text for table in (first, second) for sentence in findings(table))
    assert said[0] in text
    assert shared({"one": first}) == []
