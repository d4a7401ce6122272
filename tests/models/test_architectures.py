"""Ten architectures, as people write them, trained beside their linearization, and their kernels and linearizations against
automatic differentiation of the bare function."""

import json
from typing import Any

import architectures
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from architectures import ARCHITECTURES
from entry_point import ntkrun  # noqa: F401  (a fixture)
from flax import nnx

from ntkrun.kernels.empirical import empirical_ntk
from ntkrun.models.functions import as_function
from ntkrun.models.taylor import linearize

X = np.random.default_rng(0).standard_normal((3, 28, 28, 1))


def in_float64(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf, tree)


def made(name: str) -> tuple[Any, Any]:
    """(f(params, x) as a function of ours, its parameters in float64)."""
    about = ARCHITECTURES[name]
    kind = getattr(architectures, about.get("class", name))
    if issubclass(kind, nnx.Module):
        module: Any = kind
        f, params = as_function(module(rngs=nnx.Rngs(1)))
        return f, in_float64(params)
    module, call = kind(**about.get("fields", {})), about.get("call", {})
    variables = jax.jit(lambda key, x: module.init(key, x, **call))(jax.random.key(1), X)
    f, params = as_function(module, in_float64(variables), **call)
    output = about.get("output")
    return (f if output is None else lambda theta, x: f(theta, x)[output]), in_float64(params)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_kernel_and_linearization_of_an_architecture_are_its_derivatives(name):
    f, params = made(name)
    rows = jax.tree.leaves(jax.jit(jax.jacrev(lambda theta: f(theta, X)))(params))
    jacobian = np.concatenate([np.asarray(leaf).reshape(len(X), 2, -1) for leaf in rows], axis=-1)
    kernel = np.einsum("iap,jbp->ijab", jacobian, jacobian)
    by_layer = empirical_ntk(f, params, X, by_layer=True)
    largest = np.abs(kernel).max()
    np.testing.assert_allclose(sum(by_layer.values()), kernel, rtol=1e-8, atol=1e-10 * largest)
    assert len(by_layer) > 2 and all(np.abs(one).max() > 0 for one in by_layer.values())
    # a random direction in which outputs change by about one
    draws = jax.tree.map(lambda leaf: np.random.default_rng(leaf.size).standard_normal(leaf.shape), params)
    change = jax.tree.map(lambda leaf: leaf / np.sqrt(largest), draws)
    f_lin = linearize(f, params)

    @jax.jit
    def apart(step):
        theta = jax.tree.map(lambda leaf, d: leaf + step * d, params, change)
        return f(theta, X), f_lin(theta, X)

    errors, moves = [], []
    for step in (2e-4, 1e-4):
        network, linear = apart(step)
        errors.append(np.abs(network - linear).max())
        moves.append(np.asarray(linear))
    assert 3.5 < errors[0] / errors[1] < 4.5, "the error is of second order"
    directions = np.concatenate([np.asarray(leaf).reshape(-1) for leaf in jax.tree.leaves(change)])
    np.testing.assert_allclose((moves[0] - moves[1]) / 1e-4, jacobian @ directions, rtol=1e-5, atol=1e-7)


FREE = ["experiment=lockstep", "scale=smoke", "allow_custom=true", "data.source=stand_in", "data=mnist", "data.classes=[0,1]",
        "data.targets=one_hot", "data.n_train=4", "data.n_test=2", "optimizer.steps=2", "optimizer.learning_rate=1e-7",
        "record.first_time=1e-7", "record.weights=2", "stage=run"]  # fmt: skip


# through the kernel, which the test above has of all of them; the others by their parameters, in a third of the time
BY_KERNEL = ("ResNet", "NnxMlp")
# one of each kind, linen and NNX, with and without arguments of the call, running averages, several outputs: the suite's; the
# others have no part in the command line that these have not
OF_EACH_KIND = ("LeNet", "ResNet", "ViT", "NnxMlp", "NnxCnn")
IN_LOCKSTEP = [pytest.param(n, marks=() if n in OF_EACH_KIND else pytest.mark.end_to_end) for n in ARCHITECTURES]


@pytest.mark.parametrize("name", IN_LOCKSTEP)
def test_an_architecture_runs_in_lockstep_from_the_command_line(name, ntkrun, tmp_path):
    about = ARCHITECTURES[name]
    own = [f"model.path=architectures:{about.get('class', name)}"]
    own += [f"model.args.{field}={value}" for field, value in about.get("fields", {}).items()]
    own += [f"model.apply_arguments.{key}={json.dumps(value)}" for key, value in about.get("call", {}).items()]
    own += [f"model.output={about['output']}"] if "output" in about else []
    route = "function_space" if name in BY_KERNEL else "parameter_space"
    code, _, err = ntkrun(*FREE, f"linear_route={route}", *own)
    assert code == 0, err
    (path,) = tmp_path.glob("results/smoke/lockstep/cells/*.parquet")
    table = pd.read_parquet(path)
    assert {"output/network", "output/linear"} <= set(table["curve"])
    assert ("output/flow_empirical" in set(table["curve"])) == (name in BY_KERNEL)
    apart = table.loc[table["curve"] == "rmse/linear", "value"]
    moved = table.loc[table["curve"] == "weight_change/linear", "value"].abs()
    assert len(apart) > 2 and apart.max() < 1e-3 and moved.max() > 0
