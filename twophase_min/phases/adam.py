"""Adam over flat vectors in ask/tell form, with a first step length that comes from the problem.

Kingma & Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1 (bias-corrected,
m0 = v0 = 0). The kernels are in `adam_kernels`; the class around them is for the loop in Python.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min.jit import kernels as _kernels
from twophase_min.jit.compilation import prepare, register
from twophase_min.phases import ITERATION, NEED_FG, G, X
from twophase_min.phases.adam_kernels import (
    ADAM,
    ARMIJO,
    LOWER,
    NONE,
    REASONS,
    UPPER,
    XT,
    AdamState,
    M,
    V,
    adam_init,
    adam_next,
    adam_scales,
    adam_start,
    adam_tell,
)
from twophase_min.phases.ask_tell import AskTell

__all__ = ["ADAM", "ARMIJO", "Adam", "AdamState", "adam_init"]

Array = NDArray[np.floating]

LONGER, LARGEST = 1.2, 2.0
"""Growth of the learning rate for each epoch along which the slope keeps half of what it was, and at most at
one evaluation of the whole data. Chosen among 1.1, 1.2 and 1.3 on seed 0 of the Fashion-MNIST network of
`benchmarks/training.py`."""
TURNED, RISEN = 0.8, 0.7
"""Its reduction where the slope along the path has turned, and where the loss has risen. The first is that of
iterations on whole data; chosen among 0.5, 0.7 and 0.8 on seeds 5 to 8 of networks of `benchmarks/paper.py`
and on seeds 5 to 7 of the digits."""


class Adam(AskTell):
    """Adam, one iterate per ``ask``/``tell`` round.

    Without a learning rate, the first step is a probe. Adam's first step is ``lr * sign(g)`` whatever the
    gradient's size, so that lr is a length in x: a guess from the scale of x (or of f, where x0 = 0) is
    shortened by interpolation until the value has fallen by a fixed share of what the slope promises, and
    the accepted probe is the first iterate. The change of the slope across it then sets lr by the secant, and
    across later steps (of whole-data iterations) keeps adapting it.

    Parameters
    ----------
    learning_rate : float, optional
        Step length in units of x; None asks for the probe.
    beta1, beta2 : float
        Decay rates.
    epsilon : float, optional
        In units of the gradient. Default 1e-8 with a given learning rate, else 1e-8 max abs(g0).
    sizes : ndarray, shape (n,), optional
        Typical sizes of the variables relative to each other: the probe steps along ``-sizes * sign(g)``.
    box : tuple of ndarray, optional
        Lower and upper limits, shape (n,) each: steps are projected onto the box.
    """

    name = "adam"
    record = ADAM
    kind = AdamState
    reasons = REASONS
    trial_row = XT

    def __init__(
        self,
        learning_rate: float | None = None,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float | None = None,
        sizes: Array | None = None,
        box: tuple[Array, Array] | None = None,
    ):
        self._settings = (learning_rate, beta1, beta2, epsilon, sizes, box)

    def start(self, x: Array, f: float, g: Array) -> None:
        """Begin at an evaluated point; moments start at zero."""
        dtype = np.float32 if x.dtype == np.float32 else np.float64
        self.state = adam_init(x.size, dtype, *self._settings)
        adam_start(self.state, np.ascontiguousarray(x, dtype), float(f), np.ascontiguousarray(g, dtype))

    @property
    def x(self) -> Array:
        """Current iterate, shape (n,): the state itself, which an epoch of steps changes in place."""
        x: Array = self.state.vectors[X]
        return x

    @property
    def m(self) -> Array:
        """First moment, shape (n,); the state itself."""
        m: Array = self.state.vectors[M]
        return m

    @property
    def v(self) -> Array:
        """Second moment, shape (n,); the state itself."""
        v: Array = self.state.vectors[V]
        return v

    @property
    def learning_rate(self) -> float:
        """In use."""
        return float(self.view.rate)

    @property
    def epsilon(self) -> float:
        """In use."""
        return float(self.view.epsilon)

    @property
    def beta1(self) -> float:
        """Decay rate of the first moment."""
        return float(self.view.beta1)

    @property
    def beta2(self) -> float:
        """Decay rate of the second moment."""
        return float(self.view.beta2)

    @property
    def curvature(self) -> float:
        """Curvature s'y / s's of the last step, NaN before the first."""
        return float(self.view.curvature)

    @property
    def t(self) -> int:
        """Updates made."""
        return int(self.view.t)

    @property
    def probing(self) -> bool:
        """Whether the first step length is still being looked for."""
        return bool(self.view.probing)

    @property
    def adapting(self) -> bool:
        """Whether the learning rate adapts, as none was given."""
        return bool(self.view.adapting)

    @property
    def path(self) -> Array:
        """Where the steps on mini-batches stand, shape (n,): the state itself."""
        path: Array = self.state.vectors[XT]
        return path

    def walk(self, g: Array, weight: float) -> None:
        """Advance `path` by a mini-batch's gradient, and `x`, its running mean, by ``weight`` towards it.

        The mean begins as a plain one; ``weight`` = 1 makes x the path itself.
        """
        x, path = self.x, self.path
        self.step(path, g)
        weight = max(weight, 1.0 / self.t)
        if weight >= 1.0:
            x[:] = path
        else:
            x += x.dtype.type(weight) * (path - x)

    def step(self, x: Array, g: Array) -> None:
        """Advance the moments with g, and x in place."""
        state = self.state
        self.view.t += 1
        settings = self.t, self.learning_rate, self.beta1, self.beta2, self.epsilon
        vectors = state.vectors
        if vectors.shape[0] > LOWER:
            low, high = vectors[LOWER], vectors[UPPER]
            held = ((x <= low) & (g > 0)) | ((x >= high) & (g < 0)) | (low == high)
            g = np.where(held, vectors.dtype.type(0), g)
        _kernels.adam_step(x, vectors[M], vectors[V], g, *settings)
        if vectors.shape[0] > LOWER:
            np.clip(x, low, high, out=x)

    def next(self) -> int:
        """Begin the step after an iteration; answers what is needed."""
        state = self.state
        if state.vectors[X].nbytes < _kernels.THREADED_FROM:
            return int(_ready(adam_next, state.vectors.dtype.char)(state))
        self.view.code = NEED_FG
        state.vectors[XT] = state.vectors[X]
        self.step(state.vectors[XT], state.vectors[G])
        return NEED_FG

    def ask(self) -> Array:
        """Where to evaluate, shape (n,); not to be changed."""
        return self.trial

    def tell(self, f: float, g: Array | None) -> int:
        """Take what was asked for; answer NEED_*, ITERATION or FAILED."""
        vectors = self.state.vectors
        given = vectors[G] if g is None else np.ascontiguousarray(g, dtype=vectors.dtype)
        return int(_ready(adam_tell, vectors.dtype.char)(self.state, float(f), given))

    def arrive(self, f: float, g: Array, before: dict[str, Any], epochs: int = 1) -> None:
        """Take value and gradient at x after epochs of steps in place, and judge them as one step.

        Parameters
        ----------
        f, g : float, ndarray
            Of the whole data, at x.
        before : dict
            `get_state` where they began, with the gradient of the whole data there.
        epochs : int
            How many.
        """
        state = self.state
        s = self.x - before["vectors"][X]
        s_s = float(_kernels.dot(s, s))
        slope, after = float(_kernels.dot(s, before["vectors"][G])), float(_kernels.dot(s, g))
        self.view.curvature = (after - slope) / s_s if s_s > 0 else np.nan
        if self.view.adapting:
            if f > self.f:  # slopes of an epoch are noisy; a loss that rose is not
                self.view.rate *= RISEN
            elif max(slope, after) > 0:  # the mean has gone past the lowest point of its path
                self.view.rate *= TURNED
            elif after < 0.5 * slope:
                self.view.rate *= min(LARGEST, LONGER**epochs)
        self.view.f = float(f)
        state.vectors[G] = g
        self.view.code = ITERATION

    def move(self, x: Array, f: float, g: Array) -> None:
        """Go on at another evaluated point, or with another part of the data; moments and rate stay."""
        state = self.state
        state.vectors[X], state.vectors[G] = x, g
        self.view.f = float(f)
        self.view.rejections = 0
        self.view.reason = NONE
        self.view.code = ITERATION

    def scale_back(self, factor: float = 0.1) -> None:
        """Reduce the learning rate (the driver does so when an epoch ended non-finite)."""
        self.view.rate *= factor

    def scales(self) -> Array:
        """Bias-corrected root of the second moments, sqrt(v / (1 - beta2^t)), units of the gradient."""
        vectors = self.state.vectors
        out = np.empty(vectors.shape[1])
        _ready(adam_scales, vectors.dtype.char)(self.state, out)
        return out


_EXAMPLES: dict[Any, Any] = {
    adam_start: lambda kind: (np.zeros(1, kind), 0.0, np.zeros(1, kind)),
    adam_next: lambda kind: (),
    adam_tell: lambda kind: (0.0, np.zeros(1, kind)),
    adam_scales: lambda kind: (np.zeros(1),),
}


@functools.cache
def _ready(kernel: Any, kind: str) -> Any:
    """Compiled code of a kernel for vectors of this dtype, without the dispatch of every call."""
    return prepare(kernel, *_arguments(kernel)(kind))


def _arguments(kernel: Any) -> Any:
    return lambda kind: (adam_init(1, kind), *_EXAMPLES[kernel](kind))


for _kernel in _EXAMPLES:
    register(_kernel, _arguments(_kernel))
