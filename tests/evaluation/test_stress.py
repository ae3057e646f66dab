"""The stress catalogue: a sound model passes, and every planted fault is found."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from variorum.config import ModelSettings, SamplingSettings, StressSettings, TokenizerSettings
from variorum.evaluation import stress
from variorum.evaluation.verdicts import judge
from variorum.generation import sampler
from variorum.generation.cache import Cache
from variorum.model.gpt import GPT
from variorum.tokenizer.base import END_OF_TEXT
from variorum.tokenizer.kinds.bpe import BytePairTokenizer, train

TEXT = "The function returns a list of the symbols that the graph of the given nodes holds. "
TOKENIZER = train([TEXT * 3], TokenizerSettings(kind="bpe", vocab_size=280))
MODEL = ModelSettings(n_layer=1, n_head=2, n_embd=16, context_length=16)
SETTINGS = StressSettings(
    prompts=("The ", ""), case_tokens=40, sampling=SamplingSettings(temperature=1.0, max_tokens=20)
)
HELD_OUT = np.array([*TOKENIZER.encode(TEXT), TOKENIZER.eot], dtype=np.uint16)
COUNTS = np.bincount(HELD_OUT, minlength=TOKENIZER.vocab_size)


def sound_model(cls=GPT):
    """Untrained, but with opinions that depend on the context; writes plain letters only."""
    model = cls(MODEL, TOKENIZER.vocab_size, 0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(15)
    return model.eval()


class Letters(GPT):
    """Writes printable ASCII only, as a trained model does."""

    def head(self, features):
        """Logits of everything else are low."""
        logits = super().head(features)
        plain = torch.zeros(self.vocab_size, dtype=torch.bool)
        plain[:94] = True  # the printing ones of ASCII, in GPT-2's order
        return torch.where(plain, logits / 20, logits / 20 - 12)


def cases(model, tokenizer=TOKENIZER, settings=SETTINGS):
    found = stress.catalogue(model, tokenizer, settings, held_out=HELD_OUT, train_counts=COUNTS)
    return {case.name: case for case in found}


def failed(model, tokenizer=TOKENIZER, settings=SETTINGS):
    return {name for name, case in cases(model, tokenizer, settings).items() if not case.passed}


@pytest.fixture(scope="module")
def sound():
    return sound_model(Letters)


def test_a_sound_model_passes_every_case(sound):
    assert failed(sound) == set()


def test_cases_say_what_they_measured_and_can_be_stored(sound):
    found = cases(sound)
    for name, case in found.items():
        assert case.name == name
        assert case.title
        assert case.question.endswith("?")
        assert case.explanation
        assert json.loads(json.dumps(asdict(case), allow_nan=False)) == asdict(case)
    assert len({case.title for case in found.values()}) == len(found)


def test_the_same_model_gives_the_same_cases(sound):
    assert cases(sound) == cases(sound)


def test_numbers_that_are_not_finite_fail_everything_that_writes():
    model = sound_model()
    with torch.no_grad():
        model.ln_f.weight.fill_(float("nan"))
    found = cases(model)
    assert {name for name, case in found.items() if case.passed} == {"special-token-text"}
    assert "not finite" in found["hostile-emoji"].explanation
    assert found["repetition"].measured is None
    assert found["overflow-loss"].measured is None
    json.dumps([asdict(case) for case in found.values()], allow_nan=False)


def test_numbers_that_break_only_beyond_the_context_fail_overflow(monkeypatch):
    class Breaks(Letters):
        """Fails when it is given half a window at once, as it is after a slide."""

        def features(self, ids, cache=None):
            """Features, or none of use."""
            found = super().features(ids, cache)
            return found * float("nan") if ids.shape[1] == MODEL.context_length // 2 else found

    found = failed(sound_model(Breaks))
    assert {"overflow-continues", "overflow-cache", "hostile-long-prompt"} <= found


def test_a_model_that_repeats_itself_fails_repetition():
    class Repeats(Letters):
        """Always writes the same letter."""

        def head(self, features):
            """One logit stands out."""
            logits = torch.zeros(*features.shape[:-1], self.vocab_size)
            logits[..., 7] = 60.0
            return logits

    assert failed(sound_model(Repeats)) == {"repetition"}


def test_a_model_that_only_ends_documents_fails_repetition_and_the_empty_prompt():
    class Ends(Letters):
        """Always writes the end of a document."""

        def head(self, features):
            """One logit stands out."""
            logits = torch.zeros(*features.shape[:-1], self.vocab_size)
            logits[..., TOKENIZER.eot] = 60.0
            return logits

    assert {"repetition", "empty-prompt", "high-temperature"} <= failed(sound_model(Ends))


def test_a_stale_cache_is_found(monkeypatch):
    class Stale(Cache):
        """Keeps what an earlier window left behind."""

        def clear(self):
            """Start over, but never write again."""
            super().clear()
            self.extend = self._read_only

        def _read_only(self, layer, keys, values):
            end = self.length + keys.shape[2]
            return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    monkeypatch.setattr(sampler, "Cache", Stale)
    assert "overflow-cache" in failed(sound_model(Letters))


def test_a_cache_that_is_never_cleared_is_found(monkeypatch):
    monkeypatch.setattr(Cache, "clear", lambda self: None)
    found = cases(sound_model(Letters))
    assert not found["overflow-continues"].passed
    assert "VariorumError" in found["overflow-continues"].explanation


def test_a_model_that_is_lost_at_the_start_of_a_window_fails_the_overflow_loss():
    class Lost(Letters):
        """Knows nothing in the first two thirds of its positions."""

        def forward(self, ids, cache=None):
            """Logits that are right only late in the window."""
            logits = torch.zeros(*ids.shape, self.vocab_size)
            right = torch.nn.functional.one_hot(ids, self.vocab_size) * 9.0
            late = torch.arange(ids.shape[1])[:, None] >= 12
            return torch.where(late, right, logits)

    tokens = np.full(400, 101)
    subject = stress.Subject(sound_model(Lost), TOKENIZER, SETTINGS)
    case = stress.overflow_loss(subject, tokens)
    assert not case.passed
    assert case.measured > 10
    assert stress.overflow_loss(stress.Subject(sound_model(), TOKENIZER, SETTINGS), HELD_OUT)


def test_overflow_loss_compares_the_same_tokens():
    class Even(Letters):
        """Finds some tokens much harder than others, wherever they stand."""

        def forward(self, ids, cache=None):
            """The same logits everywhere."""
            logits = torch.arange(self.vocab_size, dtype=torch.float32) / 10
            return logits.expand(*ids.shape, -1)

    subject = stress.Subject(sound_model(Even), TOKENIZER, SETTINGS)
    assert stress.overflow_loss(subject, HELD_OUT).measured == pytest.approx(1.0)


def test_noise_at_high_temperature_fails():
    model = sound_model()
    torch.nn.init.zeros_(model.wte.weight)  # every byte is as likely as any other
    assert "high-temperature" in failed(model)


class Naive(BytePairTokenizer):
    """Turns the special token's name into the special token."""

    def encode(self, text):
        """Split at the name."""
        parts = [BytePairTokenizer.encode(self, part) for part in text.split(END_OF_TEXT)]
        return [token for part in parts for token in [*part, self.eot]][:-1]


class Loses(BytePairTokenizer):
    """Forgets what it finds odd."""

    def encode(self, text):
        """ASCII only."""
        return BytePairTokenizer.encode(self, text.encode("ascii", "ignore").decode())


def test_a_tokenizer_that_makes_the_special_token_of_text_is_found(sound):
    naive = Naive(TOKENIZER.merges)
    assert failed(sound, naive) == {"special-token-text", "hostile-special-token"}


def test_a_tokenizer_that_loses_text_is_found(sound):
    lost = {f"hostile-{name}" for name, (_, text) in stress.HOSTILE.items() if not text.isascii()}
    assert len(lost) >= 3
    assert failed(sound, Loses(TOKENIZER.merges)) == lost


def test_an_error_is_an_outcome_and_names_itself():
    class Raises(Letters):
        """Cannot bear one token."""

        def features(self, ids, cache=None):
            """Fail on it."""
            if (ids == TOKENIZER.encode("🫠")[-1]).any():
                raise RuntimeError("index out of range")
            return super().features(ids, cache)

    found = cases(sound_model(Raises))
    assert not found["hostile-emoji"].passed
    assert "RuntimeError: index out of range" in found["hostile-emoji"].explanation


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0.0),
        ("a" * 100, 0.99),
        ("abc" * 40, 1 - 3 / 120),
        ("".join(map(chr, range(200, 500))), 0.0),
        (TEXT + TEXT, 0.5),
    ],
)
def test_repeated_share_is_what_stood_there_before(text, share):
    assert stress.repeated_share(text) == pytest.approx(share, abs=0.03)


def test_thresholds_come_from_the_settings(sound):
    strict = SETTINGS.model_copy(
        update={
            "overflow_loss_ratio": 1e-6,
            "repetition_share": 0.0,
            "high_temperature_valid_share": 1.1,
        }
    )
    found = cases(sound, settings=strict)
    assert not found["overflow-loss"].passed
    assert not found["high-temperature"].passed
    assert found["repetition"].threshold == 0.0


def test_samples_follow_the_prompts(sound):
    found = stress.samples(sound, TOKENIZER, SETTINGS)
    assert [sample["prompt"] for sample in found] == ["The ", ""]
    assert all(sample["text"] for sample in found)
    assert found == stress.samples(sound, TOKENIZER, SETTINGS)


def test_samples_have_their_own_length(sound):
    written = stress.samples(sound, TOKENIZER, SETTINGS)[0]["text"]
    assert len(TOKENIZER.encode(written)) <= SETTINGS.sampling.max_tokens


@pytest.mark.parametrize(
    ("measured", "comparison", "passed"),
    [
        (1.0, "<=", True),
        (1.1, "<=", False),
        (1.0, ">=", True),
        (0.9, ">=", False),
        (None, "<=", False),
        (float("nan"), "<=", False),
        (float("-inf"), "<=", False),
        (float("inf"), ">=", False),
    ],
)
def test_verdicts_can_fail(measured, comparison, passed):
    case = judge(
        "n", "t", "q?", measured=measured, threshold=1.0, comparison=comparison, explanation="e"
    )
    assert case.passed is passed
    assert case.measured is None or abs(case.measured) < float("inf")
