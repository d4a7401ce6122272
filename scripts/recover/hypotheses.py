"""What is tried: rules and scales of the images with the printed classes, and all pairs of classes with a few of them."""

from collections.abc import Sequence
from itertools import combinations

from ntkrun.data.dataset import CIFAR10_CLASSES
from recover.pools import RULES, Images

PRINTED = ("airplane", "horse")
SCALES = (1.0, 1.5, 2.0, 2.5)
# The ten classes as two, which is harder than most pairs.
SPLITS = (
    ("+".join(CIFAR10_CLASSES[:5]), "+".join(CIFAR10_CLASSES[5:])),
    ("+".join(CIFAR10_CLASSES[::2]), "+".join(CIFAR10_CLASSES[1::2])),
    ("airplane+automobile+ship+truck", "bird+cat+deer+dog+frog+horse"),
)


def of_printed_classes(rules: Sequence[str] = tuple(RULES), scales: Sequence[float] = SCALES) -> list[Images]:
    return [Images(rule, q, PRINTED) for rule in rules for q in scales]


def of_all_classes(rules_and_scales: Sequence[tuple[str, float]]) -> list[Images]:
    classes = [*combinations(CIFAR10_CLASSES, 2), *SPLITS]
    return [Images(rule, q, one) for rule, q in rules_and_scales for one in classes]


def short(classes: tuple[str, str]) -> str:
    """`airplane/horse`; a class joined of several by their numbers."""
    return "/".join(
        name if "+" not in name else "".join(str(CIFAR10_CLASSES.index(one)) for one in name.split("+"))
        for name in classes
    )


def pairs(names: str) -> list[tuple[str, str]]:
    return [(one.split("/")[0], one.split("/")[1]) for one in names.split()]


# Rule, sigma_w^2, eta and classes of the trained networks of Figure S6: a few, as each takes some ten seconds.
TRAINED_ONE_LAYER = [
    (Images(rule, 1.0, pair), sigma_w2, eta)
    for rule, sigma_w2, eta, names in (
        ("global", 2.0, 1.0, "airplane/horse cat/dog cat/horse bird/frog deer/frog bird/horse frog/horse deer/dog"),
        ("per_image", 2.0, 1.0, "airplane/horse cat/dog cat/horse bird/frog deer/dog"),
        ("global", 1.5, 1.0, "airplane/horse cat/horse"),
        ("per_image", 1.5, 1.0, "cat/horse"),
        ("global", 2.0, 2.0, "airplane/horse"),
        ("global", 1.5, 2.0, "airplane/horse cat/horse"),
        ("sphere", 2.0, 1.0, "airplane/horse"),
    )
    for pair in pairs(names)
]
