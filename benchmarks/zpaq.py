"""How many bits per byte zpaq, a compressor that mixes many models, needs for a test text.

    python benchmarks/zpaq.py normalize/<key> [...]

It needs the command `zpaq` (Debian's package of this name), so it is no baseline of the page. What
counts is by how much the archive of train and test is larger than that of train alone. This is an
adaptive score: compare it with `adaptive` in `results/baselines/<key>/metrics.json`.
"""

import argparse
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from variorum.base.project import find_project
from variorum.corpus import documents
from variorum.evaluation.compressors import BLANK_LINE
from variorum.identity.spec import Ref
from variorum.store.store import Store

METHOD = "-m5"  # its strongest


def archived(text: bytes) -> int:
    """The size of a text's archive."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "text").write_bytes(text)
        command = ["zpaq", "add", "archive.zpaq", "text", METHOD]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return (Path(folder) / "archive.zpaq").stat().st_size


def texts_of(file: Path) -> list[bytes]:
    """The documents of a part."""
    return [document.text.encode() for document in documents.read(file)]


def main() -> None:
    """Print a line for each text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("refs", nargs="+", type=Ref.parse, metavar="normalize/KEY")
    refs = parser.parse_args().refs
    if shutil.which("zpaq") is None:
        raise SystemExit("there is no command zpaq; Debian's package of this name has it")
    store = Store(find_project())
    for ref in refs:
        folder = store.open(ref).folder
        train, test = (texts_of(folder / f"{part}.jsonl") for part in ("train", "test"))
        known, both = (archived(BLANK_LINE.join(texts)) for texts in (train, [*train, *test]))
        n_bytes = sum(map(len, test))
        needed = 8 * (both - known) / n_bytes
        print(f"{ref}: {needed:.4f} bits per byte of {n_bytes} bytes")


if __name__ == "__main__":
    main()
