"""Write text: continue prompts, whole or piece by piece."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from variorum.base.errors import VariorumError
from variorum.config.evaluation_settings import SamplingSettings
from variorum.generation.sampler import WINDOW_MODE, Draft, Ending, write
from variorum.generation.stops import StopStrings
from variorum.model.gpt import GPT
from variorum.tokenizer.base import Tokenizer
from variorum.tokenizer.streaming import TextStream, unfinished

Prompt = str | Sequence[int]


@dataclass(frozen=True)
class Account:
    """Report how a text was written.

    tokens: how many were drawn, an end of the document included.
    ending: what ended it: the document, the length, or a stop string; None if it was left early.
    removed_mean, removed_largest: probability that `valid_utf8` took away, of one token; they say
        nothing where `tokens` is 0.
    window_cuts: how often the window was full and was cut, by `window_mode`.
    """

    tokens: int
    ending: Ending | None
    removed_mean: float
    removed_largest: float
    window_cuts: int
    window_mode: str = WINDOW_MODE


@dataclass(frozen=True)
class Written:
    """Hold a text that a model wrote after its prompt, and how."""

    text: str
    account: Account


class Continuation:
    """Continue one prompt: tokens go in, certain text comes out.

    An empty prompt begins a document. The text ends with the document, before a stop string, or
    after `settings.max_tokens`. A prompt of tokens may end inside a character; the text then
    begins with that character.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Prompt, settings: SamplingSettings) -> None:
        ids = tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt)
        ids = ids or [tokenizer.eot]
        self.draft = Draft(ids, settings, stop=tokenizer.eot, tokenizer=tokenizer)
        self._stream = TextStream(tokenizer, unfinished(tokenizer, ids))
        self._stops = StopStrings(settings.stop)

    def take(self, token: int) -> str:
        """Return the text that is certain with this token; it may be empty."""
        piece = self._stops.feed(self._stream.feed(token))
        if self._stops.found:
            self.draft.ending = "stop"
        return piece

    def finish(self) -> str:
        """Return the text held back; a character that was never finished becomes U+FFFD."""
        piece = self._stops.feed(self._stream.finish()) + self._stops.finish()
        if self._stops.found:
            self.draft.ending = "stop"
        return piece

    @property
    def account(self) -> Account:
        """Return how the text was written, so far."""
        draft = self.draft
        removed = draft.removed
        return Account(draft.drawn, draft.ending, removed.mean, removed.largest, draft.cuts)


class Streamed(Iterator[str]):
    """Yield the pieces of a text, as they are made; `account` reports so far."""

    def __init__(self, continuation: Continuation, tokens: Iterator[tuple[int, int]]) -> None:
        self._continuation = continuation
        self._pieces = _pieces(continuation, tokens)

    def __next__(self) -> str:
        """Return the next piece, which is not empty."""
        return next(self._pieces)

    @property
    def account(self) -> Account:
        """Return how the text was written so far."""
        return self._continuation.account


def stream_text(
    model: GPT,
    tokenizer: Tokenizer,
    prompt: Prompt,
    settings: SamplingSettings,
    *,
    use_cache: bool = True,
) -> Streamed:
    """Continue `prompt` in pieces of whole characters, as they are made.

    The prompt itself is not yielded. Only a possible beginning of a stop string is held back.

    Raises:
        VariorumError: if the tokenizer is not this model's, or the prompt cannot be continued.
    """
    _check(model, tokenizer)
    continuation = Continuation(tokenizer, prompt, settings)
    return Streamed(continuation, write(model, [continuation.draft], use_cache=use_cache))


def continue_text(
    model: GPT,
    tokenizer: Tokenizer,
    prompt: Prompt,
    settings: SamplingSettings,
    *,
    use_cache: bool = True,
) -> str:
    """Return the continuation of `prompt` in one piece: `stream_text`, joined."""
    return "".join(stream_text(model, tokenizer, prompt, settings, use_cache=use_cache))


def continue_texts(
    model: GPT,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    settings: Sequence[SamplingSettings],
    *,
    use_cache: bool = True,
) -> list[Written]:
    """Continue several prompts at once, of any lengths, each by its settings and seed.

    Each text equals what `continue_text` returns for it alone.

    Raises:
        VariorumError: as `stream_text`.
    """
    _check(model, tokenizer)
    texts = [Continuation(tokenizer, *each) for each in zip(prompts, settings, strict=True)]
    pieces: list[list[str]] = [[] for _ in texts]
    for number, token in write(model, [text.draft for text in texts], use_cache=use_cache):
        pieces[number].append(texts[number].take(token))
    return [
        Written("".join([*parts, text.finish()]), text.account)
        for parts, text in zip(pieces, texts, strict=True)
    ]


def _check(model: GPT, tokenizer: Tokenizer) -> None:
    if tokenizer.vocab_size != model.vocab_size:
        raise VariorumError(
            f"the tokenizer has {tokenizer.vocab_size} tokens and the model {model.vocab_size}; "
            "use the tokenizer that this model was trained with"
        )


def _pieces(continuation: Continuation, tokens: Iterator[tuple[int, int]]) -> Iterator[str]:
    for _, token in tokens:
        if piece := continuation.take(token):
            yield piece
    if rest := continuation.finish():
        yield rest
