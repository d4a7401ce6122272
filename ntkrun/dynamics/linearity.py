"""How linear a run is: what is looked at on a network beside its outputs, to see whether it moves as its linearization does.

Everything is held against theta_0.  A record costs 15 to 120 training steps with full batches, most of it the sharpness
(docs/linearity.md has the measurements), so it belongs to record points and not to steps.
"""

from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from ntkrun.dynamics.linear_parameter_space import LinearParameterSpace
from ntkrun.dynamics.metrics import check_same_shape, rmse
from ntkrun.dynamics.network import InParameterSpace, Network, Outputs
from ntkrun.dynamics.sharpness import sharpness
from ntkrun.kernels.empirical import empirical_ntk
from ntkrun.kernels.method import Method
from ntkrun.kernels.precision import full_precision
from ntkrun.models.functions import Model
from ntkrun.models.parameters import named_leaves, natural_key
from ntkrun.types import Array, Float, Params

# Training examples on which the kernel is looked at: of layers with taps, and by one gradient per example and output
KERNEL_EXAMPLES: dict[Method, int] = {"structured": 128, "jacobian": 16}


def alignment(ntk: Float[Array, "n n k k"], y: Float[Array, "n k"]) -> Float[Array, ""]:
    """y^T Theta y / (|y|^2 ||Theta||_F) over all n k outputs: the cosine between Theta and y y^T as matrices.

    Not centred: the kernel-target alignment of Cristianini et al. 2001.  y^T Theta y is the speed at which descent on the
    squared loss moves the outputs along y from f = 0, the mean of y included; centring (Cortes et al. 2012) takes that mean
    out, which one-hot targets have and balanced +-1 have not.  1 where Theta is c y y^T, 0 where it does not see y.
    """
    check_same_shape(y, ntk[:, 0, :, 0])
    seen = jnp.einsum("ia,ijab,jb->", y, ntk, y, precision="highest")
    return seen / (_squares(y) * jnp.sqrt(_squares(ntk)))


def layers_of(params: Params) -> dict[str, list[Any]]:
    """Path of each layer -> its arrays, weights and biases; in natural order.  An array that is in none is its own layer."""
    layers: dict[str, list[Any]] = {}
    for path, leaf in named_leaves(params).items():
        layers.setdefault("/".join(path[:-1] or path), []).append(leaf)
    return {name: layers[name] for name in sorted(layers, key=natural_key)}


def layer_changes(theta: Params, theta0: Params) -> Float[Array, " layers"]:
    """||theta_l - theta_l(0)|| / ||theta_l(0)|| of every layer, in the order of `layers_of`; ||theta_l - theta_l(0)|| of a layer
    that starts from zeros."""
    changes = []
    for now, then in zip(layers_of(theta).values(), layers_of(theta0).values(), strict=True):
        start = sum(map(_squares, then))
        moved = sum(_squares(a - a0) for a, a0 in zip(now, then, strict=True))
        changes.append(jnp.sqrt(moved / jnp.where(start > 0, start, 1)))
    return jnp.stack(changes)


def _squares(a: Array) -> Array:
    """In float64 where JAX computes in 64 bits: 1e6 squares of float32 keep too few digits of a change of 1e-4."""
    return jnp.sum(jnp.square(a.astype(jnp.result_type(float))))


@struct.dataclass
class Linearity:
    """Outputs, and beside them

    ntk_change    ||Theta_hat_t - Theta_hat_0||_F / ||Theta_hat_0||_F, all k x k blocks, on the first e training examples
    alignment     of Theta_hat_t with their targets (`alignment`)
    sharpness     lambda_max of the Hessian of the loss of the first `loss_examples` training examples (None: all)
    layer_change  ||theta_l - theta_l(0)|| / ||theta_l(0)|| of every layer
    expansion_rmse_train, expansion_rmse_test    root mean square of f_t - f_lin(theta_t), f_lin(theta) = f_0 + J (theta -
                  theta_0): what the network's own weights make of the linearization

    ntk0 (e, e, k, k): Theta_hat_0 there, J J^T; method: the contraction that gives Theta_hat; ntk: Theta_hat_t, where it was
    formed before by the program that gave Theta_hat_0, which is then compiled once.
    """

    ntk0: Array
    method: Method = struct.field(pytree_node=False)
    loss_examples: int | None = struct.field(pytree_node=False, default=None)
    ntk: Array | None = None

    @classmethod
    def at_start(
        cls, model: Model, theta0: Params, x_train: Array, method: Method, loss_examples: int | None = None
    ) -> "Linearity":
        """Its kernel on as many examples as `KERNEL_EXAMPLES` says."""
        ntk0 = empirical_ntk(model, theta0, x_train[: KERNEL_EXAMPLES[method]], method=method)
        return cls(ntk0, method, loss_examples)

    def kernel(self, network: Network, theta: Params) -> Float[Array, "n n k k"]:
        """Theta_hat_t on the first e training examples."""
        model = full_precision(network.model)  # as at the start: one program
        return empirical_ntk(model, theta, network.x_train[: len(self.ntk0)], method=self.method)

    def formed(self, network: Network, theta: Params) -> "Linearity":
        """With Theta_hat_t, by the program that gave Theta_hat_0."""
        return replace(self, ntk=self.kernel(network, theta))

    def __call__(self, network: Network, theta: Params) -> dict[str, Array]:
        seen = Outputs()(network, theta)
        few, some = slice(len(self.ntk0)), slice(self.loss_examples)
        x, y = network.x_train, network.y_train
        ntk = self.kernel(network, theta) if self.ntk is None else self.ntk
        change = jnp.sqrt(_squares(ntk - self.ntk0) / _squares(self.ntk0))
        return seen | {
            "ntk_change": change,
            "alignment": alignment(ntk, y[few]),
            "sharpness": sharpness(network.model, theta, x[some], y[some], loss=network.loss),
            "layer_change": layer_changes(theta, network.theta0),
            **_to_expansion(network, theta, seen),
        }


def _to_expansion(network: Network, theta: Params, seen: dict[str, Array]) -> dict[str, Array]:
    same = {field.name: getattr(network, field.name) for field in fields(InParameterSpace)}
    moved = jax.tree.map(jnp.subtract, theta, network.theta0)
    f_lin = LinearParameterSpace(**same).observe((moved, None))
    return {f"expansion_rmse_{split}": rmse(seen[split], f_lin[split]) for split in ("train", "test")}
