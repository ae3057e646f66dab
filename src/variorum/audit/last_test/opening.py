"""Open the last test: score the recipe on its texts, and record the outcome.

An opening is recorded before a number of it is shown, whatever comes out, and none is forgotten:
another one needs a reason, and stands beside the first.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from variorum.audit.last_test.commitment import Commitment, all_openings, commitment
from variorum.audit.last_test.scoring import Reader, Say, read_by_baselines, read_texts, scored
from variorum.base.atomic import write_atomically
from variorum.base.counts import counted
from variorum.base.errors import VariorumError
from variorum.base.git import git
from variorum.base.locks import FOLDER, exclusive
from variorum.base.text_tables import table_lines
from variorum.config.canonical import canonical
from variorum.evaluation.metrics import HEADLINE, KINDS
from variorum.plan.experiment import Node, plan_experiment
from variorum.plan.last_test import LIST, RECORD, load, times
from variorum.plan.last_test_settings import LastTest
from variorum.plan.loading import LoadedExperiment, named_experiment
from variorum.report.claims import verdict, word
from variorum.report.phrases import listed
from variorum.report.units import size
from variorum.stages.registry import MODELS, TRAININGS, model_of
from variorum.store.result import readable_json
from variorum.store.store import Store


@dataclass(frozen=True)
class Prepared:
    """Hold what an opening needs, all of it checked but for the texts themselves.

    models: the node of each model by its name, in the order of their training.
    """

    root: Path
    test: LastTest
    loaded: LoadedExperiment
    committed: Commitment
    openings: list[dict[str, Any]]
    models: dict[str, Node]

    @cached_property
    def store(self) -> Store:
        """Return the store of the project."""
        return Store(self.root)

    def lines(self) -> Iterator[str]:
        """Yield what would be scored, on what, and how often that was done."""
        since = f"{self.committed.date[:10]} ({self.committed.commit[:7]})"
        yield f"{LIST}: committed {since}, {times(self.committed.versions - 1)} changed before"
        yield f"opened: {times(len(self.openings))}"
        yield from (f"  {text.title}" for text in self.test.texts)
        most = size(self.loaded.settings.baselines.most_train_bytes)
        yield (
            f"models of {self.loaded.name}, each beside baselines that read the last {most} of the "
            "same text"
        )
        for name, node in self.models.items():
            state = "complete" if self.store.exists(node.ref) else "missing"
            read = listed(_corpora(node))
            yield f"  {name}, {node.ref}, {state}, read {read}"
        yield f"next: {self._next()}"

    def _next(self) -> str:
        missing = [node for node in self.models.values() if not self.store.exists(node.ref)]
        if missing:
            return f"make the missing models: {self.command(missing[-1])}"
        if self.openings:
            return f"read {RECORD}; to score them again: variorum last-test --open --again REASON"
        return "once nothing is left to choose, score them: variorum last-test --open"

    def command(self, node: Node) -> str:
        """Return the command that makes a model."""
        return f"snakemake --cores 4 --config experiment={self.loaded.name} -- {node.ref.stage}"


def prepare(root: Path) -> Prepared:
    """Return the last test of a project, with the models of its experiment as planned.

    Raises `VariorumError` if its texts are not named in a commit, its record lost an opening, or
    a model was trained elsewhere.
    """
    test = load(root)
    committed, openings = commitment(root), all_openings(root)
    loaded = named_experiment(root, test.experiment)
    plan = plan_experiment(loaded, root, offline=True)
    nodes = [node for stage in MODELS for node in plan.of_stage(stage)]
    if strange := [node for node in nodes if node.ref.stage not in TRAININGS]:
        raise VariorumError(
            f"{LIST}: experiment: what {strange[0].ref} of {loaded.name} was trained on is not "
            "known, so no baseline reads the same; name an experiment that pretrains its model"
        )
    models = {str(model_of(node.ref.stage).model): node for node in nodes}
    return Prepared(root, test, loaded, committed, openings, models)


def open_texts(root: Path, because: str | None, say: Say) -> dict[str, Any]:
    """Score the models and the baselines on the texts, record that, and return it.

    Args:
        root: the project's folder.
        because: why it is opened again; None the first time.
        say: takes a line of progress, which holds no number.

    Raises:
        VariorumError: if it was opened before and no reason is given, if the texts are not named in
            a commit, or if a model or a text is missing.
    """
    with exclusive(root / FOLDER / "last-test"):
        prepared = prepare(root)
        _refuse_again(prepared, because)
        readers = [_reader(prepared, name) for name in prepared.models]
        experiment = prepared.loaded.settings
        cleaning = experiment.corpus.base.normalize
        texts = read_texts(root, prepared.test.texts, cleaning, say)
        scores = {each.name: scored(each, texts, experiment, say) for each in readers}
        opening = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "because": because,
            "commit": git(root, "rev-parse", "HEAD").strip(),
            "list": asdict(prepared.committed),
            "experiment": prepared.loaded.name,
            "models": {name: str(node.ref) for name, node in prepared.models.items()},
            "texts": [canonical(text) for text in prepared.test.texts],
            "scores": scores,
        }
        content = readable_json({"openings": [*prepared.openings, opening]})
        write_atomically(root / RECORD, content.encode())
        return opening


def opening_lines(opening: dict[str, Any]) -> Iterator[str]:
    """Yield what an opening found, and what to do with its record.

    Each model stands beside the baselines that read the same text.
    """
    for name, found in opening["scores"].items():
        for title, of_text in found["texts"].items():
            for kind in KINDS:
                yield ""
                read = read_by_baselines(found["train"])
                yield f"{title}, {kind}, read {read}: {counted(of_text['bytes'], 'byte')}"
                header = ("", HEADLINE.label, "95 % interval", f"{name} less this", f"{name} is")
                yield from table_lines(_rows(name, of_text[kind]), header, header[1:2])
    yield ""
    yield f"recorded in {RECORD}; next: commit that file, and run snakemake, whose page names it"


def _rows(name: str, found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for other, needed in found["bits_per_byte"].items():
        pair = found["pairs"][name].get(other)
        low, high = (pair["low"], pair["high"]) if pair else (None, None)
        said = "" if other == name else word(verdict(low, high))
        yield other, f"{needed:.3f}", _ends(found["scores"][other]), _ends(pair), said


def _ends(interval: dict[str, Any] | None) -> str:
    return f"{interval['low']:.3f} to {interval['high']:.3f}" if interval else ""


def _refuse_again(prepared: Prepared, because: str | None) -> None:
    if prepared.openings and not (because or "").strip():
        last = prepared.openings[-1]["date"][:10]
        raise VariorumError(
            f"the last test was opened {times(len(prepared.openings))}, last on {last}, and what "
            f"came out is in {RECORD}; to open it again, give a reason, which is recorded: "
            "variorum last-test --open --again REASON"
        )
    if not prepared.openings and because is not None:
        raise VariorumError("the last test was never opened; leave out --again")


def _reader(prepared: Prepared, name: str) -> Reader:
    """Return a model and what it read; raises `VariorumError` if one is missing."""
    node, store = prepared.models[name], prepared.store
    corpora = _corpora(node)
    for needed in (node, node.upstream["tokens"], *corpora.values()):
        if not store.exists(needed.ref):
            raise VariorumError(
                f"{needed.ref}, which the last test needs, is not here; make it: "
                f"{prepared.command(node)}"
            )
    texts = {corpus: store.open(each.ref) for corpus, each in corpora.items()}
    return Reader(name, store.open(node.ref), texts, store.open(node.upstream["tokens"].ref))


def _corpora(node: Node) -> dict[str, Node]:
    """Return the texts that a model was trained on, by corpus, in order."""
    before = _corpora(node.upstream["model"]) if "model" in node.upstream else {}
    corpus = str(model_of(node.ref.stage).corpus)
    return {**before, corpus: node.upstream["tokens"].upstream["text"]}
