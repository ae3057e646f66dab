"""Limit how much a model reads at once, so that its logits fit into memory."""

from variorum.model.gpt import GPT

MOST_LOGITS = 1 << 25  # at once: 128 MB in float32


def windows_at_once(model: GPT, most: int) -> int:
    """Return how many full windows go through the model at once, from 1 to `most`.

    Where the vocabulary is large, logits are most of the memory.
    """
    logits = model.settings.context_length * model.vocab_size  # of one window
    return max(1, min(most, MOST_LOGITS // logits))
