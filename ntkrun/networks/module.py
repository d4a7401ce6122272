"""The finite network of a description, as a Flax module with taps in every layer that has parameters."""

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntkrun.models.declarations import Declaration
from ntkrun.models.layers import KERNEL, Affine, Conv, Dense
from ntkrun.models.products import PrecisionLike
from ntkrun.networks.windows import Window, extended, window_slices
from ntkrun.types import AnyArray, Array


@runtime_checkable
class Network(Protocol):
    """What `Composed` asks of a description."""

    def forward(self, x: Array, scope: "Scope") -> Array: ...

    def affine_layers(self) -> tuple[Any, ...]: ...


class Convolution(Affine, kw_only=True):
    """h = the sum over a window of x W: `Affine` for any filter, strides and padding; W (*sizes, channels, features)."""

    over: tuple[Window, ...]

    @nn.compact
    def __call__(self, x: AnyArray) -> Array:
        x = self.in_dtype(x)
        around = extended(x, self.over, self._axes)
        shape = (*(window.size for window in self.over), x.shape[-1], self.features)
        return self.affine(around, shape, self._convolve, lambda _: self._patches(x))

    @property
    def _axes(self) -> tuple[tuple[int, ...], ...]:
        return tuple((1 + axis,) for axis in range(len(self.over)))

    def _convolve(self, x: Array, weight: Array, precision: PrecisionLike) -> Array:
        spatial = "HWD"[: len(self.over)]
        layout = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
        strides = tuple(window.stride for window in self.over)
        return jax.lax.conv_general_dilated(x, weight, strides, "VALID", dimension_numbers=layout, precision=precision)

    def _patches(self, x: Array) -> Array:
        """(n, p, fan_in): what each position of the result sees."""
        patches = window_slices(x, self.over, self._axes)
        return jnp.concatenate(patches, axis=-1).reshape(len(x), -1, len(patches) * x.shape[-1])


class Pointwise(Affine):
    """A dense layer at every position by itself; W (channels, features)."""

    @nn.compact
    def __call__(self, x: AnyArray) -> Array:
        x = self.in_dtype(x)

        def flat(x: Array) -> Array:
            return x.reshape(len(x), -1, x.shape[-1])

        return self.affine(x, (x.shape[-1], self.features), jnp.matmul, flat)


@dataclass
class Scope:
    """Where a description's layers become Flax modules: inside the `__call__` of one."""

    dtype: Any
    matmul: str
    train: bool
    affine_layers: int = field(default=0, init=False)  # so far, by which they are named

    def affine(self, x: Array, layer: Any, over: tuple[Window, ...]) -> Array:
        """x through a module with the weights of a `Dense` or `Conv`."""
        self.affine_layers += 1
        names = ("features", "sigma_w2", "sigma_b2", "parameterization")
        fields: dict[str, Any] = {name: getattr(layer, name) for name in names}
        fields |= dict(dtype=self.dtype, matmul=self.matmul, name=layer.name or f"layer_{self.affine_layers}")
        if not over:
            return (Dense if x.ndim == 2 else Pointwise)(**fields)(x)
        stride = over[0].stride
        if over == (Window(KERNEL, stride, "SAME"),) * 2:  # the paper's, which has faster programs
            return Conv(stride=stride, **fields)(x)
        return Convolution(over=over, **fields)(x)

    def folder(self, name: str, network: Network, x: Array) -> Array:
        """x through a network whose parameters lie in a folder of their own."""
        return Composed(network, self.dtype, self.matmul, name=name)(x, self.train)


class Composed(nn.Module):
    """The network of a description: x (n, ..., features) -> (n, k)."""

    network: Any  # a `Network`; Flax would take a protocol for a module
    dtype: Any = jnp.float32
    matmul: str = "as_dtype"

    @property
    def declaration(self) -> Declaration:
        """Of layers with taps, an example at a time.  n is the largest number of units below the last layer.

        The standard parameterization is declared, with its rate eta_0/n and its kernel J J^T/n, where all layers have it.
        """
        layers = self.network.affine_layers()
        width = max((layer.features for layer in layers[:-1]), default=0)
        standard = width > 0 and all(layer.parameterization == "standard" for layer in layers)
        return Declaration(
            width=width,
            parameterization="standard" if standard else "ntk",
            matmul=self.matmul,
            dtype=self.dtype,
            batch_dependent=False,
            tapped=True,
        )

    @nn.compact
    def __call__(self, x: AnyArray, train: bool = False) -> Array:
        return self.network.forward(jnp.asarray(x, self.dtype), Scope(self.dtype, self.matmul, train))
