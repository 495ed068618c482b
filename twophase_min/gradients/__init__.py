"""Value and gradient from JAX or PyTorch, as a function of one flat NumPy vector.

`from_jax` and `from_torch` take a loss and its parameters as those libraries have them: a pytree, a module, a
dict of tensors. They return ``(fun, x0, unflatten)`` for ``minimize(fun, x0, jac=True)``, for SciPy's
minimisers and for anything else that works on flat vectors. The libraries are imported by the call, not by
this module.

Precision is that of the parameters: float64 if a parameter is float64, else float32. Nothing is computed in
less than that, and `Adapted` says in its text which it is.
"""

from twophase_min.gradients.flat import Adapted
from twophase_min.gradients.of_jax import from_jax
from twophase_min.gradients.of_torch import from_torch

__all__ = ["Adapted", "from_jax", "from_torch"]
