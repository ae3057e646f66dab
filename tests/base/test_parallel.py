"""Work that processes share has its results in order, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import variorum
from variorum.base.errors import VariorumError
from variorum.base.parallel import in_order

SECONDS = 20


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_results_come_in_the_order_of_the_tasks(processes: int, count: int) -> None:
    offset = 7  # what work refers to need not be pickled

    def work(task: int) -> int:
        time.sleep((task * 7 % 3) / 1000)
        return task + offset

    tasks = iter(range(count))
    assert list(in_order(work, tasks, processes)) == [n + offset for n in range(count)]


def test_several_processes_share_the_work_and_a_single_task_needs_none() -> None:
    def who(task: int) -> int:
        time.sleep(0.01)
        return os.getpid()

    assert len({*in_order(who, range(20), 2)} - {os.getpid()}) == 2
    assert list(in_order(who, [1], 2)) == [os.getpid()]


def test_tasks_are_taken_as_results_are() -> None:
    taken = []

    def tasks():
        for number in range(1000):
            taken.append(number)
            yield number

    results = in_order(abs, tasks(), 2)
    assert next(results) == 0
    assert len(taken) < 20
    results.close()


def test_an_error_of_the_work_is_raised() -> None:
    def work(task: int) -> int:
        if task == 5:
            raise VariorumError("five")
        return task

    with pytest.raises(VariorumError, match="five"):
        list(in_order(work, range(9), 2))


def test_a_killed_process_is_an_error() -> None:
    def work(task: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(VariorumError, match="a process died"):
        list(in_order(work, range(9), 2))


def test_processes_end_with_a_killed_leader() -> None:
    program = (
        "import os, sys, time\n"
        "from variorum.base.parallel import in_order\n"
        "def work(task):\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(60)\n"
        "list(in_order(work, range(4), 2))\n"
    )
    source = str(Path(variorum.__file__).parents[1])
    leader = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": source},
    )
    assert leader.stdout is not None
    workers = [int(leader.stdout.readline()) for _ in range(2)]
    leader.kill()
    leader.wait()
    end = time.monotonic() + SECONDS
    while any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers):
        assert time.monotonic() < end
        time.sleep(0.1)
