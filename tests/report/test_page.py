"""The report page: whole, escaped, honest, and without a network."""

import re
from copy import deepcopy
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from sample_report import (
    WORDS_FOUND,
    key,
    sample,
    sample_report,
    standing,
    without_domain,
)

from variorum.evaluation.metrics import KINDS
from variorum.report.bars import bars
from variorum.report.content import SECTION_OF, Imported
from variorum.report.findings import findings, floors, standings, summary
from variorum.report.naming import FINETUNED, PRETRAINED
from variorum.report.page import SECTIONS, render
from variorum.report.rendering import inline_svg

MODELS = (PRETRAINED, FINETUNED)

VOID = {"meta", "br", "hr", "img", "input", "link", "col"}
INLINE = {"a", "b", "code", "data", "em", "small", "span", "strong"}


class Outline(HTMLParser):
    """Collects tags, ids and text, and fails where tags do not close."""

    def __init__(self, html):
        super().__init__()
        self.open, self.ids, self.tags, self.words = [], [], [], []
        self.feed(html)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attributes):
        """Remember a tag that will have to close."""
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)
        if tag not in INLINE:
            self.words.append(" ")

    def handle_startendtag(self, tag, attributes):
        """A tag that closes itself, as SVG has them."""
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        """Tags close in the order they were opened."""
        assert self.open.pop() == tag
        if tag not in INLINE:
            self.words.append(" ")

    def handle_data(self, data):
        """Words between tags."""
        self.words.append(data)

    @property
    def text(self):
        """All words, as they are to be read."""
        return " ".join("".join(self.words).split())


def plain(markup):
    """What is to be read of a sentence, without its marks."""
    return re.sub(r"<[^>]*>", "", markup)


def texts(value):
    """A traced text that stands somewhere."""
    return standing({"text": value}, "stress/5e55aa00dd11/texts.json")["text"]


@pytest.fixture(scope="module")
def report():
    return sample_report()


@pytest.fixture(scope="module")
def page(report):
    return render(report)


def test_page_is_well_formed_and_its_ids_are_unique(page):
    outline = Outline(page)
    assert len(outline.ids) == len(set(outline.ids))
    for target in re.findall(r'(?:url\(#|href="#)([^")]+)', page):
        assert target in outline.ids


def test_page_needs_no_network_and_no_script(page):
    assert "<script" not in page
    assert "default-src 'none'" in page
    addresses = re.findall(r'(?:src|href)="([^"]+)"|url\(([^)]+)\)', page)
    for address in (one or other for one, other in addresses):
        assert address.startswith(("#", "data:"))
    assert "@import" not in page


def test_page_shows_title_experiment_key_and_command(report, page):
    text = Outline(page).text
    for part in (report.title, report.experiment, report.key, report.command):
        assert part.value in text


def test_every_number_comes_with_its_key(report, page):
    parts = [*report.scores, *report.trainings, *report.stress, *report.figures, *report.provenance]
    for part in parts:
        assert part.key.value in page
    for row in report.provenance:
        assert all(ref.value in page for _, ref in row.upstream.items())


def test_same_data_give_the_same_page(report, page):
    assert render(sample_report()) == page


def test_text_from_outside_is_escaped(report):
    attack = '<script>alert(1)</script>"&'
    case = {**report.stress[0].cases.value[0], "excerpt": attack, "explanation": attack}
    told = {**report.stress[0].behaviour.value[0], "excerpt": attack, "explanation": attack}
    page = render(
        replace(
            report,
            title=texts(attack),
            command=texts(attack),
            stress=(
                replace(
                    report.stress[0],
                    cases=standing([case], "stress/ab/cases.json"),
                    behaviour=standing([told], "stress/ab/behaviour.json"),
                ),
            ),
            samples=(sample(attack, attack),),
            figures=(replace(report.figures[0], title=attack, caption=attack),),
            settings={attack: standing({attack: attack}, "pretrain/ab/manifest.json")},
            tokenizer=replace(
                report.tokenizer,
                words=standing(
                    {**report.tokenizer.words.value, "longest": [attack]}, "report/ab/words.json"
                ),
            ),
        )
    )
    assert "<script" not in page
    assert Outline(page).text.count("<script>alert(1)") >= 11


def test_examples_of_what_a_step_dropped_are_shown_with_the_reason(report, page):
    text = Outline(page).text
    assert "duplicates dropped 211, such as" in text
    assert "b#1: 0.81 like a#1 Returns <the> number of edges…" in text
    assert "read dropped" not in text
    assert "A fact." in text


def test_where_the_entropy_is_known_it_stands_beside_each_model(report):
    assert not list(floors(report))
    entropy = standing({"entropy": 1.7}, "download/d0/facts.json")["entropy"]
    known = replace(report, base=replace(report.base, floor=entropy))
    before, after = [plain(sentence) for sentence in floors(known)]
    assert before == (
        "On the base test text, the pretrained model needs 1.671 bits per byte (1.651 to 1.701); "
        "the entropy of the language is 1.700."
    )
    assert "the fine-tuned model needs 1.842 bits per byte" in after
    text = Outline(render(known)).text
    assert "entropy base 1.700" in text
    assert before in text
    assert after in text


def test_without_a_domain_the_page_says_so():
    page = render(without_domain())
    text = Outline(page).text
    assert "nothing was fine-tuned" in text
    assert "fine-tuned model" not in text
    assert "Domain" not in text


def test_the_summary_says_what_was_trained_on_what(report):
    (sentence,) = map(plain, summary(report))
    assert sentence == (
        "A GPT of 843\u202f264 parameters was trained for 2\u202f000 steps on prose of sympy "
        "1.14.0 and fine-tuned for 500 steps on prose of networkx 3.6.1."
    )
    (alone,) = map(plain, summary(without_domain()))
    assert alone == sentence.split(" and ")[0] + "."


def test_the_summary_does_not_claim_the_training_of_an_imported_model(report):
    imported = Imported(texts("models/gpt2"), texts("ab" * 32), key("imported/0123456789ab"))
    (sentence,) = map(plain, summary(replace(report, imported=imported)))
    assert "parameters was imported from models/gpt2 and fine-tuned for 500 steps" in sentence


def changed(report, corpus, value, low, high):
    """The report in which fine-tuning made this difference on one test text."""
    own = next(each for each in report.corpora if each.role == corpus)
    difference = {"value": value, "low": low, "high": high} if low is not None else None
    traced = standing({"pair": difference}, "comparisons/c0/comparisons.json")["pair"]
    standings = tuple(
        replace(each, differences={**each.differences, FINETUNED: traced})
        if (each.model, each.kind) == (PRETRAINED, "static")
        else each
        for each in own.standings
    )
    return replace(report, **{corpus: replace(own, standings=standings)})


def test_findings_say_what_fine_tuning_changed(report):
    domain, base = map(plain, findings(report))
    assert domain == (
        "On the domain test text, the fine-tuned model needs 0.556 bits per byte fewer than the "
        "pretrained model (−0.576 to −0.546): before, 2.104 bits per byte (2.084 to 2.134); "
        "after, 1.548 bits per byte (1.528 to 1.578)."
    )
    assert base.startswith(
        "On the base test text, the fine-tuned model needs 0.171 bits per byte more than the"
    )


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((-0.05, -0.06, -0.01), "needs 0.050 bits per byte fewer than the pretrained model"),
        ((0.05, 0.01, 0.06), "needs 0.050 bits per byte more than the pretrained model"),
        ((-0.05, -0.11, 0.01), "are not told apart in bits per byte (−0.110 to +0.010)"),
        ((None, None, None), "are not compared in bits per byte: the text is a single part"),
    ],
)
def test_a_change_is_what_its_interval_shows(report, ends, said):
    sentence = plain(next(findings(changed(report, "domain", *ends))))
    assert said in sentence
    assert said in Outline(render(changed(report, "domain", *ends))).text


def test_a_model_stands_beside_every_baseline_of_its_kind(report):
    found = [(plain(sentence), loses) for sentence, loses in standings(report)]
    assert [loses for _, loses in found] == [False, True, False, False]
    static, adaptive = (sentence for sentence, _ in found[:2])
    assert static == (
        "On the base test text, learning from train alone: the fine-tuned model and 16-grams are "
        "not told apart in bits per byte (−0.023 to +0.007)."
    )
    assert adaptive == (
        "On the base test text, learning while reading it: the fine-tuned model needs 0.178 "
        "bits per byte fewer than bz2 (−0.198 to −0.168); the fine-tuned model needs 0.292 bits "
        "per byte more than PPMd of order 16 (+0.272 to +0.302)."
    )


def test_every_loss_to_a_baseline_stands_in_its_own_frame(report, page):
    frame = page.split('<div class="flag">')[1].split("</div>")[0]
    assert "Losses to baselines" in frame
    losses = [sentence for sentence, loses in standings(report) if loses]
    assert [sentence in frame for sentence in losses] == [True]
    assert frame.count("<p>") == 1 + len(losses)


def test_a_model_that_loses_to_none_is_not_flagged():
    winner = replace(sample_report(), base=sample_report().domain)
    assert not any(loses for _, loses in standings(winner))
    assert "Losses to baselines" not in render(winner)


def test_bars_are_drawn_to_one_scale(report):
    drawn = [
        bar for corpus in report.corpora for kind in KINDS for bar in bars(report, corpus, kind)
    ]
    assert max(bar.interval.value[1] for bar in drawn) == 1.0
    for bar in drawn:
        bits = bar.bits_per_byte.value
        assert bar.share.value == pytest.approx(bits / 2.134)
        ends = [(bits - 0.02) / 2.134, (bits + 0.03) / 2.134]
        assert bar.interval.value == pytest.approx(ends)


def test_no_row_is_picked_out(page):
    assert "<b>" not in re.sub("<pre.*?</pre>", "", page, flags=re.S)
    assert 'class="best' not in page


def test_scores_stand_by_kind_with_their_pairs(page):
    table = page.split('<table class="standings">')[1].split("</table>")[0]
    rows = [" ".join(plain(f"<tr{row}").split()) for row in table.split("<tr")[1:]]
    kinds = [place for place, row in enumerate(rows) if row.startswith("learning")]
    assert len(kinds) == 2
    static, adaptive = " ".join(rows[kinds[0] : kinds[1]]), " ".join(rows[kinds[1] :])
    assert "16-grams1.845−0.174 (−0.194 to −0.164) better" in static
    assert "not told apart" in static
    assert "PPMd" not in static
    assert "PPMd of order 161.500" in adaptive


def test_failed_cases_stand_open_and_passed_ones_closed(page):
    assert page.count('<details class="case failed" open>') == 2
    assert page.count('<details class="case passed">') == 8
    assert "2 of 3 passed" in Outline(page).text
    assert "1 of 2 passed" in Outline(page).text


def test_what_a_measurement_consists_of_is_shown_by_name(page):
    assert '<tr><th scope="row">likeliest token</th><td>32 of 32</td></tr>' in page


def test_a_claim_says_what_it_asks_and_whether_each_model_meets_it(page):
    text = " ".join(re.sub("<[^>]*>", " ", page).split())
    name = "repeated runs of four tokens: like human text above −0.10 , below 0.10"
    assert (
        f"{name} met 0.021 −0.021 to 0.063 not met −0.059 −0.101 to −0.017 not met – met 0.000"
        in text
    )
    assert f"{name} not met 0.771 0.729 to 0.813" in text


def test_a_model_that_could_not_be_measured_is_shown_as_failed(report):
    case = {**report.stress[0].behaviour.value[0], "passed": False}
    case["shown"] = {**case["shown"], "found": {"model": None}}
    found = standing([case], "stress/ab/behaviour.json")
    page = render(replace(report, stress=(replace(report.stress[0], behaviour=found),)))
    assert '<span class="measure several">none</span>' in page


def test_a_case_without_a_measurement_is_shown_as_failed(report):
    case = {**report.stress[0].cases.value[0], "measured": None, "passed": False}
    cases = standing([case], "stress/ab/cases.json")
    page = render(replace(report, stress=(replace(report.stress[0], cases=cases),)))
    assert '<span class="measure">none' in page


def test_a_share_of_no_text_is_a_dash_and_not_none(report):
    report = deepcopy(report)
    whole = render(report)
    for score in report.scores:
        score.metrics.value["memorization"] |= {"written_share": None}
    for corpus in report.corpora:
        corpus.splits.value["test"]["overlap"] = None
    page = render(report)
    missing = len(report.scores) + len(report.corpora)
    dash = '<td class="number">–</td>'
    assert page.count(dash) == whole.count(dash) + missing


def test_published_comparison_stands_by_its_corpus(report):
    assert "Baselines read the last" not in render(report)
    read = {"read": 32_000_000, "bytes": 400_000_000}
    train = standing(read, "baselines/b0a1b0a1b0a1/metrics.json")
    cut = Outline(render(replace(report, base=replace(report.base, train_read=train))))
    assert "Baselines read the last 32\u00a0MB of 400\u00a0MB of train." in "".join(cut.words)
    note = texts("nanoGPT’s CPU recipe: 2.74 bits per byte.")
    assert note.value in render(replace(report, base=replace(report.base, note=note)))


def test_settings_are_written_as_in_yaml(page):
    text = Outline(page).text
    assert "sampling.top_k null" in text
    assert "bias true" in text
    assert "seed 1" in text


def test_adopted_results_are_marked_wherever_their_keys_stand_and_told_with_their_evidence(report):
    page = render(report)
    marked = re.compile(r"ab12cd34ef56</code><a class=.dagger.[^>]*>†</a>")
    assert len(marked.findall(page)) == 4, "training, provenance, an upstream, adopted results"
    assert "e0a1</code><a" not in page, "what was made under its key has no mark"
    text = Outline(page).text
    assert "pretrain ab12cd34ef56†: adopted from pretrain/0123456789ab, proved" in text
    assert "steps 0 to 100 computed again" in text


def test_a_result_on_someones_word_is_told_beside_the_findings(report):
    result = render(report).split('<section id="samples">')[0]
    assert "On someone’s word" in result
    assert "adopted from finetune/ba9876543210 on someone&#39;s word: only &lt;names&gt;" in result
    told = (replace(row, adopted=None) for row in report.provenance)
    without = render(replace(report, provenance=tuple(told)))
    assert "†" not in without
    assert "word:" not in without


def test_an_imported_model_is_told_of_and_escaped(report, page):
    imported = Imported(texts("models/<gpt2>"), texts("ab" * 32), key("imported/0123456789ab"))
    changed = replace(report, imported=imported, trainings=report.trainings[1:])
    text = Outline(render(changed)).text
    assert "imported from models/<gpt2> (0123456789ab)" in text
    assert "the test texts may have been part of it" in text
    assert "what the imported model was trained on is not known here, and fine-tuning" in text
    assert "has seen both corpora" not in text
    assert "which this model has not seen" not in text
    assert "which this model may not have seen" in text
    assert "imported from" not in Outline(page).text


def test_without_any_training_there_is_no_table_of_trainings(report):
    imported = Imported(texts("models/gpt2"), texts("ab" * 32), key("imported/0123456789ab"))
    alone = replace(report, trainings=(), imported=imported, domain=None)
    text = Outline(render(alone)).text
    assert "Val loss in nats" not in text
    assert "Nothing was trained here" in text


def test_how_a_word_became_a_token_is_told_merge_by_merge(page):
    story = section(page, "tokenizer")
    assert "␣that</code> stands <data" in story
    rows = [" ".join(re.findall(r"[^<>]+(?=</(?:data|code))", row)) for row in story.split("<tr>")]
    assert rows.index("␣ t h a t") + 1 == rows.index("1 ␣ t ␣t h a t")
    assert any(row.startswith("46 ␣t h ␣th a t") for row in rows)


@pytest.mark.parametrize("kind", ["characters", "bpe"])
@pytest.mark.parametrize("splits", [WORDS_FOUND["splits"], []])
def test_without_a_story_the_page_tells_of_the_kind_and_shows_what_words_there_are(
    report, kind, splits
):
    found = {**WORDS_FOUND, "derivation": None, "splits": splits}
    changed = replace(
        report.tokenizer,
        kind=standing({"kind": kind}, "tokenizer/ab/tokenizer.json")["kind"],
        words=standing(found, "report/ab/words.json"),
    )
    text = Outline(render(replace(report, tokenizer=changed))).text
    assert "How a word became a token" not in text
    assert ("Each character that the training text" in text) == (kind == "characters")
    assert ("Common and rare words" in text) == bool(splits)
    assert f"kind {kind}" in text


def section(page, name):
    """The part of the page under one heading."""
    return re.search(rf'<section id="{name}">.*?</section>', page, re.DOTALL)[0]


def test_each_figure_stands_in_its_section_and_an_unknown_one_in_the_last(report):
    figure = report.figures[0]
    names = [*SECTION_OF, "something-new"]
    page = render(
        replace(report, figures=tuple(replace(figure, name=name, title=name) for name in names))
    )
    for name in names:
        place = SECTION_OF.get(name, "figures")
        assert f'id="figure-{name}"' in section(page, place)
        assert page.count(f'id="figure-{name}"') == 1


def test_ids_become_a_figures_own_and_its_letters_stay():
    text = 'the attribute id="a" and url(#a)'
    svg = (
        f'<?xml?>\n<svg width="1pt"><g id="a"/><path clip-path="url(#a)"/><text>{text}</text></svg>'
    )
    inlined = inline_svg(svg, "attention", "Attention")
    assert f"<text>{text}</text>" in inlined
    assert '<g id="attention-a"/><path clip-path="url(#attention-a)"/>' in inlined


def test_without_figures_their_sections_are_neither_there_nor_promised(report):
    page = render(replace(report, figures=()))
    assert "<svg" not in page
    assert re.findall(r'<a href="#(\w+)">', page.split("<main>")[0]) == [
        name for name in SECTIONS if name not in ("inside", "figures")
    ]
    assert re.findall(r'<section id="(\w+)">', page) == [
        name for name in SECTIONS if name not in ("inside", "figures")
    ]


def test_commands_make_this_page(report, page):
    text = Outline(page).text
    for command in (
        "snakemake --cores 2 --config experiment=default -- evaluate",
        "--config experiment=default graph=whole --rulegraph -- report.html | dot -Tsvg",
        "variorum verify 3f9a1c0b77de",
        "variorum verify --rerun 3f9a1c0b77de",
    ):
        assert command in text
