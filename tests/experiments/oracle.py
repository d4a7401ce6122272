"""Networks, losses, optimizers and their linearization once more, by explicit loops over whole Jacobians in float64.

Nothing here comes from ntkrun but a draw of theta_0, whose tree says how layers are called.  A function of the parameters
is one of a flat vector; the loss is averaged over examples and outputs; `scale` is 1, or 1/n in the standard
parameterization, on every rate and every kernel.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

PHI = {"relu": lambda h: jnp.maximum(h, 0.0), "tanh": jnp.tanh, "erf": jax.scipy.special.erf}


def network(model: Any, trained: str = "all") -> Callable:
    """f(theta, x), equation (1): theta a tree of layers, x (n, ...), f (n, k)."""

    def f(theta: Any, x: Any) -> Any:
        h = jnp.reshape(jnp.asarray(x, jnp.float64), (len(x), -1))
        for layer in range(1, model.depth + 2):
            h = PHI[model.activation](h) if layer > 1 else h
            h = jax.lax.stop_gradient(h) if trained == "readout" and layer == model.depth + 1 else h
            of = theta[f"layer_{layer}"]
            if model.parameterization == "ntk":
                h = jnp.sqrt(model.sigma_w2 / h.shape[1]) * h @ of["omega"]
                h = h + jnp.sqrt(model.sigma_b2) * of["beta"][None, :] if model.sigma_b2 else h
            else:
                h = h @ of["W"] + of["b"][None, :] if model.sigma_b2 else h @ of["W"]
        return h

    return f


def last_hidden_kernel(model: Any, theta: Any, x: np.ndarray) -> np.ndarray:
    """K_hat = sigma_w^2/n x^L.x^L' + sigma_b^2 of the activations of the last hidden layer."""
    below = {f"layer_{layer}": theta[f"layer_{layer}"] for layer in range(1, model.depth + 1)}
    shallower = model.model_copy(update={"depth": model.depth - 1})  # its readout is the last hidden layer
    h = np.asarray(PHI[model.activation](network(shallower)(below, x)))
    return model.sigma_w2 / h.shape[1] * h @ h.T + model.sigma_b2


def scale_of(model: Any) -> float:
    return 1.0 if model.parameterization == "ntk" else 1.0 / model.width


def loss(name: str, f: np.ndarray, y: np.ndarray) -> float:
    if name == "mse":
        return float(np.sum((f - y) ** 2) / (2 * f.size))
    return float(-np.sum(y * (f - np.logaddexp.reduce(f, axis=1, keepdims=True))) / f.size)


def loss_gradient(name: str, f: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dL/df, (n, k)."""
    if name == "mse":
        return (f - y) / f.size
    p = np.exp(f - np.logaddexp.reduce(f, axis=1, keepdims=True))
    return (p * y.sum(axis=1, keepdims=True) - y) / f.size


def accuracy(f: np.ndarray, y: np.ndarray) -> float:
    right = [
        np.sign(a[0]) == np.sign(b[0]) if len(a) == 1 else np.argmax(a) == np.argmax(b)
        for a, b in zip(f, y, strict=True)
    ]
    return float(np.mean(right))


class Flat:
    """A network as a function of one flat vector: outputs, and the whole Jacobian (n, k, P)."""

    def __init__(self, f: Callable, theta0: Any) -> None:
        start, self._tree = ravel_pytree(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), theta0))
        self.theta0 = np.asarray(start)
        self._f = jax.jit(lambda theta, x: f(self._tree(theta), x))
        self._jacobian = jax.jit(jax.jacrev(lambda theta, x: f(self._tree(theta), x)))

    def tree(self, theta: np.ndarray) -> Any:
        return jax.tree.map(np.asarray, self._tree(jnp.asarray(theta)))

    def __call__(self, theta: np.ndarray, x: Any) -> np.ndarray:
        return np.asarray(self._f(theta, x))

    def jacobian(self, theta: np.ndarray, x: Any) -> np.ndarray:
        return np.asarray(self._jacobian(theta, x))

    def kernel(self, theta: np.ndarray, x1: Any, x2: Any = None) -> np.ndarray:
        """J J^T as a matrix over pairs (example, output)."""
        one = self.jacobian(theta, x1).reshape(-1, len(theta))
        other = one if x2 is None else self.jacobian(theta, x2).reshape(-1, len(theta))
        return one @ other.T

    def linearised(self, x: Any) -> Callable[[np.ndarray], np.ndarray]:
        """theta -> f_lin(x)."""
        f0, j = self(self.theta0, x), self.jacobian(self.theta0, x)
        return lambda theta: f0 + j @ (theta - self.theta0)


def positions(
    start: np.ndarray, gradient: Callable, how: Any, scale: float, decay: float = 0.0
) -> Iterator[np.ndarray]:
    """theta_0, theta_1, ... by the recursion of `how.name`, at a constant rate; gradient(theta, step)."""
    eta, beta = scale * how.learning_rate, how.momentum
    theta, before = start.copy(), start.copy()
    velocity, mean, square = np.zeros_like(start), np.zeros_like(start), np.zeros_like(start)
    yield theta
    for step in range(how.steps):
        g = gradient(theta, step) + decay * theta
        velocity, mean = beta * velocity + g, beta * mean + (1 - beta) * g
        if how.name == "gd":
            following = theta - eta * g
        elif how.name == "momentum":
            following = theta + beta * (theta - before) - eta * g  # (S1)
        elif how.name == "nesterov":
            following = theta - eta * (g + beta * velocity)
        else:
            square = how.beta2 * square + (1 - how.beta2) * g**2
            unbiased = mean / (1 - beta ** (step + 1)), square / (1 - how.beta2 ** (step + 1))
            following = theta - eta * unbiased[0] / (np.sqrt(unbiased[1]) + how.epsilon)
        theta, before = following, theta
        yield theta


def descended(f: Flat, x: np.ndarray, y: np.ndarray, loss: str, how: Any, scale: float) -> list[np.ndarray]:
    """theta_0, theta_1, ... of the network, full batches."""

    def gradient(theta: np.ndarray, _: int) -> np.ndarray:
        return np.einsum("nk,nkp->p", loss_gradient(loss, f(theta, x), y), f.jacobian(theta, x))

    return list(positions(f.theta0, gradient, how, scale))


def linear_outputs(train: np.ndarray, cross: np.ndarray, f0: np.ndarray, f0_test: np.ndarray, y: np.ndarray, eta: float,
                   steps: int, loss: str = "mse") -> Iterator[tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """f_lin on training and test inputs after 0, 1, ... steps in function space; kernels over pairs (example, output)."""
    f, f_test = f0.copy(), f0_test.copy()
    yield f, f_test
    for _ in range(steps):
        move = eta * loss_gradient(loss, f, y).reshape(-1)
        f, f_test = f - (train @ move).reshape(f.shape), f_test - (cross @ move).reshape(f_test.shape)
        yield f, f_test


def relu_kernels(model: Any, x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K, Theta) of a ReLU network for every pair by itself, Cho and Saul's formulas; standard: (S42) with its 1/n terms."""
    sw2, sb2, n = model.sigma_w2, model.sigma_b2, model.width
    ntk = model.parameterization == "ntk"
    found = np.zeros((2, len(x1), len(x2)))
    for i, a in enumerate(x1.reshape(len(x1), -1)):
        for j, b in enumerate(x2.reshape(len(x2), -1)):
            p, q, r = (sw2 * u @ v / len(a) + sb2 for u, v in ((a, a), (b, b), (a, b)))
            theta = r if ntk else a @ b / n + (sb2 > 0) / n
            for _ in range(model.depth):
                cosine = r / np.sqrt(p * q)
                # of equal inputs it is 1 but for its last bit, which arccos would make 1.5e-8; no others are within 1e-6
                angle = np.arccos(cosine) if cosine < 1 - 1e-12 else 0.0
                t = np.sqrt(p * q) * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
                tdot = (np.pi - angle) / (2 * np.pi)
                theta = (sw2 * t + sb2 if ntk else t + (sb2 > 0) / n) + sw2 * theta * tdot
                p, q, r = sw2 * p / 2 + sb2, sw2 * q / 2 + sb2, sw2 * t + sb2
            found[:, i, j] = r, theta
    return found[0], found[1]
