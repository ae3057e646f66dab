"""Let NumPy multiply matrices with one thread, as PyTorch does while text is computed.

More threads wait for each other on a busy machine, and may round otherwise. NumPy has no function
for that, but the OpenBLAS that its packages bring has. Where there is none, the variables decide
that `machine.use_one_thread` sets.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

GET, SET = "scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"


@contextmanager
def one_thread() -> Iterator[None]:
    """Let NumPy compute with one thread while a block runs."""
    found = _threads()
    before = 1 if found is None else found[0]()
    if found is None or before == 1:
        yield
        return
    found[1](1)
    try:
        yield
    finally:
        found[1](before)


@cache
def _threads() -> tuple[Callable[[], int], Callable[[int], object]] | None:
    """Return the functions that read and set the number of threads."""
    folder = Path(np.__file__).parents[1] / "numpy.libs"
    for file in sorted(folder.glob("libscipy_openblas*")):
        library = ctypes.CDLL(str(file))
        if hasattr(library, GET) and hasattr(library, SET):
            return library[GET], library[SET]
    return None
