"""Losses of JAX and PyTorch as functions of a flat vector."""

import os
import subprocess
import sys
import threading
import warnings
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
import scipy.optimize

from twophase_min import curve_fit, minimize
from twophase_min.gradients import from_jax, from_torch

Line = namedtuple("Line", "slope offset")


def differences(a, x):
    """Central differences of an adapted function, in float64."""
    steps = 1e-6 * np.eye(x.size)
    return np.array([(a.fun(x + step)[0] - a.fun(x - step)[0]) / 2e-6 for step in steps])


def in_new_process(code, **variables):
    """Run a script, in a process whose JAX has its own settings; answers what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


# ---- JAX -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jax():
    return pytest.importorskip("jax")


def network(jax):
    """A small network's loss as a function of a pytree with dicts, lists, tuples, None and a plain float."""
    jnp = jax.numpy
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(20, 3)), rng.normal(size=20)

    def loss(p, inputs=inputs, targets=targets):
        hidden = jnp.tanh(inputs @ p["layers"][0][0] + p["layers"][0][1])
        output = hidden @ p["layers"][1] + p["offset"]
        return jnp.mean((output - targets) ** 2)

    parameters = {
        "layers": [(rng.normal(size=(3, 4)), np.zeros(4)), rng.normal(size=4)],
        "offset": 0.5,
        "unused": None,
    }
    return loss, parameters


def test_the_gradient_of_jax_is_that_of_differences(jax):
    loss, parameters = network(jax)
    a = from_jax(loss, parameters)
    value, gradient = a.fun(a.x0)
    assert isinstance(value, float)
    assert gradient.shape == a.x0.shape == (21,)
    np.testing.assert_allclose(gradient, differences(a, a.x0), rtol=1e-6, atol=1e-9)


def test_the_gradient_of_jax_is_autograds(jax):
    import autograd
    import autograd.numpy as anp

    def loss(np, x):
        return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    x = np.linspace(-1.2, 1.0, 7)
    a = from_jax(lambda x: loss(jax.numpy, x), x)
    np.testing.assert_allclose(a.fun(x)[1], autograd.grad(lambda x: loss(anp, x))(x), rtol=1e-13)


def test_a_pytree_comes_back_as_it_came(jax):
    jnp = jax.numpy
    tree = {
        "b": [np.arange(6.0).reshape(2, 3), jnp.arange(4, dtype=jnp.float32)],
        "a": Line(1.5, np.float32(2.5)),
        "empty": (),
    }
    a = from_jax(lambda p: p["a"].slope * jnp.sum(p["b"][0]), tree)
    assert a.x0.tolist() == [1.5, 2.5, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3]  # JAX sorts the keys
    back = a.unflatten(a.x0 + 1)
    assert jax.tree_util.tree_structure(back) == jax.tree_util.tree_structure(tree)
    for old, new in zip(jax.tree_util.tree_leaves(tree), jax.tree_util.tree_leaves(back), strict=True):
        assert type(new) is type(old)
        assert np.shape(new) == np.shape(old)
        assert getattr(new, "dtype", None) == getattr(old, "dtype", None)
        np.testing.assert_array_equal(np.asarray(new), np.asarray(old) + 1)
    np.testing.assert_array_equal(a.unflatten.flatten(back), a.x0 + 1)
    assert tree["b"][0][0, 0] == 0  # the caller's own is not written to


def test_float32_is_kept_and_said(jax):
    loss, parameters = network(jax)
    a = from_jax(loss, jax.tree_util.tree_map(np.float32, parameters))
    assert a.x0.dtype == a.fun(a.x0)[1].dtype == np.float32
    assert "21 variables in float32" in repr(a)
    assert a.fun(a.x0.astype(float))[1].dtype == np.float32
    result = minimize(a.fun, a.x0, jac=True, options={"maxfun": 200})
    assert result.x.dtype == np.float32
    assert result.fun < a.fun(a.x0)[0]


X64 = """
import warnings
warnings.simplefilter("error")
import jax, jax.numpy as jnp, numpy as np
from twophase_min.gradients import from_jax
assert not jax.config.jax_enable_x64
old = jnp.arange(1.0, 4.0) / 3  # float32
seen = []
def loss(x, data):
    seen.append((x.dtype, jnp.linspace(0.0, 1.0, 3).dtype, data.dtype))
    return jnp.sum(old * jnp.exp(x) * data)
x = np.array([0.1, 0.2, 0.3])
data = np.array([1.0, 1.0, 1.0 + 1e-12])
a = from_jax(loss, x, args=(data,))
value, gradient = a.fun(x)
exact = np.asarray(old, float) * np.exp(x) * data
assert seen[0] == (np.float64,) * 3, seen
assert gradient.dtype == np.float64 and np.allclose(gradient, exact, rtol=1e-15, atol=0)
assert abs(value - exact.sum()) < 1e-15
assert a.unflatten(x).dtype == np.float64
assert not jax.config.jax_enable_x64 and jnp.zeros(1).dtype == np.float32
print(a)
b = from_jax(lambda x: jnp.sum(old * x), old)
assert b.fun(b.x0)[1].dtype == np.float32 and b.unflatten(b.x0).dtype == np.float32
print(b)
"""


def test_float64_is_computed_although_jax_has_it_off_and_its_setting_stays(jax):
    said = in_new_process(X64, JAX_ENABLE_X64="0").splitlines()
    assert said[0] == (
        "Adapted(3 variables in float64, value and gradient from JAX (jax_enable_x64 is off: each call turns "
        "it on for itself))"
    )
    assert said[1] == "Adapted(3 variables in float32, value and gradient from JAX)"


def test_a_chosen_device_is_kept(jax):
    code = """
import jax, jax.numpy as jnp, numpy as np
from twophase_min.gradients import from_jax
other = jax.devices()[1]
p = {"w": jax.device_put(jnp.ones(3), other), "b": 1.0}
data = jax.device_put(jnp.arange(3.0), other)
a = from_jax(lambda p: jnp.sum((p["w"] - data) ** 2) + p["b"], p)
print(a.fun(a.x0), a.unflatten(a.x0)["w"].devices() == {other})
"""
    said = in_new_process(code, XLA_FLAGS="--xla_force_host_platform_device_count=2", JAX_PLATFORMS="cpu")
    assert said.startswith("(3.0, ")
    assert "True" in said


def test_a_loss_in_float32_of_float64_parameters_is_warned_of_once(jax):
    jnp = jax.numpy
    a = from_jax(lambda x: jnp.sum(x.astype(jnp.float32) ** 2), np.ones(3))
    with pytest.warns(
        RuntimeWarning, match="computed in float32 although the parameters are float64"
    ) as caught:
        a.fun(a.x0)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a.fun(a.x0 + 1)


def test_other_data_need_no_new_compilation(jax):
    traces = []

    def loss(x, data):
        traces.append(1)
        return jax.numpy.sum((x - data) ** 2)

    a = from_jax(loss, np.zeros(2), args=np.ones(2))
    assert a.fun(a.x0)[0] == 2.0
    assert a.fun(a.x0, np.full(2, 2.0))[0] == 8.0
    assert len(traces) == 1
    result = minimize(a.fun, a.x0, args=(np.full(2, 3.0),), jac=True)
    assert result.success
    np.testing.assert_allclose(result.x, 3.0, atol=1e-5)
    assert len(traces) == 1


def test_what_follows_the_loss_is_dropped(jax):
    a = from_jax(lambda x: (jax.numpy.sum(x**2), {"anything": x}), np.ones(2), has_aux=True)
    assert a.fun(a.x0)[0] == 2.0


def test_pythons_branches_need_jit_off(jax):
    def loss(x):
        return jax.numpy.sum(x**2) if x[0] > 0 else -x[0]

    with pytest.raises(TypeError, match=r"cannot trace fun .*jit=False"):
        from_jax(loss, np.ones(2)).fun(np.ones(2))
    a = from_jax(loss, np.ones(2), jit=False)
    np.testing.assert_array_equal(a.fun(np.array([-2.0, 1.0]))[1], [-1.0, 0.0])
    with pytest.raises(TypeError, match=r"use jax.numpy in place of numpy"):
        from_jax(lambda x: np.sum(np.exp(np.asarray(x))), np.ones(2), jit=False).fun(np.ones(2))


@pytest.mark.parametrize("from_library", [from_jax, from_torch])
@pytest.mark.parametrize(
    ("x0", "text"),
    [
        ({"w": np.ones(2), "n": np.arange(3)}, r"x0\['n'\] is int64, and an integer has no gradient"),
        ({"w": [1.0, 2]}, r"x0\['w'\]\[1\] is int, and an integer"),
        ([np.ones(2), True], r"x0\[1\] is bool"),
        ({"h": np.ones(2, np.float16)}, r"x0\['h'\] is float16: make it float32 or float64"),
        (np.ones(2) + 1j, "x0 is complex128: split it"),
        ({"f": abs}, r"x0\['f'\] is a builtin_function_or_method, not an array of float32"),
        ({}, "no numbers in it"),
        ([np.ones(0)], "no numbers in it"),
    ],
)
def test_parameters_without_a_gradient_are_named(x0, text, from_library):
    pytest.importorskip("jax" if from_library is from_jax else "torch")
    with pytest.raises((TypeError, ValueError), match=text) as error:
        from_library(lambda p: 0.0, x0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (lambda jnp: lambda x: x**2, r"The loss has shape \(2,\); return a scalar: take jnp.mean"),
        (lambda jnp: lambda x: (jnp.sum(x), x), "The loss is a tuple; .*has_aux=True"),
        (lambda jnp: lambda x: None, "The loss is a NoneType"),
        (lambda jnp: lambda x: jnp.sum(x) + 1j, "The loss is complex"),
        (lambda jnp: lambda x: jnp.argmax(x), "The loss is int"),
    ],
)
def test_a_loss_of_jax_that_is_no_real_scalar_is_told(jax, loss, text):
    a = from_jax(loss(jax.numpy), np.ones(2))
    with pytest.raises((TypeError, ValueError), match=text):
        a.fun(a.x0)


def test_a_loss_of_size_one_is_a_scalar(jax):
    a = from_jax(lambda x: jax.numpy.sum(x**2, keepdims=True), np.ones(2))
    assert a.fun(a.x0)[0] == 2.0


@pytest.mark.parametrize("x", [np.zeros(3), np.zeros((2, 1)), 1.0])
def test_a_vector_of_another_size_is_told(jax, x):
    a = from_jax(lambda p: p["a"] + p["b"], {"a": 1.0, "b": 2.0})
    for call in (a.fun, a.unflatten):
        with pytest.raises(ValueError, match=r"x has shape .*, expected \(2,\)"):
            call(x)


def test_parameters_of_another_structure_are_told(jax):
    a = from_jax(lambda p: p["a"] + p["b"], {"a": 1.0, "b": 2.0})
    with pytest.raises(ValueError, match=r"The parameters are \['a'\]; expected \['a'\], \['b'\]"):
        a.unflatten.flatten({"a": 1.0})
    with pytest.raises(ValueError, match=r"x0\['b'\] has shape \(2,\), expected \(\)"):
        a.unflatten.flatten({"a": 1.0, "b": np.ones(2)})


def test_scipys_minimisers_and_ours_by_name_take_it(jax):
    loss, parameters = network(jax)
    fun, x0, unflatten = from_jax(loss, parameters)
    scipys = scipy.optimize.minimize(fun, x0, jac=True, method="L-BFGS-B")
    ours = minimize(fun, x0, method="BFGS")  # value_and_gradient is found without jac
    assert scipys.success
    assert ours.gradient.startswith("fused")
    assert fun(unflatten.flatten(unflatten(scipys.x)))[0] == scipys.fun


TWO_PRECISIONS = """
import jax, jax.numpy as jnp, numpy as np
from twophase_min.gradients import from_jax
data = np.linspace(0.0, 1.0, 20)
def loss(x, data=data):
    return jnp.mean((jnp.tanh(x) - data) ** 2)
x = np.ones(20)
for _ in range(2):
    for call in (loss, jax.jit(loss)):
        print(call(jnp.asarray(x), jnp.asarray(data)).dtype)
    a = from_jax(loss, x, args=(data,))
    assert abs(a.fun(x)[0] - np.mean((np.tanh(x) - data) ** 2)) < 1e-15
    print("same")
jax.jit(loss)(x)
try:
    print("works" if from_jax(loss, x).fun(x)[1].dtype == np.float64 else "wrong")
except RuntimeError as error:
    print(error)
"""


def test_data_as_arguments_are_computed_in_both_precisions(jax):
    """Of JAX 0.10 this cannot be said of NumPy arrays that a function closes over: that is an error."""
    said = in_new_process(TWO_PRECISIONS, JAX_ENABLE_X64="0").splitlines()
    assert said[:6] == ["float32", "float32", "same"] * 2
    assert said[6] == "works" or "hand the data over as args=" in said[6]


# ---- PyTorch ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def module(torch, dtype=None):
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Tanh(), torch.nn.Linear(4, 1)
    )
    net.to(dtype or torch.float64)
    inputs, targets = (
        torch.randn(20, 3, dtype=net[0].weight.dtype),
        torch.randn(20, 1, dtype=net[0].weight.dtype),
    )
    return net, lambda net: torch.mean((net(inputs) - targets) ** 2)


def test_the_gradient_of_a_module_is_pytorchs_and_that_of_differences(torch):
    net, loss = module(torch)
    a = from_torch(net, loss=loss)
    value, gradient = a.fun(a.x0)
    own = loss(net)
    own.backward()
    assert value == own.item()
    np.testing.assert_array_equal(gradient, torch.cat([p.grad.ravel() for p in net.parameters()]).numpy())
    np.testing.assert_allclose(gradient, differences(a, a.x0), rtol=1e-6, atol=1e-9)


def test_a_module_is_not_touched_and_its_state_dict_comes_back(torch):
    net, loss = module(torch)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    a = from_torch(net, loss=loss)
    a.fun(a.x0 + 0.3)
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all(p.grad is None for p in net.parameters())
    state = a.unflatten(a.x0 + 0.3)
    assert list(state) == list(before)
    assert torch.equal(state["0.weight"], before["0.weight"] + 0.3)
    assert torch.equal(state["1.running_var"], before["1.running_var"])
    assert state["1.num_batches_tracked"].dtype == torch.int64
    np.testing.assert_array_equal(a.unflatten.flatten(state), a.x0 + 0.3)
    net.load_state_dict(state)
    assert loss(net).item() == a.fun(a.x0 + 0.3)[0]


def test_a_loss_may_read_the_module_from_where_it_was_defined(torch):
    """A closure over the module, and a penalty over its parameters, see the parameters of the call."""
    net, loss = module(torch)
    both = (
        from_torch(net, loss=lambda _: loss(net) + sum((p**2).sum() for p in net.parameters())),
        from_torch(net, loss=lambda net: loss(net) + sum((p**2).sum() for p in net.parameters())),
    )
    x = both[0].x0 + 0.1
    np.testing.assert_array_equal(both[0].fun(x)[1], both[1].fun(x)[1])
    np.testing.assert_allclose(both[0].fun(x)[1], differences(both[0], x), rtol=1e-6, atol=1e-9)


def test_frozen_parameters_stay_and_tied_ones_are_one(torch):
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)).double()
    net[1].weight = net[0].weight
    net[2].requires_grad_(False)
    a = from_torch(net, loss=lambda net: (net(torch.ones(1, 2, dtype=torch.float64)) ** 2).sum())
    assert a.x0.size == 8
    state = a.unflatten(a.x0 + 1)
    assert torch.equal(state["0.weight"], state["1.weight"])
    assert torch.equal(state["2.weight"], net[2].weight)
    net.load_state_dict(state)
    assert net[1].weight is net[0].weight
    np.testing.assert_allclose(a.fun(a.x0)[1], differences(a, a.x0), rtol=1e-6, atol=1e-9)


def test_a_state_dict_is_a_start(torch):
    net, loss = module(torch)
    state = {
        key: value + 1 if value.is_floating_point() else value for key, value in net.state_dict().items()
    }
    a = from_torch(net, state, loss=loss)
    assert a.x0[0] == pytest.approx(net[0].weight[0, 0].item() + 1)
    frozen, _ = module(torch)
    frozen[0].requires_grad_(False)
    b = from_torch(frozen, state, loss=loss)
    assert b.x0.size == a.x0.size - 16
    assert b.fun(b.x0)[0] == pytest.approx(a.fun(a.x0)[0], rel=1e-14)  # frozen ones come from it, too
    with pytest.raises(ValueError, match="not a state_dict of this module: expected a dict with the keys"):
        from_torch(net, {"0.weight": state["0.weight"]}, loss=loss)
    with pytest.raises(ValueError, match=r"x0\['0.weight'\] has shape \(2, 2\), expected \(4, 3\)"):
        from_torch(net, {**state, "0.weight": torch.ones(2, 2)}, loss=loss)


def test_a_state_dict_of_another_precision_is_converted_as_load_state_dict_does(torch):
    net, loss = module(torch)
    state = module(torch, torch.float32)[0].state_dict()
    a = from_torch(net, state, loss=loss)
    assert a.x0.dtype == np.float64
    assert a.unflatten(a.x0)["0.weight"].dtype == torch.float64
    assert a.fun(a.x0)[0] == pytest.approx(loss(net).item(), rel=1e-5)


def test_dropout_at_work_is_warned_of(torch):
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5))
    with pytest.warns(RuntimeWarning, match=r"another at every call: call module.eval\(\)") as caught:
        from_torch(net, loss=lambda net: net(torch.ones(2)).sum())
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_torch(net.eval(), loss=lambda net: net(torch.ones(2)).sum())


def test_float32_of_a_module_is_kept_and_said(torch):
    net, loss = module(torch, torch.float32)
    a = from_torch(net, loss=loss)
    assert a.x0.dtype == a.fun(a.x0)[1].dtype == np.float32
    assert "29 variables in float32, value and gradient from PyTorch" in repr(a)
    result = minimize(a.fun, a.x0, jac=True, options={"maxfun": 100})
    assert result.x.dtype == np.float32
    assert a.unflatten(result.x)["0.weight"].dtype == torch.float32


def test_checkpoints_compute_again_at_the_right_parameters(torch):
    from torch.utils.checkpoint import checkpoint

    net, _loss = module(torch)
    inputs = torch.randn(5, 3, dtype=torch.float64)
    a = from_torch(
        net[0], loss=lambda net: torch.sum(torch.tanh(checkpoint(net, inputs, use_reentrant=False)) ** 2)
    )
    x = a.x0 + 0.5
    np.testing.assert_allclose(a.fun(x)[1], differences(a, x), rtol=1e-6, atol=1e-9)


def test_threads_share_one_module(torch):
    net, loss = module(torch)
    a = from_torch(net, loss=loss)
    points = [a.x0 + k for k in range(4)]
    alone = [a.fun(x) for x in points]
    found = [None] * 4

    def work(k):
        for _ in range(50):
            found[k] = a.fun(points[k])
            assert found[k][0] == alone[k][0]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for (value, gradient), (other, same) in zip(found, alone, strict=True):
        assert value == other
        np.testing.assert_array_equal(gradient, same)


def test_a_function_of_a_nest_of_tensors(torch):
    x0 = OrderedDict(
        line=Line(torch.ones(2, 2, dtype=torch.float64), np.arange(2.0)),
        rest=[torch.zeros(3), (0.5, torch.ones(()))],
    )

    def fun(p, shift=0.0):
        fit = p["line"].slope @ torch.ones(2, dtype=torch.float64) + p["line"].offset
        return torch.sum((fit - 1) ** 2) + torch.sum(p["rest"][0] ** 2) + p["rest"][1][0] ** 2 + shift

    a = from_torch(fun, x0)
    assert a.x0.tolist() == [1, 1, 1, 1, 0, 1, 0, 0, 0, 0.5, 1]
    back = a.unflatten(a.x0 + 1)
    assert isinstance(back["line"], Line)
    assert isinstance(back["line"].offset, np.ndarray)
    assert back["rest"][0].dtype == torch.float32
    assert back["rest"][1][0] == 1.5
    np.testing.assert_array_equal(a.unflatten.flatten(back), a.x0 + 1)
    assert a.fun(a.x0)[1][10] == 0.0  # not used
    np.testing.assert_allclose(a.fun(a.x0)[1], differences(a, a.x0), rtol=1e-6, atol=1e-8)
    assert a.fun(a.x0, 2.0)[0] == a.fun(a.x0)[0] + 2.0
    with torch.no_grad():
        assert a.fun(a.x0)[1][5] != 0


@pytest.mark.parametrize(
    ("fun", "text"),
    [
        (lambda t: lambda x: x**2, r"The loss has shape \(2,\); return a scalar: take torch.mean"),
        (lambda t: lambda x: (x**2).sum().item(), "does not depend on the parameters"),
        (lambda t: lambda x: (x.detach() ** 2).sum(), "does not depend on the parameters"),
        (lambda t: lambda x: (x.sum(), x), "The loss is a tuple"),
        (lambda t: lambda x: x.sum() + 1j, "The loss is complex"),
        (lambda t: lambda x: x.argmax(), "The loss is int64"),
    ],
)
def test_a_loss_of_pytorch_that_is_no_real_scalar_is_told(torch, fun, text):
    a = from_torch(fun(torch), torch.ones(2))
    with pytest.raises((TypeError, ValueError), match=text):
        a.fun(a.x0)


def test_from_torch_says_what_is_missing(torch):
    net, loss = module(torch)
    with pytest.raises(TypeError, match="give loss=<callable>"):
        from_torch(net)
    with pytest.raises(TypeError, match="loss belongs to a module"):
        from_torch(lambda x: x.sum(), torch.ones(2), loss=loss)
    with pytest.raises(TypeError, match="needs x0"):
        from_torch(lambda x: x.sum())
    with pytest.raises(ValueError, match="no parameters with requires_grad"):
        from_torch(torch.nn.Tanh(), loss=loss)
    with pytest.raises(ValueError, match="without a shape yet"):
        from_torch(torch.nn.LazyLinear(2), loss=loss)
    with pytest.raises(TypeError, match=r"x0\['weight'\] is bfloat16"):
        from_torch(torch.nn.Linear(2, 2).bfloat16(), loss=loss)


# ---- handed to minimize without more ---------------------------------------------------------------------


@pytest.mark.parametrize("method", ["twophase", "CG"])
def test_minimize_shows_a_module_the_way_in(torch, method):
    net, _ = module(torch)
    with pytest.raises(TypeError, match=r"fun is a PyTorch module.*gradients.from_torch\(module, loss"):
        minimize(net, np.zeros(3), method=method)


@pytest.mark.parametrize(
    "fun",
    [
        lambda t: lambda x: t.sum(x**2),
        lambda t: lambda x: (x * t.ones(2, dtype=t.float64)).square().sum(),
        lambda t: lambda x: x.square().sum(),
        lambda t: lambda x: t.nn.functional.mse_loss(x, t.zeros(2)),
    ],
)
@pytest.mark.parametrize("jac", [None, "2-point", True, "autograd"])
@pytest.mark.parametrize("method", ["twophase", "CG"])
def test_minimize_shows_a_function_of_tensors_the_way_in(torch, fun, jac, method):
    with pytest.raises(
        TypeError, match=r"gradients.from_torch\(fun, x0\), then minimize\(a.fun, a.x0, jac=True\)"
    ):
        minimize(fun(torch), np.ones(2), jac=jac, method=method)


def test_minimize_shows_a_function_of_jax_the_way_in(jax):
    jnp = jax.numpy
    with (
        jax.experimental.enable_x64() if not hasattr(jax, "enable_x64") else jax.enable_x64(True),
        pytest.warns(
            RuntimeWarning, match=r"value of JAX, and each gradient .* n = 2 values.*from_jax"
        ) as caught,
    ):
        result = minimize(lambda x: jnp.sum((x - 1) ** 2), np.zeros(2))
    assert result.success
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.raises(TypeError, match=r"function of JAX and was handed a NumPy array.*from_jax"):
        minimize(lambda x: jnp.sum(x.at[0].set(0.0) ** 2), np.zeros(2))
    with pytest.raises(TypeError, match=r"autograd cannot trace.*for JAX: .*from_jax"):
        minimize(lambda x: jnp.sum(x**2), np.zeros(2), jac="autograd")


@pytest.mark.parametrize("library", ["jax", "torch"])
@pytest.mark.parametrize("method", ["twophase", "CG"])
def test_minimize_shows_parameters_of_a_library_the_way_in(library, method):
    numpy = pytest.importorskip("jax.numpy" if library == "jax" else "torch")
    way = rf"a = twophase_min.gradients.from_{library}\(fun, x0\), then minimize\(a.fun, a.x0, jac=True\)"
    for x0 in (
        {"w": numpy.ones((2, 3)), "b": numpy.ones(3)},
        [numpy.ones((2, 3)), numpy.ones(3)],
        [numpy.ones((2, 3)), numpy.ones((2, 3))],
        [{"w": numpy.ones(2)}, None],
        Line(numpy.ones(2), numpy.ones(3)),
    ):
        with pytest.raises((TypeError, ValueError), match=way) as error:
            minimize(lambda p: 0.0, x0, method=method)
        assert "inhomogeneous" not in str(error.value)
    with pytest.raises(ValueError, match=rf"'x0' must only have one dimension.*reshape\(2, 3\); or {way}"):
        minimize(lambda p: 0.0, numpy.ones((2, 3)), method=method)


@pytest.mark.parametrize("method", ["twophase", "CG"])
def test_what_an_adaptor_returns_is_shown_its_parts(jax, method):
    a = from_jax(lambda x: jax.numpy.sum(x**2), np.ones(2))
    with pytest.raises(TypeError, match=r"got Adapted: .*minimize\(a.fun, a.x0, jac=True\)"):
        minimize(a, np.ones(2), method=method)


def test_curve_fit_takes_a_model_of_jax_with_and_without_its_jacobian(jax):
    """JAX's values are float32 here: differences know it, and the fit is SciPy's to half of their digits."""
    t = np.linspace(0, 4, 40)
    y = 2.5 * np.exp(-1.3 * t) + 0.05 * np.random.default_rng(0).normal(size=t.size)

    def model(t, a, b):
        return a * jax.numpy.exp(-b * t)

    def jac(t, *p):
        return np.stack(jax.jacfwd(model, argnums=(1, 2))(t, *p), axis=1)

    theirs, covariance = scipy.optimize.curve_fit(lambda t, a, b: a * np.exp(-b * t), t, y)
    errors = np.sqrt(np.diag(covariance))
    for given in (None, jac):
        found, ours, info, _, _ = curve_fit(model, t, y, jac=given, full_output=True)
        assert np.all(np.abs(found - theirs) < 1e-2 * errors)
        np.testing.assert_allclose(np.sqrt(np.diag(ours)), errors, rtol=1e-2)
        assert info["nfev"] < 150


def test_minimize_reads_values_of_pytorch_that_have_a_gradient(torch):
    def fun(x):
        return torch.sum((torch.tensor(x, requires_grad=True) - 1) ** 2)

    with pytest.warns(RuntimeWarning, match=r"value of PyTorch, and each gradient .*from_torch"):
        result = minimize(fun, np.zeros(2))
    np.testing.assert_allclose(result.x, 1.0, atol=1e-4)

    def both(x):
        x = torch.tensor(x, requires_grad=True)
        value = torch.sum((x - 1) ** 2)
        return value, torch.autograd.grad(value, x)[0]

    assert minimize(both, torch.zeros(2, dtype=torch.float64, requires_grad=True), jac=True).success


def test_differences_within_bounds_are_warned_of_too(jax, torch):
    with pytest.warns(RuntimeWarning, match=r"value of JAX.*from_jax"):
        minimize(lambda x: jax.numpy.sum((x - 1) ** 2), np.zeros(2), method="L-BFGS-B", bounds=[(0, 2)] * 2)
    with pytest.raises(TypeError, match=r"function of PyTorch .*from_torch"):
        minimize(lambda x: torch.sum((x - 1) ** 2), np.zeros(2), method="L-BFGS-B", bounds=[(0, 2)] * 2)
    inside = []

    def fun(x):
        inside.append(np.all((x >= 1) & (x <= 2)))
        return float(np.sum(x**2))

    result = minimize(fun, np.zeros(2), method="L-BFGS-B", bounds=[(1, 2)] * 2)
    assert all(inside)
    assert result.nfev == len(inside)


def test_exceptions_of_other_functions_pass_unchanged():
    class Odd(TypeError):
        pass

    def fun(x):
        raise Odd("a Tensor of my own")

    with pytest.raises(Odd):
        minimize(fun, np.ones(2))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        minimize(lambda x: x.nonsense, np.ones(2))


# ---- the package itself ----------------------------------------------------------------------------------


def test_neither_library_is_imported_by_the_package():
    code = """
import sys
import twophase_min.gradients
from twophase_min import minimize
minimize(lambda x: sum(float(v) ** 2 for v in x), [1.0, 2.0], options={"maxiter": 2})
assert not {"jax", "torch"} & set(sys.modules)
"""
    in_new_process(code)


# ---- a hundred handovers ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_hundred_handovers_without_a_stall(jax, dtype):
    """Adam for 1, 10, 50 or 200 iterations, then memory-cg, on a hundred seeded physics-informed losses.

    Every handover decreases the loss, and a convex phase that ends within five iterations says why.
    """
    jnp = jax.numpy

    def solution(p, x):
        return x * (1 - x) * (jnp.tanh(x * p["a"] + p["b"]) @ p["c"])

    def loss(p, points, k):
        curvature = jax.vmap(jax.grad(jax.grad(solution, 1), 1), (None, 0))(p, points)
        return jnp.mean((curvature + (k * jnp.pi) ** 2 * jnp.sin(k * jnp.pi * points)) ** 2)

    def start(seed):
        rng = np.random.default_rng(seed)
        scales = {"a": 3, "b": 1, "c": 1}
        return {name: (scale * rng.normal(size=8)).astype(dtype) for name, scale in scales.items()}

    points = np.linspace(0, 1, 21).astype(dtype)
    a = from_jax(loss, start(0), args=(points, dtype(1)))
    shares = []
    for seed in range(100):
        adams = (1, 10, 50, 200)[seed % 4]
        result = minimize(
            a.fun,
            a.unflatten.flatten(start(seed)),
            args=(points, dtype(1 + seed % 3)),
            jac=True,
            options={"swap": adams, "convex_method": "memory-cg", "maxfun": adams + 150},
        )
        assert result.swaps[0]["iteration"] == adams
        assert result.fun < result.swaps[0]["loss"], seed
        shares.append(result.fun / result.swaps[0]["loss"])
        assert all(swap["reason"] for swap in result.swaps)  # what a phase was left for, however short
        last = result.phases[-1]
        if not result.success and last["name"] != "adam" and last["last"] - last["first"] < 5:
            assert result.status == 4 or "What ended it: " in result.message, result.message
    assert np.median(shares) < 1e-3
