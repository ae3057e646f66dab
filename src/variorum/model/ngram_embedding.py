"""Embed n-grams by their hashes (Svenstrup et al. 2017; for n-grams Clark et al. 2022).

A small model needs its first layer to find out which tokens came just before; here that is looked
up. Tables begin at zero: an n-gram that training never showed adds nothing, unless it shares a row
with one that it did.

A table has many more rows than a batch has tokens. Its gradient names the rows that were looked up
and holds no others.
"""

import torch
from torch import Tensor, nn

MULTIPLIERS = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1)
"""Odd numbers that spread ids over the rows (of xxHash)."""

SCALE = 0.1
"""Of what is added: Adam moves a row that it seldom sees as far as one that it sees always, which
at full size would drown the tokens' own embeddings."""


def factor(back: int) -> int:
    """Return the odd number of 32 bits that multiplies the token so many places back.

    Each place has its own: equal tokens at two places with one factor would cancel in the XOR.
    """
    rounds, place = divmod(back, len(MULTIPLIERS))
    return MULTIPLIERS[place] * pow(MULTIPLIERS[0], rounds, 1 << 32) % (1 << 32)


class NgramEmbeddings(nn.Module):
    """Hold one table (rows, C) for each length of n-grams."""

    def __init__(self, lengths: tuple[int, ...], rows: int, width: int) -> None:
        super().__init__()
        self.lengths, self.rows = lengths, rows
        self.tables = nn.ModuleList(nn.Embedding(rows, width, sparse=True) for _ in lengths)

    def forward(self, ids: Tensor, n_new: int, numbers: Tensor | None = None) -> Tensor:
        """Sum the embeddings of the n-grams that end at the last `n_new` ids.

        ids: (B, S). Returns (B, n_new, C); a position with less than n tokens of the window up to
        it has no n-gram. With the documents' `numbers` (B, S), all n tokens must be of one
        document.
        """
        reach = n_new + max(self.lengths) - 1
        ids, numbers = ids[:, -reach:], None if numbers is None else numbers[:, -reach:]
        parts = [
            table(self._rows_of(ids, length)) * self._is_whole(ids, length, numbers)
            for length, table in zip(self.lengths, self.tables, strict=True)
        ]
        total = torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]
        y: Tensor = SCALE * total[:, ids.shape[1] - n_new :]
        return y

    def looked_up(self, ids: Tensor) -> list[Tensor]:
        """Return the rows that ids (B, S) look up in each table, each (B, S)."""
        return [self._rows_of(ids, length) for length in self.lengths]

    def _rows_of(self, ids: Tensor, length: int) -> Tensor:
        """Return the row of the n-gram that ends at each token (B, S)."""
        mixed = torch.zeros_like(ids)
        for back in range(min(length, ids.shape[1])):
            mixed[:, back:] ^= (ids[:, : ids.shape[1] - back] + 1) * factor(back)
        return (mixed ^ (mixed >> 15)) % self.rows

    @staticmethod
    def _is_whole(ids: Tensor, length: int, numbers: Tensor | None) -> Tensor:
        """Return 1 where n tokens of one document have been read, else 0.

        The shape is (S, 1) or (B, S, 1).
        """
        places = torch.arange(ids.shape[1], device=ids.device)
        whole = places >= length - 1  # (S,)
        if numbers is not None:
            whole = whole & (numbers == numbers.roll(length - 1, dims=1))  # (B, S)
        return whole.float()[..., None]
