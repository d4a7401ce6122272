"""The smallest experiment that is like the others: two lockstep runs a cell, with checkpoints at every chance."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd

from ntkrun import tables
from ntkrun.dynamics.network import Network
from ntkrun.experiments import curves
from ntkrun.experiments.base import CellResult, Experiment, Run
from ntkrun.experiments.figures import load_experiment
from ntkrun.lockstep.loop import MiniBatches, run_lockstep
from ntkrun.lockstep.progress import Silent
from ntkrun.models import build_model
from ntkrun.report.departures import Departures
from ntkrun.report.render import About, report
from ntkrun.runner import data_sets
from ntkrun.runner.plan import Cell
from ntkrun.runner.run import Tally, run_cells
from ntkrun.runner.store import Store, read_table
from ntkrun.settings.variant import Variant

RNG = np.random.default_rng(0)
X, Y = jnp.asarray(RNG.normal(size=(12, 5)), jnp.float32), jnp.asarray(np.eye(2)[RNG.integers(0, 2, 12)], jnp.float32)
MODEL = build_model(
    "fc", width=7, depth=1, n_outputs=2, activation="tanh", sigma_w2=1.5, sigma_b2=0.1, dtype=jnp.float32
)
NOTHING = Departures((), (), (), (), "")  # to be said of its settings
TX = optax.sgd(0.5, momentum=0.9)  # one object: the runs of a process share their compiled programs
STEPS = [0, 1, 40, 200]
CURVES = {"train": curves.OUTPUT, "test": curves.LOGIT, "weights": curves.WEIGHT_CHANGE}  # of what is observed


def compute(settings, name, progress) -> CellResult:
    theta0 = MODEL.init(jax.random.key(settings.seed), X[:1])["params"]
    network = Network(theta0, X, Y, X[:3], model=MODEL, tx=TX, loss="mse", watched=())
    frames = []
    for rival, steps in ((curves.NETWORK, STEPS), (curves.LINEAR, [0, 100])):  # two runs, told apart by these names
        batches = MiniBatches(jax.random.key(settings.seed), 12, 4)
        for step, seen in run_lockstep({"network": network}, steps, batches, progress, rival):
            for what, values in seen["network"].items():
                name_of_curve, row = CURVES[what].of(rival), np.ravel(values)[None]
                frames.append(tables.rows(name_of_curve, "train", [step], [float(step)], row))
    facts = {"data": {"name": "photos", "requested": "cifar10", "source": "stand_in"}}
    return CellResult(tables.tidy(frames, figure="fig3", cell=name, seed=settings.seed, width=7), facts)


def draw(figure, table: pd.DataFrame) -> None:
    axes = figure.subplots()
    axes.plot(table["value"])
    axes.axis("off")  # fonts are half a second


def experiment() -> Experiment:
    return replace(load_experiment("fig3"), run=Run(__name__), draw=draw, size=(1.0, 1.0), claims=())


def run(cells: list[Cell], store: Store, *, figure: bool = False) -> Silent:
    """All cells, and the report where asked; returns the progress with its warnings."""
    progress = Silent()
    run_cells(experiment(), cells, store, progress, Tally(len(cells)))
    if figure:
        report(experiment(), cells, store, About(NOTHING, {}, Variant()), data_sets.stored(cells, store).of)
    return progress


def stored(store: Store) -> dict[str, pd.DataFrame]:
    return {path.name: read_table(path)[0] for path in sorted(store.cells.glob("*.parquet"))}


def same(found: dict[str, pd.DataFrame], expected: dict[str, pd.DataFrame]) -> bool:
    return found.keys() == expected.keys() and all(table.equals(expected[name]) for name, table in found.items())
