"""The affine maps of equation (1) in each of the parameterizations, with taps for the empirical kernel.

The taps are a small protocol which any layer may follow, so that `ntkrun.kernels.taps` never has to know the
layer:
  perturb("h", h)            gives delta = d f / d h by one backward pass (collection "perturbations"),
  sow("taps", "layer", {..}) records the input x and the constants of the layer (collection "taps").
The input is (n, fan_in), or (n, p, fan_in) where p positions of h (n, ..., features) share the weights.  An ordinary
`model.apply({"params": params}, x)` opens neither collection, and the compiled program is the bare network.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntkrun.devices.float64 import require_float64
from ntkrun.devices.platform import platform
from ntkrun.errors import UserError
from ntkrun.models import declarations
from ntkrun.models.numbers import check_dtype
from ntkrun.models.parameterizations import Scaling, scaling
from ntkrun.models.products import HIGHEST, PrecisionLike, Product, at_precision
from ntkrun.nonlinearities import Activation
from ntkrun.types import Array, Float, NumpyArray

KERNEL = 3  # all convolutions of the paper are 3 x 3


def readout_input(x: Float[Array, "n features"], trained: str) -> Float[Array, "n features"]:
    """x^L as the readout of a network sees it whose layers are `trained`: "all" of them, or the "readout" alone.

    Freezing is one cut of the gradient in front of the last layer.  The function stays what it is, and df/dtheta of
    every layer below is zero wherever it is formed: in the network's gradient, in both products of its linearization, in
    the empirical kernel (which becomes K_hat, (S20)) and in the derivatives of single weights.  An optimizer that is
    linear in the gradient then leaves these layers where they are.  Raises `UserError` for another word.
    """
    if trained not in ("all", "readout"):
        raise UserError(f"unknown choice of trained layers {trained!r}: choose all or readout")
    return jax.lax.stop_gradient(x) if trained == "readout" else x


class Affine(nn.Module):
    """h = x W + b with x W any bilinear map in which each entry of h sums `fan_in` products.

    ntk (below (1)):  W = sqrt(sigma_w2 / fan_in) omega, b = sqrt(sigma_b2) beta; `omega`, `beta` ~ N(0, 1) are trained.
    standard (S36):   `W` ~ N(0, sigma_w2 / fan_in), `b` ~ N(0, sigma_b2) are trained themselves.
    mup:              as ntk, and where `readout_of` = n says that it is the readout of n units, h over sqrt n; see
                      `models.parameterizations` for the three.

    The names in the parameter tree say which is meant: omega (..., features), beta (features,), or W and b of
    the same shapes.  From one key both parameterizations draw the same function.  With sigma_b2 = 0 neither has a
    bias: the ntk bias would be multiplied by zero, and the standard one would need the infinite rate eta_0 /
    (n_max sigma_b2) of (S37) to correspond to it.

    Parameters and outputs have `dtype`, and so have the products with matmul = "as_dtype"; "tf32" and "bfloat16" round
    their factors (`models.products`).  Source: Lee et al. 2019, section 2.1 and (S36).  Raises `UserError` for float64
    while JAX computes in 32 bits.
    """

    features: int
    sigma_w2: float
    sigma_b2: float
    parameterization: str = "ntk"  # or "standard", "mup"
    dtype: Any = jnp.float32
    matmul: str = "as_dtype"  # or "tf32", "bfloat16"
    readout_of: int = 0  # n, of the readout in mup

    def in_dtype(self, x: Array | NumpyArray) -> Array:
        """The input as the layer takes it; `UserError` for a dtype that no layer has (`models.numbers`), and for float64 while
        JAX computes in 32 bits."""
        check_dtype(self.dtype)
        if jnp.dtype(self.dtype) == jnp.float64:
            require_float64("a layer of the network")
        return jnp.asarray(x, self.dtype)

    def affine(
        self,
        x: Array,
        weight_shape: tuple[int, ...],
        product: Product,
        patches: Callable[[Array], Array],
    ) -> Array:
        """h for product(x, weight); `patches(x)` is the input as the taps want it."""
        fan_in = math.prod(weight_shape[:-1])
        how = scaling(self.parameterization, fan_in, self.sigma_w2, self.sigma_b2, self.readout_of)
        (weight_name, bias_name), (weight_sd, bias_sd), (weight_scale, bias_scale) = (
            how.names,
            how.deviations,
            how.factors,
        )

        weight = self.param(weight_name, nn.initializers.normal(weight_sd), weight_shape, self.dtype)
        # Scaling the product instead of the weight touches n features numbers rather than fan_in features.
        h = at_precision(product, self.matmul, of_matrices=len(weight_shape) == 2)(x, weight)
        if weight_scale != 1.0:
            h = weight_scale * h
        if self.sigma_b2 > 0:
            bias = self.param(bias_name, nn.initializers.normal(bias_sd), (self.features,), self.dtype)
            h = h + (bias_scale * bias).reshape((1,) * (h.ndim - 1) + (-1,))
        h = self.perturb("h", h)
        if self.is_mutable_collection("taps") and not self.is_initializing():
            self._tap(patches(x), how)
        return h

    def _tap(self, x: Array, how: Scaling) -> None:
        """Sows x, c_w = (dh/d(x.weight))^2, c_b = (dh/d bias)^2, and the variances of W, b."""
        (weight_scale, bias_scale), (weight_variance, bias_variance) = how.factors, how.variances
        constants = {
            "weight_coefficient": weight_scale**2,
            "bias_coefficient": bias_scale**2 if self.sigma_b2 > 0 else 0.0,
            "weight_variance": weight_variance,
            "bias_variance": bias_variance,
        }
        arrays = {name: jnp.asarray(value, self.dtype) for name, value in constants.items()}
        self.sow("taps", "layer", {"x": x, **arrays})


class Dense(Affine):
    """h = x W + b, equation (1), for x of shape (n, fan_in) and h of shape (n, features)."""

    @nn.compact
    def __call__(self, x: Float[Array | NumpyArray, "n fan_in"]) -> Float[Array, "n features"]:
        x = self.in_dtype(x)
        return self.affine(x, (x.shape[-1], self.features), jnp.matmul, lambda x: x)


class Conv(Affine):
    """3 x 3 convolution, the same rule with fan_in = 9 c; x (n, h, w, c), h (n, ceil(h/s), ceil(w/s), features).

    Zeros surround the image ("same" padding: the input of position (i, j) is centred at, or with an even size and
    stride 2 half a pixel right and below of, (s i, s j)).  The weight has shape (3, 3, c, features).
    """

    stride: int = 1

    @nn.compact
    def __call__(self, x: Float[Array | NumpyArray, "n h w c"]) -> Float[Array, "n h_out w_out features"]:
        x = self.in_dtype(x)
        shape = (KERNEL, KERNEL, x.shape[-1], self.features)
        return self.affine(x, shape, self._convolve, self._patches)

    def _convolve(self, x: Array, weight: Array, precision: PrecisionLike) -> Array:
        convolve = by_products if platform() == "cpu" else by_convolution
        return convolve(x, weight, self.stride, precision)

    def _patches(self, x: Array) -> Float[Array, "n p fan_in"]:
        """What each position of the output sees."""
        return neighbourhoods(x, self.stride).reshape(x.shape[0], -1, KERNEL * KERNEL * x.shape[-1])


class BuiltIn(nn.Module):
    """The settings that all networks here have beside their width, and what of them every layer is given."""

    depth: int
    n_outputs: int
    activation: str | Activation
    sigma_w2: float
    sigma_b2: float
    parameterization: str = "ntk"  # or "standard", "mup"
    dtype: Any = jnp.float32
    matmul: str = "as_dtype"  # or "tf32", "bfloat16"
    trained: str = "all"  # or "readout": see `readout_input`

    @property
    def common(self) -> dict[str, Any]:
        """Arguments of `Conv` and `Dense`."""
        names = ("sigma_w2", "sigma_b2", "parameterization", "dtype", "matmul")
        return {name: getattr(self, name) for name in names}

    @property
    def of_readout(self) -> dict[str, Any]:
        """Arguments of the last layer."""
        return self.common | ({"readout_of": declarations.of(self).width} if self.parameterization == "mup" else {})


def neighbourhoods(x: Float[Array, "n h w c"], stride: int) -> Float[Array, "n h_out w_out fan_in"]:
    """The 3 x 3 neighbours of every position of the output, row by row, the channels of each together; zeros outside."""
    (rows, above, below), (columns, left, right) = (_same_padding(size, stride) for size in x.shape[1:3])
    padded = jnp.pad(x, ((0, 0), (above, below), (left, right), (0, 0)))

    def shifted(i: int, j: int) -> Array:
        return padded[:, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride]

    return jnp.concatenate([shifted(i, j) for i in range(KERNEL) for j in range(KERNEL)], axis=-1)


def _same_padding(size: int, stride: int) -> tuple[int, int, int]:
    """Positions of the output, and rows of zeros in front and behind: shared out, the odd one goes behind."""
    positions = -(-size // stride)
    missing = max((positions - 1) * stride + KERNEL - size, 0)
    return positions, missing // 2, missing - missing // 2


def by_convolution(
    x: Float[Array, "n h w c"], weight: Float[Array, "3 3 c features"], stride: int, precision: PrecisionLike = HIGHEST
) -> Float[Array, "n h_out w_out features"]:
    """The convolution as the accelerators' libraries have it."""
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, weight, (stride, stride), "SAME", dimension_numbers=layout, precision=precision
    )


def by_products(
    x: Float[Array, "n h w c"], weight: Float[Array, "3 3 c features"], stride: int, precision: PrecisionLike = HIGHEST
) -> Float[Array, "n h_out w_out features"]:
    """The same as matrix products, for CPUs.

    XLA's CPU backend has a fast convolution for canonical layouts only.  Inside a compiled loop both transposes miss it:
    8 x 32 x 32 x 32 to 32 channels on two cores ran at 53 GFLOP/s forward, but at 2 in either gradient.
    """
    if stride == 1:
        return _by_rows(x, weight, precision)
    return _by_neighbourhoods(x, weight, stride, precision)


def _by_rows(
    x: Float[Array, "n h w c"], weight: Float[Array, "3 3 c features"], precision: PrecisionLike
) -> Float[Array, "n h w features"]:
    """h_r = sum_i y^i_{r+i-1}, where y^i is what the i-th row of the kernel makes of one row of the image.

    One product of the neighbours within a row, three times x, gives all three y^i: a third of the numbers that whole
    neighbourhoods are.  Two layers of a network and of its linearization inside a compiled loop, GFLOP/s against those
    by neighbourhoods: 8 x 32 x 32 x 16 channels 25 and 31 against 12 and 13, 128 x 32 x 32 x 16 17 and 21 against 11 and
    16, 128 x 8 x 8 x 64 44 and 46 against 36 and 38.
    """
    n, h, w, c = x.shape
    features = weight.shape[-1]
    padded = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))
    columns = jnp.concatenate([padded[:, :, j : j + w] for j in range(KERNEL)], axis=-1)
    rows = jnp.moveaxis(weight, 0, 2).reshape(KERNEL * c, KERNEL * features)
    y = jnp.matmul(columns.reshape(-1, KERNEL * c), rows, precision=precision).reshape(n, h, w, KERNEL * features)
    y = jnp.pad(y, ((0, 0), (1, 1), (0, 0), (0, 0)))
    first, second, third = (y[:, i : i + h, :, i * features : (i + 1) * features] for i in range(KERNEL))
    return first + second + third


@partial(jax.checkpoint, static_argnums=(2, 3))  # the neighbourhoods, nine times x, are not held but formed again
def _by_neighbourhoods(
    x: Float[Array, "n h w c"], weight: Float[Array, "3 3 c features"], stride: int, precision: PrecisionLike
) -> Float[Array, "n h_out w_out features"]:
    """One product with the neighbourhoods: for stride 2, where every other row of `_by_rows` would be thrown away."""
    patches = neighbourhoods(x, stride)
    factors = patches.reshape(-1, patches.shape[-1]), weight.reshape(-1, weight.shape[-1])
    product = jnp.matmul(*factors, precision=precision)
    return product.reshape(*patches.shape[:3], weight.shape[-1])
