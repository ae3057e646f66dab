"""How fast the tokenizer trains and encodes, beside Hugging Face's `tokenizers` in the same run.

    python benchmarks/tokenizer.py

The text is the docstrings of the installed SymPy, cut into documents by module. Each figure is the
median of a few rounds in which the two take turns; a ratio above 1 means that ours is faster.
Before anything is timed, both must give equal merges and equal ids. "cold" encodes with an empty
cache, "warm" the same text again. Hugging Face runs on one thread and as it does by default.
"""

import ast
import importlib.util
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.tokenizer.kinds import bpe

PACKAGE = "sympy"
ROUNDS = 3
VOCAB_SIZES = (1024, 4096)

Task = Callable[[], object]


def docstrings(package: str) -> list[str]:
    """The docstrings of each module of an installed package, joined to one document."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is not installed; install the project's dependencies")
    documents = []
    for file in sorted(Path(spec.origin).parent.rglob("*.py")):
        nodes = ast.walk(ast.parse(file.read_bytes()))
        found = [ast.get_docstring(node) for node in nodes if isinstance(node, DOCUMENTED)]
        if text := "\n\n".join(filter(None, found)):
            documents.append(text)
    return documents


DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def train_ours(texts: list[str], vocab_size: int) -> bpe.BytePairTokenizer:
    return bpe.train(texts, TokenizerSettings(kind="bpe", vocab_size=vocab_size))


def train_peer(texts: list[str], vocab_size: int) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,  # ours counts <|endoftext|>
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def check_equal(ours: bpe.BytePairTokenizer, peer: tokenizers.Tokenizer, texts: list[str]) -> None:
    """Stop unless both have the same merges and ids: speeds of different work don't compare."""
    merges = [" ".join(merge) for merge in json.loads(peer.to_str())["model"]["merges"]]
    if merges != ours.document()["model"]["merges"]:
        raise SystemExit("the two trainers gave different merges")
    for text in texts:
        if ours.encode(text) != peer.encode(text).ids:
            raise SystemExit("the two tokenizers gave different ids")


def medians(tasks: dict[str, Task]) -> dict[str, float]:
    """Median seconds of each task over rounds in which all take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(ROUNDS):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def on_threads(parallel: bool, task: Task) -> Task:
    """The task, with Hugging Face's parallelism on or off."""

    def run() -> object:
        os.environ["TOKENIZERS_PARALLELISM"] = "true" if parallel else "false"
        return task()

    return run


def rows(texts: list[str], vocab_size: int) -> list[tuple[str, dict[str, float]]]:
    """What was measured at one size of vocabulary: a label and the seconds of each side."""
    ours, peer = train_ours(texts, vocab_size), train_peer(texts, vocab_size)
    check_equal(ours, peer, texts)

    def both(own: Task, other: Task) -> dict[str, float]:
        one, default = on_threads(False, other), on_threads(True, other)
        return medians({"ours": own, "peer, 1 thread": one, "peer": default})

    def encode(tokenizer: bpe.BytePairTokenizer) -> None:
        for text in texts:
            tokenizer.encode(text)

    def encode_cold() -> None:
        encode(bpe.BytePairTokenizer(ours.merges))

    def encode_peer() -> None:
        peer.encode_batch_fast(texts)

    return [
        (
            f"train {vocab_size}",
            both(lambda: train_ours(texts, vocab_size), lambda: train_peer(texts, vocab_size)),
        ),
        (f"encode {vocab_size}, cold", both(encode_cold, encode_peer)),
        (f"encode {vocab_size}, warm", both(lambda: encode(ours), encode_peer)),
    ]


def main() -> None:
    texts = docstrings(PACKAGE)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{PACKAGE} docstrings: {megabytes:.2f} MB in {len(texts)} documents; ", end="")
    print(f"median of {ROUNDS}; tokenizers {tokenizers.__version__}\n")
    print("| task | ours | Hugging Face, 1 thread | Hugging Face | ratio to 1 thread | ratio |")
    print("|---|---|---|---|---|---|")
    for vocab_size in VOCAB_SIZES:
        for label, seconds in rows(texts, vocab_size):
            own, one, default = seconds.values()
            cells = [f"{s:.2f} s ({megabytes / s:.1f} MB/s)" for s in (own, one, default)]
            print(f"| {label} | {' | '.join(cells)} | {one / own:.2f} | {default / own:.2f} |")


if __name__ == "__main__":
    main()
