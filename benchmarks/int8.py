"""Show what weights of 8 bits cost a model in bits per byte, and what they save.

    python benchmarks/int8.py pretrain finetune

Takes references to trained models, as `variorum sample -m` does. Each is scored on the test text
beside the tokens that it was trained on, as `evaluate` does, with float32 and with rounded weights.
Sizes are the exported files'.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from variorum.base.machine import use_one_thread
from variorum.base.project import find_project
from variorum.plan.references import find
from variorum.store.store import Store


def lines(reference: str) -> Iterator[str]:
    """A row of the table for each kind of weights."""
    from variorum.corpus.tokenfile import TokenFile
    from variorum.evaluation.bits import score, summary
    from variorum.model import checkpoint, int8

    root = find_project()
    result = find(reference, root=root)
    tokens = Store(root).open(result.spec.upstream["tokens"])
    test = TokenFile.open(tokens.folder, "test")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exact = checkpoint.load(result.folder)
        int8.save(exact, folder)
        sizes = [
            path.stat().st_size
            for path in (result.folder / "model.safetensors", folder / int8.WEIGHTS)
        ]
    models = (exact, int8.rounded(checkpoint.load(result.folder)))
    rows = zip(("float32", "int8"), models, sizes, strict=True)
    for kind, model, size in rows:
        stride = max(1, model.settings.context_length // 2)
        nats = score(model, test.tokens, eot=len(model.wte.weight) - 1, stride=stride).nats
        bits = summary(nats, n_bytes=int(test.n_bytes.sum()), n_characters=1)["bits_per_byte"]
        yield f"| {result.ref} | {kind} | {bits:.5f} | {size / 1e6:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("references", nargs="*", default=["finetune"])
    use_one_thread()
    print("| model | weights | bits per byte | file, MB |\n|---|---|---|---|")
    for reference in parser.parse_args().references:
        for line in lines(reference):
            print(line, flush=True)


if __name__ == "__main__":
    main()
