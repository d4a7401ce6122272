"""Whether a run can use the examples that it names: vectors are no images, targets of a regression no classes."""

from typing import Any

from ntkrun.data.sources.image_set import ImageSet
from ntkrun.data.summary import is_one_hot
from ntkrun.errors import UserError
from ntkrun.settings.base import CommonSettings
from ntkrun.settings.models import UserModuleSettings
from ntkrun.settings.runs import RateSettings


def check_fits(images: ImageSet, settings: CommonSettings) -> None:
    """UserError with what to type instead, for the first setting that these examples do not go with."""
    data: Any = settings.images
    if not images.has_images:
        _check_vectors(images, settings, data)
        return _check_answers(images, settings, data)
    h, w = images.train_images.shape[1:3]
    if data.crop >= min(h, w):
        raise UserError(
            f"data.crop={data.crop} shifts images of {h} x {w} pixels out of themselves: use data.crop={min(h, w) // 8}, say, "
            f"{min(h, w) - 1} at most"
        )
    size = getattr(data, "averaged", 1)
    if h % size or w % size:
        raise UserError(
            f"data.averaged={size}: squares of that size do not fill images of {h} x {w} pixels: use data.averaged=1"
        )
    _check_answers(images, settings, data)


def _check_answers(images: ImageSet, settings: CommonSettings, data: Any) -> None:
    if not images.class_names:
        _check_targets(images, settings, data)


def _check_vectors(images: ImageSet, settings: CommonSettings, data: Any) -> None:
    model: Any = getattr(settings, "model", None)
    what = f"{images.label} holds vectors of {images.train_images.shape[1]} numbers"
    if model.name != "fc" and not isinstance(model, UserModuleSettings):
        raise UserError(f"{what}, and model={model.name} needs images: use model=fc, or save x as (n, h, w, c)")
    if data.preprocess == "per_image":
        raise UserError(f"{what}, and data.preprocess=per_image is for images: use sphere or standardize")
    if data.augmented:
        raise UserError(f"{what}, and data.flip and data.crop are for images: leave them out")
    if getattr(data, "averaged", 1) > 1:
        raise UserError(f"{what}, and data.averaged is for images: use data.averaged=1")


def _check_targets(images: ImageSet, settings: CommonSettings, data: Any) -> None:
    what = f"{images.label} holds targets of a regression"
    loss = getattr(settings, "loss", "mse")
    if loss != "mse":
        labels = ", or save y.argmax(axis=1): its rows are one-hot" if is_one_hot(images) else ""
        raise UserError(f"{what}, and loss={loss} needs labels: use loss=mse{labels}")
    if data.targets != "auto":
        raise UserError(f"{what}, and data.targets={data.targets} is for labels: leave it out (auto)")
    if isinstance(settings, RateSettings):
        raise UserError(f"{what}, and experiment={settings.experiment} shows accuracies: give labels, integers (n,)")
