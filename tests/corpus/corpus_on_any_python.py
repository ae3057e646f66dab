"""Prints checksums of what the corpus code makes, for the tests that compare Python versions.

Runs on a Python without compiled packages: the settings models are replaced by plain namespaces.
Prints one JSON object.
"""

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType, SimpleNamespace


class Anything(ModuleType):
    """A module of which every name is a class that does nothing."""

    def __getattr__(self, name):
        return type(
            name, (), {"__init__": lambda self, *_, **__: None, "__call__": lambda self, x: x}
        )


for absent in ("pydantic", "pydantic_core", "variorum.config.types", "variorum.config.canonical"):
    sys.modules[absent] = Anything(absent)
sys.modules["variorum.config.corpus_settings"] = Anything("variorum.config.corpus_settings")
sys.modules["variorum.corpus.markov_entropy"] = SimpleNamespace(entropy_rate=None)
sys.modules["variorum.corpus.near_duplicates"] = SimpleNamespace(NearDuplicates=None)

from variorum.corpus.documents import Document  # noqa: E402
from variorum.corpus.fetch_context import FetchContext  # noqa: E402
from variorum.corpus.normalize import Normalizer  # noqa: E402
from variorum.corpus.sources import python_package, synthetic  # noqa: E402

# Where later versions of Unicode added marks that combine, and a sample of the rest.
LATE = [*range(0x300, 0x1000), *range(0x10D00, 0x12000), *range(0x1E000, 0x1E960)]
CHARACTERS = "".join(map(chr, [*range(0x3400), *range(0x3400, 0xE0200, 13), *LATE]))
# A mark before and after another one: what normal forms reorder, unless it came after Unicode 14.
MARKS = "".join(f"a{chr(point)}\u0323e\u0301{chr(point)}" for point in LATE)


def checksum(documents):
    lines = (json.dumps(asdict(document), sort_keys=True) for document in documents)
    return hashlib.sha256("\n".join(lines).encode("ascii")).hexdigest()


def package_documents(name, part):
    settings = SimpleNamespace(
        package=name,
        part=part,
        version=python_package._installed_version(name),
        sha256=python_package.digest(name),
    )
    return python_package.fetch(settings, FetchContext(Path(), Path(), report=lambda line: None))


def normalized(form):
    settings = SimpleNamespace(
        repair_encoding=True,
        unicode_form=form,
        collapse_spaces=False,
        drop_duplicates=True,
        min_characters=1,
        min_letter_share=0.01,
        min_mean_word_length=None,
        max_mean_word_length=None,
        max_symbols_per_word=None,
        max_repeated_lines=0.9,
        near_duplicates=None,
    )
    texts = {"characters": CHARACTERS, "marks": MARKS, "mojibake": "cafÃ© â€™ Ã¼ber"}
    return Normalizer(settings).run(Document(name, name, text) for name, text in texts.items())


def made_up():
    settings = SimpleNamespace(
        alphabet_size=5, order=2, sharpness=3, documents=4, length=900, seed=7
    )
    return synthetic._documents(settings)


results = {f"normalize {form}": checksum(normalized(form)) for form in ("NFC", "NFKC", "none")}
for package, part in (("networkx", "prose"), ("ftfy", "docstrings"), ("ftfy", "source")):
    results[f"{package} {part}"] = checksum(package_documents(package, part))
results["synthetic"] = checksum(made_up())
print(json.dumps(results))
