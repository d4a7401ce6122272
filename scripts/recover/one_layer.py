"""Figure S6, top row: trained networks of one hidden ReLU layer, and how their tangent kernel changes.

f(x) = sum_j a_j phi(h_j) sigma_w/sqrt(n), h = x W sigma_w/sqrt(n_0), without biases, in the coordinates of the inputs' span:
all of theta that moves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.data.span import span_coordinates
from ntkrun.reference import paper_panel
from ntkrun.types import Array, Float64, NumpyArray
from recover.displacements import N_0, N_TRAIN
from recover.likelihood import fit
from recover.pools import Images, Pool, draw, inputs

WIDTH = 256
TIMES = (1, 4, 16, 32, 64, 128, 256, 512, 1024)
# A change of Theta_hat is read within 2 %; what single precision and the paper's five networks of other draws leave.
NUGGET = 0.05

Hypothesis = tuple[Images, float, float]  # images, sigma_w^2, eta under the loss 1/2 mean (f - y)^2


def observed() -> Float64[NumpyArray, " numbers"]:
    """log of the relative change of Theta_hat at `TIMES`, then of the weights of either layer at the end."""
    change = paper_panel("figs6", "relu1_ntk_change_vs_time")[f"n{WIDTH}"].set_index("x")["y"]
    moved = paper_panel("figs6", "relu1_weight_change_vs_width")
    at_width = [moved[layer].set_index("x")["y"][WIDTH] for layer in ("layer1_input", "layer2_output")]
    return np.log([*(change[time] for time in TIMES), *at_width])


def _network(theta: tuple[Array, Array], x: Array, scales: Array) -> Array:
    w, a = theta
    return jax.nn.relu(x @ w * scales[0]) @ a * scales[1]


def _ntk(theta: tuple[Array, Array], x: Array, scales: Array) -> Array:
    w, a = theta
    h = x @ w * scales[0]
    phi, back = jax.nn.relu(h), (h > 0) * a * scales[1] * scales[0]
    return scales[1] ** 2 * phi @ phi.T + (x @ x.T) * (back @ back.T)


@partial(jax.jit, static_argnames="networks")
def _changes(key: Array, x: Array, y: Array, sigma_w2: Array, eta: Array, networks: int) -> tuple[Array, Array]:
    """(networks, times) relative changes of Theta_hat, and (networks, 2) of the weights; all coordinates of w counted."""
    scales = jnp.sqrt(sigma_w2 / jnp.array([x.shape[1], WIDTH]))

    def loss(theta: tuple[Array, Array]) -> Array:
        return jnp.mean((_network(theta, x, scales) - y) ** 2) / 2

    def one(key: Array) -> tuple[Array, Array]:
        first, second = jax.random.split(key)
        start = (jax.random.normal(first, (x.shape[1], WIDTH)), jax.random.normal(second, (WIDTH,)))
        ntk = _ntk(start, x, scales)

        def step(_: int, theta: tuple[Array, Array]) -> tuple[Array, Array]:
            return jax.tree.map(lambda p, g: p - eta * g, theta, jax.grad(loss)(theta))

        theta, changes = start, []
        for before, time in zip((0, *TIMES), TIMES, strict=False):
            theta = jax.lax.fori_loop(before, time, step, theta)
            changes.append(jnp.linalg.norm(_ntk(theta, x, scales) - ntk) / jnp.linalg.norm(ntk))
        moved = [jnp.linalg.norm(now - was) for now, was in zip(theta, start, strict=True)]
        sizes = jnp.sqrt(jnp.array([N_0 * WIDTH, WIDTH]))
        return jnp.stack(changes), jnp.stack(moved) / sizes

    return jax.vmap(one)(jax.random.split(key, networks))


def simulated(pool: Pool, one: Hypothesis, draws: int, networks: int) -> Float64[NumpyArray, "draws numbers"]:
    images, sigma_w2, eta = one
    x, rows = inputs(pool, images.rule, images.q), []
    for seed in range(draws):
        chosen = draw(pool, images, N_TRAIN, 1, seed)
        (coordinates,) = span_coordinates(x[chosen.train].reshape(N_TRAIN, -1))
        arrays = [jnp.asarray(a, jnp.float32) for a in (coordinates, chosen.y_train)]
        changes, moved = _changes(jax.random.key(seed), *arrays, jnp.float32(sigma_w2), jnp.float32(eta), networks)
        rows.append(np.log(np.concatenate([np.mean(changes, axis=0), np.mean(moved, axis=0)])))
    return np.array(rows)


def evidence(pool: Pool, tried: Sequence[Hypothesis], draws: int, networks: int) -> Iterator[dict[str, object]]:
    """With few draws of each, the scatter is that of all hypotheses about their own means."""
    numbers = observed()
    found = [simulated(pool, one, draws, networks) for one in tried]
    scatter = np.concatenate([rows - rows.mean(axis=0) for rows in found]) * np.sqrt(draws / (draws - 1))
    for (images, sigma_w2, eta), rows in zip(tried, found, strict=True):
        fitted = fit(rows.mean(axis=0) + scatter, numbers, np.full(len(numbers), NUGGET))
        changes = {f"t{time}": value for time, value in zip(TIMES, np.log2(np.exp(rows.mean(axis=0))), strict=False)}
        yield {
            "figure": "figs6 (trained)",
            **asdict(images),
            "sigma_w2": sigma_w2,
            "c": eta,
            **asdict(fitted),
            **changes,
        }
