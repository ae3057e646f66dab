"""What holds for the source as a whole: what each file owes its reader."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT
from passed import UnknownFilesError, listed

PACKAGE = ROOT / "src/variorum"


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name without `variorum.`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = modules()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


# What every file owes its reader


def definitions(node: ast.AST, place: str) -> Iterator[tuple[str, ast.AST]]:
    """Public functions and classes below `node`, with those inside of public classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if child.name.startswith("_"):
                continue
            yield f"{place}.{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from definitions(child, f"{place}.{child.name}")


def test_everything_public_is_explained() -> None:
    silent = []
    for module, path in MODULES.items():
        tree = parsed(path)
        if tree.body and not ast.get_docstring(tree):
            silent.append(module)
        silent += [
            name
            for name, node in definitions(tree, module)
            if not ast.get_docstring(node)  # type: ignore[arg-type]
        ]
    assert not silent


# First lines of docstrings

MOST_WORDS = 15
IN_ORDER = """
    Add Adopt Answer Append Apply Ask Begin Bound Bring Build Cache Call Carry Change Check
    Choose Clean Clip Close Collect Compare Compute Continue Convert Copy Count Cut Decide
    Declare Decode Define Delete Derive Describe Detect Discard Divide Do Download Draw Drop
    Embed Encode End Estimate Explain Fill Find Forget Fork Format Freeze Generate Hash Have
    Hold Import Join Judge Lay Learn Let Limit List Load Locate Log Lower Make Map Mark Measure
    Merge Mix Model Move Name Normalize Note Offer Open Pack Pin Plan Prepare Print Prove
    Publish Put Raise Read Receive Record Refuse Remember Remove Render Repeat Replace Report
    Restore Return Rotate Round Run Save Say Scatter Score Select Send Set Share Shorten Show Skip
    Solve Sort Split State Step Store Stress Subtract Sum Summarize Take Talk Trace Train
    Transform Transpose Turn Undo Update Use Verify Wait Warm Wrap Write Yield
"""
VERBS = frozenset(IN_ORDER.split())
"""How a first line may begin: a verb in the imperative. A new verb is added here."""


def first_lines(tree: ast.Module) -> Iterator[str]:
    """First line of every docstring, private definitions' too."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and (
            docstring := ast.get_docstring(node)
        ):
            yield docstring.splitlines()[0]


def is_scannable(line: str) -> bool:
    first, *others = line.split()
    is_noun = others[:1] == ["of"] or re.match(r"\w+ and [A-Z]", line)  # as in "State of a run"
    return first in VERBS and not is_noun and len(others) < MOST_WORDS


@pytest.mark.parametrize("folder", sorted({module.split(".")[0] for module in MODULES}))
def test_first_lines_of_docstrings_open_with_a_verb(folder: str) -> None:
    found = [
        f"{module}: {line}"
        for module, path in MODULES.items()
        if module.split(".")[0] == folder
        for line in first_lines(parsed(path))
        if not is_scannable(line)
    ]
    assert not found


def test_first_lines_that_do_not_open_with_a_verb_are_found() -> None:
    tree = ast.parse(
        '"""The tokens of a text."""\n'
        "class Reader:\n"
        '    """Reads a text."""\n'
        "    async def _read(self):\n"
        '        """Return what stands there.\n\n        More."""\n'
    )
    assert list(first_lines(tree)) == [
        "The tokens of a text.",
        "Reads a text.",
        "Return what stands there.",
    ]
    nouns = ("Model of a text.", "State of a training.", "Name and SVG of each figure.")
    long = "Return" + " word" * MOST_WORDS
    for line in ("The tokens of a text.", "Reads a text.", *nouns, long):
        assert not is_scannable(line), line
    for line in ("Return" + " word" * (MOST_WORDS - 1), "Read and write files."):
        assert is_scannable(line), line


def test_verbs_are_in_order_and_each_once() -> None:
    assert IN_ORDER.split() == sorted(VERBS)


PICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def pickling(tree: ast.Module) -> list[str]:
    """Whatever in a module could read or write pickles."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                found += [n.name for n in names if n.name.split(".")[0] in PICKLING]
            case ast.ImportFrom("torch", names):
                found += [n.name for n in names if n.name in ("load", "save")]
            case ast.ImportFrom(str(module)) if module.split(".")[0] in PICKLING:
                found.append(module)
            case ast.Attribute(ast.Name("torch"), "load" | "save" as name):
                found.append(name)
            case ast.keyword("allow_pickle", value):
                found += [] if isinstance(value, ast.Constant) and value.value is False else ["np"]
    return found


def test_weights_are_never_pickled() -> None:
    for line in (
        "import pickle",
        "from pickle import loads",
        "from torch import load",
        "torch.load(file)",
        "np.load(file, allow_pickle=True)",
    ):
        assert pickling(ast.parse(line)), line
    assert not pickling(ast.parse("np.load(file, allow_pickle=False)"))
    assert not {
        module: found for module, path in MODULES.items() if (found := pickling(parsed(path)))
    }


@pytest.mark.parametrize(
    ("file", "most"),
    [
        ("src/variorum/model/gpt2.py", 150),
        ("src/variorum/training/plain.py", 80),
        ("Snakefile", 59),
    ],
)
def test_what_is_to_be_read_in_one_go_stays_short(file: str, most: int) -> None:
    assert len((ROOT / file).read_text(encoding="utf-8").splitlines()) <= most


# Places of one machine: in folders of users, of temporary files, or of a checkout
MACHINE_PATH = re.compile(r"(?<![\w.~$)}\]/])/(?:root|work|home/\w+|Users/\w+)/")


def test_the_reader_of_paths_knows_places_of_a_machine() -> None:
    for found in ("/".join(("", "root", "x")), "at " + "/".join(("", "work", "main", ""))):
        assert MACHINE_PATH.search(found + "/")
    for before in ("https://example.org", ".", "results", "config"):
        for folder in ("root", "work"):
            assert not MACHINE_PATH.search("/".join((before, folder, "a")))


def of_the_project() -> list[Path]:
    """Files that git tracks, or would if they were added."""
    try:
        return [file for file in listed(ROOT) if file.is_file()]
    except UnknownFilesError as error:
        pytest.skip(f"{error}: which files belong to the project is not known")


def test_no_file_names_a_place_of_one_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in of_the_project()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1)
        if MACHINE_PATH.search(line)
    ]
    assert not found


# Words

WORDS = {
    r"mend(?:s|ed|ing)?": "fix",
    r"h[eo]ld(?:s|ing)? against": "compare with",
    r"at hand": "present",
    r"(?:go|goes|going|went) on": "continue, or resume",
    r"put(?:s|ting)? back|br(?:ing|ings|inging|ought) back": "restore",
    r"those of(?! models that| one judged)": "the noun",  # in tables, whose keys hold it
    r"what is so": "the noun",
    r"of equals(?!,)": "of equal ones",  # a list in a message begins so
    r"look(?:s|ed|ing)? at val": "validation",
    r"forerunners?": "candidate",
    r"forecasts?": "estimate",
    r"paces?": "step time",
    r"holdings": "inventory",
    r"glanc(?:e|es|ed|ing)": "peek",
    r"heal(?:s|ed|ing)?": "repair",
    r"give way": "exec version",
}
"""Words that hide what is meant, and what to write instead."""
WORDED = ("src", "docs", "tests", "workflow", "config", "benchmarks", "profiles", "Snakefile")
WORDED += ("Makefile", "README.md", "CONTRIBUTING.md", "pyproject.toml", "dvc.yaml")
WORDED += ("results", "reports", ".ci")
RECORDED = "tests/corpus/arxiv_pages"


def hidden_meanings(text: str) -> list[str]:
    """Return the words of `WORDS` in a text, also in names and across the ends of lines."""
    plain = re.sub(r"(?:\s|_|#)+", " ", text)
    pattern = rf"(?<![A-Za-z])(?:{'|'.join(WORDS)})(?![A-Za-z])"
    return re.findall(pattern, plain, flags=re.IGNORECASE)


def test_words_that_hide_what_is_meant_are_seen() -> None:
    for text in ("Mend it", "def keys_are_those_of_b()", "# held\n    # against", "one_at_hand"):
        assert hidden_meanings(text), text
    for text in ("recommend", "one of equals, any_of", "goes once", "a healthy twin"):
        assert not hidden_meanings(text), text


@pytest.mark.parametrize("place", WORDED)
def test_words_say_what_is_meant(place: str) -> None:
    found = {}
    names = [path.relative_to(ROOT) for path in of_the_project()]
    inside = [name for name in names if name.parts[0] == place]
    assert inside, f"{place} does not exist"
    for name in inside:
        path = ROOT / name
        if name.is_relative_to(RECORDED) or path == Path(__file__):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # a picture
            continue
        if words := hidden_meanings(text):
            found[str(name)] = words
    assert found == {}, WORDS
