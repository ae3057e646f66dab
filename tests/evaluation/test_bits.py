"""Scoring: every token once, with the context that the stride leaves it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.scorer import score_one_by_one
from variorum.base.errors import VariorumError
from variorum.config.model_settings import ModelSettings
from variorum.evaluation.bits import score, summary, windows
from variorum.model.gpt import GPT

CONTEXT, VOCAB, EOT = 8, 11, 10
SETTINGS = ModelSettings(n_layer=1, n_head=2, n_embd=8, context_length=CONTEXT, dropout=0.5)


def sharp_model(seed=0):
    """A model whose predictions depend strongly on what it sees, free of rounding."""
    model = GPT(SETTINGS, VOCAB, seed).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(20)
    return model


MODEL = sharp_model()
streams = st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(streams, st.integers(1, CONTEXT), st.integers(1, 5))
def test_scores_equal_scores_of_one_token_at_a_time(tokens, stride, batch_rows):
    found = score(MODEL, np.array(tokens), eot=EOT, stride=stride, batch_rows=batch_rows).nats
    assert found.dtype == np.float64
    assert found == pytest.approx(
        score_one_by_one(MODEL, tokens, eot=EOT, stride=stride), rel=1e-9, abs=1e-9
    )


@given(st.integers(0, 60), st.integers(1, 12), st.data())
def test_windows_score_every_token_once_in_order(n_tokens, context, data):
    stride = data.draw(st.integers(1, context))
    plan = list(windows(n_tokens, context, stride))
    assert [at for each in plan for at in range(each.first, each.end)] == list(range(n_tokens))
    for each in plan:
        assert 0 <= each.start <= each.first < each.end <= each.start + context
        if each.first:
            assert each.first - each.start == context - stride


@settings(max_examples=30, deadline=None)
@given(streams)
def test_ranks_and_confidences_follow_from_sorted_probabilities(tokens):
    found = score(MODEL, np.array(tokens), eot=EOT, stride=CONTEXT)
    for start in range(0, len(tokens), CONTEXT):
        part = tokens[start : start + CONTEXT]
        before = [EOT, *tokens][start : start + len(part)]
        with torch.no_grad():
            rows = MODEL(torch.tensor([before]))[0].double().softmax(-1)
        for place, (row, token) in enumerate(zip(rows.tolist(), part, strict=True), start):
            assert found.ranks[place] == sum(other > row[token] for other in row)
            assert found.confidences[place] == pytest.approx(max(row))


def test_of_equally_likely_tokens_the_lowest_id_comes_first():
    model = GPT(SETTINGS, VOCAB)
    with torch.no_grad():
        model.wte.weight.zero_()  # which makes all logits 0
    tokens = np.arange(VOCAB)
    assert score(model, tokens, eot=EOT, stride=CONTEXT).ranks.tolist() == tokens.tolist()


def test_stride_of_the_context_gives_separate_blocks():
    tokens = np.arange(20) % VOCAB
    found = score(MODEL, tokens, eot=EOT, stride=CONTEXT).nats
    second = score(
        MODEL, tokens[CONTEXT : 2 * CONTEXT], eot=int(tokens[CONTEXT - 1]), stride=1
    ).nats
    assert found[CONTEXT : 2 * CONTEXT] == pytest.approx(second, rel=1e-9)


def test_text_that_follows_changes_no_score():
    tokens = np.random.default_rng(0).integers(0, VOCAB, 50)
    whole = score(MODEL, tokens, eot=EOT, stride=3).nats
    for n in (1, 7, 8, 9, 30):
        assert score(MODEL, tokens[:n], eot=EOT, stride=3).nats == pytest.approx(
            whole[:n], rel=1e-9
        )


def test_a_uniform_model_needs_the_logarithm_of_the_vocabulary():
    model = GPT(SETTINGS, VOCAB)
    torch.nn.init.zeros_(model.wte.weight)
    found = score(model, np.arange(VOCAB), eot=EOT, stride=4).nats
    assert found == pytest.approx(np.full(VOCAB, math.log(VOCAB)), rel=1e-12)


def test_scoring_leaves_the_model_in_its_mode_and_does_not_use_dropout():
    model = sharp_model(3)
    tokens = np.arange(30, dtype=np.uint16) % VOCAB
    model.train()
    first = score(model, tokens, eot=EOT, stride=4).nats
    assert model.training
    model.eval()
    assert (score(model, tokens, eot=EOT, stride=4).nats == first).all()
    assert not model.training


@pytest.mark.parametrize("stride", [0, CONTEXT + 1])
def test_a_stride_that_leaves_tokens_out_is_refused(stride):
    with pytest.raises(VariorumError, match="stride"):
        score(MODEL, np.arange(5), eot=EOT, stride=stride)


def test_nothing_to_score_gives_nothing():
    assert len(score(MODEL, np.array([], dtype=np.uint16), eot=EOT, stride=2).nats) == 0


def test_summary_pays_for_ends_of_documents_but_counts_their_bytes_as_none():
    nats = np.array([math.log(2)] * 7 + [math.log(2)])  # seven tokens of text, one end
    found = summary(nats, n_bytes=4, n_characters=2)
    assert found["bits_per_byte"] == pytest.approx(2.0)
    assert found["nats_per_token"] == pytest.approx(math.log(2))
    assert found["perplexity"] == pytest.approx(2.0)
    assert found["nats_per_character"] == pytest.approx(4 * math.log(2))
    assert (found["tokens"], found["bytes"], found["characters"]) == (8, 4, 2)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e6])
def test_summary_refuses_a_loss_that_is_no_number(bad):
    with pytest.raises(VariorumError, match="not finite"):
        summary(np.array([1.0, bad, 1.0]), n_bytes=3, n_characters=3)


def test_summary_refuses_to_average_over_nothing():
    with pytest.raises(VariorumError, match="nothing to average"):
        summary(np.array([]), n_bytes=0, n_characters=0)
    with pytest.raises(VariorumError, match="nothing to average"):
        summary(np.array([1.0]), n_bytes=0, n_characters=0)
