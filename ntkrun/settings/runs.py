"""The settings of each kind of run: of networks that are drawn or trained here, of descents in `ntkrun.settings.descents`."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from ntkrun.settings import unused as not_used
from ntkrun.settings.base import CommonSettings, RoundedProducts, check_products
from ntkrun.settings.choices import LOSSES, InputBasis, LinearRoute, Loss, Trained
from ntkrun.settings.data import DataSettings
from ntkrun.settings.descents import FinalDistanceSettings
from ntkrun.settings.fields import Before, Count, Index, Local, Meanings, NonNegative, Positive
from ntkrun.settings.models import (
    OF_FILES,
    AnyModelSettings,
    AnyNetworkSettings,
    ModelSettings,
    UserModuleSettings,
    check_gradient,
    check_rate_of,
    check_theta,
)
from ntkrun.settings.optimizers import AnyOptimizerSettings
from ntkrun.settings.schema import local_settings, without_later
from ntkrun.settings.sections import RecordSettings


class MonteCarloSettings(CommonSettings):
    """Averages over drawn networks against the infinite-width kernels, on random inputs."""

    unused: ClassVar[not_used.Values] = not_used.MONTE_CARLO
    without_mup: ClassVar[str] = "where estimates are held against kernels at infinite width"
    nothing_to_log: ClassVar[str] = "no network is trained"
    inputs: Count = Field(description="inputs x ~ N(0, 1), the same for all networks of a seed")
    input_dim: Count = Field(description="n_0, dimensions of an input")
    draws: Count = Field(description="M, networks; a power of two")
    model: ModelSettings

    @property
    def drawn_for(self) -> dict[str, Any]:
        return without_later(self.model, self.model.model_dump(mode="json"))

    @property
    def identity(self) -> dict[str, Any]:
        # networks in the standard parameterization once saw the inputs scaled
        seen = {"inputs_seen": "as drawn"} if self.model.parameterization == "standard" else {}
        return super().identity | seen

    @model_validator(mode="after")
    def _power_of_two(self) -> "MonteCarloSettings":
        check_gradient(self.model)
        if self.draws & (self.draws - 1):
            raise ValueError(f"draws={self.draws} must be a power of two: averages are recorded at M = 1, 2, 4, ...")
        return self


class RunSettings(CommonSettings):
    """An experiment that trains: a network, images, an optimizer, a loss."""

    unused: ClassVar[not_used.Values] = not_used.TRAINING
    loss: Annotated[Loss, Meanings({name: loss.formula for name, loss in LOSSES.items()})] = Field(
        description="L, averaged over examples AND outputs"
    )
    linear_route: Annotated[
        LinearRoute,
        Meanings(
            {
                "function_space": "f_lin = f_0 + Theta_hat c",
                "parameter_space": "f_lin = f_0 + J omega",
                "auto": "function space with full batches where it holds, else parameter space",
            }
        ),
    ] = Field(description="how the linearization is trained")
    trained: Annotated[
        Trained,
        Meanings({"all": "every layer", "readout": "the last layer; the others stay at theta_0, in every rival, too"}),
    ] = Field(description="which layers are trained")
    weight_decay: NonNegative = Field(description="adds weight_decay / 2 ||theta||^2 to the loss")
    matmul: RoundedProducts = Field(
        description="matrix products of the training steps, of the network and of its linearization in parameter space; "
        "what is observed, and kernels, are always in model.dtype"
    )
    data: DataSettings
    model: AnyModelSettings
    optimizer: AnyOptimizerSettings
    record: RecordSettings

    @property
    def images(self) -> DataSettings | None:
        return self.data

    @property
    def drawn_for(self) -> dict[str, Any]:
        return without_later(self.model, self.model.model_dump(mode="json"))

    @property
    def identity(self) -> dict[str, Any]:
        # bfloat16 alone once meant that the results were rounded, too
        rounded = {"matmul": "bfloat16 factors"} if self.matmul == "bfloat16" else {}
        return super().identity | rounded

    @property
    def outside_function_space(self) -> str | None:
        """Why theta_t - theta_0 = J^T c_t with a kernel fixed at theta_0 cannot hold; None where it does."""
        if not self.optimizer.linear_in_gradient:
            return f"the steps of optimizer.name={self.optimizer.name} are not linear in the gradient"
        if self.weight_decay > 0:
            return "weight_decay pulls on theta_0 itself"
        if self.data.augmented:
            return "data.flip and data.crop make new training inputs at every step"
        if batch_dependence := self.model.batch_dependence:
            return f"with {batch_dependence} an output depends on the whole batch, and so does the kernel"
        return None

    @property
    def flow_has_closed_form(self) -> bool:
        """Whether eqs (8)-(11) give f_lin under gradient flow: dL/df linear in f, gradient descent, full batches."""
        return LOSSES[self.loss].linear_gradient and self.optimizer.flow == "gradient" and self.full_batch

    @property
    def full_batch(self) -> bool:
        """Whether every step sees the whole training set."""
        return self.optimizer.batch_size is None

    @property
    def flow_has_equation(self) -> bool:
        """Whether gradient flow of f_lin has no closed form, and an ODE that can be solved for it: (S3, S4), (S8)-(S11).
        Nesterov's flow is another equation, and a momentum's friction is constant only if eta is.
        """
        flow, steady = self.optimizer.flow, self.optimizer.schedule.constant
        holds = self.full_batch and not self.outside_function_space and not self.flow_has_closed_form
        return holds and (flow == "gradient" or (flow == "momentum" and steady))

    @property
    def flow_is_solved(self) -> bool:
        """Whether the ODE solver runs."""
        return self.flow_has_equation and self.theory.flow.by_solver

    @model_validator(mode="after")
    def _solver_has_something_to_solve(self) -> "RunSettings":
        if not self.flow_is_solved:
            not_used.check_solver(self.theory.flow, self.flow_has_equation)
        return self

    @model_validator(mode="after")
    def _linear_route_exists(self) -> "RunSettings":
        if self.linear_route == "function_space" and self.outside_function_space:
            raise ValueError(
                f"linear_route=function_space does not hold here ({self.outside_function_space}): "
                "use linear_route=parameter_space"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> "RunSettings":
        if self.data.augmented and self.full_batch:
            raise ValueError("data.flip and data.crop act on mini-batches: set optimizer.batch_size")
        if self.trained == "readout" and self.weight_decay > 0:
            raise ValueError("weight_decay would move the layers that trained=readout keeps: use trained=all")
        check_products(self.matmul, self.model.dtype)
        check_gradient(self.model, self.trained)
        check_rate_of(self.model, self.optimizer, self.weight_decay)
        check_theta(self.theory.analytic_kernel, self.model.no_analytic_kernel or self.outside_function_space)
        batch, n_train = self.optimizer.batch_size, self.data.n_train
        if batch is not None and n_train is not None and batch > n_train:
            raise ValueError(f"optimizer.batch_size={batch} is larger than data.n_train={n_train}")
        targets = LOSSES[self.loss].targets
        if self.data.targets not in (*targets, "auto"):
            raise ValueError(
                f"loss={self.loss} needs data.targets={' or '.join(targets)} (or auto), not {self.data.targets}"
            )
        if self.data.targets == "signed" and (self.data.classes is None or len(self.data.classes) != 2):
            raise ValueError("data.targets=signed needs exactly two data.classes")
        return self


class FreeSettings(RunSettings):
    """Any combination, also with a network of the user's own."""

    allow_custom: Local[bool] = Field(
        description="model.path=my_module:MyNet may import a module of yours; for the command line only"
    )
    linearity: Annotated[bool, Before(False)] = Field(
        description="record how linear the run is; a record point costs 15 to 120 steps more (docs/linearity.md)"
    )
    model: AnyNetworkSettings  # pyright: ignore[reportIncompatibleVariableOverride]

    @property
    def drawn_for(self) -> dict[str, Any]:
        # an edited module starts from the same draws, and stored parameters are not drawn
        return without_later(self.model, self.model.model_dump(mode="json", exclude={"parameters", *OF_FILES}))

    @model_validator(mode="after")
    def _asked_for(self) -> "FreeSettings":
        if isinstance(self.model, UserModuleSettings):
            if self.model.is_custom and not self.allow_custom:
                raise ValueError(
                    f"model.path={self.model.path} imports and runs a module of yours: add allow_custom=true"
                )
            _ = self.model.source  # UserError if it is not there
        return self


class EnsembleSettings(RunSettings):
    """One cell trains several networks that differ in theta_0 alone; how many is part of the cell's identity."""

    networks: Count = Field(description="networks of a cell, with seeds seed, seed + 1, ..., seed + networks - 1")

    @property
    def members(self) -> tuple["EnsembleSettings", ...]:
        """The settings of each network."""
        return tuple(self.model_copy(update={"seed": self.seed + i}) for i in range(self.networks))


class FlowRoutesSettings(RunSettings):
    """f_lin by two routes that agree: its own steps, and the ODE of its gradient flow."""

    unused: ClassVar[not_used.Values] = not_used.FLOW_ROUTES

    @property
    def flow_is_solved(self) -> bool:
        return self.flow_has_equation

    @model_validator(mode="after")
    def _there_are_two(self) -> "FlowRoutesSettings":
        why = "f_lin by two routes, its steps and the ODE of gradient flow,"
        not_used.check_alone(self, why, {"loss": "cross_entropy", "optimizer.name": "gd"})
        if not self.flow_has_equation:
            raise ValueError(
                f"{why} is not here ({self.outside_function_space}): leave that out, or use experiment=lockstep"
            )
        return self


class RateSettings(RunSettings):
    """Networks that differ in eta alone, lowest_rate ... highest_rate, evenly spaced in log eta."""

    unused: ClassVar[not_used.Values] = not_used.RATES
    without_mup: ClassVar[str] = "where ntk and standard are compared"
    nothing_to_log: ClassVar[str] = "its networks are looked at once, at the end of training"
    rates: Count = Field(description="learning rates that are tried")
    lowest_rate: Positive = Field(description="eta_0 of the first")
    highest_rate: Positive = Field(description="eta_0 of the last")


class WidthChangeSettings(EnsembleSettings):
    """Ensembles of which every network's change of weights and kernels is followed."""

    unused: ClassVar[not_used.Values] = not_used.WIDTH_CHANGES
    inputs: Annotated[
        InputBasis,
        Meanings(
            {
                "full": "the images as they are",
                "span": "their coordinates in a basis of their span, d -> N: exact in the NTK parameterization",
            }
        ),
    ] = Field(description="what the first layer sees")

    @model_validator(mode="after")
    def _kernels_stay(self) -> "WidthChangeSettings":
        if self.inputs == "span" and self.model.parameterization == "standard":
            raise ValueError("inputs=span is exact in the NTK parameterization alone: add inputs=full")
        return self


class OutputEnsembleSettings(EnsembleSettings):
    """Networks trained by full-batch gradient descent, for which (14), (15) hold in discrete time."""

    unused: ClassVar[not_used.Values] = not_used.OUTPUT_ENSEMBLE
    alphas: Count = Field(description="grid points of alpha in [-2, 3], x(alpha) = alpha x_1 + (1 - alpha) x_2")
    points: tuple[Index, Index] = Field(description="x_1 (alpha = 1) and x_2 (alpha = 0): which training inputs")
    times: tuple[NonNegative, ...] = Field(description="t of the panels, on the axis of optimizer.time_per_eta")
    converged: Positive | None = Field(
        description="training ends when no output is farther than this from its target; null: never"
    )

    @model_validator(mode="after")
    def _theory_holds(self) -> "OutputEnsembleSettings":
        theory = {"loss": "mse", "optimizer.name": "gd", "optimizer.batch_size": None, "model.parameterization": "ntk"}
        not_used.check_alone(self, "the distribution of trained networks, (14) and (15),", theory)
        if self.converged is None:
            not_used.check_looked_at(self.record)
        return self


def _with_derived(kind: type[CommonSettings]) -> Iterator[type[CommonSettings]]:
    yield kind
    for derived in kind.__subclasses__():
        yield from _with_derived(derived)


# every kind of run, each behind the one that it is derived from
FAMILIES = (MonteCarloSettings, RunSettings, FinalDistanceSettings)
KINDS = (CommonSettings, *(kind for family in FAMILIES for kind in _with_derived(family)))
LOCAL_NAMES = frozenset(name for kind in KINDS for name in local_settings(kind))
