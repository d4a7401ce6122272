"""What linear theory says of Figure 3 for several images and scales: the table "What the paper-size run says" of docs/figure3.md.

    NTKRUN_DATA_DIR=... python scripts/figure3_draws.py

Of f_lin with the analytic kernel, over draws of the images and of f_0: the train loss at t = .64 and the test loss at the
end, mean and sd, and the share of draws above the paper's.  Hypotheses, q and c as in docs/recovered_settings.md.
"""

import numpy as np
from recover.loss_curves import N_TRAIN, NETWORKS, Axis, at, simulated
from recover.pools import Images, draw, groups, pool

from ntkrun.reference import panel_points

IMAGES, FUNCTIONS = 24, 10  # draws of the images, of which losses hang more, and of f_0 for each
PER_CLASS, TEST = 1000, 512  # images to draw from, and test images, as in the figure
SHOWN = Axis("fig3", train=(0.64,), test=(327.68,))
C = {1.0: 2.0, 1.5: 1.41, 2.0: 1.19}  # by q, the best
FROG_HORSE, AIRPLANE_HORSE = ("frog", "horse"), ("airplane", "horse")
CASES = [
    *(Images("per_image", q, FROG_HORSE) for q in C),
    *(Images("per_image", q, AIRPLANE_HORSE) for q in (1.0, 1.5)),
    Images("sphere", 2.0, AIRPLANE_HORSE),
    Images("zca", 1.0, AIRPLANE_HORSE),
]


def main() -> None:
    loss = panel_points("fig3", "loss")
    papers = (at(loss["train_network"], SHOWN.train[0]), at(loss["test_linear"], SHOWN.test[0]))
    for part, x, alike in groups(pool("cifar10", PER_CLASS), CASES):
        kernels = NETWORKS["fig3"].kernels(x.astype(np.float32))
        for one in alike:
            rows = [draw(part, one, N_TRAIN, TEST, seed) for seed in range(IMAGES)]
            losses = np.exp(simulated(kernels, rows, SHOWN, (C[one.q],), FUNCTIONS)[0, :, :2]).T
            told = [
                f"{found.mean():.2f} +- {found.std():.2f}, {np.mean(found > paper):.0%} above {paper:.3f}"
                for found, paper in zip(losses, papers, strict=True)
            ]
            name = f"{' / '.join(one.classes)}, {one.rule}, q = {one.q:g}"
            print(f"{name}: train loss at t = .64 {told[0]}; test loss at the end {told[1]}")


if __name__ == "__main__":
    main()
