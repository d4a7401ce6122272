"""The nonlinearities phi of equation (1), shared by networks and kernels.

`models` applies phi and `kernels` integrates it; neither imports the other, so the names live in this leaf.  A
function of the user's own is passed as `Activation("swish", jax.nn.swish)`: the network applies it, and its dual
kernels are integrated numerically (`ntkrun.kernels.dual_closed_forms`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax

from ntkrun.errors import UserError
from ntkrun.types import Array


@dataclass(frozen=True)
class Activation:
    """An elementwise phi: R -> R with the name under which closed forms of its dual kernels are looked up."""

    name: str
    phi: Callable[[Array], Array]


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation("relu", jax.nn.relu),
    "erf": Activation("erf", jax.scipy.special.erf),
    "tanh": Activation("tanh", jax.numpy.tanh),
}


def resolve_activation(activation: str | Activation) -> Activation:
    """`activation` itself, or the one registered under that name; `UserError` for an unknown name."""
    if isinstance(activation, Activation):
        return activation
    if activation not in ACTIVATIONS:
        raise UserError(f"unknown activation {activation!r}: choose one of {', '.join(sorted(ACTIVATIONS))}")
    return ACTIVATIONS[activation]
