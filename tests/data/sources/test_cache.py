"""Decoded once, whole or not at all, never trusted when damaged, never another directory's."""

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from ntkrun.data.sources import cache
from ntkrun.data.sources import load as images_module
from ntkrun.data.sources.image_set import ImageSet
from ntkrun.data.sources.load import forget_images, load_images
from ntkrun.data.sources.records import read_records


@pytest.fixture
def reads(no_data, monkeypatch, mini_data) -> list[Path]:
    """The directories that were decoded, on a machine whose own data are the small MNIST."""
    decoded: list[Path] = []

    def counted(directory: Path) -> ImageSet:
        decoded.append(directory)
        return read_records(directory)

    monkeypatch.setattr(images_module, "read_records", counted)
    monkeypatch.setenv("NTKRUN_DATA_DIR", str(mini_data))
    return decoded


def load_afresh() -> ImageSet:
    """As a new process would."""
    forget_images()
    return load_images("mnist")


def only_entry(home: Path) -> Path:
    (entry,) = (home / "cache" / "ntkrun" / "images").iterdir()
    return entry


def test_second_load_maps_the_first_ones_files(reads, no_data, monkeypatch):
    first, second = load_afresh(), load_afresh()
    assert len(reads) == 1
    assert isinstance(first.train_images, np.memmap) and isinstance(second.train_images, np.memmap)
    assert not second.train_images.flags.writeable
    assert first.fingerprint == second.fingerprint == read_records(reads[0]).fingerprint
    assert first.class_names == second.class_names
    np.testing.assert_array_equal(first.test_labels, second.test_labels)
    assert not list(only_entry(no_data).parent.glob(".*")), "nothing written aside is left"


@pytest.mark.parametrize(
    "damage", ["truncated", "emptied", "json", "json list", "shape", "missing", "swapped", "one bit"]
)
def test_damaged_entry_is_rebuilt(reads, no_data, monkeypatch, damage, capsys):
    sound = load_afresh()
    expected = np.array(sound.train_images)
    entry = only_entry(no_data)
    pixels, meta = entry / "train_images.npy", entry / "meta.json"
    if damage == "truncated":
        os.truncate(pixels, pixels.stat().st_size - 100)
    elif damage == "emptied":
        os.truncate(pixels, 0)
    elif damage == "json":
        meta.write_text(meta.read_text()[:50])
    elif damage == "json list":
        meta.write_text("[]")
    elif damage == "shape":
        np.save(pixels, expected[:10])
    elif damage == "missing":
        pixels.unlink()
    elif damage == "one bit":
        content = bytearray(pixels.read_bytes())
        content[-1] ^= 1
        pixels.write_bytes(content)
    else:
        shutil.copy(entry / "test_images.npy", pixels)
    for _ in range(2):
        again = load_afresh()
        np.testing.assert_array_equal(again.train_images, expected)
        assert again.fingerprint == sound.fingerprint
    assert len(reads) == 2, "rebuilt once, then good"
    assert only_entry(no_data) == entry
    (said,) = capsys.readouterr().err.splitlines()
    assert str(entry) in said and "decoding" in said


def test_an_entry_belongs_to_its_record_files(reads, no_data, monkeypatch, mini_data):
    load_afresh()
    other = no_data / "other"
    shutil.copytree(mini_data, other)
    monkeypatch.setenv("NTKRUN_DATA_DIR", str(other))
    load_afresh()
    assert len(reads) == 1, "a faithful copy is the same data"
    records = other / "mnist" / "3.0.1" / "mnist-test.array_record-00000-of-00001"
    os.utime(records, ns=(time.time_ns(), time.time_ns() + 10**9))
    load_afresh()
    assert len(reads) == 1, "times say nothing about what is in a file"


def test_sets_of_equal_sizes_and_times_are_told_apart(no_data, mini_data):
    """One bit of a record differs."""
    other = no_data / "other"
    shutil.copytree(mini_data, other)
    folders = [folder / "mnist" / "3.0.1" for folder in (mini_data, other)]
    name = "mnist-train.array_record-00000-of-00001"
    one, two = (folder / name for folder in folders)
    content = bytearray(two.read_bytes())
    place = content.index(b"PNG") + 40
    content[place] ^= 1
    two.write_bytes(content)
    status = one.stat()
    os.utime(two, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert one.stat().st_size == two.stat().st_size and one.stat().st_mtime_ns == two.stat().st_mtime_ns
    assert cache.entry_path(no_data, folders[0]).name != cache.entry_path(no_data, folders[1]).name
    content[place] ^= 1
    two.write_bytes(content)
    os.utime(two, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert cache.entry_path(no_data, folders[0]).name == cache.entry_path(no_data, folders[1]).name


def test_unwritable_cache_decodes_in_memory_once(reads, no_data, monkeypatch):
    # A file where the directory should be stops root too.
    (no_data / "cache").write_text("")
    first = load_images("mnist")
    assert load_images("mnist") is first and len(reads) == 1
    assert type(first.train_images) is np.ndarray and not first.train_images.flags.writeable


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_interrupted_write_leaves_nothing(reads, no_data, monkeypatch, failing):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cache.os, failing, full)
        images = load_afresh()
    assert len(images.train_images) == 60
    assert list((no_data / "cache" / "ntkrun" / "images").iterdir()) == []


def test_losing_a_race_keeps_the_winners_entry(reads, no_data, monkeypatch):
    images = load_afresh()
    entry = only_entry(no_data)
    before = (entry / "meta.json").stat().st_ino
    assert cache.store_entry(entry, images)
    assert (entry / "meta.json").stat().st_ino == before
    assert json.loads((entry / "meta.json").read_text())["fingerprint"] == images.fingerprint


def test_explicit_cache_dir(reads, no_data):
    load_images("mnist", cache_dir=no_data / "here")
    assert (no_data / "here" / "images").is_dir() and not (no_data / "cache").exists()
