"""ntkrun: wide neural networks and their linearization, trained in lockstep (Lee et al. 2019, arXiv 1902.06720)."""

from importlib import import_module

__version__ = "0.1.0"

# Raised by hand when a change of code below `ntkrun.experiments` changes numbers: it is part of every cell's hash,
# so that tables computed before are never taken for tables of the present code.
NUMERICS_VERSION = 2

# What a notebook needs, by the module that has it; a name is imported when it is first asked for, because JAX alone takes
# longer than `ntkrun --help` may.
_HOMES = {
    "ntkrun.data.dataset": ("Dataset", "load_dataset"),
    "ntkrun.nonlinearities": ("Activation",),
    "ntkrun.models": ("build_model",),
    "ntkrun.models.parameters": ("count_parameters", "ntk_to_standard", "standard_rates"),
    "ntkrun.kernels.analytic": ("Kernels", "analytic_kernels"),
    "ntkrun.kernels.empirical": ("empirical_ntk", "empirical_nngp", "ntk_scale"),
    "ntkrun.kernels.weight_jacobian": ("weight_jacobian",),
    "ntkrun.kernels.monte_carlo": ("sampled_kernels",),
    "ntkrun.theory.closed_form": ("gradient_descent", "gradient_flow"),
    "ntkrun.theory.gradient_flow": ("linear_flow",),
    "ntkrun.theory.output_distribution": ("nngp_gp", "ntk_gp"),
    "ntkrun.theory.learning_rate": ("eta_critical",),
    "ntkrun.kernels.largest_eigenvalue": ("largest_eigenvalue",),
    "ntkrun.dynamics.network": ("Network", "predict"),
    "ntkrun.dynamics.linear_function_space": ("LinearFunctionSpace",),
    "ntkrun.dynamics.linear_parameter_space": ("LinearParameterSpace",),
    "ntkrun.lockstep.loop": ("FullBatch", "MiniBatches", "run_lockstep"),
    "ntkrun.experiments.analysis.power_law": ("power_law",),
    "ntkrun.dynamics.metrics": ("accuracy", "cross_entropy", "mse", "rmse"),
    "ntkrun.lockstep.progress": ("Silent",),
    "ntkrun.cli.console": ("Console",),
    "ntkrun.reference": ("paper_panel",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["NUMERICS_VERSION", "__version__", *sorted(_HOME_OF)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'ntkrun' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
