"""How fast text is learned from, encoded and cleaned, beside others in the same run.

    python benchmarks/text.py
    python benchmarks/text.py --clean 1000    # MB of text to clean; default 20

The texts are what is installed: docstrings as prose, source as code. Before anything is timed, both
sides must give equal merges and equal ids. Encoding goes from a file of documents to a token file,
by our stage's functions on two processes and by `tiktoken` on two threads, with the same merges.
Training is beside Hugging Face's `tokenizers`, as it runs by default. Cleaning has no peer; the
speed of normalize and its memory are printed, of a made-up text that is one document.
"""

import argparse
import ast
import json
import re
import sys
import time
from collections.abc import Iterator
from functools import cache, partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tokenizers
from memory import MB, rows_of
from side_by_side import Absent, Contest, Speed, show
from tokenizers import models, pre_tokenizers, trainers

from variorum.base.parallel import in_order
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.corpus import documents, tokenfile
from variorum.corpus.documents import Document
from variorum.corpus.spans import spans
from variorum.corpus.unicode14 import UNASSIGNED
from variorum.stages import encode, tokenizer
from variorum.tokenizer import bulk
from variorum.tokenizer.kinds import bpe
from variorum.tokenizer.pretokens import chunks

ROUNDS = 3
PROCESSES = 2
SMALL, LARGE, ENCODED = 1_100_000, 60_000_000, 20_000_000  # characters
CHUNK = 1 << 19  # characters that tiktoken gets at once
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# GPT-2's, as tiktoken spells it.
PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"


@cache
def installed(kind: str, most: int) -> str:
    """About so many characters of the installed Python files: their docstrings or all of them.

    Without characters newer than Unicode 14, which others cut otherwise (docs/tokenizers.md).
    """
    found: list[str] = []
    size = 0
    folders = [Path(folder) for folder in sys.path if folder.endswith("site-packages")]
    for file in chain.from_iterable(sorted(folder.rglob("*.py")) for folder in folders):
        try:
            text = file.read_text(encoding="utf-8")
            if kind == "prose":
                nodes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, DOCUMENTED))
                text = "\n\n".join(filter(None, map(ast.get_docstring, nodes)))
        except (SyntaxError, ValueError):
            continue
        found.append(text)
        size += len(text)
        if size > most:
            break
    text = "\n".join(found)[:most]
    newer = re.findall(f"[{UNASSIGNED}]", "".join(set(text)))
    return text.translate(dict.fromkeys(map(ord, newer)))


def written(folder: Path, text: str) -> Path:
    """Write a text as a file of one document."""
    path = folder / "documents.jsonl"
    documents.write(path, [Document("text", "text", text)])
    return path


def train_ours(path: Path, vocab_size: int) -> bpe.BytePairTokenizer:
    return tokenizer.learned(bpe, TokenizerSettings(vocab_size=vocab_size), spans(path), PROCESSES)


def train_peer(path: Path, vocab_size: int) -> tokenizers.Tokenizer:
    [document] = documents.read(path)
    peer = tokenizers.Tokenizer(models.BPE())
    peer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,  # ours counts <|endoftext|>
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    peer.train_from_iterator(chunks(document.text, CHUNK), trainer)
    return peer


def training(folder: Path, kind: str, size: int, vocab_size: int, bars: tuple[float, float]):
    """The contest of training, after a check of the merges."""
    path = written(folder, installed(kind, size))
    own = train_ours(path, vocab_size).document()["model"]["merges"]
    merges = json.loads(train_peer(path, vocab_size).to_str())["model"]["merges"]
    if own != [" ".join(merge) for merge in merges]:
        raise SystemExit("the two trainers gave different merges")
    n_bytes = path.stat().st_size
    return Contest(
        f"BPE training to {vocab_size}, {n_bytes / MB:.1f} MB of {kind}",
        "MB/s",
        speed(n_bytes, partial(train_ours, path, vocab_size)),
        speed(n_bytes, partial(train_peer, path, vocab_size)),
        "tokenizers, 2 threads",
        *bars,
    )


def encoding(folder: Path, kind: str) -> Contest | Absent:
    """The contest of encoding, after a check of the files."""
    try:
        import tiktoken
    except ImportError:
        return Absent("tiktoken", "pip install tiktoken")
    text = installed(kind, ENCODED)
    own = bpe.train([text[: ENCODED // 5]], TokenizerSettings(vocab_size=8192))
    path = written(folder, text)
    dtype = tokenfile.dtype_for(own.vocab_size)
    peer = tiktoken.Encoding(
        "peer",
        pat_str=PATTERN,
        mergeable_ranks={own.token_bytes(token): token for token in range(own.eot)},
        special_tokens={},
    )

    def encode_ours() -> None:
        encoded = partial(encode.encoded, bulk.encoder(own), str(dtype))
        tokenfile.write(folder, "ours", in_order(encoded, spans(path), PROCESSES))

    def encode_peer() -> None:
        with (folder / "peer.bin").open("wb") as file:
            for document in documents.read(path):
                parts = list(chunks(document.text, CHUNK))
                for ids in peer.encode_ordinary_batch(parts, num_threads=2):
                    file.write(np.array(ids, dtype=dtype).data)
                file.write(np.array([own.eot], dtype=dtype).data)

    encode_ours()
    encode_peer()
    if (folder / "ours.bin").read_bytes() != (folder / "peer.bin").read_bytes():
        raise SystemExit("the two encoders gave different ids")
    n_bytes = path.stat().st_size
    sides = (speed(n_bytes, encode_ours), speed(n_bytes, encode_peer))
    return Contest(f"encode {kind}, file to file", "MB/s", *sides, "tiktoken, 2 threads", 1.0, 2.0)


def speed(n_bytes: int, task) -> Speed:
    """MB/s of a task that reads so many bytes."""

    def run() -> float:
        start = time.perf_counter()
        task()
        return n_bytes / MB / (time.perf_counter() - start)

    return run


def contests() -> Iterator[Contest | Absent]:
    """Every contest, with its text in a folder of its own."""
    for make in (
        partial(training, kind="prose", size=SMALL, vocab_size=4096, bars=(1.5, 2.0)),
        partial(training, kind="code", size=LARGE, vocab_size=32768, bars=(1.0, 1.5)),
        partial(encoding, kind="prose"),
        partial(encoding, kind="code"),
    ):
        with TemporaryDirectory(prefix="variorum-text-") as name:
            yield make(Path(name))


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of text, beside others.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--clean", type=float, default=20, help="MB of text to clean; 0: none")
    asked = parser.parse_args()
    show(contests, asked.rounds)
    if asked.clean:
        for row in rows_of("one text", asked.clean, ["normalize"]):
            if row.stage == "normalize":
                found = row.found
                print(
                    f"\nnormalize {asked.clean:g} MB: {asked.clean / found.wall:.1f} MB/s, ", end=""
                )
                print(f"peak {found.peak / MB:.0f} MB in the leading process")


if __name__ == "__main__":
    main()
