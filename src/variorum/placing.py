"""Puts an ablation's table where people look for it: `reports/<ablation>/`, which is committed.

Beside the files of the result stand its manifest, which lists their hashes and all that they were
made from, and what no manifest can hold: `costs.csv`, how long the runs took, and where; and
`<variant>.diff`, what the code of a variant changes, comments in the same lines included.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from variorum.ablation_plan import DIFFS
from variorum.atomic import write_atomically
from variorum.store import MANIFEST, Ref, Result, Store
from variorum.tracking import BUNDLE

COSTS = "costs.csv"
COLUMNS = (
    "run",
    "seconds",
    "tokens_per_second",
    "processes",
    "device",
    "processor",
    "cores",
)


def pages_of(result: Result) -> list[str]:
    """The files of a result that people look at."""
    return [name for name in result.manifest["files"] if not name.startswith(f"{BUNDLE}/")]


def place(store: Store, ref: Ref, folder: Path) -> None:
    """Copy a table into a folder; what another table left there, and this one lacks, goes."""
    result = store.open(ref)
    contents = {name: result.file(name).read_bytes() for name in pages_of(result)}
    diffs = {f"{name}.diff": text for name, text in result.run.get(DIFFS, {}).items()}
    contents |= {name: text.encode() for name, text in diffs.items()}
    old = {file.name for file in folder.glob("*.diff")}
    for name in (_listed(folder) | old) - contents.keys():
        (folder / name).unlink(missing_ok=True)
    for name, content in contents.items():
        write_atomically(folder / name, content)
    write_atomically(folder / COSTS, costs(result.run.get("costs", ())).encode())
    write_atomically(folder / MANIFEST, (result.folder / MANIFEST).read_bytes())


def _listed(folder: Path) -> set[str]:
    """The files of the table that lies in a folder."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return {name for name in files if "/" not in name}
    return set()


def costs(runs: Sequence[Mapping[str, Any]]) -> str:
    """What the judged training of each run took, as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(runs)
    return text.getvalue()
