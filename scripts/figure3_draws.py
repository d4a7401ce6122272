"""What linear theory says of Figure 3 for several images and scales: the table "What the paper-size run says" of docs/figure3.md.

    NTKRUN_DATA_DIR=... python scripts/figure3_draws.py

Of f_lin with the analytic kernel (ReLU, L = 5, sigma_w^2 = 2, sigma_b^2 = .1; N = 256, 512 test images), over draws of the
images and of f_0: the train loss at t = .64 and the test loss at t = inf, mean and sd, and the share of draws above the
paper's.  ||x||^2 = q n_0; c is the flow time of a unit of the figure's axis (docs/recovered_settings.md).
"""

import numpy as np
from recover.whitening import whitened

from ntkrun.data.preprocess import preprocess
from ntkrun.data.sources.load import load_images
from ntkrun.kernels.analytic import analytic_kernels

N, TEST, IMAGES, FUNCTIONS, TIME = 256, 512, 8, 30, 0.64
PAPER = (0.864, 0.546)  # fig3/loss: train_network at t = .64, test_linear at the end
FROG_HORSE, AIRPLANE_HORSE = (6, 7), (0, 7)
C = {1.0: 2.0, 1.5: 1.41, 2.0: 1.19}  # by q
CASES = (
    *((FROG_HORSE, "per_image", q) for q in C),
    *((AIRPLANE_HORSE, "per_image", q) for q in (1.0, 1.5)),
    (AIRPLANE_HORSE, "sphere", 2.0),
    (AIRPLANE_HORSE, "whitened", 1.0),
)


def losses(images, classes: tuple[int, int], rule: str, q: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Train loss at t = .64 and test loss in the end, one for each f_0, of one draw of the images."""
    rng = np.random.default_rng(seed)
    parts = ((images.train_images, images.train_labels, N), (images.test_images, images.test_labels, TEST))
    rows = [rng.permutation(np.flatnonzero(np.isin(labels, classes)))[:count] for _, labels, count in parts]
    train, test = (pixels[chosen] for (pixels, _, _), chosen in zip(parts, rows, strict=True))
    y, y_test = (np.where(p[1][r] == classes[0], 1.0, -1.0)[:, None] for p, r in zip(parts, rows, strict=True))
    together = whitened(np.concatenate([train, test]) / 255) if rule == "whitened" else None
    x = np.concatenate(preprocess(train, test, rule)) if together is None else together
    network = {"depth": 5, "activation": "relu", "sigma_w2": 2.0, "sigma_b2": 0.1}
    kernels = analytic_kernels(np.sqrt(q) * x.reshape(len(x), -1), **network)
    # rounding leaves eigenvalues of the kernel below 0 at 1e-13 of the largest, which the Cholesky factor does not take
    f0 = np.linalg.cholesky(kernels.nngp + 1e-9 * np.eye(len(x))) @ rng.standard_normal((len(x), FUNCTIONS))
    values, vectors = np.linalg.eigh(kernels.ntk[:N, :N])
    off = vectors.T @ (f0[:N] - y)
    at_time = vectors @ (np.exp(-values / N * C[q] * TIME)[:, None] * off)
    end = f0[N:] - kernels.ntk[N:, :N] @ (vectors @ (off / values[:, None]))
    return np.mean(at_time**2, axis=0) / 2, np.mean((end - y_test) ** 2, axis=0) / 2


def main() -> None:
    images = load_images("cifar10", "auto")
    for classes, rule, q in CASES:
        found = [losses(images, classes, rule, q, 1000 + seed) for seed in range(IMAGES)]
        told = []
        for numbers, paper in zip(np.concatenate(found, axis=1), PAPER, strict=True):
            told.append(f"{numbers.mean():.2f} +- {numbers.std():.2f}, {np.mean(numbers > paper):.0%} above {paper}")
        names = " / ".join(images.class_names[one] for one in classes)
        print(f"{names}, {rule}, q = {q:g}: train loss at t = .64 {told[0]}; test loss at the end {told[1]}")


if __name__ == "__main__":
    main()
