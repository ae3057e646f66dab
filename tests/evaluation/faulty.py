"""Faults: each is one thing gone wrong in model, tokenizer, cache, sampler or guard."""

import numpy as np
import torch
from stressed import COUNTS, MODEL, TOKENIZER, Letters

from variorum.generation import sampler
from variorum.generation.cache import Cache
from variorum.generation.choice import Numbers
from variorum.generation.utf8_guard import Utf8Guard
from variorum.tokenizer.base import END_OF_TEXT
from variorum.tokenizer.kinds.bpe import BytePairTokenizer


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


class Greets(BytePairTokenizer):
    """Begins an empty text with a token."""

    def encode(self, text):
        """A letter instead of nothing."""
        return BytePairTokenizer.encode(self, text or "T")


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

    shared = Numbers(1)

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.numbers = self.shared


def ignores(setting, value):
    """A sampler to which one setting means nothing."""
    real = sampler.next_tokens

    def next_tokens(logits, settings, numbers):
        return real(
            logits, [each.model_copy(update={setting: value}) for each in settings], numbers
        )

    return lambda patch: patch.setattr(sampler, "next_tokens", next_tokens)


def patched(owner, name, value):
    return lambda patch: patch.setattr(owner, name, value)


def lets_through(token):
    """A guard that allows one token anywhere."""
    real = Utf8Guard.allowed

    def allowed(self, state, left):
        return real(self, state, left) | (np.arange(self.after.shape[1]) == token)

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


def nothing(_):
    pass
