"""Losses and accuracies of f_lin by theory: the infinitely wide network's kernels, f_0 a draw of its Gaussian process.

Under gradient flow, with E = exp(-c Theta t/N): f_lin(X) - Y = E (f_0(X) - Y) and f_lin(x) = f_0(x) - Theta(x, X)
Theta^-1 (I - E)(f_0(X) - Y), eqs (8)-(11).  c is the flow time, in the convention of ntkrun, of a unit of the figure's axis.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np

from ntkrun.kernels.analytic import Kernels, analytic_kernels
from ntkrun.reference import panel_points
from ntkrun.theory.closed_form import spectrum
from ntkrun.types import Float64, NumpyArray
from recover.likelihood import fit
from recover.pools import Draw, Images, Pool, draw, groups

# What a network of a figure's width adds to the scatter: its kernel differs from the infinite one's by some per cent.
LOSS_NUGGET, ACCURACY_NUGGET, SD_NUGGET = 0.05, 0.02, 0.1
SHOWN = 11  # test outputs that the paper draws


@dataclass(frozen=True)
class Axis:
    """Abscissae of the points of a figure that are used."""

    figure: str
    train: tuple[float, ...]
    test: tuple[float, ...]
    accuracy: tuple[float, ...] = ()


_RELU = {"depth": 5, "activation": "relu", "sigma_w2": 2.0, "sigma_b2": 0.1}
N_TRAIN, N_TEST = 256, 256  # of the paper's 512 test images half: 400 of each class are in the pool
C = tuple(2.0 ** np.arange(-0.5, 2.76, 0.25))
C_NEAR_2 = tuple(2.0 ** np.array([0.75, 1.0, 1.25]))  # the printed rate, if the loss has no factor 1/2


FIGURE_3 = Axis("fig3", (0.01, 0.04, 0.16, 0.64, 2.56, 10.24, 40.96), (0.01, 0.08, 0.64, 2.56, 10.24, 40.96, 327.68))
FIGURE_S8 = Axis(
    "figs8",
    (0.01, 0.04, 0.16, 0.64, 2.56, 10.24, 40.96),
    (0.01, 0.08, 0.64, 2.56, 10.24, 40.96, 327.68),
    (10.24, 327.68),
)


def at(points, x: float) -> float:
    """The ordinate of the digitised point at x; t = 0 is drawn left of a logarithmic axis."""
    xs, ys = points["x"].to_numpy(), points["y"].to_numpy()
    nearest = int(np.argmin(np.abs(xs - x)))
    if abs(xs[nearest] - x) > 1e-3 * max(x, 1e-2):
        raise ValueError(f"no digitised point at {x}: {xs}")
    return float(ys[nearest])


def observed(axis: Axis) -> tuple[Float64[NumpyArray, " numbers"], Float64[NumpyArray, " numbers"]]:
    """The paper's numbers in the order of `simulated`, and their nuggets."""
    loss, drawn = panel_points(axis.figure, "loss"), panel_points(axis.figure, "test_output")
    f0 = [at(points, axis.train[0]) for name, points in drawn.items() if name.endswith("_linear")]
    numbers = [np.log(at(loss["train_linear"], t)) for t in axis.train]
    numbers += [np.log(at(loss["test_linear"], t)) for t in axis.test] + [np.log(np.std(f0))]
    accuracy = panel_points(axis.figure, "accuracy") if axis.accuracy else {}
    numbers += [at(accuracy["test_linear"], t) for t in axis.accuracy]
    counts = (len(axis.train) + len(axis.test), 1, len(axis.accuracy))
    return np.array(numbers), np.repeat([LOSS_NUGGET, SD_NUGGET, ACCURACY_NUGGET], counts)


def simulated(
    kernels: Kernels, draws: Sequence[Draw], axis: Axis, c: Sequence[float], functions: int
) -> Float64[NumpyArray, "c draws numbers"]:
    """`kernels` over the pool that the draws index; `functions` initial functions for each draw of images."""
    found = [_of_one(kernels, one, axis, c, functions, seed) for seed, one in enumerate(draws)]
    return np.concatenate(found, axis=1)


def _of_one(
    kernels: Kernels, one: Draw, axis: Axis, c: Sequence[float], functions: int, seed: int
) -> Float64[NumpyArray, "c functions numbers"]:
    rng = np.random.default_rng(seed)
    n = len(one.train)
    rows = np.concatenate([one.train, one.test])
    nngp = kernels.nngp[np.ix_(rows, rows)].astype(np.float64)
    root = np.linalg.cholesky(nngp + 1e-9 * np.trace(nngp) / len(nngp) * np.eye(len(nngp)))
    f0 = root @ rng.standard_normal((len(rows), functions))
    theta = spectrum(kernels.ntk[np.ix_(one.train, one.train)].astype(np.float64))
    residual = theta.vectors.T @ (f0[:n] - one.y_train[:, None])
    to_test = kernels.ntk[np.ix_(one.test, one.train)].astype(np.float64) @ theta.vectors
    shown = rng.permutation(len(one.test))[:SHOWN]

    def train(t: float) -> NumpyArray:
        kept = np.exp(-t * theta.values / n)[:, None] * residual
        return np.log((kept**2).sum(axis=0) / (2 * n) + 1e-12)

    def test(t: float) -> NumpyArray:
        return f0[n:] - to_test @ (theta.saturation(np.array([t / n]))[0][:, None] * residual)

    def numbers(c: float) -> NumpyArray:
        rows = [train(c * t) for t in axis.train]
        outputs = {t: test(c * t) for t in {*axis.test, *axis.accuracy}}
        rows += [np.log(np.mean((outputs[t] - one.y_test[:, None]) ** 2, axis=0) / 2) for t in axis.test]
        rows += [np.log(f0[n:][shown].std(axis=0))]
        rows += [np.mean(outputs[t] * one.y_test[:, None] > 0, axis=0) for t in axis.accuracy]
        return np.stack(rows, axis=1)

    return np.stack([numbers(value) for value in c])


@dataclass(frozen=True)
class Network:
    """A figure's axis with one guess at the dynamics behind it."""

    axis: Axis
    parameterization: str

    def kernels(self, x: NumpyArray) -> Kernels:
        return analytic_kernels(x, parameterization=self.parameterization, width=2048, **_RELU)


# Figure S8 prints the standard parameterization; "ntk" is a network with the layer-wise rates of (S37), which move it alike.
NETWORKS = {
    "fig3": Network(FIGURE_3, "ntk"),
    "figs8": Network(FIGURE_S8, "standard"),
    "figs8 (S37)": Network(FIGURE_S8, "ntk"),
}


def evidence(
    pool: Pool,
    tried: Sequence[Images],
    networks: Mapping[str, Network],
    c: Sequence[float],
    *,
    draws: int,
    functions: int,
    nuggets: Sequence[float] = (1.0,),
) -> Iterator[dict[str, object]]:
    """A row for every figure, hypothesis about the images, c and multiple of the nugget."""
    for part, x, alike in groups(pool, tried):
        for name, network in networks.items():
            kernels = network.kernels(x.astype(np.float32))
            numbers, nugget = observed(network.axis)
            for one in alike:
                rows = [draw(part, one, N_TRAIN, N_TEST, seed) for seed in range(draws)]
                found = simulated(kernels, rows, network.axis, c, functions)
                for (one_c, values), times in product(zip(c, found, strict=True), nuggets):
                    fitted = fit(values, numbers, times * nugget)
                    yield {"figure": name, **asdict(one), "c": one_c, "nugget": times, **asdict(fitted)}
