"""The parameterizations: what of a weight is trained, how it is drawn and at which rate it moves.

As exponents of the width n (Yang and Hu 2021, "Feature learning in infinite-width neural networks", their abc):
W^l = n^-a w^l with w^l ~ N(0, n^-2b) trained, w^l <- w^l - eta n^-c dL/dw^l:

                    input layer     hidden layers     readout        all layers
                      a     b          a     b         a     b           c
    ntk               0     0         1/2    0        1/2    0           0
    standard          0     0          0    1/2        0    1/2          1          (S36)
    mup, theirs     -1/2   1/2         0    1/2       1/2   1/2          0
    mup, here         0     0         1/2    0         1     0          -1

(n stands for the fan-in where that grows; the input layer's is fixed, and is divided by in all of them.)

The last two rows are one network.  Put w = n^-s w' in a layer: w' ~ N(0, n^-2(b - s)) and W = n^-(a + s) w', so the network
starts from the same W.  A step moves W by -eta n^-(2a + c) dL/dW, and the same step on w' at the rate eta n^-(c - 2s) by
-eta n^-(2(a + s) + c - 2s) dL/dW, which is the same.  So (a, b, c) -> (a + s, b - s, c - 2s) changes nothing, layer by layer,
for all steps that are linear in the gradients: descent, heavy ball, Nesterov; not Adam's, and not under weight decay, which
sees w itself.  s = 1/2 in every layer takes their row to ours: the rates of the layers are absorbed, and one is left, eta n.

So mup is the network of ntk with its readout, weights and bias, over sqrt n, and eta_0 n for eta_0:

    f_mup = f_ntk / sqrt n,    n J_mup J_mup^T = J_ntk J_ntk^T    at theta_0.

Both begin with the same kernel and learn at the same speed, but f_0 = O(n^-1/2), and a step that moves f by O(1) moves theta
sqrt n times as far as in ntk: pre-activations and the kernel by O(1) instead of O(n^-1/2), at any width.  No kernel that is
fixed at theta_0 describes it, hence no Theta at infinite width.
"""

import math
from dataclasses import dataclass
from typing import get_args

from ntkrun.errors import UserError
from ntkrun.settings.choices import Parameterization

NAMES = get_args(Parameterization)


def check_parameterization(parameterization: str) -> None:
    """Raises `UserError` unless the name is one of `NAMES`."""
    if parameterization not in NAMES:
        raise UserError(f"unknown parameterization {parameterization!r}: choose {', '.join(NAMES[:-1])} or {NAMES[-1]}")


@dataclass(frozen=True)
class Scaling:
    """Of one layer h = scale w . x + scale_b b: names, standard deviations and factors of w and of b, and the variances of
    W = scale w and of scale_b b; weights first."""

    names: tuple[str, str]
    deviations: tuple[float, float]
    factors: tuple[float, float]
    variances: tuple[float, float]


def scaling(parameterization: str, fan_in: int, sigma_w2: float, sigma_b2: float, readout_of: int = 0) -> Scaling:
    """Of a layer with W ~ N(0, sigma_w2 / fan_in), b ~ N(0, sigma_b2), in mup over n where it is the readout of n units.

    Raises `UserError` for an unknown parameterization, and for a `readout_of` in another than mup.
    """
    check_parameterization(parameterization)
    if readout_of and parameterization != "mup":
        raise UserError(
            f"readout_of={readout_of} is for parameterization='mup', not {parameterization!r}: leave it out"
        )
    sigma_w, sigma_b = math.sqrt(sigma_w2 / fan_in), math.sqrt(sigma_b2)
    variances = (sigma_w2 / fan_in, sigma_b2)
    if parameterization == "standard":
        return Scaling(("W", "b"), (sigma_w, sigma_b), (1.0, 1.0), variances)
    if not readout_of:
        return Scaling(("omega", "beta"), (1.0, 1.0), (sigma_w, sigma_b), variances)
    shrunk = math.sqrt(readout_of)
    smaller = (variances[0] / readout_of, sigma_b2 / readout_of)
    return Scaling(("omega", "beta"), (1.0, 1.0), (sigma_w / shrunk, sigma_b / shrunk), smaller)


def rate_factor(parameterization: str, width: int) -> float:
    """n^-c: the factor on eta_0, and on J J^T, that belongs to the parameterization."""
    check_parameterization(parameterization)
    if parameterization == "ntk":
        return 1.0
    return float(width) if parameterization == "mup" else 1.0 / width
