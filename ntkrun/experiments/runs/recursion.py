"""The analytic kernels of the network that a run's settings describe."""

from typing import Protocol

import numpy as np

from ntkrun.kernels.analytic import Kernels, analytic_kernels
from ntkrun.settings.choices import Trained
from ntkrun.settings.models import AnyModelSettings
from ntkrun.settings.sections import TheorySettings


class DescribesNetwork(Protocol):
    """The settings of a run whose network has the recursion."""

    @property
    def model(self) -> AnyModelSettings: ...

    @property
    def theory(self) -> TheorySettings: ...


def recursion_kernels(
    settings: DescribesNetwork,
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
    model = settings.model
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
        tile_bytes=settings.theory.tile_bytes,
    )
