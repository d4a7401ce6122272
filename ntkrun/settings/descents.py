"""The settings of runs without an optimizer: gradient descent until f_lin has fitted, as its kernel's spectrum tells beforehand."""

from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from ntkrun.settings import unused as not_used
from ntkrun.settings.base import CommonSettings, RoundedProducts, check_products
from ntkrun.settings.data import DataSettings, SmallerImages
from ntkrun.settings.fields import Before, Count
from ntkrun.settings.models import AnyModelSettings, check_gradient, check_theta
from ntkrun.settings.schema import without_later
from ntkrun.settings.sections import DescentSettings, EndSettings, FractionSettings


class FinalDistanceSettings(CommonSettings):
    """One network on one data set, descended until f_lin has fitted it."""

    unused: ClassVar[not_used.Values] = not_used.DESCENTS
    data: DataSettings
    model: AnyModelSettings
    matmul: Annotated[RoundedProducts, Before("as_dtype")] = Field(description="matrix products of the training steps")
    descent: DescentSettings

    @property
    def images(self) -> DataSettings:
        return self.data

    @property
    def drawn_for(self) -> dict[str, Any]:
        return without_later(self.model, self.model.model_dump(mode="json"))

    @model_validator(mode="after")
    def _products_exist(self) -> "FinalDistanceSettings":
        check_products(self.matmul, self.model.dtype)
        check_gradient(self.model)
        return self


class ImageDistanceSettings(FinalDistanceSettings):
    """Down to a train loss, on images that may be made smaller for convolutional networks."""

    data: SmallerImages
    descent: EndSettings

    @model_validator(mode="after")
    def _has_theta(self) -> "ImageDistanceSettings":
        if self.theory.analytic_kernel == "never":
            raise ValueError(
                "theory.analytic_kernel=never changes nothing here, where Theta is asked for: leave it out"
            )
        check_theta(self.theory.analytic_kernel, self.model.no_analytic_kernel)
        return self


class SupremaSettings(FinalDistanceSettings):
    """The suprema of Theorem 2.1: eta is a share of eta_critical(Theta), and training ends when f_lin with Theta has fitted."""

    unused: ClassVar[not_used.Values] = not_used.SUPREMA
    without_mup: ClassVar[str] = "where eta and the end of training come from Theta at infinite width"
    descent: FractionSettings
    networks: Count = Field(description="networks of a cell, with seeds seed, seed + 1, ..., seed + networks - 1")

    @property
    def members(self) -> tuple["SupremaSettings", ...]:
        return tuple(self.model_copy(update={"seed": self.seed + i}) for i in range(self.networks))
