"""What one layer adds to Theta_hat between two sets of examples.

A weight matrix that p positions share has the gradient sum_p x_p delta_ap^T at output a, of F c numbers for F inputs
and c features, so the layer adds

    c_w sum_{p,q} (x_ip . x_jq) (delta_iap . delta_jbq) + c_b (sum_p delta_iap) . (sum_q delta_jbq).

Dense layers (p = 1) take the two Gram products as they stand.  Convolutions take the cheaper of
    "gradients"  form sum_p x_p delta_ap^T for every example and output, then one Gram product of length F c:
                 2 (n1 + n2) k p F c + 2 n1 n2 k^2 F c operations
    "patches"    both Gram products over pairs of positions:  2 n1 n2 p^2 (F + k^2 c) operations
with k in place of k^2 where only the trace over outputs is wanted.
"""

import jax
import jax.numpy as jnp

from ntkrun.devices.placement import beyond_a_cpu
from ntkrun.types import Array, Float

Layer = dict[str, Array]  # arrays with the examples in front, and scalar coefficients

PATCH_NUMBERS = 2**22  # of a pair-of-positions product held at once on a CPU: 32 MB in float64


def gram(a: Float[Array, "n1 d"], b: Float[Array, "n2 d"]) -> Float[Array, "n1 n2"]:
    return jnp.matmul(a, b.T, precision="highest")


def cheaper_form(n1: int, n2: int, k: int, p: int, f: int, c: int, *, trace_outputs: bool) -> str:
    """ "gradients" or "patches", by the operation counts above."""
    pairs = n1 * n2 * (k if trace_outputs else k * k)
    gradients = (n1 + n2) * k * p * f * c + pairs * f * c
    patches = n1 * n2 * p * p * f + pairs * p * p * c
    return "gradients" if gradients <= patches else "patches"


def prepared(sown: Layer, delta: Array, sizes: tuple[int, int], *, trace_outputs: bool) -> Layer:
    """The layer's input and delta (n, k, ..., c) in the form its Gram products are taken of; sizes n1, n2."""
    x, coefficients = sown["x"], {name: sown[name] for name in ("weight_coefficient", "bias_coefficient")}
    if x.ndim == 2:
        return {"x": x, "delta": delta, **coefficients}
    (_, p, f), (n, k, *_, c) = x.shape, delta.shape
    delta = delta.reshape(n, k, p, c)
    summed = delta.sum(axis=2)
    if cheaper_form(*sizes, k, p, f, c, trace_outputs=trace_outputs) == "patches":
        return {"patches": x, "deltas": delta, "summed": summed, **coefficients}
    # one product of (f, p) and (p, k c) for each example
    gradients = jnp.einsum("npf,nkpc->nkfc", x, delta, precision="highest").reshape(n, k, f * c)
    return {"gradients": gradients, "summed": summed, **coefficients}


def contribution(one: Layer, other: Layer, *, trace_outputs: bool) -> Array:
    """The layer's addend for two sets of examples: (n1, n2) if traced or k = 1, else (n1, k, n2, k)."""
    if "x" in one:
        inputs = one["weight_coefficient"] * gram(one["x"], other["x"]) + one["bias_coefficient"]
        outputs = _over_outputs(one["delta"], other["delta"], trace_outputs)
        return inputs * outputs if outputs.ndim == 2 else inputs[:, None, :, None] * outputs
    biases = one["bias_coefficient"] * _over_outputs(one["summed"], other["summed"], trace_outputs)
    if "gradients" in one:
        weights = _over_outputs(one["gradients"], other["gradients"], trace_outputs)
    else:
        weights = _over_positions(one, other, trace_outputs)
    return one["weight_coefficient"] * weights + biases


def _over_outputs(a: Float[Array, "n1 k d"], b: Float[Array, "n2 k d"], trace_outputs: bool) -> Array:
    """a_ia . b_jb: the mean over a = b (n1, n2), else (n1, k, n2, k)."""
    (n1, k, _), n2 = a.shape, b.shape[0]
    if trace_outputs or k == 1:
        return gram(a.reshape(n1, -1), b.reshape(n2, -1)) / k
    return gram(a.reshape(n1 * k, -1), b.reshape(n2 * k, -1)).reshape(n1, k, n2, k)


def _over_positions(one: Layer, other: Layer, trace_outputs: bool) -> Array:
    """sum_{p,q} (x_ip . x_jq) (delta_iap . delta_jbq), a few examples i at a time."""
    patches, deltas = other["patches"], other["deltas"]
    n2, k, p, _ = deltas.shape
    traced = trace_outputs or k == 1
    outputs = "kpc,nkqc->pnq" if traced else "apc,nbqc->apnbq"

    def row(layer: tuple[Array, Array]) -> Array:
        inputs = jnp.einsum("pf,nqf->pnq", layer[0], patches, precision="highest")
        products = jnp.einsum(outputs, layer[1], deltas, precision="highest")
        if traced:
            return jnp.sum(inputs * products, axis=(0, 2)) / k
        return jnp.einsum("pnq,apnbq->anb", inputs, products, precision="highest")

    held = n2 * p * p * (1 if traced else 1 + k * k)
    return jax.lax.map(row, (one["patches"], one["deltas"]), batch_size=max(1, beyond_a_cpu(PATCH_NUMBERS) // held))
