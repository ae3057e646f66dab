"""Puts an ablation's table where people look for it: `reports/<ablation>/`, which is committed.

Of an experiment's page, which is large and made by one command, only the numbers are put there.
Beside the files of the result stand its manifest, which lists their hashes and all that they were
made from, and what no manifest can hold: `costs.csv`, how long the runs took, and where; and
`<variant>.diff`, what the code of a variant changes, comments in the same lines included.
"""

import json
from contextlib import suppress
from pathlib import Path

from variorum.ablation_plan import DIFFS
from variorum.atomic import write_atomically
from variorum.report import costs
from variorum.store import MANIFEST, Ref, Result, Store
from variorum.tracking import BUNDLE

COSTS = "costs.csv"
NUMBERS = "numbers.csv"
PLACED = ("report", "table")
"""The stages whose results are put there."""


def pages_of(result: Result) -> list[str]:
    """The files of a result that people look at."""
    return [name for name in result.manifest["files"] if not name.startswith(f"{BUNDLE}/")]


def place(store: Store, ref: Ref, folder: Path) -> None:
    """Copy a table, or a page's numbers, into a folder; what another one left there goes."""
    result = store.open(ref)
    names = [NUMBERS] if ref.stage == "report" else pages_of(result)
    contents = {name: result.file(name).read_bytes() for name in names}
    diffs = {f"{name}.diff": text for name, text in result.run.get(DIFFS, {}).items()}
    contents |= {name: text.encode() for name, text in diffs.items()}
    old = {file.name for file in folder.glob("*.diff")}
    for name in (_listed(folder) | old) - contents.keys():
        (folder / name).unlink(missing_ok=True)
    for name, content in contents.items():
        write_atomically(folder / name, content)
    write_atomically(folder / COSTS, costs.csv_text(result.run.get("costs", ())).encode())
    write_atomically(folder / MANIFEST, (result.folder / MANIFEST).read_bytes())


def _listed(folder: Path) -> set[str]:
    """The files of the table that lies in a folder."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return {name for name in files if "/" not in name}
    return set()
