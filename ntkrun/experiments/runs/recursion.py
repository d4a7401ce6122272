"""The kernels at infinite width of the network that a run's settings describe."""

from typing import Any

import numpy as np

from ntkrun.kernels.analytic import Kernels, analytic_kernels
from ntkrun.models import build_model
from ntkrun.networks.base import Layer
from ntkrun.networks.built_in import described
from ntkrun.networks.infinite_width import Plan, infinite_width_kernels
from ntkrun.settings.choices import Trained
from ntkrun.settings.models import ModelSettings
from ntkrun.settings.sections import TheorySettings

# n of the limit n -> infinity: terms of order 1/n are below the rounding of those beside them
LIMIT_WIDTH = 2**60


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

    Theta is that of (S42), J J^T / n, in the standard parameterization.
    """
    if model.name != "fc":
        kernels = infinite_width_kernels(
            description_of(model, trained, width or LIMIT_WIDTH), x1, x2, tile_bytes=theory.tile_bytes
        )
        scale = 1.0 if model.parameterization == "ntk" else 1.0 / (width or LIMIT_WIDTH)
        return Kernels(kernels.nngp, scale * kernels.ntk)
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


def description_of(model: ModelSettings, trained: Trained, width: int) -> Layer:
    """The network's layers, with the given width and one output."""
    fields: dict[str, Any] = model.model_dump() | {"width": width}
    return described(build_model(fields.pop("name"), n_outputs=1, trained=trained, **fields))


def recursion_numbers(model: ModelSettings, image: tuple[int, ...], n: int, m: int) -> int:
    """Numbers that pass through a layer, times layers, for Theta(X, X) and Theta(x, X): one for each pair of images, and of
    positions below an average over them."""
    plan = Plan.of(description_of(model, "all", 1), (n, *image), None)
    return (n * (n + 1) // 2 + n * m) * plan.entries * model.depth
