"""The graph of an experiment wired by hand, result by result: what reads what."""

from collections.abc import Mapping

Named = tuple[str, str]
"""A result: its stage, and what it is of."""

Graph = dict[Named, dict[str, Named]]
"""Each result's inputs by their names."""


def wired(*, domain: bool, both: bool, replay: bool, imported: bool) -> Graph:
    """Return the graph of an experiment with these choices.

    domain: it has a domain corpus. both: the tokenizer is trained on both corpora. replay:
    fine-tuning reads base text too. imported: an imported model begins it.
    """
    sides = ["base", "domain"] if domain else ["base"]
    graph: Graph = {}
    for side in sides:
        graph["download", side] = {}
        graph["normalize", side] = {"documents": ("download", side)}
    first = ("imported" if imported else "pretrain", "pretrained")
    tokenizer = first if imported else ("tokenizer", "")
    if not imported:
        read = sides if both else ["base"]
        graph[tokenizer] = {side: ("normalize", side) for side in read}
    for side in sides:
        graph["encode", side] = {"text": ("normalize", side), "tokenizer": tokenizer}
    base = ("encode", "base")
    graph[first] = {} if imported else {"tokens": base, "tokenizer": tokenizer}
    models = {"pretrained": first}
    if domain:
        models["finetuned"] = ("finetune", "finetuned")
        graph[models["finetuned"]] = {
            "model": first,
            "tokens": ("encode", "domain"),
            "tokenizer": tokenizer,
            **({"replayed": base} if replay else {}),
        }
    scores: dict[str, Named] = {}
    stresses: dict[str, Named] = {}
    for name, model in models.items():
        for side in sides:
            scores[f"{name}_on_{side}"] = ("evaluate", f"{name} on {side}")
            graph[scores[f"{name}_on_{side}"]] = {
                "model": model,
                "text": ("normalize", side),
                "tokens": ("encode", side),
            }
        stresses[f"stress_{name}"] = ("stress", name)
        own = ("encode", "base" if name == "pretrained" else "domain")
        graph[stresses[f"stress_{name}"]] = {"model": model, "tokens": own}
    drawn = {**_corpora(sides), **models, **scores}
    graph["figures", ""] = drawn
    graph["report", ""] = {
        **drawn,
        **stresses,
        "figures": ("figures", ""),
        "tokenizer": tokenizer,
    }
    return graph


def _corpora(sides: list[str]) -> Mapping[str, Named]:
    return {
        f"{name}_{side}": (stage, side)
        for side in sides
        for name, stage in (("source", "download"), ("text", "normalize"), ("tokens", "encode"))
    }
