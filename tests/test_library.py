"""ntkrun imported by a program that computes in 32 bits: nothing is switched on, and float64 is float64 or refused.

`numbers` runs twice, here under the tests' 64-bit arithmetic and in a process without, and must give the same.
"""

import importlib
import os
import pkgutil
import sys
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.experimental
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from processes import ran

import ntkrun
from ntkrun.devices.float64 import in_float64, is_on
from ntkrun.errors import UserError

RNG = np.random.default_rng(0)
X, X_TEST = RNG.standard_normal((6, 5)), RNG.standard_normal((3, 5))
Y = np.sign(X[:, :1])
NET: dict[str, Any] = dict(depth=1, activation="relu", sigma_w2=1.5, sigma_b2=0.1)
LINE = r"type jax.config.update\('jax_enable_x64', True\) first"


def half_squares(f, y):
    """dL/df of the squared loss, averaged."""
    return (f - y) / y.size


def infinite_width() -> dict[str, Any]:
    """What is float64 by its equations."""
    erf: dict[str, Any] = NET | {"activation": "erf"}
    tanh: dict[str, Any] = NET | {"activation": "tanh", "parameterization": "standard", "width": 64}
    swish: dict[str, Any] = NET | {"activation": ntkrun.Activation("swish", nn.silu)}
    kernels = {
        "relu": ntkrun.analytic_kernels(X, X_TEST, **NET),
        "erf": ntkrun.analytic_kernels(jnp.asarray(X, jnp.float32), **erf),
        "tanh": ntkrun.analytic_kernels(X, **tanh),
        "own": ntkrun.analytic_kernels(X, **swish),
    }
    train, cross, test = (ntkrun.analytic_kernels(a, b, **NET) for a, b in ((X, None), (X_TEST, X), (X_TEST, None)))
    f0, f0_test, times = 0.1 * Y, np.zeros((3, 1)), np.array([0.0, 3.0, 50.0])
    flow = ntkrun.gradient_flow(train.ntk, Y, f0)
    descent = ntkrun.gradient_descent(train.ntk, Y, f0, np.full(9, 0.5))
    solved = ntkrun.linear_flow(
        train.ntk, Y, f0, times, loss_gradient=half_squares, rtol=1e-8, atol=1e-10, max_steps=10_000,
        ntk_test_train=cross.ntk, f0_test=f0_test, momentum=0.9, learning_rate=0.1,
    )  # fmt: skip
    found = {f"analytic_kernels {name} {field}": value for name, pair in kernels.items() for field, value in
             pair._asdict().items()}  # fmt: skip
    found |= {"flow": flow.train_at(times), "flow test": flow.test_at(3.0, f0_test, cross.ntk)}
    found |= {"descent": descent.train_at(9), "coefficients": descent.coefficients_at(4)}
    found |= {"solved": solved.train, "solved test": np.asarray(solved.test), "solved c": solved.coefficients}
    for distribution in (ntkrun.ntk_gp, ntkrun.nngp_gp):
        gaussian = distribution(train, cross, test, Y, np.array([1.0, np.inf]))
        found |= {f"{distribution.__name__} mean": gaussian.mean, f"{distribution.__name__} cov": gaussian.covariance}
    for width in (24, 8):  # drawn by projections, and weight by weight
        model = ntkrun.build_model("fc", n_outputs=1, width=width, dtype="float32", **NET)
        for draws, pair in ntkrun.sampled_kernels(model, X, jax.random.key(1), 4):
            found |= {f"sampled_kernels {width} {draws} {name}": value for name, value in pair._asdict().items()}
    data = ntkrun.load_dataset(
        name="mnist",
        source="stand_in",
        classes=[3, 8],
        n_train=8,
        n_test=4,
        preprocess="sphere",
        targets="signed",
        seed=0,
    )
    return found | {"x_train": data.x_train, "y_train": data.y_train}


def finite_width() -> dict[str, Any]:
    """What has the dtype of a network in float32."""
    x, x_test, y = (jnp.asarray(a, jnp.float32) for a in (X, X_TEST, Y))
    model = ntkrun.build_model("fc", n_outputs=1, width=24, dtype="float32", **NET)
    theta = model.init(jax.random.key(0), x)["params"]
    standard = ntkrun.ntk_to_standard(theta, sigma_w2=1.5, sigma_b2=0.1)
    ntk = ntkrun.empirical_ntk(model, theta, x)
    network = ntkrun.Network(theta, x, y, x_test, model=model, tx=optax.sgd(0.5), loss="mse", watched=())
    (*_, (_, seen)) = ntkrun.run_lockstep({"f": network}, [0, 4], ntkrun.FullBatch(), ntkrun.Silent(), "test")
    f = ntkrun.predict(model, theta, x_test)
    return {
        "theta": jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves((theta, standard))]),
        "empirical_ntk": ntk,
        "empirical_ntk test": ntkrun.empirical_ntk(model, theta, X_TEST, X, trace_outputs=True),
        "jacobian": ntkrun.empirical_ntk(model, theta, x, method="jacobian"),
        "empirical_nngp": ntkrun.empirical_nngp(model, theta, x),
        "weight_jacobian": ntkrun.weight_jacobian(model, theta, x, ((("layer_1", "omega"), 3),)),
        "predict": f,
        "trained": seen["f"]["test"],
        "losses": jnp.stack([ntkrun.mse(f, f + 1), ntkrun.cross_entropy(f, f + 1), ntkrun.rmse(f, f - 1)]),
    }


def numbers() -> dict[str, Any]:
    """Every public function; single numbers with what is float64."""
    exact, rounded = infinite_width(), finite_width()
    model = ntkrun.build_model("fc", n_outputs=1, width=24, dtype="float32", **NET)
    theta = model.init(jax.random.key(0), jnp.asarray(X, jnp.float32))["params"]
    law = ntkrun.power_law([1, 2, 4], [1.0, 0.7, 0.5])
    single = [
        ntkrun.eta_critical(rounded["empirical_ntk"], 1),
        ntkrun.largest_eigenvalue(model, theta, jnp.asarray(X, jnp.float32)),
        ntkrun.ntk_scale(model),
        ntkrun.count_parameters(theta),
        np.float32(ntkrun.accuracy(Y, -Y[::-1])),  # in JAX's own precision
        law.slope,
    ]
    rounded = {f"float32 {name}": np.asarray(value) for name, value in rounded.items()}
    return exact | {"single": np.asarray(single, np.float64)} | rounded


def save(path: str) -> None:
    """In a process that computes in 32 bits."""
    assert not is_on()
    found = numbers()
    assert not is_on()
    draws = ntkrun.sampled_kernels(
        ntkrun.build_model("fc", n_outputs=1, width=4, dtype="float32", **NET), X, jax.random.key(1), 2
    )
    for _ in draws:
        assert not is_on(), "between two averages the caller computes as before"
    refused()
    np.savez(path, **found)


def refused() -> None:
    """What would have to be float64 and cannot is one line that says what to type."""
    double = ntkrun.build_model("fc", n_outputs=1, width=4, dtype="float64", **NET)
    single = ntkrun.build_model("fc", n_outputs=1, width=4, dtype="float32", **NET)
    rounded = single.init(jax.random.key(0), X)["params"]
    theta = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), rounded)
    f, kernel = np.zeros((6, 1)), np.eye(6)
    rival = dict(f0_train=f, f0_test=f, y_train=f, ntk_train=kernel, ntk_test=kernel, jacobian=np.zeros((0, 6, 1)))
    calls = [
        lambda: double.init(jax.random.key(0), X),
        lambda: ntkrun.predict(double, theta, jnp.asarray(X)),
        lambda: ntkrun.empirical_ntk(single, theta, X),
        lambda: ntkrun.empirical_nngp(single, theta, X),
        lambda: ntkrun.weight_jacobian(single, theta, X, ()),
        lambda: ntkrun.largest_eigenvalue(single, theta, X),
        lambda: ntkrun.LinearFunctionSpace.build(**rival, tx=optax.sgd(1.0), loss="mse"),
    ]
    wrong: Any = "fast"
    with pytest.raises(UserError, match="unknown method 'fast'"):
        ntkrun.empirical_ntk(single, rounded, X, method=wrong)
    for call in calls:
        with pytest.raises(UserError, match=LINE):
            call()


def without_64_bits(root: Path, code: str) -> None:
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}", "JAX_ENABLE_X64": "false"}
    environment["PYTHONWARNINGS"] = "error"  # JAX warns where it rounds what was asked for
    done = ran(sys.executable, "-c", code, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]


def test_a_caller_in_32_bits_gets_the_numbers_of_one_in_64(root, tmp_path):
    without_64_bits(root, f"from tests.test_library import save; save({str(tmp_path / 'found.npz')!r})")
    expected = numbers()
    with np.load(tmp_path / "found.npz") as found:
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert found[name].dtype == value.dtype == ("float32" if name.startswith("float32") else "float64"), name
            np.testing.assert_array_equal(found[name], value, err_msg=name)


def import_everything() -> None:
    """In a process that computes in 32 bits."""
    flags: Any = jax.config
    before = dict(flags.values)
    for module in pkgutil.walk_packages(ntkrun.__path__, "ntkrun."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in dir(ntkrun):
        getattr(ntkrun, name)
    changed = {name for name, value in flags.values.items() if before.get(name, value) != value}
    assert not changed and not is_on(), changed


def test_importing_leaves_the_configuration_of_jax_alone(root):
    without_64_bits(root, "from tests.test_library import import_everything as run; run()")


@pytest.mark.parametrize("first", ["", "import jax; "], ids=["before JAX", "after JAX"])
def test_the_command_line_switches_it_on_for_itself_and_what_it_starts(root, first):
    child = "import jax; assert jax.config.jax_enable_x64"
    code = (
        f"import subprocess, sys; {first}from ntkrun.devices.float64 import switch_on; switch_on(); {child}; "
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    )
    without_64_bits(root, code)


def test_the_scope_is_that_of_older_jax_where_there_is_no_other(monkeypatch):
    scope: Any = getattr(jax if hasattr(jax, "enable_x64") else jax.experimental, "enable_x64")  # noqa: B009
    entered = []

    def experimental(wanted: bool):
        entered.append(wanted)
        return scope(wanted)

    monkeypatch.setattr(jax.experimental, "enable_x64", experimental, raising=False)
    monkeypatch.delattr(jax, "enable_x64", raising=False)
    with scope(False):
        with in_float64():
            assert is_on() and jnp.zeros(1).dtype == jnp.float64
        assert not is_on() and entered == [True]
    with in_float64():  # on already
        assert entered == [True]
