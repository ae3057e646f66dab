"""Counting tokens."""

import numpy as np

from variorum.evaluation import frequencies


def test_counts_do_not_depend_on_the_blocks(monkeypatch):
    tokens = np.random.default_rng(0).integers(0, 50, 1000).astype(np.uint16)
    expected = np.bincount(tokens, minlength=60)
    for block in (1, 7, 1000, 5000):
        monkeypatch.setattr(frequencies, "BLOCK", block)
        assert (frequencies.token_counts(tokens, 60) == expected).all()
    assert frequencies.token_counts(tokens[:0], 3).tolist() == [0, 0, 0]
