"""The stress cases on behaviour: a trained model passes, and models without learning fail all."""

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import learned
import numpy as np
import pytest
import torch
from learned import behaviours, language, subject_of
from torch import nn

from oracles import behaviour as slow
from variorum.evaluation.stress.behaviour import noise, words
from variorum.evaluation.stress.behaviour.blocks import ScoredBlocks, nats_of
from variorum.evaluation.stress.behaviour.context import bits_behind, lengths_of
from variorum.evaluation.stress.behaviour.controls import random_model, shuffled_model
from variorum.evaluation.stress.behaviour.estimates import MeanEstimate
from variorum.evaluation.stress.behaviour.outcome import (
    CONTROLS,
    HUMAN,
    MODEL,
    RANDOM,
    SHUFFLED,
    WRITERS,
    Measurement,
    claim,
    outcome,
)
from variorum.evaluation.stress.behaviour.panel import Panel, WrittenTexts
from variorum.evaluation.stress.behaviour.repetition import repeated_share, repetition
from variorum.evaluation.stress.behaviour.words import (
    known_share,
    known_shares,
    known_words,
    words_of,
)
from variorum.evaluation.stress.subject import StressedModel
from variorum.evaluation.stress.writing import Writing
from variorum.model.gpt import GPT


@pytest.fixture(scope="module")
def trained():
    return learned.learned()


@pytest.fixture(scope="module")
def found(trained):
    return behaviours(trained)


def weightless(model):
    model = copy.deepcopy(model)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


def test_a_model_that_learned_its_language_passes_every_case(found):
    assert {name for name, case in found.items() if not case.passed} == set()


@pytest.mark.parametrize("change", [random_model, shuffled_model, weightless])
def test_a_model_that_learned_nothing_fails_every_case(trained, change):
    cases = behaviours(change(trained))
    assert {name for name, case in cases.items() if case.passed} == set()
    for case in cases.values():
        for each in case.claims:
            if "random model" in each.name:
                assert each.found[RANDOM].low <= 0 <= each.found[RANDOM].high


def test_human_text_meets_every_claim_about_text(found):
    for name in ("known-words", "repetition"):
        for each in found[name].claims:
            assert each.holds[HUMAN], each.name


def test_no_control_meets_every_claim_of_a_case(found):
    for case in found.values():
        assert case.controls == dict.fromkeys(CONTROLS, False)


def test_cases_say_what_they_measured_and_can_be_stored(found):
    for name, case in found.items():
        assert case.name == name
        assert case.title
        assert case.question.endswith("?")
        assert case.explanation == case.explanation.strip()
        assert case.passed == all(each.holds[MODEL] for each in case.claims)
        assert json.loads(json.dumps(asdict(case), allow_nan=False)) == asdict(case)
    assert {name for name, case in found.items() if case.drawn} == {"known-words", "repetition"}


def test_the_same_model_gives_the_same_cases(trained, found):
    assert behaviours(trained) == found


def test_numbers_that_are_not_finite_fail_every_case(trained):
    broken = copy.deepcopy(trained)
    nn.init.constant_(broken.ln_f.weight, float("nan"))
    cases = behaviours(broken)
    for name, case in cases.items():
        assert not case.passed
        assert case.shown.found[MODEL] is None, name
        json.dumps(asdict(case), allow_nan=False)
    assert "not finite" in cases["repetition"].explanation


def test_a_text_that_is_too_short_leaves_nothing_to_judge(trained):
    subject = subject_of(trained)
    short = replace(subject.texts, held_out=subject.texts.held_out[:40])
    short = replace(short, groups=short.groups[:40])
    for case in (each(Panel(replace(subject, texts=short))) for each in learned.BEHAVIOUR):
        assert not case.passed
        assert not any(case.controls.values())


# Planted faults: each is something that a model may fail to learn, or a setting may spoil


class Flat(GPT):
    """Is hardly surer of one token than of any other."""

    def head(self, features):
        """Logits nearer to each other."""
        return super().head(features) / 3


class Forgetful(GPT):
    """Sees no token but the last."""

    def features(self, ids, cache=None):
        """Each token's alone."""
        return super().features(ids.reshape(-1, 1)).view(*ids.shape, -1)


class Confused(GPT):
    """Is lost behind two tokens that never followed each other in training."""

    def forward(self, ids, cache=None):
        """Logits by the features."""
        return self.head(self.features(ids, cache))

    def features(self, ids, cache=None):
        """Another token's where something strange went before."""
        read, _, tokenizer = language()
        known = torch.zeros(tokenizer.vocab_size, tokenizer.vocab_size, dtype=torch.bool)
        known[read[:-1], read[1:]] = True
        steps = ~known[ids[:, :-1], ids[:, 1:]]
        strange = nn.functional.pad(steps, (1, 0)).cumsum(1) > 0  # so far, (B, T)
        right, wrong = super().features(ids, cache), super().features((ids + 7) % tokenizer.eot)
        return torch.where(strange[:, :, None], wrong, right)


@pytest.mark.parametrize(
    ("name", "model", "changed", "broken"),
    [
        ("known-words", Flat, {}, "no less than in human text"),
        ("repetition", Flat, {}, "repeated tokens: like human text"),
        ("repetition", GPT, {"temperature": 0.2}, "repeated runs of four tokens: like human text"),
        ("repetition", GPT, {"temperature": 3.0}, "known words: no less than in human text"),
        ("context", Forgetful, {}, "gains more from context than the random model"),
        ("context", Flat, {"head": 0.0}, "better than the frequencies of tokens alone"),
        ("noise", Confused, {}, "slips destroy less than half"),
        ("noise", GPT, {"noise_share": 1.0}, "slips destroy less than half"),
    ],
)
def test_each_case_catches_its_planted_fault(found, name, model, changed, broken):
    assert found[name].passed
    if "temperature" in changed:
        changed = {"sampling": learned.SETTINGS.sampling.model_copy(update=changed)}
    faulty = learned.learned(model)
    if changed.pop("head", None) == 0.0:
        faulty = weightless(faulty)
    panel = Panel(subject_of(faulty, **changed))
    case = next(each for each in learned.BEHAVIOUR if each.__name__.startswith(name[:5]))(panel)
    assert case.name == name
    assert not case.passed
    assert broken in {each.name for each in case.claims if not each.holds[MODEL]}


# Verdicts


def estimate(mean, half=0.1):
    return MeanEstimate(mean, mean - half, mean + half, 12)


@pytest.mark.parametrize(
    ("mean", "least", "most", "holds"),
    [
        (0.2, 0.0, None, True),
        (0.05, 0.0, None, False),
        (-0.2, 0.0, None, False),
        (0.1, 0.0, None, False),  # it reaches the bound
        (0.0, -0.2, 0.2, True),
        (0.15, -0.2, 0.2, False),
        (-0.15, -0.2, 0.2, False),
        (0.9, -0.2, None, True),
    ],
)
def test_a_claim_holds_where_the_whole_interval_lies_inside(mean, least, most, holds):
    made = claim("c", {MODEL: estimate(mean), RANDOM: None}, least=least, most=most)
    assert made.holds == {MODEL: holds, RANDOM: False}


@pytest.mark.parametrize(
    ("holding", "passed", "like"),
    [
        ({MODEL}, True, set()),
        (set(), False, set()),
        ({RANDOM}, False, {RANDOM}),
        ({MODEL, SHUFFLED}, False, {SHUFFLED}),
        ({MODEL, RANDOM, SHUFFLED}, False, {RANDOM, SHUFFLED}),
    ],
)
def test_a_case_that_a_control_passes_has_told_nothing(holding, passed, like):
    found = {who: estimate(1.0 if who in holding else -1.0) for who in WRITERS}
    always = dict.fromkeys(WRITERS, estimate(1.0))
    case = outcome(
        "n",
        "t",
        "q?",
        unit="share",
        shown=Measurement("r", found),
        rows=[],
        claims=[claim("a", found, least=0.0), claim("b", always, least=0.0)],
        explanation="It was measured.",
    )
    assert case.passed is passed
    assert {who for who, met in case.controls.items() if met} == like
    assert ("tells nothing" in case.explanation) == bool(like)


# Controls


def test_controls_have_the_model_s_shape_and_nothing_of_its_order(trained):
    fresh, shuffled = random_model(trained), shuffled_model(trained)
    for name, parameter in trained.named_parameters():
        own, mixed = fresh.get_parameter(name), shuffled.get_parameter(name)
        assert own.shape == mixed.shape == parameter.shape
        assert torch.equal(mixed.flatten().sort().values, parameter.flatten().sort().values)
        if parameter.std() > 0.01:
            pairs = torch.stack([mixed.flatten(), parameter.flatten()])
            assert torch.corrcoef(pairs)[0, 1].abs() < 5 / parameter.numel() ** 0.5
    assert torch.equal(random_model(trained).wte.weight, fresh.wte.weight)
    assert torch.equal(shuffled_model(trained).wte.weight, shuffled.wte.weight)
    assert not torch.equal(
        fresh.wte.weight, GPT(trained.settings, trained.vocab_size, 0).wte.weight
    )


# Measures


@pytest.mark.parametrize("n", [1, 2, 4])
def test_repeated_share_counts_what_stood_before(n):
    chance = np.random.default_rng(n)
    for size in (0, 1, 3, 4, 40):
        for alphabet in (1, 2, 5, 100):
            tokens = chance.integers(alphabet, size=size).tolist()
            assert repeated_share(tokens, n) == pytest.approx(slow.repeated_share(tokens, n))
    assert repeated_share([1, 2, 3, 4] * 3, 4) == pytest.approx(1 - 4 / 9)


def test_words_are_runs_of_letters_in_lower_case():
    text = "The état's 2nd x_1, don't\n\tΣΑ! 12 a\x00b"
    assert words_of(text) == ["the", "état", "nd", "x", "don", "σα", "a", "b"]
    assert words.all_words(["A b", "b c"]) == {"a", "b", "c"}
    assert words.all_words([]) == frozenset()


def test_known_share_is_of_different_words_that_are_whole(trained):
    subject = subject_of(trained)
    tokenizer, known = subject.tokenizer, subject.texts.train_words
    chance = np.random.default_rng(1)
    for _ in range(200):
        tokens = chance.integers(tokenizer.eot, size=30)
        pieces = {int(token): tokenizer.token_bytes(int(token)) for token in tokens}
        tokens = [token for token, piece in pieces.items() if piece.isascii() and b"'" not in piece]
        text = tokenizer.decode(tokens)
        assert known_share(subject, tokens) == pytest.approx(slow.known_share(text, known))
    looping = tokenizer.encode("The hill hill hill hill hill xx hill xx hill hill.")
    assert known_share(subject, looping) == pytest.approx(1 / 2)
    assert known_share(subject, tokenizer.encode("12 34.")) == 0.0
    assert known_share(subject, []) == 0.0


def test_known_words_of_text_without_words_are_not_judged(trained):
    """Nobody's share is less than human text's there: 0 % of nothing must not be a ceiling."""
    subject = subject_of(trained)
    numbers = np.resize(subject.tokenizer.encode("12 345. "), len(subject.texts.held_out))
    panel = Panel(replace(subject, texts=replace(subject.texts, held_out=numbers)))
    for case in (known_words(panel), repetition(panel)):
        [human] = [each for each in case.claims if "no less than in human text" in each.name]
        assert not any(human.holds.values()), "it would hold of a model that writes no words"
        assert not case.passed
        assert "The held-out text has no words" in case.explanation
        [row] = [row for row in case.rows if row.name in ("temperature 1", "known words")]
        assert row.found[HUMAN] is None
        json.dumps(asdict(case), allow_nan=False)


def panel_of(subject: StressedModel, texts: Sequence[str]) -> Panel:
    """Held-out text of these texts in turn, each as long as a model's and a group of its own."""
    length, held = subject.settings.text_tokens, subject.texts.held_out
    number = len(held) // length
    assert number >= 2 * len(texts)
    own = [np.resize(subject.tokenizer.encode(text), length) for text in texts]
    held_out = np.concatenate([own[each % len(own)] for each in range(number)])
    groups = np.arange(number).repeat(length)
    return Panel(replace(subject, texts=replace(subject.texts, held_out=held_out, groups=groups)))


PROSE, NUMBERS = " the hill.", "12 345. "


def test_human_texts_without_a_word_do_not_lower_the_ceiling(trained):
    """Numbers between prose are no prose whose words are unknown."""
    panel = panel_of(subject_of(trained), [PROSE, NUMBERS])
    number = len(panel.human[0])
    for case in (known_words(panel), repetition(panel)):
        [row] = [row for row in case.rows if row.name in ("temperature 1", "known words")]
        assert row.found[HUMAN].mean == 1.0
        assert f"{number // 2} of {number} held-out texts have no word" in case.explanation


@pytest.mark.parametrize("texts", [[PROSE], [PROSE, NUMBERS]])
def test_who_writes_as_people_do_knows_as_many_words(trained, texts):
    panel = panel_of(subject_of(trained), texts)
    sampling = panel.subject.settings.sampling
    same = [Writing([], tokens, sampling) for tokens in panel.human[0]]
    numbers = [Writing([], panel.subject.tokenizer.encode(NUMBERS * 9), sampling)]
    measured = known_shares(panel, WrittenTexts({MODEL: same, RANDOM: same + numbers}, ""))
    assert measured[MODEL].mean() == measured[HUMAN].mean() == 1.0
    assert (measured[RANDOM].mean() < 1.0) == (texts == [PROSE]), "people wrote no such text"


def test_lengths_of_context_double_up_to_the_whole():
    assert lengths_of(1) == [1]
    assert lengths_of(8) == [1, 2, 4, 8]
    assert lengths_of(24) == [1, 2, 4, 8, 16, 24]


@pytest.mark.parametrize("length", [1, 2, 3, 8, 32])
def test_every_token_of_a_block_is_scored_behind_the_context_that_it_says(trained, length):
    subject = subject_of(trained)
    blocks = ScoredBlocks(subject)
    bits = bits_behind(blocks, length, trained)
    unit = np.unique(blocks.units)[3]
    own = blocks.starts[blocks.units == unit]
    expected = [
        slow.bits_behind(trained, blocks.stream, int(start), blocks.length, length) for start in own
    ]
    assert bits[3] == pytest.approx(np.mean(expected), abs=1e-5)


def test_blocks_lie_apart_and_behind_a_whole_context(trained):
    subject = subject_of(trained)
    blocks = ScoredBlocks(subject)
    assert blocks.starts[0] >= subject.context_length
    assert (np.diff(blocks.starts) >= blocks.length).all()
    assert blocks.starts[-1] + blocks.length <= len(blocks.stream)
    assert (blocks.units == subject.texts.groups[blocks.starts]).all()


def test_frequencies_are_of_train(trained):
    subject = subject_of(trained)
    blocks = ScoredBlocks(subject)
    counts = subject.texts.train_counts + 1
    share = counts / counts.sum()
    first = blocks.stream[blocks.starts[0] : blocks.starts[0] + 3]
    assert blocks.frequency_nats(3)[0] == pytest.approx(-np.log(share[first]).sum())


def test_no_slips_lose_nothing_and_no_context_is_the_end_of_a_document(trained):
    subject = subject_of(trained)
    blocks = ScoredBlocks(subject)
    contexts = noise.contexts_of(blocks, 0.0)
    for clean, noisy in zip(contexts[noise.CLEAN], contexts[noise.NOISY], strict=True):
        decoded = [subject.tokenizer.decode_bytes(each.tolist()) for each in (clean, noisy)]
        assert decoded[0][-20:] == decoded[1][-20:]
    assert {tuple(each) for each in contexts[noise.NONE]} == {(subject.tokenizer.eot,)}
    case = noise.noise(Panel(subject_of(trained, noise_share=1e-9)))
    assert case.shown.found[MODEL].mean == pytest.approx(0.0, abs=0.01)


def test_more_slips_lose_more(trained):
    lost = [
        noise.noise(Panel(subject_of(trained, noise_share=share))).shown.found[MODEL].mean
        for share in (0.03, 0.2, 0.8)
    ]
    assert lost == sorted(lost)


def test_rows_are_scored_alike_in_one_batch_and_one_by_one(trained):
    read, _, _ = language()
    rows = [read[start : start + 9] for start in range(0, 900, 9)]
    together = nats_of(trained, rows, 4)
    alone = np.concatenate([nats_of(trained, [row], 4) for row in rows])
    assert together == pytest.approx(alone, abs=1e-4)
    assert len(nats_of(trained, [], 4)) == 0


def test_temperature_one_is_always_measured_and_more_heat_brings_fewer_words(trained):
    case = known_words(Panel(subject_of(trained)))
    assert [row.name for row in case.rows] == ["temperature 0.5", "temperature 1", "temperature 2"]
    shares = [row.found[MODEL].mean for row in case.rows]
    assert shares == sorted(shares, reverse=True)
    assert all(row.found[HUMAN] == case.rows[0].found[HUMAN] for row in case.rows)
    assert case.shown == case.rows[1]


def test_texts_without_chance_count_once_for_each_prompt(trained):
    sampling = learned.SETTINGS.sampling.model_copy(update={"temperature": 0.0})
    case = repetition(Panel(subject_of(trained, sampling=sampling)))
    assert case.shown.found[MODEL].units == len(learned.SETTINGS.prompts)
    assert not case.passed


def test_every_text_has_a_seed_of_its_own(trained):
    subject = subject_of(trained)
    written = Panel(subject).write(MODEL, subject.sampling(32))
    assert len({tuple(each.tokens) for each in written}) == subject.settings.texts
    assert {tuple(each.prompt) for each in written} == {
        tuple(subject.read(prompt)) for prompt in subject.settings.prompts
    }


def test_human_texts_are_whole_pieces_of_their_groups(trained):
    subject = subject_of(trained)
    texts, units = Panel(subject).human
    assert {len(text) for text in texts} == {subject.settings.text_tokens}
    assert len(texts) == len(subject.texts.held_out) // subject.settings.text_tokens
    assert len(np.unique(units)) == 14
