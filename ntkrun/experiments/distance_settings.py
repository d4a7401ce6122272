"""The settings of `final_distance`: a network that descends until its linearization has fitted."""

from typing import Annotated, Any

from pydantic import Field

from ntkrun.sections import AnyModelSettings, Count, DataSettings, Section
from ntkrun.settings import CommonSettings


class DescentSettings(Section):
    """Gradient descent until f_lin has fitted the training set."""

    share_of_critical: Annotated[float, Field(gt=0, lt=1)]  # eta / eta_critical(Theta_hat_0)
    loss_fraction: Annotated[float, Field(gt=0, lt=1)]  # of the initial train loss of f_lin: where training ends
    max_steps: Count


class FinalDistanceSettings(CommonSettings):
    """One network on one data set, descended until f_lin has fitted it."""

    data: DataSettings
    model: AnyModelSettings
    descent: DescentSettings

    @property
    def images(self) -> DataSettings:
        return self.data

    @property
    def drawn_for(self) -> dict[str, Any]:
        return self.model.model_dump(mode="json")


class SmallerImages(DataSettings):
    averaged: Count  # every pixel is the mean over a square of so many by so many, before anything else


class ImageDistanceSettings(FinalDistanceSettings):
    """The same with images that may be made smaller, for convolutional networks."""

    data: SmallerImages
