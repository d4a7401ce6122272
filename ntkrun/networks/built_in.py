"""The networks of `ntkrun.models` as descriptions: what they compute, with the names of their parameters.

A description's module has the same parameter tree, and gives the same f(params, x), as the network it describes.
"""

from functools import singledispatch
from typing import Any

import flax.linen as nn

from ntkrun.errors import UserError
from ntkrun.models.cnn import CNN
from ntkrun.models.fc import FC
from ntkrun.models.layers import BuiltIn
from ntkrun.models.wide_resnet import GROUPS, WideResNet
from ntkrun.networks.affine import Conv, Dense
from ntkrun.networks.base import Layer
from ntkrun.networks.containers import Residual, Sequential
from ntkrun.networks.elementwise import Activation, StopGradient
from ntkrun.networks.module import Composed
from ntkrun.networks.positions import Flatten, GlobalAveragePool


@singledispatch
def described(model: nn.Module) -> Layer:
    """The description of a network of ours; UserError for a module that has none, and where there is no such kernel."""
    raise UserError(
        f"{type(model).__name__} has no kernel at infinite width: write it as ntkrun.networks.Sequential(...), whose "
        "module() is a Flax module"
    )


@described.register
def _(model: Composed) -> Layer:
    return model.network


def _affine(model: BuiltIn) -> dict[str, Any]:
    return {name: getattr(model, name) for name in ("sigma_w2", "sigma_b2", "parameterization")}


def _readout(model: BuiltIn, name: str) -> tuple[Layer, ...]:
    frozen = () if model.trained == "all" else (StopGradient(),)
    return *frozen, Dense(model.n_outputs, name=name, **_affine(model))


@described.register
def _(model: FC) -> Layer:
    layers: list[Layer] = [Flatten()]
    for place, width in enumerate(model.widths, start=1):
        layers += [Dense(width, name=f"layer_{place}", **_affine(model)), Activation(model.activation)]
    return Sequential(*layers, *_readout(model, f"layer_{model.depth + 1}"))


@described.register
def _(model: CNN) -> Layer:
    layers: list[Layer] = []
    for place in range(1, model.depth + 1):
        conv = Conv(model.width, strides=(model.stride,) * 2, name=f"layer_{place}", **_affine(model))
        layers += [conv, Activation(model.activation)]
    pool = GlobalAveragePool() if model.pool == "average" else Flatten()
    return Sequential(*layers, pool, *_readout(model, f"layer_{model.depth + 1}"))


@described.register
def _(model: WideResNet) -> Layer:
    if model.norm != "none":
        raise UserError(
            "batch normalisation has no kernel at infinite width: with it an output depends on the whole batch; use "
            "model.norm=none"
        )
    phi = Activation(model.activation)

    def conv(name: str, stride: int = 1) -> Conv:
        return Conv(model.width, strides=(stride, stride), name=name, **_affine(model))

    def block(name: str, stride: int) -> Layer:
        if stride == 1:
            return Residual(phi, conv("conv_1"), phi, conv("conv_2"), name=name)
        main, shortcut = (conv("conv_1", stride), phi, conv("conv_2")), conv("shortcut", stride)
        return Sequential(phi, Residual(*main, shortcut=shortcut), name=name)

    blocks = range(1, (model.depth - 4) // 6 + 1)
    groups = [block(f"{group}_{b}", stride if b == 1 else 1) for group, stride in GROUPS for b in blocks]
    last = [phi] if model.last_activation else []
    return Sequential(conv("conv1"), *groups, *last, GlobalAveragePool(), *_readout(model, "readout"))
