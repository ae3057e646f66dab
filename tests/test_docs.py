"""The pages: links lead somewhere, commands are ones that exist, examples of settings load."""

import argparse
import io
import json
import re
import shutil
from contextlib import redirect_stderr
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from conftest import ROOT
from pages import (
    Example,
    anchors,
    broken,
    commands,
    examples,
    exists,
    is_code,
    links,
    made_components,
    named_code,
    named_files,
    pages,
)
from variorum.base import components
from variorum.cli import command as command_module
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.loading import experiment_names, load_experiment

PAGES = pages()
INDEX = ROOT / "docs/README.md"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


EXAMPLES = [example for page in PAGES for example in examples(page)]

GPT2 = {
    "model_type": "gpt2",
    "vocab_size": 512,
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 32,
    "n_positions": 32,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
}
"""The `config.json` of a model that examples import, made on the way by a reader."""

each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


# Links


def test_a_link_that_leads_nowhere_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# One two\n[a](a.md#one-two) [b](b.md) [c](#three) [d](https://x.org/y)\n")
    assert broken(page) == ["b.md", "#three"]
    assert anchors(page) == {"one-two"}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    assert not broken(page)


def test_every_page_is_linked_from_the_index() -> None:
    linked = {(INDEX.parent / link.partition("#")[0]).resolve() for link in links(INDEX)}
    reached = linked | {folder / "README.md" for folder in linked}
    assert set(PAGES) - {INDEX} <= reached


def test_the_readme_leads_to_the_index_and_is_short() -> None:
    readme = ROOT / "README.md"
    assert "docs/README.md" in links(readme)
    assert len(readme.read_text(encoding="utf-8").splitlines()) <= 200


def test_a_file_that_is_not_there_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`src/variorum/mode` `model/gpt3.py` `gpt2.py` tests/pages.py docs/<name>.md `no/`"
    )
    assert {name for name in named_files(page) if not exists(name, page)} == {
        "src/variorum/mode",
        "model/gpt3.py",
        "no/",
    }


@each_page
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    assert [name for name in sorted(named_files(page)) if not exists(name, page)] == []


def test_code_that_is_not_there_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`model.files.load(folder)` `model.checkpoint.load` `timing.MATTER` `variorum.runs()` "
        "`variorum.corpus.a` `h.0.attn` `run.json`\n"
        "```python\nfrom variorum.model.gpt import GPT, GPT3\n```\n"
    )
    assert {name for name in named_code(page) if not is_code(name)} == {
        "model.files.load",
        "variorum.corpus.a",
        "variorum.model.gpt.GPT3",
    }


@each_page
def test_all_code_that_a_page_names_exists(page: Path) -> None:
    assert [name for name in sorted(named_code(page)) if not is_code(name)] == []


# Commands


@cache
def _snakemake() -> argparse.ArgumentParser:
    from snakemake.cli import get_argument_parser

    found: argparse.ArgumentParser = get_argument_parser()
    return found


@cache
def _dvc() -> argparse.ArgumentParser:
    from dvc.cli.parser import get_main_parser

    found: argparse.ArgumentParser = get_main_parser()
    return found


@cache
def _rules() -> set[str]:
    files = [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]
    texts = [file.read_text(encoding="utf-8") for file in files]
    return {name for text in texts for name in re.findall(r"^rule (\w+):", text, flags=re.M)}


def _made_by_argparse(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return parser.parse_args(words)
    except SystemExit:
        raise ValueError(said.getvalue().strip().splitlines()[-1]) from None


def _settings(changes: list[str]) -> dict[str, Any]:
    """Return what is given as after Snakemake's `--config`."""
    pairs = [change.partition("=") for change in changes]
    return {name: YAML(typ="safe", pure=True).load(value) for name, _, value in pairs}


def _variorum(words: list[str], page: Path) -> list[str]:
    """Parse a command of ours without running it; return the settings that it is given."""
    command: Any = typer.main.get_command(command_module.app)
    context = typer.Context(command, info_name="variorum")
    while hasattr(command, "resolve_command"):
        if not words:  # a text may name a command alone
            return []
        name, command, words = command.resolve_command(context, words)
        context = typer.Context(command, info_name=name, parent=context)
    if not words:
        return []
    parsed = command.make_context(context.info_name, list(words), parent=context.parent)
    return [*(parsed.params.get("changes") or parsed.params.get("config") or ())]


def _run_by_snakemake(words: list[str], page: Path) -> list[str]:
    parsed = _made_by_argparse(_snakemake(), words)
    for target in sorted(parsed.targets):
        known = target in _rules() or re.fullmatch(r"reports/[\w<>-]+/table\.md", target)
        if not known and target != "results/finetune/report.html":
            raise ValueError(f"no rule makes {target}")
    return [change for change in parsed.config or [] if not change.startswith("graph=")]


def _make(words: list[str], page: Path) -> list[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words:
        if "=" not in word and not re.search(rf"^{re.escape(word)}:", text, flags=re.M):
            raise ValueError(f"no target {word}")
    return []


def _python(words: list[str], page: Path) -> list[str]:
    if words[:1] == ["-c"]:
        compile(words[1], name_of(page), "exec")
    elif words and not (ROOT / words[0]).is_file():
        written = f"`{words[0]}`" in page.read_text(encoding="utf-8")  # by the reader
        if not written:
            raise ValueError(f"{words[0]} is no file")
    return []


def _pytest(words: list[str], page: Path) -> list[str]:
    files = [word for word in words if word.startswith("tests")]
    text = "".join((ROOT / file.rstrip("/")).read_text(encoding="utf-8") for file in files)
    chosen = words[words.index("-k") + 1].split() if "-k" in words else []
    for word in set(chosen) - {"or", "and", "not"}:
        if not re.search(rf"def test_\w*{word}", text):
            raise ValueError(f"no test of {files} is called by {word}")
    return []


def _run_by_dvc(words: list[str], page: Path) -> list[str]:
    if words:
        _made_by_argparse(_dvc(), words)
    return []


PARSERS = {
    "variorum": _variorum,
    "snakemake": _run_by_snakemake,
    "make": _make,
    "python": _python,
    "pytest": _pytest,
    "dvc": _run_by_dvc,
}


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's configuration, with the experiments and ablations that pages show."""
    root = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "config", root / "config")
    for example in (each for page in PAGES for each in examples(page)):
        file = root / f"config/{example.kind}/{example.name}.yaml"
        if not file.exists():
            file.write_text(example.text, encoding="utf-8")
    for folder in re.findall(r"models/[\w-]+", " ".join(each.text for each in EXAMPLES)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "config.json").write_text(json.dumps(GPT2), encoding="utf-8")
    return root


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Components that pages have their readers copy can be chosen."""
    made = [each for page in PAGES for each in made_components(page)]
    real = components.options

    def options(folder: str) -> tuple[str, ...]:
        return (*real(folder), *(name for place, name in made if place == folder))

    monkeypatch.setattr(components, "options", options)


def faults(page: Path, root: Path) -> list[str]:
    """Return the commands of a page that their programs would refuse, with the reason."""
    found = []
    for program, *words in commands(page):
        parse = PARSERS.get(program)
        if parse is None:
            continue
        try:
            settings = _settings(parse(words, page))
            if settings.get("experiment", "default") in experiment_names(root):
                load_experiment(root, settings)
            elif not re.fullmatch(r"<\w+>|NAME", str(settings["experiment"])):
                raise ValueError(f"no experiment {settings['experiment']}")
        except Exception as error:
            found.append(f"{program} {' '.join(words)}: {error}")
    return found


@pytest.mark.usefixtures("copied")
@each_page
def test_every_command_of_a_page_is_one_that_its_program_takes(
    page: Path, documented: Path
) -> None:
    assert not faults(page, documented)


@pytest.mark.parametrize(
    "line",
    [
        "variorum whyy",
        "variorum why --configuration x=1",
        "variorum config 'model={n_layers: 3}'",
        "variorum why pretrain --config 'model={n_layers: 3}'",
        "variorum model export finetune",
        "snakemake --cores 4 --config experiment=tinny -- results/finetune/report.html",
        "snakemake --cores 4 --config experiment=tiny 'model={n_layers: 2}' -- pretrain",
        "snakemake --cores 4 pretrian",
        "snakemake --core-count 4 pretrain",
        "make reports",
        "python benchmarks/nothing.py",
        "pytest tests/plan/test_ablation.py -k worser",
        "dvc exps show",
    ],
)
def test_a_command_that_fails_is_seen(line: str, tmp_path: Path, documented: Path) -> None:
    page = tmp_path / "page.md"
    for text in (f"```sh\n{line}\n```\n", f"Give `{line}`.\n"):
        page.write_text(text)
        assert len(faults(page, documented)) == 1


def test_the_reader_of_commands_sees_all_of_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text `make a` and `B=1 make b`, ``no`` `maker`.\n\n    make c\n\n"
        "```sh\nmake d && make e  # make f\nx=$(make g | tail)\nmake 'h\ni'\n```\n"
    )
    found = [" ".join(words) for words in commands(page) if words[0] == "make"]
    assert sorted(found) == [
        "make a",
        "make b",
        "make c",
        "make d",
        "make e",
        "make g",
        "make h\ni",
    ]


# Examples of settings


@pytest.mark.usefixtures("copied")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{name_of(e.page)}-{e.name}")
def test_an_example_of_settings_loads(example: Example, documented: Path) -> None:
    (documented / f"config/{example.kind}/{example.name}.yaml").write_text(example.text)
    if example.kind == "ablations":
        load_ablation(documented, example.name)
    else:
        load_experiment(documented, {"experiment": example.name})
