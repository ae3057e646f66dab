"""Score models and baselines on the texts of the last test.

Each model stands beside baselines that read the same training text. The texts are one stream, in
the order of the list, so who adapts learns from the texts before, too. Orders of baselines and the
settings of dynamic evaluation are chosen by val of the model's last corpus.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from variorum.base import components
from variorum.base.counts import counted
from variorum.config.corpus_settings import NormalizeSettings
from variorum.corpus import documents
from variorum.corpus.documents import Document
from variorum.corpus.fetch_context import context_of
from variorum.corpus.source import SOURCES
from variorum.corpus.source_kinds import Source
from variorum.plan.experiment_settings import Experiment
from variorum.report.phrases import listed
from variorum.store.result import Result

if TYPE_CHECKING:
    from variorum.evaluation.baselines import Costs, Texts
    from variorum.evaluation.metrics import Kind
    from variorum.evaluation.parts import Bits, Parts
    from variorum.tokenizer.base import Tokenizer

ALL = "all texts"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Reader:
    """Hold a model, and the corpora that it was trained on, in order.

    corpora: normalized texts, which the baselines beside it read, too. tokens: the last one's.
    """

    name: str
    model: Result
    corpora: Mapping[str, Result]
    tokens: Result


def read_texts(
    root: Path, sources: Sequence[Source], cleaning: NormalizeSettings, say: Say
) -> dict[str, list[Document]]:
    """Return the cleaned documents of each source, by its title.

    A group is of one source alone.

    Raises `VariorumError` if a source lacks, or is not what its hash says.
    """
    from variorum.corpus.normalize import Normalizer

    found = {}
    for source in sources:
        fetched = components.load(SOURCES, source.kind).fetch(source, context_of(root, say))
        found[source.title] = [
            replace(document, group=f"{source.title}: {document.group}")
            for document in Normalizer(cleaning).run(fetched)
        ]
    return found


def scored(
    reader: Reader, texts: Mapping[str, list[Document]], experiment: Experiment, say: Say
) -> dict[str, Any]:
    """Return what a model and the baselines need, by text, with intervals.

    Also what val chose, and the share of the texts' 50-character spans that occur in train.
    """
    from variorum.corpus.leakage import share_of_spans
    from variorum.evaluation.baselines import all_costs
    from variorum.evaluation.parts import parts_of

    test = [document for each in texts.values() for document in each]
    parts = parts_of(test)
    known = _texts(reader, test, experiment.baselines.most_train_bytes)
    of_train = _by_corpus(reader, known.of_train["read"])
    say(f"{reader.name}: baselines read {read_by_baselines(of_train)}")
    costs = list(all_costs(known, experiment.baselines))
    say(f"{reader.name}: the model reads the texts")
    of_model, chosen = _model_bits(reader, test, parts, experiment)
    train = (
        document.text
        for corpus in reader.corpora.values()
        for document in documents.read(corpus.file("train.jsonl"))
    )
    return {
        "read": list(reader.corpora),
        "train": of_train,
        "orders": {f"{each.name}_{each.kind}": each.order for each in costs if each.order},
        "dynamic": chosen,
        "in_train": share_of_spans((document.text for document in test), train),
        "texts": _compared(reader.name, of_model, costs, parts, texts),
    }


def _by_corpus(reader: Reader, read: int) -> dict[str, dict[str, int]]:
    """Return how many bytes of train each corpus has, and how many are read.

    read: how many of all are read, from the end.
    """
    found = {}
    for name, corpus in reversed(list(reader.corpora.items())):
        texts = (document.text for document in documents.read(corpus.file("train.jsonl")))
        n_bytes = sum(len(text.encode()) for text in texts)
        found[name] = {"n_bytes": n_bytes, "read": min(n_bytes, read)}
        read -= found[name]["read"]
    return dict(reversed(found.items()))


def read_by_baselines(train: Mapping[str, Mapping[str, int]]) -> str:
    """Return which corpora baselines read, and how much of each.

    train: of each corpus its bytes, and how many were read, from the end.
    """
    return listed(_part(name, **own) for name, own in train.items())


def _part(name: str, *, n_bytes: int, read: int) -> str:
    if read == n_bytes:
        return name
    part = f"{read:,} of {counted(n_bytes, 'byte')} of {name}"
    return f"the last {part}" if read else part


def _texts(reader: Reader, test: list[Document], most: int) -> "Texts":
    from variorum.evaluation.baselines import Texts

    corpora = [
        (corpus.file("train.jsonl"), corpus.file("val.jsonl")) for corpus in reader.corpora.values()
    ]
    return Texts.read(corpora, test, most)


def _model_bits(
    reader: Reader, test: list[Document], parts: "Parts", experiment: Experiment
) -> tuple[dict["Kind", "Bits"], dict[str, Any]]:
    """Return the bits of each part (G,) by kind of score, and how it learns."""
    import numpy as np

    from variorum.corpus.tokenfile import TokenFile
    from variorum.evaluation.bits import score
    from variorum.evaluation.dynamic import best_adaptation, dynamic_nats
    from variorum.model import checkpoint
    from variorum.tokenizer.serialization import load as load_tokenizer

    folder = reader.model.folder
    model, tokenizer = checkpoint.load(folder), load_tokenizer(folder / "tokenizer.json")
    context, eot = model.settings.context_length, tokenizer.eot
    tokens = np.array(list(_encoded(tokenizer, test)), dtype=np.int64)
    val = TokenFile.open(reader.tokens.folder, "val").tokens
    chosen = best_adaptation(model, val, experiment.dynamic, eot=eot)
    stride = experiment.evaluate.stride or max(1, context // 2)
    nats: dict[Kind, Bits] = {
        "static": score(model, tokens, eot=eot, stride=stride).nats,
        "adaptive": dynamic_nats(model, tokens, eot=eot, adaptation=chosen),
    }
    bits = {kind: parts.bits_of(tokenizer, tokens, each) for kind, each in nats.items()}
    return bits, asdict(chosen)


def _encoded(tokenizer: "Tokenizer", test: list[Document]) -> Iterator[int]:
    for document in test:
        yield from tokenizer.encode(document.text)
        yield tokenizer.eot


def _compared(
    name: str,
    of_model: Mapping["Kind", "Bits"],
    baselines: Sequence["Costs"],
    parts: "Parts",
    texts: Mapping[str, list[Document]],
) -> dict[str, Any]:
    """Return scores and pairs of all texts, and of each where its groups vary."""
    import numpy as np

    from variorum.evaluation.comparisons import comparison
    from variorum.evaluation.metrics import KINDS

    chosen = {ALL: np.ones(len(parts.names), dtype=bool)}
    if parts.drawn == "groups":
        for title, found in texts.items():
            own = {document.group for document in found}
            chosen[title] = np.array([part in own for part in parts.names])
    by_text: dict[str, Any] = {}
    for title, mask in chosen.items():
        n_bytes = parts.n_bytes[mask]
        by_text[title] = {"bytes": int(n_bytes.sum())}
        for kind in KINDS:
            costs = {name: of_model[kind][mask]}
            costs |= {each.name: each.bits[mask] for each in baselines if each.kind == kind}
            by_text[title][kind] = {
                "bits_per_byte": {
                    each: float(bits.sum()) / int(n_bytes.sum()) for each, bits in costs.items()
                },
                **comparison(costs, [name], n_bytes, parts.drawn),
            }
    return by_text
