"""Duals of the registered nonlinearities: closed forms for ReLU and erf, Hermite sums for every other phi."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.polynomial import chebyshev

from ntkrun.kernels.dual import DualActivation, Rows, correlation, inverse_root
from ntkrun.kernels.dual_hermite import HermiteDual
from ntkrun.nonlinearities import Activation, resolve_activation
from ntkrun.types import Array, Float


def _arcsine_series(degree: int) -> list[float]:
    """Coefficients in y = 8 z - 1 of (asin(sqrt z)/sqrt z - 1)/z on 0 <= z <= 1/4, highest first.

    The function is analytic up to z = 1, that is y = 7: Chebyshev interpolation converges like (7 + sqrt 48)^-degree,
    so degree 15 reaches float64 and degree 7 float32.  Below z = 1e-3 its own Taylor series avoids the cancellation.
    """

    def quotient(y: Any) -> Any:
        z = np.maximum((y + 1) / 8, 1e-30)
        taylor = 1 / 6 + z * (3 / 40 + z * (5 / 112 + z * (35 / 1152 + z * 63 / 2816)))
        return np.where(z < 1e-3, taylor, (np.arcsin(np.sqrt(z)) / np.sqrt(z) - 1) / z)

    return [float(c) for c in chebyshev.cheb2poly(chebyshev.chebinterpolate(quotient, degree))[::-1]]


_ARCSINE = {jnp.dtype(jnp.float64): _arcsine_series(15), jnp.dtype(jnp.float32): _arcsine_series(7)}


def _half_angle(c: Array, rest: Array) -> tuple[Array, Array]:
    """(a > 1/2, s) for a = |c| <= 1: s = asin(a) in the lower half, asin(sqrt((1 - a)/2)) = arccos(a)/2 in the upper.

    rest  1 - a, with all its digits: the half angle then keeps all digits of small angles.  Polynomials instead of library calls:
    XLA vectorises them on a CPU, where its arccos and atan2 take three times as long.
    """
    a = jnp.abs(c)
    upper = a > 0.5
    z = jnp.where(upper, rest * 0.5, a * a)
    y = 8 * z - 1
    coefficients = _ARCSINE[c.dtype]
    series = jnp.full_like(z, coefficients[0])
    for coefficient in coefficients[1:]:
        series = series * y + coefficient
    t = jnp.where(upper, jnp.sqrt(z), a)
    return upper, t + t * z * series


@dataclass(frozen=True)
class ReLUDual(DualActivation):
    """T = sqrt(pq) (sin t + (pi - t) cos t)/(2 pi), Tdot = (pi - t)/(2 pi), cos t = r/sqrt(pq): Cho & Saul 2009."""

    def rows(self, p: Float[Array, " n"]) -> Rows:
        return jnp.sqrt(p), inverse_root(p)

    def pair(
        self, rows1: Rows, rows2: Rows, r: Float[Array, "n1 n2"]
    ) -> tuple[Float[Array, "n1 n2"], Float[Array, "n1 n2"]]:
        (root1, inverse1), (root2, inverse2) = rows1, rows2
        c = correlation(inverse1, inverse2, r)
        upper, s = _half_angle(c, 1 - jnp.abs(c))  # exact for |c| > 1/2
        acute = jnp.where(upper, 2 * s, np.pi / 2 - s)
        # pi - t is the acute angle itself for c < 0: no digits lost for nearly opposite inputs.
        tdot = jnp.where(c < 0, acute, np.pi - acute) * (0.5 / np.pi)
        sine = jnp.sqrt((1 - c) * (1 + c))
        return (root1[:, None] * root2[None, :]) * (sine * (0.5 / np.pi) + tdot * c), tdot

    def second_moment(self, p: Float[Array, " n"]) -> Float[Array, " n"]:
        return p / 2


@dataclass(frozen=True)
class ErfDual(DualActivation):
    """T = (2/pi) asin(a), a = 2r/sqrt((1+2p)(1+2q)); Tdot = (4/pi)/sqrt((1+2p)(1+2q) - 4r^2): Williams 1997.

    For large p, a is near 1 and the difference under the root loses all its digits, so it is formed from the correlation
    c = r/sqrt(pq): (1+2p)(1+2q) - 4r^2 = 1 + 2(p + q) + 4pq (1 - c)(1 + c), a sum of terms that are not negative.
    """

    def rows(self, p: Float[Array, " n"]) -> Rows:
        return p, inverse_root(p), 1 / jnp.sqrt(1 + 2 * p)

    def pair(
        self, rows1: Rows, rows2: Rows, r: Float[Array, "n1 n2"]
    ) -> tuple[Float[Array, "n1 n2"], Float[Array, "n1 n2"]]:
        (p, inverse1, scale1), (q, inverse2, scale2) = rows1, rows2
        p, q, scale = p[:, None], q[None, :], scale1[:, None] * scale2[None, :]
        c = correlation(inverse1, inverse2, r)
        a = 2 * r * scale
        square = (1 + 2 * (p + q) + 4 * (p * q) * ((1 - c) * (1 + c))) * (scale * scale)  # 1 - a^2
        upper, s = _half_angle(a, square / (1 + jnp.abs(a)))
        t = jnp.sign(a) * jnp.where(upper, np.pi / 2 - 2 * s, s) * (2 / np.pi)
        return t, (4 / np.pi) * scale / jnp.sqrt(square)

    def second_moment(self, p: Float[Array, " n"]) -> Float[Array, " n"]:
        return (2 / np.pi) * jnp.arctan2(2 * p, jnp.sqrt(1 + 4 * p))  # asin(2p/(1 + 2p)), for large p too


def dual_activation(activation: str | Activation) -> DualActivation:
    """The dual of a registered or user-given phi: a closed form where one is known, else `HermiteDual`.

    Raises `UserError` for an unknown name.
    """
    resolved = resolve_activation(activation)
    closed: dict[Activation, DualActivation] = {
        resolve_activation("relu"): ReLUDual(),
        resolve_activation("erf"): ErfDual(),
    }
    return closed.get(resolved) or HermiteDual(resolved)
