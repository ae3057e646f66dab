"""Who needs which result, on which branch.

Needed is what an experiment or an ablation plans, here or on a branch, and what is kept by name;
and all that these stand on. A branch that cannot be planned needs everything that its `.dvc` files
name.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from variorum.audit.holdings.answer import Answer, ask
from variorum.audit.holdings.branches import answers
from variorum.audit.holdings.trees import Tree, is_checked_out
from variorum.engines.tracking import BUNDLING, OWN_FILE
from variorum.errors import VariorumError
from variorum.store import Ref, Store

Upstream = Callable[[Ref], Collection[Ref] | None]
"""What a result was made from; None if that is not known."""


@dataclass(frozen=True)
class Needs:
    """Whom each result serves, as far as is known.

    serves: names by result: `default`; `default@feature` for another branch; `kept: NAME`;
        `.dvc@feature` where no more is known than the `.dvc` files of a branch.
    faults: what cannot be planned here.
    by_files: branches that are known by their `.dvc` files alone, with the reason.
    unknown: branches of which nothing is known, with the reason.
    lost: kept results of which it is not known what they stand on, by what they are kept as.
    n_branches: how many states of the project counted beside the working tree.
    codes: other states of the code that ablations here run, as they name them.
    """

    serves: Mapping[Ref, tuple[str, ...]]
    faults: tuple[str, ...] = ()
    by_files: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, Ref] = field(default_factory=dict)
    n_branches: int = 0
    codes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Branch:
    """A state of the project in git, with the names that count alone, and what it says."""

    tree: Tree
    answer: Answer

    @property
    def name(self) -> str:
        """The name to show."""
        first, *others = self.tree.names
        return f"{first}+{len(others)}" if others else first

    @property
    def why_not(self) -> str:
        """Why it cannot be planned; empty if it can."""
        more = len(self.answer.faults) - 1
        return "".join(self.answer.faults[:1]) + (f" (and {more} more)" if more > 0 else "")


def needs(
    root: Path, found: Collection[Tree], upstream: Upstream, ignored: Collection[str] = ()
) -> Needs:
    """Whom each result serves, by the working tree and by these states of git.

    `ignored` are patterns of names that do not count. Raises `VariorumError` for one that fits
    none.
    """
    serves = _Serves(upstream)
    here = ask(root)
    serves.add(here)
    branches = list(_asked(root, found, ignored))
    for branch in branches:
        serves.add(branch.answer, f"@{branch.name}")
        if branch.why_not or not branch.tree.has_experiments:
            serves.add_with_small(f".dvc@{branch.name}", branch.tree.pins, Store(root))
    doubtful = {", ".join(branch.tree.names): branch for branch in branches if branch.why_not}
    return Needs(
        {ref: tuple(names) for ref, names in serves.names.items()},
        here.faults,
        {name: branch.why_not for name, branch in doubtful.items() if branch.tree.pins},
        {name: branch.why_not for name, branch in doubtful.items() if not branch.tree.pins},
        serves.lost,
        len(branches),
        here.codes,
    )


def _asked(root: Path, found: Collection[Tree], ignored: Collection[str]) -> Iterator[_Branch]:
    """Branches that count and are not what is checked out, with what they say."""
    known = [name for tree in found for name in tree.names]
    for pattern in ignored:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise VariorumError(
                f"--ignore {pattern}: there is no such branch or tag; known are {', '.join(known)}"
            )
    counting = [
        replace(tree, names=names)
        for tree in found
        if (names := tuple(n for n in tree.names if not any(fnmatchcase(n, p) for p in ignored)))
        and not is_checked_out(root, tree)
    ]
    said = answers(root, [tree for tree in counting if tree.has_experiments])
    for tree in counting:
        yield _Branch(tree, said.get(tree.content, Answer()))


class _Serves:
    """Whom each result serves, as it is gathered."""

    def __init__(self, upstream: Upstream) -> None:
        self.names: dict[Ref, dict[str, None]] = {}
        self.lost: dict[str, Ref] = {}
        self._upstream = upstream

    def add(self, answer: Answer, where: str = "") -> None:
        """Add what a tree says, `where` being a mark of its branch."""
        for ref, names in answer.serves.items():
            here = self.names.setdefault(ref, {})
            here |= {f"{name}{where}": None for name in names if name not in here}
        for name, ref in answer.kept.items():
            if self._upstream(ref) is None:
                self.lost[f"{name}{where}"] = ref
            for needed in closure([ref], self._upstream):
                kept = f"kept: {name.partition('/')[0]}{where}"
                self.names.setdefault(needed, {})[kept] = None

    def add_with_small(self, name: str, refs: Iterable[Ref], store: Store) -> None:
        """Add results, what they stand on, and small results that stand on nothing else.

        The small ones have no `.dvc` file that would name them.
        """
        needed = closure(refs, self._upstream)
        for ref in store.refs():
            if ref.stage not in (*OWN_FILE, *BUNDLING) and ref not in needed:
                below = self._upstream(ref)
                needed |= {ref} if below and needed.issuperset(below) else set()
        for ref in needed:
            self.names.setdefault(ref, {})[name] = None


def closure(refs: Iterable[Ref], upstream: Upstream) -> frozenset[Ref]:
    """These results, and all that they stand on."""
    found: set[Ref] = set()
    waiting = list(refs)
    while waiting:
        ref = waiting.pop()
        if ref not in found:
            found.add(ref)
            waiting += upstream(ref) or ()
    return frozenset(found)
