"""Find near-duplicates: documents that share most of their five-word runs.

Chinese, Japanese, Thai and their neighbours write no spaces between words; there each character
counts as a word.

The similarity of two documents is the Jaccard similarity of their sets of runs, estimated by
MinHash (Broder 1997); locality-sensitive hashing decides which pairs are compared (Leskovec,
Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3). Both come from `datasketch`. With
256 hashes the estimate's standard error is at most 1/32.
"""

import re

from datasketch import MinHash, MinHashLSH

_RUN = 5  # words
_HASHES = 256
_SEED = 1
_BATCH = 4096  # runs that are sketched at once; each takes 256 numbers while it is
# Scripts without spaces between words, as ranges of Unicode 14.0: Thai, Lao, Tibetan, Myanmar,
# Khmer, Tai, Balinese, Javanese; Han with its radicals and marks, Japanese, Bopomofo, Yi.
_UNSPACED = (
    r"\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f"
    r"\ua980-\ua9df\uaa60-\uaadf\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u303b"
    r"\u3041-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\ua4cf\uf900-\ufaff\uff66-\uff9f"
    r"\U0001aff0-\U0001b16f\U00020000-\U0003134f"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_MOST_INDEXED = 0.99  # the index cannot be built for 1, at which no pair may be missed


class NearDuplicates:
    """Remember documents, about 3 KB each, and find the one that a new document repeats."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        # Compare a pair too many rather than one too few: the estimate decides about each.
        looked_at = min(threshold, _MOST_INDEXED)
        self._index = MinHashLSH(threshold=looked_at, num_perm=_HASHES, weights=(0.1, 0.9))
        self._sketches: list[MinHash] = []
        self._names: list[str] = []

    def find(self, name: str, text: str) -> tuple[str, float] | None:
        """Return the most similar earlier document that this one repeats, and the similarity.

        If there is none, this document is remembered, and None is returned.
        """
        sketch = MinHash(num_perm=_HASHES, seed=_SEED, scheme="affine32")
        found = [run.encode("utf-8", "surrogatepass") for run in runs(text)]
        for start in range(0, len(found), _BATCH):
            sketch.update_batch(found[start : start + _BATCH])
        alike = [(sketch.jaccard(self._sketches[n]), -n) for n in self._index.query(sketch)]
        similarity, place = max(alike, default=(0.0, 0))
        if similarity >= self._threshold:
            return self._names[-place], float(similarity)
        self._index.insert(len(self._names), sketch)
        self._sketches.append(sketch)
        self._names.append(name)
        return None


def runs(text: str) -> set[str]:
    """Return every run of five words in a text, or all of a shorter text."""
    words = text.split() if text.isascii() else _WORD.findall(text)
    return {" ".join(words[n : n + _RUN]) for n in range(max(1, len(words) - _RUN + 1))}
