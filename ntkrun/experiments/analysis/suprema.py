"""The three suprema of Theorem 2.1: the settings of `suprema`, and what is measured on its tables."""

import pandas as pd

from ntkrun.experiments.analysis.power_law import PowerLaw, power_law


def suprema(table: pd.DataFrame, curve: str) -> pd.DataFrame:
    """The largest recorded value of every network; columns width, seed, value."""
    return table[table["curve"] == curve].groupby(["width", "seed"])["value"].max().reset_index()


def law(table: pd.DataFrame, curve: str) -> PowerLaw:
    """The power of n through all single networks, which share nothing but the images."""
    points = suprema(table, curve)
    return power_law(points["width"], points["value"])
