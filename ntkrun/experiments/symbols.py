"""What pictures say in the paper's symbols: labels of settings are kept as one types them, "eta = 0.1, phi = relu"."""

import re
from collections.abc import Collection, Iterator

from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

SYMBOLS = {
    "phi": "φ",
    "eta": "η",
    "alpha": "\N{GREEK SMALL LETTER ALPHA}",
    "beta": "β",
    "sigma_w^2": r"$\sigma_w^2$",
    "sigma_b^2": r"$\sigma_b^2$",
}
NAMES = {
    "relu": "ReLU",
    "leaky_relu": "leaky ReLU",
    "abrelu": "abReLU",
    "gelu": "GELU",
    "elu": "ELU",
    "rbf": "RBF",
    "mse": "MSE",
    "ntk": "NTK",
    "xent": "cross-entropy",
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
}
# a symbol is set or compared, another name stands alone: neither is looked for in names of files and settings
_SYMBOL = re.compile(rf"(?<![\w./-])({'|'.join(map(re.escape, SYMBOLS))})(?= (?:=|instead))")
_NAME = re.compile(rf"(?<![\w./-])({'|'.join(NAMES)})(?![\w/-]|\.\w)")


def in_symbols(figure: Figure) -> None:
    """Rewrite the texts of a figure; those that have mathematics already stay."""
    for text in _texts(figure):
        if (told := text.get_text()) and "$" not in told:
            text.set_text(symbols(told))


def told_as_stand_ins(figure: Figure, names: Collection[str]) -> None:
    """Rewrite the texts that name these sets of images, which others stand in for: "stand-in for mnist".

    What the paper's points are of, "paper (MNIST)", are no stand-ins.
    """
    words = [word for name in names for word in {name, NAMES.get(name, name)}]
    named = re.compile(rf"paper \([^)]*\)|(?<![\w./-])({'|'.join(map(re.escape, words))})(?![\w/-]|\.\w)")
    for text in _texts(figure) if words else ():
        if told := text.get_text():
            text.set_text(named.sub(lambda found: f"stand-in for {found[1]}" if found[1] else found[0], told))


def symbols(text: str) -> str:
    return _NAME.sub(lambda found: NAMES[found[1]], _SYMBOL.sub(lambda found: SYMBOLS[found[1]], text))


def _texts(artist: Artist) -> Iterator[Text]:
    """All but the ticks of axes, which are made when they are asked for, by the hundred where an axis is logarithmic."""
    if isinstance(artist, Text):
        yield artist
    for part in [artist.label] if isinstance(artist, Axis) else artist.get_children():
        yield from _texts(part)
