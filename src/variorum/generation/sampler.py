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
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from variorum.base.errors import VariorumError
from variorum.config.evaluation_settings import SamplingSettings
from variorum.generation.cache import Cache
from variorum.generation.utf8_guard import Utf8Guard, guard_of
from variorum.model.gpt import GPT
from variorum.tokenizer.base import Tokenizer
from variorum.tokenizer.streaming import unfinished

WINDOW_MODE = "half-window"
"""How a text continues beyond the context."""

Ending = Literal["document", "length", "stop"]


def next_token(logits: Tensor, settings: SamplingSettings, generator: torch.Generator) -> int:
    """Choose the next token by its logits (V,): steps 3 to 6.

    Temperature 0 takes the likeliest and draws nothing. Otherwise one number is drawn from
    `generator`, which is on the CPU. Of equal logits the lowest id comes first, in top-k too.

    Raises:
        VariorumError: if the logits are not numbers, as after a training that diverged.
    """
    scores = logits.cpu().double()  # in this order: Apple's GPUs have no float64
    best = scores.max()
    if not torch.isfinite(best):  # the maximum is NaN if any of them is
        raise VariorumError(
            f"the model's largest logit is {best.item()}: its weights are not finite numbers; "
            "use a checkpoint from before the training diverged"
        )
    if settings.temperature == 0:
        return int(scores.argmax())
    scores = (scores - best) / settings.temperature  # at most 0, so nothing overflows
    scores, ids = scores.sort(descending=True, stable=True)
    shares = scores[: settings.top_k].softmax(0)
    summed = shares.cumsum(0)
    kept = int(torch.searchsorted(summed, settings.top_p * summed[-1])) + 1
    kept = min(kept, int((shares >= settings.min_p * shares[0]).sum()))
    drawn = torch.rand((), dtype=torch.float64, generator=generator) * summed[kept - 1]
    place = int(torch.searchsorted(summed, drawn, right=True))
    return int(ids[min(place, kept - 1)])  # the product can round up to the end


def penalized(logits: Tensor, tokens: Collection[int], penalty: float) -> Tensor:
    """Return the logits (V,) with the `tokens`' own lowered, each once.

    How often a token occurred does not matter.
    """
    ids = torch.tensor(list(tokens), dtype=torch.int64)
    seen = logits[ids]
    return logits.index_copy(0, ids, torch.where(seen > 0, seen / penalty, seen * penalty))


def share_of(tokens: Tensor, logits: Tensor, temperature: float) -> float:
    """Return the total probability of the masked tokens (V,); temperature 0 counts as 1."""
    scores = (logits - logits.max()) / (temperature or 1.0)
    return float(scores.softmax(0)[tokens].sum())


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
        self._generator = torch.Generator().manual_seed(settings.seed)
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

    def draw(self, logits: Tensor) -> int | None:
        """Draw the next token by the logits (V,) after the text; None if it ends."""
        scores = logits.cpu().double()
        if self.settings.repetition_penalty != 1:
            recent = set(self._recent) - {self.stop}
            scores = penalized(scores, recent, self.settings.repetition_penalty)
        if self._guard:
            allowed = self._guard.allowed(self._state, self.settings.max_tokens - self.drawn)
            self.removed.add(share_of(~allowed, scores, self.settings.temperature))
            scores = scores.masked_fill(~allowed, -torch.inf)
        token = next_token(scores, self.settings, self._generator)
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
    cache = _cache(model, len(drafts)) if use_cache else None
    live = list(enumerate(drafts))
    windows = [draft.prompt[-context_length:] for draft in drafts]
    start = 0
    while live:
        end = min(map(len, windows))  # all are read up to here, and the shortest grow
        logits = _next_logits(model, [window[start:end] for window in windows], cache)  # (B, V)
        for (number, draft), window, row in zip(live, windows, logits, strict=True):
            if len(window) == end and (token := draft.draw(row)) is not None:
                window.append(token)
                yield number, token
        rows = [row for row, (_, draft) in enumerate(live) if draft.ending is None]
        if len(rows) < len(live):
            live, windows = [live[row] for row in rows], [windows[row] for row in rows]
            if cache:
                cache.keep(rows)
        start = end if cache else 0
        if end == context_length:  # every window is full
            start = 0
            windows = [window[-(context_length // 2) :] for window in windows]
            for _, draft in live:
                draft.cuts += 1
            if cache:
                cache.clear()


def _cache(model: GPT, batch_size: int) -> Cache:
    weights = model.wte.weight
    return Cache(model.settings, batch_size, dtype=weights.dtype, device=weights.device)


@torch.inference_mode()
def _next_logits(model: GPT, ids: list[list[int]], cache: Cache | None) -> Tensor:
    """Return logits (B, V) of the token after each row of ids (B, T).

    The ids continue the tokens in the cache.
    """
    training = model.training
    if training:
        model.eval()
    features = model.features(torch.tensor(ids, device=model.wte.weight.device), cache)  # (B, T, C)
    if training:
        model.train()
    return model.head(features[:, -1])
