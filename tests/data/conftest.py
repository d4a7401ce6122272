"""Data for these tests: a small MNIST, and the real CIFAR-10 where there is one."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from entry_point import NOWHERE
from small_web import mini_pixels, mnist_files, published, serving

from ntkrun.data.sources.image_set import ImageSet
from ntkrun.data.sources.load import forget_images, load_images
from ntkrun.data.sources.prepare import prepare


@pytest.fixture(scope="session")
def mini_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with 60 + 20 random digits, fetched by `prepare` from a server on this machine."""
    data_dir, files = tmp_path_factory.mktemp("data"), mnist_files()
    with serving(files) as web:
        assert prepare("mnist", data_dir, web.url, published(files)) == data_dir / "mnist" / "3.0.1"
    return data_dir


@pytest.fixture(scope="session")
def digits_of() -> Callable[[str], tuple[np.ndarray, np.ndarray]]:
    """What the small MNIST has to hold, by split."""
    return mini_pixels


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A machine without prepared data and network: home, cache and data directories lie in an empty folder."""
    monkeypatch.setenv("https_proxy", NOWHERE)
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
