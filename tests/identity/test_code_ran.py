"""Everything that ran for a result is in its key, or is known to decide nothing."""

import ast
from pathlib import Path

import code_ways
from code_ways import Way, classes_of_settings, evidence, nodes, way_of

from conftest import Record
from oracles.reach import Compiled
from variorum.base.components import PACKAGE
from variorum.config.canonical import chosen_components
from variorum.config.model_settings import ModelSettings
from variorum.config.training_settings import TrainingSettings
from variorum.config.types import Settings
from variorum.corpus.source import SOURCES
from variorum.identity.package_code import is_outside
from variorum.plan.experiment import Node
from variorum.stages.registry import STAGES


def test_the_plans_here_take_every_stage_and_every_component() -> None:
    ways = code_ways.ways()
    assert {way.stage for way in ways} == set(STAGES)
    folders = {folder for way in ways for folder, _ in way.parts}
    assert {part for way in ways for part in way.parts} == {
        (folder, file.stem.replace("_", "-") if folder == SOURCES else file.stem)
        for folder in folders
        for file in (PACKAGE / folder).glob("[!_]*.py")
    }


def test_components_are_found_wherever_in_the_settings_they_are_chosen() -> None:
    class Many(Settings):
        models: tuple[ModelSettings, ...]
        trainings: dict[str, TrainingSettings]

    rotary = ModelSettings(positions="rotary")
    assert chosen_components(Many(models=(rotary,), trainings={"one": TrainingSettings()})) == [
        ("model/attentions", "fused"),
        ("model/feed_forwards", "gelu"),
        ("model/norms", "layer"),
        ("model/positions", "rotary"),
        ("training/batch_orders", "replacement"),
        ("training/optimizers", "adamw"),
        ("training/schedules", "cosine"),
    ]


def held(node: Node) -> set[str]:
    """Everything that the key of a node stands on: its code and that of all it is made from."""
    names = set(node.code.sources)
    return names.union(*(held(needed) for needed in node.upstream.values()))


def module(definition: str) -> str:
    return definition.split(":")[0]


def counts(name: str) -> bool:
    """Whether code of that name, be it qualified, is to be part of keys."""
    place, _, local = name.partition(":")
    definition = f"{place}:{local.split('.')[0]}"
    return not is_outside(place) and definition not in classes_of_settings()


def test_every_function_that_ran_is_in_the_key(record_property: Record) -> None:
    ran: set[tuple[Way, str]] = set()
    for node in nodes():
        inside = held(node)
        for name in evidence()[node.ref].ran:
            if "<" not in name and counts(name):
                ran.add((way_of(node), name))
                assert name in inside, f"{name} ran for {node} and is not in its key"
    assert len(ran) > 300
    record_property("functions that ran, by way of a stage", len(ran))


def test_every_constant_that_what_ran_names_is_in_the_key() -> None:
    compiled = Compiled(PACKAGE)
    named: set[str] = set()
    for node in nodes():
        inside = held(node)
        for definition, locals_ in evidence()[node.ref].ran.items():
            if not counts(definition):
                continue
            for local in locals_:
                statements = compiled.modules[module(definition)].statements.get(local, [])
                if any(isinstance(each, ast.Assign | ast.AnnAssign) for each in statements):
                    named.add(f"{module(definition)}:{local}")
                    assert f"{module(definition)}:{local}" in inside
    assert len(named) > 40


def test_every_file_that_was_read_is_in_the_key() -> None:
    read = set()
    for node in nodes():
        for file in evidence()[node.ref].opened:
            if not file.endswith((".py", ".pyc")):
                read.add(file)
                assert file in node.code.sources
    assert read == data_files(PACKAGE)


def data_files(package: Path) -> set[str]:
    """Everything in the package that is no code."""
    return {
        file.relative_to(package).as_posix()
        for file in package.rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc")
    }


def test_an_edit_of_package_data_changes_just_the_stages_that_read_it(package_copy: Path) -> None:
    before = code_ways.digests(PACKAGE)
    for name in data_files(package_copy):
        file = package_copy / name
        content = file.read_bytes()
        file.write_bytes(content + b" ")
        after = code_ways.digests(package_copy)
        file.write_bytes(content)
        reading = {way_of(node) for node in nodes() if name in evidence()[node.ref].opened}
        assert {way for way in before if before[way] != after[way]} == reading


CALLED_OUTSIDE = {
    "variorum.base.atomic:replacing",
    "variorum.base.components:classes",  # settings of each kind of source
    "variorum.base.components:load",
    "variorum.base.parallel:in_order",  # what the work gives, in order
    "variorum.base.files:sha256_of",  # the checksum of a text, which its key holds
    # made of settings; a cache's folder, and messages
    "variorum.corpus.source:ChangingSource.lock_name",
    "variorum.corpus.source:LocalSource.title",  # the path; what a page calls the source
    "variorum.config.canonical:canonical",
    "variorum.config.canonical:restored",
    "variorum.config.types:setting",  # in the settings of sources
    "variorum.base.progress:Progress.say",
    "variorum.base.progress:Progress.step",
    "variorum.identity.spec:Ref.__str__",  # a key, which is in the spec
    "variorum.store.result:Result.adopted",  # shown on pages
    "variorum.store.result:Result.file",
    "variorum.store.result:Result.json",
    "variorum.store.result:Result.run",  # costs, which a table hands on to its own `run.json`
    "variorum.store.result:Result.spec",
    "variorum.identity.spec:Spec.as_data",  # what the key is the hash of
    "variorum.identity.spec:Spec.ref",
    "variorum.stages.task:Task.settings",  # settings of the spec, which it checks
    "variorum.stages.task:Task.use_device",  # another device is another platform
}
"""What code of a stage may call outside, methods included."""


def test_what_stages_call_outside_is_known() -> None:
    called = {
        callee
        for each in evidence().values()
        for caller, callee in each.calls
        if counts(caller) and not counts(callee)
    }
    assert called <= CALLED_OUTSIDE, "decide whether what it decides enters keys as a value"
    assert "variorum.stages.task:Task.settings" in called
