"""Measures of behaviour, one text, one token and one word after the other."""

import re

import numpy as np
import torch


def repeated_share(tokens, n):
    """Count the n-grams that stood before, by comparing each with all before it."""
    grams = [tokens[start : start + n] for start in range(len(tokens) - n + 1)]
    repeated = sum(gram in grams[:place] for place, gram in enumerate(grams))
    return repeated / len(grams) if grams else 0.0


def known_share(text, known):
    """Look up each word of an ASCII text; words at its ends may be cut off."""
    found = [m for m in re.finditer("[A-Za-z]+", text) if m.start() > 0 and m.end() < len(text)]
    words = {m[0].lower() for m in found}
    return sum(word in known for word in words) / len(words) if words else 0.0


def bits_behind(model, stream, start, n, length):
    """Score each token of a block by itself, behind the window that it belongs to."""
    step = max(1, length // 2)
    bits = []
    for offset in range(n):
        window_ends = min((offset // step + 1) * step, n)
        first = start + window_ends - length - 1
        read = torch.tensor(stream[first : start + offset].astype(np.int64))
        assert length // 2 <= len(read) <= length
        with torch.no_grad():
            logits = model(read[None])[0, -1].double()
        bits.append(-logits.log_softmax(0)[int(stream[start + offset])].item() / np.log(2))
    return float(np.mean(bits))
