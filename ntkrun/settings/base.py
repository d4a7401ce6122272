"""The settings that every experiment has."""

from collections.abc import Mapping
from functools import reduce
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from ntkrun.settings.choices import STAGES, Device, Log, Order, Products, Scale, Stage, Style
from ntkrun.settings.data import DataSettings
from ntkrun.settings.fields import (
    Count,
    Index,
    Local,
    Meanings,
    OfStage,
    Path,
    Positive,
    Section,
    Seed,
    Unused,
    WithMinutes,
)
from ntkrun.settings.schema import local_fields, mark_of, without_later
from ntkrun.settings.sections import TheorySettings
from ntkrun.settings.variant import ComparedRuns, RunName, typed


def _as_typed(value: Any) -> Any:
    """3.12 on the command line is a number."""
    return str(value) if isinstance(value, float) else value


def _off(value: Any) -> Any:
    """`off` without quotes is false in YAML."""
    return "off" if value is False else value


PythonVersion = Annotated[str, BeforeValidator(_as_typed), Field(pattern=r"^3\.\d{1,2}$")]
Platform = Annotated[str, Field(pattern=r"^manylinux_2_\d{1,3}_\w+$")]


RoundedProducts = Annotated[
    Products,
    Meanings(
        {
            "as_dtype": "in model.dtype's own precision",
            "tf32": "factors rounded to 10 bits, float32 results",
            "bfloat16": "factors rounded to 7 bits, float32 results",
        }
    ),
]


class StageSettings(Section):
    """What is done with an experiment, and where that writes to or reads from."""

    stage: Annotated[Local[Stage], Meanings({name: stage.meaning for name, stage in STAGES.items()})] = Field(
        description="what is done"
    )
    into: Annotated[Path | None, OfStage("bundle")] = Field(description="the folder that is made")
    target: Annotated[Path | None, OfStage("bundle")] = Field(
        description="file that lists the packages of the machine without network (pip list or pip freeze); null: it has none"
    )
    target_python: Annotated[PythonVersion | None, OfStage("bundle")] = Field(
        description="its Python, 3.12; null: as here"
    )
    target_platform: Annotated[Platform | None, OfStage("bundle")] = Field(
        description="its platform, manylinux_2_28_aarch64; null: manylinux_2_28_x86_64"
    )
    limit_mb: Annotated[Positive | None, OfStage("bundle")] = Field(
        description="MB of 10^6 bytes: an error for a larger folder; null: no limit"
    )
    # `from` is a keyword of Python and cannot be the name of a field
    taken_from: Annotated[Path | None, OfStage("merge")] = Field(
        alias="from", exclude=True, description="the results that are taken in, a folder or .tar.gz"
    )
    other: Annotated[Path | None, OfStage("compare")] = Field(
        description="the results of another machine that those of results_dir are held against, a folder or .tar.gz; null: "
        "runs of the experiment are held against each other"
    )
    runs: Annotated[ComparedRuns | None, OfStage("compare")] = Field(
        description="which runs of the experiment, by their names in stage=list, shipped for the shipped one; the others are "
        "held against the first; null: all that are there"
    )

    @model_validator(mode="after")
    def _settings_of_another_stage_are_null(self) -> "StageSettings":
        given = {field.alias or name: getattr(self, name) for name, field in StageSettings.model_fields.items()}
        for stage, names in SETTINGS_OF_STAGE.items():
            for name in names:
                if stage != self.stage and given[name] is not None:
                    value = typed(given[name]) if name == "runs" else given[name]
                    raise ValueError(f"{name}={value} is for stage={stage}: leave it out, or type stage={stage}")
        if (needs := STAGES[self.stage].needs) and given[needs[0]] is None:
            raise ValueError(needs[1])
        if self.other is not None and self.runs is not None:
            raise ValueError(
                f"runs={typed(self.runs)} are runs of results_dir, other={self.other} another machine's: leave one out"
            )
        return self


def _settings_of_stage() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, field in StageSettings.model_fields.items():
        if mark := mark_of(field, OfStage):
            found[mark.stage] = (*found.get(mark.stage, ()), field.alias or name)
    return found


# stage -> the settings that belong to it alone, as they are typed
SETTINGS_OF_STAGE = _settings_of_stage()


class CommonSettings(StageSettings):
    """What every experiment has.

    `devices`, like the kind of device, changes the order of float sums: the provenance tells both, no identity does.

    unused  settings that this kind of run does not use, by their dotted names; another value than theirs is refused, for
            it would be stored and shown as if it had been in force
    without_mup  why networks in mup, which have no kernel at infinite width, have no place in this kind of run; "": they have
    nothing_to_log  why there are no numbers to follow while this kind of run computes; "": there are
    """

    unused: ClassVar[Mapping[str, Unused]] = {}
    without_mup: ClassVar[str] = ""
    nothing_to_log: ClassVar[str] = ""

    experiment: str = Field(description="the figure, or lockstep for any combination")
    # local, because its values are hashed
    scale: Annotated[
        Local[Scale],
        Meanings(
            {
                "smoke": "seconds, for tests",
                "cpu": "minutes on two cores",
                "gpu": "the paper's widths and times in fewer steps",
                "paper": "the caption's numbers",
            }
        ),
    ] = Field(description="sizes; auto on the command line: paper on an accelerator, else cpu")
    shard: Local[Index] = Field(description="run only the cells shard, shard + shards, shard + 2 shards, ...")
    shards: Local[Count] = Field(description="into how many shares the cells are dealt out")
    seed: Seed = Field(description="draws theta_0 and the order of the batches")
    name: Local[RunName | None] = Field(
        description="folder of the run's report; null: what the run changes of the experiment's settings, or default"
    )
    results_dir: Local[Path] = Field(description="folder of the results, relative to where the command is called")
    style: Annotated[Local[Style], Meanings({"paper": "for a page", "slides": "larger text and thicker lines"})] = (
        Field(description="look of the figure")
    )
    checkpoint_minutes: Local[Positive] = Field(description="minutes between two checkpoints of a cell under way")
    retry: Local[bool] = Field(
        description="compute cells anew that diverged in an earlier run of the same code; other failures are tried again anyway"
    )
    minutes: Local[Positive | None] = Field(
        description="compute only what is expected to end within so many minutes from the call on (docs/budget.md); "
        "null: everything"
    )
    order: Annotated[
        Local[Order],
        WithMinutes("shortest"),
        Meanings({"shortest": "the shortest cells first", "listed": "in the order of the command line"}),
    ] = Field(description="with minutes: in which order cells are run")
    jobs: Annotated[Local[Count | Literal["auto"]], WithMinutes("auto")] = Field(
        description="with minutes: cells at a time, each in a process of its own; auto: 4 on an accelerator, 1 on a CPU"
    )
    device: Local[Device] = Field(
        description="with stage=plan: whose time is told; auto: that of the device that JAX has"
    )
    flop_rate: Local[Positive | Literal["auto"]] = Field(
        description="FLOP/s of all products in the time that is told; auto: the device's own, on a CPU measured"
    )
    devices: Local[Count | Literal["all"]] = Field(
        description="local devices over which the members of an ensemble, or else the examples of a step, are dealt out; "
        "as many of them take part as divide these evenly"
    )
    distributed: Local[bool] = Field(
        description="the processes that a launcher starts together share every cell; devices counts those of all"
    )
    compilation_cache: Local[bool] = Field(
        description="compiled programs are kept in the user's cache folder and found again by later runs"
    )
    log: Annotated[
        Local[Log],
        BeforeValidator(_off),
        Meanings(
            {
                "off": "nothing",
                "csv": "a file per cell",
                "tensorboard": "a run of TensorBoard per cell",
            }
        ),
    ] = Field(
        description="what loss, RMSE and eta are written to while a cell computes, at every record point (docs/following.md)"
    )
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
        found = without_later(self, self.model_dump(mode="json", exclude=local_fields(type(self))))
        if self.images is not None:
            found["data"] = self.images.identity_of(found["data"])
        return found

    @model_validator(mode="after")
    def _what_is_not_used_is_not_set(self) -> "CommonSettings":
        for name, unused in self.unused.items():
            value: Any = reduce(getattr, name.split("."), self)
            if value != unused.value:
                shown, neutral = (str(one).lower() if isinstance(one, bool) else one for one in (value, unused.value))
                raise ValueError(
                    f"{name}={shown} changes nothing in experiment={self.experiment}: leave it out "
                    f"({'null' if neutral is None else neutral}); experiment={unused.used_by} uses it"
                )
        return self

    @model_validator(mode="after")
    def _theory_holds_for_the_parameterization(self) -> "CommonSettings":
        if self.without_mup and getattr(getattr(self, "model", None), "parameterization", "") == "mup":
            raise ValueError(
                f"model.parameterization=mup has no place in experiment={self.experiment}, {self.without_mup}: use ntk or "
                "standard (experiment=lockstep takes mup)"
            )
        return self

    @model_validator(mode="after")
    def _shard_exists(self) -> "CommonSettings":
        if self.shard >= self.shards:
            raise ValueError(f"shard={self.shard} must be below shards={self.shards}")
        return self

    @model_validator(mode="after")
    def _minutes_limit_a_computation(self) -> "CommonSettings":
        if self.minutes is not None and not STAGES[self.stage].computes:
            computing = " or ".join(f"stage={name}" for name, stage in STAGES.items() if stage.computes)
            raise ValueError(f"minutes={self.minutes:g} limits what is computed: use it with {computing}")
        for name, unset in WITHOUT_MINUTES.items():
            if self.minutes is None and getattr(self, name) != unset:
                raise ValueError(f"{name}={getattr(self, name)} is for runs within a time: add minutes=9, say")
        return self

    @model_validator(mode="after")
    def _retry_is_for_what_computes(self) -> "CommonSettings":
        if self.retry and not STAGES[self.stage].computes:
            raise ValueError(
                f"retry=true computes failed cells anew, and stage={self.stage} computes none: leave it out"
            )
        return self

    @model_validator(mode="after")
    def _log_is_of_what_computes(self) -> "CommonSettings":
        if self.log != "off" and not STAGES[self.stage].computes:
            raise ValueError(
                f"log={self.log} follows what is computed, and stage={self.stage} computes nothing: leave it out"
            )
        return self

    @model_validator(mode="after")
    def _device_is_planned_for(self) -> "CommonSettings":
        if self.device != "auto" and self.stage != "plan":
            raise ValueError(
                f"device={self.device} chooses nothing but whose time stage=plan tells: add stage=plan (a run takes the "
                "device that JAX has)"
            )
        return self


# the settings of a run that has no limit of time
WITHOUT_MINUTES: dict[str, Any] = {"minutes": None} | {
    name: mark.unset for name, field in CommonSettings.model_fields.items() if (mark := mark_of(field, WithMinutes))
}


def check_products(matmul: Products, dtype: str) -> None:
    """ValueError for factors that are rounded to less than a result in float64 would show."""
    if matmul != "as_dtype" and dtype == "float64":
        raise ValueError(f"matmul={matmul} needs model.dtype=float32")
