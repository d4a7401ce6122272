"""What a dual activation offers: T = E[phi(u) phi(v)] and Tdot = E[phi'(u) phi'(v)] over centred Gaussians (S25, S29).

The Gaussians have u.u = p, v.v = q, u.v = r.  Every dual is split into what depends on one input (`rows`, computed
once per input) and what depends on a pair (`pair`, the only part that runs n1 n2 times).
"""

from abc import ABC, abstractmethod
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ntkrun.types import Array, Float, NumpyArray

Rows = Any  # a tuple of arrays whose last axis runs over inputs

# A Gram product of d terms, the norms and their roots leave a few eps in the correlation; arccos would turn that into
# sqrt(eps) of angle.  Correlations this close to +-1 are taken as exactly +-1.  Inputs which truly differ by so
# small an angle (1e-7 in float64) are changed by less than that angle.
_PARALLEL_EPS = 32


def inverse_root(p: Array) -> Array:
    """1 / sqrt(p), and 0 at p = 0."""
    return jnp.where(p > 0, 1 / jnp.sqrt(jnp.where(p > 0, p, 1)), 0)


def correlation(inverse1: Array, inverse2: Array, r: Array) -> Array:
    """r / sqrt(p q) in [-1, 1], exactly +-1 for what is parallel up to rounding."""
    c = r * (inverse1[:, None] * inverse2[None, :])
    parallel = jnp.abs(c) > 1 - _PARALLEL_EPS * jnp.finfo(c.dtype).eps
    return jnp.where(parallel, jnp.sign(c), c)


class DualActivation(ABC):
    """The expectations T and Tdot of one nonlinearity; hashable, so that it may be a static argument of jit.

    The per-input arrays have shape (n,) or (terms, n).  Where p or q is 0 the correlation is undefined and set to 0: T
    takes its limit phi(0) E[phi(v)], and Tdot the value phi'(0) E[phi'(v)] with phi'(0) = 1/2 for ReLU.  In the
    recursion for the NTK that value is multiplied by Theta^l(x, x') = 0, because K^l(x, x) = 0 needs x = 0 and sigma_b
    = 0.
    """

    @abstractmethod
    def rows(self, p: Float[Array, " n"]) -> Rows:
        """What `pair` needs to know of inputs with variances p."""

    @abstractmethod
    def pair(
        self, rows1: Rows, rows2: Rows, r: Float[Array, "n1 n2"]
    ) -> tuple[Float[Array, "n1 n2"], Float[Array, "n1 n2"]]:
        """(T, Tdot) for every pair of inputs with covariances r."""

    @abstractmethod
    def second_moment(self, p: Float[Array, " n"]) -> Float[Array, " n"]:
        """T(p, p, p) = E[phi(sqrt(p) z)^2]."""

    def for_variances(self, p: Float[NumpyArray, " n"]) -> "DualActivation":
        """A dual accurate for all variances p; closed forms are so already."""
        return self

    def T(self, p: Float[Array, "n1 1"], q: Float[Array, "1 n2"], r: Float[Array, "n1 n2"]) -> Float[Array, "n1 n2"]:
        """E[phi(u) phi(v)], (S25)."""
        return _pair(self, self.rows(p[:, 0]), self.rows(q[0, :]), r)[0]

    def Tdot(self, p: Float[Array, "n1 1"], q: Float[Array, "1 n2"], r: Float[Array, "n1 n2"]) -> Float[Array, "n1 n2"]:
        """E[phi'(u) phi'(v)], (S29)."""
        return _pair(self, self.rows(p[:, 0]), self.rows(q[0, :]), r)[1]


@partial(jax.jit, static_argnames=("dual",))
def _pair(dual: DualActivation, rows1: Rows, rows2: Rows, r: Array) -> tuple[Array, Array]:
    return dual.pair(rows1, rows2, r)
