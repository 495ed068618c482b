"""The data of a `FiniteSum`: arrays in memory or in files, or shards that are loaded one at a time."""

from __future__ import annotations

import mmap
import threading
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]


class Piece(NamedTuple):
    """Neighbouring samples of one shard, which are evaluated together."""

    shard: int
    start: int
    stop: int


_loaded: dict[str, threading.local] = {}
"""The shard that each thread has loaded last, by the `Shards` that it is of: copies in a process share it."""


class Shards:
    """Data in shards, for a `FiniteSum` over more than fits into memory.

    Parameters
    ----------
    parts : iterable
        One item a shard: an array or a tuple of arrays with the same first dimension; or a function without
        arguments that loads and returns that, such as ``functools.partial(numpy.load, name)``. It is read
        once into a list; a shard that a function loads is loaded anew in every pass, and one shard a thread
        is kept at a time.
    lengths : sequence of int, optional
        Samples of each shard, >= 1. Default: each is loaded once to see.

    Attributes
    ----------
    lengths : list of int
    n_samples : int

    Raises
    ------
    ValueError
        No shards, an empty one, unequal first dimensions, or a shard without the samples that ``lengths``
        promises (when it is loaded).
    TypeError
        Shards that differ in the number of their arrays.

    Notes
    -----
    An epoch takes the shards in random order, and the rows of each in random order: a mini-batch holds rows
    of one shard. Shards that are sorted by their targets therefore train badly; shuffle the rows before they
    are cut into shards.

    Examples
    --------
    >>> import numpy as np
    >>> from twophase_min.finite_sum import FiniteSum, Shards
    >>> shards = Shards((np.full((50, 2), k), np.arange(50.0)) for k in range(4))
    >>> FiniteSum(lambda w, X, y: ((X @ w - y) ** 2).mean(), shards, batch_size=20).n_batches
    12
    """

    def __init__(self, parts: Iterable[Any], lengths: Iterable[int] | None = None) -> None:
        self._parts = [part if callable(part) else _arrays(part) for part in parts]
        if not self._parts:
            raise ValueError("there are no shards")
        self._name = uuid.uuid4().hex
        self._last = threading.local()
        self._arrays_each: int | None = None
        if lengths is None:
            self.lengths = [self._load(k)[0].shape[0] for k in range(len(self._parts))]
        else:
            self.lengths = [int(length) for length in lengths]
            if len(self.lengths) != len(self._parts):
                raise ValueError(f"lengths names {len(self.lengths)} shards, there are {len(self._parts)}")
        if min(self.lengths) < 1:
            raise ValueError("every shard needs at least one sample")
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self.n_samples = int(self._starts[-1])

    def __repr__(self) -> str:
        return f"Shards({len(self._parts)} shards, {self.n_samples} samples)"

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_last"]
        state["_parts"] = [part if callable(part) else tuple(map(to_send, part)) for part in self._parts]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._parts = [part if callable(part) else tuple(map(received, part)) for part in self._parts]
        if self._name not in _loaded:
            _loaded.clear()  # shards of sums that are no longer in use
        self._last = _loaded.setdefault(self._name, threading.local())

    def n_batches(self, batch_size: int) -> int:
        """Return the mini-batches of an epoch; the last one of a shard may be short."""
        return sum(-(-length // batch_size) for length in self.lengths)

    def batches(self, rng: np.random.Generator, batch_size: int) -> Iterator[Indices]:
        """Yield the index arrays of an epoch."""
        order = rng.permutation(len(self.lengths))
        seeds = rng.integers(np.iinfo(np.int64).max, size=len(order))
        for shard, seed in zip(order, seeds, strict=True):
            rows = self._starts[shard] + np.random.default_rng(seed).permutation(self.lengths[shard])
            yield from (rows[i : i + batch_size] for i in range(0, len(rows), batch_size))

    def take(self, indices: Indices) -> tuple[Any, ...]:
        """Return the samples of a mini-batch, which lie in one shard."""
        shard = int(np.searchsorted(self._starts, indices[0], side="right")) - 1
        rows = indices - self._starts[shard]
        if rows.min() < 0 or rows.max() >= self.lengths[shard]:
            raise ValueError("the indices of a mini-batch must lie in one shard, as those of batches() do")
        return tuple(take(array, rows) for array in self._load(shard))

    def pieces(self, size: int) -> Iterator[Piece]:
        """Cut all samples into pieces of so many at most, in order."""
        for shard, length in enumerate(self.lengths):
            yield from (Piece(shard, i, min(i + size, length)) for i in range(0, length, size))

    def rows(self, piece: Piece) -> tuple[Any, ...]:
        """Return the samples of a piece; views where the shard allows it."""
        return tuple(array[piece.start : piece.stop] for array in self._load(piece.shard))

    def part(self, piece: Piece) -> tuple[Whole | Shards, Piece]:
        """Return what has to travel for this piece, and the piece in that: its rows, or what loads them."""
        if not callable(self._parts[piece.shard]):
            return Whole(self.rows(piece)), Piece(0, 0, piece.stop - piece.start)
        one = Shards.__new__(Shards)
        one.__setstate__(self.__dict__ | {"_parts": [part if callable(part) else () for part in self._parts]})
        return one, piece

    def held(self, piece: Piece) -> Piece:
        """Return what a worker that keeps its data keeps for this piece: a shard that is loaded, whole."""
        loaded = callable(self._parts[piece.shard])
        return Piece(piece.shard, 0, self.lengths[piece.shard]) if loaded else piece

    def _load(self, shard: int) -> tuple[Any, ...]:
        part = self._parts[shard]
        if not callable(part):
            return self._checked(shard, part)
        if getattr(self._last, "shard", None) != shard:
            self._last.shard, self._last.arrays = None, ()  # two at a time might be too many
            self._last.arrays = self._checked(shard, _arrays(part()))
            self._last.shard = shard
        arrays: tuple[Any, ...] = self._last.arrays
        return arrays

    def _checked(self, shard: int, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        if self._arrays_each is None:
            self._arrays_each = len(arrays)
        if len(arrays) != self._arrays_each:
            raise TypeError(
                f"shard {shard} holds {len(arrays)} arrays, others hold {self._arrays_each}; give all as many"
            )
        lengths = getattr(self, "lengths", None)
        if lengths is not None and arrays[0].shape[0] != lengths[shard]:
            raise ValueError(
                f"shard {shard} has {arrays[0].shape[0]} samples, expected {lengths[shard]}; a shard must be "
                "the same whenever it is loaded"
            )
        return arrays


class Whole:
    """Arrays with the same first dimension, shuffled as a whole. See `Shards` for the methods."""

    def __init__(self, arrays: tuple[Any, ...]) -> None:
        self.arrays = arrays
        self.n_samples: int = arrays[0].shape[0]
        if self.n_samples == 0:
            raise ValueError("data holds no samples")

    def __getstate__(self) -> dict[str, Any]:
        return {"arrays": tuple(map(to_send, self.arrays)), "n_samples": self.n_samples}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.arrays, self.n_samples = tuple(map(received, state["arrays"])), state["n_samples"]

    def n_batches(self, batch_size: int) -> int:
        """Return ceil(N / batch_size)."""
        return -(-self.n_samples // batch_size)

    def batches(self, rng: np.random.Generator, batch_size: int) -> Iterator[Indices]:
        """Return the index arrays of an epoch."""
        order = rng.permutation(self.n_samples)
        return (order[i : i + batch_size] for i in range(0, self.n_samples, batch_size))

    def take(self, indices: Indices) -> tuple[Any, ...]:
        """Return the samples of the given indices."""
        return tuple(take(array, indices) for array in self.arrays)

    def pieces(self, size: int) -> Iterator[Piece]:
        """Cut all samples into pieces."""
        for start in range(0, self.n_samples, size):
            yield Piece(0, start, min(start + size, self.n_samples))

    def rows(self, piece: Piece) -> tuple[Any, ...]:
        """Return views of the samples of a piece."""
        return tuple(array[piece.start : piece.stop] for array in self.arrays)

    def part(self, piece: Piece) -> tuple[Whole, Piece]:
        """Return the rows of a piece, and the piece in that."""
        return Whole(self.rows(piece)), Piece(0, 0, piece.stop - piece.start)

    def held(self, piece: Piece) -> Piece:
        """Return the piece itself."""
        return piece


def _arrays(part: Any) -> tuple[Any, ...]:
    """Return the arrays of a shard, or of data as a whole, with equal first dimensions."""
    arrays = tuple(rows_of(a) for a in (part if isinstance(part, tuple) else (part,)))
    if not arrays:
        raise ValueError("data holds no arrays")
    lengths = [a.shape[0] for a in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(f"the arrays of data must have the same first dimension, got {lengths}")
    return arrays


def as_data(data: Any) -> Whole | Shards:
    """Return what `FiniteSum` is given as one of the two."""
    return data if isinstance(data, Shards) else Whole(_arrays(data))


def rows_of(a: Any) -> Any:
    """Return an array whose first dimension can be sliced and indexed."""
    if hasattr(a, "tocsr"):
        return a.tocsr()
    try:
        array = np.asarray(a)
    except ValueError as error:
        raise ValueError("data must be an array or a tuple of arrays (not a list of arrays)") from error
    if array.ndim == 0:
        raise ValueError("every array of data needs a first dimension, the samples")
    return array


def take(a: Any, indices: Indices) -> Any:
    """Return the rows of the given indices."""
    return a.take(indices, axis=0) if isinstance(a, np.ndarray) else a[indices]


# -- arrays in files travel by their name -------------------------------------------------------------------


class Mapped(NamedTuple):
    """Where a memory-mapped array lies."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int

    def open(self) -> NDArray[Any]:
        """Map it, read-only."""
        return np.asarray(np.memmap(self.name, self.dtype, "r", self.offset, self.shape))


def to_send(array: Any) -> Any:
    """Return a reference to a memory-mapped array instead of its content; anything else as it is."""
    source: Any = array
    while isinstance(source, np.ndarray) and not isinstance(source, np.memmap):
        source = source.base
    contiguous = isinstance(array, np.ndarray) and array.flags.c_contiguous
    if not (contiguous and isinstance(source, np.memmap) and source.filename) or source.mode == "c":
        return array  # 'c' keeps changes of its own in memory
    mapping: Any = source._mmap  # type: ignore[attr-defined]
    begin = np.frombuffer(mapping, np.uint8).ctypes.data
    start = source.offset - source.offset % mmap.ALLOCATIONGRANULARITY
    offset = start + array.ctypes.data - begin
    return Mapped(str(Path(source.filename).resolve()), array.dtype, array.shape, offset)


def received(item: Any) -> Any:
    """Return the array of a reference."""
    return item.open() if isinstance(item, Mapped) else item
