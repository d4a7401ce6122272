"""The settings of the images: which, how many, how they are scaled, what the network is to say of them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ntkrun.settings.choices import LOSSES, DataName, DataSource, Preprocess, TargetKind
from ntkrun.settings.fields import Count, Index, Local, Meanings, Section, Seed


class DataSettings(Section):
    """Which images, how many, how they are scaled; what is not in the file of the set is refused."""

    name: DataName = Field(description="data set")
    # local, because the fingerprint of the images themselves is hashed in its place
    source: Annotated[
        Local[DataSource],
        Meanings(
            {
                "tfds": "the real set through TFDS, prepared if need be",
                "stand_in": "real images that come inside other packages",
                "auto": "the real set if it is prepared, else the stand-in",
            }
        ),
    ] = Field(description="where the images come from")
    classes: tuple[str | int, ...] | None = Field(
        description="only these classes, by name or number, in this order; null: all"
    )
    n_train: Count | None = Field(description="N, training images; null: all")
    n_test: Count | None = Field(description="m, test images; null: all")
    preprocess: Annotated[
        Preprocess,
        Meanings(
            {
                "global": "(x - mean) / std, one number each",
                "sphere": "less the mean image, each image scaled to ||x||^2 = n_0",
                "per_image": "(x - mean) / std, the mean and std of each image: its own",
                "zca": "whitened by (C + I)^(-1/2) with C the pixels' covariance, then scaled as by sphere",
            }
        ),
    ] = Field(description="how pixels become inputs x; every statistic is the training images' own")
    targets: Annotated[
        TargetKind | Literal["auto"],
        Meanings(
            {
                "signed": "+1 and -1 for two classes, k = 1",
                "one_hot": "0 and 1, k classes",
                "auto": "signed for two classes where the loss takes it, else one_hot",
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

    def target_kind(self, loss: str) -> TargetKind:
        """What `targets` stands for under this loss."""
        if self.targets != "auto":
            return self.targets
        two_classes = self.classes is not None and len(self.classes) == 2
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
