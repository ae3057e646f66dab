"""Writing text: a prompt goes in, its continuation comes out, whole or piece by piece."""

from collections.abc import Iterator

from variorum.config import SamplingSettings
from variorum.errors import VariorumError
from variorum.generation.sampler import generate
from variorum.model.gpt import GPT
from variorum.tokenizer.base import Tokenizer
from variorum.tokenizer.streaming import TextStream


def stream_text(
    model: GPT,
    tokenizer: Tokenizer,
    prompt: str,
    settings: SamplingSettings,
    *,
    use_cache: bool = True,
) -> Iterator[str]:
    """Continue `prompt` in pieces of whole characters, as they are made; the prompt is not given.

    An empty prompt begins a document. The text ends with the document or after
    `settings.max_tokens`; a character that was never finished is shown as U+FFFD.

    Raises:
        VariorumError: if the tokenizer is not this model's.
    """
    if tokenizer.vocab_size != model.vocab_size:
        raise VariorumError(
            f"the tokenizer has {tokenizer.vocab_size} tokens and the model {model.vocab_size}; "
            "use the tokenizer that this model was trained with"
        )
    prompt_ids = tokenizer.encode(prompt) or [tokenizer.eot]
    tokens = generate(model, prompt_ids, settings, stop=tokenizer.eot, use_cache=use_cache)
    return _pieces(tokens, TextStream(tokenizer))


def continue_text(
    model: GPT,
    tokenizer: Tokenizer,
    prompt: str,
    settings: SamplingSettings,
    *,
    use_cache: bool = True,
) -> str:
    """The continuation of `prompt` in one piece: what `stream_text` gives, joined."""
    return "".join(stream_text(model, tokenizer, prompt, settings, use_cache=use_cache))


def _pieces(tokens: Iterator[int], stream: TextStream) -> Iterator[str]:
    for token in tokens:
        if piece := stream.feed(token):
            yield piece
    if rest := stream.finish():
        yield rest
