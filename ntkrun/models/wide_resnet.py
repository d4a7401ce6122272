"""The wide residual network of Table S1 (Figures 4 and S5)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntkrun.errors import UserError
from ntkrun.models.declarations import Declaration, by_fields
from ntkrun.models.layers import BuiltIn, Conv, Dense, readout_input
from ntkrun.nonlinearities import resolve_activation
from ntkrun.types import Array, Float, NumpyArray

GROUPS = (("conv2", 1), ("conv3", 2), ("conv4", 2))  # name, stride of the first block: 32 x 32, 16 x 16, 8 x 8
EPSILON = 1e-5  # added to the variances; they are of order sigma_w2


def batch_norm(x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """Each channel less its mean, over its standard deviation, both over this batch and all positions.

    No running averages (recovered from the paper) and no trained scale and offset (ours: the parameterization says
    nothing about them, and the next layer's weights can express them).
    """
    mean = jnp.mean(x, axis=(0, 1, 2), keepdims=True)
    centred = x - mean
    variance = jnp.mean(centred * centred, axis=(0, 1, 2), keepdims=True)
    return centred * jax.lax.rsqrt(variance + EPSILON)


class Block(nn.Module):
    """x + conv(phi(norm(conv(a)))), a = phi(norm(x)); where the stride changes the shape, a 3 x 3 convolution of a for x.

    The shortcut's convolution reads a: every convolution follows norm and phi, as Table S1 has it (docs/figure4.md).
    """

    stride: int
    norm: Any
    phi: Any
    conv: dict[str, Any]

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h_out w_out c"]:
        active = self.phi(self.norm(x))
        main = Conv(stride=self.stride, name="conv_1", **self.conv)(active)
        main = Conv(name="conv_2", **self.conv)(self.phi(self.norm(main)))
        shortcut = Conv(stride=self.stride, name="shortcut", **self.conv)(active) if self.stride > 1 else x
        return shortcut + main


class WideResNet(BuiltIn, kw_only=True):
    """Table S1: a 3 x 3 stem, three groups of N pre-activation blocks, the mean over the last 8 x 8 map, a dense readout.

    depth = 6 N + 4 counts the stem, 6 N convolutions in the blocks, the two shortcuts and the readout; n = width
    channels in all groups.  norm "batch" normalises by the statistics of the batch at hand, training or not: f is then
    a function of the batch, f(x_i; X), and so are its linearization and its kernel; "none" leaves it out.  last_activation:
    phi before the mean, which Table S1 has not.
    x (n, h, w, c) -> (n, k); for images other than 32 x 32 the last map is not 8 x 8, and all of it is averaged.

    Raises `UserError` for a depth that is no 6 N + 4, an unknown norm, and inputs that are no images.
    """

    width: int
    norm: str = "batch"  # or "none"
    last_activation: bool = False

    @property
    def declaration(self) -> Declaration:
        """Of layers with taps; by batch normalisation a function of the whole batch."""
        return by_fields(self).but(batch_dependent=self.norm == "batch", tapped=True)

    @nn.compact
    def __call__(self, x: Float[Array | NumpyArray, "n ..."]) -> Float[Array, "n k"]:
        blocks, rest = divmod(self.depth - 4, 6)
        if blocks < 1 or rest or self.norm not in ("batch", "none") or x.ndim != 4:
            raise UserError(
                f"wide_resnet needs depth 6 N + 4 (10, 16, ...), norm batch or none, and images, not depth {self.depth}"
                f", norm {self.norm}, inputs of shape {x.shape[1:]}"
            )
        norm = batch_norm if self.norm == "batch" else lambda x: x
        phi, conv = resolve_activation(self.activation), {"features": self.width, **self.common}
        x = Conv(name="conv1", **conv)(x)
        for group, stride in GROUPS:
            for block in range(1, blocks + 1):
                x = Block(stride if block == 1 else 1, norm, phi, conv, name=f"{group}_{block}")(x)
        x = phi(x) if self.last_activation else x
        x = readout_input(jnp.mean(x, axis=(1, 2)), self.trained)
        return Dense(self.n_outputs, name="readout", **self.of_readout)(x)
