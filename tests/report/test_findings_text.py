"""The findings as Markdown, which the README quotes."""

from dataclasses import replace

from sample_report import sample_report, without_domain

from variorum.report.findings import standings
from variorum.report.findings_text import findings_text


def test_every_score_and_every_sentence_of_the_page_stands_there() -> None:
    text = findings_text(sample_report())
    lines = text.splitlines()
    assert lines[:2] == ["| | base test text | domain test text |", "|---|---|---|"]
    assert "| pretrained model | 1.671 (1.651 to 1.701) | 2.104 (2.084 to 2.134) |" in lines
    assert "| n-grams | 1.845 (1.825 to 1.875) | 1.600 (1.580 to 1.630) |" in lines
    assert sum(line.startswith("| *learning") for line in lines) == 2
    sentences = [line for line in lines if line.startswith("- ")]
    assert len(sentences) == 1 + 2 + len(list(standings(sample_report())))
    assert "<" not in text
    assert "not told apart" in text


def test_a_text_without_a_baseline_has_a_dash_there() -> None:
    report = sample_report()
    some = tuple(each for each in report.base.standings if each.who != "bz2")
    text = findings_text(replace(report, base=replace(report.base, standings=some)))
    assert "| bz2 | – | 1.520 (1.500 to 1.550) |" in text


def test_one_corpus_has_one_column() -> None:
    text = findings_text(without_domain())
    assert text.startswith("| | base test text |\n|---|---|\n")
    assert "fine-tuned model" not in text
