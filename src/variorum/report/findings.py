"""State the findings in sentences: which model won, what it forgot, which baseline leads.

Every sentence is made from the numbers of a `ReportData`, and marks where each is from.
"""

from collections.abc import Iterable, Iterator

from markupsafe import Markup

from variorum.report.content import ReportData, Score
from variorum.report.naming import FINETUNED, PRETRAINED
from variorum.report.traced import Traced, derived, number


def _bits(traced: Traced) -> Markup:
    return number(traced, "fixed")


def summary(report: ReportData) -> Iterator[Markup]:
    """Yield a sentence on what was trained, and on what."""
    size = number(report.parameters, "count")
    steps = [number(training.metrics["steps"], "count") for training in report.trainings]
    if report.imported is None:
        begun = Markup("A GPT of {} parameters was trained for {} steps on {}").format(
            size, steps[0], report.base.title
        )
    else:
        begun = Markup("A GPT of {} parameters was imported from {}").format(
            size, report.imported.path
        )
    if report.domain is not None:
        begun += Markup(" and fine-tuned for {} steps on {}").format(steps[-1], report.domain.title)
    yield begun + "."


def findings(report: ReportData) -> Iterator[Markup]:
    """Yield what was learned, in sentences made from the numbers."""
    if report.domain is None:
        score = report.score(PRETRAINED, "base")
        if score:
            yield Markup(
                "The pretrained model needs {} bits per byte for the base test text ({}). No "
                "domain corpus is configured, so nothing was fine-tuned."
            ).format(_bits(score.bits_per_byte), _interval(score))
        return
    for corpus in ("domain", "base"):
        before, after = report.score(PRETRAINED, corpus), report.score(FINETUNED, corpus)
        if before and after:
            yield _change(before, after)


LEARNED = {"domain": "gained", "base": "forgot nothing: it gained"}
UNLEARNED = {"domain": "gained nothing: it lost", "base": "forgot"}


def _change(before: Score, after: Score) -> Markup:
    """State what fine-tuning changed on one test text.

    No gain or loss is stated where the intervals overlap. Both models read the same text, so this
    asks for more than a paired interval would.
    """
    ends = before.bits_per_byte, after.bits_per_byte
    relative = number(derived("change", *ends), "signed-percent 1")
    if before.low.value <= after.high.value and after.low.value <= before.high.value:
        return Markup(
            "On the {} test text, fine-tuning leads from {} to {} bits per byte ({}), no more than "
            "the intervals leave open: before, {}; after, {}."
        ).format(
            after.corpus,
            *map(_bits, ends),
            relative,
            _interval(before),
            _interval(after),
        )
    said = LEARNED if ends[1].value <= ends[0].value else UNLEARNED
    return Markup(
        "On the {} test text, fine-tuning {} {} bits per byte ({}): from {} to {}; after it, {}."
    ).format(
        after.corpus,
        said[after.corpus],
        _bits(derived("distance", *ends)),
        relative,
        *map(_bits, ends),
        _interval(after),
    )


def drawn_of(report: ReportData) -> str:
    """Return what was drawn with replacement for the intervals of each corpus."""
    kinds = {"groups": "whole groups of documents", "blocks": "blocks of neighbouring tokens"}
    drawn = {each.corpus: kinds[each.metrics["interval"]["drawn"].value] for each in report.scores}
    if len(set(drawn.values())) == 1:
        return next(iter(drawn.values()))
    return _listed(f"{kind} ({corpus})" for corpus, kind in drawn.items())


def _interval(score: Score) -> Markup:
    return Markup("{} interval {} to {}").format(
        number(score.confidence, "percent"), _bits(score.low), _bits(score.high)
    )


def standings(report: ReportData) -> Iterator[Markup]:
    """State how the last model compares with its own text's best baseline."""
    corpus = report.corpora[-1]
    score = report.score(PRETRAINED if report.domain is None else FINETUNED, corpus.role)
    if score is None or not corpus.baselines:
        return
    best = min(corpus.baselines, key=lambda baseline: float(baseline.bits_per_byte.value))
    ahead = score.bits_per_byte.value < best.bits_per_byte.value
    yield Markup(
        "Of the baselines on the {} test text, {} is best: {} bits per byte, {} {} than the {} "
        "model."
    ).format(
        corpus.role,
        best.name,
        _bits(best.bits_per_byte),
        _bits(derived("distance", score.bits_per_byte, best.bits_per_byte)),
        "more" if ahead else "fewer",
        score.model,
    )


def floors(report: ReportData) -> Iterator[Markup]:
    """State how far each model is above a text's entropy, where that is known."""
    for corpus in report.corpora:
        for score in report.scores:
            if corpus.floor is None or score.corpus != corpus.role:
                continue
            above = score.bits_per_byte.value >= corpus.floor.value
            yield Markup(
                "On the {} test text, the {} model is {} bits per byte {} the language’s entropy "
                "of {}, which no model can beat on average."
            ).format(
                corpus.role,
                score.model,
                _bits(derived("distance", score.bits_per_byte, corpus.floor)),
                "above" if above else "below (this test text is easier than most)",
                _bits(corpus.floor),
            )


def flags(report: ReportData) -> Iterator[Markup]:
    """State where a baseline needs fewer bits than a model, as plainly as a win."""
    for corpus in report.corpora:
        for score in report.scores:
            if score.corpus != corpus.role:
                continue
            ahead = [
                baseline
                for baseline in corpus.baselines
                if baseline.bits_per_byte.value <= score.bits_per_byte.value
            ]
            if ahead:
                needs = [Markup("{} {}").format(b.name, _bits(b.bits_per_byte)) for b in ahead]
                needs[0] = Markup("{} needs {}").format(
                    ahead[0].name, _bits(ahead[0].bits_per_byte)
                )
                yield Markup(
                    "The {} model loses on the {} test text: it needs {} bits per byte. Given the "
                    "{} corpus’s training text{}, {}."
                ).format(
                    score.model,
                    corpus.role,
                    _bits(score.bits_per_byte),
                    corpus.role,
                    _unseen(report, score),
                    _listed(needs),
                )


def _unseen(report: ReportData, score: Score) -> str:
    """Return a remark if a model may not have seen a corpus's training text."""
    if score.corpus == "domain" and score.model == FINETUNED:
        return ""
    if report.imported is not None:
        return ", which this model may not have seen"
    return "" if score.corpus == "base" else ", which this model has not seen"


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return Markup(" and ").join(filter(None, (Markup(", ").join(others), last)))
