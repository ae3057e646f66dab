"""Run the same steps in one or more processes over shared memory: a team.

The main process is rank 0; the others are forked from it and end with it. They wait for each other
at barriers. Which rank does what never changes a result, because the work is cut into logical
shards first.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from types import FrameType

from torch import Tensor

from variorum.base.errors import VariorumError
from variorum.base.parallel import end_with

GUARD_SECONDS = 0.5


@dataclass(frozen=True)
class Team:
    """Describe a team as one of its processes sees it: its own rank of `size`."""

    rank: int
    size: int
    _barrier: Barrier | None

    def share_of(self, count: int) -> range:
        """Return the numbers below `count` that are this rank's work."""
        return range(self.rank, count, self.size)

    def barrier(self) -> None:
        """Wait until every rank has arrived."""
        if self._barrier is not None:
            self._barrier.wait()

    @property
    def leads(self) -> bool:
        """Return whether this is rank 0, the main process, which alone reports and writes."""
        return self.rank == 0


Place = Callable[[Tensor], Tensor]
"""Moves a tensor to where the ranks of a team see it."""


def place_of(size: int) -> Place:
    """Return where a team of this size keeps its tensors: one process shares nothing."""
    return shared if size > 1 else lambda tensor: tensor


def shared(tensor: Tensor) -> Tensor:
    """Move a tensor to memory that forked processes see as well.

    A tensor on a GPU stays there: no other process works on it.

    Raises:
        VariorumError: if there is no such memory.
    """
    if not tensor.is_cpu:
        return tensor
    try:
        tensor.share_memory_()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise VariorumError(
            f"no shared memory is left for {tensor.nbytes:,} bytes ({error}); free some of "
            "/dev/shm, or give the container more of it, and run the same command again"
        ) from None
    return tensor


@contextmanager
def assembled(size: int, work: Callable[[Team], None]) -> Iterator[Team]:
    """Fork all ranks but 0 to run `work`; yield rank 0, to do likewise.

    The other ranks are 1 to `size - 1`.
    Raises `VariorumError` in rank 0, wherever it is, if another one dies.
    """
    if size == 1:
        yield Team(0, 1, None)
        return
    forking = multiprocessing.get_context("fork")
    barrier = forking.Barrier(size)
    leader = os.getpid()
    workers: list[BaseProcess] = [
        forking.Process(target=_work, args=(work, Team(rank, size, barrier), leader), daemon=True)
        for rank in range(1, size)
    ]
    for worker in workers:
        worker.start()
    try:
        with _alarmed_by(workers):
            yield Team(0, size, barrier)
            for worker in workers:
                worker.join()
    finally:
        for worker in workers:
            worker.kill()  # after an error; a worker that is done does not mind
            worker.join()


ALARM = signal.SIGUSR1


@contextmanager
def _alarmed_by(workers: list[BaseProcess]) -> Iterator[None]:
    """Raise an error in this thread if a worker dies while the block runs.

    The barrier cannot be broken for that: a killed process may hold its lock. A signal wakes the
    leader from any wait.
    """

    def raise_it(number: int, frame: FrameType | None) -> None:
        raise VariorumError(
            "a worker process of this training died (is the memory used up?); "
            "run the same command again: it resumes from the last saved step"
        )

    before = signal.signal(ALARM, raise_it)
    leader, over = threading.get_ident(), threading.Event()
    guard = threading.Thread(target=_guard, args=(workers, leader, over), daemon=True)
    guard.start()
    try:
        yield
    finally:
        over.set()
        guard.join()
        signal.signal(ALARM, before)


def _work(work: Callable[[Team], None], team: Team, leader: int) -> None:
    """Run `work` in a forked process that ignores signals and ends with its leader."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=end_with, args=(leader,), daemon=True).start()
    with suppress(VariorumError):  # the leader meets the same error, and reports it
        work(team)


def _guard(workers: list[BaseProcess], leader: int, over: threading.Event) -> None:
    """Send the alarm if a worker fails or is killed before the block ends."""
    while not over.is_set():
        wait([worker.sentinel for worker in workers], timeout=GUARD_SECONDS)
        if any(worker.exitcode for worker in workers) and not over.is_set():
            signal.pthread_kill(leader, ALARM)
            return
        if all(worker.exitcode == 0 for worker in workers):
            return
