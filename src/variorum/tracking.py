"""Hands results to DVC, which stores, moves and pins their bytes.

Each result of the corpus and training sides gets a `.dvc` file of its own, so that files of
different branches merge without conflicts. Evaluations, stress tests and figures are small and
many; they travel inside the report or table that stands on them (`bundle/`), and are put back in
place from there. Adding is done once for all that is new: each call of DVC costs seconds.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from variorum.store import MANIFEST, Ref, Store

OWN_FILE = ("download", "normalize", "tokenizer", "encode", "pretrain", "finetune")
BUNDLING = ("report", "table")
BUNDLE = "bundle"
CACHE = ".dvc/cache/files/md5"


def track(root: Path) -> None:
    """`dvc add` every finished result that has no `.dvc` file yet."""
    store = Store(root)
    new = [ref for ref in store.refs() if _is_new(store, ref)]
    if not new:
        return
    if not (root / ".dvc").is_dir() or not (root / ".git").exists():
        print("variorum: no git and DVC repository here: results stay untracked", file=sys.stderr)
        return
    folders = [store.folder(ref).relative_to(root).as_posix() for ref in new]
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "add", *folders],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(
            f"variorum: DVC could not add {len(new)} results; they are complete all the same. "
            f"Run `variorum track` again. DVC said:\n{done.stderr.strip()}",
            file=sys.stderr,
        )
    else:
        print(f"variorum: DVC tracks {len(new)} new results", file=sys.stderr)


def _is_new(store: Store, ref: Ref) -> bool:
    """Whether DVC has yet to store these bytes.

    A `.dvc` file that came with git may pin the same result as it was made elsewhere, whose
    `run.json` differs; what lies here is stored all the same.
    """
    if ref.stage not in (*OWN_FILE, *BUNDLING):
        return False
    file = store.folder(ref).with_name(f"{ref.key}.dvc")
    if not file.is_file():
        return True
    digest = YAML(typ="safe").load(file.read_text(encoding="utf-8"))["outs"][0]["md5"]
    return not (store.root / CACHE / digest[:2] / digest[2:]).exists()


def bundle(store: Store, refs: list[Ref], output: Path) -> None:
    """Copy whole results into the output of the report or table that stands on them."""
    for ref in refs:
        shutil.copytree(store.folder(ref), output / BUNDLE / str(ref))


def unbundle(store: Store, ref: Ref) -> None:
    """Put the results that travelled inside `ref` back in place, where they are missing."""
    for manifest in sorted((store.folder(ref) / BUNDLE).glob(f"*/*/{MANIFEST}")):
        folder = manifest.parent
        inner = Ref(folder.parent.name, folder.name)
        if not store.exists(inner):
            store.restore(inner, folder)
