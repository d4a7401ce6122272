"""Products at a stated precision: which factors are rounded, in whatever direction one differentiates, and that all others
state the dtype's own."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend import core

from ntkrun.data.batches import Batch
from ntkrun.dynamics.linear_function_space import LinearFunctionSpace
from ntkrun.dynamics.linear_parameter_space import LinearParameterSpace
from ntkrun.dynamics.network import Network
from ntkrun.errors import UserError
from ntkrun.kernels.empirical import empirical_nngp, empirical_ntk
from ntkrun.kernels.largest_eigenvalue import largest_eigenvalue
from ntkrun.kernels.precision import full_precision
from ntkrun.kernels.projected import drawn_projections, projected_kernels
from ntkrun.kernels.weight_jacobian import weight_jacobian
from ntkrun.models import build_model
from ntkrun.models.layers import by_convolution, by_products
from ntkrun.models.products import MANTISSA, PRODUCTS, at_precision
from ntkrun.settings.choices import Products

ROUNDED = [name for name in PRODUCTS if name != "as_dtype"]


def drawn(*shape: int, seed: int = 0) -> jax.Array:
    """The same numbers whichever tests ran before."""
    return jnp.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape), jnp.float32)


def kept(a: Any, bits: int) -> np.ndarray:
    """a with `bits` bits of mantissa, to the nearest and ties to even, by integer arithmetic on the bits of float32."""
    whole = np.asarray(a, np.float32).view(np.uint32).astype(np.uint64)
    dropped = 23 - bits
    half, odd = 1 << (dropped - 1), (whole >> np.uint64(dropped)) & np.uint64(1)
    rounded = (whole + np.uint64(half - 1) + odd) >> np.uint64(dropped) << np.uint64(dropped)
    return rounded.astype(np.uint32).view(np.float32)


SHAPES = {"matrices": ((5, 7), (7, 4)), "stacks": ((3, 5, 7), (7, 4)), "images": ((2, 6, 6, 3), (3, 3, 3, 4))}


def convolution(x, weight, *, precision):
    return by_convolution(x, weight, 2, precision)


def same_by_products(x, weight, *, precision):
    return by_products(x, weight, 2, precision)


@pytest.mark.parametrize("matmul", ROUNDED)
@pytest.mark.parametrize(
    ("product", "shapes"),
    [(jnp.matmul, "matrices"), (jnp.matmul, "stacks"), (convolution, "images"), (same_by_products, "images")],
)
def test_factors_are_rounded_and_results_are_not_in_every_direction(product, shapes, matmul):
    bits, (x, w, dx, dw) = MANTISSA[matmul], [drawn(*shape, seed=i) for i, shape in enumerate(SHAPES[shapes] * 2)]
    exact = partial(product, precision=jax.lax.Precision.HIGHEST)
    rounded = at_precision(product, matmul, of_matrices=product is jnp.matmul)
    rx, rw, rdx, rdw = (jnp.asarray(kept(a, bits)) for a in (x, w, dx, dw))
    y, tangent = jax.jvp(rounded, (x, w), (dx, dw))
    ct = drawn(*y.shape)
    rct = jnp.asarray(kept(ct, bits))
    _, transposed = jax.vjp(rounded, x, w)
    _, expected = jax.vjp(exact, rx, rw)
    pairs = [
        (y, exact(rx, rw)),
        (tangent, exact(rdx, rw) + exact(rx, rdw)),
        *zip(transposed(ct), expected(rct), strict=True),
    ]
    for ours, theirs in pairs:
        # sums of some tens of float32 products, in another order at most
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * float(jnp.abs(theirs).max()))
    # what is rounded is seen: unrounded factors give other numbers by 2^-bits, and so would a rounded result
    apart = [
        float(jnp.abs(ours - theirs).max() / jnp.abs(theirs).max())
        for ours, theirs in ((y, exact(x, w)), (y, kept(y, bits)))
    ]
    assert min(apart) > 2.0 ** -(bits + 4)


@pytest.mark.parametrize("matmul", ROUNDED)
def test_members_of_an_ensemble_have_the_product_of_each(matmul):
    x, w = drawn(3, 5, 7), drawn(3, 7, 4)
    product = at_precision(jnp.matmul, matmul, of_matrices=True)
    np.testing.assert_array_equal(
        jax.vmap(product)(x, w), jnp.stack([product(*pair) for pair in zip(x, w, strict=True)])
    )


def test_an_unknown_precision_is_refused():
    assert get_args(Products) == PRODUCTS and set(ROUNDED) == set(MANTISSA)
    with pytest.raises(UserError, match="matmul=float16 is not known; use one of: as_dtype, tf32, bfloat16"):
        at_precision(jnp.matmul, "float16", of_matrices=True)


FIELDS: dict[str, Any] = dict(depth=2, n_outputs=2, activation="relu", sigma_w2=2.0, sigma_b2=0.1, dtype=jnp.float32)
NETWORKS: dict[str, dict[str, Any]] = {
    "fc": dict(width=16),
    "cnn": dict(width=3, pool="flatten"),
    "wide_resnet": dict(width=3, depth=10, norm="batch"),
}


@cache
def rival(kind: type, name: str, matmul: str = "as_dtype") -> Any:
    x, y = drawn(6, 8, 8, 3), drawn(6, 2)
    model = build_model(name, **(FIELDS | NETWORKS[name] | dict(matmul=matmul)))
    theta0 = jax.jit(model.init)(jax.random.key(0), x[:1])["params"]
    return kind(theta0, x, y, x[:3], model=model, tx=optax.sgd(0.1, momentum=0.9), loss="mse", watched=())


@pytest.mark.parametrize("kind", [Network, LinearParameterSpace])
@pytest.mark.parametrize("name", NETWORKS)
def test_steps_are_rounded_and_observations_are_not(kind, name):
    exact = rival(kind, name)
    step = jax.jit(exact.step)
    state = step(exact.init(), None)
    seen, (moved, _) = jax.jit(exact.observe)(state), step(state, None)
    for matmul in ROUNDED if name == "fc" else ROUNDED[:1]:  # they differ in a number of bits, seen on products above
        rounded = exact.replace(model=exact.model.clone(matmul=matmul))
        seen_of_it, (moved_rounded, _) = jax.jit(rounded.observe)(state), jax.jit(rounded.step)(state, None)
        for what, values in seen.items():
            np.testing.assert_array_equal(values, seen_of_it[what])
        leaves = [jax.tree.leaves(tree) for tree in (moved, moved_rounded, state[0])]
        assert any(float(jnp.abs(a - b).max()) > 0 for a, b, _ in zip(*leaves, strict=True))
        for a, b, before in zip(*leaves, strict=True):
            # each of a step's some ten products a layer is off by up to 2^-bits, and a ReLU near 0 may change its side
            most = 30 * 2.0 ** -MANTISSA[matmul] * float(jnp.linalg.norm(a - before) + 1e-6)
            assert float(jnp.linalg.norm(a - b)) <= most


@pytest.mark.parametrize("matmul", ROUNDED)
def test_kernels_do_not_depend_on_the_precision_of_the_steps(matmul):
    network = rival(Network, "fc")
    model = network.model.clone(matmul=matmul)
    given = (network.theta0, network.x_train)
    watched = ((("layer_2", "omega"), 3),)
    kernels: list[Any] = [empirical_ntk, empirical_nngp, largest_eigenvalue, partial(empirical_ntk, method="jacobian")]
    kernels.append(lambda model, params, x: weight_jacobian(model, params, x, watched))
    for kernel in kernels:
        np.testing.assert_array_equal(kernel(network.model, *given), kernel(model, *given))
    assert full_precision(model) == network.model and full_precision(network.model) is network.model


def products_in(program: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    for line in program.eqns:
        if line.primitive.name in ("dot_general", "conv_general_dilated"):
            yield line
        for value in line.params.values():
            for part in value if isinstance(value, tuple | list) else (value,):
                if isinstance(part, core.ClosedJaxpr):
                    yield from products_in(part.jaxpr)
                elif isinstance(part, core.Jaxpr):
                    yield from products_in(part)


RIVALS = {f"{name} {kind.__name__}": (kind, name) for name in NETWORKS for kind in (Network, LinearParameterSpace)}
KERNELS: dict[str, Any] = {
    "structured": empirical_ntk,
    "traced": partial(empirical_ntk, trace_outputs=True),
    "jacobian": partial(empirical_ntk, method="jacobian"),
    "nngp": empirical_nngp,
}


def step_and_observation(of: str) -> Iterator[tuple[Any, tuple]]:
    one = rival(*RIVALS[of])
    yield one.step, (one.init(), Batch(jnp.asarray([0, 2, 4], jnp.int32)))
    yield one.observe, (one.init(),)


def kernels(of: str) -> Iterator[tuple[Any, tuple]]:
    one = rival(Network, of)
    for kernel in KERNELS.values():
        yield partial(kernel, one.model), (one.theta0, one.x_train)


def projected() -> Iterator[tuple[Any, tuple]]:
    wide = build_model("fc", **(FIELDS | dict(width=32, depth=3, n_outputs=1)))
    yield lambda x, key: projected_kernels(wide, x, key, drawn_projections(key)), (drawn(4, 4), jax.random.key(0))


def function_space(flat: bool) -> Iterator[tuple[Any, tuple]]:
    arrays = [drawn(*shape, seed=i) for i, shape in enumerate(((4, 2), (3, 2), (4, 2), (8, 8), (6, 8), (1, 4, 2)))]
    matrices = arrays if flat else [*arrays[:3], drawn(4, 4), drawn(3, 4), arrays[5]]
    linear = LinearFunctionSpace(*matrices, flattened=flat, tx=optax.sgd(0.1), loss="mse")
    yield linear.step, (linear.init(), None)
    yield linear.observe, (linear.init(),)


# all that multiplies matrices on the device, in float32
PROGRAMS: dict[str, Callable[[], Iterator[tuple[Any, tuple]]]] = {
    **{of: partial(step_and_observation, of) for of in RIVALS},
    **{f"kernels of {of}": partial(kernels, of) for of in ("fc", "cnn")},
    "projected": projected,
    **{f"function space {flat}": partial(function_space, flat) for flat in (True, False)},
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_product_states_the_full_precision(name):
    for function, arguments in PROGRAMS[name]():
        found = list(products_in(jax.make_jaxpr(function)(*arguments).jaxpr))
        assert found
        for line in found:
            assert set(np.atleast_1d(line.params["precision"])) == {jax.lax.Precision.HIGHEST}, line


class Foreign(nn.Module):
    """A module whose products state no precision."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.relu(nn.Dense(3)(x.reshape(len(x), -1))))


def test_kernels_of_a_users_module_have_the_full_precision_whatever_is_usual():
    """As seen by the compiler: on this CPU every precision is the full one."""
    x = drawn(3, 4)
    params = Foreign().init(jax.random.key(0), x)["params"]
    kernels: dict[str, Any] = {
        "ntk": lambda theta, x: empirical_ntk(Foreign(), theta, x, method="jacobian"),
        "weights": lambda theta, x: weight_jacobian(Foreign(), theta, x, ((("Dense_0", "kernel"), 0),)),
    }
    with jax.default_matmul_precision("bfloat16"):
        for kernel in kernels.values():
            found = list(products_in(jax.make_jaxpr(kernel)(params, x).jaxpr))
            assert found
            assert all(set(np.atleast_1d(line.params["precision"])) == {jax.lax.Precision.HIGHEST} for line in found)
