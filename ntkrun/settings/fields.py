"""What fields of settings are made of: numbers with bounds, and marks that say what else holds for a setting."""

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union

from pydantic import BaseModel, ConfigDict, Field

from ntkrun.settings.choices import Stage

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Index = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    """A group of settings.  YAML fills every field, nothing has a default here, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


@dataclass(frozen=True)
class LocalMark:
    """The setting says where and how to run and never changes a number: it does not enter a cell's hash."""


@dataclass(frozen=True)
class OfStage:
    """The setting belongs to one stage and is null in every other; it is local, too."""

    stage: Stage


@dataclass(frozen=True)
class WithMinutes:
    """The setting means something only together with `minutes`; without it, it is `unset`."""

    unset: Any


@dataclass(frozen=True)
class Meanings:
    """What each value of a closed list stands for."""

    of: dict[str, str]


@dataclass(frozen=True)
class Unused:
    """A setting that a kind of run has with its section and does not use: the one value that it may have there, and an
    experiment that does use it."""

    value: Any
    used_by: str = "lockstep"


@dataclass(frozen=True)
class Before:
    """The setting came after cells had been stored; until then `value` held.  Cells of that value are found, and their networks
    drawn, by what there was then (`schema.without_later`), and a cell that tells nothing of the setting has it."""

    value: Any


@dataclass(frozen=True)
class PathMark:
    """The setting names a file or a folder."""


# a data set of TensorFlow Datasets, with its configuration where it has several: fashion_mnist, emnist/letters
TfdsName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(/[A-Za-z0-9_-]+)?$")]
Path = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$"), PathMark()]
T = TypeVar("T")
Local = Annotated[T, LocalMark()]


def one_of(base: type[Section], *others: type[Section]) -> Any:
    """The type of a section that may be any class derived from `base`, or one of `others`; its `name` decides which.

    A new kind of section takes part by being defined: it is listed nowhere else.
    """
    return Annotated[Union[(*base.__subclasses__(), *others)], Field(discriminator="name")]
