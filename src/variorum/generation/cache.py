"""Cache what a model has computed of earlier tokens, so each new one costs one.

The keys and values of every layer lie in memory that is taken once, with room for a whole window.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from variorum.base.errors import VariorumError
from variorum.config.model_settings import ModelSettings


class Cache:
    """Hold keys and values of `batch_size` sequences of equal length, at first none.

    `keys` and `values` are (n_layer, B, H, capacity, D), of which the first `length` positions
    count.
    """

    def __init__(
        self,
        settings: ModelSettings,
        batch_size: int = 1,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> None:
        self.capacity = settings.context_length
        head_size = settings.n_embd // settings.n_head
        shape = (settings.n_layer, batch_size, settings.n_head, self.capacity, head_size)
        self._take(shape, dtype, device)
        self.ids = torch.zeros((batch_size, self.capacity), dtype=torch.int64, device=device)
        self.length = 0

    def _take(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device | None) -> None:
        """Take the memory of keys and values, each of this shape."""
        self.keys = torch.zeros(tuple(shape), dtype=dtype, device=device)
        self.values = torch.zeros(tuple(shape), dtype=dtype, device=device)

    def read(self, ids: Tensor) -> Tensor:
        """Append T new tokens (B, T); return all so far (B, S).

        Raises:
            VariorumError: if there is no room.
        """
        end = self._end_with(ids.shape[1])
        self.ids[:, self.length : end] = ids
        return self.ids[:, :end]

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append a layer's keys and values of T tokens; return all so far.

        New ones are (B, H, T, D), both results (B, H, S, D).

        Raises:
            VariorumError: if there is no room.
        """
        n_new = keys.shape[2]
        end = self._end_with(n_new)
        all_keys, all_values = self.keys[layer], self.values[layer]  # (B, H, capacity, D)
        all_keys.narrow(2, self.length, n_new).copy_(keys)
        all_values.narrow(2, self.length, n_new).copy_(values)
        return all_keys.narrow(2, 0, end), all_values.narrow(2, 0, end)

    def _end_with(self, n_new: int) -> int:
        """Return the number of tokens with the new ones; they must fit."""
        end = self.length + n_new
        if end > self.capacity:
            raise VariorumError(
                f"the cache holds {self.length} of at most {self.capacity} tokens, so {n_new} more "
                "do not fit; clear it and read the last part of the text again"
            )
        return end

    def advance(self, n_tokens: int) -> None:
        """Count new tokens, once every layer has them."""
        self.length += n_tokens

    def keep(self, rows: list[int]) -> None:
        """Continue with these of the sequences alone."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]
        self.ids = self.ids[rows]

    def clear(self) -> None:
        """Forget everything; the memory is used again."""
        self.length = 0
