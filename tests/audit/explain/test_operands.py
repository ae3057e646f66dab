"""What a reference names is compared with its like, and the most similar result is found."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from explaining import ABLATION, causes_of, reasons, ref_of, told
from hypothesis import given, settings
from hypothesis import strategies as st

import flow
from conftest import Edit, Project
from variorum.audit.explain.operands import Likeness, Operand, ResultIndex
from variorum.base.components import PACKAGE
from variorum.base.errors import VariorumError
from variorum.identity.spec import Ref, Spec
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.experiment import Node, Plan
from variorum.store.result import CODE, MANIFEST, RUN, Result, readable_json
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


# References


def test_two_runs_of_an_ablation_differ_by_variant_and_seed_and_say_where(here: Path) -> None:
    text = told(here, "positions/learned/1", "positions/rotary/2")
    file = "config/ablations/positions.yaml"
    assert causes_of(text) == [
        f"seed 1 -> 2 ({file}:12)",
        f"model.positions learned -> rotary ({file}:6 -> {file}:9)",
        f"model.rotary_base 10000.0 -> 5000.0 (default -> {file}:10)",
    ]
    assert "seed" not in told(here, "positions/learned", "positions/rotary")


def test_a_finished_run_is_compared_with_the_baselines(root: Path) -> None:
    plan = plan_ablation(load_ablation(root, "positions"), root)
    run = plan.last.upstream["rotary/2/model"]
    assert "differs from pretrain micro" in told(root, "positions/rotary/2").splitlines()[0]
    flow.make(root, run)
    flow.make(root, plan.last.upstream["learned/2/model"])
    text = told(root, "positions/rotary/2")
    assert "differs from pretrain positions/learned/2" in text
    settings = [cause.split()[0] for cause in causes_of(text)]
    assert settings == ["model.positions", "model.rotary_base"]


def test_an_old_result_is_compared_with_the_current_experiment(root: Path) -> None:
    old = ref_of(root, "finetune")
    (root / "config/config.yaml").write_text("experiment: tiny\n")
    for reference in (old.key, old.key[:7], str(old), f"results/{old}", f"./results/{old}/"):
        text = told(root, reference)
        assert text.splitlines()[0].startswith("finetune tiny")
        assert f"differs from finetune micro {old.key} (finished)" in text.splitlines()[0]
        assert any(cause.startswith("finetune.max_steps 10 -> 100 (") for cause in causes_of(text))


def test_a_kept_result_is_named_by_its_name_and_explained_as_a_variant(root: Path) -> None:
    old = ref_of(root, "pretrain")
    second = flow.make(root, flow.current(root, seed=2).of_stage("pretrain")[0]).ref
    (root / "config/pins.yaml").write_text(f"before: {{1: {old}, 2: {second}}}\n")
    file = root / "config/ablations/positions.yaml"
    file.write_text(ABLATION.replace("{model: {positions: learned}}", "{pinned: before}"))
    text = told(root, "before/1", model={"n_layer": 2})
    assert causes_of(text) == ["model.n_layer 1 -> 2 (command line)"]
    assert causes_of(told(root, "before/1", "before/2")) == ["seed 1 -> 2 (before: default)"]
    text = told(root, "positions/learned/1", "positions/rotary/1")
    assert [cause.split()[0] for cause in causes_of(text)] == [
        "model.positions",
        "model.rotary_base",
    ]


def test_an_experiment_or_a_run_is_taken_at_the_stage_of_what_it_is_compared_with(
    here: Path,
) -> None:
    model = ref_of(here, "pretrain")
    assert "Nothing differs" in told(here, "micro", str(model))
    assert "Nothing differs" in told(here, str(model), "micro")
    assert "Nothing differs" in told(here, "positions/learned/1", "micro")
    text = told(here, "micro", "tiny")
    assert "experiment micro -> tiny" in causes_of(text)
    with pytest.raises(VariorumError, match="are results of different stages; name two of one"):
        told(here, str(model), str(ref_of(here, "tokenizer")))


def test_a_planned_result_is_named_by_its_key_whichever_ablation_it_is_part_of(here: Path) -> None:
    plan = plan_ablation(load_ablation(here, "positions"), here)
    run = plan.last.upstream["rotary/1/model"]
    text = told(here, run.ref.key[:8])
    assert "pretrain positions/rotary/1" in text.splitlines()[0]
    assert causes_of(text)[0].startswith("model.positions learned -> rotary")
    table = told(here, "positions")
    assert "nothing similar is here. evaluate positions/rotary/2" in table
    assert "differs from evaluate pretrained on base" in table


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("pretrein", r"^pretrein: no result, .* is called that; did you mean `pretrain`\? "),
        ("ffffffffffffff", r"^ffffffffffffff: no result, stage, experiment or ablation"),
        ("results/", r"^results/: no result"),
        ("evaluate", r"^evaluate names 4 results \(evaluate/\w+, pretrained on base; .*give one"),
        ("evaluate/", r"^evaluate/: no result"),
        ("positions/rotary/9", r"no such run; known are positions/learned/1, positions/learned/2"),
        ("table", r"^table: the current experiment makes none"),
    ],
)
def test_a_reference_that_names_none_or_several_is_one_clear_line(
    here: Path, reference: str, message: str
) -> None:
    with pytest.raises(VariorumError, match=message) as error:
        told(here, reference)
    assert len(str(error.value).splitlines()) == 1


def test_a_beginning_that_several_keys_share_is_ambiguous(here: Path) -> None:
    keys = Counter(ref.key[0] for ref in Store(here).refs())
    start = keys.most_common(1)[0][0]
    with pytest.raises(VariorumError, match=rf"^{start} names \d+ results \("):
        told(here, start)


def test_a_result_that_the_current_experiment_has_no_like_of_needs_a_second_name(
    here: Path,
) -> None:
    old = ref_of(here, "finetune")
    with pytest.raises(VariorumError, match="makes no finetune; name a second result"):
        told(here, str(old), corpus={"domain": None})


# The most similar one


def fake(number: int, facts: dict[str, int], index: ResultIndex) -> Operand:
    """A finished result with these settings, made as the `number`th."""
    spec = Spec("stress", {**facts, "number": number}, {}, "code")
    result = Result(spec.ref, Path(), {"spec": spec.as_data()})
    return Operand(spec, index, None, result)


FACTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2))


@settings(max_examples=60, deadline=None)
@given(st.lists(FACTS, max_size=8), FACTS)
def test_the_most_similar_result_is_the_one_that_shares_most_facts_and_the_last_of_such(
    made: list[dict[str, int]], asked: dict[str, int]
) -> None:
    index = ResultIndex(Store(Path()))
    operands = [fake(number, facts, index) for number, facts in enumerate(made)]
    shared = [len(facts.items() & asked.items()) for facts in made]
    found = Likeness(operands).best(fake(-1, asked, index))
    if not operands:
        assert found is None
    else:
        best = max(range(len(made)), key=lambda place: (shared[place], place))
        assert found is operands[best]


def fabricate(root: Path, nodes: list[Node]) -> None:
    """Make nodes look finished, as far as manifests tell."""
    for node in nodes:
        folder = Store(root).folder(node.ref)
        folder.mkdir(parents=True)
        manifest = {"key": node.ref.key, "spec": node.spec.as_data(), "files": {}, "inputs": {}}
        facts = {MANIFEST: manifest, RUN: {"label": node.label}, CODE: node.code.sources}
        for name, content in facts.items():
            (folder / name).write_text(readable_json(content))


def test_many_results_are_explained_with_each_manifest_and_each_pair_of_codes_read_once(
    root: Path, package_copy: Path, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(root / "results")
    file = root / "config/ablations/positions.yaml"
    file.write_text(ABLATION.replace("[1, 2]", str(list(range(60)))))

    def planned(package: Path = PACKAGE) -> Plan:
        return plan_ablation(load_ablation(root, "positions"), root, package=package)

    fabricate(root, list(planned()))
    edit("model/gpt.py", "INIT_STD = 0.02", "INIT_STD = 0.03")
    peeked: Counter[Ref] = Counter()
    peek, code = Store.peek, Result.code
    sources_read: list[Ref] = []

    def counted(store: Store, ref: Ref) -> Result:
        peeked[ref] += 1
        return peek(store, ref)

    def read(result: Result) -> dict[str, str]:
        sources_read.append(result.ref)
        found: dict[str, str] = code.fget(result)  # type: ignore[attr-defined]
        return found

    monkeypatch.setattr(Store, "peek", counted)
    monkeypatch.setattr(Result, "code", property(read))
    found = reasons(root, planned(package_copy))
    trainings = [text for name, text in found.items() if name.startswith("pretrain")]
    assert trainings == ["edited: variorum.model.gpt:INIT_STD"] * 120
    assert set(peeked.values()) == {1}
    assert len(sources_read) == 2, "one for each position encoding"
