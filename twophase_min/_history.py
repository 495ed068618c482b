"""What happened in a run: one row per iteration, the phases, the swaps; saved and loaded without pickle."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLUMNS = ("iteration", "nfev", "njev", "cost", "time", "fun", "grad_norm", "step")
"""Numeric columns; ``phase`` is the one of text."""
_ITERATION, _COST, _FUN = (COLUMNS.index(name) for name in ("iteration", "cost", "fun"))


class History:
    """The record of a run.

    Every column is an array over iterations, iteration 0 being x0, by attribute or by key:

    iteration
        Number of the iteration.
    nfev, njev, cost
        Values, gradients, and their sum, up to then; in evaluations of the whole objective.
    time
        Seconds since the start.
    fun, grad_norm
        Objective and Euclidean norm of its gradient.
    step
        Euclidean length of the step to this iterate, 0 for x0.
    phase
        Name of the phase which made it ('start' for x0).

    Attributes
    ----------
    swaps : list of dict
        One per handover between phases: iteration, evaluations, loss, norm, peak, to, reason.
    """

    def __init__(self) -> None:
        # a list while the run goes on; the array that a compiled run has written stays one: a list of lists
        # would cost a tenth of a run on a small problem
        self._rows: list[tuple[float, ...]] | NDArray[np.floating] = []
        self._phases: list[str] = []
        self.swaps: list[dict[str, Any]] = []

    @classmethod
    def of_rows(cls, rows: NDArray[np.floating], phases: list[str]) -> History:
        """Make a record of a run that is over: an array of shape (iterations, 8), and the phases."""
        history = cls()
        history._rows, history._phases = rows, phases
        return history

    def append(self, phase: str, row: tuple[float, ...]) -> None:
        """Add an iteration: its phase and the values in the order of `COLUMNS`."""
        assert isinstance(self._rows, list)  # the array is of a run that is over
        self._rows.append(row)
        self._phases.append(phase)

    def __len__(self) -> int:
        return len(self._phases)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name == "phase":
            return np.array(self._phases, dtype=str)
        if name not in COLUMNS:
            raise KeyError(name)
        column, kind = COLUMNS.index(name), int if name == "iteration" else float
        if isinstance(self._rows, list):
            return np.array([row[column] for row in self._rows], dtype=kind)
        return self._rows[:, column].astype(kind)

    def __getattr__(self, name: str) -> NDArray[Any]:
        if name == "phase" or name in COLUMNS:
            return self[name]
        raise AttributeError(f"History has no column {name!r}; it has {', '.join((*COLUMNS, 'phase'))}.")

    def keys(self) -> tuple[str, ...]:
        """Names of the columns."""
        return (*COLUMNS, "phase")

    @property
    def phases(self) -> list[dict[str, Any]]:
        """The run as stretches of one phase: name, first and last iteration, evaluations, loss reached."""
        stretches: list[dict[str, Any]] = []
        names, first = self._phases, 0
        for last, phase in enumerate(names):
            if last + 1 < len(names) and names[last + 1] == phase:
                continue
            if phase != "start":
                begin, end = self._rows[first], self._rows[last]
                stretches.append(
                    {
                        "name": phase,
                        "first": int(begin[_ITERATION]),
                        "last": int(end[_ITERATION]),
                        "evaluations": float(end[_COST]),
                        "fun": float(end[_FUN]),
                    }
                )
            first = last + 1
        return stretches

    def to_dict(self) -> dict[str, Any]:
        """Columns as arrays, and the swaps."""
        return {name: self[name] for name in self.keys()} | {"swaps": [dict(swap) for swap in self.swaps]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> History:
        """Rebuild from `to_dict`."""
        history = cls()
        columns = [np.asarray(data[name]).tolist() for name in COLUMNS]
        history._rows = list(zip(*columns, strict=True))
        history._phases = [str(name) for name in np.asarray(data["phase"]).tolist()]
        history.swaps = [dict(swap) for swap in data.get("swaps", [])]
        return history

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write NumPy's ``.npz`` format (no pickle) to exactly this path."""
        arrays = self.to_dict()
        arrays["swaps"] = np.array(json.dumps(arrays["swaps"]))
        with open(path, "wb") as file:  # given a name, savez would add its own suffix to it
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> History:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as data:
            return cls.from_dict({**data, "swaps": json.loads(str(data["swaps"]))})

    def to_frame(self) -> Any:
        """Return a pandas DataFrame: a row an iteration, a column for each of `keys`.

        Returns
        -------
        pandas.DataFrame
            ``attrs["swaps"]`` holds the handovers.

        Raises
        ------
        ImportError
            If pandas is missing.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "history.to_frame() needs pandas: pip install 'twophase_min[pandas]', or use to_csv()."
            ) from error
        frame = pandas.DataFrame({name: self[name] for name in self.keys()})
        frame.attrs["swaps"] = [dict(swap) for swap in self.swaps]
        return frame

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write comma-separated values: the names of the columns, then a row an iteration.

        Numbers have all their digits; one that is not known is ``nan``. The handovers are not written.
        """
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.keys())
            writer.writerows(self._plain_rows())

    def to_json_lines(self, path: str | os.PathLike[str]) -> None:
        """Write JSON lines: an object an iteration, with `keys` for its names.

        Numbers have all their digits; one that is not finite is ``null``, for JSON has no name for it. The
        handovers are not written.
        """
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            for row in self._plain_rows():
                known = [None if isinstance(v, float) and not math.isfinite(v) else v for v in row]
                file.write(json.dumps(dict(zip(self.keys(), known, strict=True))) + "\n")

    def _plain_rows(self) -> Iterator[tuple[Any, ...]]:
        """Rows of Python's own numbers and texts, in the order of `keys`."""
        return zip(*(self[name].tolist() for name in self.keys()), strict=True)

    def __repr__(self) -> str:
        return f"History({len(self)} rows, phases {[p['name'] for p in self.phases]})"
