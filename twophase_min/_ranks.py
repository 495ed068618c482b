"""One evaluation over the processes of an MPI communicator: each adds up its share, an allreduce the shares.

All processes run the same script and make the same sum. The one of rank 0 leads: it runs the method. The
others serve, which is to wait for a point, evaluate their pieces there, and take part in the allreduce.
"""

from __future__ import annotations

import atexit
import pickle
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min._mean import Mean
from twophase_min._spread import Sent

LEADER = 0


def is_communicator(workers: Any) -> bool:
    """Whether it is a communicator of MPI."""
    return hasattr(workers, "Allreduce")


class Ranks:
    """The processes of a communicator.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
        Or what has its ``Get_rank``, ``Get_size``, ``bcast``, ``Allreduce`` and ``gather``.
    """

    def __init__(self, comm: Any) -> None:
        self._comm = comm
        self.leads: bool = comm.Get_rank() == LEADER
        self._open = False

    def own(self, source: Any, pieces: Iterable[Any]) -> list[Any]:
        """Return the pieces of this process: neighbours, and of a shard that is loaded all.

        The leader has some wherever there are any.
        """
        pieces = list(pieces)
        rank, size = self._comm.Get_rank(), self._comm.Get_size()
        wholes = list(dict.fromkeys(map(source.held, pieces)))
        mine = {whole for k, whole in enumerate(wholes) if k * size // len(wholes) == rank}
        return [piece for piece in pieces if source.held(piece) in mine]

    def serve(self, owner: Any) -> bool:
        """Return True at once where this process leads; else evaluate until `close`, and return False."""
        if self.leads:
            if not self._open:
                self._open = True
                atexit.register(self.close)  # an error that ends the leader must not leave the others waiting
            return True
        while (sent := self._comm.bcast(None, root=LEADER)) is not None:
            self._added(owner, sent)
        return False

    def sum(self, owner: Any, task: Callable[..., Any], w: NDArray[Any], *vectors: NDArray[Any]) -> Mean:
        """Return the mean of ``task(owner, piece, w, *vectors)`` over all pieces, by their samples.

        Raises
        ------
        RuntimeError
            Where this process does not lead, or the others do not serve.
        Exception
            What the function has raised in any of them.
        """
        if not self.leads:
            raise RuntimeError(
                "the process of rank 0 evaluates, with the help of the others: put what evaluates the sum "
                "under `if total.serve():`"
            )
        if not self._open:
            raise RuntimeError(
                "the other processes do not serve: call serve() of the sum in all of them first"
            )
        sent = Sent(task, (w, *vectors))
        self._comm.bcast(sent, root=LEADER)
        mean, error = self._added(owner, sent)
        if error is not None:
            raise error
        return mean

    def close(self) -> None:
        """Let the others go on with their scripts."""
        if self._open:
            self._open = False
            atexit.unregister(self.close)
            self._comm.bcast(None, root=LEADER)

    def _added(self, owner: Any, sent: Sent) -> tuple[Mean, BaseException | None]:
        """Add this process' share to those of the others; all of them call this at a time."""
        error: BaseException | None = None
        mean = Mean()
        try:
            for piece in self.own(owner.source, owner.source.pieces(owner.chunk_size)):
                mean.add((piece.stop - piece.start) / owner.n_samples, sent.of(owner, piece))
        except BaseException as raised:  # the others wait for this process, whatever has happened
            error = raised
        share = np.zeros(2 + sent.common[0].size)  # failures, the value, the vector
        share[0] = error is not None
        if error is None:
            mean.write(share[1:])
        total = np.empty_like(share)
        self._comm.Allreduce(share, total)
        if total[0] > 0:
            errors = self._comm.gather(_sendable(error), root=LEADER)
            return mean, error or next((e for e in errors or () if e is not None), None)
        mean.read(total[1:])
        return mean, None


def _sendable(error: BaseException | None) -> BaseException | None:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever an exception of the user's own does
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
