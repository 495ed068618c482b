"""Kernels compiled ahead of time: the same runs as Numba's, without Numba."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import twophase_min
from twophase_min.jit import ahead, sources
from twophase_min.jit.compilation import DISABLED, Kernel

ROOT = Path(twophase_min.__file__).parents[1]
COMPILER = (sysconfig.get_config_var("CC") or "cc").split()[0]


def run(code, *arguments, **changes):
    """Run code in a process of its own; answers what it printed last."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **changes}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Directory with an extension of these sources."""
    if DISABLED:
        pytest.skip("nothing is compiled")
    place = tmp_path_factory.mktemp("ahead")
    done = subprocess.run(
        [sys.executable, "-m", "twophase_min.build", "--into", str(place)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        timeout=500,
    )
    if done.returncode != 0 and "compil" in done.stderr:
        pytest.skip(done.stderr)  # no C compiler here
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """C objectives, compiled here."""
    place = tmp_path_factory.mktemp("c")
    (place / "objectives.c").write_text(
        textwrap.dedent("""
        #include <stdint.h>
        #include <unistd.h>
        double rosen(double *x, double *g, int64_t n) {
            double f = 0;
            for (int64_t i = 0; i < n; i++) g[i] = 0;
            for (int64_t i = 0; i + 1 < n; i++) {
                double a = 200 * (x[i + 1] - x[i] * x[i]), b = 1 - x[i];
                f += 0.0025 * a * a + b * b;
                g[i + 1] += a;
                g[i] -= 2 * x[i] * a + 2 * b;
            }
            return f;
        }
        double nap(double *x, double *g, int64_t n) {
            usleep(4000);
            g[0] = 2 * x[0];
            return x[0] * x[0];
        }
        """)
    )
    try:
        subprocess.run([COMPILER, "-O2", "-shared", "-fPIC", "objectives.c", "-o", "objectives.so"],
                       cwd=place, check=True)  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no C compiler")
    return place / "objectives.so"


RUNS = """
    import ctypes, json, sys
    import numpy as np
    from scipy.optimize import rosen, rosen_der
    from twophase_min import minimize

    if sys.argv[2] == "blocked":
        sys.modules["numba"] = None  # an import of it fails
    vector = ctypes.POINTER(ctypes.c_double)
    in_c = ctypes.CDLL(sys.argv[1]).rosen
    in_c.argtypes, in_c.restype = [vector, vector, ctypes.c_int64], ctypes.c_double

    def told(result):
        return [result.x.tolist(), result.nfev, result.njev, result.nit, result.status, result.message]

    x0 = np.array([-1.2, 1.0] * 5)
    own = {"convex_method": "memory-cg"}
    runs = [
        told(minimize(rosen, x0, jac=rosen_der)),
        told(minimize(rosen, x0, jac=rosen_der, options=own)),
        told(minimize(rosen, x0.astype("float32"), jac=rosen_der, options={**own, "gtol": 1e-3})),
        told(minimize(in_c, x0, jac=True)),
        told(minimize(in_c, x0, jac=True, options={"engine": "python", **own})),
        told(minimize(rosen, np.zeros(400_000), jac=rosen_der, options={"maxiter": 3})),
    ]
    print(json.dumps(runs))
"""


@pytest.mark.slow
def test_runs_without_numba_are_those_of_numba(built, library):
    """Counts, causes and messages equal, points equal to rounding."""
    without = json.loads(run(RUNS, library, "blocked", TWOPHASE_AOT=str(built)))
    oracle = json.loads(run(RUNS, library, "free", TWOPHASE_AOT="0"))
    for one, other in zip(without, oracle, strict=True):
        assert one[1:] == other[1:]
        np.testing.assert_allclose(one[0], other[0], rtol=1e-5, atol=1e-9)


@pytest.mark.slow
def test_an_objective_of_numba_runs_in_the_extension(built):
    code = """
        import numpy as np
        from numba import njit
        from twophase_min import minimize
        from twophase_min.run import engine

        @njit
        def both(x):
            return np.sum((x - 1.0) ** 2), 2.0 * (x - 1.0)

        result = minimize(both, np.zeros(3), jac=True, options={"engine": "numba"})
        assert result.success and np.isnan(result.history.time).all()
        from twophase_min.jit import compilation
        compiled = [kernel for kernel, _ in compilation.registered if "dispatcher" in vars(kernel)]
        print(len(compiled))
    """
    assert run(code, TWOPHASE_AOT=str(built)) == "0"


@pytest.mark.slow
def test_the_extension_releases_the_gil(built, library):
    """Naps of four threads overlap, whatever else the cores do."""
    code = """
        import ctypes, sys, time
        import numpy as np
        from twophase_min import multistart
        vector = ctypes.POINTER(ctypes.c_double)
        nap = ctypes.CDLL(sys.argv[1]).nap
        nap.argtypes, nap.restype = [vector, vector, ctypes.c_int64], ctypes.c_double
        seconds = []
        for threads in (1, 4):
            began = time.perf_counter()
            found = multistart(nap, np.ones((40, 1)), jac=True, workers=threads)
            seconds.append(time.perf_counter() - began)
        assert "numba" not in sys.modules
        print(seconds[1] / seconds[0])
    """
    assert float(run(code, library, TWOPHASE_AOT=str(built))) < 0.6


@pytest.mark.slow
def test_kernels_take_what_the_extension_lacks_to_numba(built):
    code = """
        import numpy as np
        from twophase_min.jit import kernels as K
        x = np.arange(6.0)
        y = np.array([3.0, 4.0])
        y.flags.writeable = False
        print(K.norm2(x[:2]), K.dot(x[::2], x[::2]), K.norm_inf(y), K.norm2(y.astype("float32")))
    """
    assert run(code, TWOPHASE_AOT=str(built)) == "1.0 20.0 4.0 5.0"


def test_a_state_is_not_taken_for_another_of_its_class(monkeypatch):
    """Regression: a named tuple of float32 vectors was handed to the function for float64, and crashed."""

    class State(NamedTuple):
        x: np.ndarray

    monkeypatch.setattr(ahead, "extension", lambda: object())
    monkeypatch.setattr(
        ahead, "find", lambda function, arguments: lambda *_: ahead.symbol(function, arguments)
    )
    kernel = Kernel(lambda *arguments: None, {})
    names = {kernel(State(np.zeros(1, kind))) for kind in ("f8", "f4", "i8")}
    names |= {kernel(np.zeros(1, kind)) for kind in ("f8", "f4", "i8")}
    names |= {kernel(np.zeros((1, 1))), kernel(1), kernel(1.0), kernel(True)}
    assert len(names) == 10
    assert kernel(np.zeros(3)) == kernel(np.ones(5))
    assert kernel(np.zeros(6)[::2]) is None


def test_the_hash_covers_all_that_kernels_import():
    """Property: no module that is loaded with the kernels is left out of the hash."""
    code = """
        import importlib, sys
        from twophase_min.jit import compilation, sources
        for name in compilation.KERNEL_MODULES:
            importlib.import_module("twophase_min." + name)
        loaded = {m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "twophase_min"}
        print(sorted(loaded - {str(path) for path in sources.files()}))
    """
    assert run(code) == "[]"


def test_sources_that_changed_find_no_extension(tmp_path, monkeypatch):
    before = ahead.stem("generic")
    monkeypatch.setattr(sources, "digest", lambda: "other")
    assert ahead.stem("generic") != before


def test_an_extension_that_cannot_be_loaded_is_left_alone(tmp_path):
    code = """
        import importlib.machinery, os, pathlib
        from twophase_min.jit import ahead
        place = pathlib.Path(os.environ["TWOPHASE_AOT"])
        for level in ahead.cpu_levels():
            (place / (ahead.stem(level) + importlib.machinery.EXTENSION_SUFFIXES[0])).write_text("no library")
        print(ahead.extension())
    """
    assert run(code, TWOPHASE_AOT=str(tmp_path)) == "None"


def test_a_build_that_fails_says_so_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "twophase_min.build", "--into", str(tmp_path), "--cpu", "abacus"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
            "TWOPHASE_DISABLE_JIT": "0",
        },
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "unknown processor 'abacus'" in done.stderr
