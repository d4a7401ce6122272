"""The settings that every experiment has."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ntkrun.settings.sections import Count, DataSettings, Index, Positive, Section, Seed, TheorySettings
from ntkrun.settings.stages import NEEDED, OF_ONE_STAGE, OWN

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
    minutes: Positive | None  # from the call on, for computing (and with stage=all drawing) what ends within them
    order: Literal["shortest", "listed"]  # of cells within `minutes`
    jobs: Count | Literal["auto"]  # cells at a time within `minutes`, each in a process of its own
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
    def _has_the_time(self) -> "CommonSettings":
        if self.minutes is not None and self.stage not in ("run", "all"):
            raise ValueError(f"minutes={self.minutes:g} limits what is computed: use it with stage=run or stage=all")
        for name, usual in (("order", "shortest"), ("jobs", "auto")):
            if self.minutes is None and getattr(self, name) != usual:
                raise ValueError(f"{name}={getattr(self, name)} is for runs within a time: add minutes=9, say")
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
            "minutes",
            "order",
            "jobs",
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
