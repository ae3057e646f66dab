"""Return tables of text, for a terminal or a file."""

from collections.abc import Collection, Iterable, Sequence

UNLIMITED = 10_000
"""Width without a terminal: nothing is folded or cut."""


def table_lines(
    rows: Iterable[Sequence[str]], header: Sequence[str], right: Collection[str] = ()
) -> list[str]:
    """Return the lines of a table; a terminal's width folds its last column.

    `right` names the right-aligned columns.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in header:
        table.add_column(Text(name), no_wrap=name != header[-1])
        if name in right:
            table.columns[-1].justify = "right"
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(color_system=None)
    if not console.is_terminal:
        console.width = UNLIMITED
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]
