"""Duals of the registered nonlinearities: closed forms where one is known, else quadrature."""

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial, pi, prod, sin

import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.kernels.dual import DualActivation, Rows, correlation, inverse_root, root
from ntkrun.kernels.dual_angles import arc_cosine, arcsine, inverse_sine, rectified_moment
from ntkrun.kernels.dual_hermite import HermiteDual
from ntkrun.kernels.dual_kinks import KinkedDual
from ntkrun.nonlinearities import SIGMOID_LIKE, Activation, is_registered, resolve_activation
from ntkrun.notation.activation_names import parse
from ntkrun.types import Array, Float


@dataclass(frozen=True)
class PiecewiseLinearDual(DualActivation):
    """phi = below * u for u < 0 and above * u for u > 0.

    phi = above u_+ - below (-u)_+, hence with `ArcCosine` T = sqrt(pq) ((above^2 + below^2) first - 2 above below opposed), and
    Tdot = (above^2 + below^2) both + 2 above below apart.
    """

    below: float = 0.0
    above: float = 1.0

    def rows(self, p: Float[Array, "*shape"]) -> Rows:
        return root(p), inverse_root(p)

    def elementwise(self, rows1: Rows, rows2: Rows, r: Array) -> tuple[Array, Array]:
        (root1, inverse1), (root2, inverse2) = rows1, rows2
        same, mixed = self.above**2 + self.below**2, 2 * self.above * self.below
        angles = arc_cosine(correlation(inverse1, inverse2, r))
        t, tdot = same * angles.first, same * angles.both
        if mixed:
            t, tdot = t - mixed * angles.opposed, tdot + mixed * angles.apart
        return (root1 * root2) * t, tdot

    def second_moment(self, p: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return p * ((self.above**2 + self.below**2) / 2)


@dataclass(frozen=True)
class PiecewiseConstantDual(DualActivation):
    """phi = below for u < 0, above for u > 0, their mean at 0.

    phi' is (above - below) times a delta: Tdot = (above - below)^2 / (2 pi sqrt(pq - r^2)), the density of (u, v) at 0, infinite
    for equal and for opposite inputs.  It is the limit of steep smooth phi; a finite network with this very phi has no gradient
    below its readout, and only kernels with the readout alone trained describe it.
    """

    below: float = 0.0
    above: float = 1.0

    def rows(self, p: Float[Array, "*shape"]) -> Rows:
        return (inverse_root(p),)

    def elementwise(self, rows1: Rows, rows2: Rows, r: Array) -> tuple[Array, Array]:
        (inverse1,), (inverse2,) = rows1, rows2
        c = correlation(inverse1, inverse2, r)
        angles = arc_cosine(c)
        t = (self.above**2 + self.below**2) * angles.both + 2 * self.above * self.below * angles.apart
        density = jnp.where(jnp.abs(c) < 1, inverse_sine(c), jnp.inf) * (inverse1 * inverse2) / (2 * pi)
        return t, (self.above - self.below) ** 2 * density


@dataclass(frozen=True)
class ErfDual(DualActivation):
    """phi = scale erf(rate u) + shift; for scale = rate = 1, shift = 0:

    T = (2/pi) asin(a), a = 2r/sqrt((1+2p)(1+2q)); Tdot = (4/pi)/sqrt((1+2p)(1+2q) - 4r^2): Williams 1997.

    For large p, a is near 1 and the difference under the root loses all its digits, so it is formed from the correlation
    c = r/sqrt(pq): (1+2p)(1+2q) - 4r^2 = 1 + 2(p + q) + 4pq (1 - c)(1 + c), a sum of terms that are not negative.
    """

    scale: float = 1.0
    rate: float = 1.0
    shift: float = 0.0

    def rows(self, p: Float[Array, "*shape"]) -> Rows:
        p = p * self.rate**2
        return p, inverse_root(p), 1 / jnp.sqrt(1 + 2 * p)

    def elementwise(self, rows1: Rows, rows2: Rows, r: Array) -> tuple[Array, Array]:
        (p, inverse1, scale1), (q, inverse2, scale2) = rows1, rows2
        r, scale = r * self.rate**2, scale1 * scale2
        c = correlation(inverse1, inverse2, r)
        a = 2 * r * scale
        square = (1 + 2 * (p + q) + 4 * (p * q) * ((1 - c) * (1 + c))) * (scale * scale)  # 1 - a^2
        tdot = (4 / np.pi) * scale / jnp.sqrt(square)
        return self.scale**2 * arcsine(a, square)[0] + self.shift**2, (self.scale * self.rate) ** 2 * tdot

    def second_moment(self, p: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        p = p * self.rate**2
        t = (2 / np.pi) * jnp.arctan2(2 * p, jnp.sqrt(1 + 4 * p))  # asin(2p/(1 + 2p)), for large p too
        return self.scale**2 * t + self.shift**2


@dataclass(frozen=True)
class GeluDual(DualActivation):
    """phi = u Phi(u), Phi the normal distribution function, 2 Phi(u) = 1 + e(u).

    E[uv e(u)] = 0 by parity; with G = E[e(u) e(v)] = (2/pi) asin(r/sqrt((1+p)(1+q))), D = (1+p)(1+q) - r^2 and
    G' = dG/dr = 2/(pi sqrt D), integration by parts twice gives
        4 T = r (1 + G) + G' B,        B = pq - r^2 + r^2 s,   s = 1/(1+p) + 1/(1+q),
        4 Tdot = 4 dT/dr = 1 + G + r G' (B/D + 2s - 1).
    As for erf, pq - r^2 = pq (1 - c)(1 + c) and D = 1 + p + q + (pq - r^2).
    """

    def rows(self, p: Float[Array, "*shape"]) -> Rows:
        return p, inverse_root(p), 1 / (1 + p)

    def elementwise(self, rows1: Rows, rows2: Rows, r: Array) -> tuple[Array, Array]:
        (p, inverse1, share1), (q, inverse2, share2) = rows1, rows2
        c = correlation(inverse1, inverse2, r)
        gap, both = (p * q) * ((1 - c) * (1 + c)), share1 + share2
        d, b = 1 + p + q + gap, gap + r * r * both
        scale2 = share1 * share2
        raised = arcsine(r * jnp.sqrt(scale2), d * scale2)[1]  # 1 + G
        slope = (2 / pi) / jnp.sqrt(d)
        return (r * raised + slope * b) / 4, (raised + r * slope * (b / d + 2 * both - 1)) / 4


@dataclass(frozen=True)
class GaussianDual(DualActivation):
    """phi = scale exp(-rate u^2).

    T = scale^2 S^-1/2, Tdot = 4 rate^2 r scale^2 S^-3/2, S = (1 + 2 rate p)(1 + 2 rate q) - 4 rate^2 r^2.
    """

    scale: float = 1.0
    rate: float = 1.0

    def rows(self, p: Float[Array, "*shape"]) -> Rows:
        p = p * self.rate
        return p, inverse_root(p)

    def elementwise(self, rows1: Rows, rows2: Rows, r: Array) -> tuple[Array, Array]:
        (p, inverse1), (q, inverse2) = rows1, rows2
        r = r * self.rate
        c = correlation(inverse1, inverse2, r)
        s = 1 + 2 * (p + q) + 4 * (p * q) * ((1 - c) * (1 + c))
        t = self.scale**2 / jnp.sqrt(s)
        return t, 4 * self.rate * r * t / s


@jax.custom_jvp
def _waves(p: Array, q: Array, r: Array) -> tuple[Array, Array]:
    """(E- - E+, E+) for E-+ = exp(-(p + q -+ 2r)/2), without the difference of nearly equal numbers.

    p + q - 2|r| = (sqrt p - sqrt q)^2 + 2 sqrt(pq) (1 - |c|), and the smaller of both is exp(-2|r|) times the larger.
    """
    c = correlation(inverse_root(p), inverse_root(q), r)
    distance = (root(p) - root(q)) ** 2 + 2 * root(p) * root(q) * (1 - jnp.abs(c))
    larger, double = jnp.exp(-distance / 2), 2 * jnp.abs(r)
    return -jnp.sign(r) * larger * jnp.expm1(-double), larger * jnp.where(r < 0, 1, jnp.exp(-double))


@_waves.defjvp
def _waves_jvp(
    primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    difference, plus = _waves(*primals)
    dp, dq, dr = tangents
    half = (dp + dq) / 2
    return (difference, plus), ((difference + 2 * plus) * dr - difference * half, -plus * (half + dr))


@dataclass(frozen=True)
class SineDual(DualActivation):
    """phi = scale sin(rate u + phase).

    With E-+ = E[exp(i rate (u -+ v))] = exp(-rate^2 (p + q -+ 2r)/2) and k = cos(2 phase):
    T = scale^2 (E- - k E+)/2, Tdot = scale^2 rate^2 (E- + k E+)/2.  k = 1: sine, k = -1: cosine, k = 0: the RBF kernel.
    """

    scale: float = 1.0
    rate: float = 1.0
    k: float = 1.0

    def rows(self, p: Float[Array, "*shape"]) -> Rows:
        return (p * self.rate**2,)

    def elementwise(self, rows1: Rows, rows2: Rows, r: Array) -> tuple[Array, Array]:
        difference, plus = _waves(rows1[0], rows2[0], r * self.rate**2)
        half = self.scale**2 / 2
        t, tdot = difference + (1 - self.k) * plus, difference + (1 + self.k) * plus
        return half * t, half * self.rate**2 * tdot


@dataclass(frozen=True)
class PolynomialDual(DualActivation):
    """phi = sum_j coefficients[j] u^j.

    T = sum_k r^k/k! m_k(p) m_k(q), m_k(p) = E[phi^(k)(u)] = sum_i coefficients[k + 2i] (k + 2i)!/(2i)! (2i - 1)!! p^i; Tdot
    is the same with phi', whose m_k is m_{k+1}.  Polynomials in p, q and r: nothing happens at equal or at zero inputs.
    """

    coefficients: tuple[float, ...]

    def rows(self, p: Float[Array, "*shape"]) -> Rows:
        degree = len(self.coefficients) - 1
        return (jnp.stack([self._mean_of_derivative(k, p) for k in range(degree + 1)]),)

    def _mean_of_derivative(self, k: int, p: Array) -> Array:
        total = jnp.zeros_like(p)
        for i in range((len(self.coefficients) - 1 - k) // 2, -1, -1):
            j = k + 2 * i
            factor = factorial(j) // factorial(2 * i) * prod(range(1, 2 * i, 2))
            total = total * p + self.coefficients[j] * factor
        return total

    def elementwise(self, rows1: Rows, rows2: Rows, r: Array) -> tuple[Array, Array]:
        (means1,), (means2,) = rows1, rows2
        degree = len(self.coefficients) - 1
        t = tdot = jnp.zeros_like(r)
        for k in range(degree, -1, -1):
            term = means1[k] * means2[k]
            t = t * r / (k + 1) + term
            tdot = tdot * r / k + term if k else tdot
        return t, tdot


@dataclass(frozen=True)
class RectifiedMonomialDual(DualActivation):
    """phi = u^k for u > 0, else 0: T = (pq)^(k/2) t_k(c), Tdot = k^2 (pq)^((k-1)/2) t_{k-1}(c): Cho & Saul 2009."""

    k: int

    def rows(self, p: Float[Array, "*shape"]) -> Rows:
        return root(p), inverse_root(p)

    def elementwise(self, rows1: Rows, rows2: Rows, r: Array) -> tuple[Array, Array]:
        (root1, inverse1), (root2, inverse2) = rows1, rows2
        c, size = correlation(inverse1, inverse2, r), root1 * root2
        t, tdot = rectified_moment(self.k, c), self.k**2 * rectified_moment(self.k - 1, c)
        return size**self.k * t, size ** (self.k - 1) * tdot


def _sine(a: float, b: float, c: float) -> SineDual:
    return SineDual(a, b, 1.0 - 2 * sin(c) ** 2)  # cos(2c), exactly 1 at c = 0


# name -> the dual for its parameters, in the order of `activation_names.DECLARED`
CLOSED_FORMS: dict[str, Callable[..., DualActivation]] = {
    "relu": PiecewiseLinearDual,
    "leaky_relu": PiecewiseLinearDual,
    "abs": lambda: PiecewiseLinearDual(-1.0),
    "abrelu": PiecewiseLinearDual,
    "sign": lambda: PiecewiseConstantDual(-1.0),
    "step": PiecewiseConstantDual,
    "erf": ErfDual,
    "sigmoid_like": lambda: ErfDual(0.5, 1 / SIGMOID_LIKE, 0.5),
    "gelu": GeluDual,
    "gaussian": GaussianDual,
    "sin": _sine,
    "cos": lambda a, b, c: SineDual(a, b, 2 * sin(c) ** 2 - 1.0),
    "rbf": lambda gamma: SineDual(2**0.5, (2 * gamma) ** 0.5, 0.0),
    "identity": lambda: PolynomialDual((0.0, 1.0)),
    "monomial": lambda degree: PolynomialDual((0.0,) * int(degree) + (1.0,)),
    "polynomial": lambda *coefficients: PolynomialDual(coefficients),
    "rectified_monomial": lambda degree: RectifiedMonomialDual(int(degree)),
}


def dual_activation(activation: str | Activation) -> DualActivation:
    """The dual of a registered or user-given phi: a closed form where one is known, else quadrature.

    Raises `UserError` for an unknown name, and for a phi that does not act element by element.
    """
    resolved = resolve_activation(activation)
    if is_registered(resolved):
        name, parameters = parse(resolved.name)
        if name in CLOSED_FORMS:
            return CLOSED_FORMS[name](*parameters)
    else:
        resolved.check_elementwise()
    return KinkedDual(resolved) if resolved.kinks else HermiteDual(resolved)
