"""Figure 2: mean and sd of the outputs of infinitely wide networks along a line through two training images, (14) and (15).

The bands are theory in the paper, too, so that nothing but the images, the pair of them and the clock can differ.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np

from ntkrun.data.preprocess import rescale_to_sphere
from ntkrun.kernels.analytic import Kernels, analytic_kernels
from ntkrun.reference import panel_points
from ntkrun.theory.output_distribution import ntk_gp
from ntkrun.types import Float64, NumpyArray
from recover.likelihood import fit
from recover.pools import Draw, Images, Pool, draw, groups

TIMES = (16, 256, 65536)
ALPHAS = np.array([-2.0, -1.0, 0.5, 2.0, 3.0])
N_TRAIN = 128
C = tuple(2.0 ** np.arange(-1.25, 0.76, 0.25))  # flow time a step; printed is .5
LINES = 2  # pairs of training images for each draw of them
NUGGET = 0.01  # the curves are drawn as polylines, and read between their corners
_TANH = {"depth": 3, "activation": "tanh", "sigma_w2": 1.5, "sigma_b2": 0.0}


def observed() -> Float64[NumpyArray, " numbers"]:
    """log of the sd at t = 0, log of the sds at the three times, then the means."""
    panels = {time: panel_points("fig2", f"t{time}") for time in (0, *TIMES)}

    def at(time: int, curve: str) -> NumpyArray:
        points = panels[time][curve]
        return np.interp(ALPHAS, points["x"], points["y"])

    sds = {time: (at(time, "ntk_upper") - at(time, "ntk_lower")) / 4 for time in panels}
    return np.concatenate([np.log(sds[0][:1]), *(np.log(sds[t]) for t in TIMES), *(at(t, "ntk_mean") for t in TIMES)])


def simulated(x: NumpyArray, draws: Sequence[Draw], c: Sequence[float]) -> Float64[NumpyArray, "c draws numbers"]:
    """`x`: the inputs of the pool that the draws index."""
    found = [_along_lines(x[one.train], one.y_train, np.random.default_rng(seed), c) for seed, one in enumerate(draws)]
    return np.concatenate(found, axis=1)


def _along_lines(
    x: NumpyArray, y: NumpyArray, rng: np.random.Generator, c: Sequence[float]
) -> Float64[NumpyArray, "c lines numbers"]:
    """Mixtures alpha x_1 + (1 - alpha) x_2, where x_2 has the target +1, scaled back to the length of x_1."""
    ends = [(rng.choice(np.flatnonzero(y < 0)), rng.choice(np.flatnonzero(y > 0))) for _ in range(LINES)]
    mixed = np.concatenate([[a * x[i] + (1 - a) * x[j] for a in ALPHAS] for i, j in ends])
    mixed = rescale_to_sphere(mixed) * np.sqrt(np.mean(x[0] ** 2))
    kernels = analytic_kernels(np.concatenate([x, mixed]), **_TANH)
    n = len(x)

    def part(rows: slice, columns: slice) -> Kernels:
        return Kernels(*(kernel[rows, columns] for kernel in kernels))

    train, test = slice(0, n), slice(n, None)
    times = np.outer(c, TIMES).ravel()
    bands = ntk_gp(part(train, train), part(test, train), part(test, test), y[:, None], times, diagonal_only=True)
    shape = (len(c), len(TIMES), LINES, len(ALPHAS))
    sds, means = np.sqrt(np.maximum(bands.covariance, 1e-12)).reshape(shape), bands.mean.reshape(shape)
    first = np.log(np.sqrt(np.diag(kernels.nngp)[n:])).reshape(LINES, len(ALPHAS))[:, :1]
    return np.concatenate(
        [
            np.broadcast_to(first, (len(c), LINES, 1)),
            np.log(sds).swapaxes(1, 2).reshape(len(c), LINES, -1),
            means.swapaxes(1, 2).reshape(len(c), LINES, -1),
        ],
        axis=2,
    )


def evidence(pool: Pool, tried: Sequence[Images], draws: int) -> Iterator[dict[str, object]]:
    numbers = observed()
    for part, x, alike in groups(pool, tried):
        for one in alike:
            found = simulated(x, [draw(part, one, N_TRAIN, 1, seed) for seed in range(draws)], C)
            for c, fitted in zip(C, (fit(v, numbers, np.full(len(numbers), NUGGET)) for v in found), strict=True):
                yield {"figure": "fig2", **asdict(one), "c": c, **asdict(fitted)}
