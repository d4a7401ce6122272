"""Sizes of the data sets, known before any image is read."""

IMAGES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
EXAMPLES = {"mnist": (60_000, 10_000), "cifar10": (50_000, 10_000)}  # train, test; CIFAR-10's classes are of equal size
