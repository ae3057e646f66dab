"""How large scores are in a model: their spread before the first step of training, and after it.

    python docs/learn/experiments/spread.py

The products q · k, not divided by √D, of the queries and keys of each layer, on windows of val.
Takes the finished experiment `tiny`.
"""

from pathlib import Path

import torch
from torch import Tensor

from variorum.base.project import find_project
from variorum.corpus.tokenfile import TokenFile
from variorum.model import checkpoint
from variorum.model.gpt import GPT
from variorum.plan.references import find
from variorum.store.store import Store

WINDOWS = 64


def pretrained(experiment: str = "tiny") -> tuple[GPT, Tensor]:
    """The pretrained model of an experiment, and windows (WINDOWS, T) of its val part."""
    here = find_project(Path(__file__).parent)
    store = Store(here)
    result = find(experiment, root=here)
    while "model" in result.spec.upstream:  # a fine-tuned model began as another
        result = store.open(result.spec.upstream["model"])
    model = checkpoint.load(result.folder)
    tokens = TokenFile.open(store.open(result.spec.upstream["tokens"]).folder, "val").tokens
    length = model.settings.context_length
    ids = torch.tensor(tokens[: WINDOWS * length].astype(int))
    return model, ids.view(WINDOWS, length)


def fresh(model: GPT, *, n_embd: int, n_head: int) -> GPT:
    """A model that was never trained, with other channels and heads than `model` has."""
    settings = model.settings.model_copy(update={"n_embd": n_embd, "n_head": n_head})
    return GPT(settings, model.vocab_size, seed=1).eval()


@torch.no_grad()
def spreads(model: GPT, ids: Tensor) -> list[float]:
    """The standard deviation of q · k in each layer, over queries and the keys that they see."""
    found = model.trace(ids)
    seen = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()  # (T, T)
    parts = [f"h.{layer}.attn" for layer in range(model.settings.n_layer)]
    scores = [found[f"{part}.queries"] @ found[f"{part}.keys"].mT for part in parts]
    return [float(each[..., seen].std()) for each in scores]


def main() -> None:
    model, ids = pretrained()
    models = {
        "2 heads of 16, before": fresh(model, n_embd=32, n_head=2),
        "2 heads of 16, after": model,
        "1 head of 128, before": fresh(model, n_embd=128, n_head=1),
    }
    print("spread of q · k         layer 0  layer 1")
    for name, each in models.items():
        print(f"{name:22}", *(f"{spread:8.3f}" for spread in spreads(each, ids)))


if __name__ == "__main__":
    main()
