"""Monte Carlo estimates of the infinite-width kernels: averages of K_hat and Theta_hat over drawn networks.

Estimates (Novak et al. 2019; figures S9, S10 here): M networks of width n are drawn, and
    K_hat = sigma_w2/n x^L.x^L' + sigma_b2,     Theta_hat = J J^T  (one output)
are averaged; both are unbiased for one hidden layer.  A running sum gives the averages over the first 1, 2, 4, ..., M
draws at the cost of the last: estimates at different M share draws, those at different widths do not.  Networks much
wider than there are inputs are not drawn weight by weight: `projected` draws the same kernels from n N instead of n^2
normals a layer.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.devices.float64 import in_float64
from ntkrun.devices.placement import beyond_a_cpu
from ntkrun.errors import UserError
from ntkrun.kernels.analytic import Kernels
from ntkrun.kernels.empirical import empirical_nngp, empirical_ntk, ntk_scale
from ntkrun.kernels.finite import check_examples
from ntkrun.kernels.projected import drawn_projections, is_projectable, projected_kernels
from ntkrun.models import declarations
from ntkrun.models.functions import Model, network_of
from ntkrun.types import Array, Float, NumpyArray, Params, PRNGKeyArray, check_arrays, check_number

# Numbers held by the networks drawn together on a CPU: 4 MB in float32.  Random bits are drawn in several passes over the
# array, ten times slower once it has left the cache.
_GROUP_NUMBERS = 2**20
_LARGEST_GROUP = 64


def sampled_kernels(
    model: Model, x: Float[NumpyArray | Array, "n ..."], key: PRNGKeyArray, draws: int
) -> Iterator[tuple[int, Kernels]]:
    """(M, averages over the first M draws) for M = 1, 2, 4, ... up to `draws`; kernels (n, n), float64 whatever the
    precision of the caller's JAX.

    Theta_hat is normalised as (S42).  The networks compute in the dtype of `model`, sums are float64.  Draw number i
    has the key fold_in(key, i): asking for more draws changes none of the earlier ones.
    """
    check_arrays(x=x)
    check_examples(x=x)
    model = network_of(model)
    check_number("draws", draws, whole=True)
    if draws < 1 or draws & (draws - 1):
        raise UserError(f"draws = {draws}: averages are recorded at powers of two up to a power of two")
    with in_float64():
        x = jnp.asarray(x, declarations.of(model).dtype)
        group = group_size(model, x, draws)
        if not declarations.of(
            model
        ).fully_connected:  # what is not known of a network is seen outside the program alone
            empirical_nngp(model, model.init(key, x[:1])["params"], x[:1])
    total, record = np.zeros((2, len(x), len(x))), 1
    for first in range(0, draws, group):
        done = first
        with in_float64():  # and not while the caller has the word
            segments = np.asarray(segment_sums(model, x, key, jnp.asarray(first), group))
            if not np.isfinite(segments).all() and is_projectable(model, len(x)):
                segments = np.asarray(segment_sums(model, x, key, jnp.asarray(first), group, any_rank=True))
        if not np.isfinite(segments).all():
            raise UserError("kernels of drawn networks are not finite: the inputs, sigma_w2 or sigma_b2 are too large")
        for segment in segments:
            total += segment
            done += max(done - first, 1)
            if done == record:
                yield record, Kernels(*(total / record))
                record *= 2


def group_size(model: Model, x: Array | jax.ShapeDtypeStruct, draws: int) -> int:
    """How many networks are drawn together, a power of two: one network's weights, activations and kernels count."""
    weights = sum(leaf.size for leaf in jax.tree.leaves(_shapes(model, x)))
    net = declarations.of(model).fully_connected
    activations = x.shape[0] * sum(net.widths) if net else 0  # of other networks below the weights
    if is_projectable(model, x.shape[0]):
        weights = 2 * activations
    numbers = weights + activations + 2 * x.shape[0] ** 2
    most = min(draws, beyond_a_cpu(_LARGEST_GROUP))
    return 2 ** int(np.log2(np.clip(beyond_a_cpu(_GROUP_NUMBERS) // numbers, 1, most)))


def _shapes(model: Model, x: Array | jax.ShapeDtypeStruct) -> Params:
    return jax.eval_shape(model.init, jax.random.key(0), x)["params"]


@partial(jax.jit, static_argnames=("model", "group", "any_rank"))
def segment_sums(model: Model, x: Array, key: PRNGKeyArray, first: Array, group: int, any_rank: bool = False) -> Array:
    """Sums of (K_hat, Theta_hat) over draws [0], [1], [2, 3], [4, .., 7], ... of a group; (segments, 2, n, n), float64.

    any_rank: a projected draw that meets a singular Gram matrix is drawn by a factor which that has; the others stay as
    they are, whatever group they are in.
    """

    def draw(index: Array) -> Array:
        if is_projectable(model, len(x)):
            layers, inner = jax.random.split(jax.random.fold_in(key, index))
            drawn = partial(projected_kernels, model, x, layers, drawn_projections(inner))
            kernels = jnp.stack(drawn())
            return (
                jnp.where(jnp.isfinite(kernels).all(), kernels, jnp.stack(drawn(full_rank=False)))
                if any_rank
                else kernels
            )
        params = model.init(jax.random.fold_in(key, index), x[:1])["params"]
        theta_hat = ntk_scale(model) * empirical_ntk(model, params, x, trace_outputs=True)
        return jnp.stack([empirical_nngp(model, params, x), theta_hat])

    kernels = jax.vmap(draw)(first + jnp.arange(group))
    edges = [0, *(2**j for j in range(group.bit_length()))]
    return jnp.stack([jnp.sum(kernels[a:b], axis=0, dtype=jnp.float64) for a, b in pairwise(edges)])
