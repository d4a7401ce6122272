"""The settings of the images: which, how many, how they are scaled, what the network is to say of them."""

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ntkrun.settings.choices import LOSSES, DataName, DataSource, Preprocess, TargetKind
from ntkrun.settings.fields import Before, Count, Index, Local, Meanings, Path, Section, Seed, TfdsName
from ntkrun.settings.own_data import content_of

OWN = "own"  # the name of a file of the user's


class DataSettings(Section):
    """Which images, how many, how they are scaled; what is not in the file of the set is refused."""

    name: DataName | Literal["own"] | TfdsName = Field(
        description="data set; also any other of TensorFlow Datasets that is prepared on this machine, fashion_mnist"
    )
    path: Annotated[Path | None, Before(None)] = Field(
        description="with data=own: .npz or .parquet file of yours (docs/own_data.md).  Its content enters, not where it lies"
    )
    # local, because the fingerprint of the images themselves is hashed in its place
    source: Annotated[
        Local[DataSource],
        Meanings(
            {
                "tfds": "the real set, fetched and prepared if need be",
                "stand_in": "real images that come inside other packages",
                "auto": "the real set, fetched if need be; the stand-in where its host is not reached",
            }
        ),
    ] = Field(description="where the images come from")
    download: Annotated[Local[bool], Before(True)] = Field(
        description="whether MNIST and CIFAR-10 may be fetched from where they are published, once, into the data folder"
    )
    classes: tuple[str | int, ...] | None = Field(
        description="only these classes, by name or number, in this order; null: all; a list of lists is a sweep"
    )
    n_train: Count | None = Field(description="N, training examples; null: all")
    n_test: Count | None = Field(description="m, test examples; null: all")
    preprocess: Annotated[
        Preprocess,
        Meanings(
            {
                "global": "(x - mean) / std, one number each",
                "sphere": "less the mean image, each image scaled to ||x||^2 = n_0",
                "per_image": "(x - mean) / std, the mean and std of each image: its own",
                "standardize": "(x - mean) / std of each coordinate; 0 where it is the same in all of them",
            }
        ),
    ] = Field(description="how pixels become inputs x; every statistic is the training images' own")
    targets: Annotated[
        TargetKind | Literal["auto"],
        Meanings(
            {
                "signed": "+1 and -1 for two classes, k = 1",
                "one_hot": "0 and 1, k classes",
                "auto": "signed for two classes where the loss takes it, else one_hot; the file's own numbers where data.path "
                "has no classes",
            }
        ),
    ] = Field(description="y, what the outputs are trained towards")
    seed: Seed = Field(description="draws the images; the run's own seed draws the network")
    flip: bool = Field(description="mirror each training image of a mini-batch with probability 1/2")
    crop: Index = Field(
        description="pixels: shift each training image of a mini-batch by -crop..crop in both directions, zeros move in"
    )

    @model_validator(mode="after")
    def _classes_differ(self) -> "DataSettings":
        if self.classes is not None and len(set(self.classes)) < max(2, len(self.classes)):
            raise ValueError(f"classes={list(self.classes)} must name two or more classes, each once (null: all)")
        return self

    @model_validator(mode="after")
    def _own_has_a_file(self) -> "DataSettings":
        if self.path is None and self.name == OWN:
            raise ValueError("data.name=own needs a file: set data.path=my.npz")
        if self.path is not None and self.name != OWN:
            raise ValueError(
                f"data.path={self.path} is read with data.name={OWN}, not {self.name}: leave data and data.name out (in a part "
                f"of the figure set its data.name to {OWN}, too)"
            )
        if self.is_own and self.source != "auto":
            raise ValueError(f"data.source={self.source} is not for data.path={self.path}: leave it out")
        _ = self.content  # UserError if it is not there
        return self

    @property
    def is_own(self) -> bool:
        """Whether it is a file of the user's."""
        return self.name == OWN

    @cached_property
    def content(self) -> str | None:
        """Hash of the user's file, as it was when the settings were read."""
        return None if self.path is None else content_of(self.path)

    def identity_of(self, dumped: dict[str, Any]) -> dict[str, Any]:
        """The dumped settings as they identify a cell: the user's file by its content."""
        others = {name: value for name, value in dumped.items() if name != "path"}
        return others if self.path is None else others | {"content": self.content}

    def target_kind(self, loss: str, classes: int | None = None) -> TargetKind:
        """What `targets` stands for under this loss.  classes: how many the data set has, where none are chosen."""
        if self.targets != "auto":
            return self.targets
        two_classes = (classes if self.classes is None else len(self.classes)) == 2
        return "signed" if two_classes and "signed" in LOSSES[loss].targets else "one_hot"

    @property
    def subtracts_mean_image(self) -> bool:
        """Whether training inputs are centred pixel by pixel, so that one direction of their span is lost."""
        return self.preprocess != "global"

    @property
    def augmented(self) -> bool:
        """Whether every step sees new training inputs."""
        return self.flip or self.crop > 0


class SmallerImages(DataSettings):
    """Images that may be made smaller."""

    averaged: Count = Field(
        description="pixels: every pixel becomes the mean over a square of so many by so many, before anything else"
    )
