"""Write token by token: choose the next one, and move the window the model sees.

The logits of the model are changed in this order, in float64:

1. `repetition_penalty` (Keskar et al. 2019, CTRL, section 4.1) over the last `repetition_window`
   tokens. A negative logit is multiplied, as dividing it would favour the token.
2. `valid_utf8`: tokens that would make the text invalid are excluded (see `utf8_guard`).
3. `temperature` divides.
4. `top_k` (Fan et al. 2018) keeps exactly so many; of equal logits, the lowest ids.
5. `top_p` (Holtzman et al. 2020) keeps the smallest set of the remaining tokens that reaches it.
6. `min_p` (Nguyen et al. 2024) keeps tokens that are likely enough beside the likeliest.

One number is then drawn from a generator of the text's own, which the settings seed: the same
model, prompt and settings give the same tokens, alone or beside others.

The model sees a window of at most `context_length` tokens. A longer prompt is cropped to its last
part. When the window is full it is cut to its last half, and fills again ("half-window"): memory
stays constant and each token sees at least half a context. Keys of a cut window cannot be reused,
as their positions change; so the half is read anew, once in half a context of tokens. Without a
cache the whole window is read for every token; the windows, and so the tokens, are the same.

Several texts are written in step: at each moment all have been read up to the same position. Where
one prompt is shorter, its text begins to grow while the others' prompts are still being read. So
nothing is padded, and no text depends on the others.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from variorum.base.errors import VariorumError
from variorum.config.evaluation_settings import SamplingSettings
from variorum.generation.choice import Numbers, next_tokens, penalized, share_of
from variorum.generation.decoder import reader
from variorum.generation.reading import Logits
from variorum.generation.utf8_guard import Utf8Guard, guard_of
from variorum.model.gpt import GPT
from variorum.tokenizer.base import Tokenizer
from variorum.tokenizer.streaming import unfinished

WINDOW_MODE = "half-window"
"""How a text continues beyond the context."""

Ending = Literal["document", "length", "stop"]


@dataclass
class Removed:
    """Sum the probability that `valid_utf8` took away, over the tokens drawn so far."""

    draws: int = 0
    total: float = 0.0
    largest: float = 0.0

    def add(self, share: float) -> None:
        """Count one more draw."""
        self.draws += 1
        self.total += share
        self.largest = max(self.largest, share)

    @property
    def mean(self) -> float:
        """Return the mean per token; 0 if none was drawn, which says nothing."""
        return self.total / max(1, self.draws)


class Draft:
    """Hold one text while it is written: choose its next token, and end it.

    `ending` is None until then; setting it ends the text from outside. `drawn` tokens were drawn,
    a `stop` token that ended the text included, and the window was cut `cuts` times.
    """

    def __init__(
        self,
        prompt_ids: Sequence[int],
        settings: SamplingSettings,
        *,
        stop: int | None = None,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        """Begin a text; for the arguments and errors see `generate`."""
        self.prompt, self.settings, self.stop = list(prompt_ids), settings, stop
        self.ending: Ending | None = None
        self.drawn, self.cuts = 0, 0
        self.removed = Removed()
        self.numbers = Numbers(settings.seed)
        self._recent = deque(prompt_ids, maxlen=settings.repetition_window)
        self._guard: Utf8Guard | None = None
        if settings.valid_utf8:
            if tokenizer is None:
                raise VariorumError(
                    "valid_utf8: what bytes the tokens stand for is not known; give the tokenizer, "
                    "or valid_utf8: false"
                )
            self._guard = guard_of(tokenizer)
            self._state = self._guard.state_of(unfinished(tokenizer, prompt_ids))
            self._guard.check_end(self._state, settings.max_tokens)

    def draw(self, logits: Logits) -> int | None:
        """Draw the next token by the logits (V,) after the text; None if it ends."""
        (token,) = next_tokens(self.scores(logits)[None], [self.settings], [self.numbers])
        return self.take(token)

    def scores(self, logits: Logits) -> Logits:
        """Return the logits (V,) as the penalty and the guard change them."""
        settings = self.settings
        if settings.repetition_penalty != 1:
            recent = set(self._recent) - {self.stop}
            logits = penalized(logits, recent, settings.repetition_penalty)
        if self._guard:
            allowed = self._guard.allowed(self._state, settings.max_tokens - self.drawn)
            self.removed.add(share_of(~allowed, logits, settings.temperature))
            logits = np.where(allowed, logits, -np.inf)
        return logits

    def take(self, token: int) -> int | None:
        """Append a drawn token; return it, or None if the text ends with it."""
        self.drawn += 1
        if token == self.stop:
            self.ending = "document"
            return None
        if self.drawn == self.settings.max_tokens:
            self.ending = "length"
        self._recent.append(token)
        if self._guard:
            self._state = self._guard.next_state(self._state, token)
        return token


def generate(
    model: GPT,
    prompt_ids: Sequence[int],
    settings: SamplingSettings,
    *,
    stop: int | None = None,
    tokenizer: Tokenizer | None = None,
    use_cache: bool = True,
) -> Iterator[int]:
    """Yield the continuation of a prompt, one token after the other, as they are made.

    Args:
        model: is used without dropout, whichever mode it is in.
        prompt_ids: at least one token; the tokenizer's `eot` alone begins a document.
        settings: how tokens are drawn, and how many at most; `generation.text` takes care of stop
            strings.
        stop: a token that ends the text and is not yielded, such as `eot`.
        tokenizer: the model's; only `valid_utf8` needs it.
        use_cache: store keys and values; without, every token costs a whole window's work.

    Raises:
        VariorumError: if the prompt is empty or has tokens that the model does not know; if it
            ends inside a character that `valid_utf8` cannot finish.
    """
    draft = Draft(prompt_ids, settings, stop=stop, tokenizer=tokenizer)
    written = write(model, [draft], use_cache=use_cache)
    return (token for _, token in written)


def write(
    model: GPT, drafts: Sequence[Draft], *, use_cache: bool = True
) -> Iterator[tuple[int, int]]:
    """Write several texts at once; yield each draft's number with its next token.

    Each gets the tokens that it gets alone, wherever rounding (1e-5 in a logit) does not decide.

    Raises:
        VariorumError: as `generate`.
    """
    for draft in drafts:
        _check(draft.prompt, model)
    return _written(model, list(drafts), use_cache)


def _check(prompt_ids: list[int], model: GPT) -> None:
    if not prompt_ids:
        raise VariorumError("the prompt has no tokens; begin with the tokenizer's eot")
    if min(prompt_ids) < 0 or max(prompt_ids) >= model.vocab_size:
        raise VariorumError(
            f"the prompt has tokens from {min(prompt_ids)} to {max(prompt_ids)}, and the model's "
            f"go from 0 to {model.vocab_size - 1}; encode it with this model's tokenizer"
        )


def _written(model: GPT, drafts: list[Draft], use_cache: bool) -> Iterator[tuple[int, int]]:
    context_length = model.settings.context_length
    reading = reader(model, len(drafts), use_cache=use_cache)
    live = list(enumerate(drafts))
    windows = [draft.prompt[-context_length:] for draft in drafts]
    start = 0
    while live:
        end = min(map(len, windows))  # all are read up to here, and the shortest grow
        logits = reading.read([window[start:end] for window in windows])  # (B, V)
        grow = [row for row, window in enumerate(windows) if len(window) == end]
        drafts = [live[row][1] for row in grow]
        drawn = next_tokens(
            np.stack([draft.scores(logits[row]) for row, draft in zip(grow, drafts, strict=True)]),
            [draft.settings for draft in drafts],
            [draft.numbers for draft in drafts],
        )
        for row, drawn_token in zip(grow, drawn, strict=True):
            number, draft = live[row]
            if (token := draft.take(drawn_token)) is not None:
                windows[row].append(token)
                yield number, token
        rows = [row for row, (_, draft) in enumerate(live) if draft.ending is None]
        if len(rows) < len(live):
            live, windows = [live[row] for row in rows], [windows[row] for row in rows]
            if rows:
                reading.keep(rows)
        start = end if use_cache else 0
        if end == context_length:  # every window is full
            start = 0
            windows = [window[-(context_length // 2) :] for window in windows]
            for _, draft in live:
                draft.cuts += 1
            reading.clear()
