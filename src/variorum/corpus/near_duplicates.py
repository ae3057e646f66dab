"""Near-duplicates: documents that have most of their five-word runs in common.

How alike two documents are is the Jaccard similarity of their sets of runs, estimated by MinHash
(Broder 1997); which pairs are looked at at all is decided by locality-sensitive hashing (Leskovec,
Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3). Both come from `datasketch`. With
256 hashes the estimate's standard error is at most 1/32.
"""

from datasketch import MinHash, MinHashLSH

_RUN = 5  # words
_HASHES = 256
_SEED = 1


class NearDuplicates:
    """Remembers documents, about 3 KB of each, and finds the one that a new one repeats."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        # Rather a pair too many than one too few: the estimate decides about each.
        self._index = MinHashLSH(threshold=threshold, num_perm=_HASHES, weights=(0.1, 0.9))
        self._sketches: list[MinHash] = []
        self._names: list[str] = []

    def find(self, name: str, text: str) -> tuple[str, float] | None:
        """An earlier document that this one repeats, the likest of them, and how like it is.

        If there is none, this document is remembered.
        """
        sketch = MinHash(num_perm=_HASHES, seed=_SEED, scheme="affine32")
        sketch.update_batch([run.encode("utf-8", "surrogatepass") for run in sorted(runs(text))])
        alike = [(sketch.jaccard(self._sketches[n]), -n) for n in self._index.query(sketch)]
        similarity, place = max(alike, default=(0.0, 0))
        if similarity >= self._threshold:
            return self._names[-place], float(similarity)
        self._index.insert(len(self._names), sketch)
        self._sketches.append(sketch)
        self._names.append(name)
        return None


def runs(text: str) -> set[str]:
    """Every run of five words in a text; all of it, if it has fewer."""
    words = text.split()
    return {" ".join(words[n : n + _RUN]) for n in range(max(1, len(words) - _RUN + 1))}
