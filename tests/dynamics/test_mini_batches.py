# Flax types the result of apply as a union of output and state; these files unpack it by what they asked for.
# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportOptionalSubscript=false
"""The linearised model in parameter space: convolutions, batch normalisation, and optimizers function space cannot hold."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkrun.data.batches import Batch
from ntkrun.dynamics.linear_function_space import LinearFunctionSpace
from ntkrun.dynamics.linear_parameter_space import LinearParameterSpace
from ntkrun.dynamics.network import Network, NetworkAtRate, in_chunks, predict
from ntkrun.dynamics.observers import TestAccuracy
from ntkrun.dynamics.optimizers import Optimizer
from ntkrun.kernels.empirical import empirical_ntk
from ntkrun.lockstep.ensemble import Ensemble
from ntkrun.lockstep.loop import FullBatch, MiniBatches, run_lockstep
from ntkrun.lockstep.progress import Silent
from ntkrun.models import build_model
from ntkrun.settings.optimizers import AdamSettings, MomentumSettings

RNG = np.random.default_rng(5)
X, X_TEST = jnp.asarray(RNG.standard_normal((8, 4, 4, 2))), jnp.asarray(RNG.standard_normal((3, 4, 4, 2)))
Y = jnp.asarray(np.eye(2)[RNG.integers(2, size=8)])
FIELDS: dict[str, Any] = dict(n_outputs=2, activation="tanh", sigma_w2=2.0, sigma_b2=0.1, dtype=jnp.float64)


class OneLayer(nn.Module):
    """Linear in its parameters, so that it is its own linearization."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2, param_dtype=jnp.float64)(x.reshape(len(x), -1))


def rivals(model, tx, **options) -> dict[str, Any]:
    theta0 = jax.jit(model.init)(jax.random.key(0), X[:1])["params"]
    arguments = (theta0, X, Y, X_TEST, model, tx, "mse", ())
    return {"network": Network(*arguments, **options), "linear": LinearParameterSpace(*arguments, **options)}


def observed(rivals: dict, steps: list[int], batches=None) -> list[dict]:
    return [seen for _, seen in run_lockstep(rivals, steps, batches or FullBatch(), Silent(), "case")]


def gap(one: dict, other: dict, of: tuple[str, ...] = ("train", "test")) -> float:
    return max(float(np.max(np.abs(one[what] - other[what]))) for what in of)


BASE = dict(steps=20, batch_size=4, schedule={"name": "cosine", "final_factor": 0.1}, time_per_eta=None)
ADAM = AdamSettings.model_validate(BASE | dict(name="adam", learning_rate=0.01, momentum=0.9, beta2=0.99, epsilon=1e-8))
HEAVY_BALL = MomentumSettings.model_validate(BASE | dict(name="momentum", learning_rate=0.1, momentum=0.9))


@pytest.mark.parametrize(("settings", "weight_decay"), [(ADAM, 0.1), (HEAVY_BALL, 0.5)])
def test_a_network_that_is_linear_is_its_linearization_under_any_optimizer(settings, weight_decay):
    tx = Optimizer(settings, weight_decay).scaled(1.0)
    batches = MiniBatches(jax.random.key(1), 8, 4, flip=True, crop=2)
    start, end = observed(rivals(OneLayer(), tx), [0, 20], batches)
    # float64: 20 steps of sums of 32 products
    assert gap(end["network"], end["linear"]) < 1e-12
    assert gap(start["network"], end["network"]) > 0.1, "it moves"
    (plain,) = observed(rivals(OneLayer(), tx), [20], MiniBatches(jax.random.key(1), 8, 4))
    assert gap(plain["network"], end["network"]) > 1e-3, "augmentation matters"


def test_members_at_rates_are_the_networks_of_those_rates():
    """All outputs after 20 steps with momentum, weight decay and a schedule; and what is seen of the test images."""
    rates, batches = (0.01, 0.3), MiniBatches(jax.random.key(1), 8, 4)
    settings, y_test = HEAVY_BALL.model_copy(update=dict(learning_rate=1.0)), jnp.asarray(np.eye(2)[[0, 1, 0]])
    network = rivals(OneLayer(), Optimizer(settings, 0.2).scaled(1.0))["network"]
    fields = {name: getattr(network, name) for name in Network.__dataclass_fields__ if name != "observer"}
    members = Ensemble(NetworkAtRate(**fields, rate=jnp.asarray(rates)), ("rate",))
    watched = NetworkAtRate(**fields, rate=jnp.asarray([*rates, 1e200]), observer=TestAccuracy(y_test))
    (seen,) = observed({"all": members}, [20], batches)
    (shown,) = observed({"all": Ensemble(watched, ("rate",))}, [20], batches)
    for place, rate in enumerate(rates):
        alone = network.replace(tx=Optimizer(settings.model_copy(update=dict(learning_rate=rate)), 0.2).scaled(1.0))
        (expected,) = observed({"network": alone}, [20], batches)
        for split in ("train", "test"):  # float64: 20 steps of sums of 32 products
            np.testing.assert_allclose(seen["all"][split][place], expected["network"][split], rtol=0, atol=1e-12)
        right = np.argmax(expected["network"]["test"], axis=1) == np.array([0, 1, 0])
        assert shown["all"]["accuracy"][place] == np.mean(right)
    assert np.max(np.abs(seen["all"]["train"][0] - seen["all"]["train"][1])) > 0.1
    assert shown["all"]["finite"].tolist() == [1.0, 1.0, 0.0] and shown["all"]["accuracy"][2] == 0.0


def test_weight_decay_is_the_gradient_of_half_the_square():
    model, rate, decay = OneLayer(), 0.1, 0.5
    settings = HEAVY_BALL.model_copy(update=dict(name="gd", momentum=0.0, steps=1, batch_size=None))
    network = rivals(model, Optimizer(settings, decay).scaled(1.0))["network"]

    def objective(theta):
        squares = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(theta))
        return 0.5 * jnp.mean((model.apply({"params": theta}, X) - Y) ** 2) + 0.5 * decay * squares

    expected = jax.tree.map(lambda t, g: t - rate * g, network.theta0, jax.grad(objective)(network.theta0))
    moved, _ = network.step(network.init(), None)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), moved, expected)


def test_routes_agree_on_the_first_50_steps_of_figure_s2():
    # Figure S2 in small: a tanh CNN with three convolutions and average pooling, full-batch heavy ball, eta = .1
    model = build_model("cnn", width=4, depth=3, **FIELDS)
    tx = optax.sgd(0.1, momentum=0.9)
    both = rivals(model, tx)
    theta0 = both["network"].theta0
    both["function"] = LinearFunctionSpace.build(
        f0_train=predict(model, theta0, X),
        f0_test=predict(model, theta0, X_TEST),
        y_train=Y,
        ntk_train=empirical_ntk(model, theta0, X),
        ntk_test=empirical_ntk(model, theta0, X_TEST, X),
        jacobian=jnp.zeros((0, 8, 2)),
        tx=tx,
        loss="mse",
    )
    start, *later = observed(both, [0, 1, 10, 50])
    assert max(gap(seen["function"], seen["linear"]) for seen in (start, *later)) < 1e-9
    assert gap(start["linear"], later[-1]["linear"]) > 0.1
    assert gap(later[-1]["network"], later[-1]["linear"]) > 1e-4, "a narrow network leaves its linearization"


def test_batch_norm_is_linearised_as_the_function_of_the_batch():
    # f - f_lin after one mini-batch step is O(eta^2), halving eta quarters it: only so if J is that of f(x_i; X)
    model = build_model("wide_resnet", width=3, depth=10, norm="batch", **FIELDS)
    both, batch = rivals(model, optax.sgd(0.004), chunk=8), Batch(jnp.asarray([4, 1, 7, 2]))

    @jax.jit
    def after(share):
        """What both show after this share of a step, which is one of eta times it."""
        seen = {}
        for name, rival in both.items():
            start, (moved, *state) = rival.init(), rival.step(rival.init(), batch)
            part = jax.tree.map(lambda a, b: a + share * (b - a), start[0], moved)
            seen[name] = rival.observe((part, *state))
        return seen

    gaps = [gap(seen["network"], seen["linear"]) for seen in map(after, (1.0, 0.5))]
    assert 3.6 < gaps[0] / gaps[1] < 4.4


class Normalised(nn.Module):
    """A function of the whole batch."""

    @nn.compact
    def __call__(self, x):
        h = nn.Dense(3, param_dtype=jnp.float64)(x.reshape(len(x), -1))
        h = h / jnp.sqrt(jnp.mean(h * h, axis=0, keepdims=True))
        return nn.Dense(2, param_dtype=jnp.float64)(jnp.tanh(h))


def test_f_lin_takes_the_statistics_of_the_chunks_that_the_network_takes():
    """Each evaluated chunk is a batch, for the network and for f_lin: whole Jacobians of chunks of 3, the last filled up."""
    both, rows = rivals(Normalised(), optax.sgd(1.0), chunk=3), jnp.asarray([4, 1, 7, 2])
    state = both["linear"].step(both["linear"].init(), Batch(rows))
    seen, theta0 = both["linear"].observe(state), both["linear"].theta0
    start, moved = (both["network"].observe(both["network"].init())["train"], seen["train"])
    f = jax.jit(lambda theta, x: Normalised().apply({"params": theta}, x))
    jacobian = jax.jit(jax.jacrev(f))
    for chunk, shown in (([0, 1, 2], 3), ([3, 4, 5], 3), ([6, 7, 0], 2)):
        x = X[jnp.asarray(chunk)]
        f0, changes = (
            np.asarray(f(theta0, x)),
            jax.tree.map(lambda j, w: np.tensordot(j, w, np.ndim(w)), jacobian(theta0, x), state[0]),
        )
        expected = f0 + sum(jax.tree.leaves(changes))
        # float64, sums over a hundred weights
        np.testing.assert_allclose(moved[chunk[0] : chunk[0] + shown], expected[:shown], rtol=0, atol=1e-13)
        np.testing.assert_allclose(start[chunk[0] : chunk[0] + shown], f0[:shown], rtol=0, atol=1e-13)
    assert np.max(np.abs(moved - start)) > 1e-2


def test_chunks_are_whole_and_filled_from_the_beginning():
    def centred(x):
        return x - jnp.mean(x, axis=0, keepdims=True)

    x = jnp.arange(10.0)[:, None] ** 2
    found = in_chunks(centred, x, 4)
    expected = jnp.concatenate([centred(x[:4]), centred(x[4:8]), centred(x[jnp.asarray([8, 9, 0, 1])])[:2]])
    np.testing.assert_array_equal(found, expected)


def test_only_the_evaluated_training_examples_are_observed():
    (seen,) = observed(rivals(OneLayer(), optax.sgd(0.1), evaluated=3), [0])
    assert {name: values["train"].shape for name, values in seen.items()} == {"network": (3, 2), "linear": (3, 2)}
