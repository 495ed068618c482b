"""
Student's t and a mixture of normals
====================================

Maximum likelihood on real data, beside SciPy and scikit-learn.

Student's t is fitted to the magnesium in scikit-learn's wines: location, scale and degrees of freedom, with
their standard errors. The mixture of two normals is fitted to the petal lengths of its irises, beside the EM
algorithm. Gradients are autograd's. ::

    python examples/likelihoods.py
"""

import autograd.numpy as np
from autograd.scipy.special import gammaln
from scipy import stats
from sklearn.datasets import load_iris, load_wine
from sklearn.mixture import GaussianMixture

from twophase_min import minimize
from twophase_min.curvature import standard_errors


def student(p: np.ndarray, y: np.ndarray) -> float:
    """Negative log-likelihood at location, and logarithms of scale and degrees of freedom."""
    scale, freedom = np.exp(p[1]), np.exp(p[2])
    z = (y - p[0]) / scale
    constant = gammaln((freedom + 1) / 2) - gammaln(freedom / 2) - 0.5 * np.log(np.pi * freedom) - p[1]
    return -np.sum(constant - (freedom + 1) / 2 * np.log1p(z**2 / freedom))


def mixture(p: np.ndarray, y: np.ndarray) -> float:
    """Negative log-likelihood at the logit of the first weight, two means, two logarithms of deviations."""
    first = -np.logaddexp(0.0, -p[0]) - p[3] - 0.5 * ((y - p[1]) / np.exp(p[3])) ** 2
    second = -np.logaddexp(0.0, p[0]) - p[4] - 0.5 * ((y - p[2]) / np.exp(p[4])) ** 2
    return -np.sum(np.logaddexp(first, second)) + 0.5 * y.size * np.log(2 * np.pi)


def beside(fun, start: np.ndarray, y: np.ndarray):
    """Minimise with ours and two of SciPy's methods; ours is returned."""
    results = {
        name: minimize(fun, start, (y,), method=name, tol=1e-5) for name in ("twophase", "BFGS", "L-BFGS-B")
    }
    for name, r in results.items():
        print(f"  {name:9s} {r.fun:.8f} after {r.nfev} values and {r.njev} gradients")
    return results["twophase"]


magnesium = load_wine().data[:, 4]
print("Student's t, magnesium in wines")
start = np.array([np.median(magnesium), np.log(magnesium.std()), np.log(5.0)])
ours = beside(student, start, magnesium)
freedom, location, scale = stats.t.fit(magnesium, 5.0)
theirs = -stats.t.logpdf(magnesium, freedom, location, scale).sum()
print(f"  stats.t.fit {theirs:.6f}; ours {ours.fun - theirs:+.1e}")
names = ("location", "log scale", "log freedom")
print(standard_errors(lambda p: student(p, magnesium), ours.x, loss="likelihood", names=names))

petals = load_iris().data[:, 2]
print("Two normals, petal lengths of irises")
ours = beside(mixture, np.array([0.0, 2.0, 5.0, 0.0, 0.0]), petals)
em = GaussianMixture(2, tol=1e-10, reg_covar=0.0, max_iter=10_000, random_state=0).fit(petals[:, None])
theirs = -em.score(petals[:, None]) * petals.size
print(f"  EM {theirs:.8f} after {em.n_iter_} iterations; ours {ours.fun - theirs:+.1e}")
weight = 1 / (1 + np.exp(-ours.x[0]))
print(f"  {weight:.3f} of the flowers about {ours.x[1]:.2f} cm, the others about {ours.x[2]:.2f} cm")
