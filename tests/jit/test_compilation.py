"""The compilation helper and its files on disk, each case in fresh processes."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import twophase_min.jit.compilation as jit_module
from twophase_min.jit import kernels as _kernels
from twophase_min.jit.compilation import jit, prepare, warmup

ROOT = str(Path(jit_module.__file__).parents[2])


class Sandbox:
    """A directory with modules of kernels and a cache of its own."""

    def __init__(self, path):
        self.path = path
        self.cache = path / "cache"

    def write(self, **modules):
        for name, text in modules.items():
            (self.path / f"{name}.py").write_text(textwrap.dedent(text))

    def start(self, code, **environment):
        changes = {
            "NUMBA_CACHE_DIR": str(self.cache),
            "TWOPHASE_DISABLE_JIT": "0",
            "TWOPHASE_AOT": "0",
            **environment,
        }
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            cwd=self.path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([ROOT, *sys.path]), **changes},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, code, **environment):
        process = self.start(code, **environment)
        out, err = process.communicate(timeout=500)  # a busy machine compiles all kernels in that
        assert process.returncode == 0, err
        return out.split()

    def files(self):
        return sorted(self.cache.rglob("*.nbc"))


@pytest.fixture
def sandbox(tmp_path):
    return Sandbox(tmp_path)


# Prints the result of outer(2.0) and whether it came from the disk.
CALL = """
    import outer
    result = outer.outer(2.0)
    print(result, sum(outer.outer.stats.cache_hits.values()))
"""

INNER = """
    from twophase_min.jit.compilation import jit

    @jit
    def inner(x):
        return x + 1.0
"""

OUTER = """
    from twophase_min.jit.compilation import jit
    from inner import inner

    SCALE = 10.0

    @jit
    def outer(x):
        return SCALE * inner(x)
"""


def test_nothing_is_compiled_by_importing_the_kernels(sandbox):
    out = sandbox.run(
        """
        import twophase_min.jit.kernels as K
        print(len(K.adam_serial.signatures), len(K.dot.signatures))
        """
    )
    assert out == ["0", "0"]
    assert not sandbox.files()


def test_disabled_gives_plain_functions_and_never_imports_numba(sandbox):
    out = sandbox.run(
        """
        import sys
        import numpy as np
        from twophase_min.jit import kernels as K
        from twophase_min.jit.compilation import jit, prepare, warmup
        x = np.array([3.0, 4.0])
        assert jit(len) and warmup() >= 0 and prepare(K.dot, x, x) is K.dot
        print(K.norm2(x), 'numba' in sys.modules)
        """,
        TWOPHASE_DISABLE_JIT="1",
    )
    assert out == ["5.0", "False"]


def test_a_second_process_reads_what_the_first_compiled(sandbox):
    sandbox.write(inner=INNER, outer=OUTER)
    assert sandbox.run(CALL) == ["30.0", "0"]
    assert sandbox.run(CALL) == ["30.0", "1"]


@pytest.mark.parametrize(
    ("module", "old", "new", "expected"),
    [
        ("inner", "x + 1.0", "x + 2.0", "40.0"),
        ("outer", "SCALE = 10.0", "SCALE = 100.0", "300.0"),
        ("outer", "SCALE * inner(x)", "SCALE - inner(x)", "7.0"),
        ("outer", "@jit", "@jit(error_model='python')", "30.0"),
    ],
)
def test_numba_1833_a_change_in_anything_reached_is_noticed(sandbox, module, old, new, expected):
    texts = {"inner": INNER, "outer": OUTER}
    sandbox.write(**texts)
    sandbox.run(CALL)
    sandbox.write(**{module: texts[module].replace(old, new)})
    assert sandbox.run(CALL) == [expected, "0"]


def test_a_change_through_a_module_attribute_is_noticed(sandbox):
    text = """
        import inner as tools
        from twophase_min.jit.compilation import jit

        @jit
        def outer(x):
            return tools.inner(x)
    """
    sandbox.write(inner=INNER, outer=text)
    assert sandbox.run(CALL) == ["3.0", "0"]
    sandbox.write(inner=INNER.replace("1.0", "5.0"))
    assert sandbox.run(CALL) == ["7.0", "0"]


def test_reordered_fields_of_a_named_tuple_are_noticed(sandbox):
    text = """
        from typing import NamedTuple
        from twophase_min.jit.compilation import jit

        class State(NamedTuple):
            a: float
            b: float

        @jit
        def first(state):
            return state.a

        def outer(x):
            return first(State(a=x, b=0.0))

        outer.stats = first.stats
    """
    sandbox.write(outer=text)
    assert sandbox.run(CALL)[0] == "2.0"
    swapped = (
        text.replace("a: float", "c: float").replace("b: float", "a: float").replace("c: float", "b: float")
    )
    sandbox.write(outer=swapped)
    assert sandbox.run(CALL)[0] == "2.0"


def test_a_comment_does_not_compile_again(sandbox):
    sandbox.write(inner=INNER, outer=OUTER)
    sandbox.run(CALL)
    sandbox.write(inner="\n# a remark\n" + textwrap.dedent(INNER), outer=OUTER)
    assert sandbox.run(CALL) == ["30.0", "1"]


def test_a_damaged_file_is_compiled_again(sandbox):
    sandbox.write(inner=INNER, outer=OUTER)
    sandbox.run(CALL)
    for damage in (
        lambda content: content[: len(content) // 2],
        lambda content: content[:-100] + bytes([content[-100] ^ 255]) + content[-99:],
        lambda content: b"",
        lambda content: b"x" * 500,
    ):
        for file in sandbox.files():
            file.write_bytes(damage(file.read_bytes()))
        assert sandbox.run(CALL) == ["30.0", "0"]
    assert sandbox.run(CALL) == ["30.0", "1"]


def test_no_writable_directory_is_no_error(sandbox):
    """Files stand where directories would have to be made; permissions would not stop root."""
    sandbox.write(inner=INNER, outer=OUTER)
    for name in ("cache", "__pycache__", "user"):
        (sandbox.path / name).write_text("in the way")
    home = str(sandbox.path / "user")
    places = {"XDG_CACHE_HOME": home, "HOME": home, "LOCALAPPDATA": home, "PYTHONDONTWRITEBYTECODE": "1"}
    assert sandbox.run(CALL, **places) == ["30.0", "0"]
    assert sandbox.run(CALL, **places) == ["30.0", "0"]


def test_files_go_beside_the_source_by_default(sandbox):
    sandbox.write(inner=INNER, outer=OUTER)
    home = {
        "NUMBA_CACHE_DIR": "",
        "XDG_CACHE_HOME": str(sandbox.path / "user"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    assert sandbox.run(CALL, **home) == ["30.0", "0"]
    kept = {file.name: file.read_bytes() for file in (sandbox.path / "__pycache__").glob("*.nbc")}
    assert any("outer" in name for name in kept)
    assert not (sandbox.path / "user").exists()
    assert sandbox.run(CALL, **home) == ["30.0", "1"]


def test_the_user_directory_serves_where_the_package_cannot_be_written_to(sandbox):
    sandbox.write(inner=INNER, outer=OUTER)
    (sandbox.path / "__pycache__").write_text("in the way")
    home = {
        "NUMBA_CACHE_DIR": "",
        "XDG_CACHE_HOME": str(sandbox.path / "user"),
        "HOME": str(sandbox.path / "user"),
    }
    assert sandbox.run(CALL, **home) == ["30.0", "0"]
    assert sandbox.run(CALL, **home) == ["30.0", "1"]


def test_closures_are_told_apart_and_functions_as_arguments_stay_in_memory(sandbox):
    sandbox.write(
        outer="""
        from twophase_min.jit.compilation import jit

        def make(step):
            @jit
            def outer(x):
                return x + step
            return outer

        @jit
        def square(x):
            return x * x

        @jit
        def apply(f, x):
            return f(x)
        """
    )
    code = """
        import outer
        print(outer.make(1.0)(1.0), outer.make(5.0)(1.0), outer.apply(outer.square, 3.0))
    """
    assert sandbox.run(code) == ["2.0", "6.0", "9.0"]
    assert sandbox.run(code) == ["2.0", "6.0", "9.0"]
    assert not any("apply" in file.name for file in sandbox.files())


@pytest.mark.slow
def test_code_from_the_disk_can_be_called_by_newly_compiled_code(sandbox):
    sandbox.write(inner=INNER, outer=OUTER)
    sandbox.run(CALL)
    out = sandbox.run(
        """
        import numba, numpy as np, outer
        outer.outer(2.0)  # read before Numba has filled its registries

        @numba.njit
        def late(x):
            return outer.outer(x) + np.linalg.norm(np.ones(4)) + np.sort(np.array([3.0, 1.0]))[0]

        print(late(2.0), sum(outer.outer.stats.cache_hits.values()))
        """
    )
    assert out == ["33.0", "1"]


@pytest.mark.slow
def test_symbols_that_numba_registers_late_are_found(sandbox):
    """Hashing needs symbols that exist only after the registries have been filled."""
    text = """
        from twophase_min.jit.compilation import jit

        @jit(_nrt=True)
        def outer(x):
            table = {"a": x, "b": 2.0 * x}
            return table["b"] + len(str(12))
    """
    sandbox.write(outer=text)
    assert sandbox.run(CALL) == ["6.0", "0"]
    assert sandbox.run(CALL) == ["6.0", "1"]


@pytest.mark.slow
def test_numba_4807_processes_that_start_together_on_an_empty_cache(sandbox):
    """Eight processes compile both dtypes at once; none fails, and what they leave behind is right."""
    code = """
        import sys
        import numpy as np
        from twophase_min.jit import kernels as K
        kinds = [np.float64, np.float32][::{order}]
        for kind in kinds:
            x = np.full(3, 2, kind)
            assert K.dot(x, x) == 12.0
            assert K.norm2(x) == np.sqrt(12.0)
            y, m, v = x.copy(), np.zeros(3, kind), np.zeros(3, kind)
            K.adam_step(y, m, v, x, 1, 0.5, 0.9, 0.999, 0.0)
            assert y.dtype == kind and np.allclose(y, 1.5)
        print(sum(K.dot.stats.cache_hits.values()))
    """
    together = [sandbox.start(code.format(order=1 - 2 * (k % 2))) for k in range(8)]
    for process in together:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert not list(sandbox.cache.rglob("*.tmp"))
    assert sandbox.run(code.format(order=1)) == ["2"]


@pytest.mark.slow
def test_warmup_leaves_nothing_to_compile(sandbox):
    out = sandbox.run(
        """
        import numba
        import numpy as np
        from twophase_min.jit import compilation as _jit
        seconds = _jit.warmup(np.float64, 'float32')
        from twophase_min.jit import kernels as K
        kinds = lambda example: {tuple(map(numba.typeof, example(k))) for k in (np.float64, np.float32)}
        wanted = {}  # one kernel may be registered for the states of several phases
        for kernel, example in _jit.registered:
            wanted.setdefault(kernel, set()).update(kinds(example))
        print(all(len(kernel.signatures) == len(types) for kernel, types in wanted.items()))
        print(len(_jit.registered) > 10, seconds > 0)
        before = dict(K.norm2.stats.cache_misses)
        K.norm2(np.ones(3, 'float32'))
        print(before == dict(K.norm2.stats.cache_misses))
        """
    )
    assert out == ["True", "True", "True", "True"]


@pytest.mark.slow
def test_kernels_run_without_the_private_linking(sandbox):
    """On a version of Numba that it was not tested with: the same to rounding, and kept in other files."""
    code = """
        import numpy as np
        from twophase_min.jit import linking
        linking.AVAILABLE = linking.AVAILABLE and {on}
        from scipy.optimize import rosen, rosen_der
        from twophase_min import minimize
        from twophase_min.jit import kernels as K
        result = minimize(rosen, np.zeros(4), jac=rosen_der, options={{"convex_method": "memory-cg"}})
        print(result.nfev, result.njev, K.all_finite(result.x), sum(K.norm2.stats.cache_hits.values()))
    """
    plain = sandbox.run(code.format(on=False))
    linked = sandbox.run(code.format(on=True))
    assert plain == linked
    assert plain[2:] == ["True", "0"]


@pytest.mark.slow
def test_a_user_s_function_may_call_kernels(sandbox):
    out = sandbox.run(
        """
        import numba
        import numpy as np
        from twophase_min.jit import kernels as K

        @numba.njit
        def mine(x):
            m, v = np.zeros(x.size), np.zeros(x.size)
            K.adam_step(x, m, v, x.copy(), 1, 0.5, 0.9, 0.999, 0.0)
            return K.norm2(x) + K.dot(x, x)

        x = np.array([3.5, 4.5])
        print(mine(x), x[0], K.norm2(np.array([3.0, 4.0])))
        """
    )
    assert [round(float(text), 6) for text in out] == [30.0, 3.0, 5.0]


def test_warmup_refuses_other_dtypes():
    with pytest.raises(ValueError, match="float16"):
        warmup(np.float16)


def test_prepared_code_does_what_the_kernel_does():
    x, y = np.arange(4.0), np.ones(4)
    assert prepare(_kernels.dot, x, y)(x, y) == _kernels.dot(x, y) == 6.0


def test_division_by_zero_follows_ieee():
    @jit(cache=False)
    def divide(x, y):
        return x / y

    assert divide(np.float64(1.0), np.float64(0.0)) == np.inf
    assert np.isnan(divide(np.float64(0.0), np.float64(0.0)))


@pytest.mark.parametrize("collecting", [True, False])
def test_preparing_a_kernel_leaves_the_garbage_collector_as_it_was(collecting):
    before = gc.isenabled()
    try:
        (gc.enable if collecting else gc.disable)()
        assert prepare(jit(lambda x: x + 1.0, cache=False), 1.0)(2.0) == 3.0
        assert gc.isenabled() == collecting
        with contextlib.suppress(Exception):  # raised where something is compiled
            prepare(jit(lambda x: x.no_such_attribute, cache=False), 1.0)
        assert gc.isenabled() == collecting
    finally:
        (gc.enable if before else gc.disable)()
