"""Measure our work beside a peer's: rounds in which the two take turns.

A machine is never quiet for long. Both sides of a contest run in every round, in alternating order,
and the ratio is taken round by round, so what slows one slows the other. Each side returns its own
speed, so that what is not measured, such as starting a process, stays outside.
"""

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

Speed = Callable[[], float]


@dataclass(frozen=True)
class Contest:
    """Work that is done by both sides; speeds are in `unit`, and more is better.

    must, aim: the ratios that we want to reach, or None where there is no bar.
    """

    work: str
    unit: str
    ours: Speed
    peer: Speed
    peer_name: str
    must: float | None = None
    aim: float | None = None


@dataclass(frozen=True)
class Absent:
    """A peer that is missing, and how to bring it."""

    peer_name: str
    advice: str


@dataclass(frozen=True)
class Spread:
    """The least, the median and the most of what the rounds gave."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarize the values; at least one."""
        return cls(min(values), statistics.median(values), max(values))


@dataclass(frozen=True)
class Result:
    """The speeds of a contest's sides, and the ratio of ours to the peer's in each round."""

    contest: Contest
    rounds: int
    ours: Spread
    peer: Spread
    ratio: Spread


Area = Callable[[], Iterable[Contest | Absent]]


def measured(contest: Contest, rounds: int) -> Result:
    """Run one contest; the sides begin in turn."""
    ours: list[float] = []
    peer: list[float] = []
    for number in range(rounds):
        sides = [(contest.ours, ours), (contest.peer, peer)]
        for side, speeds in sides if number % 2 == 0 else reversed(sides):
            speeds.append(side())
    ratios = [own / other for own, other in zip(ours, peer, strict=True)]
    return Result(contest, rounds, Spread.of(ours), Spread.of(peer), Spread.of(ratios))


def results(area: Area, rounds: int) -> Iterator[Result | Absent]:
    """Run an area's contests, in order; what is absent is passed on."""
    for contest in area():
        yield contest if isinstance(contest, Absent) else measured(contest, rounds)


HEAD = (
    "| work | unit | ours | peer | which | ratio | least | most | must | aim |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def line(result: Result) -> str:
    """A row of the table, under `HEAD`: medians, and the ratio's spread."""
    contest, ratio = result.contest, result.ratio
    speeds = [f"{spread.median:.4g}" for spread in (result.ours, result.peer)]
    bars = ["" if bar is None else f"{bar:g}" for bar in (contest.must, contest.aim)]
    ratios = [f"{value:.2f}" for value in (ratio.median, ratio.least, ratio.most)]
    cells = [contest.work, contest.unit, *speeds, contest.peer_name, *ratios, *bars]
    return f"| {' | '.join(cells)} |"


def show(area: Area, rounds: int) -> None:
    """Print an area's table while it is measured."""
    print(HEAD)
    for result in results(area, rounds):
        if isinstance(result, Absent):
            print(f"missing: {result.peer_name}; {result.advice}")
        else:
            print(line(result), flush=True)
