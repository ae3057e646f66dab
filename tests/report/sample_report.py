"""Plausible data for figures and page, made up from a fixed seed."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import cache

import numpy as np
import pandas as pd

from variorum.config.model_settings import ModelSettings
from variorum.evaluation.metrics import KINDS, Kind
from variorum.evaluation.stress.behaviour.estimates import MeanEstimate
from variorum.evaluation.stress.behaviour.outcome import Behaviour, Measurement, claim, outcome
from variorum.evaluation.verdicts import judge
from variorum.model.gpt import GPT
from variorum.report import content
from variorum.report.ablation.question import Question
from variorum.report.ablation.runs import Run
from variorum.report.ablation.table import AblationTable, ablation_table
from variorum.report.ablation.text_baselines import measured
from variorum.report.figures import variants as ablation_figures
from variorum.report.figures.architecture import model_diagram
from variorum.report.figures.attention_weights import attention_heatmap
from variorum.report.figures.captions import FIGURES, PROVENANCE
from variorum.report.figures.corpora import Cleaning, corpus_funnel
from variorum.report.figures.provenance import DrawnNode, Edge, provenance_graph
from variorum.report.figures.scores import calibration, loss_by_context
from variorum.report.figures.tokens import embedding_pca, token_frequencies
from variorum.report.figures.training import training_curves, training_dynamics
from variorum.report.naming import MODELS, Role
from variorum.report.traced import Traced, derived

WORDS = ["The", "␣func", "tion", "␣re", "turns", "␣a", "␣list", "␣of", "␣sym", "bols", ".", "↵"]


def curves(steps: int, first: float, last: float, rate: float) -> pd.DataFrame:
    rng = np.random.default_rng(steps)
    step = np.arange(1, steps + 1)
    smooth = last + (first - last) * np.exp(-12 * step / steps) + 0.5 / np.sqrt(1 + step / 30)
    looked_at = step % (steps // 10) == 0
    return pd.DataFrame(
        {
            "step": step,
            "train_loss": smooth + rng.normal(0, 0.06, steps),
            "val_loss": np.where(looked_at, smooth + 0.05, np.nan),
            "learning_rate": rate * np.minimum(step / 100, 1) * (1.1 - step / steps),
            "gradient_norm": np.ones(steps),
        }
    )


def dynamics(steps: int, n_layer: int = 3) -> pd.DataFrame:
    """What `training.diagnostics` would note."""
    parts = [f"h.{layer}.{part}" for layer in range(n_layer) for part in ("attn", "ln_1", "mlp")]
    rows: list[dict[str, object]] = []
    for step in range(steps // 4, steps + 1, steps // 4):
        for place, part in enumerate([*parts, "wte"]):
            norm = {"gradient_norm": 0.2 + place / step, "update_ratio": 1e-3 * (1 + place)}
            rows.append({"step": step, "part": part, "weight_norm": 7.0, **norm})
        rows += [
            {"step": step, "part": f"h.{layer}", "activation_rms": 0.3 + layer, "dead_share": 0.0}
            for layer in range(n_layer)
        ]
    return pd.DataFrame(rows)


def bins(share: float) -> list[dict[str, float]]:
    """Bins of a model that is right in this share of the cases in which it says it is."""
    return [
        {"tokens": 900 - 80 * place, "confidence": sure, "accuracy": share * sure}
        for place, sure in enumerate(np.arange(0.05, 1, 0.1).tolist())
    ]


def by_context(first: float) -> list[dict[str, float]]:
    """Losses that fall with the context."""
    return [
        {"from": 2**power, "to": 2 ** (power + 1) - 1, "nats_per_token": first - 0.2 * power}
        for power in range(7)
    ]


def attention(n_layer: int = 3, n_head: int = 4, sharp: tuple[int, int] = (1, 2)) -> np.ndarray:
    """Random causal attention in which one head looks at its predecessor."""
    length = len(WORDS)
    logits = np.random.default_rng(0).normal(size=(n_layer, n_head, length, length))
    logits[sharp] += 9 * np.eye(length, k=-1)
    weights = np.exp(logits) * np.tril(np.ones((length, length)))
    return weights / weights.sum(axis=-1, keepdims=True)


def cleaning() -> Cleaning:
    """A corpus of which one step changes some documents, one drops some, and one does nothing."""
    steps = [
        funnel_step("encoding", 100, 100, 5000, 4990, changed=3),
        funnel_step("strip", 100, 100, 4990, 4990),
        funnel_step("near_duplicates", 100, 80, 4990, 4000),
    ]
    sizes = {"train": (60, 3000), "val": (10, 400), "test": (10, 600)}
    splits = {part: {"documents": n, "bytes": size} for part, (n, size) in sizes.items()}
    return Cleaning(steps, splits)


def funnel_step(
    name: str, documents_in: int, kept: int, bytes_in: int, bytes_kept: int, changed: int = 0
) -> dict[str, object]:
    return {
        "name": name,
        "documents_in": documents_in,
        "documents_kept": kept,
        "bytes_in": bytes_in,
        "bytes_kept": bytes_kept,
        "changed": changed,
    }


def provenance() -> tuple[list[DrawnNode], list[Edge]]:
    """Two corpora, of which one model reads both."""
    nodes = [
        DrawnNode("base text", "download", "base", "d0d0d0d0d0d0", "text"),
        DrawnNode("domain text", "download", "domain", "d1d1d1d1d1d1", "text"),
        DrawnNode("base tokens", "encode", "base", "e0e0e0e0e0e0", "text"),
        DrawnNode("domain tokens", "encode", "domain", "e1e1e1e1e1e1", "text"),
        DrawnNode("model", "pretrain", "", "ab12cd34ef56", "pretrained"),
        DrawnNode("scores", "evaluate", "pretrained on base", "e0a1e0a1e0a1"),
    ]
    edges = [
        ("base text", "base tokens"),
        ("domain text", "domain tokens"),
        ("base tokens", "model"),
        ("domain tokens", "scores"),
        ("base text", "scores"),
        ("model", "scores"),
    ]
    return nodes, edges


def positions_table() -> AblationTable:
    means = {"learned": 1.905, "sinusoidal": 1.931, "rotary": 1.871, "none": 1.906}
    luck = {1: -0.010, 2: 0.006, 3: -0.004, 4: 0.002, 5: 0.006}
    noise = np.random.default_rng(1).normal(0, 0.004, (4, 5))
    runs = [
        Run(
            variant,
            seed,
            {"base": mean + luck[seed] + noise[row, seed - 1]},
            f"{row}{seed}c0ffee0000",
            826_880,
            tokens=512_000,
            steps=500,
            batch_size=16,
            passes=1.5,
            flops=5 * 10**12,
        )
        for row, (variant, mean) in enumerate(means.items())
        for seed in luck
    ]
    question = Question(
        title="Position encodings",
        question="Does the position encoding matter at this scale?",
        variants=tuple(means),
        baseline="learned",
        command="snakemake --cores 4 reports/positions/table.md",
        experiment="study",
        texts={"base": "prose of SymPy 1.14.0"},
        changes={name: {"model.positions": name} for name in means},
        margin=0.02,
    )
    return ablation_table(runs, question, tuple(measured("base", TEXT_BASELINES, "baselines/1")))


def grid_of_rates() -> AblationTable:
    """A grid of two settings with long names, beside a model that is not fine-tuned."""
    rates, shares = ("0.0003", "0.001", "0.003"), ("0.0", "0.25", "0.5")
    changes = {
        f"learning_rate={rate},replay={share}": {
            "finetune.learning_rate": rate,
            "finetune.replay": share,
        }
        for rate in rates
        for share in shares
    }
    noise = np.random.default_rng(2).normal(0, 0.02, (10, 5))
    runs = [
        Run(name, seed, {"domain": 2.5 - 0.01 * row + noise[row, seed]}, f"{row}-{seed}", 390_000)
        for row, name in enumerate(("pretrained", *changes))
        for seed in range(5)
    ]
    question = Question(
        title="Fine-tuning",
        question="What does replay save?",
        variants=("pretrained", *changes),
        baseline="pretrained",
        command="snakemake --cores 4 reports/finetuning/table.md",
        changes={"pretrained": {"last_stage": "pretrain"}, **changes},
        axes=("finetune.learning_rate", "finetune.replay"),
    )
    return ablation_table(runs, question)


TEXT_BASELINES = {
    "static": {
        "ngram": {"bits_per_byte": 1.9, "order": 7},
        "ppmd": {"bits_per_byte": 1.88, "order": 16},
    },
    "adaptive": {
        "ppmd": {"bits_per_byte": 1.72, "order": 12},
        "bz2": {"bits_per_byte": 2.1},
        "xz": {"bits_per_byte": 2.0},
    },
}


@cache
def all_figures() -> dict[str, str]:
    """Every figure once, by name."""
    counts = (2e5 / np.arange(1, 513) ** 1.1).astype(np.int64)
    vectors = np.random.default_rng(2).normal(size=(512, 16))
    labels = [*WORDS, "7", "$x$", "\\xff", "é", *(f"␣token{i}" for i in range(496))]
    return {
        "curves": training_curves(
            {"pretraining": curves(400, 6.9, 2.4, 1e-3), "fine-tuning": curves(200, 2.9, 2.1, 3e-4)}
        ),
        "dynamics": training_dynamics({"pretraining": dynamics(400), "fine-tuning": dynamics(200)}),
        "calibration": calibration(
            {"base test text": {"pretrained": bins(0.9), "fine-tuned": bins(0.7)}}
        ),
        "context": loss_by_context(
            {f"{side} test text": {"pretrained": by_context(4.1)} for side in ("base", "domain")}
        ),
        "frequencies": token_frequencies({"base": counts, "domain": counts[::-1] // 3 + 1}),
        "embeddings": embedding_pca(
            {"pretrained": vectors, "fine-tuned": vectors + 0.2 * vectors[::-1]}, labels, counts
        ),
        "model": model_diagram(GPT(ModelSettings(n_layer=2, n_embd=32, ngrams=(2,)), 512)),
        "funnel": corpus_funnel({"base corpus": cleaning()}),
        "attention": attention_heatmap(attention(), WORDS),
        "provenance": provenance_graph(*provenance()),
        "ablation": ablation_figures.intervals(positions_table()),
    }


def standing(value: object, place: str) -> Traced:
    """What stands in a file: `stage/key/name`."""
    return Traced(value, (f"{place}#",))


def key(ref: str) -> Traced:
    """The key of a result, as its manifest has it."""
    return standing({"key": ref.split("/")[1]}, f"{ref}/manifest.json")["key"]


def _found(middle: float, **others: float) -> dict[str, MeanEstimate | None]:
    """Means with intervals, of the model by `middle`; None for the shuffled one."""
    means = {"model": middle, **{who.replace("_", " "): own for who, own in others.items()}}
    found = {who: MeanEstimate(own, own - 0.042, own + 0.042, 24) for who, own in means.items()}
    return {**found, "shuffled": None}


def _behaviour(share: float) -> list[Behaviour]:
    measured = Measurement(
        "repeated runs of four tokens", _found(share, random=0.0, human_text=0.059)
    )
    alone = Measurement("repeated runs of four tokens: likeliest token", {"model": None})
    context = Measurement("up to 128 tokens", _found(5.123 - share, random=11.9))
    return [
        outcome(
            "repetition",
            "Repetition",
            "Do sampled texts repeat themselves as much as human text does?",
            unit="share",
            shown=measured,
            rows=[measured, alone],
            claims=[
                claim(
                    "repeated runs of four tokens: like human text",
                    _found(share - 0.059, random=-0.059, human_text=0.0),
                    least=-0.1,
                    most=0.1,
                ),
                claim("known words", _found(0.5, random=-0.5, human_text=0.9), least=0.0),
            ],
            explanation="24 texts of 128 tokens, beside held-out text of the same length.",
            excerpt="The function returns the same as the same as the same as the same as",
        ),
        outcome(
            "context",
            "Use of context",
            "How much easier does more context make the text?",
            unit="bits per token",
            shown=context,
            rows=[context],
            claims=[claim("better than the frequencies", _found(2.0, random=-1.0), least=0.0)],
            explanation="64 blocks of 64 tokens of held-out text.",
        ),
    ]


def _stress(model: str, share: float) -> content.Stress:
    cases = (
        judge(
            "causality",
            "Causality",
            "Do tokens that come later leave the predictions before them as they were?",
            measured=2.5e-7,
            threshold=1e-4,
            comparison="<=",
            explanation="No score before them moved by more than 2.5e-07.",
        ),
        judge(
            "strategies-cache",
            "The cache, by strategy",
            "Does it write the same with the cache as without it?",
            measured=1.0 if share < 0.5 else 0.5,
            threshold=1.0,
            comparison=">=",
            explanation="The table has how many of 32 tokens are the same.",
            parts={"likeliest token": "32 of 32", "top-k 40": f"{32 if share < 0.5 else 16} of 32"},
        ),
        judge(
            "hostile-special-token",
            "Hostile prompt: the special token's text",
            "Is the text <|endoftext|> text?",
            measured=0.0,
            threshold=0.0,
            comparison="<=",
            explanation="No special token among the 7 tokens of the prompt.",
            excerpt="<|endoftext|> is a\\x07 text",
        ),
    )
    ref = "stress/5e55aa00dd11"
    settings = {"stress": {"sampling": {"temperature": 0.8, "top_k": None, "seed": 1}}}
    return content.Stress(
        model,
        standing([asdict(case) for case in cases], f"{ref}/cases.json"),
        standing([asdict(case) for case in _behaviour(share)], f"{ref}/behaviour.json"),
        standing(settings, f"{ref}/manifest.json")["stress"],
        key(ref),
        _task(f"stress_{model.replace('-', '')}", ref),
    )


def _score(
    model: str,
    corpus: Role,
    bits: float,
    nats: float,
    ppl: float,
    n: int,
    size: int,
    ref: str,
) -> content.Score:
    metrics = {
        "bits_per_byte": bits,
        "nats_per_token": nats,
        "perplexity": ppl,
        "tokens": n,
        "bytes": size,
        "interval": {
            "low": bits - 0.02,
            "high": bits + 0.03,
            "drawn": "groups",
            "count": 21,
            "effective": 12.5,
            "confidence": 0.95,
        },
        "accuracy": {"top_1": 0.41, "top_5": 0.66},
        "calibration_error": 0.013,
        "memorization": {"written_share": 0.02, "test_share": 0.06},
    }
    place = f"evaluate/{ref}"
    task = _task(f"{model.replace('-', '')}_on_{corpus}", place)
    return content.Score(
        model, corpus, standing(metrics, f"{place}/metrics.json"), key(place), task
    )


def _task(name: str, ref: str) -> Traced:
    """What the report calls an input."""
    return standing({name: ref}, "report/3f9a1c0b77de/manifest.json")[name].name


def _step(name: str, kept: int, dropped: int, size: int, *examples: dict[str, str]) -> object:
    return {
        "name": name,
        "explanation": "documents whose text was seen before dropped",
        "documents_kept": kept,
        "dropped": dropped,
        "bytes_kept": size,
        "examples": examples,
    }


BASELINES: tuple[tuple[Kind, str, int | None], ...] = (
    ("static", "ngram", 6),
    ("adaptive", "bz2", None),
    ("adaptive", "ppmd", 16),
)
GAIN = 0.05  # of adapting


def standings_of(
    role: Role, models: dict[str, float], baselines: dict[str, float]
) -> Iterator[content.Standing]:
    """Models and baselines by their bits per byte; an interval of 0.05, a difference's of 0.03."""
    pairs: dict[str, dict[str, dict[str, object]]] = {"static": {}, "adaptive": {}}

    def bits_of(kind: Kind, name: str) -> float:
        return models[name] - GAIN * (kind == "adaptive") if name in models else baselines[name]

    names = {
        kind: [*models, *(name for each, name, _ in BASELINES if each == kind)] for kind in KINDS
    }
    for kind in KINDS:
        for place, model in enumerate(models):
            others = [o for o in names[kind] if o not in [*models][place:]]
            values = {other: bits_of(kind, model) - bits_of(kind, other) for other in others}
            pairs[kind][model] = {
                other: {"value": value, "low": value - 0.02, "high": value + 0.01}
                for other, value in values.items()
            }
    compared = standing({role: pairs}, "comparisons/c0a1c0a1c0a1/comparisons.json")[role]
    for kind in KINDS:
        for name in names[kind]:
            stage = "baselines" if name in baselines else "evaluate"
            bits = bits_of(kind, name)
            interval = {"low": bits - 0.02, "high": bits + 0.03, "confidence": 0.95}
            metrics = standing(
                {kind: {name: {"bits_per_byte": bits, "interval": interval, "order": 16}}},
                f"{stage}/b0a1b0a1b0a1/metrics.json",
            )[kind][name]
            yield content.Standing(
                name,
                derived("baseline", metrics.name, metrics["order"])
                if name in baselines
                else derived("model", _task(f"{name}_on_{role}", "evaluate/b0a1b0a1b0a1")),
                kind,
                metrics["bits_per_byte"],
                metrics["interval"],
                {
                    MODELS[model]: compared[kind][model][name]
                    for model in models
                    if name in pairs[kind][model]
                },
                key("evaluate/b0a1b0a1b0a1"),
            )


def _corpus(
    role: Role,
    source: dict[str, str],
    models: dict[str, float],
    baselines: dict[str, float],
    *facts: str,
) -> content.Corpus:
    steps = (
        _step("read", 2764, 0, 1_412_000),
        _step("shorter than min_characters", 2701, 63, 1_409_000),
        _step(
            "duplicates",
            2490,
            211,
            1_203_000,
            {
                "document": f"a_package.{'a_long_name.' * 12}f#2",
                "excerpt": "Returns the number of nodes.",
                "reason": "",
            },
            {
                "document": "b#1",
                "excerpt": "Returns <the> number of edges…",
                "reason": "0.81 like a#1",
            },
        ),
    )
    splits = {
        "train": {"documents": 1990, "bytes": 968_000, "overlap": None},
        "val": {"documents": 251, "bytes": 121_000, "overlap": 0.0612},
        "test": {"documents": 249, "bytes": 114_000, "overlap": 0.0588},
    }
    return content.Corpus(
        role,
        derived("title", standing(source, "download/d0d0d0d0d0d0/manifest.json")),
        tuple(standing(list(steps), "normalize/a0a0a0a0a0a0/funnel.json")),
        standing(splits, "normalize/a0a0a0a0a0a0/splits.json"),
        tuple(standings_of(role, models, baselines)),
        facts=tuple(standing(list(facts), "download/d0d0d0d0d0d0/facts.json")),
    )


def _training(
    name: str, steps: int, tokens: int, kept: int, loss: float, ref: str
) -> content.TrainingRecord:
    metrics = {
        "parameters": 843_264,
        "steps": steps,
        "tokens_seen": tokens,
        "chosen_step": kept,
        "chosen_val_loss": loss,
    }
    return content.TrainingRecord(name, standing(metrics, f"{ref}/metrics.json"), key(ref))


def prose(package: str, version: str) -> dict[str, str]:
    """A source of text."""
    return {
        "kind": "python-package",
        "part": "prose",
        "package": package,
        "version": version,
        "sha256": "0" * 64,
    }


def _row(
    ref: str, upstream: dict[str, str], adopted: dict[str, object] | None = None
) -> content.Provenance:
    manifest = standing({"upstream": upstream, "adopted": adopted}, f"{ref}/manifest.json")
    return content.Provenance(
        ref.split("/")[0],
        key(ref),
        manifest["upstream"],
        manifest["adopted"] if adopted else None,
    )


WORDS_FOUND = {
    "distinct": 8736,
    "longest": ["␣polynomial", "␣function"],
    "splits": [
        {"rank": 1, "count": 8833, "bytes": 4, "tokens": 1, "pieces": ["␣the"]},
        {"rank": 10, "count": 1152, "bytes": 7, "tokens": 2, "pieces": ["␣mod", "ule"]},
    ],
    "derivation": {
        "word": "␣that",
        "rank": 7,
        "count": 1200,
        "bytes": ["␣", "t", "h", "a", "t"],
        "merges": [
            {"number": 1, "joined": ["␣", "t"], "pieces": ["␣t", "h", "a", "t"]},
            {"number": 46, "joined": ["␣t", "h"], "pieces": ["␣th", "a", "t"]},
        ],
    },
}


def sample_report() -> content.ReportData:
    svg = all_figures()
    titles = {**FIGURES, "provenance": PROVENANCE}
    own = standing(
        {
            "key": "3f9a1c0b77de",
            "title": "A small GPT on mathematical prose, fine-tuned on graph theory",
            "experiment": "default",
            "command": "snakemake --cores 2 --config experiment=default -- report.html",
            "last_test": "never",
        },
        "report/3f9a1c0b77de/manifest.json",
    )
    metrics = standing(
        {"base": [114_000, 46_120], "domain": [92_000, 38_800], "vocab": list(range(1024))}
        | {"variorum_kind": "bpe"},
        "tokenizer/70ce1235ab90/tokenizer.json",
    )
    upstream = {"model": "pretrain/ab12cd34ef56", "tokenizer": "tokenizer/70ce1235ab90"}
    return content.ReportData(
        title=own["title"],
        experiment=own["experiment"],
        key=own["key"],
        command=own["command"],
        last_test=own["last_test"],
        base=_corpus(
            "base",
            prose("sympy", "1.14.0"),
            {"pretrained": 1.671, "finetuned": 1.842},
            {"bz2": 1.97, "ppmd": 1.5, "ngram": 1.845},
        ),
        domain=_corpus(
            "domain",
            prose("networkx", "3.6.1"),
            {"pretrained": 2.104, "finetuned": 1.548},
            {"bz2": 1.52, "ppmd": 1.57, "ngram": 1.6},
            "A fact.",
        ),
        scores=(
            _score("pretrained", "base", 1.671, 2.83, 16.9, 46_120, 114_000, "e0a1"),
            _score("pretrained", "domain", 2.104, 3.52, 33.8, 38_800, 92_000, "e0a2"),
            _score("fine-tuned", "base", 1.842, 3.12, 22.6, 46_120, 114_000, "e0a3"),
            _score("fine-tuned", "domain", 1.548, 2.59, 13.3, 38_800, 92_000, "e0a4"),
        ),
        tokenizer=content.TokenizerFacts(
            metrics["variorum_kind"],
            derived("length", metrics["vocab"]),
            {side: derived("ratio", *metrics[side]) for side in ("base", "domain")},
            standing(WORDS_FOUND, "report/3f9a1c0b77de/words.json"),
            key("tokenizer/70ce1235ab90"),
        ),
        architecture=standing(
            {"n_layer": 4, "n_head": 4, "n_embd": 128}, "finetune/0f1e2d3c4b5a/config.json"
        ),
        parameters=standing({"parameters": 843_264}, "finetune/0f1e2d3c4b5a/metrics.json")[
            "parameters"
        ],
        trainings=(
            _training("pretraining", 2000, 6_144_000, 1900, 2.511, "pretrain/ab12cd34ef56"),
            _training("fine-tuning", 500, 1_536_000, 500, 2.269, "finetune/0f1e2d3c4b5a"),
        ),
        samples=(
            sample(
                "The ",
                "function returns a list of the symbols that are given by the expression and the "
                "coefficients of the polynomial over the domain.\n\nThe result is",
                "graph is returned with the nodes of the shortest path between the source and the "
                "target, where the weight of an edge is",
            ),
            sample("A function ", "of the integral <b>is</b> zero.", "that yields nodes."),
        ),
        stress=(_stress("pretrained", 0.08), _stress("fine-tuned", 0.83)),
        figures=tuple(
            content.PageFigure(
                name,
                *titles[name],
                Traced(svg[name], (f"figures/f1f2f3f4f5f6/{name}.svg",)),
                key("figures/f1f2f3f4f5f6"),
            )
            for name in titles
        ),
        provenance=(
            _row("download/d0d0d0d0d0d0", {}),
            _row("normalize/a0a0a0a0a0a0", {"download": "download/d0d0d0d0d0d0"}),
            _row(
                "pretrain/ab12cd34ef56",
                {"encode": "encode/e1e1e1e1e1e1", "tokenizer": "tokenizer/70ce1235ab90"},
                {"from": "pretrain/0123456789ab", "evidence": ["steps 0 to 100 computed again"]},
            ),
            _row(
                "finetune/0f1e2d3c4b5a",
                upstream,
                {
                    "from": "finetune/ba9876543210",
                    "because": "only <names> changed",
                    "evidence": [],
                },
            ),
        ),
        settings={
            "seed": standing({"seed": 1}, "pretrain/ab/manifest.json"),
            "model": standing({"bias": True, "positions": "learned"}, "pretrain/ab/manifest.json"),
            "stress": standing(
                {"prompts": ["The ", "A function "], "sampling": {"top_k": None}},
                "stress/ab/manifest.json",
            ),
        },
    )


def sample(prompt: str, before: str, after: str | None = None) -> content.Sample:
    """One prompt and how it was continued."""
    texts = standing([prompt, before, after], "stress/5e55aa00dd11/samples.json")
    return content.Sample(texts[0], texts[1], texts[2] if after is not None else None)


def without_domain() -> content.ReportData:
    report = sample_report()
    return replace(
        report,
        base=_corpus(
            "base",
            prose("sympy", "1.14.0"),
            {"pretrained": 1.671},
            {"bz2": 1.97, "ppmd": 1.5, "ngram": 1.845},
        ),
        domain=None,
        scores=report.scores[:1],
        trainings=report.trainings[:1],
        stress=report.stress[:1],
        samples=tuple(replace(sample, after=None) for sample in report.samples),
    )
