"""The objective: copies, memo, true counters, limits, the best point, shapes and types."""

import numpy as np
import pytest
from counted import Counted

from twophase_min._status import Status, Stop
from twophase_min.objective import clock as _clock
from twophase_min.objective.calls import Objective
from twophase_min.objective.returned import as_scalar


def quadratic(x):
    return float(np.sum((np.real(x) - 1.0) ** 2)) if not np.iscomplexobj(x) else np.sum((x - 1.0) ** 2)


def slope(x):
    return 2.0 * (x - 1.0)


def objective(fun=quadratic, jac=slope, n=3, dtype=float, args=(), **keywords):
    made = Objective(fun, jac, args, n, np.dtype(dtype), **keywords)
    if jac is not None and not isinstance(jac, (str, bool)):
        made.kind = "callable"
    return made


# ---- scalars ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [2, 2.0, np.float32(2), np.array(2.0), np.array([2.0]), np.array([[2.0]]), [2.0], True + 1]
)
def test_scalars_and_arrays_of_size_one_are_values(value):
    f = as_scalar(value)
    assert type(f) is float
    assert f == 2.0


@pytest.mark.parametrize(
    "value", [[1.0, 2.0], np.zeros(3), np.zeros(0), [], "two", [[1, 2], [3, 4]], [[1], [2, 3]]]
)
def test_anything_else_is_refused_in_scipys_words(value):
    with pytest.raises(ValueError, match="must return a scalar value"):
        as_scalar(value)


def test_a_pair_without_jac_true_names_the_remedy():
    with pytest.raises(ValueError, match="pass jac=True"):
        as_scalar((1.0, np.zeros(3)))


def test_none_is_an_error_and_not_nan():
    with pytest.raises(ValueError, match="returned None"):
        as_scalar(None)


def test_a_complex_value_is_refused():
    with pytest.raises(TypeError, match="complex"):
        as_scalar(1.0 + 0.0j)


# ---- copies ----------------------------------------------------------------------------------------------


def test_the_user_may_overwrite_and_keep_what_it_is_handed():
    kept = []

    def fun(x):
        kept.append(x)
        value = quadratic(x)
        x[:] = 99.0
        return value

    def jac(x):
        kept.append(x)
        g = slope(x)
        x[:] = -99.0
        return g

    made = objective(fun, jac)
    x = np.zeros(3)
    f, g = made.value_and_gradient(x)
    assert f == 3.0
    np.testing.assert_array_equal(g, [-2.0, -2.0, -2.0])
    np.testing.assert_array_equal(x, np.zeros(3))
    assert len({id(array) for array in kept}) == len(kept)
    np.testing.assert_array_equal(made.best.x, np.zeros(3))


def test_a_gradient_buffer_that_the_user_reuses_is_copied():
    buffer = np.empty(3)

    def jac(x):
        buffer[:] = slope(x)
        return buffer

    made = objective(quadratic, jac)
    _, g = made.value_and_gradient(np.zeros(3))
    made.value_and_gradient(np.full(3, 5.0))
    np.testing.assert_array_equal(g, [-2.0, -2.0, -2.0])
    g[:] = 7.0  # nor does the caller's array reach the memo
    np.testing.assert_array_equal(made.value_and_gradient(np.zeros(3))[1], [-2.0, -2.0, -2.0])


# ---- memo and counters -----------------------------------------------------------------------------------


def test_the_last_and_the_best_point_are_not_evaluated_again():
    fun, jac = Counted(quadratic), Counted(slope)
    made = objective(fun, jac)
    good, bad = np.ones(3), np.zeros(3)
    for x in (good, bad, bad, good):
        made.value(x)
        made.value_and_gradient(x)
        made.gradient(x)
    assert (fun.calls, jac.calls) == (2, 2)
    assert (made.nfev, made.njev, made.cost) == (2, 2, 4.0)


def test_earlier_points_are_remembered_on_request():
    fun = Counted(quadratic)
    made = objective(fun)
    made.remember_more(2)
    points = [np.full(3, float(i)) for i in (1, 2, 3, 4)]
    for x in points:
        made.value(x)
    for x in points:  # the best, two earlier ones, the last
        made.value(x)
    assert fun.calls == 4


def test_a_failed_call_is_a_call():
    fun = Counted(quadratic, raise_at=2, error=RuntimeError("no"))
    made = objective(fun)
    made.value(np.zeros(3))
    with pytest.raises(RuntimeError):
        made.value(np.ones(3))
    assert made.nfev == fun.calls == 2
    assert isinstance(made.error, RuntimeError)


@pytest.mark.parametrize(("scheme", "calls"), [("2-point", 3), ("3-point", 6), ("cs", 3)])
def test_differences_count_their_calls(scheme, calls):
    fun = Counted(quadratic)
    made = objective(fun, scheme)
    made.start(np.zeros(3))
    assert made.nfev == fun.calls == 1 + calls
    assert made.njev == 1


def test_differences_become_more_exact_in_order():
    """Forward, central, extrapolated; what the caller asks for by name is kept or refined, and said."""
    fun = Counted(quadratic)
    made = objective(fun)
    made.start(np.zeros(3))
    made.kind, made.reason = "2-point", "autograd cannot trace it"
    before = made.nfev
    for kind, calls in (("3-point", 6), ("extrapolated", 12)):
        assert made.sharpen()
        assert made.description.startswith(kind)
        np.testing.assert_allclose(made.gradient(np.full(3, 2.0)), 2.0, rtol=1e-9)
        assert made.nfev - before in (calls, calls + 1)
        before = made.nfev
    assert not made.sharpen()
    asked = objective(fun, "2-point")
    asked.start(np.zeros(3))
    assert not asked.sharpen()


def test_differences_over_workers_count_their_calls():
    fun = Counted(quadratic)
    made = objective(fun, "2-point", workers=lambda f, points: [f(x) for x in points])
    _, g = made.start(np.zeros(3))
    made.close()
    assert made.nfev == fun.calls == 4
    np.testing.assert_allclose(g, -2.0, rtol=1e-6)


def test_a_fused_function_gives_the_gradient_with_the_value():
    both = Counted(lambda x: (quadratic(x), slope(x)))
    made = objective(both, True)
    made.start(np.zeros(3))
    assert made.value(np.ones(3)) == 0.0
    made.gradient(np.ones(3))
    assert both.calls == made.nfev == made.njev == 2


def test_extra_arguments_reach_both():
    made = objective(lambda x, a, b: a * quadratic(x) + b, lambda x, a, b: a * slope(x), args=(2.0, 1.0))
    f, g = made.value_and_gradient(np.zeros(3))
    assert f == 7.0
    np.testing.assert_array_equal(g, [-4.0, -4.0, -4.0])


# ---- limits and the best point ---------------------------------------------------------------------------


def test_maxfun_stops_before_the_call_that_would_pass_it():
    fun = Counted(quadratic)
    made = objective(fun, maxfun=2)
    made.value(np.zeros(3))
    made.value(np.full(3, 2.0))
    with pytest.raises(Stop) as stop:
        made.value(np.full(3, 3.0))
    assert stop.value.status == Status.MAXFUN
    assert fun.calls == made.nfev == 2


def test_maxfun_leaves_no_gradient_by_differences_half_done():
    fun = Counted(quadratic)
    made = objective(fun, "2-point", maxfun=3)
    with pytest.raises(Stop):
        made.start(np.zeros(3))
    assert fun.calls == 1
    assert made.best.f == 3.0


def test_maxtime_stops_before_the_call(monkeypatch):
    from types import SimpleNamespace

    now = [0.0]
    monkeypatch.setattr(_clock, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    fun, jac = Counted(quadratic), Counted(slope)
    made = objective(fun, jac, maxtime=5.0)
    made.value(np.zeros(3))
    now[0] = 5.0
    for evaluate in (made.value, made.gradient):
        with pytest.raises(Stop) as stop:
            evaluate(np.zeros(3) if evaluate == made.gradient else np.ones(3))
        assert stop.value.status == Status.MAXTIME
    assert (fun.calls, jac.calls) == (1, 0)
    assert made.elapsed == 5.0


def test_the_target_is_recorded_before_the_stop():
    made = objective(f_target=0.5)
    made.value(np.zeros(3))
    with pytest.raises(Stop) as stop:
        made.value(np.ones(3))
    assert stop.value.status == Status.TARGET
    assert made.best.f == 0.0
    np.testing.assert_array_equal(
        made.gradient(np.ones(3)), np.zeros(3)
    )  # the value is settled: no second stop


def test_minus_infinity_stops_without_a_gradient():
    jac = Counted(slope)
    made = objective(lambda x: -np.inf, jac)
    with pytest.raises(Stop) as stop:
        made.value_and_gradient(np.zeros(3))
    assert stop.value.status == Status.UNBOUNDED
    assert jac.calls == 0
    assert made.best.f == -np.inf


def test_a_value_is_kept_when_its_gradient_raises():
    jac = Counted(slope, raise_at=1, error=RuntimeError("no"))
    made = objective(quadratic, jac)
    with pytest.raises(RuntimeError):
        made.value_and_gradient(np.zeros(3))
    assert made.best.f == 3.0
    assert made.best.g is None
    assert (made.nfev, made.njev) == (1, 1)


def test_x0_is_kept_when_the_check_of_autograds_gradient_raises():
    def fun(x):
        if isinstance(x, np.ndarray) and x[0] != 1.0:
            raise RuntimeError("only at one")
        return x[0] * x[0]

    made = objective(fun, None, n=1)
    with pytest.raises(RuntimeError, match="only at one"):
        made.start(np.ones(1))
    assert made.best.f == 1.0
    assert isinstance(made.error, RuntimeError)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_best_point_is_the_least_finite_value(bad):
    values = iter([bad, 5.0, bad, 3.0, 4.0])
    made = objective(lambda x: next(values))
    for i in range(5):
        made.value(np.full(3, float(i)))
    assert made.best.f == 3.0
    np.testing.assert_array_equal(made.best.x, np.full(3, 3.0))
    assert made.finite_elsewhere
    assert not np.isfinite(made.nonfinite.f)


# ---- shapes and types ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 3), (3, 1)])
def test_a_gradient_of_one_long_axis_is_flattened(shape):
    made = objective(quadratic, lambda x: slope(x).reshape(shape))
    assert made.gradient(np.zeros(3)).shape == (3,)


@pytest.mark.parametrize(
    ("g", "n"), [(np.zeros(2), 3), (np.zeros((3, 3)), 3), (0.0, 3), (np.zeros((2, 2)), 4)]
)
def test_a_gradient_of_another_shape_is_refused(g, n):
    made = objective(quadratic, lambda x: g, n=n)
    with pytest.raises(ValueError, match=rf"gradient has shape .* expected \({n},\)"):
        made.gradient(np.zeros(n))


def test_a_scalar_gradient_serves_one_variable():
    made = objective(quadratic, lambda x: 2.0 * (x[0] - 1.0), n=1)
    np.testing.assert_array_equal(made.gradient(np.zeros(1)), [-2.0])


def test_a_complex_gradient_is_refused():
    made = objective(quadratic, lambda x: slope(x) + 0j)
    with pytest.raises(TypeError, match="gradient is complex"):
        made.gradient(np.zeros(3))


def test_a_gradient_of_none_is_refused():
    made = objective(quadratic, lambda x: None, n=1)
    with pytest.raises(TypeError, match="gradient is None"):
        made.gradient(np.zeros(1))


def test_the_user_sees_the_dtype_of_the_run():
    seen = set()

    def fun(x):
        seen.add(x.dtype)
        return quadratic(x)

    made = objective(fun, slope, dtype=np.float32)
    _, g = made.value_and_gradient(np.zeros(3))
    assert seen == {np.dtype(np.float32)}
    assert g.dtype == np.float32


# ---- Hessian products ------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["hessp", "hess", "autograd", "differences", "method"])
def test_hessian_products_from_every_source(source):
    A = np.array([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]])

    class WithProduct:
        def __call__(self, x):
            return 0.5 * float(x @ A @ x)

        def value_and_gradient(self, x):
            return self(x), A @ x

        def hessp(self, x, p):
            return A @ p

    import autograd.numpy as anp

    traceable = Counted(lambda x: 0.5 * anp.dot(x, anp.dot(A, x)))
    made = {
        "hessp": lambda: objective(traceable, lambda x: A @ x),
        "hess": lambda: objective(traceable, lambda x: A @ x),
        "autograd": lambda: objective(traceable, "autograd"),
        "differences": lambda: objective(traceable, lambda x: A @ x),
        "method": lambda: objective(WithProduct(), None),
    }[source]()
    made.use_hessian(
        (lambda x: A) if source == "hess" else None, (lambda x, p: A @ p) if source == "hessp" else None
    )
    made.start(np.ones(3))
    p = np.array([1.0, -2.0, 0.5])
    for _ in range(2):
        np.testing.assert_allclose(made.hessp(np.ones(3), p), A @ p, rtol=1e-6)
    np.testing.assert_allclose(made.hessp(np.ones(3), 0 * p), 0.0)
    assert made.nhev == 3
    if source != "method":
        assert made.nfev == traceable.calls
    np.testing.assert_array_equal(made.last.x, np.ones(3))  # a product does not displace the memo


def test_hess_must_be_callable():
    with pytest.raises(ValueError, match="callable or None"):
        objective().use_hessian("2-point", None)
