"""The settings of optimizers and of their schedules, and what the theory needs to know of each kind.

A new optimizer with a class here, derived from `OptimizerSettings`, is known to validation, to `ntkrun --help` and to
docs/settings.md; CONTRIBUTING.md has the whole walk.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from ntkrun.notation.stable_products import heavy_ball
from ntkrun.settings.choices import Flow
from ntkrun.settings.fields import Count, NonNegative, Positive, Section, one_of


class Schedule(Section):
    """How the learning rate eta changes along a run.

    constant  whether it does not
    """

    constant: ClassVar[bool] = False
    name: str = Field(description="kind of schedule")

    @model_validator(mode="before")
    @classmethod
    def _belongs(cls, raw: Any) -> Any:
        for kind in KINDS if isinstance(raw, dict) else ():
            if others := sorted((kind.model_fields.keys() & raw.keys()) - cls.model_fields.keys()):
                (name,) = get_args(kind.model_fields["name"].annotation)
                raise ValueError(f"{others[0]} is for optimizer.schedule.name={name}: choose that, or leave it out")
        return raw


class ConstantSchedule(Schedule):
    """eta stays what it is."""

    constant: ClassVar[bool] = True
    name: Literal["constant"]


class PiecewiseSchedule(Schedule):
    """eta is multiplied by factors[j] from step boundaries[j] on; factors accumulate."""

    name: Literal["piecewise_constant"]
    boundaries: tuple[Count, ...] = Field(description="steps, increasing")
    factors: tuple[Positive, ...] = Field(description="one for each boundary")

    @model_validator(mode="after")
    def _paired(self) -> "PiecewiseSchedule":
        if len(self.boundaries) != len(self.factors) or sorted(set(self.boundaries)) != list(self.boundaries):
            raise ValueError("boundaries must increase and be as many as factors")
        return self


class CosineSchedule(Schedule):
    """eta falls to final_factor * eta over the run along half a cosine."""

    name: Literal["cosine"]
    final_factor: NonNegative = Field(description="factor on eta at the last step")


class ExponentialSchedule(Schedule):
    """eta is multiplied by decay_rate every decay_steps steps, continuously."""

    name: Literal["exponential"]
    decay_steps: Count = Field(description="steps")
    decay_rate: Positive = Field(description="factor on eta over decay_steps steps")


KINDS = tuple(Schedule.__subclasses__())

if TYPE_CHECKING:
    AnySchedule = Schedule
else:
    AnySchedule = one_of(Schedule)


def of_chosen_schedule(section: dict[str, Any]) -> dict[str, Any]:
    """A schedule's settings without those that only another kind of schedule has."""
    own = {name: set(kind.model_fields) for kind in KINDS for name in get_args(kind.model_fields["name"].annotation)}
    others = set().union(*own.values()) - own.get(section.get("name", ""), set().union(*own.values()))
    return {name: value for name, value in section.items() if name not in others}


class OptimizerSettings(Section):
    """What all optimizers have; each says below how it moves theta by the gradient of L, averaged over batch and outputs.

    linear_in_gradient    whether every step is a linear function of the gradients so far, with factors that depend on
                          the step alone: theta_t - theta_0 then stays J^T c_t, and f_lin can be trained in function space
    flow                  the continuous-time limit that it follows, where the theory has one: gradient flow (8)-(11), or
                          that of heavy ball (S3), (S4)
    time_is_root_of_rate  whether a step advances the time t by sqrt(eta) (S2) instead of eta
    has_momentum          whether `momentum` does anything
    stable_product        eta lambda up to which steps at a constant eta are stable in a direction of curvature lambda: what
                          eta_critical comes from; None where no such number is known, and no rate is checked
    """

    linear_in_gradient: ClassVar[bool]
    flow: ClassVar[Flow | None] = None
    time_is_root_of_rate: ClassVar[bool] = False
    has_momentum: ClassVar[bool] = False

    name: str = Field(description="kind of optimizer")
    learning_rate: Positive = Field(
        description="eta_0, the rate on the gradient of the averaged loss; the standard parameterization steps with "
        "eta_0 / n (S36), mup with eta_0 n"
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(description="beta; Adam's beta_1; 0 where there is none")
    # the rates of all steps are held side by side
    steps: Annotated[int, Field(ge=1, le=10**8)] = Field(description="T, steps of the optimizer")
    batch_size: Count | None = Field(description="images per step; null: the full training set")
    schedule: AnySchedule
    time_per_eta: Positive | None = Field(
        description="factor of the figure's time axis: t = time_per_eta * sum eta_i (sum sqrt(eta_i) with momentum); "
        "null: 1"
    )

    @property
    def stable_product(self) -> float | None:
        return None

    @model_validator(mode="after")
    def _momentum_belongs(self) -> "OptimizerSettings":
        if not self.has_momentum and self.momentum != 0:
            raise ValueError(
                f"momentum does nothing with optimizer.name={self.name}: use optimizer=momentum or optimizer=nesterov, or "
                f"optimizer.momentum=0"
            )
        if self.has_momentum and self.momentum == 0:
            raise ValueError(f"optimizer.name={self.name} needs a momentum above 0 (optimizer=gd has none)")
        return self

    @model_validator(mode="after")
    def _schedule_has_pieces(self) -> "OptimizerSettings":
        # boundaries behind the last step stay: a run that is made shorter keeps its figure's schedule
        if isinstance(self.schedule, PiecewiseSchedule) and not self.schedule.boundaries:
            raise ValueError(
                "schedule.boundaries=[] is a constant rate: name steps, or use optimizer.schedule.name=constant"
            )
        return self


class GradientDescentSettings(OptimizerSettings):
    """theta_{i+1} = theta_i - eta dL/dtheta."""

    linear_in_gradient: ClassVar[bool] = True
    flow: ClassVar[Flow | None] = "gradient"
    name: Literal["gd"]

    @property
    def stable_product(self) -> float:
        """A step multiplies by 1 - eta lambda, which stays within [-1, 1] up to 2."""
        return 2.0


class MomentumSettings(OptimizerSettings):
    """Heavy ball (S1): theta_{i+1} = theta_i + beta (theta_i - theta_{i-1}) - eta dL/dtheta."""

    linear_in_gradient: ClassVar[bool] = True
    flow: ClassVar[Flow | None] = "momentum"
    time_is_root_of_rate: ClassVar[bool] = True
    has_momentum: ClassVar[bool] = True
    name: Literal["momentum"]

    @property
    def stable_product(self) -> float:
        return heavy_ball(self.momentum)


class NesterovSettings(OptimizerSettings):
    """Nesterov's momentum: the gradient step is taken from the extrapolated point.  Its flow is another equation."""

    linear_in_gradient: ClassVar[bool] = True
    time_is_root_of_rate: ClassVar[bool] = True
    has_momentum: ClassVar[bool] = True
    name: Literal["nesterov"]

    @property
    def stable_product(self) -> float:
        """Roots of r^2 - a (1 + beta) r + a beta with a = 1 - eta lambda: one of them is -1 at a = -1/(1 + 2 beta)."""
        return (2 + 2 * self.momentum) / (1 + 2 * self.momentum)


class AdamSettings(OptimizerSettings):
    """Adam: theta_{i+1} = theta_i - eta m / (sqrt(v) + epsilon), m and v running means of gradient and square."""

    linear_in_gradient: ClassVar[bool] = False
    has_momentum: ClassVar[bool] = True
    name: Literal["adam"]
    beta2: Annotated[float, Field(ge=0, lt=1)] = Field(description="beta_2, of the running mean of squares")
    epsilon: Positive = Field(description="added to sqrt(v)")


if TYPE_CHECKING:
    AnyOptimizerSettings = OptimizerSettings
else:
    AnyOptimizerSettings = one_of(OptimizerSettings)
