# Flax types the result of apply as a union of output and state; these files unpack it by what they asked for.
# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportOptionalSubscript=false
"""The routes to the linearised model against each other and against what they are made of."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkrun.dynamics.linear_function_space import LinearFunctionSpace
from ntkrun.dynamics.linear_parameter_space import LinearParameterSpace
from ntkrun.dynamics.metrics import LOSSES
from ntkrun.dynamics.network import Network, predict
from ntkrun.errors import NonFiniteError
from ntkrun.kernels.empirical import empirical_ntk
from ntkrun.kernels.weight_jacobian import weight_jacobian
from ntkrun.lockstep.loop import FullBatch, MiniBatches, run_lockstep
from ntkrun.lockstep.progress import Silent
from ntkrun.models import build_model
from ntkrun.theory.closed_form import gradient_descent

N, M, D, STEPS = 12, 5, 7, 40
TRANSFORMATIONS = {
    "gd": lambda eta: optax.sgd(eta),
    "heavy_ball": lambda eta: optax.sgd(eta, momentum=0.9),
    "nesterov": lambda eta: optax.sgd(eta, momentum=0.9, nesterov=True),
    "schedule": lambda eta: optax.sgd(optax.cosine_decay_schedule(eta, STEPS, alpha=0.1), momentum=0.5),
}


class Case:
    """A small network, its data and every rival from one theta0."""

    def __init__(self, dtype: str, k: int, loss: str, optimizer: str, parameterization: str = "ntk") -> None:
        rng = np.random.default_rng(3)  # NumPy's: every shape that JAX draws is compiled first
        self.x, self.x_test = (jnp.asarray(rng.normal(size=(rows, D)), dtype) for rows in (N, M))
        y = rng.normal(size=(N, k)) if loss == "mse" else np.eye(k)[rng.integers(k, size=N)]
        self.y = jnp.asarray(y, dtype)
        self.model = build_model(
            "fc",
            width=24,
            depth=2,
            n_outputs=k,
            activation="tanh",
            sigma_w2=1.5,
            sigma_b2=0.1,
            parameterization=parameterization,
            dtype=dtype,
        )
        shapes = jax.eval_shape(self.model.init, jax.random.key(0), self.x[:1])["params"]
        self.theta0 = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), shapes)
        matrices = jax.tree_util.tree_leaves_with_path(self.theta0)
        self.watched = tuple((tuple(part.key for part in path), leaf.size // 2) for path, leaf in matrices)
        self.loss, self.eta = loss, 0.1
        self.tx = TRANSFORMATIONS[optimizer](self.eta)

    def network(self) -> Network:
        return Network(self.theta0, self.x, self.y, self.x_test, self.model, self.tx, self.loss, self.watched)

    def parameter_space(self) -> LinearParameterSpace:
        return LinearParameterSpace(
            self.theta0, self.x, self.y, self.x_test, self.model, self.tx, self.loss, self.watched
        )

    def kernel(self, *x: jax.Array) -> jax.Array:
        return empirical_ntk(self.model, self.theta0, *x)

    def function_space(self) -> LinearFunctionSpace:
        return LinearFunctionSpace.build(
            f0_train=predict(self.model, self.theta0, self.x),
            f0_test=predict(self.model, self.theta0, self.x_test),
            y_train=self.y,
            ntk_train=self.kernel(self.x),
            ntk_test=self.kernel(self.x_test, self.x),
            jacobian=weight_jacobian(self.model, self.theta0, self.x, self.watched),
            tx=self.tx,
            loss=self.loss,
        )

    def run(self, rivals: dict, batches=None, steps=(0, 1, 7, STEPS)) -> dict:
        found: dict = {name: [] for name in rivals}
        for _, seen in run_lockstep(rivals, steps, batches or FullBatch(), Silent(), "case"):
            for name, observation in seen.items():
                found[name].append(observation)
        return found


def largest_difference(one: list, other: list) -> float:
    return max(float(np.max(np.abs(a[what] - b[what]))) for a, b in zip(one, other, strict=True) for what in a)


# float64: 40 steps of sums over a few hundred products, outputs of order 1: some 1e-13; 1e-10 is what is promised.
# float32: the same count of roundings at 6e-8 each.
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}


@pytest.mark.parametrize(
    ("loss", "k", "optimizer"),
    [("mse", 1, "heavy_ball"), ("mse", 3, "schedule"), ("cross_entropy", 3, "gd"), ("cross_entropy", 3, "nesterov")],
)
def test_function_space_is_parameter_space(loss, k, optimizer):
    case = Case("float64", k, loss, optimizer)
    found = case.run({"function": case.function_space(), "parameter": case.parameter_space()})
    assert largest_difference(found["function"], found["parameter"]) < TOLERANCE["float64"]


@pytest.mark.parametrize(("dtype", "k"), [("float32", 1), ("float64", 1), ("float64", 3)])
def test_the_three_linear_routes_agree(dtype, k):
    case = Case(dtype, k, "mse", "gd")
    found = case.run({"function": case.function_space(), "parameter": case.parameter_space()}, steps=(0, 7, STEPS))
    assert largest_difference(found["function"], found["parameter"]) < TOLERANCE[dtype]
    f0, f0_test = (np.asarray(predict(case.model, case.theta0, x), np.float64) for x in (case.x, case.x_test))
    closed = gradient_descent(
        np.asarray(case.kernel(case.x), np.float64), np.asarray(case.y, np.float64), f0, np.full(STEPS, case.eta)
    )
    cross = np.asarray(case.kernel(case.x_test, case.x), np.float64)
    for step, seen in zip((0, 7, STEPS), found["function"], strict=True):
        assert np.max(np.abs(closed.train_at(step) - seen["train"])) < TOLERANCE[dtype]
        assert np.max(np.abs(closed.test_at(step, f0_test, cross) - seen["test"])) < TOLERANCE[dtype]


@pytest.mark.parametrize("optimizer", ["gd", "heavy_ball"])
def test_mini_batches_move_both_routes_alike(optimizer):
    case = Case("float64", 3, "cross_entropy", optimizer)
    batches = MiniBatches(jax.random.key(1), N, 4)
    found = case.run({"function": case.function_space(), "parameter": case.parameter_space()}, batches)
    assert largest_difference(found["function"], found["parameter"]) < TOLERANCE["float64"]
    full = case.run({"function": case.function_space()})
    assert largest_difference(found["function"], full["function"]) > 1e-3, "mini-batches must matter"


def test_heavy_ball_is_the_papers_recursion():
    case = Case("float64", 2, "mse", "heavy_ball")
    model, loss = case.model, LOSSES[case.loss]

    def objective(theta):
        return loss(model.apply({"params": theta}, case.x), case.y)

    theta, before = case.theta0, case.theta0
    for _ in range(7):  # theta_{i+1} = theta_i + beta (theta_i - theta_{i-1}) - eta grad L (S1)
        gradient = jax.grad(objective)(theta)
        following = jax.tree.map(lambda t, b, g: t + 0.9 * (t - b) - case.eta * g, theta, before, gradient)
        theta, before = following, theta
    found = case.run({"network": case.network()}, steps=(7,))
    expected = np.asarray(predict(model, theta, case.x_test))
    assert np.max(np.abs(found["network"][0]["test"] - expected)) < 1e-12


def test_all_start_from_f0_and_nothing_has_moved():
    case = Case("float64", 2, "mse", "gd")
    rivals = {"network": case.network(), "function": case.function_space(), "parameter": case.parameter_space()}
    found = case.run(rivals, steps=(0,))
    for name in rivals:
        assert largest_difference(found[name], found["network"]) < 1e-14
        assert not np.any(found[name][0]["weights"])


def test_a_small_step_of_the_network_is_linear_to_second_order():
    # f - f_lin after one step is O(eta^2): halving eta quarters it
    gaps = []
    for eta in (0.02, 0.01):
        case = Case("float64", 1, "mse", "gd")
        case.tx = optax.sgd(eta)
        found = case.run({"network": case.network(), "function": case.function_space()}, steps=(1,))
        gaps.append(np.max(np.abs(found["network"][0]["test"] - found["function"][0]["test"])))
    assert 3.7 < gaps[0] / gaps[1] < 4.3


def test_record_points_do_not_change_the_trajectory():
    case = Case("float64", 2, "mse", "heavy_ball")
    often = case.run({"network": case.network()}, steps=tuple(range(STEPS + 1)))["network"][-1]
    once = case.run({"network": case.network()}, steps=(STEPS,))["network"][-1]
    assert np.array_equal(often["test"], once["test"])


def test_divergence_names_the_rival_and_the_step():
    case = Case("float32", 1, "mse", "gd")
    case.tx = optax.sgd(1e4)
    with pytest.raises(NonFiniteError, match=r"case: .* of (network|function) is not finite at step \d+"):
        case.run({"network": case.network(), "function": case.function_space()}, steps=(0, 1, 10, 400))


def test_many_images_are_predicted_in_chunks_alike():
    case = Case("float64", 2, "mse", "gd")
    x = jnp.asarray(np.random.default_rng(9).normal(size=(1500, D)))
    assert jnp.allclose(
        predict(case.model, case.theta0, x), case.model.apply({"params": case.theta0}, x), rtol=1e-12, atol=1e-12
    )
