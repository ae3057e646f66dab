"""State the findings in sentences: what fine-tuning changed, who needs fewer bits than a baseline.

Every sentence is made from the numbers of a `ReportData`, and marks where each is from. `claims`
words the comparisons.
"""

from collections.abc import Iterator

from markupsafe import Markup

from variorum.evaluation.metrics import KINDS
from variorum.report.claims import Verdict, claim, verdict
from variorum.report.content import ReportData, Standing
from variorum.report.naming import FINETUNED, PRETRAINED
from variorum.report.phrases import listed
from variorum.report.traced import Traced, derived, number

ONE_PART = "the text is a single part, so there is no interval"


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
    """Yield what fine-tuning changed on each test text; else what the one model needs."""
    if report.domain is None:
        found = report.base.standing(PRETRAINED, "static")
        if found:
            yield Markup(
                "The pretrained model needs {} for the base test text. No domain corpus is "
                "configured, so nothing was fine-tuned."
            ).format(_needed(found))
        return
    for corpus in reversed(report.corpora):
        before, after = (corpus.standing(name, "static") for name in (PRETRAINED, FINETUNED))
        if before and after:
            yield Markup("On the {} test text, {}: before, {}; after, {}.").format(
                corpus.role, compared(FINETUNED, before), _needed(before), _needed(after)
            )


def compared(model: str, other: Standing) -> Markup:
    """Return the claim on a model beside another or a baseline."""
    difference = other.differences[model]

    def write(name: str) -> Markup:
        if name == "value":
            return number(derived("size", difference["value"]), "fixed")
        return number(difference[name], "signed")

    return Markup(
        claim(
            _model(model),
            _model(other.model) if other.model else Markup("{}").format(other.name),
            verdict_of(difference),
            write,
            why=ONE_PART,
        )
    )


def verdict_of(difference: Traced) -> Verdict:
    """Return what the interval of a difference shows."""
    if difference.value is None:
        return verdict(None, None)
    return verdict(difference.value["low"], difference.value["high"])


def standings(report: ReportData) -> Iterator[tuple[Markup, bool]]:
    """Yield a sentence on the last model beside the baselines.

    One for each corpus and kind of score. Also whether it loses to one of them.
    """
    model = PRETRAINED if report.domain is None else FINETUNED
    for corpus in report.corpora:
        for kind in KINDS:
            others = [
                each
                for each in corpus.of_kind(kind)
                if each.model is None and model in each.differences
            ]
            if others:
                yield (
                    Markup("On the {} test text, {}{}: {}.").format(
                        corpus.role,
                        KIND_NAMES[kind],
                        UNSEEN if report.imported and corpus.role == "base" else "",
                        Markup("; ").join(compared(model, each) for each in others),
                    ),
                    any(verdict_of(o.differences[model]) is Verdict.MORE for o in others),
                )


KIND_NAMES = {"static": "learning from train alone", "adaptive": "learning while reading it"}
"""The kinds of scores, for people."""

UNSEEN = " (the baselines have read its training text, which this model may not have seen)"
"""Of an imported model and a text that it was not fine-tuned on."""


def floors(report: ReportData) -> Iterator[Markup]:
    """State what each model needs where a text's entropy is known."""
    for corpus in report.corpora:
        for found in corpus.of_kind("static"):
            if corpus.floor is not None and found.model:
                yield Markup(
                    "On the {} test text, the {} model needs {}; the entropy of the language is {}."
                ).format(corpus.role, found.model, _needed(found), number(corpus.floor, "fixed"))


def parts_of(report: ReportData) -> str:
    """Return what the parts are that intervals were taken over, by corpus."""
    kinds = {"groups": "whole groups of documents", "blocks": "blocks of neighbouring text"}
    drawn = {
        each.corpus: kinds[each.interval.value["drawn"]]
        for each in report.scores
        if each.interval.value is not None
    }
    if len(set(drawn.values())) <= 1:
        return next(iter(drawn.values()), "a single part")
    return listed(f"{kind} ({corpus})" for corpus, kind in drawn.items())


def _model(name: str) -> str:
    return f"the {name} model"


def _needed(found: Standing) -> Markup:
    """Return bits per byte with their interval."""
    bits = number(found.bits_per_byte, "fixed")
    if found.interval.value is None:
        return Markup("{} bits per byte").format(bits)
    ends = (number(found.interval[end], "fixed") for end in ("low", "high"))
    return Markup("{} bits per byte ({} to {})").format(bits, *ends)
