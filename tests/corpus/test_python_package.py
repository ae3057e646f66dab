import hashlib
import json
import os
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest

from conftest import ROOT, other_python
from variorum.base.errors import VariorumError
from variorum.corpus.fetch_context import FetchContext
from variorum.corpus.sources import python_package
from variorum.corpus.sources.python_package import PythonPackageSource, paragraphs

SENTENCE = "This sentence is long enough to be a paragraph of prose, is it not."
LATER = "That one stands at another place, and it is long enough as well."


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package that fails when it is imported, with its version."""
    folder = tmp_path / "site" / "folio"
    (folder / "tests").mkdir(parents=True)
    (folder / "__pycache__").mkdir()
    (folder / "__init__.py").write_text(f'r"""{SENTENCE}"""\nraise RuntimeError("imported")\n')
    (folder / "leaf.py").write_text(
        textwrap.dedent(f'''
            "A short one."
            class Leaf:
                """{SENTENCE}

                {LATER}
                """
                @property
                def size(self):
                    """{SENTENCE}"""
                @size.setter
                def size(self, value):
                    """{LATER}"""
            if True:
                def turn():
                    "{LATER} \\d"
                    return f"""{{turn}}"""
            ''')
    )
    (folder / "tests" / "test_leaf.py").write_text(f'"""{SENTENCE}"""\n')
    (folder / "__pycache__" / "x.py").write_text("not python")
    (folder / "data.txt").write_text("data")
    info = tmp_path / "site" / "folio-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: folio\nVersion: 2.1\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return folder


def source(part="prose", **changes) -> PythonPackageSource:
    known = {"package": "folio", "version": "2.1", "sha256": python_package.digest("folio")}
    return PythonPackageSource(**(known | {"part": part} | changes))


def fetched(settings, tmp_path):
    context = FetchContext(tmp_path, tmp_path, report=lambda line: None)
    return list(python_package.fetch(settings, context))


def test_prose_is_one_document_per_paragraph_with_the_module_as_group(package, tmp_path):
    documents = fetched(source(), tmp_path)
    assert [(d.id, d.group) for d in documents] == [
        ("folio#1", "folio"),
        ("folio.leaf.Leaf#1", "folio.leaf"),
        ("folio.leaf.Leaf#2", "folio.leaf"),
        ("folio.leaf.Leaf.size#1", "folio.leaf"),
        ("folio.leaf.Leaf.size#2", "folio.leaf"),
    ]
    assert [d.text for d in documents] == [SENTENCE, SENTENCE, LATER, SENTENCE, LATER]
    assert documents[1].meta == {"file": "folio/leaf.py", "line": 4}
    assert "folio" not in sys.modules


def test_docstrings_are_whole_and_dedented(package, tmp_path):
    documents = {d.id: d.text for d in fetched(source("docstrings"), tmp_path)}
    assert documents["folio.leaf#1"] == "A short one."
    assert documents["folio.leaf.Leaf#1"] == f"{SENTENCE}\n\n{LATER}"
    assert documents["folio.leaf.turn#1"] == rf"{LATER} \d"


def test_source_is_one_document_per_file_without_tests(package, tmp_path):
    documents = fetched(source("source"), tmp_path)
    assert [d.id for d in documents] == ["folio/__init__.py", "folio/leaf.py"]
    assert documents[1].text == (package / "leaf.py").read_text()


def test_the_digest_is_that_of_the_listing_of_sha256sum(package):
    listing = "".join(
        f"{hashlib.sha256((package / name).read_bytes()).hexdigest()}  folio/{name}\n"
        for name in ("__init__.py", "leaf.py", "tests/test_leaf.py")
    )
    assert python_package.digest("folio") == hashlib.sha256(listing.encode()).hexdigest()


def test_a_changed_file_is_refused_with_both_digests(package, tmp_path):
    settings = source()
    (package / "leaf.py").write_text("")
    found = python_package.digest("folio")
    with pytest.raises(VariorumError, match=f"{found}, expected {settings.sha256}.*make setup"):
        fetched(settings, tmp_path)


def test_another_version_is_refused(package, tmp_path):
    with pytest.raises(VariorumError, match=r"found folio 2\.1, expected 2\.2.*make setup"):
        fetched(source(version="2.2"), tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_package", "not installed; run `make setup`"),
        ("os.path", "top-level"),
        ("sys", "without Python files"),
    ],
)
def test_what_is_no_installed_python_package_is_refused(name, message):
    with pytest.raises(VariorumError, match=message):
        python_package.digest(name)


def test_a_file_that_cannot_be_parsed_is_named(package, tmp_path):
    (package / "leaf.py").write_text("def broken(:\n")
    with pytest.raises(VariorumError, match=r"leaf\.py cannot be parsed"):
        fetched(source(), tmp_path)


def test_a_package_without_such_text_is_refused(package, tmp_path):
    for file in package.rglob("*.py"):
        file.write_text("x = 1\n")
    with pytest.raises(VariorumError, match="has no prose"):
        fetched(source(), tmp_path)


def test_deeply_nested_code_is_read(package, tmp_path):
    branches = "".join(f"elif x == {n}:\n    pass\n" for n in range(60))
    total = "+".join(["x"] * 1200)
    (package / "leaf.py").write_text(f'"""{LATER}"""\nif x:\n    pass\n{branches}y = {total}\n')
    assert fetched(source(), tmp_path)[-1].text == LATER


def test_lines_of_a_paragraph_are_joined_by_single_spaces():
    assert list(paragraphs(f"{SENTENCE}\n    {LATER}\n\n\t{SENTENCE}  \r\n\n")) == [
        f"{SENTENCE} {LATER}",
        SENTENCE,
    ]


def test_a_term_is_not_joined_to_its_explanation():
    docstring = f"Leaf.\n\n    term : int\n        {SENTENCE}\n        {LATER}\n    {LATER}\n"
    assert list(paragraphs(docstring)) == [f"{SENTENCE} {LATER}", LATER]


@pytest.mark.parametrize(
    "text",
    [
        "Too short to be one.",
        f"* {SENTENCE}",
        f"- {SENTENCE}",
        f"1. {SENTENCE}",
        f"(a) {SENTENCE}",
        f".. note:: {SENTENCE}",
        f":param x: {SENTENCE}",
        f">>> {SENTENCE}",
        f"{SENTENCE}\n    >>> print(one)\n    One.",
        f"Title\n    =====\n    {SENTENCE}",
        f"{SENTENCE}\n    * {LATER}",
        SENTENCE.removesuffix("."),
        SENTENCE.replace(".", ":"),
        SENTENCE.lower(),
        f"{SENTENCE} x**2 + 3*y**2 - 4*z**2 = 0, 1, 2.",
    ],
)
def test_what_does_not_read_like_running_text_is_no_prose(text):
    assert list(paragraphs(text)) == []


@pytest.fixture(scope="session")
def checksums_here() -> dict[str, str]:
    return checksums(sys.executable)


def checksums(python: str) -> dict[str, str]:
    packages = Path(find_spec("networkx").origin).parents[1]
    done = subprocess.run(
        [python, str(Path(__file__).with_name("corpus_on_any_python.py"))],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(packages)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


OTHERS = [f"3.{minor}" for minor in (11, 12, 13) if minor != sys.version_info.minor]


@pytest.mark.parametrize("version", OTHERS)
def test_every_python_makes_the_same_text(version, checksums_here):
    assert checksums(other_python(version)) == checksums_here
