"""Preparing fails at once, in one line, where it cannot work; that it can is what the `mini_data` fixture shows."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ntkrun.data.sources import prepare as prepare_module
from ntkrun.data.sources.load import load_images
from ntkrun.data.sources.prepare import URLS, check_network, prepare
from ntkrun.errors import UserError


def run_script(root: Path, home: Path, proxy: str, *arguments: str) -> tuple[subprocess.CompletedProcess, float]:
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    environment |= {"https_proxy": proxy, "HOME": str(home)}
    for key in ("NTKRUN_DATA_DIR", "TFDS_DATA_DIR"):
        environment.pop(key, None)
    command = [sys.executable, str(root / "scripts" / "prepare_data.py"), *arguments]
    start = time.monotonic()
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=30)
    return done, time.monotonic() - start


def test_network_that_swallows_everything_fails_within_five_seconds(root, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and never answers
        done, seconds = run_script(root, tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert seconds < 5
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: cannot reach storage.googleapis.com") and done.stderr.count("\n") == 1
    assert "NTKRUN_DATA_DIR" in done.stderr


def test_refused_connection_fails_at_once(root, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done, seconds = run_script(root, tmp_path, f"http://127.0.0.1:{port}", "--check-network", "cifar10")
    assert seconds < 3 and done.returncode == 2
    assert done.stderr.startswith("error: cannot reach www.cs.toronto.edu") and done.stderr.count("\n") == 1


def test_script_reports_what_is_there_already(root, tmp_path, mini_data):
    done, _ = run_script(root, tmp_path, "http://127.0.0.1:9", "--data-dir", str(mini_data), "mnist")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"mnist: {mini_data / 'mnist' / '3.0.1'}\n"
    done, _ = run_script(root, tmp_path, "http://127.0.0.1:9", "--data-dir", str(mini_data), "--check-network", "mnist")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_hanging_name_resolution_is_not_waited_for(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(20))
    start = time.monotonic()
    with pytest.raises(UserError, match=r"no answer within 0\.2 s"):
        check_network(["mnist", "cifar10"], seconds=0.2)
    assert time.monotonic() - start < 2
    release.set()


def test_explicit_tfds_source_does_not_fall_back(no_data, monkeypatch):
    def unreachable(names: list[str]) -> None:
        raise UserError(f"cannot reach the host of {names[0]}")

    monkeypatch.setattr(prepare_module, "check_network", unreachable)
    with pytest.raises(UserError, match="cannot reach the host of mnist"):
        load_images("mnist", "tfds")


def test_without_tensorflow_make_data_is_named(no_data, monkeypatch):
    monkeypatch.setattr(prepare_module, "check_network", lambda names: None)
    monkeypatch.setattr(prepare_module, "find_spec", lambda package: None)
    with pytest.raises(UserError, match="make data"):
        prepare("cifar10")


def test_a_download_that_fails_midway_is_one_line(no_data, monkeypatch):
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader

    retries = []

    def broken(*_: object) -> None:
        retries.append(downloader.MAX_RETRIES)
        raise ConnectionError("connection reset\nby peer")

    monkeypatch.setattr(prepare_module, "check_network", lambda names: None)
    monkeypatch.setattr(prepare_module, "find_spec", lambda package: package)
    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", broken)
    before = downloader.MAX_RETRIES
    with pytest.raises(UserError, match="could not prepare mnist") as error:
        prepare("mnist")
    assert "\n" not in str(error.value) and "make data" in str(error.value)
    assert retries == [3] and before == downloader.MAX_RETRIES


def test_probed_urls_are_those_tfds_downloads():
    from tensorflow_datasets.image_classification import cifar, mnist

    assert URLS["mnist"] == mnist._MNIST_URL + mnist._MNIST_TRAIN_DATA_FILENAME
    assert URLS["cifar10"] in Path(cifar.__file__).read_text()
