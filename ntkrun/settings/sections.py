"""The sections of the settings: images, network, optimizer, records, theory.

YAML fills every field, nothing has a default here, unknown keys are refused.  Names and symbols are the paper's; units
stand in the field's comment.  Checks that need no data are made here, before anything is computed.
"""

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, computed_field, model_validator

from ntkrun.settings.custom_source import is_path, source_hash

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Index = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Products = Literal["as_dtype", "tf32", "bfloat16"]  # precision of matrix products and convolutions (`models.products`)


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class DataSettings(Section):
    """Which images, how many, how they are scaled; what is not in the file of the set is refused."""

    name: Literal["mnist", "cifar10"]
    source: Literal["auto", "tfds", "stand_in"]
    classes: tuple[str | int, ...] | None  # these classes only, in this order; null: all of them
    n_train: Count | None  # N, images; null: all
    n_test: Count | None  # images; null: all
    preprocess: Literal["global", "sphere", "zca"]
    targets: Literal["auto", "signed", "one_hot"]  # auto: +1/-1 for two classes under mse, else 0/1 one-hot
    seed: Seed  # chooses the images; `seed` of the run chooses the network
    flip: bool  # each training image of a batch is mirrored with probability 1/2
    crop: Index  # pixels: each training image of a batch is shifted by -crop..crop in both directions, zeros move in

    def target_kind(self, loss: str) -> str:
        if self.targets != "auto":
            return self.targets
        return "signed" if loss == "mse" and self.classes is not None and len(self.classes) == 2 else "one_hot"

    @property
    def augmented(self) -> bool:
        return self.flip or self.crop > 0


class ModelSettings(Section):
    """What all networks have; L hidden layers of n units or channels and a linear readout."""

    name: str
    width: Count  # n, units or channels
    depth: Count  # L, hidden layers
    activation: Literal["relu", "erf", "tanh"]
    sigma_w2: Positive  # weight variance sigma_w^2
    sigma_b2: NonNegative  # bias variance sigma_b^2
    parameterization: Literal["ntk", "standard"]
    dtype: Literal["float32", "float64"]  # of parameters and training


class FcSettings(ModelSettings):
    """Fully-connected network."""

    name: Literal["fc"]


class CnnSettings(ModelSettings):
    """L convolutions 3 x 3, pooling, readout."""

    name: Literal["cnn"]
    pool: Literal["average", "flatten"]
    stride: Count  # of every convolution


class WideResnetSettings(ModelSettings):
    """The wide ResNet of Table S1, pre-activation; depth = 6 N + 4 with N blocks in each of three groups."""

    name: Literal["wide_resnet"]
    norm: Literal["batch", "none"]

    @model_validator(mode="after")
    def _whole_blocks(self) -> "WideResnetSettings":
        if self.depth < 10 or (self.depth - 4) % 6:
            raise ValueError(f"model.depth={self.depth} of wide_resnet must be 6 N + 4: 10, 16, 22, ...")
        return self


AnyModelSettings = Annotated[FcSettings | CnnSettings | WideResnetSettings, Field(discriminator="name")]


def _plain(value: Any) -> Any:
    """A number, a word, or a tuple of them, which is hashable."""
    items = value if isinstance(value, list | tuple) else (value,)
    if not all(item is None or isinstance(item, bool | int | float | str) for item in items):
        raise ValueError("an argument is a number, a word, true, false, null, or a list of them")
    return tuple(value) if isinstance(value, list) else value


class OwnSettings(Section):
    """A Flax module of the user's.  Its source is part of its settings, so that an edited module is another network."""

    name: Literal["own"]
    path: (
        Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*(:[A-Za-z_]\w*)?$")] | None
    )  # module:Class, or a registered name
    width: Count | None  # n, for the module's field of that name; model.args.width is the same
    args: dict[str, Annotated[Any, AfterValidator(_plain)]]  # of the module's other fields
    dtype: Literal["float32", "float64"]  # of parameters and inputs

    @property
    def is_custom(self) -> bool:
        """Whether it may be imported only when the user has said so."""
        return self.path is not None and is_path(self.path)

    @computed_field
    @cached_property
    def source(self) -> str:
        """Hash of the source, as it was when the settings were read."""
        return source_hash(str(self.path))

    @model_validator(mode="before")
    @classmethod
    def _one_width(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and isinstance(raw.get("args"), dict) and "width" in raw["args"]:
            args = dict(raw["args"])
            return raw | {"width": args.pop("width"), "args": args}
        return raw

    @model_validator(mode="after")
    def _named(self) -> "OwnSettings":
        if self.path is None:
            raise ValueError("model=own needs a network: set model.path=my_module:MyNet and allow_custom=true")
        return self


class ConstantSchedule(Section):
    name: Literal["constant"]


class PiecewiseSchedule(Section):
    """eta is multiplied by factors[j] from step boundaries[j] on (factors accumulate)."""

    name: Literal["piecewise_constant"]
    boundaries: tuple[Count, ...]  # steps
    factors: tuple[Positive, ...]

    @model_validator(mode="after")
    def _paired(self) -> "PiecewiseSchedule":
        if len(self.boundaries) != len(self.factors) or sorted(set(self.boundaries)) != list(self.boundaries):
            raise ValueError("boundaries must increase and be as many as factors")
        return self


class CosineSchedule(Section):
    """eta falls to final_factor * eta over the run along half a cosine."""

    name: Literal["cosine"]
    final_factor: NonNegative


class ExponentialSchedule(Section):
    """eta is multiplied by decay_rate every decay_steps steps, continuously."""

    name: Literal["exponential"]
    decay_steps: Count
    decay_rate: Positive


Schedule = Annotated[
    ConstantSchedule | PiecewiseSchedule | CosineSchedule | ExponentialSchedule, Field(discriminator="name")
]


class OptimizerSettings(Section):
    """theta_{i+1} = theta_i - eta dL/dtheta with L averaged over batch and outputs; momentum as named."""

    name: Literal["gd", "momentum", "nesterov", "adam"]
    learning_rate: Positive  # eta_0; the standard parameterization steps with eta_0 / n (S36)
    momentum: Annotated[float, Field(ge=0, lt=1)]  # beta; Adam's beta_1
    steps: Count
    batch_size: Count | None  # images; null: the full batch
    schedule: Schedule
    time_per_eta: Positive | None  # time axis: t = time_per_eta * sum of eta_i; null: 1 (sqrt(eta) * i with momentum)

    @model_validator(mode="after")
    def _momentum_belongs(self) -> "OptimizerSettings":
        if self.name == "gd" and self.momentum != 0:
            raise ValueError(
                "momentum does nothing with optimizer.name=gd: use optimizer=momentum or optimizer=nesterov"
            )
        if self.name != "gd" and self.momentum == 0:
            raise ValueError(f"optimizer.name={self.name} needs a momentum above 0 (optimizer=gd has none)")
        return self


class AdamSettings(OptimizerSettings):
    """Adam's step m / (sqrt(v) + epsilon) in place of the gradient, with running means of gradient and square."""

    name: Literal["adam"]
    beta2: Annotated[float, Field(ge=0, lt=1)]  # of the squares
    epsilon: Positive


class LinearInGradientSettings(OptimizerSettings):
    """Every step is a linear function of the gradients so far."""

    name: Literal["gd", "momentum", "nesterov"]


class RecordSettings(Section):
    """When and what is written down: at t = first_time * 2^(j / per_octave), at step 0 and at the last step."""

    first_time: Positive
    per_octave: Count
    outputs: Count  # how many single outputs are followed per split
    follow: Literal[
        "auto", "examples", "logits"
    ]  # first output of the first examples | all k of the first | by k = 1 or not
    weights: Index  # how many single weights are followed
    train_examples: Count | None  # training images that are evaluated, from the first on; null: all
    chunk: Count  # images per forward pass in evaluation; batch normalisation takes its statistics from each chunk


class FlowSettings(Section):
    """The adaptive solver of gradient flow (`theory.gradient_flow`), for what has no closed form."""

    by_solver: bool  # flow rivals under cross-entropy and momentum, too: more time, two more curves
    rtol: Positive  # local error of N k c, relative to it
    atol: Positive  # and absolute
    max_steps: Count  # tried, accepted or not


class TheorySettings(Section):
    """How analytic kernels are built and gradient flow is solved."""

    tile_mb: Positive  # MB of a CPU, working memory of the recursion beside its inputs and its result
    diag_reg: (
        NonNegative  # eqs (13)-(16), (S22), (S23): this multiple of the mean diagonal is added to the driving kernel
    )
    flow: FlowSettings

    @property
    def tile_bytes(self) -> int:
        return int(self.tile_mb * 2**20)
