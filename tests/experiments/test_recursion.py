"""The kernels at infinite width of the network that settings describe, in runs and in their plans."""

from typing import Any

import jax
import numpy as np
import pytest

from ntkrun.experiments import curves
from ntkrun.experiments.figures import load_experiment
from ntkrun.experiments.runs.planned_work import recursion_pieces
from ntkrun.experiments.runs.recursion import recursion_kernels
from ntkrun.lockstep.progress import Silent
from ntkrun.networks import Activation, Conv, Dense, Flatten, Sequential
from ntkrun.networks.infinite_width import infinite_width_kernels
from ntkrun.nonlinearities import ACTIVATIONS
from ntkrun.notation.activation_names import DECLARED
from ntkrun.runner.plan import make_cells

X = np.random.default_rng(0).standard_normal((3, 5, 4, 2))
TYPED = (
    "data.source=stand_in",
    "data.classes=[0,1]",
    "model=cnn",
    "model.pool=flatten",
    "model.depth=2",
    "model.width=4",
)


def settings(settings_of, experiment: str, *typed: str) -> Any:
    return make_cells(load_experiment(experiment), settings_of(experiment, "smoke", *typed))[0].settings


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_a_convolutional_network_has_the_kernels_of_its_layers(settings_of, parameterization):
    of = settings(settings_of, "lockstep", *TYPED, f"model.parameterization={parameterization}", "model.width=512")
    affine: dict[str, Any] = dict(
        sigma_w2=of.model.sigma_w2, sigma_b2=of.model.sigma_b2, parameterization=parameterization
    )
    hidden = (Conv(512, **affine), Activation(of.model.activation)) * 2
    expected = infinite_width_kernels(Sequential(*hidden, Flatten(), Dense(1, **affine)), X)
    found = recursion_kernels(of.model, of.theory, X, width=512)
    scale = 1 if parameterization == "ntk" else 1 / 512  # (S42)
    np.testing.assert_allclose(found.nngp, expected.nngp, rtol=1e-12)
    np.testing.assert_allclose(found.ntk, scale * expected.ntk, rtol=1e-12)
    limit = recursion_kernels(of.model, of.theory, X).ntk
    wide = recursion_kernels(of.model, of.theory, X, width=10**6).ntk
    np.testing.assert_allclose(wide, limit, rtol=0 if parameterization == "ntk" else 1e-4)


def test_a_run_has_theta_as_a_rival_and_its_plan_tells_what_that_costs(settings_of):
    typed = (
        *TYPED,
        "data.n_train=4",
        "data.n_test=3",
        "optimizer=gd",
        "optimizer.batch_size=null",
        "optimizer.steps=2",
    )
    of = settings(settings_of, "lockstep", *typed)
    table = load_experiment("lockstep").run.compute(of, "cell", Silent()).table
    rivals = {curves.LINEAR_ANALYTIC, curves.FLOW_ANALYTIC, curves.LINEAR}
    assert {curves.RMSE.of(rival) for rival in rivals} <= set(table["curve"])
    pieces = {n: recursion_pieces(of, (8, 8, 3), n, 2) for n in (32, 64)}
    costs = {n: sum(piece.times * piece.bytes_once for piece in found) for n, found in pieces.items()}
    assert 2.2 < costs[64] / costs[32] < 4.5  # N^2 / 2 + N m, a whole number of tiles
    assert recursion_pieces(settings(settings_of, "lockstep"), (8, 8, 3), 4, 2) == []


@pytest.mark.parametrize("activation", sorted(name for name in ACTIVATIONS if not DECLARED[name].flat))
def test_a_plan_tells_what_theta_costs_whatever_the_nonlinearity(settings_of, activation):
    """A quadrature chooses its size by numbers, which a program of shapes has not."""
    typed = (*TYPED, f"model.activation={activation}")
    pieces = recursion_pieces(settings(settings_of, "lockstep", *typed), (5, 4, 2), 4, 3)
    for piece, shape in zip(pieces, [(4, 4), (3, 4)], strict=True):
        assert [found.shape for found in jax.eval_shape(piece.function, *piece.arguments)] == [shape] * 2


def test_a_descent_has_theta_where_it_is_asked_for(settings_of):
    typed = (
        "parts.L1=null",
        "parts.D32=null",
        "data.n_train=6",
        "data.n_test=4",
        "descent.max_steps=4",
        "model.sigma_w2=2",
    )
    of = settings(settings_of, "figs5", *typed, "data.source=stand_in", "theory.analytic_kernel=always")
    asked = load_experiment("figs5").run.compute(of, "cell", Silent()).table
    plain = of.model_copy(update={"theory": of.theory.model_copy(update={"analytic_kernel": "auto"})})
    table = load_experiment("figs5").run.compute(plain, "cell", Silent()).table
    added = asked[asked["curve"].isin([q.of(curves.LINEAR_ANALYTIC) for q in (curves.RMSE, curves.LOSS)])]
    assert len(added) == len(asked) - len(table) > 0
    np.testing.assert_array_equal(asked.drop(added.index)["value"], table["value"])
