"""Tables on which claims are held against a fault (docs/claims.md): slices of stored tables, and small runs that are wrong.

python scripts/make_controls.py RESULTS_DIR     reads RESULTS_DIR/{cpu,paper}/*/cells; minutes

Writes tests/experiments/controls/<experiment>.<what>.parquet.  What a slice leaves out no claim of its figure reads.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
import numpy as np
import pandas as pd

from ntkrun.cli.hydra.compose import compose
from ntkrun.data.dataset import Dataset, load_dataset
from ntkrun.experiments import curves
from ntkrun.experiments.analysis.output_ensemble import OUTPUTS
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.figures import load_experiment
from ntkrun.experiments.runs import prepare
from ntkrun.lockstep.progress import Silent
from ntkrun.report.render import gather
from ntkrun.runner.gather import together
from ntkrun.runner.plan import Cell, make_cells
from ntkrun.runner.store import Store, parquet_bytes

FOLDER = Path(__file__).parents[1] / "tests" / "experiments" / "controls"


def cells_of(name: str, *overrides: str) -> tuple[Experiment, list[Cell]]:
    experiment = load_experiment(name)
    return experiment, make_cells(experiment, compose([f"experiment={name}", *overrides]).settings)


def stored(results: Path, name: str, scale: str) -> pd.DataFrame:
    experiment, cells = cells_of(name, f"scale={scale}")
    return gather(experiment, cells, Store(results, scale, name)).table


def write(name: str, what: str, table: pd.DataFrame) -> None:
    path = FOLDER / f"{name}.{what}.parquet"
    path.write_bytes(parquet_bytes(table, {}))
    print(f"{path.name}: {len(table)} rows, {path.stat().st_size / 1024:.0f} kB")


# Slices


def ensemble(table: pd.DataFrame) -> pd.DataFrame:
    """Every tenth alpha, which keeps the probes and the training points; of networks whose readout is trained the end."""
    table = table[~((table["part"] == "readout") & (table["time"] < table["time"].max()) & (table["curve"] == OUTPUTS))]
    on_the_grid = ~table["curve"].isin([curves.COVARIANCE.of(curves.NTK), curves.TARGET])
    table = table[~on_the_grid | (table["index"] % 10 == 0)].copy()
    table.loc[on_the_grid, "index"] //= 10
    of_theory = table["curve"] != OUTPUTS
    return table[~of_theory | (table.groupby("part")["seed"].transform("min") == table["seed"])]


def trajectory(table: pd.DataFrame) -> pd.DataFrame:
    """Without weights and, of outputs, without the training examples and all rivals but f_lin."""
    quantities = table["curve"].str.split("/").str[0]
    outputs = table["curve"].isin([curves.OUTPUT.of(rival) for rival in (curves.NETWORK, curves.LINEAR)])
    outputs &= table["split"] == "test"
    return table[outputs | quantities.isin([curves.LOSS, curves.ACCURACY, curves.RMSE])]


def largest(table: pd.DataFrame) -> pd.DataFrame:
    """The record at which each quantity of each network is largest."""
    cells = ["cell", "curve", "width", "seed", "model.activation", "model.parameterization"]
    return table.loc[table.groupby(cells)["value"].idxmax()]


def distances(table: pd.DataFrame) -> pd.DataFrame:
    """The rms distances of Figure S4."""
    return table[table["curve"].isin([curves.RMS.of(rival) for rival in (curves.LINEAR, curves.ROUTES)])]


SLICES: dict[tuple[str, str], Callable[[pd.DataFrame], pd.DataFrame]] = {
    ("fig2", "cpu"): ensemble,
    ("theorem21", "cpu"): largest,
    ("figs4", "cpu"): distances,
    ("fig3", "paper"): trajectory,
    ("figs8", "cpu"): trajectory,
    ("fig4", "cpu"): trajectory,
    ("figs2", "cpu"): trajectory,
    ("figs3", "cpu"): trajectory,
}

# Runs that are wrong


def ran(name: str, *overrides: str) -> pd.DataFrame:
    """The table of a run at smoke scale with these settings."""
    experiment, cells = cells_of(name, "scale=smoke", *overrides)
    tables = [(cell, experiment.run.compute(cell.settings, cell.name, Silent()).table) for cell in cells]
    return together(experiment, tables)


@contextmanager
def shuffled_labels() -> Iterator[None]:
    """Every image has the label of another one of its split."""

    def shuffled(**options: Any) -> Dataset:
        data, rng = load_dataset(**options), np.random.default_rng(0)
        train, test = (rng.permutation(len(y)) for y in (data.y_train, data.y_test))
        return replace(
            data,
            y_train=data.y_train[train],
            labels_train=data.labels_train[train],
            y_test=data.y_test[test],
            labels_test=data.labels_test[test],
        )

    with patch.object(prepare, "load_dataset", shuffled):
        yield


WIDE = ("model.width=[256,512,1024]", "optimizer.steps=16")
NARROW = ("model.width=[16,32,64]", "optimizer.steps=1024")


def of_parts(*overrides: str) -> tuple[str, ...]:
    """The same for both rows of Figure S6."""
    return tuple(f"parts.{part}.{override}" for part in ("relu1", "tanh3") for override in overrides)


DEEP = ("data.n_train=64", "data.n_test=256", "model.width=64")
SHUFFLED = {
    "fig3": (*DEEP, "optimizer.steps=6400"),
    "figs8": (*DEEP, "optimizer.steps=6400"),
    "figs2": ("data.n_train=32", "data.n_test=256", "model.width=4", "optimizer.steps=512"),
    "figs3": ("data.n_train=256", "data.n_test=512", "model.width=64", "optimizer.steps=16384"),
}
WRONG = {
    ("fig1", "standard"): (*WIDE, "networks=1", "model.parameterization=standard"),
    ("figs6", "standard"): (*of_parts(*WIDE), "networks=1", "model.parameterization=standard"),
    ("fig1", "another_sigma"): (*NARROW, "model.sigma_w2=2.0"),
    ("figs6", "another_sigma"): (
        *of_parts(*NARROW), "parts.relu1.model.sigma_w2=1.0", "parts.tanh3.model.sigma_w2=2.0"),
    ("fig2", "width_8"): ("seed=[0]", "networks=40", "model.width=8", "optimizer.steps=16384", "data.n_train=8",
                          "times=[0,16,256,16384]"),
    ("fig2", "sigma_w2_2"): ("model.sigma_w2=2.0", "seed=[0]", "networks=1"),
    ("figs4", "large_steps"): ("optimizer.learning_rate=30.0",),
    ("figs9", "tanh"): ("model.activation=tanh", "inputs=30", "draws=16", "model.width=[8,16,32,64]"),
    ("figs10", "tanh"): ("model.activation=tanh", "inputs=30", "draws=16", "model.width=[1,4,16,64]"),
    ("figs5", "stopped_early"): ("descent.end_loss=0.25", "parts.L1.model.width=[32,64,128]", "data.n_train=128"),
    ("lockstep", "two_seeds"): ("seed=[0,1]",),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, metavar="RESULTS_DIR")
    parser.add_argument("--only", nargs="*", help="names of files to write, as fig2.width_8; all without it")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)

    def wanted(name: str, what: str) -> bool:
        return arguments.only is None or f"{name}.{what}" in arguments.only

    for (name, scale), kept in SLICES.items():
        if wanted(name, scale):
            write(name, scale, kept(stored(arguments.results, name, scale)))
    for (name, what), overrides in WRONG.items():
        if wanted(name, what):
            write(name, what, ran(name, *overrides))
    for name, overrides in SHUFFLED.items():
        if wanted(name, "shuffled_labels"):
            with shuffled_labels():
                write(name, "shuffled_labels", trajectory(ran(name, *overrides)))


if __name__ == "__main__":
    main()
