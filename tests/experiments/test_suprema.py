"""Theorem 2.1's suprema: what a cell records, and the rates that are exact."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ntkrun import tables
from ntkrun.experiments import curves
from ntkrun.experiments.analysis.suprema import law, of_kind
from ntkrun.experiments.figures import load_experiment
from ntkrun.lockstep.progress import Silent
from ntkrun.runner.gather import together
from ntkrun.runner.plan import make_cells

EXPERIMENT = load_experiment("theorem21")


def run(settings_of, *overrides: str) -> pd.DataFrame:
    raw = settings_of("theorem21", "smoke", "data.source=stand_in", "model.activation=erf", *overrides)
    (cell,) = make_cells(EXPERIMENT, raw)
    settings: Any = cell.settings
    return together(EXPERIMENT, [(cell, EXPERIMENT.run.compute(settings, cell.name, Silent()).table)])


def test_both_parameterizations_measure_one_motion(settings_of):
    """Every norm has the size that the theorem's O(n^-1/2) speaks of, whatever theta's own normalisation is."""
    found = {}
    for p in ("ntk", "standard"):
        table = run(settings_of, f"model.parameterization={p}", "model.width=128", "networks=8")
        start = table[table["step"] == 0]["value"]
        assert len(start) == 3 * 8 and start.max() < 1e-5  # float32 kernels of order 10 by two programs
        assert len(of_kind(table, "erf", p)) == len(table)
        distances = table[table["curve"] == curves.THETA_DISTANCE.of(curves.NETWORK)].groupby("seed")["value"].max()
        assert distances.nunique() == 8, "each network has its own draw"
        found[p] = distances.max()
    # their Theta differ by O(1) factors (layer-wise rates), far from the sqrt(128) = 11 of a norm not adjusted
    assert 1 / 4 < found["ntk"] / found["standard"] < 4


def test_a_law_is_that_of_each_network_s_largest_value():
    frames = []
    for width in (64, 128, 256):
        for seed in (0, 1):
            values = np.array([0.0, 2.0, 1.0]) * width**-1.0
            rows = tables.rows(curves.NTK_DISTANCE.of(curves.NETWORK), "", [0, 1, 2], [0.0, 1.0, 2.0], values)
            frames.append(tables.tidy([rows], figure="theorem21", cell=f"width={width}", seed=seed, width=width))
    fitted = law(pd.concat(frames), curves.NTK_DISTANCE)
    assert fitted.slope == pytest.approx(-1.0) and fitted.prefactor == pytest.approx(2.0)
