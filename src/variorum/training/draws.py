"""Draw random numbers as a pure function of (seed, number of the draw).

What a training draws, it draws from here: batches from `philox`, all else, such as dropout, from
PyTorch's generator after `seed_torch`.
"""

import hashlib

import numpy as np
import torch


def philox(seed: int, number: int) -> np.random.Philox:
    """Return a generator of raw 64-bit numbers for one step, or one epoch.

    Philox (Salmon et al. 2011) is counter-based: its key is (seed, number), and its raw stream is
    part of NumPy's compatibility promise.
    """
    return np.random.Philox(key=np.array([seed, number], dtype=np.uint64))


def seed_torch(seed: int, step: int, shard: int, device: torch.device) -> None:
    """Set the seed of PyTorch's draws for a shard of a step, on any rank.

    The seed is 63 bits of a hash of all three.
    """
    digest = hashlib.sha256(f"{seed} {step} {shard}".encode()).digest()
    number = int.from_bytes(digest[:8], "little") >> 1
    if device.type == "cpu":
        torch.default_generator.manual_seed(number)  # the other way looks for every kind of GPU
    else:
        torch.manual_seed(number)
