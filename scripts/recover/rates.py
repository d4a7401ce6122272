"""Figure S7: at which rate an accuracy is reached, by theory, and so after how many steps.

Small rates and many steps follow gradient flow of f_lin: accuracy is a function of tau = eta T/(1 - beta) alone, and the
paper's eta at an accuracy gives the number of steps T/(1 - beta), which is one number for both losses, both
nonlinearities and every accuracy, if the settings are the paper's.  `tau` is in ntkrun's convention, a mean over examples
and outputs; a cross-entropy that is summed over the ten classes has ten times that.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd

from ntkrun.kernels.analytic import analytic_kernels
from ntkrun.theory.closed_form import spectrum
from ntkrun.types import Float64, NumpyArray
from recover.pools import Pool, inputs

N_TRAIN = 1500
SETTINGS = [(depth, *variances) for depth in (1, 2, 3) for variances in ((1.0, 0.0), (1.5, 0.0), (2.0, 0.1))]
BETA = 0.9  # ours: the paper names no momentum for this figure
TIMES = 2.0 ** np.arange(-4, 14.01, 0.25)
# eta at half and at nine tenths of the plateau, and the plateau, where the paper's running medians cross it
PAPER = {
    ("mnist", "relu", "mse"): (0.0035, 0.077, 0.977),
    ("mnist", "tanh", "mse"): (0.0036, 0.086, 0.979),
    ("mnist", "relu", "xent"): (0.00026, 0.0031, 0.980),
    ("mnist", "tanh", "xent"): (0.00033, 0.0047, 0.979),
}


def accuracies(
    kernels, y: NumpyArray, labels_test: NumpyArray, rng: np.random.Generator
) -> dict[str, Float64[NumpyArray, " times"]]:
    """At `TIMES`, for either loss; one f_0."""
    n, k = y.shape
    f0 = np.linalg.cholesky(kernels.nngp + 1e-8 * np.eye(len(kernels.nngp))) @ rng.standard_normal(
        (len(kernels.nngp), k)
    )
    theta, to_test = kernels.ntk[:n, :n], kernels.ntk[n:, :n]
    modes = spectrum(theta)
    residual = modes.vectors.T @ (f0[:n] - y)
    rotated = to_test @ modes.vectors
    gains = modes.saturation(TIMES / (n * k))
    mse = [f0[n:] - rotated @ (gain[:, None] * residual) for gain in gains]
    return {
        name: np.array([np.mean(f.argmax(axis=1) == labels_test) for f in outputs])
        for name, outputs in (("mse", mse), ("xent", _cross_entropy(theta, to_test, f0, y, modes.values[-1])))
    }


def _cross_entropy(theta, to_test, f0, y, largest: float) -> Iterator[NumpyArray]:
    """Descent in function space whose steps grow with the time, up to what is stable: the softmax's Hessian is <= 1/2."""
    n, k = y.shape
    stable, now, c = 2 * n * k / largest, 0.0, np.zeros_like(y)
    for time in TIMES:
        while now < time:
            step = min(time - now, max(0.1 * now, TIMES[0] / 4), stable)
            f = f0[:n] + theta @ c
            p = np.exp(f - f.max(axis=1, keepdims=True))
            c -= step / (n * k) * (p / p.sum(axis=1, keepdims=True) - y)
            now += step
        yield f0[n:] + to_test @ c


def crossing(accuracy: Float64[NumpyArray, " times"], level: float) -> float:
    """log2 of the first time at which `accuracy` is `level`; nan if it never is."""
    above = np.flatnonzero(accuracy >= level)
    if not len(above) or above[0] == 0:
        return float("nan")
    i = above[0]
    share = (level - accuracy[i - 1]) / (accuracy[i] - accuracy[i - 1])
    return float(np.log2(TIMES[i - 1]) + share * np.log2(TIMES[i] / TIMES[i - 1]))


def evidence(pool: Pool, name: str, draws: int = 1) -> Iterator[dict[str, object]]:
    """log2 of the steps T/(1 - beta) that each of the paper's rates implies."""
    x = inputs(pool, "global", 1.0)
    for setting, activation, seed in product(SETTINGS, ("relu", "tanh"), range(draws)):
        named = dict(zip(("depth", "sigma_w2", "sigma_b2"), setting, strict=True))
        rng = np.random.default_rng(seed)
        rows = rng.permutation(len(x))
        labels = pool.labels[rows]
        kernels = analytic_kernels(x[rows], activation=activation, **named)
        found = accuracies(kernels, np.eye(10)[labels[:N_TRAIN]], labels[N_TRAIN:], rng)
        for loss, accuracy in found.items():
            half, most, plateau = PAPER[name, activation, loss]
            for share, eta in ((0.5, half), (0.9, most)):
                steps = crossing(accuracy, share * plateau) - np.log2(eta)
                how = {"activation": activation, "loss": loss, "share": share}
                yield {**named, "seed": seed, **how, "log2_steps": steps}


def edges(pool: Pool) -> Iterator[dict[str, object]]:
    """The rate above which heavy ball diverges on squared loss that is not halved: 2 (1 + beta)/(lambda_max/(N k))/2."""
    x = inputs(pool, "global", 1.0)
    for depth, sigma_w2, sigma_b2 in SETTINGS:
        setting = {"depth": depth, "sigma_w2": sigma_w2, "sigma_b2": sigma_b2}
        kernels = {name: analytic_kernels(x, activation=name, **setting).ntk for name in ("relu", "tanh")}
        largest = {name: np.linalg.eigvalsh(kernel)[-1] / len(x) / 10 for name, kernel in kernels.items()}
        yield setting | {name: (1 + BETA) / value for name, value in largest.items()}


def agreement(steps: pd.DataFrame, scatter: float = 0.4) -> pd.DataFrame:
    """How well the implied numbers of steps agree: cross-entropy divided by the ten classes or not, squared loss halved or not.

    The log-likelihood of Gaussian deviations of `scatter` octaves from a common, unknown number of steps: what one f_0 and
    1,500 images leave, as two nonlinearities under one loss differ by.
    """
    rows = []
    keys = ["depth", "sigma_w2", "sigma_b2"]
    for setting, part in steps.dropna().groupby(keys):
        for divided, halved in product((True, False), repeat=2):
            stronger = np.where(part["loss"] == "mse", 0.0 if halved else 1.0, 0.0 if divided else np.log2(10.0))
            found = part["log2_steps"] - stronger
            fitted = {"log2 steps": found.mean(), "rms": found.std(ddof=0), "points": len(found)}
            odds = {"log_likelihood": -0.5 * float(((found - found.mean()) ** 2).sum()) / scatter**2}
            how = {"divided by 10": divided, "halved": halved}
            rows.append({**dict(zip(keys, setting, strict=True)), **how, **fitted, **odds})
    return pd.DataFrame(rows).sort_values("log_likelihood", ascending=False)
