"""The packages that the default experiment reads, together: what a test part may share with train.

Only a part of the base corpus is read, to be fast.
"""

import sys
from itertools import islice
from pathlib import Path

import pytest
from networkx import __version__ as networkx_version
from sympy import __version__ as sympy_version

from conftest import ROOT
from variorum.config.corpus_settings import NormalizeSettings, SplitSettings
from variorum.corpus.fetch_context import FetchContext
from variorum.corpus.leakage import share_of_spans
from variorum.corpus.normalize import Normalizer
from variorum.corpus.sources import python_package
from variorum.corpus.sources.python_package import PythonPackageSource
from variorum.corpus.splits import SIDES, assign
from variorum.plan.loading import named_experiment

VERSIONS = {"sympy": sympy_version, "networkx": networkx_version}


@pytest.fixture(scope="module")
def parts():
    """Texts by package and side."""
    return {name: read(name, most=1500) for name in VERSIONS}


def read(name: str, most: int) -> dict[str, list[str]]:
    settings = PythonPackageSource(
        package=name, version=VERSIONS[name], sha256=python_package.digest(name)
    )
    context = FetchContext(Path(), Path(), report=lambda line: None)
    documents = Normalizer(NormalizeSettings()).run(
        islice(python_package.fetch(settings, context), most)
    )
    texts = {side: [] for side in SIDES}
    for side, document in assign(documents, SplitSettings()):
        texts[side].append(document.text)
    return texts


@pytest.mark.parametrize(("judged", "trained_on"), [("sympy", "networkx"), ("networkx", "sympy")])
@pytest.mark.parametrize("side", ["val", "test"])
def test_across_corpora_less_than_half_a_percent_leaks(parts, judged, trained_on, side):
    assert share_of_spans(parts[judged][side], parts[trained_on]["train"]) < 0.005


@pytest.mark.parametrize("name", sorted(VERSIONS))
def test_within_a_corpus_no_whole_document_leaks(parts, name):
    assert not set(parts[name]["test"]) & set(parts[name]["train"])
    assert share_of_spans(parts[name]["test"], parts[name]["train"]) < 0.15


def test_no_module_is_a_fifth_of_val_or_test_of_the_default(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import splits

    corpora = named_experiment(ROOT, "default").settings.corpus
    domain = splits.group_sizes(corpora.domain, ROOT)
    for part in ("val", "test"):
        assert splits.largest_share(splits.part_of(domain, corpora.domain.split, part)) < 0.2
    uneven = corpora.domain.split.model_copy(update={"val_fraction": 0.05})
    assert splits.largest_share(splits.part_of(domain, uneven, "val")) > 0.3
