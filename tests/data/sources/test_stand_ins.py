"""The stand-ins are real images, the same each time, and their test set is no part of their training set."""

import time

import numpy as np
import pytest

from ntkrun.data.sources import stand_ins
from ntkrun.data.sources.stand_ins import PHOTOGRAPHS, build_stand_in, patches_of, photo_regions, read_photo
from ntkrun.errors import UserError


def test_mnist5k_is_stratified():
    images = build_stand_in("mnist")
    assert images.train_images.shape == (4000, 28, 28, 1) and images.test_images.shape == (1000, 28, 28, 1)
    assert np.bincount(images.train_labels).tolist() == [400] * 10
    assert np.bincount(images.test_labels).tolist() == [100] * 10
    assert isinstance(images.train_images, np.ndarray) and isinstance(images.test_images, np.ndarray)
    everything = np.concatenate([images.train_images, images.test_images]).reshape(5000, -1)
    assert len(np.unique(everything, axis=0)) == 5000, "no digit is in both splits"


def test_photos_have_a_class_per_photograph():
    images = build_stand_in("cifar10")
    assert images.name == "photos" and images.class_names == tuple(name for name, _, _ in PHOTOGRAPHS)
    assert np.bincount(images.train_labels).tolist() == [500] * 10
    assert np.bincount(images.test_labels).tolist() == [300] * 10
    for split in (images.train_images, images.test_images):
        assert isinstance(split, np.ndarray) and split.shape[1:] == (32, 32, 3)
        assert len(np.unique(split.reshape(len(split), -1), axis=0)) == len(split), "equal inputs make kernels singular"


def test_train_and_test_patches_share_no_pixel():
    for _, package, path in PHOTOGRAPHS:
        height, width, _ = read_photo(package, path).shape
        # Each pixel's own column number, as a photograph: what the patches hold is where they come from.
        columns = np.broadcast_to((np.arange(width) // 8)[None, :, None], (height, width, 3)).astype(np.uint8)
        left, right = photo_regions(columns)
        assert left.shape[1] + right.shape[1] == width
        assert np.shares_memory(left, columns) and not np.shares_memory(left, right)
        assert min(left.shape[1], right.shape[1]) >= 64, "wide enough for a patch at half size"


def test_patches_stay_inside_their_region():
    rng = np.random.default_rng(0)
    region = rng.integers(100, 200, (80, 100, 3), dtype=np.uint8)
    patches = patches_of(region, 40)
    assert patches.shape == (40, 32, 32, 3) and patches.dtype == np.uint8
    windows = np.lib.stride_tricks.sliding_window_view(region, (32, 32), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    for patch in patches[:20:4]:
        assert (windows == patch).all(axis=(2, 3, 4)).any()
    assert patches.min() >= 100 and patches.max() < 200


def test_flat_regions_are_refused():
    with pytest.raises(UserError, match="usable patches"):
        patches_of(np.zeros((80, 100, 3), np.uint8), 10)


def test_building_is_quick_and_repeatable():
    before = build_stand_in("cifar10")
    build_stand_in.cache_clear()
    start = time.process_time()
    again = build_stand_in("cifar10")
    # 0.6 s on an idle core; CPU time, so that a busy machine does not fail this.
    assert time.process_time() - start < 3
    assert again.fingerprint == before.fingerprint and again is build_stand_in("cifar10")


def test_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(stand_ins, "find_spec", lambda package: None)
    with pytest.raises(UserError, match="scikit-image"):
        read_photo("skimage", "data/astronaut.png")
