"""Prefill against decode: reading a text at once, and reading it token by token.

    python docs/learn/experiments/prefill.py

A model of 4 layers and 128 channels reads 256 tokens on one thread: at once; one at a time with a
cache of keys and values; one at a time without. Medians over rounds in which all take turns.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from variorum.config.model_settings import ModelSettings
from variorum.generation.cache import Cache
from variorum.model.gpt import GPT

LENGTH = 256
ROUNDS = 5


def prefill(model: GPT, ids: Tensor) -> Tensor:
    """Logits (T, V) of ids (1, T), read at once."""
    return model(ids)[0]


def decode(model: GPT, ids: Tensor) -> Tensor:
    """The same, one token at a time, with a cache."""
    cache = Cache(model.settings)
    return torch.cat([model(ids[:, t : t + 1], cache)[0] for t in range(ids.shape[1])])


def decode_without_cache(model: GPT, ids: Tensor) -> Tensor:
    """The same, one token at a time, with everything before it computed anew."""
    return torch.cat([model(ids[:, : t + 1])[0, -1:] for t in range(ids.shape[1])])


Way = Callable[[GPT, Tensor], Tensor]
WAYS: dict[str, Way] = {
    "at once (prefill)": prefill,
    "one by one, with a cache (decode)": decode,
    "one by one, without": decode_without_cache,
}


def seconds(way: Way, model: GPT, ids: Tensor) -> float:
    """How long it takes."""
    started = time.perf_counter()
    way(model, ids)
    return time.perf_counter() - started


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    model = GPT(ModelSettings(n_layer=4, n_head=4, n_embd=128, context_length=LENGTH), 1024).eval()
    ids = torch.randint(1024, (1, LENGTH), generator=torch.Generator().manual_seed(1))
    rounds = [
        {name: seconds(way, model, ids) for name, way in WAYS.items()} for _ in range(ROUNDS + 1)
    ][1:]  # the first warms up
    for name in WAYS:
        taken = statistics.median(each[name] for each in rounds)
        print(f"{name:34} {1000 * taken:7.0f} ms  {LENGTH / taken:8.0f} tokens/s")


if __name__ == "__main__":
    main()
