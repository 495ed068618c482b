"""Other forms of memory-cg: their model against dense matrices, their runs against minima known."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from memory_cg_forms import Model, Regularised, Subspace, TrustRegion
from phase_alone import minimize_memory_cg

from twophase_min.phases import X
from twophase_min.phases.memory_cg import MemoryCG


def taught(n, pairs, seed):
    """A phase at a point of a quadratic, and the dense BFGS matrix of its pairs."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, n))
    hessian = a @ a.T + np.eye(n)
    steps = rng.normal(size=(pairs, n))
    phase = MemoryCG(memory=pairs, precondition=None)
    x = rng.normal(size=n)
    phase.start(x, 0.5 * x @ hessian @ x, hessian @ x, pairs=[(s, hessian @ s) for s in steps])
    dense = np.diag(1.0 / phase.state.diagonal)
    for s in steps:
        y, b = hessian @ s, dense @ s
        dense = dense - np.outer(b, b) / (s @ b) + np.outer(y, y) / (s @ y)
    return phase, hessian, dense


@pytest.mark.parametrize(("n", "pairs"), [(6, 3), (6, 6), (12, 5)])
def test_the_model_is_that_of_the_dense_matrix(n, pairs):
    phase, hessian, dense = taught(n, pairs, seed=n + pairs)
    model = Model(phase.state, phase.view)
    g = hessian @ phase.state.vectors[X]
    h0 = np.diag(1.0 / phase.state.diagonal)
    p = np.arange(1.0, n + 1)
    np.testing.assert_allclose(model.product(p), dense @ p, rtol=1e-9)
    for mu in (0.0, 0.3, 20.0):
        np.testing.assert_allclose(model.step(mu), -np.linalg.solve(dense + mu * h0, g), rtol=1e-8)
    np.testing.assert_allclose(model.promised(model.step()), 0.5 * g @ np.linalg.solve(dense, g), rtol=1e-8)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_within_a_radius_no_other_point_of_it_is_lower(share):
    phase, _, dense = taught(5, 3, seed=1)
    model = Model(phase.state, phase.view)
    radius = share * model.length(model.step())
    p = model.within(radius)
    size = model.length(p)
    assert 0.9 * radius <= size <= 1.1 * radius
    others = np.random.default_rng(0).normal(size=(2000, 5)) * np.sqrt(model.h)
    others *= size / np.sqrt(np.sum(others**2 / model.h, axis=1))[:, None]
    values = others @ model.g + 0.5 * np.sum(others * (others @ dense), axis=1)
    assert -model.promised(p) <= np.min(values) + 1e-9 * abs(np.min(values))


def test_a_subspace_step_is_exact_on_a_quadratic_in_the_span_of_its_pairs():
    phase, hessian, _ = taught(6, 3, seed=2)
    turned = Subspace(steps=3, memory=3, precondition=None)
    turned.state, turned.model = phase.state, Model(phase.state, phase.view)
    g = turned.model.g
    p = turned.turned()
    # of the span the steps' own part is exact: the gradient there is orthogonal to them
    assert np.max(np.abs(turned.model.S @ (g + hessian @ p))) < 1e-8 * np.max(np.abs(turned.model.S @ g))


FORMS = {
    "subspace 5": lambda: Subspace(5),
    "subspace 20": lambda: Subspace(20),
    "trust region": TrustRegion,
    "trust region anew": lambda: TrustRegion(kept=False),
    "regularised": Regularised,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [2, 12, 60])
def test_every_form_minimises_rosenbrock(form, n):
    x0 = np.tile([-1.2, 1.0], n // 2)
    x, success, message = minimize_memory_cg(
        rosen, rosen_der, x0, gtol=1e-8, maxfun=20000, solver=FORMS[form]()
    )
    assert success, message
    assert np.max(np.abs(rosen_der(x))) <= 1e-8
    assert rosen(x) < 1e-12 or rosen(x) == pytest.approx(3.9866, abs=1e-3)
