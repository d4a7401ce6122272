"""Data for these tests: a small MNIST written by TFDS's own machinery, and the real CIFAR-10 where there is one."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ntkrun.data.sources import prepare as prepare_module
from ntkrun.data.sources.image_set import ImageSet
from ntkrun.data.sources.load import forget_images, load_images

MINI_TRAIN, MINI_TEST = 60, 20


def mini_pixels(split: str) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels the small MNIST is made of, in the order of its raw files."""
    count = MINI_TRAIN if split == "train" else MINI_TEST
    pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)
    return pixels, np.arange(count) % 10


def _raw_files(folder: Path) -> dict[str, str]:
    """MNIST's idx files: a header that TFDS skips (16 and 8 bytes), then the bytes."""
    for split in ("train", "test"):
        pixels, labels = mini_pixels(split)
        (folder / f"{split}_data").write_bytes(bytes(16) + pixels.tobytes())
        (folder / f"{split}_labels").write_bytes(bytes(8) + labels.astype(np.uint8).tobytes())
    return {name: str(folder / name) for name in ("train_data", "train_labels", "test_data", "test_labels")}


def _png(_: object, pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0]).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def mini_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with 60 + 20 random digits, made by `prepare`: only the download and TensorFlow are faked."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.features import image_feature
    from tensorflow_datasets.image_classification import mnist

    raw = _raw_files(tmp_path_factory.mktemp("raw"))
    data_dir = tmp_path_factory.mktemp("data")
    gfile = SimpleNamespace(io=SimpleNamespace(gfile=SimpleNamespace(GFile=open)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist, "_TRAIN_EXAMPLES", MINI_TRAIN)
        patch.setattr(mnist, "_TEST_EXAMPLES", MINI_TEST)
        patch.setattr(mnist, "tf", gfile)
        patch.setattr(image_feature._ImageEncoder, "_encode_image", _png)
        patch.setattr(tfds.download.DownloadManager, "download_and_extract", lambda _, urls: raw)
        patch.setattr(prepare_module, "check_network", lambda names: None)
        patch.setattr(prepare_module, "find_spec", lambda package: package)
        assert prepare_module.prepare("mnist", data_dir) == data_dir / "mnist" / "3.0.1"
    return data_dir


@pytest.fixture(scope="session")
def digits_of() -> Callable[[str], tuple[np.ndarray, np.ndarray]]:
    """What the small MNIST has to hold, by split."""
    return mini_pixels


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A machine without prepared data: home, cache and data directories lie in an empty folder."""
    monkeypatch.delenv("NTKRUN_DATA_DIR", raising=False)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    forget_images()
    yield tmp_path
    forget_images()


@pytest.fixture(scope="session")
def cifar10() -> ImageSet:
    """All of CIFAR-10, from the user's cache: decoded (10 s) only the first time these tests run on a machine."""
    if not Path(os.environ.get("NTKRUN_DATA_DIR", ""), "cifar10").is_dir():
        pytest.skip("needs the real data: set NTKRUN_DATA_DIR to prepared TFDS data (make data)")
    return load_images("cifar10")
