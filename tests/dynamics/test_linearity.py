"""What says how linear a run is, held against dense Hessians, explicit Jacobians and a network that is linear."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct
from jax.flatten_util import ravel_pytree

import ntkrun
from ntkrun.dynamics.linearity import Linearity, alignment, layer_changes, layers_of
from ntkrun.dynamics.metrics import LOSSES
from ntkrun.dynamics.network import Outputs
from ntkrun.dynamics.sharpness import largest_by_lanczos
from ntkrun.errors import UserError
from ntkrun.lockstep.executor import Executor

RNG = np.random.default_rng(0)
X, X_TEST = jnp.asarray(RNG.normal(size=(6, 4))), jnp.asarray(RNG.normal(size=(3, 4)))
Y = jnp.asarray(np.eye(2)[RNG.integers(2, size=6)])


def network(n_outputs: int, width: int = 5) -> Any:
    return ntkrun.build_model(
        "fc",
        width=width,
        depth=2,
        n_outputs=n_outputs,
        activation="tanh",
        sigma_w2=1.5,
        sigma_b2=0.1,
        dtype=jnp.float64,
    )


MODEL = network(2)
THETA0 = MODEL.init(jax.random.key(0), X)["params"]


def f(theta, x) -> Any:
    return MODEL.apply({"params": theta}, x)


def descended(theta, rate: float, steps: int):
    gradient = jax.jit(jax.grad(lambda theta: ntkrun.mse(f(theta, X), Y)))
    for _ in range(steps):
        theta = jax.tree.map(lambda t, g: t - rate * g, theta, gradient(theta))
    return theta


@pytest.mark.parametrize("loss", LOSSES)
def test_the_sharpness_is_the_largest_eigenvalue_of_the_dense_hessian(loss):
    flat, tree = ravel_pytree(THETA0)
    hessian = jax.hessian(lambda theta: LOSSES[loss](f(tree(theta), X), Y))(flat)
    largest = float(jnp.linalg.eigvalsh(hessian)[-1])
    assert float(ntkrun.sharpness(MODEL, THETA0, X, Y, loss=loss)) == pytest.approx(largest, rel=1e-8)


@pytest.mark.parametrize(
    "spectrum",
    [
        np.linspace(-9.0, 2.0, 40),  # the largest in size is not the largest
        np.full(7, -3.0),  # no direction is left after the first step
        np.array([1.0, 1.0, 0.5, 0.0, 0.0]),  # and here after the third
        np.geomspace(1e-6, 4.0, 300),
    ],
)
@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
def test_lanczos_finds_the_largest_eigenvalue_of_any_symmetric_matrix(spectrum, dtype):
    basis, _ = np.linalg.qr(RNG.normal(size=(len(spectrum), len(spectrum))))
    matrix = jnp.asarray(basis * spectrum @ basis.T, dtype)
    found = largest_by_lanczos(lambda v: matrix @ v, jnp.asarray(RNG.normal(size=len(spectrum)), dtype))
    assert float(found) == pytest.approx(spectrum.max(), rel=2e-3)


def test_alignment_is_the_cosine_between_the_kernel_and_that_of_the_targets():
    ntk = ntkrun.empirical_ntk(MODEL, THETA0, X)
    matrix, y = np.asarray(ntk).transpose(0, 2, 1, 3).reshape(12, 12), np.asarray(Y).ravel()
    wanted = np.sum(matrix * np.outer(y, y)) / np.linalg.norm(matrix) / np.linalg.norm(np.outer(y, y))
    assert float(alignment(ntk, Y)) == pytest.approx(wanted, rel=1e-12)
    assert float(alignment(jnp.einsum("ia,jb->ijab", Y, 3 * Y), Y)) == pytest.approx(1.0, rel=1e-12)


def test_layers_are_in_order_and_one_that_starts_from_zeros_has_its_change_itself():
    theta0 = {
        "layer_10": {"W": jnp.ones((2, 2))},
        "layer_9": {"W": jnp.full(3, 2.0), "b": jnp.zeros(2)},
        "c": jnp.zeros(1),
    }
    theta = jax.tree.map(lambda leaf: leaf + 3.0, theta0)
    assert list(layers_of(theta0)) == ["c", "layer_9", "layer_10"]
    np.testing.assert_allclose(layer_changes(theta, theta0), [3.0, 3 * np.sqrt(5 / 12), 3.0])


def values(table, curve: str, split: str = "train") -> np.ndarray:
    return table[(table["curve"] == curve) & (table["split"] == split)]["value"].to_numpy()


def test_a_record_says_what_explicit_kernels_and_derivatives_say():
    recorder = ntkrun.LinearityRecorder(MODEL, THETA0, X, Y, X_TEST, eta=0.25)
    theta = descended(THETA0, 0.25, 8)
    for step, params in ((0, THETA0), (8, theta)):
        recorder.record(step, params)
    table = recorder.table()
    start, end = (np.asarray(ntkrun.empirical_ntk(MODEL, p, X, method="jacobian")) for p in (THETA0, theta))
    drift = np.linalg.norm(end - start) / np.linalg.norm(start)
    np.testing.assert_allclose(values(table, "ntk_change/network"), [0, float(drift)], atol=1e-14)
    for split, x in (("train", X), ("test", X_TEST)):
        apart = float(ntkrun.rmse(f(theta, x), ntkrun.linearize(MODEL, THETA0)(theta, x)))
        np.testing.assert_allclose(values(table, "rmse/expansion", split), [0, apart], atol=1e-14)
    np.testing.assert_allclose(values(table, "stable_sharpness/network"), 2 / 0.25)
    assert sorted(set(table["time"])) == [0.0, 2.0] and sorted(set(table["step"])) == [0, 8]
    assert recorder.layers == ("layer_1", "layer_2", "layer_3")
    np.testing.assert_allclose(values(table, "layer_change/network", "")[3:], layer_changes(theta, THETA0))


def test_a_linear_network_is_linear():
    """Its kernel stays, to the rounding of float64, however far it goes, and so does its sharpness."""
    f_lin = ntkrun.linearize(MODEL, THETA0)
    recorder = ntkrun.LinearityRecorder(f_lin, THETA0, X, Y, eta=0.1, momentum=0.9)
    for step in (0, 1):
        recorder.record(step, jax.tree.map(lambda leaf, step=step: leaf + 10.0 * step, THETA0))
    table = recorder.table()
    assert "test" not in set(table["split"])
    for curve in ("ntk_change/network", "rmse/expansion"):
        assert values(table, curve).max() < 1e-12, curve
    for curve in ("sharpness/network", "alignment/network"):
        assert np.ptp(values(table, curve)) < 1e-8, curve
    np.testing.assert_allclose(values(table, "stable_sharpness/network"), 3.8 / 0.1)


def test_descent_within_the_stable_sharpness_settles_and_beyond_it_grows():
    """Of a linear network under the squared loss, where the Hessian stays what it is."""
    f_lin = ntkrun.linearize(MODEL, THETA0)
    top = float(ntkrun.sharpness(f_lin, THETA0, X, Y))
    gradient = jax.jit(jax.grad(lambda theta: ntkrun.mse(f_lin(theta, X), Y)))

    def loss_after(rate: float) -> float:
        theta = THETA0
        for _ in range(200):
            theta = jax.tree.map(lambda t, g: t - rate * g, theta, gradient(theta))
        return float(ntkrun.mse(f_lin(theta, X), Y))

    start = float(ntkrun.mse(f(THETA0, X), Y))
    assert loss_after(0.97 * 2 / top) < start < loss_after(1.03 * 2 / top)


TARGETS = {
    "labels": (2, "mse", np.arange(6) % 2, r"jax.nn.one_hot\(y, 2\)"),
    "a column of labels": (2, "cross_entropy", np.arange(6)[:, None] % 2, r"jax.nn.one_hot\(y\[:, 0\], 2\)"),
    "one axis": (1, "mse", np.ones(6), r"write y\[:, None\]"),
    "more columns": (2, "mse", np.eye(6)[:, :3], "build it with n_outputs=3"),
    "fewer rows": (2, "mse", Y[:4], "for each of the 6 examples"),
    "signs": (2, "cross_entropy", 2 * Y - 1, r"jax.nn.one_hot\(labels, k\)"),
    "one class": (1, "cross_entropy", np.ones((6, 1)), "an output for each class"),
}


@pytest.mark.parametrize("kind", TARGETS)
def test_targets_of_another_kind_are_told_what_to_write(kind):
    k, loss, y, says = TARGETS[kind]
    model = network(k)
    theta = model.init(jax.random.key(0), X)["params"]
    calls = [
        lambda: ntkrun.LinearityRecorder(model, theta, X, y, loss=loss),
        lambda: ntkrun.sharpness(model, theta, X, y, loss=loss),
        lambda: ntkrun.coordinate_check(partial(network, k), (4, 8), X, y, eta=0.1, loss=loss),
    ]
    fits_annotations = y.dtype.kind == "f" and y.ndim == 2  # which are checked in the suite
    for call in calls if fits_annotations else calls[:1]:
        with pytest.raises(UserError, match=says) as refused:
            call()
        assert "\n" not in str(refused.value)


def test_what_a_recorder_cannot_take_is_said_in_one_line():
    with pytest.raises(UserError, match="eta must be a finite number above 0"):
        ntkrun.LinearityRecorder(MODEL, THETA0, X, Y, eta=0.0)
    with pytest.raises(UserError, match="unknown loss 'hinge'"):
        ntkrun.LinearityRecorder(MODEL, THETA0, X, Y, loss="hinge")
    with pytest.raises(UserError, match="names and shapes"):
        ntkrun.LinearityRecorder(MODEL, THETA0, X, Y).record(0, {"other": X})
    recorder = ntkrun.LinearityRecorder(MODEL, THETA0, X, Y)
    assert recorder.table().empty
    recorder.record(0, THETA0)
    with pytest.raises(UserError, match="step 0 is recorded already"):
        recorder.record(0, THETA0)


def test_a_kernel_that_was_formed_before_is_not_formed_again():
    moved = jax.tree.map(lambda leaf: 1.1 * leaf, THETA0)
    observer = Linearity.at_start(MODEL, THETA0, X, "structured")
    network = ntkrun.Network(THETA0, X, Y, X_TEST, MODEL, optax.identity(), "mse", (), observer=observer)
    given = network.formed((moved, None))

    programs = [
        jax.jit(lambda theta, network=one: network.observe((theta, None))).lower(moved) for one in (network, given)
    ]
    kernel = jax.jit(lambda theta: observer.kernel(network, theta)).lower(moved)
    products = [one.as_text().count("stablehlo.dot_general") for one in (*programs, kernel)]
    assert products[0] == products[1] + products[2] and products[2] > 0
    whole, rest = (one.compile()(moved) for one in programs)
    for name, values in whole.items():
        np.testing.assert_allclose(values, rest[name], rtol=1e-9, err_msg=name)  # two programs round differently


@struct.dataclass
class MeanAhead:
    """Looks at the mean of all parameters, which it forms before."""

    mean: Any = 0.0

    def formed(self, network: ntkrun.Network, theta: Any) -> "MeanAhead":
        return MeanAhead(sum(np.asarray(leaf).mean() for leaf in jax.tree.leaves(theta)))  # not possible inside jax.jit

    def __call__(self, network: ntkrun.Network, theta: Any) -> dict[str, Any]:
        return {"mean": self.mean}


def test_a_run_forms_first_what_has_a_program_of_its_own():
    network = ntkrun.Network(THETA0, X, Y, X_TEST, MODEL, optax.sgd(0.1), "mse", (), observer=MeanAhead())
    with Executor((network,), None, 1) as executor:
        (seen,) = executor.observe(executor.init())
    np.testing.assert_allclose(seen["mean"], sum(leaf.mean() for leaf in jax.tree.leaves(THETA0)), rtol=1e-6)
    assert network.formed((THETA0, None)).observer != network.observer
    plain = replace(network, observer=Outputs())
    assert plain.formed((THETA0, None)) is plain
