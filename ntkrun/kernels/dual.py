"""What a dual activation offers: T = E[phi(u) phi(v)] and Tdot = E[phi'(u) phi'(v)] over centred Gaussians (S25, S29).

The Gaussians have u.u = p, v.v = q, u.v = r.  Every dual is split into what depends on one input (`rows`, computed
once per input) and what depends on a pair (`elementwise`, the only part that runs n1 n2 times).

Derivatives, forward and reverse, are those along covariances that stay positive semi-definite.  There |c| <= 1 for the
correlation c = r / sqrt(pq), so that dc = 0 wherever c = +-1: what has no derivative in c there (Tdot of ReLU has a cone's
tip) is given the derivative 0, which is the right one along every such path.  At p = 0 a root of p has the derivative 0.
"""

from abc import ABC, abstractmethod
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ntkrun.types import Array, Float, NumpyArray

Rows = Any  # a tuple of arrays whose last axes run over inputs

# A Gram product of d terms, the norms and their roots leave a few eps in the correlation; arccos would turn that into
# sqrt(eps) of angle.  Correlations this close to +-1 are taken as exactly +-1.  Inputs which truly differ by so
# small an angle (1e-7 in float64) are changed by less than that angle.
_PARALLEL_EPS = 32


def root(p: Array) -> Array:
    """sqrt(p), with the derivative 0 at p = 0."""
    return jnp.where(p > 0, jnp.sqrt(jnp.where(p > 0, p, 1)), 0)


def inverse_root(p: Array) -> Array:
    """1 / sqrt(p), and 0 at p = 0."""
    return jnp.where(p > 0, 1 / jnp.sqrt(jnp.where(p > 0, p, 1)), 0)


def correlation(inverse1: Array, inverse2: Array, r: Array) -> Array:
    """r / sqrt(p q) in [-1, 1], exactly +-1 for what is parallel up to rounding; the derivative is the quotient's."""
    c = r * (inverse1 * inverse2)
    parallel = jnp.abs(c) > 1 - _PARALLEL_EPS * jnp.finfo(c.dtype).eps
    return c + jax.lax.stop_gradient(jnp.where(parallel, jnp.sign(c) - c, 0))


class DualActivation(ABC):
    """The expectations T and Tdot of one nonlinearity; hashable, so that it may be a static argument of jit.

    How to call it, with arrays p, q, r of any shapes that broadcast, of one dtype:

        t, tdot = dual.moments(p, q, r)              # or T(p, q, r), Tdot(p, q, r)

    and where inputs meet many others, what depends on one input alone once per input:

        rows1, rows2 = dual.rows(p), dual.rows(q)    # p of shape (n1,), q of shape (n2,)
        t, tdot = dual.pair(rows1, rows2, r)         # r (n1, n2)

    `elementwise(rows1, rows2, r)` is the same for rows that the caller has arranged: arrays of p's shape, or (terms, *p's
    shape), of which the last axes broadcast against r.  Before either, `dual = dual.for_variances(all variances)` lets a
    quadrature choose its size; it needs concrete numbers and returns closed forms as they are.

    Where p or q is 0 the correlation is undefined and set to 0: T takes its limit phi(0) E[phi(v)], and Tdot the value
    phi'(0) E[phi'(v)] with phi'(0) = 1/2 for ReLU, the mean of both slopes for any phi with a kink at 0.  In the recursion for
    the NTK that value is multiplied by Theta^l(x, x') = 0, because K^l(x, x) = 0 needs x = 0 and sigma_b = 0.

    needs_variances  whether its accuracy depends on `for_variances`
    """

    needs_variances: ClassVar[bool] = False

    @abstractmethod
    def rows(self, p: Float[Array, "*shape"]) -> Rows:
        """What `elementwise` needs to know of inputs with variances p."""

    @abstractmethod
    def elementwise(self, rows1: Rows, rows2: Rows, r: Array) -> tuple[Array, Array]:
        """(T, Tdot) of covariances r, broadcast with the last axes of the rows."""

    def pair(
        self, rows1: Rows, rows2: Rows, r: Float[Array, "n1 n2"]
    ) -> tuple[Float[Array, "n1 n2"], Float[Array, "n1 n2"]]:
        """(T, Tdot) for every pair of inputs with covariances r."""
        columns, lines = (
            jax.tree.map(lambda a: a[..., :, None], rows1),
            jax.tree.map(lambda a: a[..., None, :], rows2),
        )
        return self.elementwise(columns, lines, r)

    def moments(self, p: Array, q: Array, r: Array) -> tuple[Array, Array]:
        """(T, Tdot) for arrays of any shapes that broadcast."""
        axes = max(jnp.ndim(a) for a in (p, q, r))
        return _moments(self, *(jnp.reshape(a, (1,) * (axes - jnp.ndim(a)) + jnp.shape(a)) for a in (p, q, r)))

    def second_moment(self, p: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """T(p, p, p) = E[phi(sqrt(p) z)^2]."""
        return self.moments(p, p, p)[0]

    def for_variances(self, p: Float[NumpyArray, " n"]) -> "DualActivation":
        """A dual accurate for all variances p; closed forms are so already."""
        return self

    def T(self, p: Array, q: Array, r: Array) -> Array:
        """E[phi(u) phi(v)], (S25)."""
        return self.moments(p, q, r)[0]

    def Tdot(self, p: Array, q: Array, r: Array) -> Array:
        """E[phi'(u) phi'(v)], (S29)."""
        return self.moments(p, q, r)[1]


@partial(jax.jit, static_argnames=("dual",))
def _moments(dual: DualActivation, p: Array, q: Array, r: Array) -> tuple[Array, Array]:
    return dual.elementwise(dual.rows(p), dual.rows(q), r)
