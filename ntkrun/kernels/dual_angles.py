"""Arc sine and arc-cosine functions of a correlation, with all digits near +-1 and with derivatives of their own.

Differentiated as it stands, sqrt(1 - c^2) would be 0/0 at equal inputs.
"""

from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.polynomial import Polynomial, chebyshev

from ntkrun.types import Array


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


def sine(c: Array) -> Array:
    """sqrt(1 - c^2)."""
    return jnp.sqrt((1 - c) * (1 + c))


def inverse_sine(c: Array) -> Array:
    """1 / sqrt(1 - c^2); 0 at c = +-1, where it stands for a derivative (`kernels.dual`)."""
    inside = jnp.abs(c) < 1
    return jnp.where(inside, 1 / sine(jnp.where(inside, c, 0)), 0)


class ArcCosine(NamedTuple):
    """For u, v of variance 1 and correlation c = cos t, t in [0, pi]; Cho & Saul 2009.

    first     E[u_+ v_+] = (sin t + (pi - t) cos t)/(2 pi)       opposed  E[u_+ (-v)_+], the same at -c
    both      P(u > 0, v > 0) = (pi - t)/(2 pi)                  apart    P(u > 0, v < 0) = t/(2 pi)
    """

    first: Array
    opposed: Array
    both: Array
    apart: Array


@jax.custom_jvp
def arc_cosine(c: Array) -> ArcCosine:
    upper, s = _half_angle(c, 1 - jnp.abs(c))  # exact for |c| > 1/2
    acute = jnp.where(upper, 2 * s, np.pi / 2 - s)
    # pi - t is the acute angle itself for c < 0: no digits lost for nearly opposite inputs.
    both = jnp.where(c < 0, acute, np.pi - acute) * (0.5 / np.pi)
    apart = jnp.where(c < 0, np.pi - acute, acute) * (0.5 / np.pi)
    height = sine(c) * (0.5 / np.pi)
    return ArcCosine(height + both * c, height - apart * c, both, apart)


@arc_cosine.defjvp
def _arc_cosine_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[ArcCosine, ArcCosine]:
    (c,), (dc,) = primals, tangents
    value = arc_cosine(c)
    density = (0.5 / np.pi) * inverse_sine(c) * dc
    return value, ArcCosine(value.both * dc, -value.apart * dc, density, -density)


@jax.custom_jvp
def arcsine(a: Array, square: Array) -> tuple[Array, Array]:
    """((2/pi) asin(a), 1 + (2/pi) asin(a)), both with all digits; square is 1 - a^2, with all of its own."""
    upper, s = _half_angle(a, square / (1 + jnp.abs(a)))
    t = jnp.sign(a) * jnp.where(upper, np.pi / 2 - 2 * s, s) * (2 / np.pi)
    return t, jnp.where(upper & (a < 0), s * (4 / np.pi), 1 + t)


@arcsine.defjvp
def _arcsine_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    (a, square), (da, _) = primals, tangents  # `square` says again what a is
    slope = (2 / np.pi) / jnp.sqrt(square) * da
    return arcsine(a, square), (slope, slope)


@lru_cache
def _rectified_polynomials(k: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Coefficients of (A, B), lowest first: t_k(c) = E[u_+^k v_+^k] = A(c) sqrt(1 - c^2) + B(c) P(u > 0, v > 0).

    From t_k' = k^2 t_{k-1} (Price's theorem), with P' = 1/(2 pi sqrt(1 - c^2)):
        B_k' = k^2 B_{k-1},   B_k(1) = (2k - 1)!!, which is 2 t_k(1);
        (1 - c^2) A_k' - c A_k = k^2 (1 - c^2) A_{k-1} - B_k/(2 pi),
    coefficient by coefficient (j + 1) a_{j+1} = right_j + j a_{j-1}.  A_k has the parity of k - 1, so that a_0 = 0 for even k, and
    B_k that of k: for odd k, a_0 = t_k(0) = E[u_+^k]^2.
    """
    if k == 0:
        return (0.0,), (1.0,)
    before_a, before_b = (Polynomial(coefficients) for coefficients in _rectified_polynomials(k - 1))
    b = k * k * before_b.integ()
    b = b + float(np.prod(np.arange(1.0, 2 * k, 2)) - b(1.0)) if k % 2 == 0 else b
    right = k * k * Polynomial([1, 0, -1]) * before_a - b / (2 * np.pi)
    a = [float(np.prod(np.arange(2.0, k, 2))) ** 2 / (2 * np.pi) if k % 2 else 0.0]
    for j in range(k - 1):
        a.append(float((right.coef[j] + (j * a[j - 1] if j else 0.0)) / (j + 1)))
    return tuple(a), tuple(float(one) for one in b.coef)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def rectified_moment(k: int, c: Array) -> Array:
    """E[u_+^k v_+^k] for u, v of variance 1 and correlation c; for k = 0, P(u > 0, v > 0).

    Near c = -1, where it vanishes like t^(2k+1), its absolute error is rounding's.
    """
    both = arc_cosine(c).both
    if k == 0:
        return both
    a, b = (jnp.asarray(coefficients[::-1], c.dtype) for coefficients in _rectified_polynomials(k))
    return jnp.polyval(a, c) * sine(c) + jnp.polyval(b, c) * both


@rectified_moment.defjvp
def _rectified_moment_jvp(k: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (c,), (dc,) = primals, tangents
    slope = k * k * rectified_moment(k - 1, c) if k else (0.5 / np.pi) * inverse_sine(c)
    return rectified_moment(k, c), slope * dc
