"""Which images are loaded from where, and what is said when they cannot be."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ntkrun.data.sources.image_set import ImageSet, fingerprint_of
from ntkrun.data.sources.load import load_images, stand_in_warning
from ntkrun.data.sources.locate import find_prepared
from ntkrun.errors import UserError


def as_sorted_rows(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    rows = np.column_stack([labels, images.reshape(len(images), -1)])
    return rows[np.lexsort(rows.T)]


def test_every_prepared_image_comes_back_with_its_label(no_data, monkeypatch, mini_data, digits_of):
    monkeypatch.setenv("NTKRUN_DATA_DIR", str(mini_data))
    images = load_images("mnist")
    assert (images.name, images.requested, images.source, images.is_stand_in) == ("mnist", "mnist", "tfds", False)
    assert images.class_names == tuple("0123456789")
    for split in ("train", "test"):
        pixels, labels = getattr(images, f"{split}_images"), getattr(images, f"{split}_labels")
        assert pixels.dtype == np.uint8 and labels.dtype == np.int64
        # TFDS shuffles once, when it writes.
        np.testing.assert_array_equal(as_sorted_rows(pixels, labels), as_sorted_rows(*digits_of(split)))


def test_directories_are_tried_in_order(no_data, monkeypatch, mini_data):
    assert find_prepared("mnist") is None
    home = no_data / "tensorflow_datasets"
    shutil.copytree(mini_data, home)
    assert find_prepared("mnist") == home / "mnist" / "3.0.1"
    monkeypatch.setenv("TFDS_DATA_DIR", str(mini_data))
    assert find_prepared("mnist") == mini_data / "mnist" / "3.0.1"
    own = no_data / "own"
    own.mkdir()
    monkeypatch.setenv("NTKRUN_DATA_DIR", str(own))
    assert find_prepared("mnist") == mini_data / "mnist" / "3.0.1", "an empty directory is passed over"
    shutil.copytree(mini_data / "mnist" / "3.0.1", own / "mnist" / "3.0.1")
    for version in ("3.0.10", "3.0.9"):
        shutil.copytree(mini_data / "mnist" / "3.0.1", own / "mnist" / version)
    (own / "mnist" / "incomplete.ABC_4.0.0").mkdir()
    assert find_prepared("mnist") == own / "mnist" / "3.0.10"


@pytest.mark.parametrize("kind", ["missing", "a file"])
def test_own_directory_that_cannot_be_read_is_no_silent_fallback(no_data, monkeypatch, kind):
    own = no_data / "own"
    if kind == "a file":
        own.write_text("")
    monkeypatch.setenv("NTKRUN_DATA_DIR", str(own))
    for source in ("auto", "tfds"):
        with pytest.raises(UserError, match="NTKRUN_DATA_DIR") as error:
            load_images("mnist", source)
        assert str(own) in str(error.value) and "\n" not in str(error.value)


def test_permission_denied_is_a_user_error(no_data, monkeypatch, mini_data):
    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setenv("NTKRUN_DATA_DIR", str(mini_data))
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", denied)
        with pytest.raises(UserError, match="Permission denied"):
            load_images("mnist")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", denied)
        with pytest.raises(UserError, match="Permission denied"):
            load_images("mnist")


def test_stand_ins_are_named_and_announced(no_data):
    for name, stand_in in (("mnist", "mnist5k"), ("cifar10", "photos")):
        images = load_images(name)
        assert (images.name, images.requested, images.source) == (stand_in, name, "stand_in")
        line = stand_in_warning(images.name, images.requested)
        assert "ntkrun stage=data" in line and name in line and "\n" not in line


def test_stand_in_can_be_asked_for_beside_real_data(no_data, monkeypatch, mini_data):
    monkeypatch.setenv("NTKRUN_DATA_DIR", str(mini_data))
    assert load_images("mnist", "stand_in").name == "mnist5k"
    assert "data.source=auto takes the real images" in stand_in_warning("mnist5k", "mnist")


def test_unknown_names_say_what_is_known():
    with pytest.raises(UserError, match="mnist, cifar10"):
        load_images("imagenet")
    with pytest.raises(UserError, match="auto, tfds, stand_in"):
        load_images("mnist", "web")


RECORDS = "mnist-test.array_record-00000-of-00001"


def damage(directory: Path, kind: str) -> None:
    records = directory / RECORDS
    content = records.read_bytes()
    if kind == "truncated":
        records.write_bytes(content[: len(content) // 2])
    elif kind == "overwritten":
        records.write_bytes(bytes(len(content)))
    elif kind == "one block":
        records.write_bytes(content[:200] + bytes(400) + content[600:])
    elif kind == "missing":
        records.unlink()
    elif kind == "description":
        (directory / "dataset_info.json").write_text("{")
    elif kind == "count":
        text = (directory / "dataset_info.json").read_text()
        (directory / "dataset_info.json").write_text(text.replace('"20"', '"40"'))
    elif kind == "format":
        text = (directory / "dataset_info.json").read_text()
        (directory / "dataset_info.json").write_text(text.replace('"array_record"', '"tfrecord"'))


@pytest.mark.parametrize("kind", ["truncated", "overwritten", "one block", "missing", "description", "count", "format"])
def test_damaged_records_are_a_user_error_that_names_them(no_data, monkeypatch, mini_data, kind):
    shutil.copytree(mini_data, no_data / "own")
    directory = no_data / "own" / "mnist" / "3.0.1"
    damage(directory, kind)
    monkeypatch.setenv("NTKRUN_DATA_DIR", str(no_data / "own"))
    with pytest.raises(UserError) as error:
        load_images("mnist")
    assert (
        str(directory) in str(error.value) and "\n" not in str(error.value) and "ntkrun stage=data" in str(error.value)
    )


def test_importing_and_loading_is_light_and_silent(no_data, mini_data, root):
    code = (
        "import sys, ntkrun.data.dataset\n"
        "heavy = {'tensorflow_datasets', 'tensorflow', 'mlxtend', 'skimage', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "from ntkrun.data.sources.load import load_images\n"
        "assert load_images('mnist').source == 'tfds'\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    environment = {**os.environ, "NTKRUN_DATA_DIR": str(mini_data), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_fingerprint_sees_values_shapes_and_order():
    a, b = np.arange(6, dtype=np.uint8), np.arange(6, dtype=np.uint8) + 1
    prints = {fingerprint_of(arrays) for arrays in ([a, b], [b, a], [a.reshape(2, 3), b], [a], [a.astype(np.int64), b])}
    assert len(prints) == 5


def test_real_cifar10(cifar10: ImageSet):
    assert cifar10.train_images.shape == (50_000, 32, 32, 3) and cifar10.test_images.shape == (10_000, 32, 32, 3)
    assert np.bincount(cifar10.train_labels).tolist() == [5000] * 10
    assert cifar10.class_names[0] == "airplane" and cifar10.class_names[7] == "horse"
    # The mean colour of CIFAR-10's training set, known to all who normalise it.
    assert isinstance(cifar10.train_images, np.ndarray)
    mean = cifar10.train_images.reshape(-1, 3).mean(axis=0) / 255
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=1e-4)


def test_a_folder_without_the_set_is_named_with_what_it_holds(tmp_path, monkeypatch):
    (tmp_path / "imagenet").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setenv("NTKRUN_DATA_DIR", str(tmp_path))
    line = stand_in_warning("mnist5k", "mnist")
    assert str(tmp_path) in line and "imagenet" in line and "set NTKRUN_DATA_DIR" not in line
    with pytest.raises(UserError, match="it holds imagenet: point it at the folder that has mnist") as error:
        load_images("mnist")
    assert "\n" not in str(error.value), "what was named is meant: no stand-in takes its place"
    monkeypatch.delenv("NTKRUN_DATA_DIR")
    assert "set NTKRUN_DATA_DIR" in stand_in_warning("mnist5k", "mnist")
