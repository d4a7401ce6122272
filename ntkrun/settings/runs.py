"""The settings of each kind of run: networks that are drawn, trained, descended until f_lin has fitted."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from ntkrun.settings.base import CommonSettings, check_products
from ntkrun.settings.sections import (
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
    WideResnetSettings,
)


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


class DescentSettings(Section):
    """Gradient descent until f_lin has fitted the training set."""

    share_of_critical: Annotated[float, Field(gt=0, lt=1)]  # eta / eta_critical(Theta_hat_0)
    max_steps: Count


class EndSettings(DescentSettings):
    """The same to a train loss."""

    end_loss: Positive  # 1/2 mean (f_lin - y)^2; the mean of targets +1, -1 in equal numbers has 1/2


class FinalDistanceSettings(CommonSettings):
    """One network on one data set, descended until f_lin has fitted it."""

    data: DataSettings
    model: AnyModelSettings
    matmul: Products  # of the steps of the network
    descent: DescentSettings

    @property
    def images(self) -> DataSettings:
        return self.data

    @property
    def drawn_for(self) -> dict[str, Any]:
        return self.model.model_dump(mode="json")

    @property
    def identity(self) -> dict[str, Any]:
        # cells that were stored before there was a choice have the products of the dtype
        return {key: value for key, value in super().identity.items() if (key, value) != ("matmul", "as_dtype")}

    @model_validator(mode="after")
    def _products_exist(self) -> "FinalDistanceSettings":
        check_products(self.matmul, self.model.dtype)
        return self


class SmallerImages(DataSettings):
    averaged: Count  # every pixel is the mean over a square of so many by so many, before anything else


class ImageDistanceSettings(FinalDistanceSettings):
    """Down to a train loss, on images that may be made smaller for convolutional networks."""

    data: SmallerImages
    descent: EndSettings


class WidthChangeSettings(EnsembleSettings):
    """`inputs`: the images as they are, or in a basis of their span (`data.span`: exact, d -> N input dimensions)."""

    inputs: Literal["full", "span"]


# Far apart, so that the outputs there are not nearly one number; away from the training points, where variances vanish.
PROBES = (-2.0, -1.0, 0.5, 2.0, 3.0)


class OutputEnsembleSettings(EnsembleSettings):
    """Networks trained by full-batch gradient descent, for which (14), (15) hold in discrete time."""

    alphas: Count  # grid points of alpha in [-2, 3]
    points: tuple[Index, Index]  # x_1 (alpha = 1) and x_2 (alpha = 0): which training inputs
    times: tuple[NonNegative, ...]  # of the panels, on the axis of optimizer.time_per_eta
    converged: Positive | None  # training ends when no output is farther than this from its target; null: never

    @model_validator(mode="after")
    def _theory_holds(self) -> "OutputEnsembleSettings":
        plain = self.optimizer.name == "gd" and self.optimizer.batch_size is None and self.loss == "mse"
        if not plain or self.model.parameterization != "ntk":
            raise ValueError("the theory here is for optimizer=gd, full batches, loss=mse, model.parameterization=ntk")
        return self


def probes(alphas: np.ndarray) -> np.ndarray:
    """Indices of the grid points nearest to PROBES."""
    return np.abs(alphas[:, None] - np.array(PROBES)).argmin(axis=0)


class FractionSettings(DescentSettings):
    """The same to a fraction of the loss."""

    loss_fraction: Annotated[float, Field(gt=0, lt=1)]  # of 1/2 mean y^2, with which f_lin from f_0 = 0 starts


class SupremaSettings(FinalDistanceSettings):
    """`descent.share_of_critical` is of eta_critical(Theta), the theorem's; training ends as f_lin with Theta says."""

    descent: FractionSettings
    networks: Count  # with seeds seed, ..., seed + networks - 1

    @property
    def members(self) -> tuple["SupremaSettings", ...]:
        return tuple(self.model_copy(update={"seed": self.seed + i}) for i in range(self.networks))
