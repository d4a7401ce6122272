"""Networks composed of layers: one description gives the finite network and its kernels at infinite width.

    from ntkrun import infinite_width_kernels, networks as nets

    network = nets.Sequential(
        nets.Conv(256, sigma_w2=2.0, sigma_b2=0.1), nets.Activation("relu"), nets.GlobalAveragePool(), nets.Dense(10)
    )
    kernels = infinite_width_kernels(network, images)      # K and Theta as every width goes to infinity
    model = network.module()                               # the same network at these widths, a Flax module

Every layer has both of its meanings side by side, so that they cannot drift apart.
"""

from ntkrun.networks.affine import Conv, Dense
from ntkrun.networks.base import Layer
from ntkrun.networks.containers import Residual, Sequential
from ntkrun.networks.elementwise import Activation, Dropout, LayerNorm, StopGradient
from ntkrun.networks.positions import AveragePool, Flatten, GlobalAveragePool

__all__ = [
    "Activation",
    "AveragePool",
    "Conv",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAveragePool",
    "Layer",
    "LayerNorm",
    "Residual",
    "Sequential",
    "StopGradient",
]
