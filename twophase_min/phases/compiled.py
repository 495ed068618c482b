"""One interface to every compiled convex phase: kernels that are chosen by the type of the state.

Each function here stands for the kernel of the same name in the module of the state's class. In compiled code
the choice is made when the caller is compiled, from the class of the named tuple; in plain Python it is made
at the call. One loop therefore works for every phase that is registered as compiled.

Such a phase's state is a named tuple whose ``vectors`` have the rows X, G, P, XT and, in scaled variables,
METRIC of `twophase_min.phases`, and whose ``slot`` holds a record with at least these members:

``f``, ``code``, ``mode``, ``reason``, ``precision``
    Value at the iterate, what is requested, SEARCHING or a mode of the phase's own, the place of a failure's
    text in the class's ``reasons``, and whether the decrease predicted is below the rounding of f.
``predicted``
    Decrease that a parabola with its minimum at the first trial of the search promises. Steps that keep
    nothing of it end the phase. 0 after a step that an edge of the domain has cut short.
``promise``
    The same of the last direction that was not steepest descent; inf if there was none. A run ends where it
    is below the noise of f.
``noise``
    Measured error of a value, 0 for none. It is entered before `start`, which keeps it; the phase may ask for
    it (NEED_NOISE) when a search finds no decrease.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from twophase_min.jit.compilation import by_type, jit, register
from twophase_min.phases import NEED_G, PHASES, SEARCHING


@by_type
def start(state, x, f, g, first_step):
    """Begin at an evaluated point, without pairs; ``first_step`` is a length in x, 0 for none. ITERATION."""


@by_type
def next_trial(state):
    """Choose a direction and place the first trial along it: NEED_F, or FAILED."""


@by_type
def tell(state, f, g):
    """Take what was asked for: NEED_F, NEED_G, NEED_NOISE, ITERATION or FAILED.

    That is a value, a gradient or, as f, the error of a value.
    """


@by_type
def add_pair(state, s, y):
    """Teach the phase a step and gradient difference from elsewhere; whether it was of use."""


@by_type
def use_sizes(state):
    """Take the sizes of x for those of the variables where the gradient supports it; whether it does."""


@by_type
def copy_state(source, target):
    """Make the target go on as the source would; both have the same shapes."""


KERNELS = (start, next_trial, tell, add_pair, use_sizes, copy_state)
"""What the module of a compiled phase has to define, with these names and arguments."""


@jit
def tell_both(state, f, g, known):
    """Take what was asked for, and a gradient that came with its value if it is requested next.

    Parameters
    ----------
    state : named tuple
        Of a compiled phase.
    f : float
        Value at the trial, or after NEED_NOISE the error of a value; not looked at after NEED_G.
    g : ndarray, shape (n,)
        Gradient there; not looked at after NEED_F unless ``known``.
    known : bool
        Whether ``g`` is the gradient at the trial.

    Returns
    -------
    int
        NEED_F, NEED_G, NEED_NOISE, ITERATION or FAILED.
    """
    phase = state.slot[0]
    mode = phase.mode
    code = NEED_G
    for turn in range(2):  # a loop, for the kernel to be compiled into it once
        if turn == 0 or (known and code == NEED_G and mode == SEARCHING and phase.mode == SEARCHING):
            code = tell(state, f, g)
    return code


EXAMPLES: dict[str, Callable[[type], tuple[Any, ...]]] = {
    "start": lambda kind: (np.zeros(1, kind), 0.0, np.zeros(1, kind), 0.0),
    "next_trial": lambda kind: (),
    "tell_both": lambda kind: (0.0, np.zeros(1, kind), True),
    "add_pair": lambda kind: (np.zeros(1, kind), np.zeros(1, kind)),
    "use_sizes": lambda kind: (),
}
"""Arguments behind the state of the kernels that are called from Python."""


def _example(phase: Any, name: str) -> Callable[[type], tuple[Any, ...]]:
    def example(kind: type) -> tuple[Any, ...]:
        one = phase.load()()
        one.allocate(1, kind, True)
        return (one.state, *EXAMPLES[name](kind))

    return example


def kernel_of(kind: type, name: str) -> Any:
    """Return the kernel of this name for states of a class."""
    return tell_both if name == "tell_both" else BY_NAME[name].kernel(kind)


BY_NAME = {stub.__name__: stub for stub in KERNELS}

_KINDS = {_phase.load().kind: _phase for _phase in PHASES.values() if _phase.compiled}
for _kind, _phase in _KINDS.items():
    for _name in EXAMPLES:
        register(kernel_of(_kind, _name), _example(_phase, _name))
