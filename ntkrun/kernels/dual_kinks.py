"""T and Tdot of a phi with kinks at known places, by quadrature that no kink crosses.

With c >= 0 the correlation and a, b independent standard normals,
    u = sqrt(p) (alpha a - beta b),   v = sqrt(q) (alpha a + beta b),   alpha^2 = (1 + c)/2,   beta^2 = (1 - c)/2.
For every b the integrand breaks at a = (kink/sqrt(p) + beta b)/alpha and a = (kink/sqrt(q) - beta b)/alpha: Gauss-Legendre rules
between these.  What remains to be integrated over b is smooth up to where two of these lines cross, b = (kink'/sqrt(q) -
kink/sqrt(p))/(2 beta): Gauss-Legendre rules between those.  beta <= alpha keeps the lines flat, and nothing depends on how close c
is to 1.  For c < 0, v and its kinks are mirrored.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.devices.float64 import in_float64
from ntkrun.errors import UserError
from ntkrun.kernels.dual import DualActivation, Rows, correlation, inverse_root, root
from ntkrun.nonlinearities import Activation
from ntkrun.types import Array, Float, NumpyArray

_REACH = 9.0  # beyond it the normal distribution holds 2e-19
_DEGREES = (16, 20, 24, 32, 48, 64, 96)
TOLERANCE = 1e-9  # of the difference to the next degree, relative to E[phi^2] and E[phi'^2]
_PROBES = (-1.0, -0.999, -0.5, 0.0, 0.3, 0.7, 0.99, 0.99999, 1.0)  # correlations


@dataclass(frozen=True)
class KinkedDual(DualActivation):
    """Dual of a phi that is continuous, and smooth between its `kinks`, by (kinks^2 + 1)(2 kinks + 1) degree^2 nodes a pair.

    `for_variances` finds the degree from its difference to the next: a relative error below 1e-9, or a warning of one line, that
    a kink is missing.  It refuses a phi that jumps: its phi' is a delta, which no node sees.
    """

    needs_variances: ClassVar[bool] = True
    activation: Activation
    degree: int = 32

    def rows(self, p: Float[Array, "*shape"]) -> Rows:
        return root(p), inverse_root(p)

    def elementwise(self, rows1: Rows, rows2: Rows, r: Array) -> tuple[Array, Array]:
        (root1, inverse1), (root2, inverse2) = rows1, rows2
        c = correlation(inverse1, inverse2, r)
        return _integrals(self.activation, self.degree, *jnp.broadcast_arrays(root1, root2, c))

    @in_float64()
    def for_variances(self, p: Float[NumpyArray, " n"]) -> "KinkedDual":
        _refuse_jumps(self.activation)
        sample = np.sqrt(np.quantile(np.unique(p), np.linspace(0, 1, 6), method="nearest"))
        root1, root2, c = (jnp.asarray(a.ravel()) for a in np.meshgrid(sample, sample[[0, -1]], _PROBES))
        at_1 = [_by_any_degree(self.activation, _rule(32), one, one, jnp.ones_like(c)) for one in (root1, root2)]
        sizes = [jnp.maximum(jnp.sqrt(a * b), np.finfo(float).tiny) for a, b in zip(*at_1, strict=True)]
        error, coarse = np.inf, None
        for degree, finer in pairwise(_DEGREES):
            coarse = coarse or _by_any_degree(self.activation, _rule(degree), root1, root2, c)
            fine = _by_any_degree(self.activation, _rule(finer), root1, root2, c)
            error = float(max(jnp.max(jnp.abs(a - b) / size) for a, b, size in zip(coarse, fine, sizes, strict=True)))
            if error < TOLERANCE:
                return replace(self, degree=degree)
            coarse = fine
        warnings.warn(
            f"activation {self.activation.name!r}: with {_DEGREES[-2]} nodes between its kinks {self.activation.kinks} its "
            f"kernels err by {error:.1e}; name all places where phi' or phi'' jumps: Activation(name, phi, kinks=(0.0, 1.0))",
            stacklevel=2,
        )
        return replace(self, degree=_DEGREES[-1])


def _refuse_jumps(activation: Activation) -> None:
    """UserError where phi is not continuous at one of its kinks."""
    for kink in activation.kinks:
        near, far = (_step(activation, kink, width) for width in (1e-9, 1e-6))
        if near > 1e-6 and near > far / 2:  # a continuous phi's difference would fall a thousandfold
            raise UserError(
                f"activation {activation.name!r} jumps at {kink:g}: its NTK is infinite at equal inputs; "
                "take a continuous phi, or activation='sign' or 'step' with trained='readout'"
            )


def _step(activation: Activation, kink: float, width: float) -> float:
    below, above = activation.phi(jnp.asarray([kink - width, kink + width]))
    return float(jnp.abs(above - below))


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _integrals(activation: Activation, degree: int, root1: Array, root2: Array, c: Array) -> tuple[Array, Array]:
    """(T, Tdot) for arrays of one shape."""
    return _quadrature(activation, _rule(degree), root1, root2, c)


@_integrals.defjvp
def _integrals_jvp(
    activation: Activation, degree: int, primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """One partial derivative after the other, forward through the quadrature, so that reverse mode keeps none of its steps.

    dT/dc = sqrt(pq) Tdot (Price's theorem); at c = +-1 Tdot is given the derivative 0 (`kernels.dual`).
    """
    root1, root2, c = primals
    quadrature = partial(_quadrature, activation, _rule(degree))
    one, nothing = jnp.ones_like(c), jnp.zeros_like(c)
    value, by_root1 = jax.jvp(quadrature, primals, (one, nothing, nothing))
    _, by_root2 = jax.jvp(quadrature, primals, (nothing, one, nothing))
    inside = jnp.abs(c) < 1
    _, by_c = jax.jvp(quadrature, (root1, root2, jnp.where(inside, c, 0)), (nothing, nothing, one))
    partials = ((by_root1[0], by_root2[0], root1 * root2 * value[1]), (by_root1[1], by_root2[1], inside * by_c[1]))
    t, tdot = (one * tangents[0] + two * tangents[1] + three * tangents[2] for one, two, three in partials)
    return value, (t, tdot)


class Rule(NamedTuple):
    """A Gauss-Legendre rule on [-1, 1], filled up with zeros to the size of the largest."""

    nodes: Array | NumpyArray
    weights: Array | NumpyArray
    degree: Array | int


def _rule(degree: int) -> Rule:
    nodes, weights = np.polynomial.legendre.leggauss(degree)
    missing = (0, _DEGREES[-1] - degree)
    return Rule(np.pad(nodes, missing), np.pad(weights, missing), degree)


@partial(jax.jit, static_argnames=("activation",))
def _by_any_degree(activation: Activation, rule: Rule, root1: Array, root2: Array, c: Array) -> tuple[Array, Array]:
    """One program for all degrees."""
    return _quadrature(activation, rule, root1, root2, c)


def _quadrature(activation: Activation, rule: Rule, root1: Array, root2: Array, c: Array) -> tuple[Array, Array]:
    """The integrals over b and, for each b, over a, one node after the other for all pairs at once."""
    mirror = jnp.where(c < 0, -1, 1).astype(c.dtype)
    alpha, beta = jnp.sqrt((1 + jnp.abs(c)) / 2), root((1 - jnp.abs(c)) / 2)
    kinks1 = [_over(jnp.full_like(c, kink), root1) for kink in activation.kinks]
    kinks2 = [_over(mirror * kink, root2) for kink in activation.kinks]
    crossings = [_over(two - one, 2 * beta) for one in kinks1 for two in kinks2]

    def over_a(b: Array) -> tuple[Array, Array]:
        breaks = [(kink + beta * b) / alpha for kink in kinks1] + [(kink - beta * b) / alpha for kink in kinks2]

        def integrand(a: Array) -> tuple[Array, Array]:
            u, v = root1 * (alpha * a - beta * b), mirror * root2 * (alpha * a + beta * b)
            (f, df), (g, dg) = (jax.jvp(activation.phi, (one,), (jnp.ones_like(one),)) for one in (u, v))
            return f * g, df * dg

        return _piecewise(integrand, breaks, rule, c)

    return _piecewise(over_a, crossings, rule, c)


def _over(a: Array, b: Array) -> Array:
    """a/b, and beyond all nodes where b is 0: phi(0 z) is constant."""
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 2 * _REACH)


def _piecewise(
    integrand: Callable[[Array], tuple[Array, Array]], breaks: list[Array], rule: Rule, like: Array
) -> tuple[Array, Array]:
    """E[integrand(z)] over a standard normal z, by a Gauss-Legendre rule between any two breaks.

    A break out of reach is of no use there, and halves the whole interval instead.
    """
    reach = jnp.full_like(like, _REACH)
    edges = jnp.stack([-reach, *(jnp.where(jnp.abs(one) < _REACH, one, 0) for one in breaks), reach])
    edges = jnp.sort(edges, axis=0)
    nodes, weights = (jnp.asarray(one, like.dtype) for one in (rule.nodes, rule.weights))

    def add(i: Array, sums: tuple[Array, Array]) -> tuple[Array, Array]:
        piece, node = i // rule.degree, i % rule.degree
        low, high = edges[piece], edges[piece + 1]
        z = (high + low) / 2 + (high - low) / 2 * nodes[node]
        weight = weights[node] * (high - low) / 2 * jnp.exp(-z * z / 2) / (2 * np.pi) ** 0.5
        first, second = integrand(z)
        return sums[0] + weight * first, sums[1] + weight * second

    return jax.lax.fori_loop(0, rule.degree * (len(breaks) + 1), add, (jnp.zeros_like(like), jnp.zeros_like(like)))
