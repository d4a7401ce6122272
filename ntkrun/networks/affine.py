"""Layers with weights: dense ones, and convolutions of any filter.

    h = W x + b over fan_in products:    K' = sigma_w2 <K> + sigma_b2
    NTK parameterization                 Theta' = sigma_w2 <K> + sigma_b2 + sigma_w2 <Theta>
    standard parameterization            Theta' = fan_in <K> + 1 + sigma_w2 <Theta>            (no 1 without biases)

where <K> is the mean over the filter: of K(s + d, s' + d) over its offsets d, of K itself for a dense layer.  The
derivatives of h by the weights are sqrt(sigma_w2/fan_in) x and x, those by the bias sigma_b and 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ntkrun.errors import UserError
from ntkrun.models.parameterizations import check_parameterization
from ntkrun.networks import module
from ntkrun.networks.base import Layer
from ntkrun.networks.covariances import Covariances, Needs, Signal
from ntkrun.networks.statistics import Statistics
from ntkrun.networks.windows import Window, counts, per_axis, window_sums, windows
from ntkrun.types import Array


@dataclass(frozen=True)
class AffineLayer(Layer):
    """What `Dense` and `Conv` share.

    features          units or channels; the kernels are the limit in which all of them but the last layer's grow
    sigma_w2          sigma_w^2: the weights have variance sigma_w2 / fan_in
    sigma_b2          sigma_b^2, variance of the biases; 0: there are none
    parameterization  "ntk": W = sqrt(sigma_w2 / fan_in) omega, omega ~ N(0, 1) is trained; "standard": W itself
    name              in the parameter tree; None: layer_1, layer_2, ... in forward order
    """

    features: int
    sigma_w2: float = 1.0
    sigma_b2: float = 0.0
    parameterization: str = "ntk"
    name: str | None = None

    def __post_init__(self) -> None:
        what = type(self).__name__
        check_parameterization(self.parameterization)
        if self.parameterization == "mup":
            raise UserError(
                f"{what}: parameterization='mup' has no kernel at infinite width, which moves with training: choose ntk or standard"
            )
        if not isinstance(self.features, int) or self.features < 1:
            raise UserError(f"{what}: features={self.features!r} must be a whole number >= 1")
        for name in ("sigma_w2", "sigma_b2"):
            value = getattr(self, name)
            if not (0 <= value < math.inf):
                raise UserError(f"{what}: {name}={value} must be a finite number >= 0")

    @property
    def over(self) -> tuple[Window, ...]:
        """The filter, axis by axis; empty: every position by itself."""
        return ()

    def covariances(self, k: Covariances, of: Statistics, after: Needs) -> Covariances:
        products = math.prod(window.size for window in self.over)
        share, is_ntk = self.sigma_w2 / products, self.parameterization == "ntk"
        nngp = window_sums([(share, k.nngp)], self.over, k.axes, constant=self.sigma_b2)
        if of.own:
            return replace(k, nngp=nngp, ntk=None)
        # fan_in <K> is `features` for each product of the filter
        terms = [(share if is_ntk else float(k.signal.features), k.nngp), *([] if k.ntk is None else [(share, k.ntk)])]
        bias = self.sigma_b2 if is_ntk else float(self.sigma_b2 > 0)
        return replace(k, nngp=nngp, ntk=window_sums(terms, self.over, k.axes, constant=bias))

    def affine_layers(self) -> tuple[Layer, ...]:
        return (self,)


@dataclass(frozen=True)
class Dense(AffineLayer):
    """h = x W + b; on inputs with positions, at every position by itself."""

    def signal(self, given: Signal) -> Signal:
        return Signal(given.positions, self.features, gaussian=True, centred=True)

    def forward(self, x: Array, scope: module.Scope) -> Array:
        return scope.affine(x, self, ())


@dataclass(frozen=True)
class Conv(AffineLayer):
    """Convolution with a filter of `size` positions, `strides` apart, one number for each axis of the images.

    padding: "SAME" (zeros outside, one output for each stride-th position), "VALID" (windows inside alone), "CIRCULAR" (as
    SAME, and what lies outside is the other side of the image).
    """

    size: Sequence[int] = (3, 3)
    strides: Sequence[int] | None = None  # 1 along every axis
    padding: str = "SAME"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "size", per_axis(self.size, "Conv: size"))
        object.__setattr__(self, "strides", per_axis(self.strides, "Conv: strides"))
        _ = self.over  # which refuses what is no window

    @property
    def over(self) -> tuple[Window, ...]:
        return windows(self.size, self.strides, self.padding, "Conv")

    def signal(self, given: Signal) -> Signal:
        return Signal(counts(self.over, given.positions, "Conv"), self.features, gaussian=True, centred=True)

    def forward(self, x: Array, scope: module.Scope) -> Array:
        counts(self.over, x.shape[1:-1], "Conv")  # refuses images that it does not fit
        return scope.affine(x, self, self.over)
