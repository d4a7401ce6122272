"""A web on this machine: source files of MNIST and CIFAR-10 with a few random images, and a server that may misbehave."""

import contextlib
import gzip
import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ntkrun.data.sources.download import Published

MINI_TRAIN, MINI_TEST = 60, 20
SIZES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def mini_pixels(split: str, name: str = "mnist") -> tuple[np.ndarray, np.ndarray]:
    """The images and labels the small sets are made of, in the order of their source files."""
    count = MINI_TRAIN if split == "train" else MINI_TEST
    pixels = np.random.default_rng(count).integers(0, 256, (count, *SIZES[name]), dtype=np.uint8)
    return pixels, np.arange(count) % 10


def mnist_files() -> dict[str, bytes]:
    """idx: a header, then the bytes."""
    files = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        pixels, labels = mini_pixels(split)
        shape = np.array([0x803, *pixels.shape[:3]], ">u4").tobytes()
        files[f"{prefix}-images-idx3-ubyte.gz"] = gzip.compress(shape + pixels.tobytes(), mtime=0)
        count = np.array([0x801, len(labels)], ">u4").tobytes()
        files[f"{prefix}-labels-idx1-ubyte.gz"] = gzip.compress(count + labels.astype(np.uint8).tobytes(), mtime=0)
    return files


def cifar10_files() -> dict[str, bytes]:
    """Rows of a label and three planes, in five batches and one; and what a careless reader would write anywhere."""
    rows = {}
    for split in ("train", "test"):
        pixels, labels = mini_pixels(split, "cifar10")
        planes = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
        rows[split] = np.concatenate([labels[:, None].astype(np.uint8), planes], axis=1)
    members = {f"data_batch_{i + 1}.bin": part.tobytes() for i, part in enumerate(np.split(rows["train"], 5))}
    members |= {"test_batch.bin": rows["test"].tobytes(), "batches.meta.txt": ("\n".join(CLASSES) + "\n\n").encode()}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, content in {
            "../../outside": b"!",
            **{f"cifar-10-batches-bin/{m}": c for m, c in members.items()},
        }.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return {"cifar-10-binary.tar.gz": gzip.compress(packed.getvalue(), mtime=0)}


FILES = {"mnist": mnist_files, "cifar10": cifar10_files}


def published(files: dict[str, bytes]) -> dict[str, Published]:
    """What these files are known by."""
    return {name: Published(len(content), hashlib.sha256(content).hexdigest()) for name, content in files.items()}


class Web(http.server.ThreadingHTTPServer):
    """Serves `files`.

    cuts    bytes after which the next answers to GET break off, one for each of them
    ranges  whether a request for the rest of a file is understood
    asked   (path, Range) of every GET
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.ranges = files, True
        self.cuts: list[int] = []
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Web

    def do_HEAD(self) -> None:
        self._answer(self.server.files.get(self.path[1:]), body=False)

    def do_GET(self) -> None:
        self.server.asked.append((self.path[1:], self.headers.get("Range", "")))
        self._answer(self.server.files.get(self.path[1:]), body=True)

    def _answer(self, content: bytes | None, body: bool) -> None:
        if content is None:
            self.send_error(404)
            return
        start = int(self.headers.get("Range", "bytes=0-")[6:-1]) if self.server.ranges else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if body:
            self.wfile.write(content[start:][: self.server.cuts.pop(0) if self.server.cuts else None])

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Web]:
    """A server for as long as the block lasts."""
    with Web(files) as web:
        thread = threading.Thread(target=lambda: web.serve_forever(poll_interval=0.02))
        thread.start()
        try:
            yield web
        finally:
            web.shutdown()
            thread.join()


def left_over(folder: Path) -> list[str]:
    """What lies under way below a data directory, besides the locks."""
    return sorted(path.name for path in folder.glob("downloads/*/*") if path.name != "lock")
