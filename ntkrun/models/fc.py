"""The fully connected network of equation (1)."""

import flax.linen as nn
import jax.numpy as jnp

from ntkrun.errors import UserError
from ntkrun.models.declarations import Declaration, FullyConnected, by_fields
from ntkrun.models.layers import BuiltIn, Dense, readout_input
from ntkrun.nonlinearities import resolve_activation
from ntkrun.types import Array, Float, NumpyArray


class FC(BuiltIn, kw_only=True):
    """h^1 = x W^1 + b^1;  h^{l+1} = phi(h^l) W^{l+1} + b^{l+1};  f = h^{L+1}, equation (1).

    depth is L, the number of hidden layers; width is n, one number or one per hidden layer; n_outputs is k.  An input
    (n, ...) is flattened to (n, d); the output has shape (n, k).  Layers are called layer_1 .. layer_{L+1} as in the
    paper, and layer_{L+1} is the readout: params["layer_2"]["omega"] is omega^2.  See `layers.Affine` for the
    parameterizations.

    Raises `UserError` for a depth below 1 or a tuple of widths whose length is not the depth.
    """

    width: int | tuple[int, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """n_1 .. n_L."""
        return (self.width,) * self.depth if isinstance(self.width, int) else tuple(self.width)

    @property
    def declaration(self) -> Declaration:
        """Equation (1), of layers with taps, an example at a time."""
        terms = ("widths", "n_outputs", "activation", "sigma_w2", "sigma_b2", "parameterization", "trained")
        equation = FullyConnected(**{name: getattr(self, name) for name in terms})
        width = max(self.widths, default=0)
        return by_fields(self).but(width=width, batch_dependent=False, tapped=True, fully_connected=equation)

    @nn.compact
    def __call__(self, x: Float[Array | NumpyArray, "n ..."]) -> Float[Array, "n k"]:
        if self.depth < 1 or len(self.widths) != self.depth:
            raise UserError(f"fc needs depth >= 1 and one width per hidden layer, not depth {self.depth}, {self.width}")
        phi = resolve_activation(self.activation)
        x = jnp.reshape(x, (x.shape[0], -1))
        for layer, features in enumerate((*self.widths, self.n_outputs), start=1):
            x = phi(x) if layer > 1 else x
            x = readout_input(x, self.trained) if layer > self.depth else x
            how = self.of_readout if layer > self.depth else self.common
            x = Dense(features, name=f"layer_{layer}", **how)(x)
        return x
