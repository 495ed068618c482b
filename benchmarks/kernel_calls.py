"""Adam's step and single kernels as `speed.py` times them: functions of (n, dtype) that return the call."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

Call = Callable[[], Any]


def vectors(n: int, kind: str, count: int) -> list[np.ndarray]:
    """Seeded normal vectors."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(n).astype(kind) for _ in range(count)]


def threads() -> int:
    """Threads of every contender, see `speed.section_adam`."""
    return int(os.environ.get("TWOPHASE_NUM_THREADS", "2"))


def adam_ours(n: int, kind: str) -> Call:
    """`twophase_min`: serial or threaded as its size rule says."""
    from twophase_min.jit import kernels as _kernels

    x, m, v, g = vectors(n, kind, 4)
    np.abs(v, out=v)
    count = 0

    def call() -> None:
        nonlocal count
        count += 1
        _kernels.adam_step(x, m, v, g, count, 1e-3, 0.9, 0.999, 1e-8)

    return call


def adam_ours_serial(n: int, kind: str) -> Call:
    """`twophase_min` on one thread."""
    from twophase_min.jit import kernels as _kernels

    x, m, v, g = vectors(n, kind, 4)
    np.abs(v, out=v)
    return lambda: _kernels.adam_serial(x, m, v, g, 5, 1e-3, 0.9, 0.999, 1e-8)


def adam_torch(n: int, kind: str) -> Call:
    """``torch.optim.Adam(fused=True).step()``."""
    import torch

    torch.set_num_threads(threads())
    x, g = map(torch.from_numpy, vectors(n, kind, 2))
    parameter = torch.nn.Parameter(x)
    parameter.grad = g
    step = torch.optim.Adam([parameter], lr=1e-3, betas=(0.9, 0.999), eps=1e-8, fused=True).step
    return lambda: step()


def adam_torch_kernel(n: int, kind: str) -> Call:
    """Call ``torch._fused_adam_``, the kernel inside it alone: not what users call, but its lower bound."""
    import torch

    torch.set_num_threads(threads())
    x, m, v, g = map(torch.from_numpy, vectors(n, kind, 4))
    v.abs_()
    t = torch.tensor(5.0)
    options: dict[str, Any] = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
    return lambda: torch._fused_adam_([x], [g], [m], [v], [], [t], amsgrad=False, maximize=False, **options)


def adam_optax(n: int, kind: str) -> Call:
    """``optax.adam`` under ``jax.jit`` with donated buffers."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    import optax  # type: ignore[import-untyped]

    x, g = map(jnp.asarray, vectors(n, kind, 2))
    rule = optax.adam(1e-3, 0.9, 0.999, 1e-8)

    def update(x, state, g):
        change, state = rule.update(g, state, x)
        return optax.apply_updates(x, change), state

    step = jax.jit(update, donate_argnums=(0, 1))
    state = rule.init(x)

    def call() -> None:
        nonlocal x, state
        x, state = step(x, state, g)
        jax.block_until_ready(x)

    return call


def adam_numpy(n: int, kind: str) -> Call:
    """NumPy, in place, with two work vectors."""
    x, m, v, g, a, b = vectors(n, kind, 6)
    np.abs(v, out=v)

    def call() -> None:
        np.multiply(m, 0.9, out=m)
        np.multiply(g, 0.1, out=a)
        np.add(m, a, out=m)
        np.multiply(g, g, out=a)
        np.multiply(a, 0.001, out=a)
        np.multiply(v, 0.999, out=v)
        np.add(v, a, out=v)
        np.sqrt(v, out=a)
        np.multiply(a, 14.1, out=a)
        np.add(a, 1e-8, out=a)
        np.divide(m, a, out=b)
        np.multiply(b, 2.4e-3, out=b)
        np.subtract(x, b, out=x)

    return call


def copy_one_thread(n: int, kind: str) -> Call:
    """Three vectors copied: six streams."""
    sources, targets = vectors(n, kind, 3), vectors(n, kind, 3)

    def call() -> None:
        for source, target in zip(sources, targets, strict=True):
            np.copyto(target, source)

    return call


def copy_two_threads(n: int, kind: str) -> Call:
    """Copy the same, each vector in two halves on two threads."""
    from twophase_min.jit.threads import Pool

    sources, targets = vectors(n, kind, 3), vectors(n, kind, 3)
    pool, half = Pool(2), -(-n // 2)
    parts = [
        (t[k : k + half], s[k : k + half]) for t, s in zip(targets, sources, strict=True) for k in (0, half)
    ]

    def copy(k: int) -> None:
        np.copyto(*parts[k])

    return lambda: pool.run(copy, len(parts))


def kernel_contender(expression: str) -> Callable[[int, str], Call]:
    """Return a contender that evaluates an expression in vectors a, b, c, `K` (our kernels) and `np`."""

    def contender(n: int, kind: str) -> Call:
        from twophase_min.jit import kernels as _kernels

        a, b, c = vectors(n, kind, 3)
        names = {"a": a, "b": b, "c": c, "K": _kernels, "np": np, "out": np.empty_like(a)}
        return eval(f"lambda: {expression}", names)

    return contender


KERNELS = {
    "dot": (2, "K.dot(a, b)", "np.dot(a, b)"),
    "two dots": (3, "K.two_dots(a, b, c)", "(np.dot(a, b), np.dot(a, c))"),
    "y += a x; y.z": (4, "K.axpy_dot(1e-9, a, b, c)", "np.dot(np.add(b, 1e-9 * a, out=b), c)"),
    "y = g - h; y'y, y's": (
        4,
        "K.difference_dots(a, b, c, out)",
        "(np.dot(np.subtract(a, b, out=out), out), np.dot(out, c))",
    ),
    "p = b p - g": (3, "K.axpby(-1.0, a, 0.5, b)", "np.subtract(np.multiply(b, 0.5, out=b), a, out=b)"),
    "max norm": (1, "K.norm_inf(a)", "np.abs(a).max()"),
    "2-norm": (1, "K.norm2(a)", "np.linalg.norm(a)"),
    "all finite": (1, "K.all_finite(a)", "np.isfinite(a).all()"),
}
"""Streams of memory, ours, NumPy's."""

CONTENDERS: dict[str, Callable[[int, str], Call]] = {
    "twophase": adam_ours,
    "twophase, 1 thread": adam_ours_serial,
    "torch fused": adam_torch,
    "torch kernel": adam_torch_kernel,
    "optax jit": adam_optax,
    "NumPy": adam_numpy,
    "copy": copy_one_thread,
    "copy, 2 threads": copy_two_threads,
}
for _name, (_, _ours, _theirs) in KERNELS.items():
    CONTENDERS[f"{_name} (ours)"] = kernel_contender(_ours)
    CONTENDERS[f"{_name} (NumPy)"] = kernel_contender(_theirs)
