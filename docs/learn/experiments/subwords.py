"""Why subwords: what a vocabulary buys, and what it costs.

    python docs/learn/experiments/subwords.py

The prose of SymPy's docstrings, as `tiny` cleans and splits it: vocabularies are learned on its
train part, and val is encoded. Takes the finished experiment `tiny`.
"""

from pathlib import Path

from matplotlib.figure import Figure

from variorum.base.project import find_project
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.corpus import documents
from variorum.plan.references import find
from variorum.report.figures.style import PALETTE, WIDTH, style, svg_of
from variorum.store.store import Store
from variorum.tokenizer.derivation import count_words
from variorum.tokenizer.kinds import bpe

IMAGE = Path(__file__).parents[1] / "images/subwords.svg"
SIZES = (257, 512, 1024, 2048, 4096)


def base_text(experiment: str = "tiny") -> tuple[list[str], list[str]]:
    """The texts of the train and the val part of an experiment's base corpus."""
    here = find_project(Path(__file__).parent)
    store = Store(here)
    model = find(experiment, root=here)
    while "model" in model.spec.upstream:  # a fine-tuned model began as another
        model = store.open(model.spec.upstream["model"])
    tokens = store.open(model.spec.upstream["tokens"])
    text = store.open(tokens.spec.upstream["text"])
    train, val = (documents.read(text.file(f"{side}.jsonl")) for side in ("train", "val"))
    return [document.text for document in train], [document.text for document in val]


def bytes_per_token(size: int, train: list[str], val: list[str]) -> float:
    """Bytes of val for each token, with a vocabulary of `size` learned on train."""
    if size == SIZES[0]:  # the 256 bytes and <|endoftext|>: nothing is learned
        return 1.0
    tokenizer = bpe.train(train, TokenizerSettings(kind="bpe", vocab_size=size))
    return sum(len(text.encode()) for text in val) / sum(len(tokenizer.encode(t)) for t in val)


def unknown_share(train: list[str], val: list[str]) -> tuple[int, float]:
    """Distinct words of train, and the share of the words of val that are none of them."""
    known, words = count_words(train), count_words(val)
    return len(known), sum(n for word, n in words.items() if word not in known) / words.total()


def draw(found: dict[int, float]) -> str:
    """Bytes a token by the size of the vocabulary."""
    with style():
        figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
        axes = figure.subplots()
        axes.plot(list(found), list(found.values()), marker="o", color=PALETTE[0])
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(found), [str(size) for size in found])
        axes.set_xlabel("vocabulary, tokens")
        axes.set_ylabel("bytes a token, val")
        axes.set_ylim(0)
        return svg_of(figure)


def main() -> None:
    train, val = base_text()
    found = {size: bytes_per_token(size, train, val) for size in SIZES}
    print("vocabulary  bytes a token  rows of 128 numbers")
    for size, share in found.items():
        print(f"{size:10}  {share:13.2f}  {128 * size:19,}")
    known, unknown = unknown_share(train, val)
    print(f"words: {known:,} distinct in train; {unknown:.1%} of those in val are none of them")
    IMAGE.write_text(draw(found), encoding="utf-8")


if __name__ == "__main__":
    main()
