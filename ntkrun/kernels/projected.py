"""K_hat and Theta_hat of a drawn wide network without its n x n weights: exact in distribution, n N normals a layer.

A layer of N inputs A (N, n), n > N, sees its weights omega (n, n), independent N(0, 1), through two products only.  Let
A = C Q^T with C C^T = A A^T (Cholesky) and orthonormal columns Q (n, N), and likewise delta = S P^T for what comes back:

  forward    A omega = C G,    G = Q^T omega:  N(0, 1), (N, n), because Q is known before omega is
  backward   delta omega^T = delta G^T Q^T + S H (I - Q Q^T),    H = P^T omega^T:  N(0, 1), (N, n)

The second line splits omega = Q G + (I - Q Q^T) omega; its last part is independent of G, hence of all that delta
depends on, so that P^T of it is again N(0, 1) in the directions that I - Q Q^T keeps.  Kernels then follow layer by
layer as in `empirical`: sum over layers of (sigma_w2/n A A^T + sigma_b2) o (delta delta^T).
Source: conditioning on linear constraints, as in Yang 2019, "Tensor programs I"; the equations are ours.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cholesky, solve_triangular

from ntkrun.errors import UserError
from ntkrun.models import declarations
from ntkrun.models.declarations import FullyConnected
from ntkrun.models.functions import Model
from ntkrun.nonlinearities import resolve_activation
from ntkrun.types import Array, Float, PRNGKeyArray

# (layer, transposed, basis (N, n) of orthonormal rows) -> basis @ omega, or basis @ omega^T if transposed: N(0, 1), (N, n)
Projections = Callable[[int, bool, Array], Array]


def drawn_projections(key: PRNGKeyArray) -> Projections:
    """Projections on orthonormal rows are N(0, 1) whatever the rows are."""

    def draw(layer: int, transposed: bool, basis: Float[Array, "n m"]) -> Float[Array, "n m"]:
        return jax.random.normal(jax.random.fold_in(key, 2 * layer + transposed), basis.shape, basis.dtype)

    return draw


def is_projectable(model: Model, n_inputs: int) -> bool:
    """Whether the model is equation (1) in the NTK parameterization with one output, wide enough.

    n >= 4 N: half of the units of ReLU are dead for an input, and Gram matrices must have full rank.
    """
    net = declarations.of(model).fully_connected
    if net is None or net.parameterization != "ntk" or net.n_outputs != 1 or net.trained != "all":
        return False
    return len(set(net.widths)) == 1 and net.widths[0] >= 4 * n_inputs and net.depth > 1


def projected_kernels(
    model: Model, x: Float[Array, "n d"], key: PRNGKeyArray, projections: Projections, *, full_rank: bool = True
) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    """(K_hat, Theta_hat) of one network; its first layer, biases and readout are drawn from `key` as they are.

    Float: everything (N, n) in the dtype of x, factors of Gram matrices in float64.  A singular Gram matrix (of equal
    inputs, of an input 0 without biases) has no Cholesky factor and gives nan; full_rank = False takes a factor that it
    has, at the cost of an eigendecomposition a layer, and draws the same kernels in distribution.

    Raises `UserError` for a network that does not declare itself as equation (1).
    """
    net = declarations.of(model).fully_connected
    if net is None:
        raise UserError(f"{type(model).__name__} is not declared as equation (1): only its weights can be drawn")
    factored = _factored if full_rank else _factored_of_any_rank
    n, scale = net.widths[0], (net.sigma_w2 / net.widths[0]) ** 0.5
    act, first = resolve_activation(net.activation), jax.random.split(key, net.depth + 2)
    omega = jax.random.normal(first[0], (x.shape[1], n), x.dtype)
    h = _product((net.sigma_w2 / x.shape[1]) ** 0.5 * x, omega) + _bias(net, first[1], n, x.dtype)
    grams = [_product(net.sigma_w2 / x.shape[1] * x, x.T) + net.sigma_b2]
    layers = []
    for layer in range(2, net.depth + 1):
        a, slope = jax.jvp(act, (h,), (jnp.ones_like(h),))
        c, basis = factored(a)
        g = projections(layer, False, basis)
        layers.append((layer, slope, g, basis))
        grams.append(_product(net.sigma_w2 / n * a, a.T) + net.sigma_b2)
        h = _product(scale * c, g) + _bias(net, first[layer], n, x.dtype)
    a, slope = jax.jvp(act, (h,), (jnp.ones_like(h),))
    nngp = _product(net.sigma_w2 / n * a, a.T) + net.sigma_b2
    delta = scale * jax.random.normal(first[-1], (1, n), x.dtype) * slope
    ntk = nngp + grams[-1] * _product(delta, delta.T)
    for (layer, slope_below, g, basis), gram in zip(layers[::-1], grams[-2::-1], strict=True):
        s, back = factored(delta)
        fresh = _product(s, projections(layer, True, back))
        rows = _product(_product(delta, g.T), basis) + fresh - _product(_product(fresh, basis.T), basis)
        delta = scale * rows * slope_below
        ntk = ntk + gram * _product(delta, delta.T)
    return nngp, ntk


def _factored(a: Float[Array, "n m"]) -> tuple[Float[Array, "n n"], Float[Array, "n m"]]:
    """(C, Q^T): a = C Q^T with C lower triangular and orthonormal rows of Q^T."""
    c = cholesky(_product(a, a.T).astype(jnp.float64), lower=True)
    # the inverse, as products with n columns are ten times faster than triangular solves with them
    inverse = solve_triangular(c, jnp.eye(len(a), dtype=c.dtype), lower=True)
    return c.astype(a.dtype), _product(inverse.astype(a.dtype), a)


def _factored_of_any_rank(a: Float[Array, "n m"]) -> tuple[Float[Array, "n n"], Float[Array, "n m"]]:
    """The same with C = V diag(sqrt lambda) of a a^T = V diag(lambda) V^T: any C with C C^T = a a^T will do.

    Where lambda cannot be told from 0 the column of C and the row of Q^T are 0: nothing is seen in that direction.
    """
    values, vectors = jnp.linalg.eigh(_product(a, a.T).astype(jnp.float64))
    seen = values > len(a) * jnp.finfo(a.dtype).eps * values[-1]
    roots = jnp.sqrt(jnp.where(seen, values, 1.0))
    c = jnp.where(seen, vectors * roots[None], 0.0)
    inverse = jnp.where(seen[:, None], vectors.T / roots[:, None], 0.0)
    return c.astype(a.dtype), _product(inverse.astype(a.dtype), a)


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")


def _bias(net: FullyConnected, key: PRNGKeyArray, n: int, dtype: Any) -> Array:
    return net.sigma_b2**0.5 * jax.random.normal(key, (1, n), dtype)
