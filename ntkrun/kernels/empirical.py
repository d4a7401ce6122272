"""Kernels of one finite network: Theta_hat = J J^T without the Jacobian J, and K_hat of its last hidden layer.

For a dense layer h = scale_w x W + scale_b b the gradient of output a at one example is (scale_w x delta_a^T, scale_b
delta_a), delta_a = df_a/dh, so the layer adds
    Theta_hat[i, j, a, b] += (c_w x_i.x_j + c_b) delta_a(x_i).delta_b(x_j),   c_w = scale_w^2, c_b = scale_b^2:
two Gram products of width n instead of one of width n^2 (`kernels.contraction`, also for convolutions).  x and delta
come from the taps of the layers (`models.layers`): c_w = sigma_w2/fan_in, c_b = sigma_b2 in the NTK parameterization, 1
and 1 in the standard one.
"""

from functools import lru_cache, partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntkrun.devices.placement import working_bytes
from ntkrun.errors import UserError
from ntkrun.kernels.contraction import Layer, contribution, gram, prepared, slices
from ntkrun.kernels.precision import full_precision, full_products
from ntkrun.types import AnyArray, Array, Float, Params

Method = Literal["structured", "jacobian"]

_STRIP = 64  # columns per product of the symmetric half; narrower ones run below the speed of a full product
_MAX_STRIPS = 4  # already leaves 5/8 of the full product, the limit being 1/2
_COLUMNS_PER_BLOCK = 8  # gradients of the general path held at once


@full_products
def empirical_ntk(
    model: nn.Module,
    params: Params,
    x1: Float[AnyArray, "n1 ..."],
    x2: Float[AnyArray, "n2 ..."] | None = None,
    *,
    trace_outputs: bool = False,
    method: Method = "structured",
    memory_bytes: int | None = None,
) -> Float[Array, "n1 n2 *kk"]:
    """Theta_hat(x1, x2) = sum over parameters of df_a(x_i)/dtheta df_b(x_j)/dtheta, below equation (4).

    Returns (n1, n2, k, k), index [i, j, a, b], or with `trace_outputs` (n1, n2), the mean of its diagonal over a = b;
    x2 = None is x1 with itself, computed as one half.  The dtype is that of the parameters, and its own precision that
    of every product, whatever the network is trained at.  It is J J^T in either
    parameterization: (S42)'s Theta_hat = J J^T / n of the standard one is `ntk_scale(model)` times this.

    method "structured": every parameter has to belong to a layer with taps that is used once, and an example's output
    must not depend on other examples.  "jacobian": any module, one gradient per example and output; a network with
    batch normalisation is then the function f(x_i; X) of the whole batch X = x1 (and x2), and so is its kernel.
    Memory: structured holds the taps of blocks of examples, k numbers per unit (convolutions: gradients too), within
    about `memory_bytes` (None: `placement.working_bytes` of the device), and the result a few times; more blocks than one
    repeat forward and backward passes.

    Known equal: the Jacobian product (tests).  Raises `UserError` if parameters are not covered by taps, and for batch
    normalisation with "structured".
    """
    model, x2_or_x1 = full_precision(model), x1 if x2 is None else x2
    if method == "jacobian":
        return _jacobian_ntk(model, params, jnp.asarray(x1), jnp.asarray(x2_or_x1), trace_outputs)
    if getattr(model, "norm", "none") == "batch":
        raise UserError(
            "with batch normalisation an output depends on its whole batch, and so does the kernel: use "
            "method='jacobian', which takes x1 and x2 for one batch each, or model.norm=none"
        )
    second = None if x2 is None else jnp.asarray(x2)
    return _in_blocks(model, params, jnp.asarray(x1), second, trace_outputs, memory_bytes)


@full_products
def empirical_nngp(
    model: nn.Module, params: Params, x1: Float[AnyArray, "n1 ..."], x2: Float[AnyArray, "n2 ..."] | None = None
) -> Float[Array, "n1 n2"]:
    """K_hat(x, x') = sigma_w2/n x^L(x).x^L(x') + sigma_b2: the covariance of the readout given the layers below it.

    x^L are the activations of the last hidden layer, n its width; known equal: a hand-written network (tests).
    """
    return _nngp(full_precision(model), params, jnp.asarray(x1), None if x2 is None else jnp.asarray(x2))


def ntk_scale(model: nn.Module) -> float:
    """1 in the NTK parameterization; 1/n, n the largest hidden width, in the standard one: (S42) is Theta_hat = J J^T / n."""
    if getattr(model, "parameterization", "ntk") == "ntk":
        return 1.0
    width: Any = getattr(model, "width")  # noqa: B009
    return 1.0 / (width if isinstance(width, int) else max(width))


def outputs_of(model: nn.Module, params: Params, x: Array) -> Array:
    output: Any = model.apply({"params": params}, x)
    return output


def _tapped_apply(model: nn.Module, params: Params, perturbations: Any, x: Array) -> tuple[Array, Any]:
    variables = {"params": params, "perturbations": perturbations}
    output, state = model.apply(variables, x, mutable=["taps"])
    return output, state.get("taps", {})


def _zero_perturbations(model: nn.Module, x: Array) -> Any:
    shapes = shapes_at_start(model, x.shape[1:], x.dtype).get("perturbations", {})
    return jax.tree.map(lambda shape: jnp.zeros((x.shape[0], *shape.shape[1:]), shape.dtype), shapes)


# A trace of the network takes as long as its kernel on small sets.
@lru_cache(maxsize=256)
def shapes_at_start(model: nn.Module, image: tuple[int, ...], dtype: Any) -> dict[str, Any]:
    """Of the parameters ("params"), and of h of one example in every tapped layer ("perturbations")."""
    return jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *image), dtype))


def _layers(taps: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Path of each tapped layer -> what it sowed at each use, in the order of the forward pass (Flax keeps that of first use)."""
    layers = {}
    for name, node in taps.items():
        layers |= {path: node} if isinstance(node, tuple) else _layers(node, (*path, name))
    return layers


def _paths(tree: Any) -> dict[tuple[str, ...], Any]:
    """Path of the enclosing layer -> its last leaf."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {tuple(part.key for part in path[:-1]): leaf for path, leaf in leaves}


def _check_covered(params: Params, layers: dict[tuple[str, ...], Any]) -> None:
    """Every array of `params` lies directly in a tapped layer, and every tapped layer is used once."""
    reused = {path for path, uses in layers.items() if len(uses) > 1}
    uncovered = sorted("/".join(path) for path in (set(_paths(params)) - set(layers)) | reused)
    if uncovered:
        raise UserError(f"no structured kernel for the parameters of {', '.join(uncovered)}: use method='jacobian'")


def _taps(model: nn.Module, params: Params, x: Array) -> list[tuple[dict[str, Array], Float[Array, "n k *width"]]]:
    """(what the layer sowed, delta) of every layer, delta[i, a] = df_a(x_i)/dh: one forward, one backward pass per output."""
    zeros = _zero_perturbations(model, x)
    output, vjp, taps = jax.vjp(lambda h: _tapped_apply(model, params, h, x), zeros, has_aux=True)
    layers = _layers(taps)
    _check_covered(params, layers)
    one_hot = jnp.eye(output.shape[1], dtype=output.dtype)
    cotangents = jnp.broadcast_to(one_hot[:, None, :], (output.shape[1], *output.shape))
    (deltas,) = jax.vmap(vjp, out_axes=1)(cotangents)
    delta_of = _paths(deltas)
    return [(uses[0], delta_of[path]) for path, uses in layers.items()]


def _block(first: list[Layer], second: list[Layer], trace_outputs: bool) -> Array:
    """Sum over layers for two sets of examples: (n1, n2) if traced, else (n1, n2, k, k)."""
    total: Any = 0.0
    for one, other in zip(first, second, strict=True):
        total += contribution(one, other, trace_outputs=trace_outputs)
    if trace_outputs:
        return total
    return total[:, :, None, None] if total.ndim == 2 else total.transpose(0, 2, 1, 3)


def _in_blocks(
    model: nn.Module, params: Params, x1: Array, x2: Array | None, trace_outputs: bool, memory_bytes: int | None
) -> Array:
    """The kernel from blocks of examples whose taps fit; of x1 with itself only the blocks on and below the diagonal."""
    rows, columns = blocks_of(model, params, x1, x2, memory_bytes)
    if len(rows) == len(columns) == 1:
        return _structured_ntk(model, params, x1, x2, trace_outputs)
    blocks: list[list[Any]] = [[None] * len(columns) for _ in rows]
    for i, own in enumerate(rows):
        for j, others in enumerate(columns):
            if x2 is None and j > i:
                continue
            second = x1[others] if x2 is None else x2[others]
            pair = None if x2 is None and i == j else second
            blocks[i][j] = _structured_ntk(model, params, x1[own], pair, trace_outputs)
            if x2 is None and j < i:
                blocks[j][i] = _mirrored(blocks[i][j])
    return jnp.concatenate([jnp.concatenate(row, axis=1) for row in blocks], axis=0)


def blocks_of(
    model: nn.Module, params: Params, x1: Any, x2: Any = None, memory_bytes: int | None = None
) -> tuple[list[slice], list[slice]]:
    """The examples of x1 and of x2 (None: x1) that are worked on together; of arrays or of their shapes."""
    most = max(1, int((memory_bytes or working_bytes()) // (2 * _bytes_per_example(model, params, x1))))
    return slices(x1.shape[0], most), slices((x1 if x2 is None else x2).shape[0], most)


def _bytes_per_example(model: nn.Module, params: Params, x: Any) -> int:
    """Taps and, for convolutions in the form "gradients", k gradients of one example."""
    leaves, structure = jax.tree.flatten(params)
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
    return _bytes_of_shapes(model, structure, (*shapes, jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype)))


@lru_cache(maxsize=256)
def _bytes_of_shapes(model: nn.Module, structure: Any, shapes: tuple[jax.ShapeDtypeStruct, ...]) -> int:
    *leaves, x = shapes
    params = jax.tree.unflatten(structure, leaves)
    output, taps = jax.eval_shape(
        lambda theta, x: _tapped_apply(model, theta, _zero_perturbations(model, x), x), params, x
    )
    layers = _layers(taps)
    _check_covered(params, layers)
    k, held = output.shape[1], 0
    h_of = _paths(shapes_at_start(model, x.shape[1:], x.dtype).get("perturbations", {}))
    for path, (sown,) in layers.items():
        delta = k * h_of[path].size * h_of[path].dtype.itemsize
        held += delta + sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(sown))
        if len(sown["x"].shape) == 3:
            held += k * sown["x"].shape[-1] * h_of[path].shape[-1] * h_of[path].dtype.itemsize
    return held


def _mirrored(kernel: Array) -> Array:
    """Theta[i, j, a, b] = Theta[j, i, b, a]."""
    return kernel.swapaxes(0, 1) if kernel.ndim == 2 else kernel.transpose(1, 0, 3, 2)


@partial(jax.jit, static_argnames=("model", "trace_outputs"))
def _structured_ntk(model: nn.Module, params: Params, x1: Array, x2: Array | None, trace_outputs: bool) -> Array:
    sizes = (len(x1), len(x1 if x2 is None else x2))

    def layers(x: Array) -> list[Layer]:
        return [prepared(*tapped, sizes, trace_outputs=trace_outputs) for tapped in _taps(model, params, x)]

    first = layers(x1)
    if x2 is not None:
        return _block(first, layers(x2), trace_outputs)
    n = x1.shape[0]
    strip = -(-n // max(1, min(_MAX_STRIPS, n // _STRIP)))
    columns = []
    for start in range(0, n, strip):
        below, own = (jax.tree.map(partial(_examples, start=start, stop=stop), first) for stop in (n, start + strip))
        part = _block(below, own, trace_outputs)
        columns.append(jnp.pad(part, ((start, 0), *((0, 0),) * (part.ndim - 1))))
    lower = jnp.concatenate(columns, axis=1)
    # Everything strictly below the diagonal is mirrored, strips included.  A sum: XLA compiles a choice between a matrix
    # and its transpose for n^2 10^-4 seconds.
    below = jnp.tri(n, k=-1, dtype=bool).reshape(n, n, *(1,) * (lower.ndim - 2))
    at_diagonal = jnp.eye(n, dtype=bool).reshape(below.shape)
    strict = jnp.where(below, lower, 0)
    return jnp.where(at_diagonal, lower, strict + _mirrored(strict))


def _examples(array: Array, start: int, stop: int) -> Array:
    return array[start:stop] if array.ndim else array  # the coefficients of a layer are scalars


@partial(jax.jit, static_argnames=("model", "trace_outputs"))
def _jacobian_ntk(model: nn.Module, params: Params, x1: Array, x2: Array, trace_outputs: bool) -> Array:
    """One column Theta_hat[:, j, :, b] = J(x1) J(x2)_jb^T at a time: a backward pass over x2, a forward one over x1."""
    output, vjp = jax.vjp(lambda theta: outputs_of(model, theta, x2), params)
    _, jvp = jax.linearize(lambda theta: outputs_of(model, theta, x1), params)
    n2, k = output.shape

    def column(index: Array) -> Array:
        cotangent = jax.nn.one_hot(index, n2 * k, dtype=output.dtype).reshape(n2, k)
        theta_column = jvp(*vjp(cotangent))
        return theta_column[:, index % k] if trace_outputs else theta_column

    columns = jax.lax.map(column, jnp.arange(n2 * k), batch_size=_COLUMNS_PER_BLOCK)
    if trace_outputs:
        return columns.reshape(n2, k, -1).mean(axis=1).T
    return columns.reshape(n2, k, -1, k).transpose(2, 0, 3, 1)


@partial(jax.jit, static_argnames=("model",))
def _nngp(model: nn.Module, params: Params, x1: Array, x2: Array | None) -> Array:
    def readout(x: Array) -> dict[str, Array]:
        return list(_layers(_tapped_apply(model, params, _zero_perturbations(model, x), x)[1]).values())[-1][0]

    layer = readout(x1)
    other = layer if x2 is None else readout(x2)
    return layer["weight_variance"] * gram(layer["x"], other["x"]) + layer["bias_variance"]


# Both are the same sum of products in another order, to 1e-5 in float32; a layer left out or counted twice is per cents.
_AGREEMENT = 1e-3


def covered_by_taps(model: nn.Module, params: Params, x: AnyArray | jax.ShapeDtypeStruct) -> Method:
    """ "structured" where every parameter lies in a layer with taps that is used once, else "jacobian"; from shapes."""
    try:
        jax.eval_shape(partial(empirical_ntk, model), params, x)
    except Exception:  # whatever stands in its way, the general contraction asks for nothing but f(params, x)
        return "jacobian"
    return "structured"


def contraction_of(model: nn.Module, params: Params, x: AnyArray) -> Method:
    """The same, and only if both give one kernel on the first two of these images."""
    two = jnp.asarray(x[:2])
    if covered_by_taps(model, params, two) == "jacobian":
        return "jacobian"
    structured, general = (empirical_ntk(model, params, two, method=m) for m in ("structured", "jacobian"))
    distance = jnp.linalg.norm(structured - general)
    return "structured" if distance <= _AGREEMENT * jnp.linalg.norm(general) else "jacobian"
