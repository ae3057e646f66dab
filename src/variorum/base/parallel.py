"""Share work between forked processes, with results in the order of the work.

Which process does what changes no result. The processes are forked, so they hold what the work
refers to without a copy. They ignore Ctrl-C, which the leader handles, and end with it.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from typing import Any, TypeVar

from variorum.base.errors import VariorumError

T = TypeVar("T")
R = TypeVar("R")

ORPHAN_CHECK_SECONDS = 1.0
WAITING = 4
"""Tasks of each process that are begun before the first result is taken."""

_work: Callable[[Any], Any]


def in_order(work: Callable[[T], R], tasks: Iterable[T], processes: int) -> Iterator[R]:
    """Yield the result of each task, in order.

    A single task is done without a fork. Tasks and results are pickled, the work is not. Raises
    what `work` raises, and `VariorumError` if a process dies.
    """
    tasks = iter(tasks)
    begun = list(islice(tasks, 2))
    if processes == 1 or len(begun) < 2:
        yield from map(work, chain(begun, tasks))
        return
    with ProcessPoolExecutor(
        processes, multiprocessing.get_context("fork"), _begin, (work, os.getpid())
    ) as pool:
        try:
            yield from _results(pool, chain(begun, tasks), processes * WAITING)
        except BrokenProcessPool:
            raise VariorumError(
                "a process died at its share of the work (is the memory used up?); run the same "
                "command again"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _results(pool: ProcessPoolExecutor, tasks: Iterable[Any], most: int) -> Iterator[Any]:
    waiting: deque[Future[Any]] = deque()
    for task in tasks:
        waiting.append(pool.submit(_do, task))
        if len(waiting) == most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _begin(work: Callable[[Any], Any], leader: int) -> None:
    """Set up a forked process."""
    global _work
    _work = work
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=end_with, args=(leader,), daemon=True).start()


def _do(task: Any) -> Any:
    return _work(task)


def end_with(leader: int) -> None:
    """End this process when its parent is gone: a killed leader leaves nobody waiting."""
    while os.getppid() == leader:
        time.sleep(ORPHAN_CHECK_SECONDS)
    os._exit(1)
