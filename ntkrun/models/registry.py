"""Networks by name: the one place where a config's `model.name` becomes a Flax module."""

from importlib.metadata import entry_points

import flax.linen as nn

from ntkrun.errors import UserError
from ntkrun.models.cnn import CNN
from ntkrun.models.fc import FC
from ntkrun.models.wide_resnet import WideResNet

MODELS: dict[str, type[nn.Module]] = {"fc": FC, "cnn": CNN, "wide_resnet": WideResNet}
ENTRY_POINTS = "ntkrun.models"  # a package of the user's registers its own modules under this group


def build_model(name: str, **fields: object) -> nn.Module:
    """The registered module `name` with these fields; lists become tuples, because a module has to be hashable for jit.

    Raises `UserError`, naming the choices, for a name that is neither in `MODELS` nor an entry point of the group
    `ntkrun.models`, and for fields which the module does not have or lacks.
    """
    plugins = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name not in MODELS and name not in plugins:
        raise UserError(f"unknown model {name!r}: choose one of {', '.join(sorted({*MODELS, *plugins}))}")
    model_class = MODELS[name] if name in MODELS else plugins[name].load()
    hashable = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    try:
        return model_class(**hashable)
    except TypeError as error:
        raise UserError(f"model {name!r}: {error}") from error
