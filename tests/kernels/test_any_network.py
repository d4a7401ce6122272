"""Kernels and expansions of whatever is a function of (params, x), against the product of its Jacobians."""

import json
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import ntkrun
from ntkrun.errors import UserError
from ntkrun.kernels.apart import sees_one_example
from ntkrun.kernels.empirical import empirical_ntk
from ntkrun.kernels.largest_eigenvalue import largest_eigenvalue
from ntkrun.models import build_model
from ntkrun.models.functions import as_function, network_of
from ntkrun.models.layers import Dense
from ntkrun.models.taylor import linearize, taylor_expand

RNG = np.random.default_rng(0)
X, X2 = RNG.standard_normal((7, 3)), RNG.standard_normal((4, 3))
PARAMS = [
    {"w": RNG.standard_normal((3, 5)), "shift": RNG.standard_normal((1, 5))},
    RNG.standard_normal((5, 2)),
    {"unused": RNG.standard_normal(3), "times": jnp.array(2), "word": None},
]


def f(params, x):
    """Weights are used twice, one leaf is an integer, one unused."""
    h = jnp.tanh(x @ params[0]["w"] + params[0]["shift"])
    return params[2]["times"] * jnp.sin(h @ params[1]) + h @ params[1]


def brute_force(f, params, x1, x2) -> np.ndarray:
    """Over all leaves of real numbers."""
    leaves, structure = jax.tree.flatten(params)
    real = [place for place, leaf in enumerate(leaves) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)]

    def of(theta, x):
        moved = list(leaves)
        for place, leaf in zip(real, theta, strict=True):
            moved[place] = leaf
        return f(jax.tree.unflatten(structure, moved), x)

    def flat(x):
        rows = jax.jacrev(of)([jnp.asarray(leaves[place]) for place in real], x)
        return np.concatenate([np.asarray(row).reshape(*row.shape[:2], -1) for row in rows], axis=-1)

    return np.einsum("iap,jbp->ijab", flat(x1), flat(x2))


CLOSE: Any = dict(rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("x2", [None, X2], ids=["square", "cross"])
def test_a_plain_function_has_its_kernel_in_full_traced_and_by_layer(x2):
    expected = brute_force(f, PARAMS, X, X if x2 is None else x2)
    np.testing.assert_allclose(empirical_ntk(f, PARAMS, X, x2), expected, **CLOSE)
    mean = np.einsum("ijaa->ij", expected) / 2
    np.testing.assert_allclose(empirical_ntk(f, PARAMS, X, x2, trace_outputs=True), mean, **CLOSE)
    by_layer = empirical_ntk(f, PARAMS, X, x2, by_layer=True)
    assert set(by_layer) == {"0", "1", "2"} and not np.any(by_layer["2"])
    np.testing.assert_allclose(sum(by_layer.values()), expected, **CLOSE)
    only_first = brute_force(lambda first, x: f([first, *PARAMS[1:]], x), PARAMS[0], X, X if x2 is None else x2)
    np.testing.assert_allclose(by_layer["0"], only_first, **CLOSE)
    whole = jax.jit(lambda params: empirical_ntk(f, params, X, x2))(PARAMS)  # where nothing can be tried
    np.testing.assert_allclose(whole, expected, **CLOSE)


def test_whole_numbers_go_in_and_largest_eigenvalues_come_out():
    tokens = np.array([[0, 2, 1], [3, 3, 0], [1, 1, 1]])

    def embedded(params, x):
        return jnp.tanh(jnp.mean(params["table"][x], axis=1)) @ params["readout"]

    params = {"table": RNG.standard_normal((4, 3)), "readout": RNG.standard_normal((3, 2))}
    expected = brute_force(embedded, params, tokens, tokens)
    np.testing.assert_allclose(empirical_ntk(embedded, params, tokens), expected, **CLOSE)
    square = expected.transpose(0, 2, 1, 3).reshape(6, 6)
    assert largest_eigenvalue(embedded, params, tokens) == pytest.approx(np.linalg.eigvalsh(square)[-1], rel=1e-3)


@pytest.mark.parametrize("method", ["structured", "jacobian"])
@pytest.mark.parametrize("x2", [None, X2], ids=["square", "cross"])
def test_blocks_of_every_size_and_layers_of_both_routes_are_one_kernel(method, x2):
    net: dict[str, Any] = dict(depth=2, n_outputs=2, activation="tanh", sigma_w2=1.5, sigma_b2=0.1)
    model = build_model("fc", width=6, dtype="float64", **net)
    params = model.init(jax.random.key(0), X)["params"]
    expected = brute_force(lambda theta, x: model.apply({"params": theta}, x), params, X, X if x2 is None else x2)
    how: Any = dict(method=method, by_layer=True)
    for memory in (None, 1, 6_000):
        by_layer = empirical_ntk(model, params, X, x2, memory=memory, **how)
        assert set(by_layer) == {"layer_1", "layer_2", "layer_3"}
        np.testing.assert_allclose(sum(by_layer.values()), expected, **CLOSE)


def test_a_kernel_goes_on_from_the_blocks_of_its_folder(tmp_path):
    calls = []

    def counted(params, x):
        jax.debug.callback(lambda: calls.append(1))
        return f(params, x)

    folder = tmp_path / "blocks"
    whole = empirical_ntk(counted, PARAMS, X, memory=1, resume_in=folder)
    blocks = sorted(path.name for path in folder.glob("block_*.npz"))
    assert len(blocks) == 28  # of 7 x 7, those on and below the diagonal
    for name in blocks[5:]:
        (folder / name).unlink()
    calls.clear()
    again = empirical_ntk(counted, PARAMS, X, resume_in=str(folder))  # in the blocks of the folder
    np.testing.assert_array_equal(whole, again)
    jax.effects_barrier()
    resumed = len(calls)
    calls.clear()
    empirical_ntk(counted, PARAMS, X, resume_in=folder)
    jax.effects_barrier()
    assert len(calls) < resumed and {path.name for path in folder.iterdir()} == {"kernel.json", *blocks}
    (folder / blocks[3]).write_bytes(b"half of it")
    with pytest.raises(UserError, match=rf"{blocks[3]} is damaged: delete it"):
        empirical_ntk(counted, PARAMS, X, resume_in=folder)


@pytest.mark.parametrize("changed", ["params", "x1", "x2", "trace_outputs", "function", "another file"])
def test_blocks_of_another_kernel_are_not_taken(tmp_path, changed):
    empirical_ntk(f, PARAMS, X, resume_in=tmp_path)
    other: dict[str, Any] = dict(params=PARAMS, x1=X)
    other |= {"params": dict(params=[*PARAMS[:1], PARAMS[1] + 1e-9, PARAMS[2]]), "x1": dict(x1=X[::-1]),
              "x2": dict(x2=X), "trace_outputs": dict(trace_outputs=True)}.get(changed, {})  # fmt: skip
    if changed == "another file":
        (tmp_path / "kernel.json").unlink()
    function = partial(lambda params, x: f(params, 2 * x)) if changed == "function" else f
    with pytest.raises(UserError, match="holds something else"):
        empirical_ntk(function, resume_in=tmp_path, **other)


class Centred(nn.Module):
    """A readout of zeros over features less their mean: the outputs do not tell that they depend on the batch."""

    @nn.compact
    def __call__(self, x):
        h = jnp.tanh(nn.Dense(4)(x))
        return nn.Dense(2, kernel_init=nn.initializers.zeros)(h - jnp.mean(h, axis=0, keepdims=True))


def test_what_depends_on_its_batch_is_one_function_of_it_and_falls_into_no_blocks():
    model = Centred()
    params = model.init(jax.random.key(0), X)["params"]
    assert not sees_one_example(model, params, X) and sees_one_example(network_of(f), PARAMS, X)
    apply = lambda theta, x: model.apply({"params": theta}, x)  # noqa: E731
    for x2 in (None, X2):
        expected = brute_force(apply, params, X, X if x2 is None else x2)
        np.testing.assert_allclose(empirical_ntk(model, params, X, x2), expected, rtol=1e-5, atol=1e-6)  # float32
        by_layer = empirical_ntk(model, params, X, x2, by_layer=True)
        np.testing.assert_allclose(sum(by_layer.values()), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(UserError, match="memory= and resume_in= are for"):
        empirical_ntk(model, params, X, memory=1000)


class CentredOutputs(nn.Module):
    """Our layers, all of them tapped, and outputs less their mean over the batch."""

    @nn.compact
    def __call__(self, x):
        h = Dense(2, 1.0, 0.1, name="second")(jnp.tanh(Dense(8, 1.0, 0.1, name="first")(x)))
        return h - jnp.mean(h, axis=0, keepdims=True)


class Tied(nn.Module):
    """A weight that is used outside its layer, too, where no tap sees it."""

    @nn.compact
    def __call__(self, x):
        h = jnp.tanh(Dense(3, 1.0, 0.1, name="first")(x))
        return h @ self.variables["params"]["first"]["omega"]


@pytest.mark.parametrize(
    ("model", "says"), [(CentredOutputs(), "depends on the other examples"), (Tied(), "another kernel than J J")]
)
def test_the_structured_contraction_is_refused_where_it_would_be_wrong(model, says):
    params = model.init(jax.random.key(0), X)["params"]
    for x in ((X,), (X[:1], X2)):
        with pytest.raises(UserError, match=f"{says}.*method='jacobian'"):
            empirical_ntk(model, params, *x, method="structured")
    np.testing.assert_array_equal(empirical_ntk(model, params, X), empirical_ntk(model, params, X, method="jacobian"))


class Noisy(nn.Module):
    """Our layers, with running averages that hold a scale, dropout and two outputs."""

    @nn.compact
    def __call__(self, x, train):
        scale = self.variable("averages", "scale", lambda: jnp.full((1, 4), 3.0))
        h = Dense(4, 1.0, 0.1, name="first")(x) * scale.value
        h = nn.Dropout(0.5, deterministic=not train)(jnp.tanh(h))
        return Dense(2, 1.0, 0.1, name="second")(h)


def test_a_module_with_arguments_and_variables_is_a_function_of_its_parameters():
    variables: Any = Noisy().init(jax.random.key(0), X, train=False)
    g, params = as_function(Noisy(), variables, train=False)
    np.testing.assert_array_equal(g(params, X), Noisy().apply(variables, X, train=False))
    expected = brute_force(lambda theta, x: g(theta, x), params, X, X)
    for method in ("structured", "jacobian"):
        np.testing.assert_allclose(empirical_ntk(g, params, X, method=method), expected, rtol=1e-4, atol=1e-5)
    again, _ = as_function(Noisy(), jax.tree.map(jnp.array, variables), train=False)
    assert again == g and hash(again) == hash(g)  # its programs are found again
    others = [as_function(Noisy(), variables, train=value)[0] for value in (True, 0)]
    others.append(as_function(Noisy(), {**variables, "averages": {"scale": jnp.ones((1, 4))}}, train=False)[0])
    assert all(other != g for other in others)


class Sketch(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(3, 3, rngs=rngs) for _ in range(11)])
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        for layer in self.layers:
            x = jnp.tanh(layer(x))
        return self.drop(self.norm(x))


def test_an_nnx_module_is_taken_in_evaluation_mode_by_itself_or_as_a_function():
    module = Sketch(nnx.Rngs(0))
    module.norm.mean[...] = jnp.full(3, 0.2)
    state = nnx.state(module, nnx.Param)
    g, params = as_function(module)
    assert list(params["layers"]) == [str(place) for place in range(11)]  # in their order, not that of words
    kernel = empirical_ntk(module, state, X)
    np.testing.assert_array_equal(kernel, empirical_ntk(g, params, X))
    assert not module.drop.deterministic and not module.norm.use_running_average, "it is left as it is"
    module.eval()
    np.testing.assert_allclose(g(params, X), module(X), rtol=1e-6)
    np.testing.assert_allclose(kernel, brute_force(lambda theta, x: g(theta, x), params, X, X), rtol=1e-4, atol=1e-5)
    module.norm.mean[...] = jnp.full(3, 0.3)
    module.norm.var[...] = jnp.full(3, 9.0)
    assert not np.allclose(empirical_ntk(module, state, X), kernel), "its variables are read anew"


def test_half_precision_is_taken_in_float32_or_refused():
    class Short(nn.Module):
        dtype: Any = None

        @nn.compact
        def __call__(self, x):
            return nn.Dense(2, dtype=self.dtype, param_dtype=jnp.bfloat16)(x)

    params = Short().init(jax.random.key(0), X)["params"]
    exact = X @ X.T + 1
    np.testing.assert_allclose(empirical_ntk(Short(), params, X, trace_outputs=True), exact, rtol=1e-5, atol=1e-5)
    with pytest.raises(UserError, match="returns bfloat16"):
        empirical_ntk(Short(dtype=jnp.bfloat16), params, X)
    fields: Any = dict(width=4, depth=1, n_outputs=1, activation="tanh", sigma_w2=1.0, sigma_b2=0.1)
    for dtype in (jnp.bfloat16, "float16", "int32", "float17", None):
        with pytest.raises(UserError, match=r"dtype=.*float32 or float64"):
            build_model("fc", dtype=dtype, **fields)
    with pytest.raises(UserError, match="dtype=float16"):  # likewise of layers in a module of one's own
        Dense(2, 1.0, 0.1, dtype=jnp.float16).init(jax.random.key(0), X)
    built = build_model("fc", dtype=np.dtype("float32"), **fields)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float16), built.init(jax.random.key(0), X)["params"])
    assert empirical_ntk(built, params, X).dtype == jnp.float32


LINEN = nn.Dense(2)
LINEN_VARIABLES = LINEN.init(jax.random.key(0), X)
WRONG: dict[str, tuple[Any, str]] = {
    "a class": (lambda: empirical_ntk(nn.Dense, {}, X), "Dense is a class"),
    "no network": (lambda: empirical_ntk(3, {}, X), "no network: pass a Flax module or a function"),  # type: ignore[arg-type]
    "all variables": (lambda: empirical_ntk(LINEN, LINEN_VARIABLES, X), r"pass variables\['params'\]"),
    "without an argument": (lambda: empirical_ntk(Noisy(), {"first": {}}, X), "as_function.module, variables, train=False"),
    "of other inputs": (lambda: empirical_ntk(LINEN, LINEN_VARIABLES["params"], X[:, :2]), "does not run on x of shape"),
    "one axis": (lambda: empirical_ntk(lambda p, x: f(p, x)[:, 0], PARAMS, X), r"returns \(7,\) .* must be \(n, k\)"),
    "a pair": (lambda: empirical_ntk(lambda p, x: (f(p, x), x), PARAMS, X), "returns a tuple"),
    "whole numbers": (lambda: empirical_ntk(lambda p, x: f(p, x).astype(int), PARAMS, X), "returns int.*no derivative"),
    "complex outputs": (lambda: empirical_ntk(lambda p, x: x @ p, X.T + 1j, X), "complex numbers have no such kernel"),
    "complex parameters": (lambda: empirical_ntk(lambda p, x: (x @ p).real, X.T + 1j, X), "is complex"),
    "no parameters": (lambda: empirical_ntk(lambda p, x: x, {"n": 3}, X), "no floating-point numbers"),
    "unlike inputs": (lambda: empirical_ntk(f, PARAMS, X, X[:, :2]), "they must be alike"),
    "a linen module alone": (lambda: as_function(LINEN), "with what its init returns"),
    "no module": (lambda: as_function(f), "takes a Flax module"),
    "nnx with variables": (lambda: as_function(Sketch(nnx.Rngs(0)), {}), "has its variables itself"),
    "a list as argument": (lambda: as_function(LINEN, LINEN_VARIABLES, a={1, 2}), "neither an array nor hashable"),
    "another tree": (lambda: linearize(f, PARAMS)(PARAMS[:2], X), "not of the names and shapes"),
    "degree": (lambda: taylor_expand(f, PARAMS, -1), "degree=-1"),
    "traced memory": (lambda: jax.jit(lambda x: empirical_ntk(f, PARAMS, x, memory=9))(X), "inside jax.jit"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_one_line_that_says_what_to_pass(name):
    call, says = WRONG[name]
    with pytest.raises(UserError, match=says) as refused:
        call()
    assert "\n" not in str(refused.value) and json.dumps(str(refused.value))


TAPPED = build_model("fc", width=4, depth=1, n_outputs=2, activation="tanh", sigma_w2=1.0, sigma_b2=0.1)
TAPPED_PARAMS = TAPPED.init(jax.random.key(0), X)["params"]
WITH_PARAMS = {  # network -> it, its params, where they are to be had
    "linen": (LINEN, LINEN_VARIABLES["params"], r"params = module.init(jax.random.key(0), x)['params']"),
    "with taps": (TAPPED, TAPPED_PARAMS, r"params = module.init(jax.random.key(0), x)['params']"),
    "nnx": (Sketch(nnx.Rngs(0)), as_function(Sketch(nnx.Rngs(0)))[1], "f, params = ntkrun.as_function(module)"),
    "function": (lambda params, x: x @ params["w"], {"w": X[:3]}, "the params that the function takes"),
}
WITHOUT_THEIRS = {
    "None": lambda params: None,
    "a word": lambda params: {**params, next(iter(params)): "word"},
    "one less": lambda params: dict(list(params.items())[1:]),
    "of other shapes": lambda params: jax.tree.map(lambda leaf: np.zeros((9, 9, 9)), params),
}
TAKES_PARAMS = {
    "linearize": lambda f, params: linearize(f, params)(params, X),
    "ntk": lambda f, params: empirical_ntk(f, params, X),
    "by layer": lambda f, params: empirical_ntk(f, params, X, by_layer=True),
    "sharpness": lambda f, params: ntkrun.sharpness(f, params, X, Y),
    "recorder": lambda f, params: ntkrun.LinearityRecorder(f, params, X, Y),
}
Y = np.zeros((7, 2))


@pytest.mark.parametrize("which", WITH_PARAMS)
def test_params_that_are_not_the_networks_are_one_line_wherever_they_go_in(which):
    network, params, whence = WITH_PARAMS[which]
    for taken, call in TAKES_PARAMS.items():
        for wrong, of in WITHOUT_THEIRS.items():
            with pytest.raises(UserError) as refused:
                call(network, of(dict(params)))
            assert whence in str(refused.value) and "\n" not in str(refused.value), (taken, wrong, refused.value)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_an_expansion_errs_by_the_next_power_of_the_step(degree):
    step = jax.tree.map(lambda leaf: 0.3 * np.cos(np.arange(np.size(leaf))).reshape(np.shape(leaf)), PARAMS[:2])
    errors = []
    for size in (1e-2, 5e-3):
        theta = [*jax.tree.map(lambda leaf, by, size=size: leaf + size * by, PARAMS[:2], step), PARAMS[2]]
        errors.append(np.abs(taylor_expand(f, PARAMS, degree)(theta, X) - f(theta, X)).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(degree + 1, abs=0.2)


def test_a_linearization_is_a_network_with_the_kernel_of_its_start():
    f_lin = linearize(f, PARAMS)
    there = [{name: leaf + 1 for name, leaf in PARAMS[0].items()}, *PARAMS[1:]]
    np.testing.assert_allclose(empirical_ntk(f_lin, there, X, X2), empirical_ntk(f, PARAMS, X, X2), **CLOSE)
    np.testing.assert_allclose(jax.jit(f_lin)(PARAMS, X), f(PARAMS, X), **CLOSE)
