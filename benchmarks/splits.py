"""How even the parts of the default's corpora are: groups, and the share of the largest one.

    python benchmarks/splits.py

One line for each share of val, and one for test, which no share of val changes. Groups of uneven
size count as fewer even ones: (sum b)² / (sum b²) for groups of b bytes.
"""

from collections import Counter
from pathlib import Path

from variorum.base import components
from variorum.base.project import find_project
from variorum.config.corpus_settings import SplitSettings
from variorum.corpus.fetch_context import context_of
from variorum.corpus.normalize import Normalizer
from variorum.corpus.splits import side
from variorum.plan.experiment_settings import CorpusSettings
from variorum.plan.loading import named_experiment


def group_sizes(corpus: CorpusSettings, root: Path) -> Counter[str]:
    """The bytes of each group, after cleaning."""
    context = context_of(root, report=lambda line: None)
    found = components.load("corpus/sources", corpus.source.kind).fetch(corpus.source, context)
    sizes: Counter[str] = Counter()
    for document in Normalizer(corpus.normalize).run(found):
        sizes[document.group] += len(document.text.encode())
    return sizes


def part_of(sizes: Counter[str], split: SplitSettings, part: str) -> Counter[str]:
    """The groups of one part."""
    return Counter({group: n for group, n in sizes.items() if side(group, split) == part})


def largest_share(sizes: Counter[str]) -> float:
    """The share of the text that the largest group has."""
    return max(sizes.values()) / sizes.total()


def effective(sizes: Counter[str]) -> float:
    """As how many even groups these count."""
    return sizes.total() ** 2 / sum(n * n for n in sizes.values())


def line(name: str, sizes: Counter[str]) -> str:
    return (
        f"{name:14}{sizes.total():9,}{len(sizes):8}{effective(sizes):11.1f}"
        f"{largest_share(sizes):9.1%}"
    )


def main() -> None:
    root = find_project(Path(__file__).parent)
    corpora = named_experiment(root, "default").settings.corpus
    for name in ("base", "domain"):
        corpus = getattr(corpora, name)
        sizes = group_sizes(corpus, root)
        print(f"{name:14}    bytes  groups  effective  largest")
        for share in (0.05, 0.1, 0.15, 0.2):
            split = corpus.split.model_copy(update={"val_fraction": share})
            print(line(f"val {share:g}", part_of(sizes, split, "val")))
        print(line("test", part_of(sizes, corpus.split, "test")))


if __name__ == "__main__":
    main()
