"""T and Tdot of an arbitrary phi by expansion in Hermite polynomials.

With h_k the normalised Hermite polynomials and a_k(p) = E[phi(sqrt(p) z) h_k(z)], Mehler's formula gives
    T = sum_k a_k(p) a_k(q) rho^k,   rho = r / sqrt(p q),
and the same for Tdot with phi'.  The nonlinearity is evaluated n times per node instead of n1 n2 times per pair of
nodes as in two-dimensional Gauss-Hermite quadrature, and a pair costs two multiplications per term.  By Parseval
and Cauchy-Schwarz the terms from K on sum to at most sqrt(tail(p) tail(q)), tail(p) = E[phi^2] - sum_{k<K}
a_k(p)^2, for every rho up to +-1: the error is known, and K is chosen by it.  What is left over is not dropped but
lumped into rho^K (even k) and rho^(K+1) (odd k), which makes T exact at rho = +-1, p = q, for any phi.
"""

import warnings
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.devices.float64 import in_float64
from ntkrun.errors import UserError
from ntkrun.kernels.dual import DualActivation, Rows, correlation, inverse_root, root
from ntkrun.nonlinearities import Activation, is_registered
from ntkrun.types import AnyArray, Array, Float, NumpyArray

# Midpoint rule on |z| <= 12.5: what lies outside weighs e^-39 even against h_k^2 ~ e^(z^2/2).  For a phi with poles at
# distance d from the real axis (pi/2 for tanh) the rule errs by exp(-2 pi d / (sqrt(p) STEP)) = e^-160 at p = 4, while
# the error of Gauss-Hermite falls like exp(-2 d sqrt(2 nodes / p)) only.  Midpoints straddle a kink of phi at 0, where
# phi' is ambiguous.
_REACH, _STEP = 12.5, 1 / 32
# The terms fall like exp(-2 d sqrt(k / p)): tanh needs 128 at p = 1.5, 1024 at p = 13.  Few values, each compiled once.
_CHOICES = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
TOLERANCE = 1e-9  # relative to E[phi^2] and E[phi'^2]; the golden values ask for 1e-6


@lru_cache(maxsize=1)
def _nodes() -> tuple[NumpyArray, NumpyArray, NumpyArray]:
    """(z (j,), weights (j,), weighted polynomials w_j h_k(z_j) (K_max, j))."""
    z = np.arange(-_REACH + _STEP / 2, _REACH, _STEP)
    weights = _STEP * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    h = [np.ones_like(z), z]
    for k in range(1, _CHOICES[-1] - 1):
        h.append((z * h[-1] - np.sqrt(k) * h[-2]) / np.sqrt(k + 1))
    return z, weights, np.stack(h) * weights[None, :]


@dataclass(frozen=True)
class HermiteDual(DualActivation):
    """Dual of any elementwise phi by the first `terms` Hermite coefficients; see the module for the error.

    `for_variances` finds the terms for a relative error below 1e-9, and whether phi is odd or even (`parity` 1 or
    0), when every other coefficient vanishes and is skipped.  A phi with a kink converges algebraically: with all
    1024 terms T errs by about 3e-5 and Tdot by 2e-3 for a kink at 0, worst close to rho = 1 but not at it; elsewhere a kink
    falls between two nodes, which costs Tdot up to some per cent.  A warning says how much.
    """

    needs_variances: ClassVar[bool] = True
    activation: Activation
    terms: int = 256
    parity: int | None = None

    def rows(self, p: Float[Array, "*shape"]) -> Rows:
        weights, basis = jnp.asarray(_nodes()[1], p.dtype), jnp.asarray(_nodes()[2][: self.terms], p.dtype)
        value, slope = (_with_remainder(samples, basis, weights) for samples in self._samples(jnp.ravel(p)))
        if self.parity is not None:
            value, slope = value[self.parity :: 2], slope[1 - self.parity :: 2]
        return inverse_root(p), *(terms.reshape(-1, *p.shape) for terms in (value, slope))

    def elementwise(self, rows1: Rows, rows2: Rows, r: Array) -> tuple[Array, Array]:
        (inverse1, value1, slope1), (inverse2, value2, slope2) = rows1, rows2
        rho = correlation(inverse1, inverse2, r)
        power = rho if self.parity is None else rho * rho

        def horner(sums: tuple[Array, Array], a: tuple[Array, ...]) -> tuple[tuple[Array, Array], None]:
            return (sums[0] * power + a[0] * a[1], sums[1] * power + a[2] * a[3]), None

        zero = jnp.zeros_like(rho)
        (t, tdot), _ = jax.lax.scan(horner, (zero, zero), (value1, value2, slope1, slope2), reverse=True, unroll=8)
        return (t * rho if self.parity == 1 else t), (tdot * rho if self.parity == 0 else tdot)

    def second_moment(self, p: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return self._samples(p)[0] ** 2 @ jnp.asarray(_nodes()[1], p.dtype)

    @in_float64()  # its tolerance is below the rounding of float32
    def for_variances(self, p: Float[NumpyArray, " n"]) -> "HermiteDual":
        sample = jnp.asarray(np.quantile(np.unique(p), np.linspace(0, 1, 64), method="nearest"))
        value, slope = (np.asarray(samples) for samples in self._samples(sample))
        _check_moments(self.activation.name, np.asarray(sample), value, slope)
        tails = np.maximum(_tails(value), _tails(slope))
        enough = np.flatnonzero(tails < TOLERANCE)
        choice = enough[0] if enough.size else -1
        error = max(float(tails[choice]), *map(_of_the_nodes, (value, slope), self._samples(sample, shift=_STEP / 2)))
        if error >= TOLERANCE:
            name = self.activation.name
            hint = (
                f"its inputs have variances of up to {p.max():.3g}, which a smaller sigma_w2 brings down"
                if is_registered(self.activation)
                else f"if phi has kinks, say where: Activation({name!r}, phi, kinks=(0.0,))"
            )
            warnings.warn(
                f"activation {name!r}: with {_CHOICES[choice]} Hermite terms its kernels err by about {error:.1e} of "
                f"E[phi^2] or E[phi'^2]; {hint}",
                stacklevel=2,
            )
        return replace(self, terms=_CHOICES[choice], parity=_parity(value))

    def _samples(
        self, p: Float[Array, "*shape"], shift: float = 0.0
    ) -> tuple[Float[Array, "*shape j"], Float[Array, "*shape j"]]:
        """phi and phi' at sqrt(p) (z_j + shift)."""
        u = root(p)[..., None] * jnp.asarray(_nodes()[0] + shift, p.dtype).reshape((1,) * p.ndim + (-1,))
        return jax.jvp(self.activation.phi, (u,), (jnp.ones_like(u),))


def _check_moments(name: str, p: Float[NumpyArray, " n"], *samples: Float[NumpyArray, "n j"]) -> None:
    """UserError where E[phi^2] or E[phi'^2] over a Gaussian of one of these variances is no number."""
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.all([np.isfinite(one**2 @ _nodes()[1]) for one in samples], axis=0)
    if not finite.all():
        raise UserError(
            f"activation {name!r} has no kernel at infinite width: E[phi(u)^2] or E[phi'(u)^2] is no finite number for Gaussian u "
            f"of variance {p[~finite].min():.3g}; take a phi that grows more slowly, or a smaller sigma_w2"
        )


def _tails(samples: Float[NumpyArray, "n j"]) -> Float[NumpyArray, " choices"]:
    """Largest share of E[samples^2] beyond the first K coefficients, for each K to choose from."""
    weights, polynomials = _nodes()[1:]
    energy = samples**2 @ weights
    captured = np.cumsum((samples @ polynomials.T) ** 2, axis=1)[:, np.array(_CHOICES) - 1]
    return np.max((energy[:, None] - captured) / np.maximum(energy, np.finfo(float).tiny)[:, None], axis=0)


def _of_the_nodes(samples: Float[NumpyArray, "n j"], between: AnyArray) -> float:
    """How far E[samples^2] changes, at most and relatively, with nodes half a step aside.

    Where phi' jumps from a to b at z, the sum over midpoints errs by up to (a^2 - b^2) density(z) step / 2, and the two sums differ
    by just that; for a smooth phi both are exact.
    """
    z, weights, _ = _nodes()
    aside = _STEP * np.exp(-((z + _STEP / 2) ** 2) / 2) / np.sqrt(2 * np.pi)
    energy, other = samples**2 @ weights, np.asarray(between) ** 2 @ aside
    return float(np.max(np.abs(energy - other) / np.maximum(energy, np.finfo(float).tiny)))


def _parity(samples: Float[NumpyArray, "n j"]) -> int | None:
    """1 or 0 if the samples are odd or even in z up to rounding, else None."""
    tolerance = 8 * np.finfo(samples.dtype).eps * np.max(np.abs(samples))
    for parity, mirrored in ((1, -samples[:, ::-1]), (0, samples[:, ::-1])):
        if np.max(np.abs(samples - mirrored)) <= tolerance:
            return parity
    return None


def _with_remainder(
    samples: Float[Array, "n j"], basis: Float[Array, "terms j"], weights: Float[Array, " j"]
) -> Float[Array, "terms2 n"]:
    """a_k, k < K (K even), then the roots of what the even and the odd k >= K hold of E[samples^2]."""
    coefficients = basis @ samples.T
    # E[g(z) g(-z)] = sum_k (-1)^k a_k^2, and reversing the symmetric grid evaluates at -z.
    both, alternating = (samples**2) @ weights, (samples * samples[:, ::-1]) @ weights
    even = (both + alternating) / 2 - jnp.sum(coefficients[0::2] ** 2, axis=0)
    odd = (both - alternating) / 2 - jnp.sum(coefficients[1::2] ** 2, axis=0)
    remainder = root(jnp.stack([even, odd]))
    return jnp.concatenate([coefficients, remainder])
