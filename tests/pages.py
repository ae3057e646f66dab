"""The project's pages of Markdown: their text, links, commands and examples of settings."""

import re
import shlex
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from conftest import ROOT
from variorum.base.components import CONTRACTS, PACKAGE

PROGRAMS = ("variorum", "snakemake", "make", "python", "pytest", "dvc")
MADE = ("results", "reports", "scratch", "bundle", "records", "texts", "models", "finetune")
"""Folders that runs and readers make."""


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


FILES = {_dotted(path) for path in PACKAGE.rglob("[a-z]*.py")}
FOLDERS = {_dotted(path.parent) for path in PACKAGE.rglob("*/__init__.py")}
"""Modules and folders of the package, without `variorum.`."""
CHOSEN = tuple(folder.replace("/", ".") for folder in (*CONTRACTS, "stages"))
"""Folders whose files bear the names of settings."""
CODE = {"variorum"} | {name for name in FOLDERS if "." not in name}
CODE |= {name.rpartition(".")[2] for name in FILES if not name.startswith(CHOSEN)}
"""Words with which a name of code begins on a page."""
NO_CODE = r"\.(?:bin|csv|html|jsonl?|lock|md|py|safetensors|svg|txt|yaml)$"


def pages() -> list[Path]:
    """Every page that people read, sorted."""
    single = ("README.md", "CONTRIBUTING.md")
    folders = ("config", "results", "reports")
    found = [*(ROOT / name for name in single), *(ROOT / name / "README.md" for name in folders)]
    return sorted([*found, *(ROOT / "docs").rglob("*.md")])


def anchors(page: Path) -> set[str]:
    """Return the names by which GitHub links to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """Return the links of a page that stay inside the project."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


def broken(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere."""
    found = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page in one language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[list[str]]:
    """Return the commands of a page as words: of shell blocks, indented lines and code in text."""
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    starts = "|".join(PROGRAMS)
    lines = re.findall(rf"^    ((?:{starts}) .*)$", prose, flags=re.MULTILINE)
    lines += re.findall(rf"(?<!`)`((?:[A-Z_]+=\S+ )*(?:{starts})(?: [^`]*)?)`", prose)
    lines += [line for block in blocks(page, "sh") for line in _whole_lines(block)]
    return [words for line in lines for words in _simple_commands(line)]


def _whole_lines(block: str) -> list[str]:
    """Return the commands of a block; one in quotes may span several lines."""
    found, pending = [], ""
    for line in block.splitlines():
        pending += line + "\n"
        try:
            shlex.split(pending, comments=True)
        except ValueError:
            continue
        found.append(pending)
        pending = ""
    assert not pending, f"quotes that are never closed: {pending}"
    return found


def _simple_commands(line: str) -> list[list[str]]:
    """Split a line at pipes and `&&`, and take out what `$(...)` runs."""
    inner = re.findall(r"\$\(([^()]*)\)", line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|&;"):
            found.append([])
        else:
            found[-1].append(word)
    simple = [words for words in map(_without_environment, found) if words]
    return simple + [words for each in inner for words in _simple_commands(each)]


def _without_environment(words: list[str]) -> list[str]:
    """Drop assignments before a command, and dots that stand for more."""
    words = [word for word in words if word not in ("…", "...")]
    while words and re.match(r"[A-Za-z_]+=", words[0]):
        words = words[1:]
    return words


@dataclass(frozen=True)
class Example:
    """A file of settings that a page shows."""

    page: Path
    kind: str
    name: str
    text: str


def examples(page: Path) -> list[Example]:
    """Return the experiments and ablations that a page shows as whole files."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in re.finditer(r"^```yaml\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        content = match[1]
        if not re.search(r"^title:", content, flags=re.MULTILINE) or re.search(
            r": \.\.\.", content
        ):
            continue
        kind = "ablations" if re.search(r"^question:", content, flags=re.M) else "experiments"
        named = rf"`config/{kind}/(\w+)\.yaml`"
        before = re.findall(named, text[max(0, match.start() - 300) : match.start()])
        behind = re.findall(named, text[match.end() : match.end() + 200])
        name = (before[-1:] or behind[:1] or ["example"])[0]
        found.append(Example(page, kind, name, content))
    return found


def made_components(page: Path) -> list[tuple[str, str]]:
    """Return folder and name of the components that a page has its reader copy."""
    targets = [words[-1] for words in commands(page) if words[0] == "cp"]
    paths = [Path(target).relative_to("src/variorum") for target in targets]
    return [(path.parent.as_posix(), path.stem) for path in paths]


def named_files(page: Path) -> set[str]:
    """Return the files and folders of the source that a page names, as it names them."""
    text = page.read_text(encoding="utf-8")
    whole = r"(?:src|tests|benchmarks|workflow|profiles|docs)/[\w./-]*[\w/](?![\w<*])"
    short = r"(?<=`)[\w/]+\.(?:py|smk)(?=`)|(?<=`)[a-z_]+(?:/[a-z_]+)*/(?=`)"
    found = {*re.findall(rf"(?<![\w./-]){whole}", text), *re.findall(short, text)}
    return {name for name in found if name.split("/")[0] not in MADE}


def exists(name: str, page: Path) -> bool:
    """Return whether a page's name of a file leads to one in the project, the package or beside."""
    places = (ROOT, ROOT / "src/variorum", ROOT / "src/variorum/report", page.parent)
    if "/" not in name and any((ROOT / "src/variorum").rglob(name)):
        return True
    copied = {f"src/variorum/{folder}/{stem}.py" for folder, stem in made_components(page)}
    written = {words[1] for words in commands(page) if words[0] == "python" and len(words) == 2}
    return any((place / name).exists() for place in places) or name in copied | written


def named_code(page: Path) -> set[str]:
    """Return the dotted names by which a page means code of the package, as it names them."""
    text = page.read_text(encoding="utf-8")
    spans = set(re.findall(r"`(\w+(?:\.\w+)+)(?:\([^`]*\))?`", text))
    found = {name for name in spans if name.split(".")[0] in CODE and not re.search(NO_CODE, name)}
    for module, names in re.findall(r"^from (variorum[\w.]*) import ([\w, ]+)$", text, flags=re.M):
        found |= {f"{module}.{name}" for name in names.split(", ")}
    return found


def is_code(name: str) -> bool:
    """Return whether a dotted name leads to a module of the package, or to a name in one."""
    parts = name.removeprefix("variorum.").split(".")
    for n in range(len(parts), 0, -1):
        ending = "." + ".".join(parts[:n])
        if found := [name for name in FILES | FOLDERS if f".{name}".endswith(ending)]:
            modules = (import_module(f"variorum.{name}") for name in found)
            return n == len(parts) or any(hasattr(module, parts[n]) for module in modules)
    return len(parts) == 1 and hasattr(import_module("variorum"), parts[0])
