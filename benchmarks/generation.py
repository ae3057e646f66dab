"""Tokens a second that a small model writes, with a cache and without, on one thread.

    python benchmarks/generation.py

A model of 4 layers, 128 channels and a context of 256 writes 255 tokens after one, so the window
fills once. Medians over rounds in which both take turns, so that a busy machine slows both.
"""

import argparse
import statistics
import time
from collections.abc import Iterator

import torch

from variorum.config import ModelSettings, SamplingSettings
from variorum.generation.sampler import generate
from variorum.model.gpt import GPT

SAMPLING = SamplingSettings(temperature=0.8, top_p=0.95, max_tokens=255)


def tokens_per_second(model: GPT, *, use_cache: bool) -> float:
    started = time.perf_counter()
    count = sum(1 for _ in generate(model, [0], SAMPLING, use_cache=use_cache))
    return count / (time.perf_counter() - started)


def speeds(vocab_size: int, rounds: int) -> Iterator[tuple[str, float, float]]:
    """Position encoding, median with a cache, median without."""
    for positions in ("learned", "rotary"):
        settings = ModelSettings(
            n_layer=4, n_head=4, n_embd=128, context_length=256, positions=positions
        )
        model = GPT(settings, vocab_size).eval()
        pairs = [
            (tokens_per_second(model, use_cache=True), tokens_per_second(model, use_cache=False))
            for _ in range(rounds + 1)
        ]
        cached, uncached = zip(*pairs[1:], strict=True)  # the first round warms up
        yield positions, statistics.median(cached), statistics.median(uncached)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vocab-size", type=int, default=1024)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("positions  with cache  without  ratio   (tokens/s, medians)")
    for positions, cached, uncached in speeds(arguments.vocab_size, arguments.rounds):
        print(f"{positions:9}  {cached:10.0f}  {uncached:7.0f}  {cached / uncached:5.1f}")


if __name__ == "__main__":
    main()
