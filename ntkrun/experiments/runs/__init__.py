"""What computes the tables of the figures: one module for each kind of run, with the two functions of `Run`.

A figure names its kind with a constant from here and is drawn and judged without importing it: what computes brings JAX,
which takes seconds to import.
"""

from ntkrun.experiments.base import Run

TRAJECTORIES = Run(f"{__name__}.trajectories")
WIDTH_CHANGES = Run(f"{__name__}.width_changes")
OUTPUT_ENSEMBLE = Run(f"{__name__}.output_ensemble")
FINAL_DISTANCE = Run(f"{__name__}.final_distance")
SUPREMA = Run(f"{__name__}.suprema")
RATE_SCAN = Run(f"{__name__}.rate_scan")
KERNEL_ESTIMATES = Run(f"{__name__}.kernel_estimates")
FLOW_ROUTES = Run(f"{__name__}.flow_routes")
