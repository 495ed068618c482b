"""The phases of a run and the vocabulary in which they ask for evaluations.

A phase never calls the user's function. It works in reverse communication: ``start(x, f, g)`` takes a
point; ``need`` says what is wanted next and ``ask()`` where; ``tell(f, g)`` takes it and answers with one
of the codes below; after `ITERATION`, ``next()`` begins the following step. The driver therefore owns every
evaluation, every limit and every stop. `phases.scipy` is the exception: SciPy's methods call the objective
themselves and are stopped by an exception.
"""

NEED_F = 1
"""Wanted: the value at ``ask()``."""
NEED_G = 2
"""Wanted: the gradient at ``ask()``, where the value is known already."""
NEED_FG = 3
"""Wanted: value and gradient at ``ask()``."""
ITERATION = 4
"""A new iterate was accepted; ``x``, ``f`` and ``g`` hold it."""
FAILED = 5
"""No acceptable step was found; ``reason`` says why."""
