"""A module that we have not written: what is refused, what it is given, and which contraction its kernel takes."""

import sys
from types import ModuleType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.flatten_util import ravel_pytree

from ntkrun.errors import UserError
from ntkrun.experiments.figures import load_experiment
from ntkrun.kernels.apart import sees_one_example
from ntkrun.kernels.empirical import empirical_ntk
from ntkrun.kernels.method import contraction_of
from ntkrun.lockstep.progress import Silent
from ntkrun.models import declarations
from ntkrun.models.custom import build_user_module
from ntkrun.models.layers import Dense
from ntkrun.models.start import check_user_module
from ntkrun.runner.plan import make_cells
from ntkrun.tables import series


class Plain(nn.Module):
    """Layers of Flax, without taps."""

    width: int
    n_outputs: int = 1

    @nn.compact
    def __call__(self, x):
        x = x.reshape(len(x), -1)
        x = jnp.tanh(nn.Dense(self.width)(x))
        return nn.Dense(self.n_outputs)(x + nn.Dense(self.width)(x))


class Residual(nn.Module):
    """Layers of ours, with taps."""

    width: int = 8
    n_outputs: int = 3
    parameterization: str = "ntk"

    @nn.compact
    def __call__(self, x):
        x = Dense(self.width, 1.0, 0.1, self.parameterization)(x.reshape(len(x), -1))
        x = x + Dense(self.width, 1.0, 0.1, self.parameterization)(nn.relu(x))
        return Dense(self.n_outputs, 1.0, 0.1, self.parameterization)(x)


class Tied(nn.Module):
    """A layer with taps whose weight is used once more, where no tap sees it."""

    n_outputs: int = 3

    @nn.compact
    def __call__(self, x):
        layer = Dense(8, 1.0, 0.0)
        h = layer(x.reshape(len(x), -1))
        omega = layer.variables["params"]["omega"]
        return Dense(self.n_outputs, 1.0, 0.0)(h + 0.1 * jnp.sum(omega, axis=0)[None, :])


class Normalised(Residual):
    @nn.compact
    def __call__(self, x):
        x = Dense(self.width, 1.0, 0.1)(x.reshape(len(x), -1))
        return Dense(self.n_outputs, 1.0, 0.1)(nn.relu(x - jnp.mean(x, axis=0, keepdims=True)))


class Running(Residual):
    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=False)(nn.Dense(3)(x.reshape(len(x), -1)))


class Dropping(Residual):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=False)(x.reshape(len(x), -1)))


class Constant(Residual):
    def __call__(self, x):
        return jnp.zeros((len(x), 3))


class Two(Residual):
    @nn.compact
    def __call__(self, x):
        y = nn.Dense(3)(x.reshape(len(x), -1))
        return y, y


class Switched(Residual):
    @nn.compact
    def __call__(self, x, deterministic=False):
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=deterministic)(x.reshape(len(x), -1)))


class Broken(Residual):
    def __call__(self, x):
        raise ValueError("of two\nlines")


class Returning(nn.Module):
    """Gives `outputs` of (n, 3) outputs."""

    outputs: Any

    @nn.compact
    def __call__(self, x):
        return self.outputs(nn.Dense(3)(x.reshape(len(x), -1)))


class WithoutCall(nn.Module):
    n_outputs: int = 3


class Blind(nn.Module):
    def __call__(self):
        return 0


class NoRngs(nnx.Module):
    def __init__(self, n_outputs):
        self.layer = nnx.Linear(16, n_outputs, rngs=nnx.Rngs(0))


class Unhashable(Residual):
    table: Any = None

    def setup(self):
        self.layer = nn.Dense(3)


@pytest.fixture
def own(monkeypatch):
    """Builds a class of this file through its path, `own_nets:Class`."""
    module = ModuleType("own_nets")
    module.__dict__.update(
        {kind.__name__: kind for kind in (Plain, Residual, Unhashable, WithoutCall, Blind, NoRngs)},
        function=len,
        word="word",
        list=list,
    )
    monkeypatch.setitem(sys.modules, "own_nets", module)
    monkeypatch.setattr("ntkrun.settings.custom_source.source_hash", lambda name: "0")
    monkeypatch.setattr("ntkrun.settings.models.source_hash", lambda name: "0")
    return lambda name, args, **offered: build_user_module(f"own_nets:{name}", "0", args, **offered)


def test_a_module_is_given_what_it_has_fields_for(own):
    model = own("Plain", {"width": 5}, n_outputs=10, dtype="float64", trained="all", matmul="as_dtype")
    assert model == Plain(width=5, n_outputs=10)
    assert own("Residual", {"n_outputs": 2}, width=7, n_outputs=10) == Residual(width=7, n_outputs=2)


@pytest.mark.parametrize(
    ("name", "args", "offered", "says"),
    [
        ("function", {}, {}, "model.args.obj is not set, and .*: add model.args.obj=64"),
        ("word", {}, {}, "word is str, no network: it has to be a linen or NNX module"),
        ("list", {}, {}, "list returns list, no network"),
        ("Plain", {}, {}, r"add model\.args\.width=64, say"),
        ("Plain", {"widht": 3}, {}, "it has width, n_outputs"),
        ("Plain", {"width": 3}, {"trained": "readout"}, "needs a field `trained: str`"),
        ("Plain", {"width": 3}, {"matmul": "bfloat16"}, "needs a field `matmul: str`"),
        ("Residual", {"parameterization": "abc"}, {}, "must be ntk, standard or mup"),
        ("Residual", {"parameterization": "standard", "width": None}, {}, "needs a field `width`"),
        ("Unhashable", {"table": np.zeros(3)}, {}, "unhashable"),
        ("WithoutCall", {}, {}, r"has no __call__\(self, x\)"),
        ("Blind", {}, {}, "takes no inputs x"),
        ("NoRngs", {}, {"n_outputs": 3}, "give its __init__ the argument `rngs`"),
    ],
)
def test_fields_that_will_not_do_are_named(own, name, args, offered, says):
    with pytest.raises(UserError, match=says):
        own(name, args, **offered)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Running(), "batch_stats.*give its __call__ an argument train"),
        (Dropping(), "model.apply_arguments.train=false"),
        (Switched(), "set model.apply_arguments.deterministic=true"),
        (Broken(), "ValueError: of two lines; .* NTKRUN_DEBUG=1"),
        (Constant(), "no parameters"),
        (Two(), "returns tuple, several outputs: pick one, model.output=0"),
        (Plain(width=4), r"returns \(2, 1\) .* `n_outputs: int`"),
        (Returning(lambda f: None), "returns None"),
        (Returning(lambda f: f[:, :, None]), r"begin with x = x.reshape\(len\(x\), -1\)"),
        (Returning(lambda f: f[:1]), r"begin with x = x.reshape\(len\(x\), -1\)"),
        (Returning(jnp.sum), "an output for each of x"),
        (Returning(lambda f: f.astype(int)), "outputs are real numbers"),
        (Returning(lambda f: f.astype(jnp.bfloat16)), "by a field `dtype`"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_modules_that_are_no_function_of_params_and_images_are_named(model, says):
    with pytest.raises(UserError, match=says) as error:
        check_user_module(model, jax.ShapeDtypeStruct((1, 4, 4, 1), jnp.float32), 3)
    assert "\n" not in str(error.value)


def test_the_half_of_a_pair_that_fails_is_named(own, monkeypatch):
    def of_a_key(key):
        return jnp.ones(3)

    def of_vectors(key, x):
        return jnp.ones((3, 3)) @ jnp.ones(x.shape)

    def f(params, x):
        return x @ params

    for init, says in (
        (of_a_key, r"of_a_key.* is called as init\(key, x\)"),
        (of_vectors, "of_vectors.* fails for images"),
    ):
        monkeypatch.setattr(sys.modules["own_nets"], "pair", (init, f), raising=False)
        with pytest.raises(UserError, match=says):
            check_user_module(own("pair", {}), jax.ShapeDtypeStruct((1, 4, 4, 1), jnp.float32), 3)


X = np.random.default_rng(0).standard_normal((6, 3, 2, 1)).astype(np.float32)


def drawn(model: nn.Module) -> Any:
    return model.init(jax.random.key(1), X)["params"]


@pytest.mark.parametrize(
    ("model", "method"), [(Residual(), "structured"), (Plain(8, 3), "jacobian"), (Tied(), "jacobian")]
)
def test_the_structured_kernel_is_taken_only_where_it_is_right(model, method):
    params = drawn(model)
    check_user_module(model, X, 3)
    assert contraction_of(model, params, X) == method
    jacobian = jax.jacrev(lambda theta: jnp.asarray(model.apply({"params": theta}, X)))(params)
    flat = jnp.concatenate([leaf.reshape(6, 3, -1) for leaf in jax.tree.leaves(jacobian)], axis=-1)
    oracle = jnp.einsum("iap,jbp->ijab", flat, flat)
    # sums of some 100 float32 products in another order
    np.testing.assert_allclose(empirical_ntk(model, params, X, method=method), oracle, rtol=1e-4, atol=1e-4)


def test_an_output_that_depends_on_its_batch_is_seen():
    assert sees_one_example(Residual(), drawn(Residual()), X)
    assert not sees_one_example(Normalised(), drawn(Normalised()), X)


RUN = ["model=own", "allow_custom=true", "data.source=stand_in", "data.n_train=8", "data.n_test=4", "optimizer.steps=8"]


def cells(settings_of, *overrides: str):
    experiment = load_experiment("lockstep")
    return experiment, make_cells(experiment, settings_of("lockstep", "smoke", *RUN, *overrides))


def test_both_linear_routes_of_a_module_without_taps_are_one(own, settings_of):
    routes = "linear_route=[function_space,parameter_space]"
    experiment, found = cells(
        settings_of,
        "model.path=own_nets:Plain",
        "data=cifar10_binary",
        routes,
        "model.dtype=float64",
        "optimizer.learning_rate=.001",
        "record.first_time=.001",
    )
    function, parameter = (experiment.run.compute(cell.settings, cell.name, Silent()) for cell in found)
    assert function.facts["theta_hat_by"] == "jacobian" and "theta_hat_by" not in parameter.facts
    for curve, split in (("output/linear", "train"), ("output/linear", "test"), ("weight_change/linear", "")):
        one, other = (series(result.table, curve, split, 0) for result in (function, parameter))
        assert len(one) > 3 and np.ptp(one) > 1e-6
        # eight steps in float64, whose sums differ in order
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    assert "rmse/flow_empirical" in set(function.table["curve"]), "gradient flow takes the same kernel"


def test_a_batch_dependent_module_goes_by_parameter_space_alone(own, settings_of, monkeypatch):
    monkeypatch.setattr(sys.modules["own_nets"], "Residual", Normalised)
    experiment, (cell,) = cells(settings_of, "model.path=own_nets:Residual")
    with pytest.raises(UserError, match="use linear_route=parameter_space"):
        experiment.run.compute(cell.settings, cell.name, Silent())


@pytest.mark.parametrize(("typed", "width"), [(None, 4), (6, 6)], ids=["its default", "as typed"])
def test_the_width_of_a_function_that_makes_a_module_is_that_of_the_network(own, monkeypatch, typed, width):
    """flax.linen.Sequential, say, has no field that tells it."""

    def make(width: int = 4, n_outputs: int = 1):
        return nn.Sequential([lambda x: x.reshape(len(x), -1), nn.Dense(width), nn.relu, nn.Dense(n_outputs)])

    monkeypatch.setattr(sys.modules["own_nets"], "make", make, raising=False)
    network = own("make", {}, width=typed, n_outputs=3)
    assert declarations.of(network).width == width
    params = network.init(jax.random.key(0), jnp.ones((2, 2, 2, 1)))["params"]
    assert params["layers_1"]["kernel"].shape == (4, width)


def test_a_batch_whose_first_examples_are_alike_shows_by_the_others_what_depends_on_it():
    x = np.concatenate([X[:1], X[:1], X[1:4]])
    model = Normalised()
    params = drawn(model)
    assert not sees_one_example(model, params, x)
    flat, tree = ravel_pytree(params)
    j = jax.jacrev(lambda theta: model.apply({"params": tree(theta)}, x))(flat)
    assert np.allclose(empirical_ntk(model, params, x), jnp.einsum("iap,jbp->ijab", j, j), atol=1e-4)
