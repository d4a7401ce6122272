"""Titles say what was run: the words of a title that name a setting, and what stands in their place for other values.

    title="Figure 1: ... (MNIST, ReLU, L = 3)"
    title_names={"MNIST": DATA, "ReLU": ACTIVATION, "L = 3": DEPTH}

is "Figure 1: ... (MNIST, tanh, L = 3)" for `model.activation=tanh`.  With the shipped settings a title stays as it is.  One that
has no word for the images has other ones than the shipped added: "Figure 2: ... (own data (grey.npz), tanh, L = 3)".
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ntkrun.experiments.symbols import NAMES

Ran = Sequence[tuple[str, Any]]  # (part, settings) of every cell
STAND_IN = "images in place of {}"
COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
KINDS = {
    "fc": "a wide fully-connected network",
    "cnn": "a convolutional network",
    "wide_resnet": "a wide residual network",
}
ADJECTIVES = {"fc": "fully-connected", "cnn": "convolutional", "wide_resnet": "wide residual"}
STEPS = {"gd": "gradient descent", "momentum": "heavy ball", "nesterov": "Nesterov's momentum", "adam": "Adam"}
LOSSES = {"mse": "squared loss", "cross_entropy": "cross-entropy"}
# The text names airplane and horse, captions only say "two classes", and the curves prefer frog and horse
# (docs/recovered_settings.md): either may be what the paper had, which a legend therefore does not say.
PAIR, PAIRS = "its two classes", ({"airplane", "horse"}, {"frog", "horse"}, {0, 7}, {6, 7})


@dataclass(frozen=True)
class Named:
    """What a title names.

    said     the words for the cells of a run
    setting  its dotted name; where a table has it as a column, each picture is of some of its values
    kind     whether another value makes another problem than the paper's, with which its curves cannot be compared
    part     of a figure whose rows are parts with panels named after them, the one that it speaks of; "": all
    """

    said: Callable[[Ran], str]
    setting: str
    kind: bool = True
    part: str = ""

    def of_part(self, part: str) -> "Named":
        return replace(self, part=part)


def each(say: Callable[[Any], str]) -> Callable[[Ran], str]:
    """The words for each cell, once: "L = 1, 2 and 4"."""

    def said(ran: Ran) -> str:
        found = list(dict.fromkeys(say(settings) for _, settings in ran))
        again = [one.removeprefix("L = ") for one in found[1:]]
        return listed([*found[:1], *again])

    return said


def repeats(part: str) -> Callable[[Ran], str]:
    """How many networks the part has, those of all seeds together; of a run without it, those of all cells."""

    def said(ran: Ran) -> str:
        meant = [settings for name, settings in ran if name == part] or [settings for _, settings in ran]
        return str(sum({settings.seed: settings.networks for settings in meant}.values()))

    return said


def kinds_of_layers(ran: Ran) -> str:
    """ "one hidden ReLU layer and three of tanh"."""
    kinds = dict.fromkeys((settings.model.activation, settings.model.depth) for _, settings in ran)
    first, *others = kinds
    return listed([hidden_layers(*first), *(f"{counted(depth)} of {symbol(phi)}" for phi, depth in others)])


def network(ran: Ran) -> str:
    """ "convolutional, ReLU, three convolutions", "my_module:MyNet", and of a kind that is not known here its own name."""

    def kind(settings: Any) -> str:
        model = settings.model
        return str(getattr(model, "path", None) or ADJECTIVES.get(model.name, model.name))

    told = [each(kind)(ran)]
    for field, say in (("activation", lambda settings: symbol(settings.model.activation)), ("depth", _layers)):
        if all(hasattr(settings.model, field) for _, settings in ran):
            told.append(each(say)(ran))
    return ", ".join(told)


def parameterizations(ran: Ran) -> str:
    """ "both parameterizations", "the NTK parameterization"."""
    found = list(dict.fromkeys(settings.model.parameterization for _, settings in ran))
    return "both parameterizations" if len(found) > 1 else f"the {symbol(found[0])} parameterization"


def listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def counted(number: int) -> str:
    return COUNTS[number] if number < len(COUNTS) else str(number)


def symbol(name: str) -> str:
    """ "ReLU", "NTK", and with a parameter "leaky ReLU:0.1"."""
    word, colon, parameter = name.partition(":")
    return NAMES.get(word, word) + colon + parameter


def hidden_layers(phi: str, depth: int) -> str:
    """ "three hidden tanh layers"."""
    return f"{counted(depth)} hidden {symbol(phi)} layer{'' if depth == 1 else 's'}"


def data_set(name: str, path: str | None = None) -> str:
    """ "CIFAR-10", "own data (grey.npz)"."""
    if path is not None:
        return f"own data ({Path(path).name})"
    return "own data" if name == "own" else NAMES.get(name, name)


def _data(settings: Any) -> str:
    data = settings.data
    told = data_set(data.name, data.path)
    return STAND_IN.format(told) if data.source == "stand_in" else told


def _classes(settings: Any) -> str:
    return "all classes" if settings.data.classes is None else " / ".join(map(str, settings.data.classes))


def _pair(settings: Any) -> str:
    return PAIR if set(settings.data.classes or ()) in PAIRS else _classes(settings)


def _layers(settings: Any) -> str:
    model = settings.model
    if model.name == "cnn":
        return f"{counted(model.depth)} convolution{'' if model.depth == 1 else 's'}"
    return f"L = {model.depth}"


DATA = Named(each(_data), "data.name")
CLASSES = Named(each(_classes), "data.classes")
CLASS_PAIR = Named(each(_pair), "data.classes")
ACTIVATION = Named(each(lambda settings: symbol(settings.model.activation)), "model.activation")
DEPTH = Named(each(lambda settings: f"L = {settings.model.depth}"), "model.depth")
CONVOLUTIONS = Named(each(_layers), "model.depth")
KIND = Named(each(lambda settings: KINDS[settings.model.name]), "model.name")
HIDDEN_LAYERS = Named(kinds_of_layers, "model.depth")
NETWORK = Named(network, "model.name")
STEP = Named(each(lambda settings: STEPS[settings.optimizer.name]), "optimizer.name")
BATCH = Named(each(lambda s: "full-batch" if s.full_batch else "mini-batch"), "optimizer.batch_size")
BATCHES = Named(each(lambda s: "full batches" if s.full_batch else "mini-batches"), "optimizer.batch_size")
LOSS = Named(each(lambda settings: LOSSES[settings.loss]), "loss")
PARAMETERIZATION = Named(each(lambda settings: symbol(settings.model.parameterization)), "model.parameterization")
PARAMETERIZATIONS = Named(parameterizations, "model.parameterization")
NETWORKS = Named(repeats("all"), "networks", kind=False)


def other_words(names: Mapping[str, Named], ran: Ran, stand_ins: bool = False) -> dict[str, str]:
    """The words of a title in whose place others stand, and those.

    Of other images the classes are others in any case, and not told.
    stand_ins  whether the images that were found stand in for those that the settings name
    """
    words = {}
    for word, named in names.items():
        told = named.said(ran)
        if stand_ins and named.setting == DATA.setting and not told.startswith(STAND_IN.format("")):
            told = STAND_IN.format(told)
        words[word] = told
    others = {word: told for word, told in words.items() if told != word}
    if any(names[word].setting == DATA.setting for word in others):
        return {word: told for word, told in others.items() if names[word].setting != CLASSES.setting}
    return others


def other_images(names: Mapping[str, Named], ran: Ran, stand_ins: bool = False) -> str:
    """The images of a run, "own data (grey.npz)"; "" where they are those of the names, and where these name none."""
    shipped = {(named.part, word) for word, named in names.items() if named.setting == DATA.setting}
    if not shipped:
        return ""
    ours = {(part, DATA.said([(part, settings)])) for part, settings in ran}
    if not stand_ins and all({("", images), (part, images)} & shipped for part, images in ours):
        return ""
    told = DATA.said(ran)
    return STAND_IN.format(told) if stand_ins and STAND_IN.format("") not in told else told


def with_images(title: str, words: Mapping[str, str], images: str) -> str:
    """The title with other words, and with the images, where there are any to say, first in its parentheses."""
    if not images:
        return replaced_in(title, words)
    if not title.endswith(")"):
        return f"{replaced_in(title, words)} ({images})"
    name, _, settings = title.rpartition(" (")
    return f"{replaced_in(name, words)} ({images}, {replaced_in(settings, words)}"


def replaced_in(title: str, words: Mapping[str, str]) -> str:
    """The title with other words, each put in once."""
    if not words:
        return title
    longest_first = sorted(words, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda found: words[found[0]], title)
