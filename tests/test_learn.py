"""The path for students: its notebooks run, its experiments show what they are said to show."""

import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

import flow
from conftest import ROOT
from pages import links
from variorum.config.yaml_text import read_typed
from variorum.plan.experiment import plan_experiment
from variorum.plan.loading import load_experiment
from variorum.report.content import SECTION_OF
from variorum.report.figures.captions import FIGURES
from variorum.report.page import SECTIONS

LEARN = ROOT / "docs/learn"
NOTEBOOKS = sorted((LEARN / "notebooks").glob("*.ipynb"))
EXPERIMENTS = ("subwords", "scores", "spread", "norms", "warmup", "prefill")


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def tagged(notebook: NotebookNode, tag: str) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", ())]


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


# Notebooks


def test_there_are_three_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["data", "model", "tokenizer"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_what_runs_leave(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in code(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None
        assert set(cell.metadata) <= {"tags", "jupyter"}
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}  # no version of Python


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_is_open_and_has_a_solution_that_is_folded(path: Path) -> None:
    notebook = read(path)
    exercises, solutions = tagged(notebook, "exercise"), tagged(notebook, "solution")
    assert len(exercises) == len(solutions) >= 5
    assert all("..." in cell.source for cell in exercises)
    assert all(cell.metadata.jupyter.source_hidden for cell in solutions)
    numbers = range(1, len(exercises) + 1)
    asked = re.findall(r"\*\*Exercise (\d+)\.", "\n".join(cell.source for cell in notebook.cells))
    told = re.findall(r"# Exercise (\d+)\.", "\n".join(cell.source for cell in solutions))
    assert [*map(int, asked)] == [*map(int, told)] == [*numbers]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of notebooks in a finished project of a few seconds."""
    project = flow.finished_project(tmp_path_factory.mktemp("learn") / "project")
    target = project.root / "docs/learn/notebooks"
    shutil.copytree(LEARN / "notebooks", target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def executed(path: Path, place: Path, folder: Path) -> NotebookNode:
    """The notebook, run from the first cell to the last on the current experiment."""

    def execute(folder: Path) -> None:
        notebook = read(path)
        [parameters] = tagged(notebook, "parameters")
        parameters.source = "EXPERIMENT = None"
        where = {"metadata": {"path": str(place)}}
        NotebookClient(notebook, timeout=120, resources=where).execute()
        folder.mkdir()
        nbformat.write(notebook, folder / path.name)

    helpers = sorted(path.parent.glob("*.py"))
    return read(flow.made_by_commands(folder, execute, path, *helpers, case=path.stem) / path.name)


def printed(cell: NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_with_its_exercises_open_and_its_solutions_are_right(
    path: Path, place: Path, tmp_path: Path
) -> None:
    notebook = executed(path, place, tmp_path / "executed")
    for cell in tagged(notebook, "exercise"):
        assert "Open." in printed(cell), cell.source
    for cell in tagged(notebook, "solution"):
        assert "Right." in printed(cell), cell.source
        assert "Open." not in printed(cell), cell.source


@pytest.fixture
def learning(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folders of notebooks and experiments are searched for modules."""
    for folder in ("notebooks", "experiments"):
        monkeypatch.syspath_prepend(str(LEARN / folder))
    yield
    for name in ("exercises", *EXPERIMENTS):
        sys.modules.pop(name, None)


def module(name: str) -> ModuleType:
    return __import__(name)


@pytest.mark.usefixtures("learning")
@pytest.mark.parametrize(
    ("answer", "wanted"), [(1.005, 1.0), (1, 1.0), ([1, 2], [1, 2]), (("aa", 9), ("aa", 9))]
)
def test_a_right_answer_is_told(
    answer: object, wanted: object, capsys: pytest.CaptureFixture[str]
) -> None:
    module("exercises").check(answer, wanted, "")
    assert capsys.readouterr().out == "Right.\n"


@pytest.mark.usefixtures("learning")
@pytest.mark.parametrize(
    ("answer", "wanted"), [(1.02, 1.0), ("1", 1.0), ((1, 2), [1, 2]), (None, 3), (True, 1), (1, 2)]
)
def test_a_wrong_answer_stops_with_the_hint(answer: object, wanted: object) -> None:
    with pytest.raises(AssertionError, match=r"Not yet\. Look again\."):
        module("exercises").check(answer, wanted, "Look again.")


# Experiments


@pytest.mark.usefixtures("learning")
def test_scores_spread_as_the_root_of_the_size_and_the_softmax_saturates() -> None:
    scores = module("scores")
    plain = [scores.seen(scores.random_scores(size, scaled=False)) for size in scores.SIZES]
    scaled = [scores.seen(scores.random_scores(size, scaled=True)) for size in scores.SIZES]
    for size, row in zip(scores.SIZES, plain, strict=True):
        assert row.spread == pytest.approx(math.sqrt(size), rel=0.03)
    assert plain[-1].largest > 0.9
    assert plain[-1].gradient < scaled[-1].gradient / 2
    assert all(row.spread == pytest.approx(1, abs=0.03) for row in scaled)
    assert max(r.largest for r in scaled) - min(r.largest for r in scaled) < 0.02


@pytest.mark.usefixtures("learning")
def test_only_with_norms_before_the_parts_do_the_last_gradients_shrink_with_depth() -> None:
    norms = module("norms")
    before, after = (
        norms.gradients(3, place)[-1] / norms.gradients(24, place)[-1]
        for place in ("before", "after")
    )
    assert before == pytest.approx(math.sqrt(24 / 3), rel=0.25)
    assert after == pytest.approx(1, rel=0.25)


@pytest.mark.usefixtures("learning")
def test_adams_first_steps_go_furthest_and_warmup_makes_up_for_it() -> None:
    warmup = module("warmup")
    plain, warmed = warmup.step_sizes(0), warmup.step_sizes(20)
    b = 0.9  # beta1; the spread of a mean of noise, and its limit
    for step in (1, 5, 60):
        expected = (1 - b) * (1 - b ** (2 * step)) / ((1 + b) * (1 - b**step) ** 2)
        assert plain[step - 1] == pytest.approx(math.sqrt(expected), rel=0.02)
    assert max(warmed) < 0.27 < plain[9]


@pytest.mark.usefixtures("learning")
def test_all_ways_of_reading_give_the_same_logits() -> None:
    import torch

    from variorum.config.model_settings import ModelSettings
    from variorum.model.gpt import GPT

    prefill = module("prefill")
    model = GPT(ModelSettings(n_layer=2, n_head=2, n_embd=16, context_length=8), 30).eval()
    ids = torch.randint(30, (1, 8), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        first, *others = (way(model, ids) for way in prefill.WAYS.values())
    assert first.shape == (8, 30)
    for other in others:
        torch.testing.assert_close(first, other, atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("learning")
def test_larger_vocabularies_carry_more_bytes_a_token_and_miss_no_word() -> None:
    subwords = module("subwords")
    train = ["the graph of a function and the function of a graph " * 3, "edges of the graph"]
    assert subwords.bytes_per_token(257, train, ["the graph"]) == 1
    assert subwords.bytes_per_token(262, train, ["the graph"]) > 1
    assert subwords.bytes_per_token(262, train, ["ξ"]) == 1
    known, unknown = subwords.unknown_share(["the graph"], ["the tree"])
    assert (known, unknown) == (2, 0.5)


@pytest.mark.usefixtures("learning")
def test_before_training_scores_are_small_and_grow_with_the_width() -> None:
    import torch

    from variorum.config.model_settings import ModelSettings
    from variorum.model.gpt import GPT

    spread = module("spread")
    model = GPT(ModelSettings(n_layer=2, n_head=2, n_embd=32, context_length=32), 512)
    ids = torch.randint(512, (8, 32), generator=torch.Generator().manual_seed(1))
    for n_embd, n_head in ((32, 2), (128, 1)):
        fresh = spread.fresh(model, n_embd=n_embd, n_head=n_head)
        # a query or key of a normed vector has variance 0.02² C, so a product of D has 0.02⁴ C² D
        expected = 0.02**2 * n_embd * math.sqrt(n_embd / n_head)
        assert spread.spreads(fresh, ids) == pytest.approx([expected] * 2, rel=0.25)


def numbers_and_words(text: str) -> tuple[list[float], list[str]]:
    """The numbers of a text, and what stands between them."""
    number = r"\d+(?:\.\d+)?"
    return [*map(float, re.findall(number, text))], re.sub(number, "0", text).split()


@pytest.mark.usefixtures("learning")
@pytest.mark.parametrize("name", ["scores", "norms", "warmup"])
def test_what_an_experiment_prints_stands_in_the_text(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = module(name)
    monkeypatch.setattr(experiment, "IMAGE", tmp_path / "image.svg")
    experiment.main()
    numbers, words = numbers_and_words(capsys.readouterr().out)
    told = re.search(
        rf"python docs/learn/experiments/{name}\.py\n```\n\n((?:    .*\n)+)",
        (LEARN / "why.md").read_text(encoding="utf-8"),
    )
    assert told
    numbers_told, words_told = numbers_and_words(told[1])
    assert words == words_told
    assert numbers == pytest.approx(numbers_told, rel=0.01)  # another processor rounds otherwise
    assert (tmp_path / "image.svg").read_text(encoding="utf-8").startswith("<?xml")


# Pages


def test_the_path_leads_to_all_that_it_is_made_of() -> None:
    reached = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in LEARN.glob("*.md")
        for link in links(page)
    }
    parts: list[Any] = [*LEARN.glob("*.md"), *NOTEBOOKS, *LEARN.glob("experiments/*.py")]
    parts += LEARN.glob("images/*.svg")
    assert {path for path in parts if path.name != "README.md"} <= reached


def test_the_page_is_explained_section_by_section() -> None:
    whole = (LEARN / "1-the-whole.md").read_text(encoding="utf-8")
    explained = re.findall(r"^- \*\*(.+)\.\*\*", whole, flags=re.MULTILINE)
    filled = {"figures": set(FIGURES) - set(SECTION_OF)}  # sections that may stand empty
    assert explained == [
        title for name, title in SECTIONS.items() if name not in filled or filled[name]
    ]


CALLED = {
    "download": "downloads",
    "normalize": "cleaned texts",
    "baselines": "baselines",
    "finetune": "`finetune`",
    "evaluate": "both evaluations of the fine-tuned model",
    "dynamic": "(`dynamic`)",
    "stress": "its stress test",
    "comparisons": "`comparisons`",
    "figures": "`figures`",
    "report": "`report`",
}
"""What the answers to the exercises on keys call the results of stages."""


def planned_tiny(*given: str) -> dict[tuple[str, str], str]:
    """The keys of the tiny experiment, by stage and label."""
    changes = read_typed(["experiment=tiny", *given])
    plan = plan_experiment(load_experiment(ROOT, changes), ROOT, offline=True)
    return {(node.ref.stage, node.label): node.ref.key for node in plan}


def test_the_answers_on_keys_name_what_plans_say() -> None:
    whole = (LEARN / "1-the-whole.md").read_text(encoding="utf-8")
    before = planned_tiny()
    new, left = (
        {name for name, key in planned_tiny(given).items() if (before[name] == key) is same}
        for given, same in zip(
            re.findall(r"variorum config experiment=tiny '(.+?)' \|", whole),
            (False, True),
            strict=True,
        )
    )
    answers = re.findall(r"<details><summary>Answer</summary>\n(.*?)</details>", whole, re.DOTALL)
    for names, answer in zip((new, left), answers, strict=False):
        said = " ".join(answer.replace("Downloads", "downloads").split())
        stages = {stage for stage, _ in names}
        assert stages == {stage for stage, called in CALLED.items() if called in said}
    assert {label for stage, label in new if stage in ("evaluate", "dynamic", "stress")} == {
        "finetuned on base",
        "finetuned on domain",
        "finetuned",
    }


def test_the_code_that_is_explained_is_the_code() -> None:
    explained = (LEARN / "2-the-parts.md").read_text(encoding="utf-8")
    code = (ROOT / "src/variorum/model/gpt2.py").read_text(encoding="utf-8")
    lines = {line.strip() for line in code.splitlines()}
    blocks = re.findall(r"^```python\n(.*?)^```", explained, flags=re.DOTALL | re.MULTILINE)
    quoted = [line.strip() for block in blocks for line in block.splitlines()]
    assert len(quoted) > 10
    assert set(quoted) <= lines


@pytest.mark.parametrize("file", ["model/gpt2.py", "training/plain.py"])
@pytest.mark.parametrize("page", ["README.md", "2-the-parts.md"])
def test_the_files_to_read_have_the_lines_that_are_told(file: str, page: str) -> None:
    lines = (ROOT / "src/variorum" / file).read_text(encoding="utf-8").splitlines()
    text = " ".join((LEARN / page).read_text(encoding="utf-8").split())
    assert re.search(rf"{re.escape(file)}\b.{{,160}}?in {len(lines)} lines", text), len(lines)


def run_the_first_program(folder: Path) -> None:
    """Run what the path begins with, and keep what it prints."""
    told = re.search(
        r'^python -c "\n(.*?)^"$', (LEARN / "README.md").read_text("utf-8"), flags=re.DOTALL | re.M
    )
    assert told
    command = [sys.executable, "-c", told[1]]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    folder.mkdir()
    (folder / "printed.txt").write_text(printed)


def test_the_path_begins_with_a_model_that_learns(tmp_path: Path) -> None:
    run = run_the_first_program
    made = flow.made_by_commands(tmp_path / "made", run, LEARN / "README.md")
    printed = (made / "printed.txt").read_text()
    losses = {int(step): float(loss) for step, loss in map(str.split, printed.splitlines())}
    assert [*losses] == [1, 100, 200, 300]
    assert losses[1] == pytest.approx(math.log(256), abs=0.1)
    assert losses[300] < 3


def test_notebooks_are_written_as_json_that_diffs_well() -> None:
    for path in NOTEBOOKS:
        text = path.read_text(encoding="utf-8")
        assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"
