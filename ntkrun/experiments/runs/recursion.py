"""The analytic kernels of the network that a run's settings describe."""

import numpy as np

from ntkrun.kernels.analytic import Kernels, analytic_kernels
from ntkrun.settings.choices import Trained
from ntkrun.settings.models import ModelSettings
from ntkrun.settings.sections import TheorySettings


def recursion_kernels(
    model: ModelSettings,
    theory: TheorySettings,
    x1: np.ndarray,
    x2: np.ndarray | None = None,
    *,
    trained: Trained = "all",
    width: int | None = None,
) -> Kernels:
    """(K, Theta) of the readout between x1 (n1, ...) and x2 (n2, ...), or of x1 with itself; float64.

    trained  the layers that are: Theta is theirs alone
    width    n, for the terms of order 1/n of the standard parameterization; without it the limit n -> infinity
    """
    return analytic_kernels(
        x1,
        x2,
        depth=model.depth,
        activation=model.activation,
        sigma_w2=model.sigma_w2,
        sigma_b2=model.sigma_b2,
        parameterization=model.parameterization,
        width=width,
        trained=trained,
        tile_bytes=theory.tile_bytes,
    )
