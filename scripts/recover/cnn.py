"""Figure S2: f_lin of the convolutional network under heavy ball, with kernels that are means over a few narrow networks.

K and Theta of infinitely many channels are what E[K_hat] and E[Theta_hat] are in the limit of wide networks; 32 channels
and three networks have them within some ten per cent, far less than one pair of classes differs from another by.  Under heavy
ball an eigenmode of Theta with rate lambda keeps e_i of its distance to the target, e_{i+1} = (1 + beta - eta lambda/N) e_i -
beta e_{i-1}, e_{-1} = e_0 = 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.kernels.analytic import Kernels
from ntkrun.models.registry import build_model
from ntkrun.reference import paper_panel
from ntkrun.theory.closed_form import spectrum
from ntkrun.types import Array, Float64, NumpyArray
from recover.likelihood import fit
from recover.loss_curves import ACCURACY_NUGGET, at
from recover.pools import Draw, Images, Pool, draw, groups

N_TRAIN, N_TEST = 128, 128
ETA, BETA, SIGMA_W2, SIGMA_B2 = 0.1, 0.9, 2.0, 0.1
STEPS = (1, 8, 32, 128, 512, 4096)
ACCURACY_STEPS = (128, 4096)
C = (0.5, 1.0, 2.0, 4.0)  # in units of eta under the loss 1/2 mean (f - y)^2
LOSS_NUGGET = 0.1
_CHUNK = 32


def observed() -> tuple[Float64[NumpyArray, " numbers"], Float64[NumpyArray, " numbers"]]:
    """log of the train and of the test loss, then test accuracies, and their nuggets."""
    loss, accuracy = paper_panel("figs2", "loss"), paper_panel("figs2", "accuracy")
    step = np.sqrt(ETA)
    numbers = [np.log(at(loss["train_linear"], step * i)) for i in STEPS]
    numbers += [np.log(at(loss["test_linear"], step * i)) for i in STEPS]
    numbers += [at(accuracy["test_linear"], step * i) for i in ACCURACY_STEPS]
    counts = (2 * len(STEPS), len(ACCURACY_STEPS))
    return np.array(numbers), np.repeat([LOSS_NUGGET, ACCURACY_NUGGET], counts)


def kernels(
    x: NumpyArray,
    *,
    channels: int,
    networks: int,
    depth: int = 3,
    pool: str = "average",
    sigma_w2: float = SIGMA_W2,
    sigma_b2: float = SIGMA_B2,
) -> Kernels:
    """Means over networks of K_hat, by which f_0 is distributed, and Theta_hat, between all images of a pool."""
    fields = {"n_outputs": 1, "activation": "tanh", "sigma_w2": sigma_w2, "sigma_b2": sigma_b2}
    model = build_model(
        "cnn", width=channels, depth=depth, pool=pool, parameterization="ntk", dtype="float32", **fields
    )
    total = Kernels(np.zeros((len(x), len(x))), np.zeros((len(x), len(x))))
    readout = f"layer_{depth + 1}"

    @jax.jit
    def gradients(params: dict, images: Array) -> tuple[Array, Array]:
        def of_one(image: Array) -> dict:
            return jax.grad(lambda p: jnp.sum(model.apply({"params": p}, image[None])))(params)

        found = jax.vmap(of_one)(images)
        rows = [[leaf.reshape(len(images), -1) for leaf in jax.tree.leaves(part)] for part in (found, found[readout])]
        return jnp.concatenate(rows[0], axis=1), jnp.concatenate(rows[1], axis=1)

    for seed in range(networks):
        params = model.init(jax.random.key(seed), jnp.asarray(x[:1], jnp.float32))["params"]
        chunks = [gradients(params, jnp.asarray(x[i : i + _CHUNK], jnp.float32)) for i in range(0, len(x), _CHUNK)]
        jacobian, last = (np.concatenate([np.asarray(chunk[part]) for chunk in chunks]) for part in (0, 1))
        total.ntk[:] += jacobian @ jacobian.T / networks
        # The readout's own share of Theta_hat is the covariance of f given the layers below: K_hat.
        total.nngp[:] += last @ last.T / networks
    return total


def distances(rates: NumpyArray, steps: Sequence[int]) -> Float64[NumpyArray, "steps modes"]:
    """e_i for rates eta lambda/N."""
    before = now = np.ones_like(rates)
    found = []
    for i in range(1, max(steps) + 1):
        before, now = now, (1 + BETA - rates) * now - BETA * before
        if i in steps:
            found.append(now)
    return np.array(found)


def simulated(
    kernels: Kernels, draws: Sequence[Draw], c: Sequence[float], functions: int
) -> Float64[NumpyArray, "c draws numbers"]:
    return np.concatenate([_of_one(kernels, one, c, functions, seed) for seed, one in enumerate(draws)], axis=1)


def _of_one(
    kernels: Kernels, one: Draw, c: Sequence[float], functions: int, seed: int
) -> Float64[NumpyArray, "c functions numbers"]:
    n, rows = len(one.train), np.concatenate([one.train, one.test])
    nngp = kernels.nngp[np.ix_(rows, rows)]
    variances, modes = np.linalg.eigh(nngp)  # of no more rank than all channels together: no Cholesky factor
    sds = np.sqrt(np.maximum(variances, 0.0))
    f0 = modes @ (sds[:, None] * np.random.default_rng(seed).standard_normal((len(rows), functions)))
    theta = spectrum(kernels.ntk[np.ix_(one.train, one.train)].astype(np.float32))
    residual = theta.vectors.T @ (f0[:n] - one.y_train[:, None])
    to_test = kernels.ntk[np.ix_(one.test, one.train)] @ theta.vectors
    values = np.maximum(theta.values, theta.rounding)

    def numbers(factor: float) -> NumpyArray:
        kept = distances(factor * ETA * values / n, STEPS)
        outputs = [f0[n:] - to_test @ (((1 - e) / values)[:, None] * residual) for e in kept]
        found = [np.log(np.sum((e[:, None] * residual) ** 2, axis=0) / (2 * n)) for e in kept]
        found += [np.log(np.mean((f - one.y_test[:, None]) ** 2, axis=0) / 2) for f in outputs]
        shown = (outputs[STEPS.index(step)] for step in ACCURACY_STEPS)
        found += [np.mean(f * one.y_test[:, None] > 0, axis=0) for f in shown]
        return np.stack(found, axis=1)

    return np.stack([numbers(factor) for factor in c])


def evidence(
    pool: Pool, tried: Sequence[Images], *, draws: int, functions: int, **network: Any
) -> Iterator[dict[str, object]]:
    """A row for every hypothesis about the images and c; `network`: what `kernels` is given beside the images."""
    numbers, nugget = observed()
    for part, x, alike in groups(pool, tried):
        found = kernels(x, **network)
        for one in alike:
            curves = simulated(found, [draw(part, one, N_TRAIN, N_TEST, s) for s in range(draws)], C, functions)
            for c, fitted in zip(C, (fit(values, numbers, nugget) for values in curves), strict=True):
                yield {"figure": "figs2", **asdict(one), "c": c, **asdict(fitted)}
