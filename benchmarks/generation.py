"""What writing costs on one thread: tokens a second, the UTF-8 guard, memory.

    python benchmarks/generation.py

A model of 4 layers, 128 channels and a context of 256 writes 255 tokens after one, so the window
fills once: with a cache, without, with `valid_utf8`, and eight texts at once. Medians over rounds
in which all take turns, so that a busy machine slows all alike. Then: how long the guard's
automaton takes to make for a vocabulary of 50,000 tokens, and the peak of the process's memory
after each of ten contexts of one text.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from peak_memory import peak_memory

from variorum.base import components
from variorum.config.evaluation_settings import SamplingSettings
from variorum.config.model_settings import ModelSettings
from variorum.generation.sampler import Draft, generate, write
from variorum.generation.utf8_guard import Utf8Guard
from variorum.model.gpt import GPT
from variorum.tokenizer.kinds.characters import BYTES, CharacterTokenizer

SAMPLING = SamplingSettings(temperature=0.8, top_p=0.95, max_tokens=255, valid_utf8=False)
TOGETHER = 8


def vocabulary(size: int) -> CharacterTokenizer:
    """A tokenizer of that size: the first characters behind the surrogates, and the bytes."""
    first = 0xE000
    return CharacterTokenizer("".join(map(chr, range(first, first + size - BYTES - 1))))


def speeds(model: GPT, tokenizer: CharacterTokenizer) -> dict[str, float]:
    """Tokens a second, in each way of writing."""
    guarded = SAMPLING.model_copy(update={"valid_utf8": True})
    ways: dict[str, Callable[[], Iterator[object]]] = {
        "cache": lambda: generate(model, [0], SAMPLING),
        "no cache": lambda: generate(model, [0], SAMPLING, use_cache=False),
        "valid_utf8": lambda: generate(model, [0], guarded, tokenizer=tokenizer),
        f"{TOGETHER} texts": lambda: write(model, [Draft([0], SAMPLING) for _ in range(TOGETHER)]),
    }
    found = {}
    for name, way in ways.items():
        started = time.perf_counter()
        count = len(list(way()))
        found[name] = count / (time.perf_counter() - started)
    return found


def medians(tokenizer: CharacterTokenizer, rounds: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Position encoding, and the medians of its speeds."""
    for positions in components.options("model/positions"):
        settings = ModelSettings(
            n_layer=4, n_head=4, n_embd=128, context_length=256, positions=positions
        )
        model = GPT(settings, tokenizer.vocab_size).eval()
        taken = [speeds(model, tokenizer) for _ in range(rounds + 1)][1:]  # the first warms up
        yield (
            positions,
            {name: statistics.median(each[name] for each in taken) for name in taken[0]},
        )


def peaks(context_length: int) -> Iterator[float]:
    """Peak memory of this process (MiB) after each of ten contexts of one text."""
    settings = ModelSettings(n_layer=4, n_head=4, n_embd=256, context_length=context_length)
    sampling = SAMPLING.model_copy(update={"max_tokens": 10 * context_length})
    for count, _ in enumerate(generate(GPT(settings, 300), [0], sampling), start=1):
        if count % context_length == 0:
            yield peak_memory() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vocab-size", type=int, default=1024)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("tokens/s, medians")
    for positions, found in medians(vocabulary(arguments.vocab_size), arguments.rounds):
        print(
            f"{positions:10}", *(f"{name} {speed:.0f}" for name, speed in found.items()), sep="  "
        )
    large = vocabulary(50000)
    started = time.perf_counter()
    Utf8Guard(large)
    print(f"the guard of 50,000 tokens: {1000 * (time.perf_counter() - started):.0f} ms")
    print("peak memory after 1 to 10 contexts of 256 tokens, MiB:")
    print(*(f"{peak:.1f}" for peak in peaks(256)))


if __name__ == "__main__":
    main()
