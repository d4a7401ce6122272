"""Images in a bundle: the rows that are there bit for bit, an error for all others."""

import numpy as np
import pytest

from ntkrun.data.dataset import check_examples, load_dataset, rows_of
from ntkrun.data.sources import carried
from ntkrun.data.sources.carried import expected_bytes, read_carried, write_carried
from ntkrun.data.sources.image_set import ImageSet, fingerprint_of
from ntkrun.data.sources.load import forget_images, load_images
from ntkrun.errors import UserError

TOTALS = {"train": 50, "test": 20}
ROWS = {"train": np.array([0, 3, 17, 49], np.int32), "test": np.array([5], np.int32)}


def made_up(channels: int, name: str = "photos") -> ImageSet:
    """Random images: no rule that a compression could lean on, and every byte occurs."""
    rng = np.random.default_rng(channels)
    arrays: list = []
    for total in TOTALS.values():
        arrays += [rng.integers(0, 256, (total, 8, 6, channels), dtype=np.uint8), np.arange(total) % 10]
    names, fingerprint = tuple("abcdefghij"), fingerprint_of(arrays)
    return ImageSet(name, "cifar10", "stand_in", *arrays, class_names=names, fingerprint=fingerprint)


@pytest.fixture
def opened():
    """No set that an earlier test has read."""
    forget_images()


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_carried_comes_back_bit_for_bit_in_any_order(channels, tmp_path):
    images = made_up(channels)
    again = read_carried(write_carried(tmp_path, images, ROWS))
    for split, rows in ROWS.items():
        whole, some = getattr(images, f"{split}_images"), getattr(again, f"{split}_images")
        shuffled = rows[::-1].repeat(2)
        assert np.array_equal(some[shuffled], whole[shuffled]) and some[shuffled].dtype == np.uint8
        assert some.shape == whole.shape and len(some) == len(whole)
        assert np.array_equal(getattr(again, f"{split}_labels"), getattr(images, f"{split}_labels"))
    assert again.fingerprint == images.fingerprint, "a cell is stored under the hash of the whole set"
    assert (again.name, again.source, again.class_names) == (images.name, images.source, images.class_names)


def test_a_row_that_is_not_carried_is_an_error_that_counts(tmp_path):
    again = read_carried(write_carried(tmp_path, made_up(3), ROWS))
    with pytest.raises(
        UserError, match=r"2 of the 3 images asked for are not among the 4 \(of 50\) in .*npz \(train\)"
    ) as caught:
        again.train_images[np.array([3, 4, 5])]
    assert "make a bundle with the command that you run" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="1 of the 1 images"):
        again.test_images[np.array([0])]


def test_no_rows_at_all_are_no_fault(tmp_path):
    none = {split: np.array([], np.int32) for split in TOTALS}
    again = read_carried(write_carried(tmp_path, made_up(3), none))
    assert again.train_images[np.array([], np.int32)].shape == (0, 8, 6, 3) and len(again.train_labels) == 50


def test_a_file_that_is_not_what_was_written_is_named(tmp_path):
    path = write_carried(tmp_path, made_up(3), ROWS)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    unseen = 0
    for place in rng.integers(0, len(content), 150):
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            again = read_carried(path)
        except UserError as error:
            assert str(path) in str(error) and "copy the bundle here again" in str(error) and "\n" not in str(error)
        else:  # a date or a flag of the zip file: nothing that was carried has changed
            assert np.array_equal(again.train_images[ROWS["train"]], made_up(3).train_images[ROWS["train"]])
            unseen += 1
    assert unseen < 50
    path.write_bytes(content[:-100])
    with pytest.raises(UserError, match="not as it was bundled"):
        read_carried(path)


def test_what_is_replaced_in_a_sound_file_is_seen_by_the_hash(tmp_path):
    """Which the checksums of a zip file cannot see."""
    path = write_carried(tmp_path, made_up(3), ROWS)
    with np.load(path) as stored:
        arrays = dict(stored)
    changes = {
        "train_images": lambda a: a + np.uint8(1),
        "train_rows": lambda a: a + np.int32(1),
        "test_labels": lambda a: a[::-1],
        "meta": lambda a: np.frombuffer(a.tobytes().replace(b'"fingerprint": "', b'"fingerprint": "0'), np.uint8),
    }
    for name, change in changes.items():
        np.savez(path, **(arrays | {name: change(arrays[name])}))
        with pytest.raises(UserError, match="hashes differ"):
            read_carried(path)
    np.savez(path, **arrays)
    read_carried(path)


def test_inside_a_bundle_images_come_from_it_alone(tmp_path, monkeypatch, opened):
    """Equal data sets from the whole and from what is carried of it, and nothing beside it."""
    options: dict = dict(
        name="cifar10", classes=None, n_train=30, n_test=10, preprocess="sphere", targets="one_hot", seed=3
    )
    monkeypatch.delenv(carried.VARIABLE, raising=False)
    images = load_images("cifar10", "stand_in")
    rows = [np.sort(found) for found in rows_of(images, None, 30, 10, 3)]
    write_carried(tmp_path, images, dict(zip(TOTALS, rows, strict=True)))
    before = load_dataset(source="stand_in", **options)
    monkeypatch.setenv(carried.VARIABLE, str(tmp_path))
    monkeypatch.setenv("NTKRUN_DATA_DIR", "/no/such/place")
    for source in ("stand_in", "auto"):
        after = load_dataset(source=source, **options)
        assert np.array_equal(after.x_train, before.x_train) and np.array_equal(after.x_test, before.x_test)
        assert np.array_equal(after.y_test, before.y_test) and after.describe() == before.describe()
    others: list[dict] = [options | {"seed": 4}, options | {"n_train": 31}]
    for other in others:
        with pytest.raises(UserError, match="are not among the"):
            load_dataset(source="auto", **other)
    with pytest.raises(UserError, match="carries no cifar10"):
        load_dataset(source="tfds", **options)
    with pytest.raises(UserError, match="carries no mnist"):
        load_images("mnist")
    inside = load_images("cifar10")
    check_examples(inside, None, 30, 10, 3)
    with pytest.raises(UserError, match="are not among the"):
        check_examples(inside, None, 30, 10, 4)


def test_a_photograph_takes_less_than_its_pixels_and_about_what_was_expected(tmp_path):
    images = load_images("cifar10", "stand_in")
    rows = {"train": np.arange(0, 5000, 9, dtype=np.int32), "test": np.arange(0, 3000, 60, dtype=np.int32)}
    size = write_carried(tmp_path, images, rows).stat().st_size
    assert size < 0.75 * sum(map(len, rows.values())) * 32 * 32 * 3
    # half of the images stands for all; the margin that a bundle's limit is held against is a fifth
    assert abs(expected_bytes(images, rows) - size) < 0.15 * size
