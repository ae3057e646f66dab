"""Of code that differs, what counts is named and shown, and nothing else."""

import json
import re
from pathlib import Path

import pytest
from explaining import ABLATION, causes_of, ref_of, told

import flow
from conftest import Edit, Project
from variorum.identity.code_changes import (
    Edited,
    Meaning,
    Reached,
    Reordered,
    Unseen,
    code_differences,
)
from variorum.plan.experiment import plan_experiment
from variorum.plan.loading import load_experiment
from variorum.store.result import CODE, readable_json
from variorum.store.store import Store


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment, run to its report; tests leave it as it is."""
    project = flow.finished_project(tmp_path_factory.mktemp("explain") / "project")
    (project.root / "config/ablations/positions.yaml").write_text(ABLATION)
    return project


@pytest.fixture
def root(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished project, to change, as the working directory."""
    copy = flow.copied(finished, tmp_path / "again")
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def here(finished: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished project itself, as the working directory, for tests that change nothing."""
    monkeypatch.chdir(finished.root)
    return finished.root


ATTENTION = "variorum.model.attention"


def test_an_edited_method_is_shown_as_a_diff_of_what_counts(
    here: Path, package_copy: Path, edit: Edit
) -> None:
    edit("model/attention.py", '"""Mix the values of', '"""Blend the values of')
    edit("model/attention.py", "# (B, H, S, D)\n", "# keys and values\n")
    edit("model/attention.py", "mixed.transpose(1, 2)", "mixed.transpose(2, 1)")
    text = told(here, package=package_copy)
    (cause,) = causes_of(text)
    assert cause.startswith(f"edited: {ATTENTION}:Attention.forward, also in finetune micro, ")
    assert "-        y: Tensor = self.c_proj(mixed.transpose(1, 2).flatten(2))" in text
    assert "+        y: Tensor = self.c_proj(mixed.transpose(2, 1).flatten(2))" in text
    changed = [line for line in text.splitlines() if re.match(r"    [-+]", line)]
    assert len(changed) == 2, "the edits of a docstring and a comment are not shown"
    assert re.search(r"^pretrain micro, .* then report micro:$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("file", "old", "new", "symbol"),
    [
        ("model/gpt.py", "INIT_STD = 0.02", "INIT_STD = 0.03", "variorum.model.gpt:INIT_STD"),
        ("model/gpt.py", "digest[:4]", "digest[:5]", "variorum.model.gpt:_draw"),
        (
            "training/schedules/cosine.py",
            "0.5 * (1",
            "0.4 * (1",
            "variorum.training.schedules.cosine:rate",
        ),
        ("report/templates/report.css", "{", "{ ", "report/templates/report.css"),
    ],
    ids=["a constant", "a private helper", "a chosen component", "package data"],
)
def test_edited_code_is_named(
    here: Path, package_copy: Path, edit: Edit, file: str, old: str, new: str, symbol: str
) -> None:
    edit(file, old, new)
    text = told(here, package=package_copy)
    assert [cause.split(",")[0] for cause in causes_of(text)] == [f"edited: {symbol}"]
    assert re.search(rf"^    -.*{re.escape(old)}", text, re.MULTILINE)
    assert re.search(rf"^    \+.*{re.escape(new)}", text, re.MULTILINE)


def test_a_name_that_comes_from_another_place_is_told(
    root: Path, package_copy: Path, edit: Edit
) -> None:
    before = flow.current(root).of_stage("pretrain")[0]
    old, same = "from torch.nn import functional as F", "import torch.nn.functional as F"
    edit("model/gpt.py", old, same)
    planned = plan_experiment(load_experiment(root), root, package=package_copy)
    assert planned.of_stage("pretrain")[0].ref == before.ref, "it is the same function still"
    edit("model/gpt.py", same, "from torch import special as F")
    text = told(root, package=package_copy)
    assert causes_of(text)[0].startswith(
        "in variorum.model.gpt:GPT, F is torch.special instead of torch.nn.functional"
    )
    code = Store(root).folder(ref_of(root, "pretrain")) / CODE
    kept = json.loads(code.read_text())
    older = {symbol: text for symbol, text in kept.items() if not symbol.endswith(": names")}
    assert len(older) < len(kept)
    code.write_text(readable_json(older))
    text = told(root, str(ref_of(root, "pretrain")), package=package_copy)
    (cause,) = causes_of(text)
    assert "which library a name comes from" in cause


def test_a_result_whose_source_was_not_kept_says_so(
    root: Path, package_copy: Path, edit: Edit
) -> None:
    edit("model/gpt.py", "INIT_STD = 0.02", "INIT_STD = 0.03")
    old = ref_of(root, "pretrain")
    (Store(root).folder(old) / CODE).unlink()
    assert "was not recorded" in told(root, str(old), package=package_copy)


def sources(**modules: str) -> dict[str, str]:
    """A record of one definition a module, named as it is."""
    words = {name: re.split(r"[ (:]", text) for name, text in modules.items()}
    return {f"variorum.{name}:{words[name][1]}": text for name, text in modules.items()}


def test_edits_without_effect_are_no_differences_of_code() -> None:
    old = sources(a='def f(x: int) -> int:\n    """Doc."""\n    return (x)  # comment')
    new = sources(a="def f(x):\n    return x")
    assert code_differences(old, new) == [Unseen(recorded=True)], (
        "so the fingerprints must be equal"
    )


def test_what_moved_is_not_shown_and_what_an_edit_reaches_is_only_named() -> None:
    helper = "def g():\n    return 1"
    assert code_differences(sources(a=helper), sources(b=helper)) == [Unseen(recorded=True)], (
        "so the fingerprints must be equal"
    )
    old = {"variorum.a:f": "def f():\n    return 0"}
    new = {"variorum.a:f": "def f():\n    return g()", "variorum.a:g": helper}
    assert code_differences(old, new) == [
        Edited("variorum.a:f", "def f():\n    return 0", "def f():\n    return g()"),
        Reached(("variorum.a:g",), ()),
    ]
    del old["variorum.a:f"], new["variorum.a:f"]
    old["variorum.a:h"] = new["variorum.a:h"] = "H = 1"
    assert code_differences(old, new) == [Edited("variorum.a:g", "", helper)]


def test_statements_in_another_order_are_told_where_nothing_else_differs() -> None:
    record = {
        "roots: names": "run is variorum.a:A",
        "variorum.a:A": "A = next(N)",
        "variorum.a:B": "B = next(N)",
        "variorum.a:A: names": "N is variorum.a:N\nturn 0 of 2 is variorum.a:N",
        "variorum.a:B: names": "N is variorum.a:N\nturn 1 of 2 is variorum.a:N",
    }
    other = {
        **record,
        "variorum.a:A: names": record["variorum.a:B: names"],
        "variorum.a:B: names": record["variorum.a:A: names"],
    }
    assert code_differences(record, other) == [Reordered("variorum.a", "B, A")]


def test_constants_in_another_order_are_the_same_code(
    here: Path, package_copy: Path, edit: Edit
) -> None:
    first, second = 'CONFIG = "config.json"\n', 'WEIGHTS = "model.safetensors"\n'
    before = flow.current(here).of_stage("pretrain")[0]
    edit("model/imported_files.py", first + second, second + first)
    same = plan_experiment(load_experiment(here), here, package=package_copy)
    assert same.of_stage("pretrain")[0].ref == before.ref
    edit("model/imported_files.py", first, 'CONFIG = "settings.json"\n')
    text = told(here, "pretrain", package=package_copy)
    assert [cause.split(",")[0] for cause in causes_of(text)] == [
        "edited: variorum.model.imported_files:CONFIG"
    ]


def test_of_a_class_the_method_is_named_and_of_names_those_that_both_sides_have() -> None:
    body = "class A:\n    limit = {}\n\n    def f(self):\n        return {}\n"
    old = sources(a=body.format(1, 1))
    found = {
        difference.symbol
        for new in (body.format(2, 1), body.format(1, 2))
        for difference in code_differences(old, sources(a=new))
        if isinstance(difference, Edited)
    }
    assert found == {"variorum.a:A", "variorum.a:A.f"}
    roots = {"roots: names": "run is variorum.a:f"}
    names = (
        {**roots, "variorum.a:f: names": "F.relu is torch.nn.functional.relu\nold is x"},
        {**roots, "variorum.a:f: names": "F.relu is jax.relu\nnew is y"},
    )
    difference = Meaning("variorum.a:f", "F", "torch.nn.functional", "jax")
    assert code_differences(*names) == [difference]
