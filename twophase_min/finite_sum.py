"""A loss that is a mean over data: mini-batches for the first phase, all data in chunks for the second."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twophase_min._mean import Mean
from twophase_min._ranks import Ranks, is_communicator
from twophase_min._shards import Piece, Shards, Whole, as_data
from twophase_min._spread import Spread
from twophase_min.objective import hessian

__all__ = ["FiniteSum", "Shards"]

Array = NDArray[np.floating]

BATCH = 128
"""Default mini-batch. Chosen among 64, 100, 128, 200, 256 and 512 (the paper's) on seeds 5 and 6 of the
Fashion-MNIST network of `benchmarks/training.py`: the loss at equal cost is lowest with 64 to 128; 64 take
longer."""
_ROWS_PER_CHUNK = 4096
"""Default chunk: large enough for matrix products at full speed, small enough to stay near the caches."""


class FiniteSum:
    """The mean over N samples of a loss, F(w) = 1/N Σ_i f(w, sample_i), evaluated by batch or over all data.

    Parameters
    ----------
    fun : callable
        ``fun(w, *batch)`` is the mean loss (a float) over the samples of a batch, or ``(mean, gradient)`` if
        ``jac`` is True. A term that does not depend on the samples, such as a penalty, may be part of it:
        batches are weighted by their size and the weights sum to one.
    data : array_like, tuple of array_like, or Shards
        One or more arrays with the same first dimension N.
        A batch holds the same rows of each. Arrays are kept as they are, without a copy, memory-mapped ones
        too; SciPy sparse matrices are converted to CSR. `Shards` are loaded one at a time.
    jac : callable, True, 'autograd' or None, default None
        ``jac(w, *batch)`` is the gradient of ``fun``, shape of w. True: ``fun`` returns both. None and
        'autograd': autograd differentiates ``fun``, which must be written with `autograd.numpy`.
    batch_size : int, default 128
        Samples in a mini-batch, >= 1. More than N means N. 512, the paper's, end higher at equal cost, and
        take less time where a network is so small that calls take longer than matrix products.
    chunk_size : int, optional
        Samples evaluated at a time when all data are requested; bounds the memory of ``fun``'s temporaries.
        Default: the larger of 4096 and ``batch_size``.
    seed : int, default 0
        Of the shuffling, >= 0.
    value : callable, optional
        ``value(w, *batch)`` is the mean loss alone, for a ``fun`` with ``jac=True`` whose loss is cheaper
        without the gradient.
    hessp : callable, optional
        ``hessp(w, v, *batch)`` is the Hessian of ``fun`` times v. With autograd it is made by autograd.
    workers : int, executor, pool, Dask client, joblib.Parallel, map-like callable or MPI.Comm, default 1
        What evaluates the chunks of all data side by side: so many threads or processes, -1 for every core;
        or what the tool at hand gives, which is left open. A callable, ``workers(task, pieces)``, returns or
        yields what ``task`` returned, in any order. The workers of a Dask client keep their chunks; other
        pools get the rows of a chunk with every call, or the name of a file, or what loads the shard. The
        processes of a communicator of mpi4py have their chunks and add them up by an allreduce: see `serve`.
        Mini-batches are evaluated by the caller, one after the other.
    backend : {'threads', 'processes'}, default 'threads'
        Threads share the data, and gain where ``fun`` releases the GIL, as matrix products do. Processes get
        ``fun`` and the data once, when they start; memory-mapped arrays and shards that are loaded go as a
        name. A process that dies is replaced, and its chunks are computed again.

    Attributes
    ----------
    n_samples : int
        N.
    n_batches : int
        Batches in an epoch, ceil(N / batch_size).
    batch_size, chunk_size, seed : int
        As given, clipped to N.
    data : tuple of ndarray, or Shards

    Raises
    ------
    ValueError
        No data, arrays of unequal lengths or without a first dimension, sizes < 1, a negative seed, an
        unknown ``jac`` or ``backend``, a bad number of workers, or threads with autograd, which keeps one
        trace a process.
    TypeError
        ``fun``, ``value`` or ``hessp`` is not callable, or a size or the seed is not an integer; from the
        methods, if autograd cannot trace ``fun``, or if it cannot be sent to a process.
    RuntimeError
        From the methods: worker processes die again and again; or, with a communicator, the process is not
        that of rank 0, or `serve` was not called.

    Notes
    -----
    Cost is counted in whole-data gradients: a batch of b samples costs b/N of one, an epoch costs one, and
    so does `gradient`; whoever calls does the counting. Nothing but the arguments is kept, and the methods
    change nothing, so several threads may share one object if ``fun`` allows it.

    Values over chunks are accumulated in float64; gradients too, and come back in the dtype in which
    ``fun`` or ``jac`` gave them. The result equals the mean over all samples to rounding, for any chunk; for
    one chunk size it has the same bits with any number and kind of workers, but for a communicator, whose
    processes add up what is theirs first.

    Examples
    --------
    >>> import numpy as np
    >>> from twophase_min import FiniteSum
    >>> X, y = np.random.default_rng(0).normal(size=(1000, 3)), np.arange(1000.0)
    >>> def fun(w, X, y):
    ...     r = X @ w - y
    ...     return r @ r / len(y), 2 * X.T @ r / len(y)
    >>> loss = FiniteSum(fun, (X, y), jac=True, batch_size=64)
    >>> loss.n_batches
    16
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        data: Any,
        *,
        jac: Callable[..., Any] | bool | str | None = None,
        batch_size: int = BATCH,
        chunk_size: int | None = None,
        seed: int = 0,
        value: Callable[..., Any] | None = None,
        hessp: Callable[..., Any] | None = None,
        workers: Any = 1,
        backend: str = "threads",
    ) -> None:
        for name, function in (("fun", fun), ("value", value), ("hessp", hessp)):
            if not callable(function) and (function is not None or name == "fun"):
                raise TypeError(f"{name} must be callable, got {function!r}")
        if not (jac is None or jac is True or jac == "autograd" or callable(jac)):
            raise ValueError(f"jac must be a callable, True, 'autograd' or None, got {jac!r}")
        self.fun, self.jac = fun, ("autograd" if jac is None else jac)
        self._source = as_data(data)
        self.data = self._source if isinstance(self._source, Shards) else self._source.arrays
        self.n_samples = self._source.n_samples
        self.batch_size = min(_integer("batch_size", batch_size, 1), self.n_samples)
        if chunk_size is None:
            chunk_size = max(_ROWS_PER_CHUNK, self.batch_size)
        self.chunk_size = min(_integer("chunk_size", chunk_size, 1), self.n_samples)
        self.seed = _integer("seed", seed, 0)
        self._value, self._hessp = value, hessp
        self._ranks = Ranks(workers) if is_communicator(workers) else None
        self._spread = Spread(1 if self._ranks else workers, backend)
        if self.jac == "autograd" and self._spread.by_threads:
            raise ValueError("autograd keeps one trace a process: use processes as workers, or pass jac")

    def alone(self, source: Whole | Shards | None = None) -> FiniteSum:
        """Return the same functions over all data, or a part, with the caller as the only worker.

        It is what is sent to the others.
        """
        one = copy.copy(self)
        one._ranks, one._spread = None, Spread(1, "threads")
        if source is not None:
            one.__setstate__({"_source": source})
        return one

    @property
    def source(self) -> Whole | Shards:
        """The data, as arrays or shards."""
        return self._source

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["data"]  # the source has it
        state["_ranks"] = None  # a communicator cannot travel
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.data = self._source if isinstance(self._source, Shards) else self._source.arrays

    def __repr__(self) -> str:
        return (
            f"FiniteSum({self.n_samples} samples, batch_size={self.batch_size}, "
            f"chunk_size={self.chunk_size}, seed={self.seed})"
        )

    # -- all data -----------------------------------------------------------------------------------------

    def __call__(self, w: ArrayLike) -> float:
        """Return the mean over all samples; the same as `value`."""
        return self.value(w)

    def value(self, w: ArrayLike) -> float:
        """Return the mean over all samples, a float."""
        return self._mean(_value_of, w).value

    def gradient(self, w: ArrayLike) -> Array:
        """Return the gradient over all samples, a new array of the shape of ``w``."""
        if not callable(self.jac):
            return self.value_and_gradient(w)[1]
        return self._mean(_gradient_of, w).vector()

    def value_and_gradient(self, w: ArrayLike) -> tuple[float, Array]:
        """Return both over all samples; charged as one whole-data value and one gradient."""
        mean = self._mean(_both_of, w)
        return mean.value, mean.vector()

    def serve(self) -> bool:
        """With a communicator of MPI as ``workers``, help the process of rank 0 until it calls `close`.

        All processes call it. Without a communicator it does nothing.

        Returns
        -------
        bool
            True, at once, in the process of rank 0, which is the one to run the method, and without a
            communicator; False in the others, after `close`.
        """
        return self._ranks is None or self._ranks.serve(self)

    def close(self) -> None:
        """End the worker processes or threads, if any were started; a later evaluation starts new ones.

        With a communicator, end `serve` in the other processes.
        """
        self._spread.close()
        if self._ranks is not None:
            self._ranks.close()

    @property
    def hessp(self) -> Callable[[ArrayLike, ArrayLike], Array] | None:
        """``hessp(w, v)``, the Hessian over all samples times ``v``; None where there is none."""
        if self._hessp is None and self.jac != "autograd":
            return None
        return self._whole_hessp

    # -- mini-batches -------------------------------------------------------------------------------------

    @property
    def n_batches(self) -> int:
        """Batches in an epoch, the last one (of each shard) possibly short."""
        return self._source.n_batches(self.batch_size)

    def batches(self, epoch: int) -> Iterator[NDArray[np.intp]]:
        """Yield the index arrays of one epoch: a random permutation of all samples, cut into batches.

        `Shards` are permuted, and the samples of each.

        It depends on (seed, epoch) alone, so that a run resumed at any epoch sees the batches that the
        uninterrupted run would have seen.

        Parameters
        ----------
        epoch : int
            Number of the epoch, >= 0.

        Yields
        ------
        ndarray of intp, shape (batch_size,)
            The last one holds what is left, at least one index.
        """
        epoch = _integer("epoch", epoch, 0)
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(epoch,)))
        return self._source.batches(rng, self.batch_size)

    def batch_value_and_gradient(self, w: ArrayLike, indices: NDArray[np.intp]) -> tuple[float, Array]:
        """Return mean and gradient over the samples of the given indices, at a cost of len(indices) / N."""
        w = np.asarray(w)
        f, g = self._batch_both(w, self._source.take(indices))
        return f, g.copy()  # fun may have handed out a buffer of its own

    # -- the user's functions -----------------------------------------------------------------------------

    def _mean(self, task: Callable[..., Any], w: ArrayLike, *vectors: NDArray[Any]) -> Mean:
        """Return the mean of what the task computes of all chunks, added in order."""
        w = np.asarray(w)
        if self._ranks is not None:
            return self._ranks.sum(self, task, w, *vectors)
        mean = Mean()
        pieces = list(self._source.pieces(self.chunk_size))
        for piece, result in zip(pieces, self._spread(self, task, pieces, w, *vectors), strict=True):
            mean.add((piece.stop - piece.start) / self.n_samples, result)
        return mean

    def _batch_value(self, w: NDArray[Any], batch: tuple[Any, ...]) -> float:
        if self._value is not None:
            return _scalar("value", self._value(w, *batch))
        if self.jac is True:
            return self._batch_both(w, batch)[0]
        return _scalar("fun", self.fun(w, *batch))

    def _batch_both(self, w: NDArray[Any], batch: tuple[Any, ...]) -> tuple[float, Array]:
        if callable(self.jac):
            return _scalar("fun", self.fun(w, *batch)), _vector("jac", self.jac(w, *batch), w)
        if self.jac == "autograd":
            f, g = self._by_autograd(_value_and_gradient, w, batch)
            g = _vector("the autograd gradient", g, w)
            # NumPy 1 gives float64 where autograd's scalars meet float32 arrays; there is no more in it
            if all(getattr(part, "dtype", None) == w.dtype for part in batch):
                g = g.astype(w.dtype, copy=False)
            return _scalar("fun", f), g
        both = self.fun(w, *batch)
        if not isinstance(both, (tuple, list)) or len(both) != 2:
            raise ValueError("with jac=True, fun must return the pair (mean, gradient)")
        return _scalar("fun", both[0]), _vector("the gradient of fun", both[1], w)

    def _by_autograd(
        self,
        differentiate: Callable[[Callable[..., Any], NDArray[Any]], Any],
        w: NDArray[Any],
        batch: tuple[Any, ...],
    ) -> Any:
        w = w if w.dtype.kind == "f" else w.astype(np.float64)
        try:
            return differentiate(lambda w: self.fun(w, *batch), w)
        except Exception as error:
            self.fun(w, *batch)  # where the function itself fails, that is the error to see
            raise TypeError(
                f"autograd cannot differentiate fun ({type(error).__name__}: {error}); write it with "
                "autograd.numpy instead of numpy, or pass its gradient as jac"
            ) from error

    def _whole_hessp(self, w: ArrayLike, v: ArrayLike) -> Array:
        w, v = np.asarray(w), np.asarray(v)
        if v.shape != w.shape:
            raise ValueError(f"v must have the shape of w, {w.shape}, got {v.shape}")
        return self._mean(_product_of, w, v).vector()

    def _batch_product(self, w: NDArray[Any], v: NDArray[Any], batch: tuple[Any, ...]) -> Array:
        if self._hessp is not None:
            product = self._hessp(w, v, *batch)
        else:
            product = self._by_autograd(lambda fun, w: hessian.by_autograd(fun, w)(v), w, batch)
        return _vector("hessp", product, w)


# What a worker computes of a piece: functions of a module, for processes. With several workers a result waits
# for its turn, and must not be a buffer of fun's.


def _value_of(total: FiniteSum, piece: Piece, w: NDArray[Any]) -> float:
    return total._batch_value(w, total._source.rows(piece))


def _gradient_of(total: FiniteSum, piece: Piece, w: NDArray[Any]) -> Array:
    assert callable(total.jac)
    return _vector("jac", total.jac(w, *total._source.rows(piece)), w).copy()


def _both_of(total: FiniteSum, piece: Piece, w: NDArray[Any]) -> tuple[float, Array]:
    f, g = total._batch_both(w, total._source.rows(piece))
    return f, g.copy()


def _product_of(total: FiniteSum, piece: Piece, w: NDArray[Any], v: NDArray[Any]) -> Array:
    return total._batch_product(w, v, total._source.rows(piece)).copy()


def _value_and_gradient(fun: Callable[..., Any], w: NDArray[Any]) -> Any:
    from twophase_min.objective.tracing import value_and_gradient

    return value_and_gradient(fun, w)


def _integer(name: str, value: Any, least: int) -> int:
    number = operator.index(value)
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return number


def _scalar(name: str, f: Any) -> float:
    if isinstance(f, (tuple, list)) and len(f) == 2:
        raise ValueError(f"{name} must return a scalar value; pass jac=True if it returns (mean, gradient)")
    if np.size(f) != 1:
        raise ValueError(f"{name} must return a scalar value, the mean over the batch")
    if np.iscomplexobj(f):
        raise ValueError(f"{name} must return a real value")
    return float(np.asarray(f).item())


def _vector(name: str, g: Any, w: NDArray[Any]) -> Array:
    g = np.asarray(g)
    if g.shape != w.shape:
        raise ValueError(f"{name} must return an array of the shape of w, {w.shape}, got {g.shape}")
    vector: Array = g if g.dtype.kind == "f" else g.astype(np.float64)
    return vector
