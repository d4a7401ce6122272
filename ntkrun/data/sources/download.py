"""One file of the web on this disk, whole and with the published content, or not at all."""

import hashlib
import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ntkrun.errors import UserError

STALL_SECONDS = 20.0  # without a byte, after which a connection counts as broken
TRIES = 3  # in a row that bring nothing new
PAUSE = 0.2  # seconds before the first of them, then twice as long each time
BLOCK = 1 << 16  # bytes

# What a network does.  Other kinds of OSError come from the disk and are the caller's.
_BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)


@dataclass(frozen=True)
class Published:
    """What a file must be.  size: in bytes; sha256: in hex."""

    size: int
    sha256: str


def download(
    url: str, path: Path, published: Published, advance: Callable[[int], object], stall: float = STALL_SECONDS
) -> None:
    """Fetch `url` to `path`, unless it is there.  What broke off, also in an earlier call, goes on where it ended.

    Args:
        advance: told how many more bytes there are; fewer, where a server begins again.

    Raises:
        UserError: the server refuses, breaks off again and again, or sends something else; that is removed.
        OSError: of the disk.
    """
    if path.is_file():  # it has its name since it was verified
        advance(published.size)
        return
    part = path.with_name(f"{path.name}.part")
    most = _bytes_of(part)
    advance(most)
    tries = 0
    while reason := _go_on(url, part, published.size, advance, stall):
        here = _bytes_of(part)
        tries, most = (0, here) if here > most else (tries + 1, most)
        if tries == TRIES:
            raise UserError(
                f"{url} broke off after {here / 1e6:.1f} of {published.size / 1e6:.1f} MB ({reason}): what is there is kept, "
                "and the same command goes on from it"
            )
        time.sleep(PAUSE * 2**tries)
    _check(url, part, published)
    os.replace(part, path)


def _go_on(url: str, part: Path, size: int, advance: Callable[[int], object], stall: float) -> str:
    """Append what is missing; why there is less than `size` after that, "" where there is not."""
    done = _bytes_of(part)
    if done >= size:
        return ""
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=stall) as response:
            if done and response.headers.get("Content-Range", "").split("-")[0] != f"bytes {done}":
                advance(-done)  # the server sends all of it again
                done = 0
            with part.open("ab" if done else "wb") as file:
                # one byte more than there should be is enough to know
                while block := response.read(min(BLOCK, size + 1 - done)):
                    file.write(block)
                    done += len(block)
                    advance(len(block))
    except urllib.error.HTTPError as error:
        error.close()
        raise UserError(f"{url} cannot be had: the server answered {error.code}; try again later") from error
    except _BROKEN as error:
        return reason_of(error)
    return "" if done >= size else "the connection ended"


def _check(url: str, part: Path, published: Published) -> None:
    """UserError, and the file is gone, where it is not what was published."""
    with part.open("rb") as file:
        found = Published(_bytes_of(part), hashlib.file_digest(file, "sha256").hexdigest())
    if found != published:
        part.unlink()
        raise UserError(
            f"{url} is not the published file (sha256 {found.sha256[:12]}... of {found.size} bytes, not "
            f"{published.sha256[:12]}... of {published.size}) and was removed: try again, perhaps in another network"
        )


def reason_of(error: BaseException) -> str:
    """What an error of the network says, in one short line."""
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split())[:120] or type(error).__name__


def _bytes_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
