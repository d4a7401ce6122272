"""The convolutional network of Figures S2 and S5."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ntkrun.activations import Activation, resolve_activation
from ntkrun.errors import UserError
from ntkrun.models.layers import Conv, Dense, readout_input
from ntkrun.types import Array, Float, NumpyArray


class CNN(nn.Module):
    """L = depth convolutions 3 x 3 of n = width channels, phi behind each, pooling, and a linear readout.

    pool "average": the mean over all positions (the readout's fan_in is n); "flatten": every position by itself (fan_in
    is positions n).  stride: of every convolution.  Layers are called layer_1 .. layer_{L+1} as in `fc.FC`;
    see `layers.Affine` for the parameterizations.  x (n, h, w, c) -> (n, k).

    Raises `UserError` for a depth below 1, an unknown pool, and inputs that are no images.
    """

    width: int
    depth: int
    n_outputs: int
    activation: str | Activation
    sigma_w2: float
    sigma_b2: float
    pool: str = "average"  # or "flatten"
    stride: int = 1
    parameterization: str = "ntk"  # or "standard"
    dtype: Any = jnp.float32
    matmul: str = "as_dtype"  # or "bfloat16"
    trained: str = "all"  # or "readout": see `layers.readout_input`

    @nn.compact
    def __call__(self, x: Float[Array | NumpyArray, "n ..."]) -> Float[Array, "n k"]:
        if self.depth < 1 or self.pool not in ("average", "flatten") or x.ndim != 4:
            raise UserError(
                f"cnn needs depth >= 1, pool average or flatten, and images, not depth {self.depth}, pool "
                f"{self.pool}, inputs of shape {x.shape[1:]}"
            )
        phi = resolve_activation(self.activation).phi
        common: dict[str, Any] = dict(
            sigma_w2=self.sigma_w2,
            sigma_b2=self.sigma_b2,
            parameterization=self.parameterization,
            dtype=self.dtype,
            matmul=self.matmul,
        )
        for layer in range(1, self.depth + 1):
            x = phi(Conv(self.width, stride=self.stride, name=f"layer_{layer}", **common)(x))
        x = jnp.mean(x, axis=(1, 2)) if self.pool == "average" else jnp.reshape(x, (x.shape[0], -1))
        return Dense(self.n_outputs, name=f"layer_{self.depth + 1}", **common)(readout_input(x, self.trained))
