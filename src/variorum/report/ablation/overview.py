"""Sum several tables up for `reports/README.md`: their findings, and the runs that they share."""

from collections.abc import Iterator, Mapping

from variorum.base.counts import counted
from variorum.report.ablation.sentences import findings, what_was_compared
from variorum.report.ablation.table import AblationTable
from variorum.report.phrases import listed


def overview(tables: Mapping[str, AblationTable]) -> str:
    """Return what each table shows, by the name of its folder, as Markdown."""
    parts = [line for name, table in tables.items() for line in _part(name, table)]
    return "\n".join([*parts, *shared(tables)]) + "\n"


def _part(name: str, table: AblationTable) -> Iterator[str]:
    yield f"**[{table.question.title}]({name}/table.md).** {table.question.question}"
    yield f"{' '.join(what_was_compared(table))}\n"
    yield from (f"- {sentence}" for sentence in findings(table))
    yield ""


def shared(tables: Mapping[str, AblationTable]) -> list[str]:
    """Return a sentence on each set of runs that several tables show."""
    where: dict[str, dict[str, str]] = {}
    for name, table in tables.items():
        for run in table.runs:
            where.setdefault(run.key, {})[f"`{name}/{run.variant}`"] = name
    together = {frozenset(of): list(of) for of in where.values() if len({*of.values()}) > 1}
    return [
        f"{counted(number, 'run appears', 'runs appear')} in {listed(places)}, so these tables are "
        "not independent."
        for each, places in together.items()
        if (number := sum(each <= of.keys() for of in where.values()))
    ]
