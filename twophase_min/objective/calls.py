"""The user's function, called by nobody else: copies, true counters, memo, limits, the best point.

Invariants
----------
* The user never sees an array that the package keeps, nor the other way round.
* ``nfev`` and ``njev`` are the calls that were made, also by autograd, differences and failed calls.
* The same point is not evaluated twice while it is the last or the best one (`memory`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min._errstate import users
from twophase_min._status import Status, Stop
from twophase_min.objective import foreign
from twophase_min.objective import gradient as _gradient
from twophase_min.objective import source as _source
from twophase_min.objective.bounds import Box
from twophase_min.objective.check import agrees
from twophase_min.objective.clock import Clock
from twophase_min.objective.differences import gradient_by_differences
from twophase_min.objective.memory import Memory, Point
from twophase_min.objective.products import Products
from twophase_min.objective.returned import Bound, ValueOf, as_gradient, as_scalar, rounding
from twophase_min.objective.sharpening import Sharpening

Array = NDArray[np.floating]


AGAIN = 10
"""Points in a row at which differences replace half of autograd's gradient before they replace autograd."""


class Objective(Memory, Products, Sharpening):
    """A scalar function of a flat vector with its gradient.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``, or an object with ``value_and_gradient(x)`` (`FiniteSum`, an MLP objective).
    jac : callable, True, 'autograd', '2-point', '3-point', 'cs' or None
        Where the gradient comes from; resolved by `start`.
    args : tuple
        Further arguments of fun and jac.
    n : int
        Number of variables.
    dtype : numpy.dtype
        float64 or float32; what the user's function is handed.
    maxfun : float, optional
        Calls of fun at most.
    maxtime : float, optional
        Seconds at most, from ``began`` on; the first call is made however little time there is.
    f_target : float, optional
        A value at or below this ends the run.
    abs_step, rel_step, workers, seed
        Settings of finite differences, and of the directional check.
    box : Box, optional
        Outside of it nothing is evaluated: not by differences, not by the check. Who asks stays inside.
    began : float, optional
        Reading of ``time.perf_counter`` from which the time counts; default now.

    Attributes
    ----------
    before_call : callable or None
        Called before an evaluation, a gradient by differences or a mini-batch: what saves the run.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        jac: Any,
        args: tuple[Any, ...],
        n: int,
        dtype: np.dtype[Any],
        *,
        maxfun: float | None = None,
        maxtime: float | None = None,
        f_target: float | None = None,
        abs_step: Any = None,
        rel_step: Any = None,
        workers: Any = None,
        seed: int = 0,
        box: Box | None = None,
        began: float | None = None,
    ):
        super().__init__(dtype)
        self.fun, self.args, self.n, self.box = fun, args, n, box
        self._varied = n if box is None else n - int(np.count_nonzero(box.fixed))
        self._jac = jac
        self.maxfun = np.inf if maxfun is None else maxfun
        self.f_target = -np.inf if f_target is None else f_target
        self.clock = Clock(maxtime, began)
        self._steps = {"rel_step": rel_step, "abs_step": abs_step}
        self._map, self._release = _gradient.mapper(workers)
        self._workers = _gradient.worker_count(workers)
        self._seed = seed
        sampled: Any = fun
        self.finite_sum = sampled if hasattr(fun, "batch_value_and_gradient") else None
        # Samples per whole evaluation: counters are integers of samples, exact however often they are added.
        self._unit = int(self.finite_sum.n_samples) if self.finite_sum is not None else 1
        self._f_samples = self._g_samples = 0
        self._difference_calls = 0
        self._lengths: list[float] | None = None  # of difference steps that have been refined
        self._coarse = 0.0  # relative rounding of the values, where it was measured
        self.nhev = 0
        self.patched = self._patched_in_row = 0
        self.missing = ""
        self.caution = ""
        self.kind = ""
        self.reason = ""
        self.error: BaseException | None = None
        self._returned: type = float  # of fun's last value
        self.before_call: Any = None
        self._autograd: Callable[[Array], tuple[Any, Array]] | None = None
        self._hess: Callable[..., Any] | None = None
        self._hessp: Callable[..., Any] | None = None
        self._product: tuple[Array, Callable[[Array], Any]] | None = None

    # ---- counters -----------------------------------------------------------------------------------------

    @property
    def nfev(self) -> float:
        """Values computed: an int, or a fraction where mini-batches left one."""
        whole, rest = divmod(self._f_samples, self._unit)
        return whole if rest == 0 else self._f_samples / self._unit

    @property
    def njev(self) -> float:
        """Gradients computed: an int, or a fraction where mini-batches left one."""
        whole, rest = divmod(self._g_samples, self._unit)
        return whole if rest == 0 else self._g_samples / self._unit

    @property
    def cost(self) -> float:
        """Values plus gradients, in evaluations of the whole objective."""
        return (self._f_samples + self._g_samples) / self._unit

    @property
    def work(self) -> float:
        """As `cost`, but a gradient by differences counts one: the pace of the method, not the bill."""
        return self.cost - self._difference_calls

    @property
    def fused(self) -> bool:
        """Whether one call gives value and gradient, so that a value alone saves nothing."""
        return self.kind in ("fused", "autograd")

    @property
    def description(self) -> str:
        """Where the gradient comes from, and why, for the result."""
        if self.patched and self.kind == "autograd":
            points = f"{self.patched} point" + ("s" if self.patched > 1 else "")
            return f"autograd, at {points} differences, because its entries were not finite where fun is"
        return f"{self.kind} ({self.reason})" if self.reason else self.kind

    @property
    def elapsed(self) -> float:
        """Seconds that are charged so far."""
        return self.clock.elapsed

    def state(self) -> dict[str, Any]:
        """Counters and memo, for resuming."""
        return {
            "f_samples": self._f_samples,
            "g_samples": self._g_samples,
            "difference_calls": self._difference_calls,
            "nhev": self.nhev,
            "patched": self.patched,
            "lengths": self._lengths,
            "coarse": self._coarse,
            "unsound": (self.unsound_points, self.unsound_entry),
        }

    def restore(self, state: dict[str, Any], kind: str, reason: str) -> None:
        """Take over the counters of an earlier run, and its gradient source where ``jac`` names none."""
        self._f_samples, self._g_samples = int(state["f_samples"]), int(state["g_samples"])
        self.patched = int(state.get("patched", 0))
        self.unsound_points, self.unsound_entry = state.get("unsound", (0, 0))
        self._coarse = float(state.get("coarse", 0.0))
        if state.get("lengths") is not None and self._steps["rel_step"] is self._steps["abs_step"] is None:
            self._lengths, self._steps["abs_step"] = state["lengths"], np.array(state["lengths"])
        self.nhev = int(state["nhev"])
        self.kind, self.reason = _source.resumed(self._jac, self.fun, kind, reason)
        self.finite_elsewhere = True
        if self.kind in _gradient.FINITE_DIFFERENCES:
            each = _gradient.difference_calls(self.n, self.kind)
            self._difference_calls = int(state.get("difference_calls", self.njev * each))
        else:
            self._difference_calls = int(state.get("difference_calls", 0))
        if self.kind == "autograd":
            self._autograd = _gradient.autograd_value_and_gradient(self._traced)

    def close(self) -> None:
        """Release the workers, and what refers to this object: the exception's frames, what saves the run."""
        self._release()
        self.error = self.before_call = None

    # ---- the user's calls ---------------------------------------------------------------------------------

    def _admit(self, calls: int) -> None:
        """Stop before, not after, a limit would be passed; the first call of all has time."""
        if self._f_samples + calls * self._unit > self.maxfun * self._unit:
            raise Stop(Status.MAXFUN)
        if self._f_samples:
            self._look_at_the_clock()
        if self.before_call is not None:
            self.before_call()

    def _look_at_the_clock(self) -> None:
        if self.clock.over:
            raise Stop(Status.MAXTIME)

    def _guarded(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Call the user, under the user's own NumPy errors, and remember an exception as theirs."""
        try:
            return users(call, *arguments)
        except Exception as error:
            self.error = error
            raise

    def _copy(self, x: Array) -> Array:
        return np.array(x, dtype=self.dtype)

    def _value(self, x: Array) -> float:
        self._admit(1)
        self._f_samples += self._unit
        value = self._guarded(self.fun, self._copy(x), *self.args)
        self._returned, self._steps["eps"] = type(value), max(rounding(value), self._coarse)
        return as_scalar(value)

    def _pair(self, x: Array) -> tuple[float, Array]:
        """Value and gradient from one call."""
        self._admit(1)
        self._f_samples += self._unit
        self._g_samples += self._unit
        if self._autograd is not None:
            value, gradient = self._guarded(self._autograd, self._copy(x))
        else:
            call = getattr(self.fun, "value_and_gradient", self.fun)
            pair = self._guarded(call, self._copy(x), *self.args)
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise TypeError(
                    "jac=True says that fun returns (value, gradient), but it returned "
                    f"{type(pair).__name__}; return both, or pass the gradient as jac=<callable>."
                )
            value, gradient = pair
        return as_scalar(value), as_gradient(gradient, self.n, self.dtype)

    def _gradient(self, x: Array, f: float) -> Array:
        """Gradient alone, where the value is known."""
        if self.kind == "callable":
            self._look_at_the_clock()
            self._g_samples += self._unit
            return as_gradient(self._guarded(self._jac, self._copy(x), *self.args), self.n, self.dtype)
        if self.fused:
            return self._mended(x, f, self._pair(x)[1])
        if not math.isfinite(f):
            return np.full(self.n, np.nan, dtype=self.dtype)
        g = self._by_differences(x, f, self.kind)
        self._g_samples += self._unit
        return g

    def _by_differences(self, x: Array, f: float, scheme: str, entries: Any = None) -> Array:
        """Gradient, or some of its entries, by differences; what is missing is noted in ``missing``."""
        self._admit(_gradient.difference_calls(self._varied if entries is None else entries.size, scheme))
        before = self._f_samples
        g, missing = gradient_by_differences(
            self._values, np.array(x, dtype=float), f, scheme, entries=entries, box=self.box, **self._steps
        )
        self.missing = self.missing or missing
        self._difference_calls += (self._f_samples - before) // self._unit
        return g.astype(self.dtype, copy=False)

    def _mended(self, x: Array, f: float, g: Array) -> Array:
        """Autograd's gradient with differences in place of the entries that are not finite where f is.

        A finite entry of a reverse sweep has met no NaN: it is kept. Where differences are asked for half of
        the entries or more, `AGAIN` times in a row, they take over.
        """
        if self.kind != "autograd" or not math.isfinite(f):
            return g
        bad = np.flatnonzero(~np.isfinite(g))
        if not bad.size:
            return g
        self._patched_in_row = self._patched_in_row + 1 if 2 * bad.size >= self.n else 0
        self.patched += 1
        self.caution = self.caution or _source.not_finite(int(bad[0]), float(x[bad[0]]))
        g[bad] = self._by_differences(x, f, "2-point", bad)
        if self._patched_in_row >= AGAIN:
            self.kind, self._autograd, self._product = "2-point", None, None
            self.reason = (
                f"finite differences in place of autograd, whose gradient was not finite at {self.patched} "
                "points where fun is"
            )
        return g

    def _values(self, points: Iterable[Array], count: int) -> list[Any]:
        """Values at many points for differences, spread over the workers; complex ones stay complex."""
        self._admit(count)
        results: list[Any] = []
        if self._map is map:
            for point in points:
                self._look_at_the_clock()
                self._f_samples += self._unit
                results.append(self._guarded(self.fun, point, *self.args))
        else:
            points = list(points)
            bound = Bound(self.fun, self.args)
            for part in self.clock.parts(len(points), self._workers):
                self._look_at_the_clock()
                self._f_samples += self._unit * len(points[part])
                results += self._guarded(_gradient.listed, self._map, bound, points[part])
        if self.kind == "cs":
            return [complex(np.asarray(value).reshape(()).item()) for value in results]
        return [as_scalar(value) for value in results]

    # ---- evaluations --------------------------------------------------------------------------------------

    def _take(self, x: Array, f: float, g: Array | None) -> None:
        """Remember a new value and stop where it settles the run."""
        self._remember(Point(self._copy(x), f, g))
        if f == -np.inf:
            raise Stop(Status.UNBOUNDED)
        if f <= self.f_target:
            raise Stop(Status.TARGET)

    def value(self, x: Array) -> float:
        """Value at x, shape (n,); for a fused objective the gradient is remembered along with it."""
        known = self._known(x)
        if known is not None:
            return known.f
        if self.fused:
            return self.value_and_gradient(x)[0]
        f = self._value(x)
        self._take(x, f, None)
        return f

    def sound_value(self, x: Array) -> float:
        """Value at x, inf where it is not finite or its gradient is known not to be.

        For methods of SciPy's, whose searches take NaN slopes for steps. Once a gradient was not finite, it
        is asked for with every value.
        """
        f = self.value(x)
        if math.isfinite(f) and self.unsound_points:
            g = self.evaluated(x).g
            assert g is not None
            return f if np.isfinite(g).all() else math.inf
        return f if math.isfinite(f) else math.inf

    def gradient(self, x: Array) -> Array:
        """Gradient at x, shape (n,), a fresh array; costs a value too where none is known."""
        return self.value_and_gradient(x)[1]

    def gradient_alone(self, x: Array) -> Array:
        """Gradient at x without its value where one costs nothing of the other; not remembered then."""
        if self.kind == "callable" and self._known(x) is None:
            return self._gradient(x, np.nan)
        return self.value_and_gradient(x)[1]

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Value and gradient at x, the gradient a fresh array."""
        point = self.evaluated(x)
        assert point.g is not None
        return point.f, point.g.copy()

    def evaluated(self, x: Array) -> Point:
        """Return x with its value and gradient as they are remembered: arrays that nobody may change."""
        known = self._known(x)
        if known is not None and known.g is not None:
            return known
        if known is None and self.fused:
            f, g = self._pair(x)
            if self.kind == "autograd" and math.isfinite(f) and not np.isfinite(g).all():
                self._take(x, f, None)  # not to be lost if the differences are interrupted
                g = self._mended(x, f, g)
                self._remember(Point(self._copy(x), f, g))
            else:
                self._patched_in_row = 0
                self._take(x, f, g)
        else:
            if known is None:
                self._take(x, self._value(x), None)  # first: not to be lost if the gradient is interrupted
                known = self.last
            assert known is not None
            self._remember(known._replace(g=self._gradient(x, known.f)))
        assert self.last is not None
        return self.last

    def again(self, x: Array) -> float:
        """Value at x by a new call, whatever is remembered: whether f gives the same twice."""
        return self._pair(x)[0] if self.fused else self._value(x)

    def batch(self, x: Array, indices: NDArray[np.intp], spare: float = 0.0) -> tuple[float, Array]:
        """Value and gradient of a mini-batch, for its share, never best; ``spare`` calls are left."""
        assert self.finite_sum is not None
        if self._f_samples + len(indices) > (self.maxfun - spare) * self._unit:
            raise Stop(Status.MAXFUN)
        self._look_at_the_clock()
        if self.before_call is not None:
            self.before_call()
        self._f_samples += len(indices)
        self._g_samples += len(indices)
        value, g = self._guarded(self.finite_sum.batch_value_and_gradient, self._copy(x), indices)
        return as_scalar(value), as_gradient(g, self.n, self.dtype)

    def use_values_only(self) -> None:
        """From now on answer a method that takes no gradient; of a fused function the value is used."""
        self.kind, self.reason = "none", "the method takes no gradient from us"
        if self._jac is True:
            self.fun = ValueOf(self.fun)
        elif hasattr(self.fun, "value_and_gradient"):
            self.fun = getattr(self.fun, "value", None) or ValueOf(self.fun.value_and_gradient)

    # ---- resolving the gradient ---------------------------------------------------------------------------

    def start(self, x0: Array) -> tuple[float, Array]:
        """Resolve where the gradient comes from, and evaluate at x0.

        Raises
        ------
        TypeError
            For ``jac='autograd'`` with a function that autograd cannot trace, and for a function of JAX or
            PyTorch that takes no NumPy array, with the cause and the remedy.
        ValueError
            For a ``jac`` of no known form, or wrong shapes.
        """
        named = _source.named(self._jac, self.fun)
        with foreign.explaining(self):
            if named is None:
                return self._choose(x0)
            self.kind, self.reason = named
            if self.kind != "autograd":
                return self.value_and_gradient(x0)
        self._autograd = _gradient.autograd_value_and_gradient(self._traced)
        try:
            return self.value_and_gradient(x0)
        except (Stop, KeyboardInterrupt):
            raise
        except Exception as error:
            self.error = None
            raise _source.untraceable(error) from error

    @property
    def _traced(self) -> Callable[[Any], Any]:  # type: ignore[override]
        """The user's function for autograd; not a method, which would hold the object that holds it."""
        return Bound(self.fun, self.args)

    def _choose(self, x0: Array) -> tuple[float, Array]:
        """``jac=None``: autograd if it traces and its slope is right at x0, else forward differences."""
        why = _source.why_no_autograd()
        if not why:
            self.kind = "autograd"
            self._autograd = _gradient.autograd_value_and_gradient(self._traced)
            try:
                f, g = self._pair(x0)
            except (Stop, KeyboardInterrupt):
                raise
            except Exception as error:
                self.error = None
                why = _source.not_traced(error)
            else:
                self.kind, autograd = "2-point", self._autograd
                self._autograd = None
                self._remember(Point(self._copy(x0), f, None))  # whatever the check meets, x0 is not lost
                bad = np.flatnonzero(~np.isfinite(g))
                if math.isfinite(f) and bad.size:
                    self.caution = _source.not_finite(int(bad[0]), float(x0[bad[0]]))
                    if 2 * bad.size < self.n:
                        self.patched = 1
                        g[bad] = self._by_differences(x0, f, "2-point", bad)
                ok, clause = agrees(self._value, x0, f, g, self._seed, self.box)
                if ok:
                    self.kind, self._autograd = "autograd", autograd
                    self._take(x0, f, g)
                    return f, g.copy()
                why = f"autograd's gradient is wrong at x0: {clause}"
        self.kind, self._autograd = "2-point", None
        self.reason = f"finite differences, because {why}"
        foreign.warn_of_differences(self, x0, why)
        return self.value_and_gradient(x0)
