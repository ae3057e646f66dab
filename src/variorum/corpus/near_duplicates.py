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
_BATCH = 4096  # runs that are sketched at once; each takes 256 numbers while it is
_MOST_INDEXED = 0.99  # at 1 no pair can be missed, and the index refuses to be made for that


class NearDuplicates:
    """Remembers documents, about 3 KB of each, and finds the one that a new one repeats."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        # Rather a pair too many than one too few: the estimate decides about each.
        looked_at = min(threshold, _MOST_INDEXED)
        self._index = MinHashLSH(threshold=looked_at, num_perm=_HASHES, weights=(0.1, 0.9))
        self._sketches: list[MinHash] = []
        self._names: list[str] = []

    def find(self, name: str, text: str) -> tuple[str, float] | None:
        """An earlier document that this one repeats, the likest of them, and how like it is.

        If there is none, this document is remembered.
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
    """Every run of five words in a text; all of it, if it has fewer."""
    words = text.split()
    return {" ".join(words[n : n + _RUN]) for n in range(max(1, len(words) - _RUN + 1))}
