"""eta lambda up to which constant steps are stable in a direction of curvature lambda, where several places need it."""


def heavy_ball(momentum: float) -> float:
    """2 + 2 beta, 2 without momentum.

    A mode obeys r^2 - (1 + beta - eta lambda) r + beta = 0; both roots lie inside the unit circle iff beta < 1 and 0 < eta
    lambda < 2 (1 + beta), at whose upper end one root is -1.
    """
    return 2.0 + 2.0 * momentum
