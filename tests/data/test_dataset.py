"""Classes and examples: what was asked for, the same each time, smaller sets inside larger ones."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ntkrun.data.dataset import Dataset, dataset_fingerprint, load_dataset, rows_of, select_classes
from ntkrun.data.sources.stand_ins import build_stand_in
from ntkrun.errors import UserError

DEFAULTS = {
    **{"name": "mnist", "source": "stand_in", "classes": None, "n_train": 50, "n_test": 30},
    **{"preprocess": "sphere", "targets": "one_hot", "seed": 0},
}


def load(**changes) -> Dataset:
    return load_dataset(**{**DEFAULTS, **changes})


def test_shapes_and_description():
    data = load()
    assert data.x_train.shape == (50, 28, 28, 1) and data.x_test.shape == (30, 28, 28, 1)
    assert data.y_train.shape == (50, 10) and data.y_test.shape == (30, 10)
    np.testing.assert_array_equal(data.y_train.argmax(axis=1), data.labels_train)
    described = data.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["name"] == "mnist5k" and described["requested"] == "mnist" and described["n_train"] == 50
    assert described["fingerprint"] == dataset_fingerprint("mnist", "stand_in")
    assert data.is_stand_in and "array" not in repr(data)


def test_inputs_are_the_images_of_their_rows():
    data, images = load(preprocess="global"), build_stand_in("mnist")
    pixels = images.train_images[data.indices_train]
    np.testing.assert_allclose(data.x_train, (pixels - pixels.mean()) / pixels.std(), rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(images.train_labels[data.indices_train], data.labels_train)
    np.testing.assert_array_equal(images.test_labels[data.indices_test], data.labels_test)


def test_smaller_sets_nest_in_larger_ones():
    small, large, everything = load(), load(n_train=500), load(n_train=None)
    np.testing.assert_array_equal(small.indices_train, large.indices_train[:50])
    np.testing.assert_array_equal(large.indices_train, everything.indices_train[:500])
    np.testing.assert_array_equal(small.indices_test, large.indices_test)
    assert sorted(everything.indices_train.tolist()) == list(range(4000))


def test_statistics_come_from_the_chosen_examples():
    small, large = load(preprocess="global"), load(preprocess="global", n_train=500)
    np.testing.assert_allclose(np.square(small.x_train).mean(), 1)
    assert np.abs(small.x_train - large.x_train[:50]).max() > 1e-3
    np.testing.assert_array_equal(load(n_test=5).x_train, load(n_test=None).x_train)


def test_seed_decides_the_choice():
    np.testing.assert_array_equal(load().x_train, load().x_train)
    assert set(load().indices_train.tolist()) != set(load(seed=1).indices_train.tolist())


def test_the_orders_of_two_splits_of_one_size_are_drawn_apart():
    images = build_stand_in("mnist")
    twice = replace(images, train_images=images.test_images, train_labels=images.test_labels)
    train, test = rows_of(twice, None, 30, 30, 0)
    assert train.tolist() != test.tolist()


@pytest.mark.parametrize("classes", [("7", "1"), (7, 1), [7, "1"]])
def test_classes_in_the_order_given(classes):
    data = load(classes=classes, targets="signed")
    assert data.class_names == ("7", "1")
    original = build_stand_in("mnist").train_labels[data.indices_train]
    assert set(original.tolist()) == {1, 7}
    np.testing.assert_array_equal(data.y_train[:, 0], np.where(original == 7, 1, -1))


def test_airplane_and_horse_on_photos_are_two_named_photographs():
    data = load(name="cifar10", classes=("airplane", "horse"), targets="signed", preprocess="sphere")
    assert data.describe()["classes"] == ["astronaut", "chelsea"] and data.name == "photos"
    assert data.y_train.shape == (50, 1)
    assert load(name="cifar10", classes=("china", "retina")).class_names == ("china", "retina")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"classes": ("eleven",)}, "0, 1, 2"),
        ({"classes": (10,)}, "no class 10"),
        ({"classes": (-1,)}, "no class -1"),
        ({"classes": ()}, "names no classes"),
        ({"classes": "airplane"}, "names no classes"),
        ({"classes": (1, 1)}, "twice"),
        ({"classes": (1, "1")}, "twice"),
        ({"name": "cifar10", "classes": ("airplan", "horse")}, "airplan;"),
        ({"n_train": 4001}, r"data\.n_train=4001.*4000"),
        ({"n_train": 801, "classes": (0, 1)}, r"data\.n_train=801.*800"),
        ({"n_test": 1001}, r"data\.n_test=1001.*1000"),
        ({"n_train": 0}, r"data\.n_train=0"),
        ({"targets": "signed"}, "two classes"),
        ({"preprocess": "none"}, "global, sphere, per_image, standardize"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(changes, says):
    with pytest.raises(UserError, match=says) as error:
        load(**changes)
    assert "\n" not in str(error.value)


def test_dtype_is_of_the_inputs_alone():
    data = load(dtype=np.float32)
    assert data.x_train.dtype == data.x_test.dtype == np.float32 and data.y_train.dtype == np.float64
    assert data.describe()["dtype"] == "float32"


def test_real_airplane_and_horse(cifar10):
    assert select_classes(cifar10, ("airplane", "horse")) == (0, 7)
    with pytest.raises(UserError, match="truck"):
        select_classes(cifar10, ("zebra",))
    data = load(name="cifar10", source="auto", classes=("airplane", "horse"), targets="signed", n_train=256)
    assert data.source == "tfds" and data.fingerprint == cifar10.fingerprint
    assert set(cifar10.train_labels[data.indices_train].tolist()) == {0, 7}
    assert 90 < (data.y_train == 1).sum() < 166  # 128 +- 8 of 256; 38 is more than four deviations
    np.testing.assert_allclose(np.square(data.x_train).sum(axis=(1, 2, 3)), 3072)
