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
        texts = sides if both else ["base"]
        graph[tokenizer] = {side: ("normalize", side) for side in texts}
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
    dynamic: dict[str, Named] = {}
    stresses: dict[str, Named] = {}
    for name, model in models.items():
        for side in sides:
            scores[f"{name}_on_{side}"] = ("evaluate", f"{name} on {side}")
            dynamic[f"{name}_dynamic_on_{side}"] = ("dynamic", f"{name} on {side}")
            read = {"text": ("normalize", side), "tokens": ("encode", side)}
            graph[scores[f"{name}_on_{side}"]] = {"model": model, **read}
            graph[dynamic[f"{name}_dynamic_on_{side}"]] = {"model": model, **read}
        stresses[f"stress_{name}"] = ("stress", name)
        own = "base" if name == "pretrained" else "domain"
        graph[stresses[f"stress_{name}"]] = {
            "model": model,
            "tokens": ("encode", own),
            "text": ("normalize", own),
            "base_text": ("normalize", "base"),
        }
    drawn = {**_corpora(sides), **models, **scores}
    graph["figures", ""] = drawn
    for side in sides:
        graph["baselines", side] = {"text": ("normalize", side)}
    baselines: dict[str, Named] = {f"baselines_{side}": ("baselines", side) for side in sides}
    graph["comparisons", ""] = {**scores, **dynamic, **baselines}
    graph["report", ""] = {
        **drawn,
        **stresses,
        **dynamic,
        **baselines,
        "comparisons": ("comparisons", ""),
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
