"""Writing token by token: how the next one is chosen, and what the model sees meanwhile.

A token is drawn from the model's probabilities by temperature, then top-k (Fan et al. 2018), then
top-p (Holtzman et al. 2020), in float64 and with a generator that the settings seed: the same
model, prompt and settings give the same tokens.

The model sees a window of at most `context_length` tokens. A longer prompt is cropped to its last
part. When the window is full it is cut to its last half, and fills again ("half-window"): memory
stays constant and each token sees at least half a context. Keys of a cut window cannot be kept, as
their positions change; so the half is read anew, once in half a context of tokens. Without a cache
the whole window is read for every token; the windows, and so the tokens, are the same.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from variorum.config import SamplingSettings
from variorum.errors import VariorumError
from variorum.generation.cache import Cache
from variorum.model.gpt import GPT


def next_token(logits: Tensor, settings: SamplingSettings, generator: torch.Generator) -> int:
    """Choose the next token by its logits (V,).

    Temperature 0 takes the likeliest and draws nothing. Otherwise one number is drawn from
    `generator`, which is on the CPU. Among equals the lowest id comes first, in top-k too.

    Raises:
        VariorumError: if the logits are not numbers, as after a training that diverged.
    """
    scores = logits.double().cpu()
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
    summed = scores[: settings.top_k].softmax(0).cumsum(0)
    kept = int(torch.searchsorted(summed, settings.top_p * summed[-1])) + 1
    drawn = torch.rand((), dtype=torch.float64, generator=generator) * summed[kept - 1]
    place = int(torch.searchsorted(summed, drawn, right=True))
    return int(ids[min(place, kept - 1)])  # the product can round up to the end


def generate(
    model: GPT,
    prompt_ids: Sequence[int],
    settings: SamplingSettings,
    *,
    stop: int | None = None,
    use_cache: bool = True,
) -> Iterator[int]:
    """Continue a prompt, one token after the other, as they are made.

    Args:
        model: is used without dropout, whichever mode it is in.
        prompt_ids: at least one token; the tokenizer's `eot` alone begins a document.
        settings: how tokens are drawn, and how many at most.
        stop: a token that ends the text and is not given, such as `eot`.
        use_cache: keep keys and values; without, every token costs a whole window's work.

    Raises:
        VariorumError: if the prompt is empty or has tokens that the model does not know.
    """
    if not prompt_ids:
        raise VariorumError("the prompt has no tokens; begin with the tokenizer's eot")
    if min(prompt_ids) < 0 or max(prompt_ids) >= model.vocab_size:
        raise VariorumError(
            f"the prompt has tokens from {min(prompt_ids)} to {max(prompt_ids)}, and the model's "
            f"go from 0 to {model.vocab_size - 1}; encode it with this model's tokenizer"
        )
    window = list(prompt_ids[-model.settings.context_length :])
    return _continuation(model, window, settings, stop, use_cache)


def _continuation(
    model: GPT, window: list[int], settings: SamplingSettings, stop: int | None, use_cache: bool
) -> Iterator[int]:
    context_length = model.settings.context_length
    weights = model.wte.weight
    cache = Cache(model.settings, dtype=weights.dtype, device=weights.device) if use_cache else None
    generator = torch.Generator().manual_seed(settings.seed)
    unread = window  # what the cache does not hold yet
    for _ in range(settings.max_tokens):
        logits = _next_logits(model, unread if cache else window, cache)
        token = next_token(logits, settings, generator)
        if token == stop:
            return
        yield token
        window.append(token)
        unread = [token]
        if len(window) > context_length:
            window = unread = window[-(context_length // 2) :]
            if cache:
                cache.clear()


@torch.inference_mode()
def _next_logits(model: GPT, ids: list[int], cache: Cache | None) -> Tensor:
    """Logits (V,) of the token after ids, which follow what the cache holds."""
    training = model.training
    if training:
        model.eval()
    features = model.features(torch.tensor([ids], device=model.wte.weight.device), cache)
    if training:
        model.train()
    return model.head(features[0, -1])
