"""Downloading and preparing MNIST and CIFAR-10 with TFDS, or saying at once why that cannot work.

TFDS by itself needs 200 s to notice that there is no network: its downloader lets urllib3 retry each file ten times,
with pauses of 0.2 s * 2^k.  So the host is probed first, and TFDS gets three retries (1.2 s of pauses), enough for a
connection that drops.  TFDS 4.9.10 does not ask Google Cloud Storage for prepared copies unless told to; older versions
do, also without a network, hence `try_download_gcs=False`.

Standard library only at import: `make data` probes before TensorFlow is installed.
"""

import contextlib
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from ntkrun.data.sources.locate import check_name, default_data_dir, prepared_in
from ntkrun.data.sources.tfds_messages import errors_only
from ntkrun.errors import UserError

# One file of each data set, at the host TFDS downloads it from.
URLS = {
    "mnist": "https://storage.googleapis.com/cvdf-datasets/mnist/train-images-idx3-ubyte.gz",
    "cifar10": "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
}
PROBE_SECONDS = 3.0
_RETRIES = 3


def prepare(name: str, data_dir: Path | None = None) -> Path:
    """Make sure `<data_dir>/<name>/<version>` holds the data set as ArrayRecord files, and return that directory.

    Args:
        data_dir: None = $NTKRUN_DATA_DIR, else $TFDS_DATA_DIR, else ~/tensorflow_datasets.

    Raises:
        UserError: no network (within 4 s), no TensorFlow (TFDS needs it to write records, not to read them), or a
            download or disk that failed.
    """
    check_name(name)
    data_dir = default_data_dir() if data_dir is None else Path(data_dir).expanduser()
    found = prepared_in(data_dir, name)
    if found is not None:
        return found
    check_network([name])
    if find_spec("tensorflow") is None:
        raise UserError(f"preparing {name} needs TensorFlow (reading it does not); type `make data`, which installs it")
    _download(name, data_dir)
    found = prepared_in(data_dir, name)
    if found is None:
        raise UserError(f"TFDS reported success but {data_dir} has no {name}; type `make data` again")
    return found


def check_network(names: Iterable[str], seconds: float = PROBE_SECONDS) -> None:
    """Ask each data set's host for the head of one file, all at once, through the proxies of the environment.

    Takes `seconds` at most, also when name resolution hangs: no socket timeout covers that, so the threads are left.

    Raises:
        UserError: naming the first host that did not answer in time or refused.
    """
    answers: dict[str, str] = {}
    names = [check_name(name) for name in names]
    threads = [threading.Thread(target=_probe, args=(name, seconds, answers), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    for name in names:
        fault = answers.get(name, f"no answer within {seconds:g} s")
        if fault:
            raise UserError(
                f"cannot reach {urlsplit(URLS[name]).hostname} to download {name} ({fault}); connect to the network, "
                "or set NTKRUN_DATA_DIR to a directory with prepared TFDS data"
            )


def _probe(name: str, seconds: float, answers: dict[str, str]) -> None:
    """Store "" when the file is there to be had, else the reason, in one line."""
    request = urllib.request.Request(URLS[name], method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=seconds):
            answers[name] = ""
    except urllib.error.HTTPError as error:
        answers[name] = f"it answered {error.code}"
    # Besides OSError: http.client's HTTPException, and ValueError for a malformed proxy setting.
    except Exception as error:
        reason = getattr(error, "reason", None) or error
        answers[name] = " ".join(str(reason).split())[:120] or type(error).__name__


def _download(name: str, data_dir: Path) -> None:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.download.extractor import ExtractError
    from tensorflow_datasets.core.download.util import DownloadError

    try:
        with errors_only(), _few_retries():
            builder = tfds.builder(name, data_dir=str(data_dir), file_format="array_record")
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    # OSError includes every exception of `requests`, a full disk and a directory that may not be written to.
    except (OSError, DownloadError, ExtractError, NonMatchingChecksumError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"could not prepare {name} in {data_dir} ({reason}); type `make data` to try again") from error


@contextlib.contextmanager
def _few_retries() -> Iterator[None]:
    from tensorflow_datasets.core.download import downloader

    before = downloader.MAX_RETRIES
    downloader.MAX_RETRIES = _RETRIES
    try:
        yield
    finally:
        downloader.MAX_RETRIES = before
