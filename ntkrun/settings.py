"""The typed settings of a run, made of `sections`: what every experiment has, and what one that trains has."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ntkrun.sections import (
    AdamSettings,
    AnyModelSettings,
    CnnSettings,
    Count,
    DataSettings,
    FcSettings,
    Index,
    LinearInGradientSettings,
    ModelSettings,
    NonNegative,
    OwnSettings,
    Positive,
    Products,
    RecordSettings,
    Section,
    Seed,
    TheorySettings,
    WideResnetSettings,
)
from ntkrun.stages import NEEDED, OF_ONE_STAGE, OWN

Path = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]


def _as_typed(value: Any) -> Any:
    """3.12 on the command line is a number."""
    return str(value) if isinstance(value, float) else value


class StageSettings(Section):
    """What is done with an experiment, and where that writes to or reads from."""

    stage: Literal["run", "report", "all", "verify", "plan", "check", "bundle", "merge", "compare"]
    into: Path | None  # the folder that stage=bundle makes
    target: Path | None  # file that lists the packages of the machine the bundle is for; null: it has none
    target_python: Annotated[str, BeforeValidator(_as_typed), Field(pattern=r"^3\.\d{1,2}$")] | None  # null: this one's
    target_platform: Annotated[str, Field(pattern=r"^manylinux_2_\d{1,3}_\w+$")] | None  # null: manylinux_2_28_x86_64
    limit_mb: Positive | None  # MB = 10^6 bytes that a bundle may have; null: no limit
    # a keyword of Python cannot be the name of a field; excluded here, for pydantic goes by names and LOCAL by what is typed
    taken_from: Path | None = Field(alias="from", exclude=True)
    other: Path | None  # the results that stage=compare holds those of results_dir against

    @model_validator(mode="after")
    def _own_stage(self) -> "StageSettings":
        given = {field.alias or name: getattr(self, name) for name, field in StageSettings.model_fields.items()}
        for stage, names in OWN.items():
            for name in names:
                if stage != self.stage and given[name] is not None:
                    raise ValueError(f"{name}={given[name]} is for stage={stage}: leave it out, or type stage={stage}")
        if self.stage in OWN and given[OWN[self.stage][0]] is None:
            raise ValueError(NEEDED[self.stage])
        return self


class CommonSettings(StageSettings):
    """What every experiment has; the fields of `LOCAL` say where and how to run and never change a number.

    `devices`, like the kind of device, changes the order of float sums: the provenance tells both, no identity does.
    """

    experiment: str
    scale: Literal["smoke", "cpu", "gpu", "paper"]
    shard: Index
    shards: Count
    seed: Seed
    results_dir: Path
    style: Literal["paper", "slides"]
    checkpoint_minutes: Positive  # between two checkpoints of a cell under way
    device: Literal["auto", "cpu", "a100", "h100", "h200"]  # whose time stage=plan tells; auto: the one that JAX has
    flop_rate: Positive | Literal["auto"]  # FLOP/s of all products in the time that is told; auto: the device's own
    devices: Count | Literal["all"]  # over which members or examples are dealt out
    distributed: bool  # processes that a launcher started together share every cell
    compilation_cache: bool  # compiled programs are kept in the user's cache folder
    theory: TheorySettings

    @property
    def images(self) -> DataSettings | None:
        """The images that the numbers depend on; None for an experiment on random inputs."""
        return None

    @property
    def drawn_for(self) -> dict[str, Any]:
        """What the random draws belong to besides the seed: other networks get other draws, longer runs the same."""
        return {}

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that determine numbers, in plain JSON types: what a cell is found by."""
        return self.model_dump(mode="json", exclude=LOCAL)

    @model_validator(mode="after")
    def _shard_exists(self) -> "CommonSettings":
        if self.shard >= self.shards:
            raise ValueError(f"shard={self.shard} must be below shards={self.shards}")
        return self

    @model_validator(mode="after")
    def _device_is_planned_for(self) -> "CommonSettings":
        if self.device != "auto" and self.stage != "plan":
            raise ValueError(
                f"device={self.device} chooses nothing but whose time stage=plan tells: add stage=plan (a run takes the "
                "device that JAX has)"
            )
        return self


def check_products(matmul: str, dtype: str) -> None:
    """ValueError for factors that are rounded to less than a result in float64 would show."""
    if matmul != "as_dtype" and dtype == "float64":
        raise ValueError(f"matmul={matmul} needs model.dtype=float32")


class MonteCarloSettings(CommonSettings):
    """Averages over drawn networks against the infinite-width kernels, on random inputs."""

    inputs: Count  # inputs x ~ N(0, 1), the same for all networks of a seed
    input_dim: Count  # n_0
    draws: Count  # M, networks; a power of two
    model: ModelSettings

    @property
    def drawn_for(self) -> dict[str, Any]:
        return self.model.model_dump(mode="json")

    @model_validator(mode="after")
    def _power_of_two(self) -> "MonteCarloSettings":
        if self.draws & (self.draws - 1):
            raise ValueError(f"draws={self.draws} must be a power of two: averages are recorded at M = 1, 2, 4, ...")
        return self


class RunSettings(CommonSettings):
    """An experiment that trains: a network, images, an optimizer, a loss."""

    loss: Literal["mse", "cross_entropy"]
    linear_route: Literal["auto", "function_space", "parameter_space"]
    trained: Literal["all", "readout"]  # the other layers stay at theta_0, in the network and in every rival
    weight_decay: NonNegative  # adds weight_decay / 2 ||theta||^2 to the loss
    matmul: Products  # of the steps of the network and of its linearization in parameter space
    data: DataSettings
    model: AnyModelSettings
    optimizer: Annotated[LinearInGradientSettings | AdamSettings, Field(discriminator="name")]
    record: RecordSettings

    @property
    def images(self) -> DataSettings | None:
        return self.data

    @property
    def drawn_for(self) -> dict[str, Any]:
        return self.model.model_dump(mode="json")

    @property
    def identity(self) -> dict[str, Any]:
        # bfloat16 alone once meant that the results were rounded, too
        rounded = {"matmul": "bfloat16 factors"} if self.matmul == "bfloat16" else {}
        return super().identity | rounded

    @property
    def outside_function_space(self) -> str | None:
        """Why theta_t - theta_0 = J^T c_t with a kernel fixed at theta_0 cannot hold; None where it does."""
        if self.optimizer.name == "adam":
            return "Adam's steps are not linear in the gradient"
        if self.weight_decay > 0:
            return "weight_decay pulls on theta_0 itself"
        if self.data.augmented:
            return "data.flip and data.crop make new training inputs at every step"
        if isinstance(self.model, WideResnetSettings) and self.model.norm == "batch":
            return "with model.norm=batch an output depends on the whole batch, and so does the kernel"
        return None

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
        if self.data.augmented and self.optimizer.batch_size is None:
            raise ValueError("data.flip and data.crop act on mini-batches: set optimizer.batch_size")
        if self.trained == "readout" and self.weight_decay > 0:
            raise ValueError("weight_decay would move the layers that trained=readout keeps: use trained=all")
        check_products(self.matmul, self.model.dtype)
        batch, n_train = self.optimizer.batch_size, self.data.n_train
        if batch is not None and n_train is not None and batch > n_train:
            raise ValueError(f"optimizer.batch_size={batch} is larger than data.n_train={n_train}")
        if self.loss == "cross_entropy" and self.data.targets == "signed":
            raise ValueError("loss=cross_entropy needs data.targets=one_hot (or auto), not signed")
        if self.data.targets == "signed" and (self.data.classes is None or len(self.data.classes) != 2):
            raise ValueError("data.targets=signed needs exactly two data.classes")
        return self


class FreeSettings(RunSettings):
    """Any combination, also with a network of the user's own."""

    allow_custom: bool  # a module that the user names may be imported
    model: Annotated[  # pyright: ignore[reportIncompatibleVariableOverride]
        FcSettings | CnnSettings | WideResnetSettings | OwnSettings, Field(discriminator="name")
    ]

    @property
    def drawn_for(self) -> dict[str, Any]:
        # an edited module starts from the same draws
        return self.model.model_dump(mode="json", exclude={"source"})

    @model_validator(mode="after")
    def _asked_for(self) -> "FreeSettings":
        if isinstance(self.model, OwnSettings):
            if self.model.is_custom and not self.allow_custom:
                raise ValueError(
                    f"model.path={self.model.path} imports and runs a module of yours: add allow_custom=true"
                )
            _ = self.model.source  # UserError if it is not there
        return self


class EnsembleSettings(RunSettings):
    """One cell trains several networks that differ in theta_0 alone; how many is part of the cell's identity."""

    networks: Count  # with seeds seed, seed + 1, ..., seed + networks - 1

    @property
    def members(self) -> tuple["EnsembleSettings", ...]:
        """The settings of each network."""
        return tuple(self.model_copy(update={"seed": self.seed + i}) for i in range(self.networks))


class RateSettings(RunSettings):
    """Networks that differ in eta alone, lowest_rate ... highest_rate, evenly spaced in log eta."""

    rates: Count
    lowest_rate: Positive
    highest_rate: Positive


# Fields that do not determine numbers; everything else enters a cell's hash.  `data.source` is left out because the
# fingerprint of the images themselves is hashed in its place, `scale` because its values are.
LOCAL: dict[str, Any] = {
    **dict.fromkeys(
        (
            "scale",
            "stage",
            "shard",
            "shards",
            "results_dir",
            "style",
            "checkpoint_minutes",
            "device",
            "flop_rate",
            "devices",
            "distributed",
            "compilation_cache",
            "allow_custom",
            *OF_ONE_STAGE,
        ),
        True,
    ),
    "data": {"source"},
}
