"""How a quasi-Newton phase keeps its inverse Hessian H: what `quasi_newton_kernels` asks of it.

Each function stands for the kernel of this name in the module of the state's class: a dense triangle
(`quasi_newton_kernels`), or the last updates (`limited_broyden_kernels`). Rows of ``state.work`` are named in
`packed`.
"""

from __future__ import annotations

from twophase_min.jit.compilation import by_type


@by_type
def multiply(state, phase):
    """Multiply H by row OPERAND into row OUT."""


@by_type
def become_metric(state, phase):
    """Set ``H = D``, without a pair."""


@by_type
def store(state, phase, s, y, member, b, gamma):
    """Keep the update whose coefficients are in the record; H is multiplied by ``gamma`` before it.

    ``H y`` is row PRODUCT. The update was made for ``member`` of the family with ``b = s'Bs / s'y``.
    """


@by_type
def make_room(state, phase):
    """Make room for one more update; where H changes by that, row FULL is not H g any more."""


@by_type
def take_out_held(state, phase):
    """Take the variables that bounds have come to hold out of H."""
