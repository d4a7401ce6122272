"""The affine map of equation (1) in the NTK and in the standard parameterization, with taps for the empirical kernel.

The taps are a small protocol which any layer may follow, so that `ntkrun.kernels.empirical` never has to know the
layer:
  perturb("h", h)            gives delta = d f / d h by one backward pass (collection "perturbations"),
  sow("taps", "layer", {..}) records the input x and the constants of the layer (collection "taps").
An ordinary `model.apply({"params": params}, x)` opens neither collection, and the compiled program is the bare network.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntkrun.errors import UserError
from ntkrun.types import Array, Float, NumpyArray


def check_parameterization(parameterization: str) -> None:
    """Raises `UserError` unless the name is "ntk" or "standard"."""
    if parameterization not in ("ntk", "standard"):
        raise UserError(f"unknown parameterization {parameterization!r}: choose ntk or standard")


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


class Dense(nn.Module):
    """h = x W + b, equation (1), for x of shape (n, fan_in) and h of shape (n, features).

    ntk (below (1)):  W = sqrt(sigma_w2 / fan_in) omega, b = sqrt(sigma_b2) beta; `omega`, `beta` ~ N(0, 1) are trained.
    standard (S36):   `W` ~ N(0, sigma_w2 / fan_in), `b` ~ N(0, sigma_b2) are trained themselves.

    The names in the parameter tree say which is meant: omega (fan_in, features), beta (features,), or W and b of
    the same shapes..  From one key both parameterizations draw the same function..  With sigma_b2 = 0 neither has a
    bias: the ntk bias would be multiplied by zero, and the standard one would need the infinite rate eta_0 /
    (n_max sigma_b2) of (S37) to correspond to it.

    Parameters, products and outputs have `dtype`.  Source: Lee et al. 2019, section 2.1 and (S36).
    """

    features: int
    sigma_w2: float
    sigma_b2: float
    parameterization: str = "ntk"  # or "standard"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array | NumpyArray, "n fan_in"]) -> Float[Array, "n features"]:
        check_parameterization(self.parameterization)
        x = jnp.asarray(x, self.dtype)
        fan_in = x.shape[-1]
        sigma_w, sigma_b = math.sqrt(self.sigma_w2 / fan_in), math.sqrt(self.sigma_b2)
        is_ntk = self.parameterization == "ntk"
        weight_name, bias_name = ("omega", "beta") if is_ntk else ("W", "b")
        weight_sd, bias_sd = (1.0, 1.0) if is_ntk else (sigma_w, sigma_b)
        weight_scale, bias_scale = (sigma_w, sigma_b) if is_ntk else (1.0, 1.0)

        weight = self.param(weight_name, nn.initializers.normal(weight_sd), (fan_in, self.features), self.dtype)
        # Scaling the product instead of the weight touches n features numbers rather than fan_in features.
        h = x @ weight
        if is_ntk:
            h = weight_scale * h
        if self.sigma_b2 > 0:
            bias = self.param(bias_name, nn.initializers.normal(bias_sd), (self.features,), self.dtype)
            h = h + (bias_scale * bias)[None, :]
        h = self.perturb("h", h)
        if not self.is_initializing():
            self._tap(x, weight_scale, bias_scale if self.sigma_b2 > 0 else 0.0)
        return h

    def _tap(self, x: Float[Array, "n fan_in"], weight_scale: float, bias_scale: float) -> None:
        """Sows x, c_w = (dh/d(x.weight))^2, c_b = (dh/d bias)^2, and the variances of W, b."""
        constants = {
            "weight_coefficient": weight_scale**2,
            "bias_coefficient": bias_scale**2,
            "weight_variance": self.sigma_w2 / x.shape[-1],
            "bias_variance": self.sigma_b2,
        }
        arrays = {name: jnp.asarray(value, self.dtype) for name, value in constants.items()}
        self.sow("taps", "layer", {"x": x, **arrays})
