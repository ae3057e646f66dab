"""Read text of an installed pure-Python package: its prose, docstrings or source.

A package that the lock pins has the same bytes on every machine, needs no network and raises no
licence question. It is read statically: the package is never imported, and nothing that differs
between Python versions (cleaned docstrings, folded constants, Unicode tables) decides the text.

Documents: one per prose paragraph, docstring or file; their group is the module. A prose paragraph
is one that reads like running text. Whole docstrings are mostly doctests, parameter lists and
boilerplate, which any compressor predicts. The package's own tests are left out: they document
nothing.
"""

import ast
import io
import re
import tokenize
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from variorum.base.errors import VariorumError
from variorum.config.types import Sha256, Text, setting
from variorum.corpus.documents import Document
from variorum.corpus.fetch_context import FetchContext, sha256_of_files
from variorum.corpus.source import SOURCES, SourceSettings

_BLANK = " \t\r\f\v"
_MIN_CHARACTERS = 60
_MIN_PERCENT_PLAIN = 93
# Latin letters are spelled out: `str.isalpha` changes with Python's Unicode tables.
_NOT_PLAIN = re.compile(r"[^A-Za-zÀ-ÖØ-öø-ɏ ,.]")
_SENTENCE_START = re.compile(r"[\"'(`*]*[A-ZÀ-ÖØ-Þ]")
_SENTENCE_END = re.compile(r"[.!?][\"')]?$")
# Lines of a list, field, directive, doctest's continuation, comment, table or underlined title.
_MARKUP = re.compile(
    r" *(?:[-*+•] |\(?(?:[0-9]+|[A-Za-z])[.)] |:|\.\. |\.\.\.|#|\||@|[^A-Za-z0-9 ]{3,}$)"
)
_DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class PythonPackageSource(SourceSettings):
    """Describe text of a pinned pure-Python package: equal bytes on every machine."""

    kind: Literal["python-package"] = setting(
        "python-package", "The kind of source.", component=SOURCES
    )
    package: Text = setting(..., "Name of the installed package that is read, as it is imported.")
    version: Text = setting(..., "The exact version that the lock pins.")
    part: Literal["prose", "docstrings", "source"] = setting(
        "prose", "What is read: prose paragraphs of docstrings, whole docstrings, or source code."
    )
    sha256: Sha256 = setting(
        ..., "SHA-256 over the package's Python files (`variorum digest PACKAGE` prints it)."
    )

    @property
    def title(self) -> str:
        """Return the package, its version and the part that is read."""
        return f"{self.part} of {self.package} {self.version}"

    def sha256_here(self, root: Path) -> str:
        """Return the SHA-256 over the Python files of the package that is installed."""
        return digest(self.package)


@dataclass(frozen=True)
class _Package:
    """Hold the Python files of an installed package, sorted, and their base folder."""

    name: str
    base: Path
    files: tuple[Path, ...]

    def digest(self) -> str:
        return sha256_of_files(self.files, self.base)

    def without_tests(self) -> "_Package":
        files = [f for f in self.files if "tests" not in f.relative_to(self.base).parts[:-1]]
        return replace(self, files=tuple(files))


@dataclass(frozen=True)
class _Docstring:
    """Hold a docstring as spelled in the source: owner's dotted name, line, raw text."""

    name: str
    line: int
    text: str


def fetch(settings: PythonPackageSource, context: FetchContext) -> Iterator[Document]:
    """Yield the documents of an installed package, in the order of its files and lines.

    Raises `VariorumError` when the package is absent, its version or files differ from the
    settings, or it has no such text.
    """
    package = _locate(settings.package)
    _check_version(settings)
    _check_digest(settings, package)
    package = package.without_tests()
    context.report(
        f"{settings.package} {settings.version}: {settings.part} of {len(package.files)} files"
    )
    empty = True
    for document in _PARTS[settings.part](package):
        empty = False
        yield document
    if empty:
        raise VariorumError(
            f"source.part: {settings.package} {settings.version} has no {settings.part}; "
            "choose another part or package."
        )


def digest(package: str) -> str:
    """Return the SHA-256 over the Python files of the installed `package`."""
    return _locate(package).digest()


def paragraphs(docstring: str) -> Iterator[str]:
    """Yield the prose paragraphs of a docstring, each on one line with single spaces.

    A paragraph is a run of lines of equal indentation, so a term and its explanation, which
    is indented further, are two.
    """
    for block in _blocks(docstring):
        lines: list[str] = []
        for line, following in zip(block, [*block[1:], ""], strict=True):
            lines.append(line)
            if not following or _indent(following) != _indent(line):
                if _is_prose(lines):
                    yield _joined(lines)
                lines = []


def _blocks(docstring: str) -> Iterator[list[str]]:
    """Yield runs of non-blank lines; the first line takes the second's indentation."""
    first, *rest = docstring.expandtabs().split("\n")
    first = first.lstrip(_BLANK)
    if rest and rest[0].strip(_BLANK):
        first = " " * _indent(rest[0]) + first
    block: list[str] = []
    for line in [first, *rest, ""]:
        if line.strip(_BLANK):
            block.append(line.rstrip(_BLANK))
        elif block:
            yield block
            block = []


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _is_prose(lines: list[str]) -> bool:
    text = _joined(lines)
    plain = len(text) - len(_NOT_PLAIN.findall(text))
    return (
        len(text) >= _MIN_CHARACTERS
        and 100 * plain >= _MIN_PERCENT_PLAIN * len(text)
        and ">>>" not in text
        and _SENTENCE_START.match(text) is not None
        and _SENTENCE_END.search(text) is not None
        and not any(_MARKUP.match(line) for line in lines)
    )


def _joined(lines: list[str]) -> str:
    return re.sub(f"[{_BLANK}]+", " ", " ".join(lines)).strip(" ")


def _prose(package: _Package) -> Iterator[Document]:
    # Counted over the whole package: a getter and its setter share a name, and so may a function
    # and a submodule.
    seen: Counter[str] = Counter()
    for file in package.files:
        for docstring in _docstrings(file, package):
            for paragraph in paragraphs(docstring.text):
                yield _numbered(paragraph, docstring, seen, file, package)


def _whole_docstrings(package: _Package) -> Iterator[Document]:
    seen: Counter[str] = Counter()
    for file in package.files:
        for docstring in _docstrings(file, package):
            text = _dedented(docstring.text)
            if text:
                yield _numbered(text, docstring, seen, file, package)


def _source(package: _Package) -> Iterator[Document]:
    for file in package.files:
        relative = file.relative_to(package.base).as_posix()
        yield Document(id=relative, group=_module(file, package), text=_read(file), meta={})


_PARTS: dict[str, Callable[[_Package], Iterator[Document]]] = {
    "prose": _prose,
    "docstrings": _whole_docstrings,
    "source": _source,
}


def _numbered(
    text: str, docstring: _Docstring, seen: Counter[str], file: Path, package: _Package
) -> Document:
    seen[docstring.name] += 1
    return Document(
        id=f"{docstring.name}#{seen[docstring.name]}",
        group=_module(file, package),
        text=text,
        meta={"file": file.relative_to(package.base).as_posix(), "line": docstring.line},
    )


def _docstrings(file: Path, package: _Package) -> Iterator[_Docstring]:
    """Yield every docstring of `file` from top to bottom.

    The tree is walked with a stack and through statements only: generated code nests deeper than
    Python's recursion limit.
    """
    stack: list[tuple[ast.AST, str]] = [(_parsed(file), _module(file, package))]
    while stack:
        node, name = stack.pop()
        if isinstance(node, _DEFINITIONS):
            if not isinstance(node, ast.Module):
                name = f"{name}.{node.name}"
            if (docstring := _docstring(node)) is not None:
                yield _Docstring(name, docstring.lineno, str(docstring.value))
        children = [
            child
            for child in ast.iter_child_nodes(node)
            if isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case))
        ]
        stack.extend((child, name) for child in reversed(children))


def _docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> ast.Constant | None:
    """Return the constant that is the docstring of `node`.

    Not `ast.get_docstring`, whose cleaning depends on the Python version.
    """
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return first.value if isinstance(first.value.value, str) else None
    return None


def _dedented(docstring: str) -> str:
    """Return `docstring` without common indentation, blank ends and trailing white space."""
    first, *rest = (line.rstrip(_BLANK).expandtabs() for line in docstring.split("\n"))
    indents = [len(line) - len(line.lstrip(" ")) for line in rest if line]
    margin = min(indents, default=0)
    return "\n".join([first.lstrip(" "), *(line[margin:] for line in rest)]).strip("\n")


def _parsed(file: Path) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes: the value is the same, the noise is not
        try:
            return ast.parse(file.read_bytes(), filename=str(file))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
            raise VariorumError(
                f"{file} cannot be parsed by this Python ({problem}); read the package's `source` "
                "instead, or choose another package."
            ) from None


def _read(file: Path) -> str:
    """Return the source in `file`, decoded as Python does: UTF-8 unless declared otherwise."""
    data = file.read_bytes()
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError) as problem:
        raise VariorumError(
            f"{file} cannot be decoded ({problem}); read another part of the package, or choose "
            "another package."
        ) from None


def _module(file: Path, package: _Package) -> str:
    """Return the dotted module name of `file`."""
    parts = file.relative_to(package.base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _locate(name: str) -> _Package:
    """Find an installed top-level package without importing it."""
    if not name.isidentifier():
        raise VariorumError(
            f"source.package: '{name}' is no name of a top-level package; give the name that "
            "stands after `import`, without dots."
        )
    try:
        spec = find_spec(name)
    except ValueError:
        spec = None
    if spec is None:
        raise VariorumError(f"source.package: '{name}' is not installed; run `make setup`.")
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if len(folders) == 1:
        base = folders[0].parent
        files = [file for file in folders[0].rglob("*.py") if "__pycache__" not in file.parts]
    elif not folders and spec.has_location and str(spec.origin).endswith(".py"):
        base = Path(str(spec.origin)).parent
        files = [Path(str(spec.origin))]
    else:
        files = []
    if not files:
        raise VariorumError(
            f"source.package: '{name}' is installed without Python files of its own; choose a "
            "pure-Python package."
        )
    files.sort(key=lambda file: file.relative_to(base).as_posix())
    return _Package(name, base, tuple(files))


def _check_version(settings: PythonPackageSource) -> None:
    installed = _installed_version(settings.package)
    if installed != settings.version:
        raise VariorumError(
            f"source.version: found {settings.package} {installed or 'without a version'}, "
            f"expected {settings.version}; run `make setup` to install what the lock pins, or "
            "take version and sha256 of the installed package."
        )


def _installed_version(package: str) -> str | None:
    """Return the version of the distribution that holds `package`, whatever its name."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        brings = metadata.packages_distributions().get(package, [])
        return metadata.version(brings[0]) if brings else None


def _check_digest(settings: PythonPackageSource, package: _Package) -> None:
    found = package.digest()
    if found != settings.sha256:
        raise VariorumError(
            f"source.sha256: the files of {settings.package} {settings.version} in "
            f"{package.base} have SHA-256 {found}, expected {settings.sha256}; someone or "
            "something changed them. Run `make setup` to install them again, or set sha256 to "
            "the one found if these are the ones you want."
        )
