"""One epoch of Adam over data that come in parts, with the moments kept from part to part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min.finite_sum import FiniteSum
from twophase_min.phases import FAILED, ITERATION, NEED_F
from twophase_min.phases.adam import Adam

Array = NDArray[np.floating]


def adam_epoch(
    part: FiniteSum, w: Array, state: dict[str, Any] | None, settings: Mapping[str, Any], epoch: int
) -> tuple[Array, float, dict[str, Any] | None]:
    """Go once through a part of the data.

    A part of one mini-batch is one step, with the gradient of the part before and after it, so that the
    learning rate can adapt as it does on whole data. Of several, the part is evaluated at the end too.

    Parameters
    ----------
    part : FiniteSum
        The loss over the part.
    w : ndarray, shape (n_params,)
        Where to begin.
    state : dict or None
        What the last call returned; None begins with a probe for the learning rate.
    settings : mapping
        Keywords of `phases.adam.Adam`.
    epoch : int
        Number of the epoch, of which the order of the mini-batches depends.

    Returns
    -------
    w : ndarray
        A new vector; the given one where no step leads to a finite loss.
    value : float
        The loss over the part there.
    state : dict or None
        For the next call; None where the probe found no step.
    """
    adam = Adam(**settings)
    f, g = part.value_and_gradient(w)
    if state is None:
        adam.start(w, f, g)
    else:
        adam.set_state(state)
        adam.move(w, f, g)
    if part.n_batches == 1 or adam.probing:
        _step(adam, part)
    if part.n_batches > 1 and adam.need != FAILED:
        _mini_batches(adam, part, epoch)
    reached, f, _ = adam.iterate()
    return reached.copy(), f, None if adam.probing else adam.get_state()  # a probe that failed is made again


def _step(adam: Adam, part: FiniteSum) -> None:
    """Make one step of Adam, or the probe that is its first one."""
    need = adam.next() if adam.need == ITERATION else adam.need
    while need not in (ITERATION, FAILED):
        if need == NEED_F:
            need = adam.tell(part.value(adam.trial), None)
        else:
            need = adam.tell(*part.value_and_gradient(adam.trial))


def _mini_batches(adam: Adam, part: FiniteSum, epoch: int) -> None:
    """Step once a mini-batch; go back, to shorter steps, if the loss is not finite after it."""
    before = adam.get_state()
    for indices in part.batches(epoch):
        adam.step(adam.x, part.batch_value_and_gradient(adam.x, indices)[1])
    f, g = part.value_and_gradient(adam.x)
    if np.isfinite(f) and np.isfinite(g).all():
        adam.arrive(f, g, before)
    else:
        adam.set_state(before)
        adam.scale_back()
