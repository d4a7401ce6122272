"""Networks by name: the one place where a config's `model.name` becomes a Flax module."""

import dataclasses
from typing import Any

import flax.linen as nn
import numpy as np

from ntkrun.errors import UserError, did_you_mean
from ntkrun.models.cnn import CNN
from ntkrun.models.custom import build_user_module
from ntkrun.models.fc import FC
from ntkrun.models.functions import Model
from ntkrun.models.numbers import check_dtype, check_numbers
from ntkrun.models.wide_resnet import WideResNet
from ntkrun.nonlinearities import resolve_activation
from ntkrun.settings.choices import Norm, Parameterization, Pool, Products, Trained, choices_of
from ntkrun.settings.custom_source import registered, source_hash
from ntkrun.types import check_number

# fields that have one of a few words
WORDS = {
    "parameterization": choices_of(Parameterization),
    "matmul": choices_of(Products),
    "trained": choices_of(Trained),
    "pool": choices_of(Pool),
    "norm": choices_of(Norm),
}
MODELS: dict[str, type[nn.Module]] = {
    "fc": FC,
    "cnn": CNN,
    "wide_resnet": WideResNet,
}


def build_model(name: str, **fields: object) -> Model:
    """The registered module `name` with these fields; lists become tuples, because a module has to be hashable for jit,
    and numbers of NumPy Python's.

    Raises `UserError`, naming the choices, for a name that is neither in `MODELS` nor an entry point of the group
    `ntkrun.models`, for fields which the module does not have or lacks, and for numbers and a dtype that no network has.
    """
    if not isinstance(name, str):
        raise UserError(f"a network has a name, 'fc', say, not {name!r}: one of {', '.join(sorted(MODELS))}")
    hashable: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value.item() if isinstance(value, np.generic) else value
        for key, value in fields.items()
    }
    if name not in MODELS:
        plugins = registered()
        if name not in plugins:
            known = sorted({*MODELS, *plugins})
            raise UserError(
                f"unknown model {name!r}{did_you_mean(name, known) or ':'} choose one of {', '.join(known)}"
            )
        return build_user_module(name, source_hash(name), hashable)
    _check_fields(name, hashable)
    check_numbers(**{key: hashable[key] for key in ("depth", "width", "sigma_w2", "sigma_b2") if key in hashable})
    return MODELS[name](**hashable)


def _check_fields(name: str, given: dict[str, Any]) -> None:
    """UserError for fields that the network lacks, that it does not have, and for words that none of its fields has."""
    fields = {field.name: field for field in dataclasses.fields(MODELS[name])}
    known = [key for key in fields if key not in ("parent", "name")]
    if unknown := [key for key in given if key not in known]:
        hint = did_you_mean(unknown[0], known) or ":"
        raise UserError(f"model {name!r} has no field {unknown[0]}{hint} it has {', '.join(known)}")
    if lacking := [key for key in known if key not in given and not _has_value(fields[key])]:
        raise UserError(f"model {name!r} lacks {', '.join(lacking)}: give each by its name, {lacking[0]}=...")
    if "activation" in given:
        resolve_activation(given["activation"])
    for key, words in WORDS.items():
        if key in given and given[key] not in words:
            hint = did_you_mean(given[key], words) or ":"
            raise UserError(f"model {name!r}: {key}={given[key]!r} is unknown{hint} choose {' or '.join(words)}")
    check_dtype(given.get("dtype", np.float32))
    check_number("n_outputs", given["n_outputs"], at_least=1, whole=True)


def _has_value(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
