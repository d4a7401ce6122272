"""The three suprema of Theorem 2.1: the settings of `suprema`, and what is measured on its tables."""

from typing import Annotated

import pandas as pd
from pydantic import Field

from ntkrun.experiments.distance_settings import DescentSettings, FinalDistanceSettings
from ntkrun.fits import PowerLaw, power_law
from ntkrun.sections import Count


class FractionSettings(DescentSettings):
    """The same to a fraction of the loss."""

    loss_fraction: Annotated[float, Field(gt=0, lt=1)]  # of 1/2 mean y^2, with which f_lin from f_0 = 0 starts


class SupremaSettings(FinalDistanceSettings):
    """`descent.share_of_critical` is of eta_critical(Theta), the theorem's; training ends as f_lin with Theta says."""

    descent: FractionSettings
    networks: Count  # with seeds seed, ..., seed + networks - 1

    @property
    def members(self) -> tuple["SupremaSettings", ...]:
        return tuple(self.model_copy(update={"seed": self.seed + i}) for i in range(self.networks))


def suprema(table: pd.DataFrame, curve: str) -> pd.DataFrame:
    """The largest recorded value of every network; columns width, seed, value."""
    return table[table["curve"] == curve].groupby(["width", "seed"])["value"].max().reset_index()


def law(table: pd.DataFrame, curve: str) -> PowerLaw:
    """The power of n through all single networks, which share nothing but the images."""
    points = suprema(table, curve)
    return power_law(points["width"], points["value"])
