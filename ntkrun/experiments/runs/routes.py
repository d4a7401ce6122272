"""Which rivals a training run has and how each of them is had: decided once, before anything is computed.

`trajectories.compute` follows the decision, and `planned_work.training_work` plans by the same one.
"""

from dataclasses import dataclass
from typing import Literal

from ntkrun.errors import UserError
from ntkrun.experiments.runs.image_sizes import all_examples, input_shape
from ntkrun.experiments.runs.recursion import recursion_numbers
from ntkrun.settings.runs import RunSettings

# Kernels over all training examples are built up to this many (example, output) pairs: 8192^2 float64 are 512 MB.
KERNEL_ROWS = 8192
# Theta of networks with convolutions is a rival by itself up to this many numbers: on two cores a few seconds with ReLU, half
# a minute with tanh
RECURSION_NUMBERS = 2**28


@dataclass(frozen=True)
class Routes:
    """The decision.

    linear         the space in which f_lin moves: c of f_0 + Theta_hat c, or theta beside the network
    analytic       whether f_lin with Theta of the infinitely wide network is a rival
    flow           gradient flow of f_lin: from the spectrum of its kernel, by the ODE solver, or not at all
    critical_rate  lambda_max behind eta_critical: of Theta_hat_0 on a sample, by power iteration, or not known
    """

    linear: Literal["function_space", "parameter_space"]
    analytic: bool
    flow: Literal["spectrum", "solver"] | None
    critical_rate: Literal["kernel", "power_iteration"] | None

    @property
    def kernels(self) -> bool:
        """Whether Theta_hat_0 is formed on all training examples: for rivals in function space, and for the flow."""
        return self.linear == "function_space" or self.analytic


@dataclass(frozen=True)
class Wanted:
    """What a kind of run asks for, where the settings allow it.

    analytic  f_lin with the kernel of the infinitely wide network
    solver    gradient flow by the ODE solver; None: as theory.flow.by_solver says
    """

    analytic: bool = True
    solver: bool | None = None


def routes_of(settings: RunSettings, n: int, k: int, wanted: Wanted) -> Routes:
    """From the settings and the numbers of training examples and of outputs.

    Raises UserError where f_lin has to move in function space and its kernel would be too large.
    """
    fits, in_function_space = n * k <= KERNEL_ROWS, _in_function_space(settings)
    if in_function_space and not fits:
        raise UserError(
            f"linear_route=function_space needs the kernel of all {n} x {k} outputs, more than {KERNEL_ROWS} rows: "
            "use linear_route=parameter_space or a smaller data.n_train"
        )
    analytic = wanted.analytic and has_analytic_rival(settings, n, fits)
    by_solver = settings.theory.flow.by_solver if wanted.solver is None else wanted.solver
    return Routes(
        linear="function_space" if in_function_space else "parameter_space",
        analytic=analytic,
        flow=_flow(settings, by_solver) if fits and (in_function_space or analytic) else None,
        critical_rate=_critical_rate(settings),
    )


def has_analytic_rival(settings: RunSettings, n: int, fits: bool) -> bool:
    """Whether f_lin with Theta is a rival, as theory.analytic_kernel says; UserError where it is to be one and is too large."""
    choice, model = settings.theory.analytic_kernel, settings.model
    if choice == "always" and not fits:
        raise UserError(
            f"theory.analytic_kernel=always: the kernel of {n} examples is too large: use a smaller data.n_train"
        )
    if choice == "never" or not fits or not model.analytic_kernel or settings.outside_function_space:
        return False
    return choice == "always" or model.cheap_kernel or _few_numbers(settings, n)


def _few_numbers(settings: RunSettings, n: int) -> bool:
    data = settings.data
    m = all_examples(data)[1] if data.n_test is None else data.n_test
    return recursion_numbers(settings.model, input_shape(data), n, m) <= RECURSION_NUMBERS


def _in_function_space(settings: RunSettings) -> bool:
    """auto: with full batches, where it holds and costs nothing."""
    if settings.linear_route == "auto":
        return settings.full_batch and not settings.outside_function_space
    return settings.linear_route == "function_space"


def _flow(settings: RunSettings, by_solver: bool) -> Literal["spectrum", "solver"] | None:
    """Full batches; eqs (8)-(11) for the squared loss without momentum, else (S3, S4), (S8)-(S11) if asked for."""
    if settings.flow_has_closed_form and not settings.outside_function_space:
        return "spectrum"
    return "solver" if by_solver and settings.flow_has_equation else None


def _critical_rate(settings: RunSettings) -> Literal["kernel", "power_iteration"] | None:
    """None for an optimizer that declares no `stable_product`.  Convolutions: power iteration, where an image of a kernel costs a
    hundred times as much."""
    if settings.optimizer.stable_product is None:
        return None
    return "kernel" if settings.model.cheap_kernel else "power_iteration"
