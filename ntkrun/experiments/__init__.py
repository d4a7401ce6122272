"""The figures, one a file; `base` says what a figure is and finds it by name."""

import pkgutil

NOT_FIGURES = {
    "band_panels",
    "base",
    "final_distance",
    "kernel_estimates",
    "output_ensemble",
    "panels",
    "setup",
    "suprema",
    "trajectories",
    "width_changes",
    "width_panels",
    "width_slopes",
    "work",
}


def experiment_names() -> list[str]:
    """Names of all experiments that are there, without importing them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in NOT_FIGURES)
