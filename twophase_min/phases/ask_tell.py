"""What the phases that run by ask and tell share: the protocol of `twophase_min.phases` over a flat state.

A state is a named tuple of arrays and of one slot (`jit.records`), whose record has ``f``, ``code`` and
``reason``; rows X, G and XT of its vectors are iterate, gradient and trial.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from twophase_min.jit.compilation import prepare
from twophase_min.jit.records import Record
from twophase_min.phases import FAILED, FREE, ITERATION, LOWER, METRIC, NEED_G, UPPER, XT, G, P, X

Array = NDArray[np.floating]


class AskTell:
    """A phase over a flat state.

    Attributes
    ----------
    name : str
        Of the phase.
    record : Record
        Declaration of the state's scalars.
    kind : type
        Class of the state.
    reasons : tuple of str
        Texts of the reason codes.
    trial_row : int
        Row of the trial in the state's vectors.
    """

    name: ClassVar[str] = ""
    record: ClassVar[Record]
    kind: ClassVar[Any]
    reasons: ClassVar[tuple[str, ...]] = ("",)
    trial_row: ClassVar[int] = XT

    @property
    def state(self) -> Any:
        """The arrays."""
        return self._state

    @state.setter
    def state(self, state: Any) -> None:
        self._state = state
        self.view = self.record.view(state.slot)

    @property
    def need(self) -> int:
        """What `tell` expects for the point of `ask`; ITERATION where `next` is due; or FAILED."""
        return int(self.view.code)

    @property
    def trial(self) -> Array:
        """Where to evaluate, shape (n,): the state itself, not to be changed."""
        trial: Array = self._state.vectors[self.trial_row]
        return trial

    def iterate(self) -> tuple[Array, float, Array]:
        """Return the current iterate with its value and gradient: the state itself, until the next call."""
        return self._state.vectors[X], self.f, self._state.vectors[G]

    @property
    def x(self) -> Array:
        """Current iterate, a copy."""
        x: Array = self._state.vectors[X].copy()
        return x

    @property
    def f(self) -> float:
        """Value at the iterate."""
        return float(self.view.f)

    @property
    def g(self) -> Array:
        """Gradient at the iterate, a copy."""
        g: Array = self._state.vectors[G].copy()
        return g

    @property
    def reason(self) -> str:
        """Why the phase failed, empty while it has not."""
        return self.reasons[int(self.view.reason)]

    def _saved(self, copied: bool, without: tuple[str, ...] = ()) -> dict[str, Array]:
        arrays = {name: value for name, value in self._state._asdict().items() if name not in without}
        arrays["slot"] = self.record.array(arrays["slot"])
        return {name: value.copy() if copied else value for name, value in arrays.items()}

    def get_state(self, copied: bool = True) -> dict[str, Array]:
        """Everything that the rest of the run depends on; not copied where the phase has ended."""
        return self._saved(copied)

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from `get_state`, bit for bit."""
        arrays = {name: np.array(state[name]) for name in self.kind._fields if name != "slot"}
        self.state = self.kind(**arrays, slot=self.record.load(state["slot"]))


def metric_named(precondition: str | None) -> str | None:
    """Return the option 'precondition' of a convex phase.

    Raises
    ------
    ValueError
        It is neither 'auto' nor None.
    """
    if precondition not in ("auto", None):
        raise ValueError("precondition must be 'auto' or None; hand a diagonal to start() otherwise")
    return precondition


def wolfe_constants(c1: float, c2: float | None, default: float) -> tuple[float, float]:
    """Return the constants of decrease and curvature of a line search; None for c2 stands for the default.

    Raises
    ------
    ValueError
        Not 0 < c1 < 1/2 and c1 < c2 < 1: no step need satisfy both conditions then.
    """
    first, second = float(c1), default if c2 is None else float(c2)
    if not 0 < first < min(0.5, second) or not second < 1:
        raise ValueError("the Wolfe constants must satisfy 0 < c1 < 1/2 and c1 < c2 < 1")
    return first, second


class ConvexPhase(AskTell):
    """A convex phase over the kernels that `phases.compiled` names, found in the module of its state's class.

    A subclass allocates the state. Whether the variables can be scaled shows in the rows of its vectors.

    Attributes
    ----------
    need : int
        NEED_F or NEED_G: what `tell` expects for the point of `ask`; NEED_NOISE; or FAILED.
    noise : float
        Measured error of a value that `start` takes for granted, unit f.
    apart : bool
        Whether the gradients will be differences, with which values do not agree exactly.
    box : tuple of ndarray, optional
        Lower and upper limits that it keeps to, shape (n,) each; entered before `start`.
    x, f, g : ndarray, float, ndarray
        Current iterate (copies).
    reason : str
        Why the phase failed.
    caution : str
        What could not be done as the options ask; empty if nothing.
    """

    precondition: str | None = None
    noise: float = 0.0
    apart: bool = False
    caution: str = ""
    box: tuple[Array, Array] | None = None

    def enter_box(self) -> None:
        """Write the limits into a state that has just been allocated."""
        vectors = self._state.vectors
        if self.box is not None and vectors.shape[1] == self.box[0].size:
            vectors[LOWER], vectors[UPPER] = self.box
            vectors[FREE] = 1

    @property
    def keeps_pairs(self) -> bool:
        """Whether pairs from elsewhere are of use."""
        return False

    @property
    def scaled(self) -> bool:
        """Whether there is a change of variables, or place for one."""
        scaled: bool = self._state.vectors.shape[0] > METRIC
        return scaled

    def check(self, n: int) -> None:
        """Raise a ValueError if n variables do not fit the options."""
        return

    def of_result(self) -> dict[str, Any]:
        """Fields of the result of a run that this phase has ended."""
        return {}

    def allocate(self, n: int, dtype: Any, scaled: bool) -> None:
        """Make a state for n variables, with place for a change of variables or without."""
        raise NotImplementedError

    def start(
        self,
        x: Array,
        f: float,
        g: Array,
        first_step: float | None = None,
        pairs: Iterable[tuple[Array, Array]] | None = None,
        diagonal: Array | None = None,
    ) -> int:
        """Begin at an evaluated point.

        Parameters
        ----------
        x, g : ndarray, shape (n,)
            Point and gradient; float32 stays float32, anything else becomes float64.
        f : float
            Value at x.
        first_step : float, optional
            Length (in x) of the first trial step; None leaves it to the phase.
        pairs : sequence of (s, y), optional
            Steps and gradient differences seen before, oldest first; those without curvature are skipped.
        diagonal : ndarray, shape (n,), optional
            Change of variables ``x = diagonal * z``, positive and finite.

        Returns
        -------
        int
            NEED_F, or FAILED (zero or non-finite gradient).
        """
        x = np.asarray(x)
        dtype = np.float32 if x.dtype == np.float32 else np.float64
        x = np.ascontiguousarray(x, dtype=dtype)
        g = np.ascontiguousarray(g, dtype=dtype)
        if x.ndim != 1 or x.shape != g.shape:
            raise ValueError("x and g must be vectors of one length")
        self.allocate(x.size, dtype, diagonal is not None or self.precondition == "auto")
        state = self._state
        if diagonal is not None:
            d = np.asarray(diagonal, dtype=float)
            if d.shape != x.shape or not np.all(np.isfinite(d)) or not np.all(d > 0):
                raise ValueError("diagonal must be positive, finite and as long as x")
            state.vectors[METRIC] = d * d
        from twophase_min.phases import compiled

        self.view.noise = self.noise
        compiled.start(state, x, float(f), g, float(first_step or 0.0))
        if diagonal is None and self.precondition == "auto":
            compiled.use_sizes(state)
        for s, y in pairs or ():
            compiled.add_pair(
                state, np.ascontiguousarray(s, dtype=dtype), np.ascontiguousarray(y, dtype=dtype)
            )
        return self.next()

    def next(self) -> int:
        """Begin the step after an iteration; answers what is needed."""
        return int(self._kernel("next_trial")(self._state))

    @property
    def need(self) -> int:
        """What is requested now; begins the next step if an iteration has just ended."""
        code = int(self.view.code)
        return self.next() if code == ITERATION else code

    def ask(self) -> Array:
        """Where to evaluate, shape (n,), a copy."""
        if self.need == FAILED:
            raise RuntimeError(f"nothing to ask for: {self.reason}")
        return self.trial.copy()

    def tell(self, f: float, g: Array | None = None) -> int:
        """Take what was asked for; answers NEED_F, NEED_G, ITERATION or FAILED.

        Where the gradient comes with the value anyway, hand over both: it is used if it is requested next.
        After NEED_NOISE ``f`` is the error of a value.
        """
        vectors = self._state.vectors
        given = vectors[G] if g is None else np.ascontiguousarray(g, dtype=vectors.dtype)
        if g is None and self.need == NEED_G:
            raise ValueError("the gradient is wanted")
        return int(self._kernel("tell_both")(self._state, float(f), given, g is not None))

    def take_noise(self, noise: float) -> None:
        """Take the error of a value, measured meanwhile, for the searches to come."""
        self.view.noise = noise

    def _kernel(self, name: str) -> Any:
        phase: Any = type(self)
        return _ready(phase, name, self._state.vectors.dtype.char)

    @property
    def direction(self) -> Array:
        """Direction of the present search, shape (n,): the state itself."""
        direction: Array = self._state.vectors[P]
        return direction

    @property
    def predicted(self) -> float:
        """Decrease that a parabola through the slope promised for the first trial of the search.

        It is 0 after a step that an edge of the domain has cut short.
        """
        return float(self.view.predicted)

    @property
    def promise(self) -> float:
        """Decrease that the last direction which was not steepest descent promised; inf if there was none."""
        return float(self.view.promise)

    @property
    def working_precision(self) -> bool:
        """Whether the decrease predicted for the current search is below the rounding of f."""
        return bool(self.view.precision)


@functools.cache
def _ready(phase: Any, name: str, kind: str) -> Any:
    """Compiled code of a kernel for vectors of this dtype, without the dispatch of every call."""
    from twophase_min.phases import compiled

    phase = phase()
    phase.allocate(1, np.dtype(kind), True)
    kernel = compiled.kernel_of(type(phase.state), name)
    return prepare(kernel, phase.state, *compiled.EXAMPLES[name](np.dtype(kind).type))
