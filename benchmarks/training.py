"""Measure training steps beside nanoGPT's: tokens a second.

    python benchmarks/training.py

The model and batch are nanoGPT's recipe for a CPU: 4 layers, 128 channels, 12 sequences of 64
characters. The peer is nanoGPT's own `train.py`, where the variable NANOGPT names a checkout, or
else the same loop around transformers' GPT-2 and PyTorch's AdamW, with as many threads as PyTorch
takes. We compute with two processes. Each burst is a process of its own; its first steps, in which
memory is taken, do not count.
"""

import argparse
import json
import os
import pickle
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import Absent, Contest, Speed, show

LAYERS, HEADS, WIDTH, CONTEXT, BATCH, VOCAB = 4, 4, 128, 64, 12, 65
TOKENS_A_STEP = BATCH * CONTEXT
STEPS, FIRST = 60, 15  # steps of a burst; the first ones do not count
NANOGPT = "nanoGPT"

MODERN = {
    "positions": "rotary",
    "feed_forward": "relu_squared",
    "norm": "rms",
    "qk_norm": True,
    "token_shift": True,
    "ngrams": (2,),
    "zero_outputs": True,
    "bias": False,
}
OURS: dict[str, tuple[str, dict[str, Any], dict[str, Any], float, float]] = {
    "fp32": ("nanoGPT's model and batch, fp32", {}, {}, 1.3, 1.6),
    "bf16": ("nanoGPT's model and batch, bf16", {}, {"precision": "bf16"}, 2.0, 3.0),
    "modern": (
        "modern with its table of bigrams, bf16",
        MODERN,
        {"optimizer": "muon", "precision": "bf16"},
        1.2,
        1.8,
    ),
    "modern, fp32": (
        "modern with its table of bigrams, fp32",
        MODERN,
        {"optimizer": "muon"},
        1.2,
        1.8,
    ),
}
"""The work, settings of the model and of the training, and the bars."""


def contests() -> Iterator[Contest | Absent]:
    """Each of our settings against the peer's loop, which computes in fp32."""
    peer, speed = best_peer()
    if peer != NANOGPT:
        yield Absent(NANOGPT, "clone karpathy/nanoGPT, and name the folder in NANOGPT")
    for name, (work, _, of_training, must, aim) in OURS.items():
        if of_training.get("precision") == "bf16" and not has_bf16():
            yield Absent(f"bf16 ({work})", "this processor has no instructions for it")
        else:
            yield Contest(work, "tokens/s", partial(burst, name), speed, peer, must, aim)


def best_peer() -> tuple[str, Speed]:
    """The name of the best peer that is here, and its speed."""
    if checkout := os.environ.get("NANOGPT"):
        return NANOGPT, partial(nanogpt, Path(checkout).resolve())
    return "transformers' GPT-2, PyTorch's AdamW", partial(burst, "transformers")


def has_bf16() -> bool:
    """Whether the processor multiplies in bf16."""
    flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    return bool(re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", flags))


def tokens_per_second(seconds: list[float]) -> float:
    """The speed by the median of the steps that count."""
    return TOKENS_A_STEP / statistics.median(seconds[FIRST:])


def nanogpt(checkout: Path) -> float:
    """Run nanoGPT's own script, on random characters; it prints each step's time."""
    with tempfile.TemporaryDirectory() as folder:
        for script in checkout.glob("*.py"):  # it reads others of them, and its data, from here
            Path(folder, script.name).symlink_to(script)
        data = Path(folder, "data/random")
        data.mkdir(parents=True)
        ids = np.random.default_rng(0).integers(0, VOCAB, 100_000).astype(np.uint16)
        for part in ("train", "val"):
            ids.tofile(data / f"{part}.bin")
        (data / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": VOCAB}))
        sizes = f"--n_layer={LAYERS} --n_head={HEADS} --n_embd={WIDTH} --block_size={CONTEXT}"
        recipe = (
            "--dataset=random --device=cpu --compile=False --dropout=0.0 --learning_rate=1e-3 "
            f"--gradient_accumulation_steps=1 --beta2=0.99 --batch_size={BATCH} {sizes} "
            f"--max_iters={STEPS} --lr_decay_iters={STEPS} --min_lr=1e-4 --warmup_iters=10 "
            "--eval_interval=100000 --eval_iters=1 --log_interval=1 --out_dir=out"
        )
        command = [sys.executable, "train.py", *recipe.split()]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    times = re.findall(r"^iter \d+: .*time ([\d.]+)ms", done.stdout, re.MULTILINE)
    return tokens_per_second([float(found) / 1000 for found in times])


def burst(side: str) -> float:
    """Take the steps of a side in a process of its own."""
    command = [sys.executable, __file__, "--side", side]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return tokens_per_second(json.loads(done.stdout.splitlines()[-1]))


def our_steps(name: str) -> list[float]:
    """Seconds of each of our steps."""
    from variorum.base.progress import Progress
    from variorum.config.model_settings import ModelSettings
    from variorum.config.training_settings import TrainingSettings
    from variorum.model.gpt import GPT
    from variorum.tokenizer.kinds.characters import BYTES, CharacterTokenizer
    from variorum.training.loop import Data, Host, Training

    _, of_model, of_training, _, _ = OURS[name]
    sizes = {"n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH, "context_length": CONTEXT}
    settings = TrainingSettings(
        **of_training,
        max_steps=STEPS,
        warmup_steps=10,
        batch_size=BATCH,
        val_interval=STEPS,
        val_tokens=CONTEXT,
        sample_tokens=0,
        selection="last",
    )
    ends: list[float] = []

    class Watched(Progress):
        def step(self, text: str = "") -> None:
            ends.append(time.perf_counter())

    ids = np.random.default_rng(0).integers(0, VOCAB, 100_000).astype(np.uint16)
    tokenizer = CharacterTokenizer("".join(map(chr, range(0x4E00, 0x4E00 + VOCAB))))
    assert tokenizer.vocab_size == VOCAB + BYTES + 1  # of which the model needs the first
    with tempfile.TemporaryDirectory() as folder:
        model = GPT(ModelSettings(**sizes, **of_model), VOCAB)
        host = Host(Path(folder, "state"), processes=2, progress=Watched("steps"))
        begin = time.perf_counter()
        Training(model, tokenizer, Data(ids, ids[:1000]), settings, 1, host).run()
    return [end - start for start, end in zip([begin, *ends], ends, strict=False)]


def steps_of_transformers() -> list[float]:
    """Seconds of each step of the same loop, around transformers' GPT-2."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=VOCAB,
        n_positions=CONTEXT,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    model = GPT2LMHeadModel(config)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, fused=True
    )
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, VOCAB, 100_000))
    seconds = []
    for _ in range(STEPS):
        begin = time.perf_counter()
        starts = torch.randint(len(ids) - CONTEXT - 1, (BATCH,))
        inputs = torch.stack([ids[start : start + CONTEXT] for start in starts])
        targets = torch.stack([ids[start + 1 : start + CONTEXT + 1] for start in starts])
        logits = model(inputs).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        seconds.append(time.perf_counter() - begin)
    return seconds


def main() -> None:
    """Print the table, or be one of its sides."""
    parser = argparse.ArgumentParser(description="Training steps beside nanoGPT's.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", choices=[*OURS, "transformers"], help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.side is None:
        show(contests, chosen.rounds)
        return
    take: Callable[[], list[float]] = (
        steps_of_transformers if chosen.side == "transformers" else partial(our_steps, chosen.side)
    )
    print(json.dumps(take()))


if __name__ == "__main__":
    main()
