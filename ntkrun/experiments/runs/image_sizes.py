"""Sizes of the data sets: of the paper's known before any image is read, of others from their files."""

from ntkrun.data.dataset import rows_of, select_classes
from ntkrun.data.sources.image_set import ImageSet
from ntkrun.data.sources.load import images_for
from ntkrun.data.targets import GIVEN
from ntkrun.settings.data import DataSettings

IMAGES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
EXAMPLES = {"mnist": (60_000, 10_000), "cifar10": (50_000, 10_000)}  # train, test; CIFAR-10's classes are of equal size


def image_set(data: DataSettings) -> ImageSet:
    """The examples that these settings are about.  Raises UserError where they are not there."""
    return images_for(data)


def input_shape(data: DataSettings) -> tuple[int, ...]:
    """Of one input before anything is done with it: (h, w, c), or (d,) for vectors."""
    return IMAGES[data.name] if data.name in IMAGES else tuple(image_set(data).train_images.shape[1:])


def all_examples(data: DataSettings) -> tuple[int, int]:
    """Training and test examples of the whole set, of whichever classes."""
    if data.name in EXAMPLES:
        return EXAMPLES[data.name]
    images = image_set(data)
    return len(images.train_labels), len(images.test_labels)


def counts(data: DataSettings) -> tuple[int, int]:
    """(n, m), training and test examples of the chosen classes."""
    if data.name not in EXAMPLES:
        train, test = rows_of(image_set(data), data.classes, data.n_train, data.n_test, data.seed)
        return len(train), len(test)
    classes = 10 if data.classes is None else len(data.classes)
    train, test = (count * classes // 10 for count in EXAMPLES[data.name])
    return data.n_train or train, data.n_test or test


def target_kind(data: DataSettings, loss: str) -> str:
    """What the outputs are trained towards: a kind of targets of classes, or GIVEN."""
    if data.name in IMAGES:
        return data.target_kind(loss)
    images = image_set(data)
    return data.target_kind(loss, len(images.class_names)) if images.class_names else GIVEN


def outputs(data: DataSettings, loss: str) -> int:
    """k."""
    kind = target_kind(data, loss)
    if kind == "signed":
        return 1
    if data.name in IMAGES:
        return 10 if data.classes is None else len(data.classes)
    images = image_set(data)
    return images.train_labels.shape[1] if kind == GIVEN else len(select_classes(images, data.classes))
