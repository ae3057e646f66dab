"""Sum several tables up for `reports/README.md`: their findings, and the runs that they share."""

from collections.abc import Iterator, Mapping

from variorum.report.ablation.sentences import compared, findings
from variorum.report.ablation.table import AblationTable


def overview(tables: Mapping[str, AblationTable]) -> str:
    """Return what each table shows, by the name of its folder, as Markdown."""
    parts = [line for name, table in tables.items() for line in _part(name, table)]
    return "\n".join([*parts, *shared(tables)]) + "\n"


def _part(name: str, table: AblationTable) -> Iterator[str]:
    yield f"**[{table.question.title}]({name}/table.md).** {table.question.question}"
    yield f"{' '.join(compared(table))}\n"
    yield from (f"- {sentence}" for sentence in findings(table))
    yield ""


def shared(tables: Mapping[str, AblationTable]) -> list[str]:
    """Return a sentence on each set of runs that several tables show."""
    places: dict[tuple[str, ...], dict[str, str]] = {}
    for name, table in tables.items():
        for variant in table.question.variants:
            own = [run.key for run in table.runs if (run.variant, run.tuned) == (variant, None)]
            places.setdefault(tuple(sorted(set(own))), {})[name] = variant
    return [
        f"The {len(runs)} runs of {_listed(where)} are the same, so these tables are not "
        "independent."
        for runs, where in places.items()
        if len(where) > 1
    ]


def _listed(where: Mapping[str, str]) -> str:
    *others, last = [f"`{name}/{variant}`" for name, variant in where.items()]
    return f"{', '.join(others)} and {last}"
