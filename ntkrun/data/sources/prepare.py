"""MNIST and CIFAR-10 from their source files into a folder of TFDS, or at once the reason why that cannot work.

TFDS by itself needs TensorFlow to prepare CIFAR-10, and 200 s to notice that there is no network.  Here the host is asked
first, files are fetched and verified against the checksums that TFDS ships, and TFDS writes the records from arrays.

    <data_dir>/<name>/<version>             the set; it appears whole, by one rename
    <data_dir>/downloads/ntkrun-<name>/     what is under way, and the lock of the process that has it in hand
"""

import contextlib
import fcntl
import os
import shutil
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from tqdm import tqdm

from ntkrun.data.sources.download import Published, download, reason_of
from ntkrun.data.sources.locate import check_name, default_data_dir, prepared_in
from ntkrun.data.sources.source_files import SOURCES, Source
from ntkrun.errors import UserError

PROBE_SECONDS = 4.0


class UnreachableError(UserError):
    """The host that publishes a set does not answer from here."""


def prepare(
    name: str,
    data_dir: Path | None = None,
    base_url: str | None = None,
    published: Mapping[str, Published] | None = None,
) -> Path:
    """Make sure `<data_dir>/<name>/<version>` holds the data set as ArrayRecord files, and return that directory.

    What was interrupted goes on where it ended; of several processes one works and the others wait for it.

    Args:
        data_dir: None = $NTKRUN_DATA_DIR, else $TFDS_DATA_DIR, else ~/tensorflow_datasets.
        base_url: folder of the source files; None = where they are published.
        published: sizes and checksums of the source files; None = those that TFDS ships.

    Raises:
        UnreachableError: the host does not answer, found out within `PROBE_SECONDS`.
        UserError: a download or disk that failed, or files that are not what was published.
    """
    check_name(name)
    data_dir = default_data_dir() if data_dir is None else Path(data_dir).expanduser()
    if (found := prepared_in(data_dir, name)) is not None:
        return found
    base_url = base_url or SOURCES[name].base_url
    check_host(name, base_url + SOURCES[name].files[0])
    work = data_dir / "downloads" / f"ntkrun-{name}"
    try:
        work.mkdir(parents=True, exist_ok=True)
        with _alone(work / "lock", name):
            return prepared_in(data_dir, name) or _fetch(name, data_dir, work, base_url, published or shipped(name))
    except (OSError, RuntimeError) as error:  # which is what ArrayRecord makes of a full disk
        reason = (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())[:160]
        raise UserError(
            f"cannot write {name} to {data_dir} ({reason}); make room there or set NTKRUN_DATA_DIR to a folder that can be "
            "written to, or use data.source=stand_in"
        ) from error


def check_host(name: str, url: str, seconds: float = PROBE_SECONDS) -> None:
    """Ask the host for the head of a file, through the proxies of the environment.

    Takes `seconds` at most, also when name resolution hangs: no socket timeout covers that, so the thread is left.

    Raises:
        UnreachableError: it did not answer in time, or there is no way to it.  What it answers is not looked at.
    """
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(_fault(url, seconds)), daemon=True)
    thread.start()
    thread.join(seconds)
    fault = answers[0] if answers else f"no answer within {seconds:g} s"
    if fault:
        raise UnreachableError(f"{name} cannot be fetched, {urlsplit(url).hostname} is not reached from here ({fault})")


def _fault(url: str, seconds: float) -> str:
    """Why the host of `url` does not answer; "" where it does."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds):
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        return ""
    # Besides OSError: http.client's HTTPException, and ValueError for a malformed proxy setting.
    except Exception as error:
        return reason_of(error)


def shipped(name: str) -> dict[str, Published]:
    """Sizes and checksums that TFDS has of the source files."""
    import tensorflow_datasets as tfds

    source, published = SOURCES[name], cast(Any, tfds.builder_cls(name))
    infos = {file: published.url_infos[source.base_url + file] for file in source.files}
    return {file: Published(int(info.size), info.checksum) for file, info in infos.items()}


@contextlib.contextmanager
def _alone(lock: Path, name: str) -> Iterator[None]:
    """One process at a time; the kernel takes the lock back from one that dies."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{name} is being fetched by another process: waiting for it", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(name: str, data_dir: Path, work: Path, base_url: str, published: Mapping[str, Published]) -> Path:
    source, began, size = SOURCES[name], time.monotonic(), sum(one.size for one in published.values())
    megabytes = f"{size / 1e6:.0f} MB"
    print(
        f"fetching {name}, {megabytes} from {urlsplit(base_url).hostname}, into {data_dir}", file=sys.stderr, flush=True
    )
    with tqdm(total=size, desc=f"{name}, download", unit="B", unit_scale=True, disable=None) as bar:
        for file in source.files:
            download(base_url + file, work / file, published[file], bar.update)
    fetched = time.monotonic()
    found = _write(name, data_dir, work, source)
    for file in source.files:
        (work / file).unlink()
    print(
        f"{name}: {megabytes} fetched in {fetched - began:.0f} s, prepared in {time.monotonic() - fetched:.0f} s: {found}",
        file=sys.stderr,
        flush=True,
    )
    return found


def _write(name: str, data_dir: Path, work: Path, source: Source) -> Path:
    from ntkrun.data.sources.write_records import write_records

    decoded, aside = source.read(work), work / "prepared"
    shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed
    examples = sum(len(labels) for _, labels in decoded.splits.values())
    try:
        with tqdm(total=examples, desc=f"{name}, records", unit="image", disable=None) as bar:
            written = write_records(name, aside, decoded, bar.update)
        found = data_dir / name / written.name
        found.parent.mkdir(exist_ok=True)
        os.replace(written, found)
        return found
    finally:
        shutil.rmtree(aside, ignore_errors=True)
