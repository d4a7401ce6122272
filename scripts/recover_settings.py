"""Which settings the paper's curves speak for: every figure's evidence, and all of them together.

    NTKRUN_DATA_DIR=... python scripts/recover_settings.py --into build/recovered            all parts, then the page
    NTKRUN_DATA_DIR=... python scripts/recover_settings.py --into build/recovered losses     one of them

Each part writes a table of its own, PART.parquet, and is not computed again while that is there.
"""

import argparse
from pathlib import Path

import pandas as pd
from recover import bands, cnn, displacements, loss_curves, one_layer, page, rates
from recover.hypotheses import PRINTED, TRAINED_ONE_LAYER, of_all_classes, of_printed_classes, pairs
from recover.pools import RULES, Images, pool

HARDER = (("per_image", 1.0), ("sphere", 1.0), ("zca", 1.0))
FOR_ONE_LAYER = ("global", "per_image", "sphere", "zca", "pixelwise", "grey", "grey_per_image", "grey_sphere")
CONVOLUTIONS: dict[str, int] = {"draws": 8, "functions": 12, "channels": 24, "networks": 2}
FOR_CONVOLUTIONS = ("global", "per_image", "sphere", "zca", "pixelwise", "grey", "scrambled")


def losses() -> pd.DataFrame:
    tried = of_printed_classes([rule for rule in RULES if rule != "scrambled"])
    return _losses(tried, loss_curves.NETWORKS, loss_curves.C)


def losses_of_classes() -> pd.DataFrame:
    networks = {name: loss_curves.NETWORKS[name] for name in ("fig3", "figs8 (S37)")}
    return _losses(of_all_classes(HARDER), networks, loss_curves.C_NEAR_2)


def _losses(tried: list[Images], networks: dict[str, loss_curves.Network], c: tuple[float, ...]) -> pd.DataFrame:
    return pd.DataFrame(loss_curves.evidence(pool("cifar10", 400), tried, networks, c, draws=10, functions=12))


def checks() -> pd.DataFrame:
    """Does the answer hang on the nugget, and can the curves tell balanced classes?"""
    tried = [
        Images("per_image", 1.0, pair) for pair in pairs("frog/horse bird/horse cat/horse bird/frog airplane/horse")
    ]
    tried += [Images("per_image", 1.0, ("frog", "horse"), balanced=True), Images("zca", 1.0, PRINTED)]
    networks = {name: loss_curves.NETWORKS[name] for name in ("fig3", "figs8 (S37)")}
    nuggets = (0.5, 1.0, 2.0)
    found = loss_curves.evidence(
        pool("cifar10", 400), tried, networks, loss_curves.C_NEAR_2, draws=20, functions=12, nuggets=nuggets
    )
    return pd.DataFrame(found)


def displaced() -> pd.DataFrame:
    tried = [*of_printed_classes(FOR_ONE_LAYER, (1.0, 1.5)), *of_all_classes([("global", 1.0), ("per_image", 1.0)])]
    return pd.DataFrame(displacements.evidence(pool("cifar10", 300), list(dict.fromkeys(tried)), 16, 16))


def trained() -> pd.DataFrame:
    return pd.DataFrame(one_layer.evidence(pool("cifar10", 300), TRAINED_ONE_LAYER, draws=3, networks=3))


def convolutional() -> pd.DataFrame:
    tried = [*of_printed_classes(FOR_CONVOLUTIONS, (1.0,)), *of_all_classes([("global", 1.0)])]
    return pd.DataFrame(cnn.evidence(pool("cifar10", 128), list(dict.fromkeys(tried)), **CONVOLUTIONS))


def sigmas() -> pd.DataFrame:
    """Are the 2.0 and 0.1 that Figures S2 and S5 print for tanh variances, or standard deviations?"""
    tried = [Images("global", 1.0, pair) for pair in pairs("airplane/horse frog/horse cat/horse cat/dog")]
    of_sigmas = [
        pd.DataFrame(cnn.evidence(pool("cifar10", 128), tried, **CONVOLUTIONS, sigma_w2=w, sigma_b2=b)).assign(
            sigma_w2=w, sigma_b2=b
        )
        for w, b in ((2.0, 0.1), (4.0, 0.01))
    ]
    return pd.concat(of_sigmas, ignore_index=True)


def lines() -> pd.DataFrame:
    """A few pairs of classes: one pair of images moves the bands more than another pair of classes does."""
    images = of_printed_classes(("sphere", "per_image"), (1.0, 2.0)) + of_printed_classes(("zca", "global"), (1.0,))
    images += [Images("per_image", 1.0, pair) for pair in pairs("frog/horse bird/horse cat/horse cat/deer cat/dog")]
    digits = [Images("per_image", 1.0, pair) for pair in pairs("3/8 4/9 0/1 2/7")]
    found = [*bands.evidence(pool("cifar10", 100), images, 16), *bands.evidence(pool("mnist", 100), digits, 16)]
    return pd.DataFrame(found)


def scales() -> pd.DataFrame:
    """||x||^2 = q n_0 with either pair of classes, in all three figures that TensorFlow made."""
    tried = [Images("per_image", q, pair) for q in (1.0, 1.5, 2.0) for pair in pairs("frog/horse airplane/horse")]
    lines = pd.DataFrame(bands.evidence(pool("cifar10", 100), tried, 16))
    return pd.concat([_losses(tried, loss_curves.NETWORKS, loss_curves.C), lines], ignore_index=True)


def learning_rates() -> pd.DataFrame:
    return pd.DataFrame(rates.evidence(pool("mnist", 200), "mnist"))


def edges() -> pd.DataFrame:
    return pd.DataFrame(rates.edges(pool("mnist", 60)))


PARTS = {
    "losses": losses,
    "losses_of_classes": losses_of_classes,
    "checks": checks,
    "displaced": displaced,
    "trained": trained,
    "convolutional": convolutional,
    "sigmas": sigmas,
    "lines": lines,
    "scales": scales,
    "learning_rates": learning_rates,
    "edges": edges,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all without")
    parser.add_argument("--into", type=Path, required=True)
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; choose of {', '.join(PARTS)}")
    chosen.into.mkdir(parents=True, exist_ok=True)
    for part in chosen.parts or PARTS:
        path = chosen.into / f"{part}.parquet"
        if not path.exists():
            PARTS[part]().to_parquet(path)
    for title, table in page.pages(chosen.into):
        print(f"\n### {title}\n\n{table}")
    if page.told(chosen.into):
        page.evidence(chosen.into).to_csv(chosen.into / "evidence.csv", index=False)


if __name__ == "__main__":
    main()
