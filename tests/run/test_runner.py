"""Whatever goes wrong while a stage runs: one clear line, nothing lost, no part of a result."""

import errno
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

import flow
from conftest import Project
from failing import failure, results_are_whole
from variorum.base.errors import VariorumError
from variorum.base.machine import Machine
from variorum.config.setting_errors import ConfigError
from variorum.identity.spec import Ref, Spec
from variorum.run import runner
from variorum.stages import tokenizer
from variorum.store.result import MANIFEST, StoreError
from variorum.store.store import Store


def set_text(project: Project, content: bytes, only: str = "*") -> None:
    """Replace the base corpus's files."""
    for file in (project.root / "texts/base").glob(f"{only}.txt"):
        file.write_bytes(content)


# Bad input, through the real stages


def test_a_corpus_without_text_is_refused(micro: Project) -> None:
    set_text(micro, b" \n")
    node = flow.before(micro.root, flow.current(micro.root), "download")
    failure(micro.root, node, "the 24 files of texts/base hold no text; name others")


def test_a_corpus_of_which_nothing_is_left_is_refused(micro: Project) -> None:
    changes = {"base": {"normalize": {"min_characters": 10**6}}}
    plan = flow.current(micro.root, corpus=changes)
    node = flow.before(micro.root, plan, "normalize")
    failure(micro.root, node, "no document is left of 24 .min_characters dropped 24.; change")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00", r"texts/base/03.txt is no text: byte 8 is NUL"),
        (b"ELF\x01\x02\x03\x04", r"texts/base/03.txt is no text: 4 of its 7 bytes are control"),
        (b"one\ntwo caf\xe9\n", r"texts/base/03.txt is no UTF-8: byte 11 \(line 2\) is 0xe9"),
        ("sun".encode("utf-16"), r"texts/base/03.txt is UTF-16"),
    ],
)
def test_a_file_that_is_no_utf8_text_is_named(micro: Project, content: bytes, message: str) -> None:
    set_text(micro, content, only="03")
    node = flow.before(micro.root, flow.current(micro.root), "download")
    failure(micro.root, node, message)


def test_a_file_that_changed_after_planning_is_refused_with_both_checksums(micro: Project) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "download")
    set_text(micro, b"another sun\n", only="03")
    found = flow.current(micro.root).of_stage("download")[0].spec.settings["source"]["sha256"]
    expected = node.spec.settings["source"]["sha256"]
    failure(micro.root, node, f"have SHA-256 {found}, expected {expected}")


def test_a_context_longer_than_the_text_is_refused_before_training(micro: Project) -> None:
    with pytest.raises(ConfigError, match=r"micro.yaml:5: corpus.base.source: .* shorter than"):
        flow.current(micro.root, model={"context_length": 100_000})
    plan = flow.current(micro.root, model={"context_length": 30_000})
    node = flow.before(micro.root, plan, "pretrain")
    line = failure(micro.root, node, "shorter than one window: set model.context_length to at most")
    longest = int(line.split("at most ")[1].split()[0])
    assert f"{longest + 1:,} tokens" in line


def test_a_corpus_of_equal_files_is_refused_with_what_was_dropped(micro: Project) -> None:
    set_text(micro, b"the very same text of a few words\n")
    node = flow.before(micro.root, flow.current(micro.root), "normalize")
    dropped = r"Of 24 documents 23 were dropped \(duplicates 23\)"
    failure(micro.root, node, f"none of the 1 groups fell on .*{dropped}")


# Memory that runs out, and faults of the program


def numbers() -> None:
    np.ones(1 << 50)


def tensors() -> None:
    torch.ones(1 << 50)


def no_more() -> None:
    raise MemoryError


def no_process() -> None:
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


@pytest.mark.parametrize("take", [numbers, tensors, no_more, no_process])
def test_memory_that_runs_out_is_one_line_also_in_the_log(
    micro: Project, monkeypatch: pytest.MonkeyPatch, take: Callable[[], None]
) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "tokenizer")
    monkeypatch.setattr(tokenizer, "run", lambda task: take())
    log = micro.root / "log.txt"
    line = failure(micro.root, node, "memory ran out.*fewer jobs at once .--cores 1.", log)
    assert log.read_text(encoding="utf-8").splitlines()[-1].endswith(f"stopped: {line}")


def test_a_fault_of_the_program_is_in_the_log(
    micro: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "tokenizer")

    def run(task: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(tokenizer, "run", run)
    log = micro.root / "log.txt"
    with pytest.raises(RuntimeError, match="a mistake"):
        flow.make(micro.root, node, log)
    assert "stopped by a fault of the program: RuntimeError: a mistake" in log.read_text("utf-8")


# What was planned, and what is there


def test_code_that_was_edited_after_planning_is_not_run(micro: Project) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "normalize")
    old = replace(node, spec=replace(node.spec, code="0" * 64))
    failure(micro.root, old, "the code of normalize was edited after normalize/.* was planned")


@pytest.mark.parametrize("settings", [{"normalise": {}}, {}])
def test_a_plan_with_settings_that_are_no_more_is_not_run(
    micro: Project, settings: dict[str, object]
) -> None:
    store, spec = Store(micro.root), Spec("normalize", settings, {}, "0" * 64)
    runner.submit(store, spec, "old")
    with pytest.raises(VariorumError, match="the code of normalize was edited"):
        runner.run(store, spec.ref, Machine())


def test_nothing_is_run_that_was_not_planned(micro: Project) -> None:
    with pytest.raises(StoreError, match="nothing is planned under pretrain/000000000000; `vario"):
        runner.run(Store(micro.root), Ref("pretrain", "0" * 12), Machine())
    assert not (micro.root / "results").exists()


@pytest.mark.parametrize("missing", [False, True])
def test_a_damaged_or_missing_upstream_is_named_and_not_used(micro: Project, missing: bool) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "tokenizer")
    text = Store(micro.root).open(node.upstream["base"].ref)
    if missing:
        (text.folder / MANIFEST).unlink()
        message = rf"results/{text.ref}/manifest.json does not exist"
    else:
        text.file("train.jsonl").write_bytes(b"")
        message = rf"results/{text.ref}/train.jsonl has 0 bytes.*move results/normalize"
    with pytest.raises(StoreError, match=message):
        flow.make(micro.root, node)
    assert not Store(micro.root).folder(node.ref).exists()


def test_what_a_kill_left_in_the_output_is_not_published(micro: Project) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "tokenizer")
    store = Store(micro.root)
    left = store.scratch(node.ref) / "output"
    left.mkdir(parents=True)
    (left / "half.bin").write_text("half")
    (left / MANIFEST).write_text('{"key": ')
    assert set(flow.make(micro.root, node).manifest["files"]) == {"tokenizer.json"}
    assert not store.scratch(node.ref).exists()


def test_an_error_in_a_stage_leaves_no_part_of_a_result(
    micro: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "tokenizer")

    def broken(task: runner.Task) -> None:
        (task.output / "tokenizer.json").write_text("{")
        raise ZeroDivisionError

    monkeypatch.setattr(tokenizer, "run", broken)
    with pytest.raises(ZeroDivisionError):
        flow.make(micro.root, node)
    assert results_are_whole(micro.root)


def test_a_stage_that_leaves_a_product_out_is_named(
    micro: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "tokenizer")
    monkeypatch.setattr(tokenizer, "run", lambda task: None)
    failure(micro.root, node, f"{node.ref}: its stage wrote no tokenizer.json, .*tokenizer.py")


# Once is enough


def test_a_finished_result_is_not_made_again(
    micro: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "tokenizer")
    flow.make(micro.root, node)
    before = flow.files_of(micro.root / "results")
    monkeypatch.setattr(tokenizer, "run", lambda task: pytest.fail("made again"))
    flow.make(micro.root, node)
    assert flow.files_of(micro.root / "results") == before


def test_a_damaged_result_is_refused_not_replaced(micro: Project) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "tokenizer")
    file = flow.make(micro.root, node).file("tokenizer.json")
    file.write_bytes(b"{")
    with pytest.raises(StoreError, match=r"tokenizer.json has 1 byte,"):
        flow.make(micro.root, node)
    assert file.read_bytes() == b"{"


def test_the_second_of_two_waits_and_finds_it_made(
    micro: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "tokenizer")
    begun, proceed = threading.Event(), threading.Event()
    stage, calls = tokenizer.run, []

    def slow(task: runner.Task) -> None:
        calls.append(task)
        begun.set()
        assert proceed.wait(30)
        stage(task)

    monkeypatch.setattr(tokenizer, "run", slow)
    log = micro.root / "logs/second.log"
    first = threading.Thread(target=flow.make, args=(micro.root, node))
    second = threading.Thread(target=flow.make, args=(micro.root, node, log))
    first.start()
    assert begun.wait(30)
    second.start()
    end = time.monotonic() + 30
    while not (log.is_file() and "waits" in log.read_text()):
        assert time.monotonic() < end
        time.sleep(0.01)
    proceed.set()
    first.join()
    second.join()
    assert len(calls) == 1
    assert log.read_text().splitlines() == [
        "tokenizer characters  waits for the process that is making it",
        "tokenizer characters  was made meanwhile",
    ]
    assert results_are_whole(micro.root)


def test_a_run_says_where_and_how_long_and_the_manifest_does_not(micro: Project) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "tokenizer")
    result = flow.make(micro.root, node, micro.root / "logs/tokenizer.log")
    assert {"label", "begun", "seconds", "host", "processor", "libraries"} <= set(result.run)
    assert result.run["host"] not in (result.folder / MANIFEST).read_text()
    assert "done in" in (micro.root / "logs/tokenizer.log").read_text()
