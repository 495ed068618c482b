"""The state of a run in a file: a crash leaves the old file or the new one, never half of one."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def save_state(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write the state of a run to a file, in one piece.

    The file is written beside its place under another name (``<path>.<process id>.tmp``), flushed to the
    disk and then renamed: whoever reads ``path`` finds the file before or the file after, and so does a
    reader after a crash.

    Parameters
    ----------
    path : str or path-like
        Exactly this name; NumPy's ``.npz`` format whatever the suffix.
    state : mapping
        ``state`` of a result, or the result itself.

    Returns
    -------
    None

    Raises
    ------
    TypeError
        If the state is no mapping.
    ValueError
        If there is no state: the run ended before its first iterate, or it ran compiled or by a method of
        SciPy's, which keep none.
    OSError
        If the file cannot be written; an earlier one is as it was.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"state is {type(state).__name__}; the path comes first: save_state(path, result).")
    if "notes" not in state:
        state = state.get("state") or {}
    if "notes" not in state:
        raise ValueError(
            "There is no state to save: the run ended before its first iterate, or keeps none "
            "(engine='numba', methods of SciPy's by name)."
        )
    place = os.fspath(path)
    draft = f"{place}.{os.getpid()}.tmp"
    try:
        with open(draft, "wb") as file:
            np.savez(file, **state)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


def load_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `save_state` or ``options={'checkpoint': path}`` wrote; no pickle is involved.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    dict of ndarray
        For ``options={'resume': state}``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no state of a run, or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            state = {name: data[name] for name in data.files}
    except (ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise ValueError(
            f"{os.fspath(path)} is not a state that save_state or a checkpoint wrote."
        ) from error
    if "notes" not in state:
        raise ValueError(f"{os.fspath(path)} holds arrays, but not the state of a run.")
    return state


class Checkpoint:
    """Writes the state of a running run whenever so many seconds have passed.

    Parameters
    ----------
    path : str or path-like
        The file.
    every : float
        Seconds between the end of one writing and the next; 0 writes before every evaluation.
    pack : callable
        Returns the state as it is now; an empty mapping is not written.

    Raises
    ------
    ValueError
        If the folder of ``path`` does not exist or cannot be written to: better now than in an hour.
    """

    def __init__(
        self, path: str | os.PathLike[str], every: float, pack: Callable[[], Mapping[str, Any]]
    ) -> None:
        folder = os.path.dirname(os.path.abspath(os.fspath(path)))
        if not os.access(folder, os.W_OK) or os.path.isdir(path):
            raise ValueError(
                f"option 'checkpoint' is {os.fspath(path)!r}; it must name a file in a folder that exists "
                "and can be written to."
            )
        self.path, self.every, self.pack = path, every, pack
        self.due = time.monotonic() + every

    def __call__(self) -> None:
        """Write if it is time; called before an evaluation, when all that the run knows is in its state."""
        if time.monotonic() >= self.due:
            state = self.pack()
            if state:
                self.write(state)
            self.due = time.monotonic() + self.every

    def write(self, state: Mapping[str, Any]) -> None:
        """Write a state; a disk that is full must not end the run, the next time may do."""
        try:
            save_state(self.path, state)
        except OSError as error:
            warnings.warn(
                f"No checkpoint was written: {error}. The run goes on.", RuntimeWarning, stacklevel=2
            )
