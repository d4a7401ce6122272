"""Sets are fetched whole or not at all, from a server on this machine that serves small files and misbehaves."""

import gzip
import resource
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_web import CLASSES, FILES, MINI_TEST, MINI_TRAIN, Web, left_over, mini_pixels, published, serving

from ntkrun.data.sources import download as download_module
from ntkrun.data.sources.download import download
from ntkrun.data.sources.load import load_images
from ntkrun.data.sources.prepare import UnreachableError, check_host, prepare, shipped
from ntkrun.data.sources.source_files import SOURCES
from ntkrun.errors import UserError

IMAGES = "train-images-idx3-ubyte.gz"
# of the ids below 20 in the test set of CIFAR-10, as TFDS 4.9.10 prepared it with TensorFlow
ORDER = [16, 13, 19, 15, 6, 1, 8, 12, 9, 4, 3, 2, 7, 14, 10, 18, 5, 11, 0, 17]


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setattr(download_module, "PAUSE", 0.001)
    with serving(FILES["mnist"]()) as web:
        yield web


def fetch(web: Web, folder: Path) -> Path:
    return prepare("mnist", folder, web.url, published(FILES["mnist"]()))


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_what_is_prepared_is_read_by_tfds_and_is_the_source(tmp_path, name, capfd):
    import tensorflow_datasets as tfds

    files = FILES[name]()
    with serving(files) as web:
        folder = prepare(name, tmp_path / "data", web.url, published(files))
    assert "tensorflow" not in sys.modules and not list(tmp_path.rglob("outside"))
    assert left_over(tmp_path / "data") == []
    builders: list[Any] = [tfds.builder_from_directory(folder), tfds.builder(name, data_dir=tmp_path / "data")]
    assert builders[0].info.full_name == f"{name}/{folder.name}"
    for split, count in (("train", MINI_TRAIN), ("test", MINI_TEST)):
        pixels, labels = mini_pixels(split, name)
        examples = list(builders[split == "test"].as_data_source(split=split))
        assert len(examples) == count
        # every image is there once, with its label, whatever the order
        places = [int(np.flatnonzero((pixels == one["image"]).all(axis=(1, 2, 3)))[0]) for one in examples]
        assert sorted(places) == list(range(count)) and places != sorted(places)
        assert [one["label"] for one in examples] == [labels[place] for place in places]
        if name == "cifar10":
            assert [one["id"].decode() for one in examples] == [f"{split}_{place:05d}" for place in places]
            assert builders[0].info.features["label"].names == CLASSES
    out, err = capfd.readouterr()
    assert out == "" and [line.partition(" ")[0] for line in err.splitlines()] == ["fetching", f"{name}:"]


def test_the_order_is_the_one_that_tfds_gives(mini_data, digits_of):
    """So that images that were fetched have the fingerprint of those that TFDS prepared, whose ids tell their order."""
    import tensorflow_datasets as tfds

    builder: Any = tfds.builder_from_directory(mini_data / "mnist" / "3.0.1")
    pixels, _ = digits_of("test")
    places = [
        int(np.flatnonzero((pixels == one["image"]).all(axis=(1, 2, 3)))[0])
        for one in builder.as_data_source(split="test")
    ]
    assert places == ORDER


def test_a_connection_that_breaks_off_is_gone_on_with(web, tmp_path):
    web.cuts = [1000, 500]
    fetch(web, tmp_path)
    assert [asked for asked in web.asked if asked[0] == IMAGES] == [
        (IMAGES, ""),
        (IMAGES, "bytes=1000-"),
        (IMAGES, "bytes=1500-"),
    ]


def test_an_interrupted_call_is_gone_on_with_by_the_next(web, tmp_path):
    web.cuts = [1000, 0, 0, 0]
    with pytest.raises(UserError, match=r"broke off after 0.0 of .* the same command goes on from it") as error:
        fetch(web, tmp_path)
    assert "\n" not in str(error.value) and left_over(tmp_path) == [f"{IMAGES}.part"]
    assert not (tmp_path / "mnist").exists()
    web.asked.clear()
    fetch(web, tmp_path)
    assert web.asked[0] == (IMAGES, "bytes=1000-") and left_over(tmp_path) == []


def test_a_server_that_knows_no_ranges_sends_all_again(web, tmp_path):
    web.ranges, web.cuts = False, [1000]
    assert fetch(web, tmp_path).is_dir()
    web.cuts = [1000] * 10
    with pytest.raises(UserError, match="broke off"):
        fetch(web, tmp_path / "other")
    assert len(web.cuts) >= 5, "a server that gets no further is given up"


@pytest.mark.parametrize(
    "sent",
    [b"another file", FILES["mnist"]()[IMAGES] + b"!", bytes(len(FILES["mnist"]()[IMAGES]))],
    ids=["other", "longer", "zeros"],
)
def test_what_is_not_the_published_file_is_removed(web, tmp_path, sent):
    web.files[IMAGES] = sent
    if len(sent) < 100:  # shorter than announced: a longer one follows
        web.files[IMAGES] = sent + bytes(len(FILES["mnist"]()[IMAGES]) - len(sent))
    with pytest.raises(UserError, match="is not the published file") as error:
        fetch(web, tmp_path)
    assert "\n" not in str(error.value) and IMAGES in str(error.value)
    assert left_over(tmp_path) == [] and not (tmp_path / "mnist").exists()


def test_a_file_that_is_not_there_is_one_line(web, tmp_path):
    del web.files["t10k-labels-idx1-ubyte.gz"]
    with pytest.raises(UserError, match=r"t10k-labels.* the server answered 404"):
        fetch(web, tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("mnist", IMAGES, FILES["mnist"]()[IMAGES][:-300]),
        ("mnist", IMAGES, b"no gzip"),
        ("mnist", IMAGES, gzip.compress(b"no idx", mtime=0)),
        ("cifar10", "cifar-10-binary.tar.gz", FILES["cifar10"]()["cifar-10-binary.tar.gz"][:-300]),
        ("cifar10", "cifar-10-binary.tar.gz", gzip.compress(b"no archive", mtime=0)),
    ],
    ids=["truncated", "no gzip", "no idx", "truncated archive", "no archive"],
)
def test_a_source_file_that_cannot_be_read_is_named(tmp_path, name, file, content):
    for other, whole in FILES[name]().items():
        (tmp_path / other).write_bytes(content if other == file else whole)
    with pytest.raises(UserError, match=file) as error:
        SOURCES[name].read(tmp_path)
    assert "\n" not in str(error.value)


def test_a_server_that_never_answers_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(download_module, "PAUSE", 0.001)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        began = time.monotonic()
        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1 is not reached from here"):
            check_host("mnist", url, seconds=0.2)
        assert time.monotonic() - began < 2
        with pytest.raises(UserError, match="timed out"):
            download(url, tmp_path / "file", published({"": b"x"})[""], lambda n: None, stall=0.05)
    with pytest.raises(UnreachableError, match="refused"):
        prepare("cifar10", tmp_path, url)
    assert not list(tmp_path.glob("*")), "nothing is written before the host has answered"


def test_hanging_name_resolution_is_not_waited_for(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(20))
    start = time.monotonic()
    with pytest.raises(UnreachableError, match=r"no answer within 0\.2 s"):
        check_host("mnist", "https://nowhere/", seconds=0.2)
    assert time.monotonic() - start < 2
    release.set()


def test_a_folder_that_cannot_be_written_to_is_named(web, tmp_path):
    (tmp_path / "file").touch()  # root may write to a folder without permission
    with pytest.raises(UserError, match=f"cannot write mnist to {tmp_path / 'file'}.*NTKRUN_DATA_DIR") as error:
        fetch(web, tmp_path / "file")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("room", [1000, 50_000])
def test_a_full_disk_is_one_line_and_leaves_no_set(web, tmp_path, room):
    """While files are fetched, and while records are written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(UserError, match=f"cannot write mnist to {tmp_path}") as error:
            fetch(web, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(error.value) and not (tmp_path / "mnist" / "3.0.1").exists()
    assert fetch(web, tmp_path).is_dir()


def test_two_processes_at_once_fetch_once(web, tmp_path):
    found: list[Path] = []  # the lock is one of open files, of one process or of two
    threads = [threading.Thread(target=lambda: found.append(fetch(web, tmp_path))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tmp_path / "mnist" / "3.0.1"] * 2 and len(web.asked) == len(web.files)


def test_a_call_that_is_interrupted_leaves_no_set(web, tmp_path, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # in the middle of a file
        download(web.url + IMAGES, tmp_path / IMAGES, published(web.files)[IMAGES], lambda n: n and interrupted())
    assert [path.name for path in tmp_path.iterdir()] == [f"{IMAGES}.part"]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # while the records are written
        patch.setattr(Image.Image, "save", interrupted)
        fetch(web, tmp_path)
    assert left_over(tmp_path) == sorted(web.files) and not (tmp_path / "mnist").exists()
    (tmp_path / "downloads" / "ntkrun-mnist" / "prepared" / "mnist" / "3.0.1").mkdir(
        parents=True
    )  # of one that was killed
    web.asked.clear()
    assert fetch(web, tmp_path).is_dir() and not web.asked and left_over(tmp_path) == []


def test_explicit_tfds_source_does_not_fall_back(no_data):
    with pytest.raises(UserError, match=r"mnist cannot be fetched, storage.googleapis.com is not reached"):
        load_images("mnist", "tfds")


def test_the_source_files_are_those_that_tfds_downloads():
    sizes = {name: sum(one.size for one in shipped(name).values()) for name in SOURCES}
    assert sizes == {"mnist": 11_594_722, "cifar10": 170_052_171}
