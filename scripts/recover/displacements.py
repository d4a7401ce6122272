"""Figure S6, top row: how far the weights of one hidden ReLU layer have moved in the end, by theory.

Gradient flow moves the weights by J^T c with c = -Theta^-1 (I - E)(f_0 - Y), eq (8), so that a layer whose share of Theta is
Theta_l has ||delta omega_l||^2 = c^T Theta_l c.  The paper's relative changes times ||omega_l|| = sqrt(n_{l-1} n_l).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np

from ntkrun.kernels.analytic import analytic_kernels
from ntkrun.reference import paper_panel
from ntkrun.theory.closed_form import spectrum
from ntkrun.types import Float64, NumpyArray
from recover.likelihood import fit
from recover.pools import Draw, Images, Pool, draw, groups

N_TRAIN, N_0, STEPS = 128, 3072, 65536
WIDE = 256  # from this width on the paper's displacements are flat
C = (1.0,)  # flow time a step; the end does not depend on it
# Networks of width 1,024 whose weights the theory has within 2 % (docs/figure_s6.md).
NUGGET = 0.02
SIGMA_W2 = (1.0, 1.5, 2.0)


def observed() -> Float64[NumpyArray, " numbers"]:
    """log of the displacement of the input and of the output weights, mean over the widths."""
    panel = paper_panel("figs6", "relu1_weight_change_vs_width")

    def mean(curve: str, fan_in: int) -> float:
        wide = panel[curve][panel[curve]["x"] >= WIDE]
        return float(np.log(np.mean(wide["y"] * np.sqrt(fan_in * wide["x"]))))

    return np.array([mean("layer1_input", N_0), mean("layer2_output", 1)])


def simulated(
    x: NumpyArray, draws: Sequence[Draw], sigma_w2: float, c: Sequence[float], functions: int
) -> Float64[NumpyArray, "c draws numbers"]:
    """One row for each draw of images, a mean over `functions` f_0: the paper's widths share their images."""
    return np.stack([_of_one(x[one.train], one.y_train, sigma_w2, c, functions, i) for i, one in enumerate(draws)], 1)


def _of_one(
    x: NumpyArray, y: NumpyArray, sigma_w2: float, c: Sequence[float], functions: int, seed: int
) -> Float64[NumpyArray, "c numbers"]:
    kernels = analytic_kernels(x, depth=1, activation="relu", sigma_w2=sigma_w2, sigma_b2=0.0)
    root = np.linalg.cholesky(kernels.nngp + 1e-10 * np.eye(len(x)))
    f0 = root @ np.random.default_rng(seed).standard_normal((len(x), functions))
    theta = spectrum(kernels.ntk)
    residual = theta.vectors.T @ (f0 - y[:, None])
    gains = theta.saturation(np.array(c) * STEPS / len(x))
    layers = (kernels.ntk - kernels.nngp, kernels.nngp)  # without biases Theta_output is K
    moved = [theta.vectors @ (gain[:, None] * residual) for gain in gains]
    return np.array([[0.5 * np.log(np.mean(np.sum(one * (layer @ one), 0))) for layer in layers] for one in moved])


def evidence(pool: Pool, tried: Sequence[Images], draws: int, functions: int) -> Iterator[dict[str, object]]:
    numbers = observed()
    for part, x, alike in groups(pool, tried):
        for one in alike:
            rows = [draw(part, one, N_TRAIN, 1, seed) for seed in range(draws)]
            for sigma_w2 in SIGMA_W2:
                found = simulated(x, rows, sigma_w2, C, functions)
                for c, values in zip(C, found, strict=True):
                    fitted = fit(values, numbers, np.full(2, NUGGET))
                    sizes = dict(zip(("input", "output"), np.exp(values.mean(axis=0)), strict=True))
                    yield {"figure": "figs6", **asdict(one), "sigma_w2": sigma_w2, "c": c, **asdict(fitted), **sizes}
