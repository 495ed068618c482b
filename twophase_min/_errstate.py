"""NumPy's floating-point errors: ignored in our arithmetic, as the user has set them in the user's code.

An overflow in the package's own arithmetic is looked for where it matters; under the user's
``np.errstate(all='raise')`` it must not end a run. In the user's functions it is the user's to see. Hence two
rules: what computes says so by `our_arithmetic`, and what calls the user calls by `users`. The state is that
of the calling thread (NumPy keeps it so), and neither touches the filters of the module ``warnings``, which
all threads share.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from contextlib import ContextDecorator
from typing import Any

import numpy as np


class _Thread(threading.local):
    theirs: dict[str, Any] | None = None
    """The user's state while the package computes, else None."""


_thread = _Thread()


class our_arithmetic(ContextDecorator):
    """A block, or a function, in which NumPy's floating-point errors are ignored, but for what `users` calls.

    Blocks may be nested, also by way of a user's function that starts a run of its own.
    """

    def __init__(self) -> None:
        self._state: np.errstate | None = None

    def _recreate_cm(self) -> our_arithmetic:
        return our_arithmetic()  # a call of the function each

    def __enter__(self) -> None:
        if _thread.theirs is None:
            theirs = dict(np.geterr())
            self._state = np.errstate(all="ignore")
            self._state.__enter__()
            _thread.theirs = theirs

    def __exit__(self, *raised: Any) -> None:
        if self._state is not None:
            _thread.theirs = None
            self._state.__exit__(*raised)


def users(call: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Call the user's function with NumPy's floating-point errors as the user has set them."""
    theirs = _thread.theirs
    if theirs is None:
        return call(*arguments, **keywords)
    _thread.theirs = None
    try:
        with np.errstate(**theirs):
            return call(*arguments, **keywords)
    finally:
        _thread.theirs = theirs


class Here:
    """A function for other threads, called there with what holds here: NumPy's state, context variables.

    Parameters
    ----------
    function : callable
        Of any arguments.
    """

    def __init__(self, function: Callable[..., Any]):
        self._function, self._context, self._state = function, contextvars.copy_context(), np.geterr()

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return self._context.copy().run(self._call, *arguments)

    def _call(self, *arguments: Any) -> Any:
        with np.errstate(**self._state):  # NumPy before 2.0 keeps it by thread
            return self._function(*arguments)
