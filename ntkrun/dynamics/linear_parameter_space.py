"""The linearised model trained in parameter space: for mini-batches and whatever function space cannot hold.

f_lin(x) = f(x, theta_0) + J(x) omega.  One linearisation at theta_0 per batch serves the tangent product (the output)
and its transpose (the gradient), so a step costs 1 primal, 2 tangent and 2 transposed matrix products a layer.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from ntkrun.data.batches import Batch
from ntkrun.dynamics.metrics import loss_of
from ntkrun.dynamics.network import InParameterSpace, examples, in_chunks, read_weights
from ntkrun.kernels.precision import full_precision
from ntkrun.kernels.taps import outputs_of
from ntkrun.types import Array, Params


@struct.dataclass
class LinearParameterSpace(InParameterSpace):
    """omega_{i+1} = tx(omega_i, J^T dL/df_lin), omega_0 = 0; arguments as in `network.InParameterSpace`.

    tx sees theta_0 + omega as its parameters, so that weight decay acts on what it acts on in the network.  With batch
    normalisation the linearised function is f(x_i; X) of the whole batch X, in training and in each evaluated chunk.
    Known equal: `linear_function_space`.
    """

    def init(self) -> tuple[Params, Any]:
        omega = jax.tree.map(jnp.zeros_like, self.theta0)
        return omega, self.tx.init(omega)

    def step(self, state: tuple[Params, Any], batch: Batch | None) -> tuple[Params, Any]:
        omega, optimizer_state = state
        x, y = examples(batch, self.x_train, self.y_train)
        f0, tangent = jax.linearize(lambda theta: outputs_of(self.model, theta, x), self.theta0)
        residual = jax.grad(lambda f: loss_of(self.loss)(f, y))(f0 + tangent(omega))
        (gradient,) = jax.linear_transpose(tangent, omega)(residual)
        theta = jax.tree.map(jnp.add, self.theta0, omega)
        updates, optimizer_state = self.tx.update(gradient, optimizer_state, theta)
        return optax.apply_updates(omega, updates), optimizer_state

    def _outputs(self, omega: Params, x: Array) -> Array:
        model = full_precision(self.model)

        def linearised(images: Array) -> Array:
            def f(theta: Params) -> Array:
                return outputs_of(model, theta, images)

            f0, change = jax.jvp(f, (self.theta0,), (omega,))
            return f0 + change

        return in_chunks(linearised, x, self.chunk)

    def observe(self, state: tuple[Params, Any]) -> dict[str, Array]:
        omega = state[0]
        return {
            "train": self._outputs(omega, self.x_train[: self.evaluated]),
            "test": self._outputs(omega, self.x_test),
            "weights": read_weights(omega, self.watched),
        }
