"""The figures, one a file; `base` says what a figure is and finds it by name."""

import pkgutil
from collections.abc import Iterable

# What cells run; only these import JAX.
COMPUTING = {
    "final_distance",
    "flow_routes",
    "kernel_estimates",
    "keys",
    "output_ensemble",
    "rate_scan",
    "setup",
    "suprema",
    "trajectories",
    "width_changes",
    "work",
}
NOT_FIGURES = COMPUTING | {
    "band_panels",
    "base",
    "distance_settings",
    "error_grids",
    "output_measures",
    "panels",
    "supremum_measures",
    "trajectory_claims",
    "width_measures",
    "width_panels",
    "width_slopes",
}


def in_the_papers_order(names: Iterable[str]) -> list[str]:
    """1 ... 4, S1 ... S10, then what is no figure of the paper."""

    def place(name: str) -> tuple[str, int]:
        letters = name.rstrip("0123456789")
        return letters, int(name[len(letters) :] or 0)

    return sorted(names, key=place)


def figures() -> list[str]:
    """What `experiment=all` runs, in the paper's order: all but the free combination."""
    return in_the_papers_order(name for name in experiment_names() if name != "lockstep")


def experiment_names() -> list[str]:
    """Names of all experiments that are there, without importing them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in NOT_FIGURES)
