"""Measure writing beside Hugging Face's `generate` and nanoGPT's: tokens a second.

    python benchmarks/generation.py

Texts begin with one token. All models have the same sizes, and transformers' the same weights;
tokens are drawn by temperature and top-p. We compute with one thread, as the commands do; each peer
with one thread or all, whichever is faster for it. nanoGPT is measured where the variable NANOGPT
names a checkout: it has no cache, and writes only a quarter of the tokens, the cheapest for it.
Last, what a token costs at GPT-2's vocabulary, without the model.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from side_by_side import Absent, Contest, show

from variorum.config.evaluation_settings import SamplingSettings
from variorum.config.model_settings import ModelSettings
from variorum.generation.choice import Numbers, next_tokens
from variorum.generation.sampler import Draft, write
from variorum.model import checkpoint
from variorum.model.gpt import GPT

VOCAB, CONTEXT, NEW = 1024, 256, 200
SAMPLING = SamplingSettings(temperature=0.8, top_p=0.95, max_tokens=NEW, valid_utf8=False)
SIZES = {"4 x 128": (4, 4, 128), "6 x 384": (6, 6, 384)}  # layers, heads, width
BARS = {("4 x 128", 1): (3.0, 8.0), ("4 x 128", 32): (1.5, 3.0), ("6 x 384", 1): (1.5, 2.5)}

Work = Callable[[], int]
"""Write, and return the number of tokens."""


def contests() -> Iterator[Contest | Absent]:
    """Each size and number of texts, against every peer that is here."""
    for (size, n_texts), (must, aim) in BARS.items():
        model = model_of(size)
        work = f"{size}, {n_texts} {'text' if n_texts == 1 else 'texts'} of {NEW} tokens"
        ours = partial(speed, partial(our_writing, model, n_texts))
        for name, writing in peers(model, n_texts):
            if writing is None:
                yield Absent(name, ADVICE[name])
            else:
                bars = (must, aim) if name == HUGGING_FACE else (None, None)
                yield Contest(work, "tokens/s", ours, fastest(writing), name, *bars)
    yield Contest(
        "choose 1 of 50,257 by top-p",
        "tokens/s",
        partial(speed, our_choice),
        partial(speed, their_choice),
        "PyTorch: sort, softmax, cumsum, multinomial",
    )


HUGGING_FACE, NANOGPT = "transformers", "nanoGPT"
ADVICE = {
    HUGGING_FACE: "pip install transformers",
    NANOGPT: "clone karpathy/nanoGPT, and name the folder in NANOGPT",
}


def model_of(size: str) -> GPT:
    """A GPT-2 of that size with random weights, larger than at the start of a training."""
    n_layer, n_head, n_embd = SIZES[size]
    settings = ModelSettings(
        n_layer=n_layer, n_head=n_head, n_embd=n_embd, context_length=CONTEXT, positions="learned"
    )
    model = GPT(settings, VOCAB).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
        model.ln_f.weight.mul_(4)  # or all tokens were about as likely, which no text's are
    return model


def speed(work: Work) -> float:
    """Tokens a second."""
    started = time.perf_counter()
    count = work()
    return count / (time.perf_counter() - started)


def our_writing(model: GPT, n_texts: int) -> int:
    """Write by our sampler."""
    torch.set_num_threads(1)
    drafts = [Draft([seed], SAMPLING.model_copy(update={"seed": seed})) for seed in range(n_texts)]
    return sum(1 for _ in write(model, drafts))


def peers(model: GPT, n_texts: int) -> Iterator[tuple[str, Work | None]]:
    """Every peer with its way of writing; None where it is absent."""
    start = torch.arange(n_texts)[:, None]
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(model, Path(folder))
        yield HUGGING_FACE, hugging_face(Path(folder), start)
    yield NANOGPT, nanogpt(model, start)


def hugging_face(folder: Path, start: torch.Tensor) -> Work | None:
    """Write by `generate`, with its cache."""
    try:
        from transformers import GPT2LMHeadModel
        from transformers.utils import logging
    except ImportError:
        return None
    logging.disable_progress_bar()
    model: Any = GPT2LMHeadModel.from_pretrained(folder).eval()

    def work() -> int:
        with torch.inference_mode():
            written = model.generate(
                start,
                attention_mask=torch.ones_like(start),
                do_sample=True,
                temperature=SAMPLING.temperature,
                top_p=SAMPLING.top_p,
                top_k=0,
                min_new_tokens=NEW,
                max_new_tokens=NEW,
                pad_token_id=VOCAB - 1,
            )
        return int((written.shape[1] - 1) * len(start))

    return work


def nanogpt(model: GPT, start: torch.Tensor) -> Work | None:
    """Write by nanoGPT's `generate`, which has no top-p: top-k takes less."""
    place = os.environ.get("NANOGPT")
    if not place:
        return None
    sys.path.insert(0, place)
    import model as theirs_code  # type: ignore[import-not-found]

    settings = model.settings
    config = theirs_code.GPTConfig(
        block_size=settings.context_length,
        vocab_size=VOCAB,
        n_layer=settings.n_layer,
        n_head=settings.n_head,
        n_embd=settings.n_embd,
        dropout=0.0,
        bias=True,
    )
    theirs = theirs_code.GPT(config).eval()

    def work() -> int:
        with torch.inference_mode():
            theirs.generate(start, NEW // 4, temperature=SAMPLING.temperature, top_k=VOCAB)
        return NEW // 4 * len(start)

    return work


def fastest(work: Work) -> Callable[[], float]:
    """The speed with one thread or all, whichever a trial of each shows to be faster."""

    def with_threads(count: int) -> float:
        torch.set_num_threads(count)
        return speed(work)

    counts = (1, os.cpu_count() or 1)
    with_threads(1)  # warms up
    best = max(counts, key=with_threads)
    return partial(with_threads, best)


CHOICES = 100
LOGITS = np.random.default_rng(0).gumbel(scale=2.0, size=(CHOICES, 50257)).astype(np.float32)


def our_choice() -> int:
    """Choose by our sampler."""
    torch.set_num_threads(1)
    numbers = Numbers(1)
    for logits in LOGITS:
        next_tokens(logits[None], [SAMPLING], [numbers])
    return CHOICES


def their_choice() -> int:
    """Choose as top-p is usually written, in float32."""
    torch.set_num_threads(1)
    for logits in torch.from_numpy(LOGITS):
        scores, ids = (logits / SAMPLING.temperature).sort(descending=True)
        shares = scores.softmax(0)
        shares[shares.cumsum(0) - shares > SAMPLING.top_p] = 0
        int(ids[torch.multinomial(shares, 1)])
    return CHOICES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    show(contests, parser.parse_args().rounds)


if __name__ == "__main__":
    main()
