"""Networks by name: the one place where a config's `model.name` becomes a Flax module."""

import flax.linen as nn

from ntkrun.errors import UserError
from ntkrun.models.cnn import CNN
from ntkrun.models.custom import build_user_module
from ntkrun.models.fc import FC
from ntkrun.models.functions import Model
from ntkrun.models.numbers import check_numbers
from ntkrun.models.wide_resnet import WideResNet
from ntkrun.settings.custom_source import registered, source_hash

MODELS: dict[str, type[nn.Module]] = {
    "fc": FC,
    "cnn": CNN,
    "wide_resnet": WideResNet,
}


def build_model(name: str, **fields: object) -> Model:
    """The registered module `name` with these fields; lists become tuples, because a module has to be hashable for jit.

    Raises `UserError`, naming the choices, for a name that is neither in `MODELS` nor an entry point of the group
    `ntkrun.models`, for fields which the module does not have or lacks, and for numbers that no network has.
    """
    hashable = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    if name not in MODELS:
        plugins = registered()
        if name not in plugins:
            raise UserError(f"unknown model {name!r}: choose one of {', '.join(sorted({*MODELS, *plugins}))}")
        return build_user_module(name, source_hash(name), hashable)
    check_numbers(**{key: hashable[key] for key in ("depth", "width", "sigma_w2", "sigma_b2") if key in hashable})
    try:
        return MODELS[name](**hashable)
    except TypeError as error:
        raise UserError(f"model {name!r}: {error}") from error
