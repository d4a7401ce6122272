"""The settings of a network that descends until its linearization has fitted."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from ntkrun.sections import AnyModelSettings, Count, DataSettings, Positive, Products, Section
from ntkrun.settings import CommonSettings, check_products


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
