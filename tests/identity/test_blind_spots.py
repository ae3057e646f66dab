"""Code of stages does nothing that a fingerprint cannot see."""

import ast
from collections.abc import Iterator

import pytest

from oracles.watching import module_of
from variorum.base.components import PACKAGE
from variorum.identity.package_code import is_outside

BLIND_FUNCTIONS = {
    *("globals", "locals", "vars", "eval", "exec", "compile", "setattr", "delattr", "__import__"),
    *("import_module", "singledispatch", "singledispatchmethod", "get_type_hints", "signature"),
    *("getsource", "validate_call", "getenv", "environ"),
}
BLIND_ATTRIBUTES = {
    *("__annotations__", "__doc__", "__subclasses__", "__init_subclass__", "__code__"),
    *("__globals__", "__dict__", "import_module", "singledispatch", "get_type_hints", "environ"),
    *("signature", "getsource", "getenv", "__name__", "__qualname__", "__module__"),
}
ALLOWED = {
    ("variorum.corpus.fetch_context", "environ"),
    ("variorum.corpus.arxiv_client", "__name__"),
    ("variorum.corpus.genius_client", "__name__"),
    ("variorum.evaluation.stress.writing", "__name__"),
    ("variorum.generation.decoder", "vars"),
    ("variorum.model.description", "__module__"),
    ("variorum.model.description", "__name__"),
}
"""Where mirrors are, whose bytes are verified, and the tokens of servers; kinds of errors of
libraries, in messages; methods that somebody replaced on a model, by names that are written there;
kinds of PyTorch's modules."""


def test_code_of_stages_does_nothing_that_its_fingerprint_cannot_see() -> None:
    found = set()
    for file in PACKAGE.rglob("*.py"):
        module = module_of(file, PACKAGE)
        if is_outside(module):
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        found |= {(module, name) for name in blind_spots(tree)}
    assert found == ALLOWED


def blind_spots(tree: ast.AST) -> Iterator[str]:
    """Whatever in a module is decided by names that are put together at run time."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(name):
                yield from {name} & BLIND_FUNCTIONS
            case ast.alias(name):
                yield from {name.split(".")[-1]} & BLIND_FUNCTIONS
            case ast.Attribute(ast.Name("sys"), "modules"):
                yield "modules"
            case ast.Attribute(_, name) | ast.FunctionDef(name):
                yield from {name} & BLIND_ATTRIBUTES
            case ast.keyword("metaclass"):
                yield "metaclass"
            case ast.Call(ast.Name("getattr"), [_, asked, *_]) if not is_literal(asked):
                yield "getattr"


def is_literal(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant)


@pytest.mark.parametrize(
    "line",
    [
        "globals()['f']()",
        "getattr(module, name)()",
        "from importlib import import_module",
        "class C(metaclass=M): pass",
        "@singledispatch\ndef f(x): pass",
        "x = f.__doc__",
        "os.environ['A']",
        "x = type(f).__name__",
    ],
)
def test_the_reader_of_blind_spots_sees(line: str) -> None:
    assert list(blind_spots(ast.parse(line)))


def test_every_folder_of_code_is_a_package() -> None:
    for folder in {file.parent for file in PACKAGE.rglob("*.py")}:
        assert (folder / "__init__.py").is_file(), folder
