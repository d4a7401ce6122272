"""The convolutional network of Figures S2 and S5."""

import flax.linen as nn
import jax.numpy as jnp

from ntkrun.errors import UserError
from ntkrun.models.declarations import Declaration, by_fields
from ntkrun.models.layers import BuiltIn, Conv, Dense, readout_input
from ntkrun.nonlinearities import resolve_activation
from ntkrun.types import Array, Float, NumpyArray


class CNN(BuiltIn, kw_only=True):
    """L = depth convolutions 3 x 3 of n = width channels, phi behind each, pooling, and a linear readout.

    pool "average": the mean over all positions (the readout's fan_in is n); "flatten": every position by itself (fan_in
    is positions n).  stride: of every convolution.  Layers are called layer_1 .. layer_{L+1} as in `fc.FC`;
    see `layers.Affine` for the parameterizations.  x (n, h, w, c) -> (n, k).

    Raises `UserError` for a depth below 1, an unknown pool, and inputs that are no images.
    """

    width: int
    pool: str = "average"  # or "flatten"
    stride: int = 1

    @property
    def declaration(self) -> Declaration:
        """Of layers with taps, an example at a time."""
        return by_fields(self).but(batch_dependent=False, tapped=True)

    @nn.compact
    def __call__(self, x: Float[Array | NumpyArray, "n ..."]) -> Float[Array, "n k"]:
        if self.depth < 1 or self.pool not in ("average", "flatten") or x.ndim != 4:
            raise UserError(
                f"cnn needs depth >= 1, pool average or flatten, and images, not depth {self.depth}, pool "
                f"{self.pool}, inputs of shape {x.shape[1:]}"
            )
        phi = resolve_activation(self.activation)
        for layer in range(1, self.depth + 1):
            x = phi(Conv(self.width, stride=self.stride, name=f"layer_{layer}", **self.common)(x))
        x = jnp.mean(x, axis=(1, 2)) if self.pool == "average" else jnp.reshape(x, (x.shape[0], -1))
        return Dense(self.n_outputs, name=f"layer_{self.depth + 1}", **self.of_readout)(readout_input(x, self.trained))
