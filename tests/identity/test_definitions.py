"""Definitions are hashed by what they say and lead to, whatever they are called."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from variorum.identity.definitions import Definition, Target, circles, hashed
from variorum.identity.syntax import parsed, read

Graph = list[tuple[str, list[int]]]
"""Nodes: what each says, and which others it refers to, in order."""


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    size = draw(st.integers(1, 7))
    node = st.tuples(st.sampled_from(("1", "2")), st.lists(st.integers(0, size - 1), max_size=3))
    return draw(st.lists(node, min_size=size, max_size=size))


def definitions(graph: Graph, names: list[str]) -> dict[str, Definition]:
    found = {}
    for name, (says, targets) in zip(names, graph, strict=True):
        called = [f"n{place}" for place in range(len(targets))]
        (statement,) = parsed(f"x = {says}, {' '.join(f'{each},' for each in called)}").body
        leads = {(c,): (Target(names[t]),) for c, t in zip(called, targets, strict=True)}
        found[name] = Definition((read(statement),), ("defines 0",), leads)
    return found


def named(graph: Graph, letter: str = "m") -> list[str]:
    return [f"{letter}:{place}" for place in range(len(graph))]


def alike(graph: Graph) -> list[int]:
    """The slow twin: classes of nodes that nothing they lead to tells apart, by refinement."""
    classes = [0] * len(graph)
    while True:
        signs = [(says, tuple(classes[t] for t in targets)) for says, targets in graph]
        order = {sign: place for place, sign in enumerate(dict.fromkeys(signs))}
        refined = [order[sign] for sign in signs]
        if len(set(refined)) == len(set(classes)):
            return refined
        classes = refined


@given(graphs())
def test_what_can_be_told_apart_has_another_hash(graph: Graph) -> None:
    found = hashed(definitions(graph, named(graph)), {})
    classes = dict(zip(named(graph), alike(graph), strict=True))
    for one, other in combinations(found, 2):
        assert found[one] != found[other] or classes[one] == classes[other]


@given(graphs(), st.randoms(use_true_random=False))
def test_names_and_their_order_decide_nothing(graph: Graph, random: object) -> None:
    order = list(range(len(graph)))
    random.shuffle(order)  # type: ignore[attr-defined]
    names, others = named(graph), named(graph, "other")
    plain = definitions(graph, names)
    renamed = definitions(graph, others)
    shuffled = {others[place]: renamed[others[place]] for place in order}
    one, other = hashed(plain, {}), hashed(shuffled, {})
    assert [one[name] for name in names] == [other[name] for name in others]


@given(graphs(), st.data())
def test_an_edit_changes_all_that_lead_to_it_and_nothing_else(
    graph: Graph, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(graph) - 1))
    edited = [("3", t) if n == place else (says, t) for n, (says, t) in enumerate(graph)]
    before, after = (hashed(definitions(g, named(g)), {}) for g in (graph, edited))
    for number, name in enumerate(named(graph)):
        assert (before[name] != after[name]) == (place in reach(graph, number))


def reach(graph: Graph, start: int) -> set[int]:
    found, waiting = set(), [start]
    while waiting:
        if (node := waiting.pop()) not in found:
            found.add(node)
            waiting += graph[node][1]
    return found


@given(graphs())
def test_circles_are_what_leads_to_each_other_and_come_after_what_they_lead_to(
    graph: Graph,
) -> None:
    edges = {str(n): list(map(str, targets)) for n, (_, targets) in enumerate(graph)}
    found = list(circles(edges))
    assert sorted(node for group in found for node in group) == sorted(edges)
    reached = {str(n): set(map(str, reach(graph, n))) for n in range(len(graph))}
    seen: set[str] = set()
    for group in found:
        for node in group:
            mutual = {other for other in edges if other in reached[node] and node in reached[other]}
            assert set(group) == mutual | {node}
            assert reached[node] <= seen | set(group)
        seen |= set(group)


def test_what_is_known_is_not_hashed_again_and_what_is_missing_is_seen() -> None:
    graph: Graph = [("1", [1]), ("2", [])]
    whole = definitions(graph, ["a:x", "a:y"])
    every = hashed(whole, {})
    assert hashed({"a:x": whole["a:x"]}, {"a:y": every["a:y"]}) == {"a:x": every["a:x"]}
    assert hashed({"a:x": whole["a:x"]}, {})["a:x"] != every["a:x"]
