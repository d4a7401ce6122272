"""Images to draw from, scaled by one rule over all of them, and the kernels between them.

A pool holds the first so many images of every class; a draw of N training and M test images of some classes is a choice of
its rows.  So one kernel matrix serves all pairs of classes and all draws.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ntkrun.data.preprocess import preprocess, rescale_to_sphere
from ntkrun.data.sources.load import load_images
from ntkrun.types import Float, Int, NumpyArray
from recover.whitening import whitened


@dataclass(frozen=True)
class Pool:
    """Pixels in [0, 1] (n, h, w, c) and labels; `classes` by name."""

    pixels: Float[NumpyArray, "n h w c"]
    labels: Int[NumpyArray, " n"]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Images:
    """What a hypothesis says of the images: the rule that scales them, the factor of ||x||^2 and the two classes."""

    rule: str
    q: float
    classes: tuple[str, str]
    balanced: bool = False


@dataclass(frozen=True)
class Draw:
    """Rows of a pool, and their targets: +1 for the first of two classes and -1 for the second."""

    train: Int[NumpyArray, " n"]
    test: Int[NumpyArray, " m"]
    y_train: Float[NumpyArray, " n"]
    y_test: Float[NumpyArray, " m"]


def pool(name: str, per_class: int) -> Pool:
    images = load_images(name, "tfds")
    labels = np.asarray(images.train_labels)
    rows = np.concatenate([np.flatnonzero(labels == index)[:per_class] for index in range(len(images.class_names))])
    return Pool(np.asarray(images.train_images[rows], np.float64) / 255, labels[rows], images.class_names)


def draw(pool: Pool, images: Images, n_train: int, n_test: int, seed: int) -> Draw:
    """A class is a name or several joined by "+"; `balanced`: as many training images of either, else by chance."""
    rng = np.random.default_rng(seed)
    first, second = (rng.permutation(_rows(pool, names)) for names in images.classes)
    of_first = n_train // 2 if images.balanced else int(rng.binomial(n_train, 0.5))
    test_of_first = int(rng.binomial(n_test, 0.5))
    parts = [
        (first[:of_first], second[: n_train - of_first]),
        (first[of_first:][:test_of_first], second[n_train - of_first :][: n_test - test_of_first]),
    ]
    rows = [np.concatenate(part) for part in parts]
    targets = [np.repeat([1.0, -1.0], [len(one) for one in part]) for part in parts]
    return Draw(*rows, *targets)


def _rows(pool: Pool, names: str) -> NumpyArray:
    return np.flatnonzero(np.isin(pool.labels, [pool.classes.index(name) for name in names.split("+")]))


def _grey(pixels: NumpyArray) -> NumpyArray:
    return np.repeat(pixels.mean(axis=-1, keepdims=True), pixels.shape[-1], axis=-1)


def _of_ntkrun(rule: str) -> Callable[[NumpyArray], NumpyArray]:
    return lambda pixels: preprocess(pixels, pixels[:1], rule)[0]


RULES: dict[str, Callable[[NumpyArray], NumpyArray]] = {
    "sphere": _of_ntkrun("sphere"),
    "global": _of_ntkrun("global"),
    "zca": whitened,
    "per_image": _of_ntkrun("per_image"),
    "uncentred": rescale_to_sphere,  # pixels >= 0, on the sphere
    "pixelwise": lambda pixels: (
        (pixels - pixels.mean(0)) / (pixels.std(0) + 1e-3)
    ),  # black borders of digits have std 0
    "grey": lambda pixels: RULES["global"](_grey(pixels)),  # as one channel: h = x W sigma_w/sqrt(n_0) is the same
    "grey_per_image": lambda pixels: RULES["per_image"](_grey(pixels)),
    "grey_sphere": lambda pixels: RULES["sphere"](_grey(pixels)),
    # channels first, read as channels last: nothing to a fully-connected network, no image to a convolution
    "scrambled": lambda pixels: RULES["global"](pixels).transpose(0, 3, 1, 2).reshape(pixels.shape),
    "symmetric": lambda pixels: 2 * pixels - 1,
    "raw": lambda pixels: pixels,
}


def inputs(pool: Pool, rule: str, q: float) -> Float[NumpyArray, "n h w c"]:
    """`rule` over all images of the pool, times sqrt(q): ||x||^2 = q n_0 where the rule makes it n_0."""
    return RULES[rule](pool.pixels) * np.sqrt(q)


def groups(pool: Pool, tried: Sequence[Images]) -> Iterator[tuple[Pool, NumpyArray, list[Images]]]:
    """Hypotheses of one rule and q, with the inputs that they need: scaled over the whole pool, rows of their classes."""
    for rule, q in sorted({(one.rule, one.q) for one in tried}):
        alike = [one for one in tried if (one.rule, one.q) == (rule, q)]
        names = {name for one in alike for classes in one.classes for name in classes.split("+")}
        rows = _rows(pool, "+".join(names))
        yield Pool(pool.pixels[rows], pool.labels[rows], pool.classes), inputs(pool, rule, q)[rows], alike
