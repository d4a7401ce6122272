"""Products at a stated precision: which factors are rounded, in whatever direction one differentiates, and that all others
state the dtype's own."""

from collections.abc import Iterator
from functools import partial
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


def rival(kind: type, name: str, matmul: str = "as_dtype") -> Any:
    x, y = drawn(6, 8, 8, 3), drawn(6, 2)
    model = build_model(name, **(FIELDS | NETWORKS[name] | dict(matmul=matmul)))
    theta0 = jax.jit(model.init)(jax.random.key(0), x[:1])["params"]
    return kind(theta0, x, y, x[:3], model=model, tx=optax.sgd(0.1, momentum=0.9), loss="mse", watched=())


@pytest.mark.parametrize("kind", [Network, LinearParameterSpace])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("matmul", ROUNDED)
def test_steps_are_rounded_and_observations_are_not(kind, name, matmul):
    exact, rounded = rival(kind, name), rival(kind, name, matmul)
    rounded = rounded.replace(x_train=exact.x_train, y_train=exact.y_train, x_test=exact.x_test)
    state = jax.jit(exact.step)(exact.init(), None)
    for what, values in jax.jit(exact.observe)(state).items():
        np.testing.assert_array_equal(values, jax.jit(rounded.observe)(state)[what])
    moved, moved_rounded = (jax.tree.leaves(jax.jit(one.step)(state, None)[0]) for one in (exact, rounded))
    assert any(float(jnp.abs(a - b).max()) > 0 for a, b in zip(moved, moved_rounded, strict=True))
    for a, b, before in zip(moved, moved_rounded, jax.tree.leaves(state[0]), strict=True):
        # each of a step's some ten products a layer is off by up to 2^-bits, and a ReLU near 0 may change its side
        assert float(jnp.linalg.norm(a - b)) <= 30 * 2.0 ** -MANTISSA[matmul] * float(
            jnp.linalg.norm(a - before) + 1e-6
        )


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


def programs() -> dict[str, tuple[Any, tuple]]:
    """Everything that multiplies matrices on the device, in float32."""
    found: dict[str, tuple[Any, tuple]] = {}
    for name in NETWORKS:
        for kind in (Network, LinearParameterSpace):
            one = rival(kind, name)
            batch = Batch(jnp.asarray([0, 2, 4], jnp.int32))
            found |= {
                f"{name} {kind.__name__} step": (one.step, (one.init(), batch)),
                f"{name} {kind.__name__} seen": (one.observe, (one.init(),)),
            }
    fc, cnn = rival(Network, "fc"), rival(Network, "cnn")
    for name, one in {"fc": fc, "cnn": cnn}.items():
        given = (one.theta0, one.x_train)
        found[f"{name} structured"] = (partial(empirical_ntk, one.model), given)
        found[f"{name} traced"] = (partial(empirical_ntk, one.model, trace_outputs=True), given)
        found[f"{name} jacobian"] = (partial(empirical_ntk, one.model, method="jacobian"), given)
        found[f"{name} nngp"] = (partial(empirical_nngp, one.model), given)
    wide = build_model("fc", **(FIELDS | dict(width=32, depth=3, n_outputs=1)))
    x = drawn(4, 4)

    def projected(x: Any, key: Any) -> Any:
        return projected_kernels(wide, x, key, drawn_projections(key))

    found["projected"] = (projected, (x, jax.random.key(0)))
    arrays = [drawn(*shape, seed=i) for i, shape in enumerate(((4, 2), (3, 2), (4, 2), (8, 8), (6, 8), (1, 4, 2)))]
    for flat in (True, False):
        matrices = arrays if flat else [*arrays[:3], drawn(4, 4), drawn(3, 4), arrays[5]]
        linear = LinearFunctionSpace(*matrices, flattened=flat, tx=optax.sgd(0.1), loss="mse")
        found |= {
            f"function space {flat}": (linear.step, (linear.init(), None)),
            f"function space {flat} seen": (linear.observe, (linear.init(),)),
        }
    return found


@pytest.mark.parametrize("name", programs())
def test_every_product_states_the_full_precision(name):
    function, arguments = programs()[name]
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
