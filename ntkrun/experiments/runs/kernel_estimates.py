"""Relative errors of Monte Carlo kernels over a grid of widths n and draws M: what Figures S9 and S10 share.

error(n, M) = ||<K_hat>_M - K||_F / ||K||_F over the inputs, and the same for Theta.  For one hidden layer the estimate
is an average over n M independent units, so that error^2 has the mean V/(n M): both slopes are -1/2, and err sqrt(n M)
has one value for the whole grid.  Every width has its own draws; along M a draw serves all larger M.  Curves: ERROR of
NNGP and NTK against the column `M`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkrun import tables
from ntkrun.costs import Piece
from ntkrun.data.span import span_coordinates
from ntkrun.experiments import curves
from ntkrun.experiments.base import CellResult
from ntkrun.experiments.runs.planned_work import PlannedWork, count, parameter_shapes, shape
from ntkrun.experiments.runs.random_keys import cell_key, shared_key
from ntkrun.experiments.runs.recursion import recursion_kernels
from ntkrun.kernels.monte_carlo import group_size, sampled_kernels, segment_sums
from ntkrun.lockstep.progress import Progress
from ntkrun.models import build_model
from ntkrun.settings.runs import MonteCarloSettings


def compute(settings: MonteCarloSettings, cell: str, progress: Progress) -> CellResult:
    """Run one cell: draw M networks of one width, and record the errors of their running averages at M = 1, 2, 4, ..."""
    fields = settings.model.model_dump()
    model = build_model(fields.pop("name"), n_outputs=1, **fields)
    shape = (settings.inputs, settings.input_dim)
    x = np.asarray(jax.random.normal(shared_key(settings, "inputs"), shape, jnp.float64))
    exact = recursion_kernels(settings.model, settings.theory, x, width=settings.model.width)
    seen = span_coordinates(x)[0] if _in_their_span(settings) else x
    drawn = sampled_kernels(model, seen, cell_key(settings, "networks"), settings.draws)
    progress.start(f"{settings.experiment} {cell}", settings.draws)
    counts, errors = [], []
    for drawn_by_now, kernels in drawn:
        progress.advance(drawn_by_now - (counts[-1] if counts else 0))
        counts.append(drawn_by_now)
        errors.append([np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(kernels, exact, strict=True)])
    steps, times = [0] * len(counts), [0.0] * len(counts)
    rows = [
        tables.rows(curves.ERROR.of(kernel), "", steps, times, np.asarray(errors)[:, column]).assign(M=counts)
        for column, kernel in enumerate(exact._fields)
    ]
    return CellResult(
        tables.tidy(rows, figure=settings.experiment, cell=cell, seed=settings.seed, width=settings.model.width)
    )


def _in_their_span(settings: MonteCarloSettings) -> bool:
    """Whether networks see the inputs in a basis of their span, which `span_coordinates` scales: in the standard
    parameterization Theta has x.x'/n of the inputs as they are."""
    return settings.model.parameterization == "ntk"


def planned_work(settings: MonteCarloSettings, block_bytes: int) -> PlannedWork:
    """Groups of networks on what they see of the inputs."""
    fields = settings.model.model_dump()
    model = build_model(fields.pop("name"), n_outputs=1, **fields)
    dimensions = min(settings.inputs, settings.input_dim) if _in_their_span(settings) else settings.input_dim
    x = shape(settings.inputs, dimensions, dtype=jnp.dtype(settings.model.dtype))
    group = group_size(model, x, settings.draws)
    key, first = jax.eval_shape(lambda: (jax.random.key(0), jnp.asarray(0)))

    def draw(x: Any, key: Any, first: Any) -> Any:
        return segment_sums(model, x, key, first, group)

    parameters = count(parameter_shapes(model, x.shape[1:], x.dtype))
    return PlannedWork(parameters, programs=(Piece("draw", draw, (x, key, first), settings.draws // group),))
