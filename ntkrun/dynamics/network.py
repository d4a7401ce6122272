"""The network itself, trained by Optax: the rival that the theory is about."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from flax import struct

from ntkrun.data.batches import Batch
from ntkrun.dynamics.metrics import check_training, loss_of
from ntkrun.errors import UserError
from ntkrun.kernels.precision import full_precision
from ntkrun.kernels.taps import outputs_of
from ntkrun.lockstep.mesh import split
from ntkrun.models.calls import explained
from ntkrun.models.functions import ModelLike, network_of
from ntkrun.models.parameters import named_leaves
from ntkrun.types import Array, Float, Params, check_arrays, check_number

# A watched scalar weight: its path in the parameter tree and its flat index in that array.
Watched = tuple[tuple[str, ...], int]

CHUNK = 1024  # images per forward pass outside training: bounds the activations held in memory


def in_chunks(
    function: Callable[[Float[Array, "c *d"]], Float[Array, "c k"]], x: Float[Array, "n *d"], chunk: int
) -> Float[Array, "n k"]:
    """function(x) for `chunk` images at a time; the last chunk is filled up from the beginning of the set."""
    n = x.shape[0]
    if n <= chunk:
        return function(split(x))
    rows = jnp.arange(-(-n // chunk) * chunk).reshape(-1, chunk) % n
    outputs = jax.lax.map(lambda some: function(split(x[some])), rows)
    return outputs.reshape(-1, outputs.shape[-1])[:n]


def predict(model: ModelLike, params: Params, x: Float[Array, "n *d"], chunk: int = CHUNK) -> Float[Array, "n k"]:
    """f(x, theta) in chunks; a network with batch normalisation is the function of each chunk that it is.

    Raises `UserError` for what is no network, and for params or inputs that it does not run on.
    """
    check_arrays(x=x)
    check_number("chunk", chunk, at_least=1, whole=True)
    network = network_of(model)
    with explained(network, params, x):
        return in_chunks(lambda images: outputs_of(network, params, images), x, chunk)


def examples(
    batch: Batch | None, x_train: Float[Array, "n *d"], y_train: Float[Array, "n k"]
) -> tuple[Float[Array, "b *d"], Float[Array, "b k"]]:
    """Inputs and targets of a step (None: all of them), dealt out over the devices in use."""
    if x_train.shape[0] != y_train.shape[0]:
        raise UserError(
            f"{x_train.shape[0]} training inputs but {y_train.shape[0]} targets: there must be one for each"
        )
    x, y = (x_train, y_train) if batch is None else batch.of(x_train, y_train)
    return split(x), split(y)


def read_weights(params: Params, watched: tuple[Watched, ...]) -> Float[Array, " w"]:
    """The values of the watched weights."""
    leaves = named_leaves(params)
    values = [leaves[path].reshape(-1)[index] for path, index in watched]
    return jnp.stack(values) if values else jnp.zeros(0)


@struct.dataclass
class InParameterSpace:
    """What a rival that moves parameters is made of.

    x_train (n, ...), y_train (n, k), x_test (m, ...) in the dtype of theta0; `tx` already holds the rate of the
    parameterization (eta_0 / n for the standard one).  Observed are the outputs on the first `evaluated` training
    examples (None: all) and on the test examples, `chunk` of them at a time, at full precision whatever that of the
    steps is.
    """

    theta0: Params
    x_train: Array
    y_train: Array
    x_test: Array
    model: ModelLike = struct.field(pytree_node=False)
    tx: optax.GradientTransformation = struct.field(pytree_node=False)
    loss: str = struct.field(pytree_node=False)
    watched: tuple[Watched, ...] = struct.field(pytree_node=False)
    evaluated: int | None = struct.field(pytree_node=False, default=None)
    chunk: int = struct.field(pytree_node=False, default=CHUNK)

    def __post_init__(self) -> None:
        network_of(self.model)
        check_training(self.tx, self.loss)


@runtime_checkable
class Observer(Protocol):
    """What is looked at on a network while it moves: theta -> {name: values}."""

    def __call__(self, network: "Network", theta: Params) -> dict[str, Array]: ...


@runtime_checkable
class FormingObserver(Protocol):
    """An observer that forms a part of what it looks at by a program of its own, before the one that observes."""

    def formed(self, network: "Network", theta: Params) -> Observer: ...


@struct.dataclass
class Outputs:
    """The outputs on training and test examples, and how far the watched weights have moved."""

    def __call__(self, network: "Network", theta: Params) -> dict[str, Array]:
        model = full_precision(network.model)
        return {
            "train": predict(model, theta, network.x_train[: network.evaluated], network.chunk),
            "test": predict(model, theta, network.x_test, network.chunk),
            "weights": read_weights(theta, network.watched) - read_weights(network.theta0, network.watched),
        }


@struct.dataclass
class Network(InParameterSpace):
    """theta_{i+1} = tx(theta_i, dL/dtheta) with L averaged over batch and outputs; `observer` says what is looked at."""

    observer: Observer = Outputs()

    def init(self) -> tuple[Params, Any]:
        return self.theta0, self.tx.init(self.theta0)

    def step(self, state: tuple[Params, Any], batch: Batch | None) -> tuple[Params, Any]:
        theta, optimizer_state = state
        updates, optimizer_state = self.tx.update(self.gradient(theta, batch), optimizer_state, theta)
        return optax.apply_updates(theta, updates), optimizer_state

    def gradient(self, theta: Params, batch: Batch | None) -> Params:
        """dL/dtheta on the batch."""
        x, y = examples(batch, self.x_train, self.y_train)
        return jax.grad(partial(self._loss, x=x, y=y))(theta)

    def _loss(self, theta: Params, x: Array, y: Array) -> Array:
        return loss_of(self.loss)(outputs_of(self.model, theta, x), y)

    def formed(self, state: tuple[Params, Any]) -> "Network":
        """This network, with what its observer forms first at this state; not to be called inside `jax.jit`."""
        if not isinstance(self.observer, FormingObserver):
            return self
        return replace(self, observer=self.observer.formed(self, state[0]))

    def observe(self, state: tuple[Params, Any]) -> dict[str, Array]:
        return self.observer(self, state[0])


@struct.dataclass(kw_only=True)
class NetworkAtRate(Network):
    """The rival `Network` whose every step is `rate` (a scalar) times that of `tx`, which Optax scales by its own rate last."""

    rate: Array

    def step(self, state: tuple[Params, Any], batch: Batch | None) -> tuple[Params, Any]:
        theta, optimizer_state = state
        updates, optimizer_state = self.tx.update(self.gradient(theta, batch), optimizer_state, theta)
        return jax.tree.map(lambda t, u: t + self.rate * u, theta, updates), optimizer_state
