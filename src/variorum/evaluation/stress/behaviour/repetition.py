"""Measure repetition by n-grams, beside human text of the same length.

The share of n-grams that stood in the text before is 1 - distinct-n (Li et al. 2016, "A
Diversity-Promoting Objective Function", section 5), and for n = 4 seq-rep-4 (Welleck et al. 2020,
"Neural Text Generation with Unlikelihood Training", section 6.1). Too little is as unlike human
text as too much: a model of random weights hardly repeats itself at all. And repetition says
something only of texts that consist of words: a model of shuffled weights can repeat its tokens as
often as people do theirs.
"""

from functools import partial

import numpy as np

from variorum.evaluation.stress.behaviour.estimates import mean_of
from variorum.evaluation.stress.behaviour.outcome import (
    HUMAN,
    MODEL,
    WRITERS,
    Behaviour,
    Measurement,
    claim,
    outcome,
)
from variorum.evaluation.stress.behaviour.panel import Panel, beyond, means
from variorum.evaluation.stress.behaviour.words import known_shares, left_out
from variorum.evaluation.stress.writing import excerpt

LENGTHS = {1: "tokens", 2: "pairs of tokens", 4: "runs of four tokens"}
JUDGED = 4  # of n, by strategy


def repeated_share(tokens: list[int], n: int) -> float:
    """Return the share of the n-grams of a text that occurred in it before."""
    grams = [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def repetition(panel: Panel) -> Behaviour:
    """Compare repetition at the settings of the samples with human text; show other strategies."""
    subject = panel.subject
    texts = panel.texts(subject.sampling(subject.settings.text_tokens), WRITERS)
    margin = subject.settings.human_margin
    measured = {n: panel.of_texts(texts, partial(repeated_share, n=n)) for n in LENGTHS}
    rows = {n: Measurement(f"repeated {LENGTHS[n]}", means(own)) for n, own in measured.items()}
    words = known_shares(panel, texts)
    claims = [
        claim(
            f"repeated {LENGTHS[n]}: like human text",
            beyond(own, HUMAN),
            least=-margin,
            most=margin,
        )
        for n, own in measured.items()
    ]
    words_claim = claim(
        "known words: no less than in human text", beyond(words, HUMAN), least=-margin
    )
    own = texts.of_model
    worst = max(own, key=lambda each: repeated_share(each.tokens, JUDGED), default=None)
    return outcome(
        "repetition",
        "Repetition",
        "Do sampled texts repeat themselves as much as human text does, no more and no less?",
        unit="share",
        shown=rows[JUDGED],
        rows=[*rows.values(), Measurement("known words", means(words)), *_by_strategy(panel)],
        claims=[*claims, words_claim],
        explanation=(
            f"{len(own)} texts of {subject.settings.text_tokens} tokens, written with the settings "
            f"of the samples, beside {len(panel.human[0])} held-out texts of the same length. Like "
            f"human text: the interval of the difference lies within ±{margin:g}. Other ways to "
            f"choose the next token are shown and not judged. The text below repeats most."
            f"{left_out(panel)}{texts.problem}"
        ),
        excerpt=excerpt(subject.tokenizer, worst.tokens) if worst else "",
        drawn=texts.drawn,
    )


def _by_strategy(panel: Panel) -> list[Measurement]:
    """Return the model's repeated runs by strategy; of texts that ended with an error nothing."""
    return [
        Measurement(
            f"repeated {LENGTHS[JUDGED]}: {name}",
            {
                MODEL: None
                if any(each.problem for each in own)
                else mean_of(np.array([repeated_share(each.tokens, JUDGED) for each in own]))
            },
        )
        for name, own in panel.subject.by_strategy.items()
    ]
