"""Read and write flat token files, which encode makes and training reads.

`<name>.bin` is the tokens of all documents one after the other, headerless and little-endian,
16 bits each (32 for a vocabulary beyond 65,536): nanoGPT's format. Every document is followed by
the end-of-text token. Beside it:

- `<name>.idx.npy`: one row of three int64 per document: where it starts (in tokens), its tokens
  (with the end-of-text token), and the bytes of its text in UTF-8;
- `<name>.ids.jsonl`: the id of each document, one JSON string a line.

Both files of numbers are memory-mapped, so opening costs the same for any size.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from variorum.base.errors import VariorumError

_UINT16_VOCAB = 1 << 16
_COLUMNS = 3  # start, tokens, bytes


@dataclass(frozen=True)
class Summary:
    """Count what was written: documents, tokens (one end-of-text each), bytes of text."""

    documents: int
    tokens: int
    n_bytes: int


@dataclass(frozen=True, eq=False)
class TokenFile:
    """Hold an opened token file of D documents and N tokens.

    `tokens`: (N,) uint16 or uint32; `starts`, `n_tokens`, `n_bytes`: (D,) int64. All are
    read-only views of files. `len()` is D.
    """

    folder: Path
    name: str
    tokens: npt.NDArray[Any]
    starts: npt.NDArray[np.int64]
    n_tokens: npt.NDArray[np.int64]
    n_bytes: npt.NDArray[np.int64]

    @classmethod
    def open(cls, folder: Path, name: str) -> "TokenFile":
        """Map `<name>.bin` and its index in `folder`, whatever their size.

        Raises `VariorumError` when one is absent or their sizes do not fit each other.
        """
        data, index_file = folder / f"{name}.bin", folder / f"{name}.idx.npy"
        index = _load_index(index_file)  # (D, 3)
        n_tokens = int(index[-1, 0] + index[-1, 1]) if len(index) else 0
        tokens = _map_tokens(data, n_tokens, index_file)  # (N,)
        return cls(folder, name, tokens, index[:, 0], index[:, 1], index[:, 2])

    def __len__(self) -> int:
        return len(self.starts)

    def document(self, number: int) -> npt.NDArray[Any]:
        """Return the tokens of one document, without the end-of-text token after it."""
        start = self.starts[number]
        return self.tokens[start : start + self.n_tokens[number] - 1]

    def ids(self) -> Iterator[str]:
        """Yield the ids of the documents, in their order."""
        with (self.folder / f"{self.name}.ids.jsonl").open("rb") as file:
            yield from map(json.loads, file)


def dtype_for(vocab_size: int) -> np.dtype[Any]:
    """Return the smaller of the two types that hold every token of a vocabulary."""
    return np.dtype("<u2" if vocab_size <= _UINT16_VOCAB else "<u4")


@dataclass(frozen=True, eq=False)
class Encoded:
    """Hold the tokens of some documents, or of a part of one.

    `tokens`: (N,) of the file's type, the end-of-text token after each document that ends.
    `documents`: of each the id, its tokens (with the end-of-text token), and the bytes of its
    text. `is_last`: whether the last document ends.
    """

    tokens: npt.NDArray[Any]
    documents: Sequence[tuple[str, int, int]]
    is_last: bool = True


def write(folder: Path, name: str, encoded: Iterable[Encoded]) -> Summary:
    """Write documents; of one that did not end, the next part follows."""
    n_documents = n_tokens = total_bytes = 0
    begun = (0, 0)  # tokens and bytes of a document that has not ended
    with (
        (folder / f"{name}.bin").open("wb") as data,
        (folder / f"{name}.idx.npy").open("wb") as index,
        (folder / f"{name}.ids.jsonl").open("w", encoding="ascii", newline="\n") as ids,
    ):
        _write_index_header(index, 0)
        for part in encoded:
            data.write(part.tokens.data)
            for number, (identity, tokens, n_bytes) in enumerate(part.documents, start=1):
                tokens, n_bytes = begun[0] + tokens, begun[1] + n_bytes
                if number == len(part.documents) and not part.is_last:
                    begun = tokens, n_bytes
                    break
                begun = 0, 0
                index.write(np.array([n_tokens, tokens, n_bytes], dtype="<i8").tobytes())
                ids.write(json.dumps(identity) + "\n")
                n_documents += 1
                n_tokens += tokens
                total_bytes += n_bytes
        # NumPy pads its header so that the number of rows can grow in place.
        index.seek(0)
        _write_index_header(index, n_documents)
    return Summary(n_documents, n_tokens, total_bytes)


def _write_index_header(file: BinaryIO, rows: int) -> None:
    header = {"descr": "<i8", "fortran_order": False, "shape": (rows, _COLUMNS)}
    np.lib.format.write_array_header_1_0(file, header)


def _load_index(file: Path) -> npt.NDArray[np.int64]:
    """Return the rows of an index file. Shape (D, 3)."""
    try:
        index: npt.NDArray[np.int64] = np.load(file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise VariorumError(f"{file} is missing; encode again.") from None
    except (ValueError, OSError, EOFError) as problem:
        raise VariorumError(f"{file} is no complete index ({problem}); encode again.") from None
    if index.ndim != 2 or index.shape[1] != _COLUMNS or index.dtype != np.dtype("<i8"):
        raise VariorumError(
            f"{file} holds {index.dtype} of shape {index.shape}, expected int64 of shape "
            f"(documents, {_COLUMNS}); encode again."
        )
    return index


def _map_tokens(file: Path, n_tokens: int, index_file: Path) -> npt.NDArray[Any]:
    """Map a file of `n_tokens` tokens, whose size gives their type. Shape (N,)."""
    if not file.exists():
        raise VariorumError(f"{file} is missing; encode again.")
    size = file.stat().st_size
    types = {n_tokens * np.dtype(name).itemsize: np.dtype(name) for name in ("<u4", "<u2")}
    if size not in types:
        raise VariorumError(
            f"{file} has {size} bytes, but {index_file.name} counts {n_tokens} tokens, which take "
            f"{2 * n_tokens} or {4 * n_tokens}; encode again."
        )
    if not n_tokens:  # an empty file cannot be mapped
        return np.empty(0, dtype=types[size])
    return np.memmap(file, dtype=types[size], mode="r")
