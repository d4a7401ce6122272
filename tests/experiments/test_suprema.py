"""Theorem 2.1's suprema: kinds of networks and rates that are exact (what a cell records: test_ensembles_oracle.py)."""

import numpy as np
import pandas as pd
import pytest

from ntkrun import tables
from ntkrun.experiments import curves
from ntkrun.experiments.analysis.suprema import law, of_kind


def test_kinds_of_networks_are_told_apart_by_both_settings():
    kinds = [("erf", "ntk"), ("erf", "standard"), ("relu", "ntk")]
    table = pd.DataFrame(kinds, columns=pd.Index(["model.activation", "model.parameterization"])).assign(
        value=[1, 2, 3]
    )
    assert [of_kind(table, *kind)["value"].tolist() for kind in kinds] == [[1], [2], [3]]


def test_a_law_is_that_of_each_network_s_largest_value():
    frames = []
    for width in (64, 128, 256):
        for seed in (0, 1):
            values = np.array([0.0, 2.0, 1.0]) * width**-1.0
            rows = tables.rows(curves.NTK_DISTANCE.of(curves.NETWORK), "", [0, 1, 2], [0.0, 1.0, 2.0], values)
            frames.append(tables.tidy([rows], figure="theorem21", cell=f"width={width}", seed=seed, width=width))
    fitted = law(pd.concat(frames), curves.NTK_DISTANCE)
    assert fitted.slope == pytest.approx(-1.0) and fitted.prefactor == pytest.approx(2.0)
