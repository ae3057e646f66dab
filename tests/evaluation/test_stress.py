"""The stress catalogue: a sound model passes, and every planted fault is found."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from variorum.config.evaluation_settings import SamplingSettings, StressSettings
from variorum.config.model_settings import ModelSettings
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.evaluation.stress.catalogue import CASES, catalogue, samples
from variorum.evaluation.stress.extremes import EXTREMES
from variorum.evaluation.stress.noise import noised, read_again
from variorum.evaluation.stress.overflow import overflow_loss
from variorum.evaluation.stress.repetition import repeated_share
from variorum.evaluation.stress.subject import AS_SAMPLES, HOSTILE, STRATEGIES, StressedModel
from variorum.evaluation.stress.writing import Writing, bad_bytes, equal_tokens
from variorum.evaluation.verdicts import judge
from variorum.generation import sampler
from variorum.generation.cache import Cache
from variorum.generation.utf8_guard import Utf8Guard
from variorum.model.gpt import GPT
from variorum.model.positions import learned
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


def subject_of(model, tokenizer=TOKENIZER, settings=SETTINGS):
    return StressedModel(model, tokenizer, settings, HELD_OUT, COUNTS)


def cases(model, tokenizer=TOKENIZER, settings=SETTINGS):
    found = catalogue(model, tokenizer, settings, held_out=HELD_OUT, train_counts=COUNTS)
    return {case.name: case for case in found}


def failed(model, tokenizer=TOKENIZER, settings=SETTINGS):
    return {name for name, case in cases(model, tokenizer, settings).items() if not case.passed}


@pytest.fixture(scope="module")
def sound():
    return sound_model(Letters)


@pytest.fixture(scope="module")
def sound_cases(sound):
    return cases(sound)


# Faults: each is one thing gone wrong in model, tokenizer, cache, sampler or guard.


def one_logit(token):
    """A model that always writes the same token."""

    class Stuck(Letters):
        """One logit stands out."""

        def head(self, features):
            """The same everywhere."""
            logits = torch.zeros(*features.shape[:-1], self.vocab_size)
            logits[..., token] = 60.0
            return logits

    return Stuck


Repeats, Ends = one_logit(7), one_logit(TOKENIZER.eot)


class Leaks(Letters):
    """Has a mask that hides nothing."""

    def mask(self, window, n_new):
        """All may be seen."""
        return torch.ones(n_new, window.shape[1], dtype=torch.bool)


class Summary(Letters):
    """Lets the last token of a text into every place."""

    def features(self, ids, cache=None):
        """With the last token's added."""
        found = super().features(ids, cache)
        return found + found[:, -1:]


class Drops(Letters):
    """Leaves dropout on."""

    def features(self, ids, cache=None):
        """With dropout, in any mode."""
        return torch.nn.functional.dropout(super().features(ids, cache), 0.1, training=True)


class Breaks(Letters):
    """Fails when it is given half a window at once, as it is after a slide."""

    def features(self, ids, cache=None):
        """Features, or none of use."""
        found = super().features(ids, cache)
        return found * float("nan") if ids.shape[1] == MODEL.context_length // 2 else found


class Lost(Letters):
    """Is sure of what is wrong in the first two thirds of its positions."""

    def forward(self, ids, cache=None):
        """Logits that are bearable only late in the window."""
        wrong = torch.nn.functional.one_hot(ids, self.vocab_size) * 60.0
        late = torch.arange(ids.shape[1])[:, None] >= 12
        return torch.where(late, super().forward(ids, cache), wrong)


class Brittle(Letters):
    """Is sure of what is wrong when two tokens follow each other as they never did in training."""

    def forward(self, ids, cache=None):
        """Logits that are bearable only where all is known."""
        known = torch.zeros(self.vocab_size, self.vocab_size, dtype=torch.bool)
        known[HELD_OUT, np.roll(HELD_OUT, -1)] = True
        steps = ~known[ids[:, :-1], ids[:, 1:]]  # (B, T - 1)
        strange = torch.nn.functional.pad(steps, (1, 0)).cumsum(1) > 0  # so far, (B, T)
        wrong = torch.nn.functional.one_hot(ids, self.vocab_size) * 60.0
        return torch.where(strange[:, :, None], wrong, super().forward(ids, cache))


class Raises(Letters):
    """Cannot bear one token."""

    def features(self, ids, cache=None):
        """Fail on it."""
        if (ids == TOKENIZER.encode("🫠")[-2]).any():
            raise RuntimeError("index out of range")
        return super().features(ids, cache)


class Unseen(Letters):
    """Has no embeddings for tokens that training did not show."""

    def embed(self, ids, n_new=None):
        """NaN where one stands."""
        never = torch.from_numpy(COUNTS == 0)[ids]
        never[ids == TOKENIZER.eot] = False
        return super().embed(ids, n_new) * torch.where(never, torch.nan, 1.0)[:, -1:, None]


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


class Stale(Cache):
    """Keeps what an earlier window left behind."""

    def clear(self):
        """Start over, but never write again."""
        super().clear()
        self.extend = self._read_only

    def _read_only(self, layer, keys, values):
        end = self.length + keys.shape[2]
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]


class Shared(sampler.Draft):
    """Draws from a generator that all texts share."""

    generator = torch.Generator().manual_seed(1)

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._generator = self.generator


def ignores(setting, value):
    """A sampler to which one setting means nothing."""
    real = sampler.next_token

    def next_token(logits, settings, generator):
        return real(logits, settings.model_copy(update={setting: value}), generator)

    return lambda patch: patch.setattr(sampler, "next_token", next_token)


def patched(owner, name, value):
    return lambda patch: patch.setattr(owner, name, value)


def lets_through(token):
    """A guard that allows one token anywhere."""
    real = Utf8Guard.allowed

    def allowed(self, state, left):
        return real(self, state, left) | (torch.arange(self.after.shape[1]) == token)

    return patched(Utf8Guard, "allowed", allowed)


def shifted_positions(self, x, start):
    """Positions of what the cache holds are counted one too far back."""
    start = max(0, start - 1)
    return x + self.wpe.weight[start : start + x.shape[1]]


def long_settings(model):
    model.settings = model.settings.model_copy(update={"context_length": 2 * MODEL.context_length})


def broken_weights(model):
    with torch.no_grad():
        model.ln_f.weight.fill_(float("nan"))


def every_byte_alike(model):
    model.__class__ = GPT
    torch.nn.init.zeros_(model.wte.weight)


def nothing(_):
    pass


@dataclass(frozen=True)
class Fault:
    """What is wrong: another class of model or tokenizer, changed weights, or a patch."""

    model: type[GPT] = Letters
    tokenizer: type[BytePairTokenizer] = BytePairTokenizer
    damage: Callable[[GPT], None] = nothing
    patch: Callable[[pytest.MonkeyPatch], None] = nothing


FAULTS = [
    ("causality", "a mask that leaks", Fault(Leaks)),
    ("causality", "a sum over the whole text", Fault(Summary)),
    ("causality", "NaN in the weights", Fault(damage=broken_weights)),
    ("determinism", "dropout left on", Fault(Drops)),
    ("overflow-continues", "numbers that break behind a cut", Fault(Breaks)),
    ("overflow-continues", "NaN in the weights", Fault(damage=broken_weights)),
    (
        "overflow-continues",
        "a cache that is never cleared",
        Fault(patch=patched(Cache, "clear", nothing)),
    ),
    ("overflow-cache", "a stale cache", Fault(patch=patched(sampler, "Cache", Stale))),
    ("overflow-cache", "dropout left on", Fault(Drops)),
    ("overflow-loss", "positions that know nothing", Fault(Lost)),
    ("repetition", "a model that repeats itself", Fault(Repeats)),
    ("repetition", "a model that only ends documents", Fault(Ends)),
    ("high-temperature", "every byte as likely as any other", Fault(damage=every_byte_alike)),
    ("high-temperature", "a model that only ends documents", Fault(Ends)),
    ("extreme-settings", "top_k is ignored", Fault(patch=ignores("top_k", None))),
    ("extreme-settings", "top_p is ignored", Fault(patch=ignores("top_p", 1.0))),
    ("extreme-settings", "temperature is ignored", Fault(patch=ignores("temperature", 1.0))),
    (
        "extreme-settings",
        "a guard that allows everything",
        Fault(patch=patched(Utf8Guard, "allowed", lambda self, state, left: self.cost[state] >= 0)),
    ),
    (
        "strategies-cache",
        "positions shifted behind the cache",
        Fault(patch=patched(learned.Positions, "embed", shifted_positions)),
    ),
    ("strategies-cache", "a stale cache", Fault(patch=patched(sampler, "Cache", Stale))),
    ("strategies-cache", "one generator", Fault(patch=patched(sampler, "Draft", Shared))),
    ("valid-utf8", "a guard that lets a byte through", Fault(patch=lets_through(180))),
    (
        "valid-utf8",
        "a guard that begins what cannot be finished",
        Fault(patch=patched(Utf8Guard, "allowed", lambda self, state, left: self.cost[state] < 5)),
    ),
    ("noise", "a model that one slip confuses", Fault(Brittle)),
    ("empty-prompt", "a model that only ends documents", Fault(Ends)),
    ("special-token-text", "the special token made of text", Fault(tokenizer=Naive)),
    ("hostile-special-token", "the special token made of text", Fault(tokenizer=Naive)),
    ("hostile-control-characters", "a tokenizer that loses text", Fault(tokenizer=Loses)),
    ("hostile-emoji", "a tokenizer that loses text", Fault(tokenizer=Loses)),
    ("hostile-emoji", "an error at one token", Fault(Raises)),
    ("hostile-right-to-left", "a tokenizer that loses text", Fault(tokenizer=Loses)),
    ("hostile-zero-width", "a tokenizer that loses text", Fault(tokenizer=Loses)),
    ("hostile-long-prompt", "fewer positions than context", Fault(damage=long_settings)),
    ("hostile-rare-tokens", "no embeddings of rare tokens", Fault(Unseen)),
]
"""Case, what is wrong, and how; the sound model of every other test is the healthy twin."""


@pytest.mark.parametrize(
    ("name", "fault"),
    [pytest.param(name, fault, id=f"{name}: {what}") for name, what, fault in FAULTS],
)
def test_each_case_catches_its_planted_fault(sound_cases, monkeypatch, name, fault):
    assert sound_cases[name].passed
    model = sound_model(fault.model)
    fault.damage(model)
    fault.patch(monkeypatch)
    case = CASES[list(sound_cases).index(name)]
    found = case(subject_of(model, fault.tokenizer(TOKENIZER.merges)))
    assert found.name == name
    assert not found.passed


def test_every_case_of_the_catalogue_has_a_planted_fault(sound_cases):
    assert {name for name, _, _ in FAULTS} == set(sound_cases)


def test_a_sound_model_passes_every_case(sound_cases):
    assert {name for name, case in sound_cases.items() if not case.passed} == set()


def test_cases_say_what_they_measured_and_can_be_stored(sound_cases):
    for name, case in sound_cases.items():
        assert case.name == name
        assert case.title
        assert case.question.endswith("?")
        assert case.explanation
        assert case.explanation == case.explanation.strip()
        assert json.loads(json.dumps(asdict(case), allow_nan=False)) == asdict(case)
    assert len({case.title for case in sound_cases.values()}) == len(sound_cases)


def test_the_same_model_gives_the_same_cases(sound, sound_cases):
    assert cases(sound) == sound_cases


def test_a_model_that_is_still_training_is_judged_without_dropout(sound_cases):
    settings = MODEL.model_copy(update={"dropout": 0.2})
    model = Letters(settings, TOKENIZER.vocab_size, 0)
    model.load_state_dict(sound_model(Letters).state_dict())
    model.train()
    assert cases(model) == sound_cases
    assert model.training


def test_numbers_that_are_not_finite_fail_everything_that_writes():
    model = sound_model()
    broken_weights(model)
    found = cases(model)
    assert {name for name, case in found.items() if case.passed} == {"special-token-text"}
    assert "not finite" in found["hostile-emoji"].explanation
    assert "not finite" in found["extreme-settings"].parts["top-k 1"]
    for name in ("repetition", "overflow-loss", "causality", "noise", "valid-utf8"):
        assert found[name].measured is None
    json.dumps([asdict(case) for case in found.values()], allow_nan=False)


def test_a_fault_fails_no_case_that_it_does_not_concern():
    assert failed(sound_model(Repeats)) == {"repetition"}
    assert failed(sound_model(Brittle)) == {"noise"}
    assert failed(sound_model(Letters), Naive(TOKENIZER.merges)) == {
        "special-token-text",
        "hostile-special-token",
    }
    odd = {f"hostile-{name}" for name, (_, text) in HOSTILE.items() if not text.isascii()}
    assert len(odd) == 4
    assert failed(sound_model(Letters), Loses(TOKENIZER.merges)) == odd


def test_numbers_that_break_only_beyond_the_context_fail_overflow():
    found = failed(sound_model(Breaks))
    assert {"overflow-continues", "overflow-cache", "hostile-long-prompt"} <= found


def test_an_error_is_an_outcome_names_itself_and_is_one_texts_alone():
    found = cases(sound_model(Raises))
    assert not found["hostile-emoji"].passed
    assert "RuntimeError: index out of range" in found["hostile-emoji"].explanation
    assert found["hostile-zero-width"].passed


def test_overflow_loss_compares_the_same_tokens():
    class Even(Letters):
        """Finds some tokens much harder than others, wherever they stand."""

        def forward(self, ids, cache=None):
            """The same logits everywhere."""
            logits = torch.arange(self.vocab_size, dtype=torch.float32) / 10
            return logits.expand(*ids.shape, -1)

    assert overflow_loss(subject_of(sound_model(Even))).measured == pytest.approx(1.0)


def test_repetition_shows_every_strategy_and_judges_the_sampled_ones(sound_cases):
    parts = sound_cases["repetition"].parts
    assert list(parts) == [*STRATEGIES, AS_SAMPLES]
    assert [name for name in parts if name.startswith("likeliest")] == [
        name for name, share in parts.items() if share.endswith("%, not judged")
    ]
    sampled = [float(share.removesuffix(" %")) for share in parts.values() if share[-1] == "%"]
    assert 100 * sound_cases["repetition"].measured == pytest.approx(max(sampled), abs=0.5)


def test_samples_without_chance_are_shown_and_not_judged():
    likeliest = SETTINGS.sampling.model_copy(update={"temperature": 0.0})
    settings = SETTINGS.model_copy(update={"sampling": likeliest})
    case = cases(sound_model(Letters), settings=settings)["repetition"]
    assert case.parts[AS_SAMPLES].endswith("not judged")
    assert case.passed


def test_settings_at_their_ends_are_told_apart(monkeypatch):
    ignores("top_k", None)(monkeypatch)
    parts = cases(sound_model(Letters))["extreme-settings"].parts
    assert list(parts) == list(EXTREMES)
    assert [name for name, outcome in parts.items() if outcome != "holds"] == ["top-k 1"]
    assert "likeliest" in parts["top-k 1"]


@given(st.text(), st.integers(0, 2**63 - 1))
def test_no_noise_changes_nothing_and_much_of_it_brings_no_new_characters(text, seed):
    assert noised(text, 0.0, seed) == text
    noisy = noised(text, 1.0, seed)
    assert set(noisy) <= set(text)
    assert len(noisy) <= len(text)
    assert noised(text, 1.0, seed) == noisy


def test_noise_hits_the_share_that_was_asked_for():
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 20_000)))
    noisy = noised(text, 0.1, 1)
    gone = len(set(text) - set(noisy))
    assert gone / len(text) == pytest.approx(2 / 3 * 0.1, rel=0.1)  # replaced, or left out
    assert len(text) - len(noisy) == pytest.approx(1 / 3 * 2000, rel=0.1)
    assert noised(text, 0.1, 2) != noisy
    assert noised(text, 0.1, 1, number=1) != noisy


def test_noise_keeps_the_ends_of_documents(sound):
    tokens = np.array([TOKENIZER.eot, *TOKENIZER.encode("ab"), TOKENIZER.eot, TOKENIZER.eot])
    read = read_again(subject_of(sound), tokens, 0.0, 0)
    assert read == tokens.tolist()
    assert read_again(subject_of(sound), tokens, 1.0, 0).count(TOKENIZER.eot) == 3


TOKENS = st.lists(st.integers(0, TOKENIZER.eot), max_size=8)


def wrote(tokens, prompt=()):
    return Writing(list(prompt), tokens, SETTINGS.sampling)


@given(TOKENS, TOKENS)
def test_equal_tokens_are_the_common_beginning(one, other):
    ends = range(min(len(one), len(other)) + 1)
    common = max(end for end in ends if one[:end] == other[:end])
    assert equal_tokens(wrote(one), wrote(other)) == common


@given(TOKENS)
def test_there_are_bad_bytes_just_where_python_cannot_decode(tokens):
    data = b"".join(TOKENIZER.token_bytes(token) or b"\0" for token in tokens)
    try:
        data.decode()
    except UnicodeDecodeError:
        assert bad_bytes(TOKENIZER, wrote(tokens)) > 0
    else:
        assert bad_bytes(TOKENIZER, wrote(tokens)) == 0


@given(st.text(st.characters(min_codepoint=128, exclude_categories=["Cs"]), min_size=1), st.data())
def test_a_character_that_the_prompt_began_is_whole_with_what_follows(text, data):
    ids = TOKENIZER.encode(text)
    cut = data.draw(st.integers(0, len(ids)))
    assert bad_bytes(TOKENIZER, wrote(ids[cut:], ids[:cut])) == 0


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
    assert repeated_share(text) == pytest.approx(share, abs=0.03)


def test_thresholds_come_from_the_settings(sound):
    strict = SETTINGS.model_copy(
        update={
            "overflow_loss_ratio": 1e-6,
            "repetition_share": 0.0,
            "high_temperature_valid_share": 1.1,
            "noise_loss_ratio": 1e-6,
        }
    )
    found = cases(sound, settings=strict)
    assert not found["overflow-loss"].passed
    assert not found["high-temperature"].passed
    assert not found["noise"].passed
    assert found["repetition"].threshold == 0.0


def test_samples_follow_the_prompts(sound):
    found = samples(sound, TOKENIZER, SETTINGS)
    assert [sample["prompt"] for sample in found] == ["The ", ""]
    assert all(sample["text"] for sample in found)
    assert found == samples(sound, TOKENIZER, SETTINGS)


def test_samples_have_their_own_length(sound):
    written = samples(sound, TOKENIZER, SETTINGS)[0]["text"]
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
