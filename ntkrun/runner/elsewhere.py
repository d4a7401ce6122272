"""The stored cells in the results of another machine: a folder, or an archive, of which nothing is unpacked to the disk.

Both are looked into for `.../<scale>/<experiment>/cells/<file>.parquet`; a folder at its top, or below `results` in it.
What an archive must not hold (absolute paths, "..", links, devices, more than `LARGEST` bytes) ends the reading of it.
"""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ntkrun.errors import UserError

LARGEST, LARGEST_CELL = 2**32, 2**28  # bytes; all figures together have 2e7, the largest cell 1e5
PLACE = re.compile(r"(?:.*/)?(?P<scale>[a-z]+)/(?P<experiment>[a-z0-9_]+)/cells/(?P<file>[^/.][^/]*\.parquet)")


@dataclass(frozen=True)
class StoredElsewhere:
    """One table as it lies there; nothing about it is checked."""

    experiment: str
    file: str
    content: bytes


@dataclass
class Elsewhere:
    """`cells(...)` yields what is stored there; afterwards `fault` says why the end was not reached, "" if it was."""

    path: Path
    fault: str = ""
    scales: set[str] = field(default_factory=set)  # that there are cells of

    @classmethod
    def of(cls, named: str, setting: str) -> "Elsewhere":
        """What `setting=named` speaks of.  Raises UserError when it is neither a folder nor an archive."""
        path = Path(named).expanduser()
        if not path.is_dir() and not (path.is_file() and tarfile.is_tarfile(path)):
            what = "is no folder and no tar archive" if path.exists() else "is not there"
            raise UserError(f"{setting}={named} {what}: name a folder of results, or the cells.tar.gz of a bundle")
        return cls(path)

    def cells(self, scale: str) -> Iterator[StoredElsewhere]:
        """The cells of this scale, one in memory at a time."""
        return self._in_folder(scale) if self.path.is_dir() else self._in_archive(scale)

    def _in_folder(self, scale: str) -> Iterator[StoredElsewhere]:
        for root in (self.path, self.path / "results"):
            for path in sorted(root.glob("*/*/cells/*.parquet")):
                place = PLACE.fullmatch(path.relative_to(root).as_posix())
                if place is None:
                    continue
                self.scales.add(place["scale"])
                if place["scale"] == scale:
                    try:
                        yield StoredElsewhere(place["experiment"], place["file"], path.read_bytes())
                    except OSError as error:
                        self.fault = f"cannot read {path} ({error.strerror})"

    def _in_archive(self, scale: str) -> Iterator[StoredElsewhere]:
        total = 0
        try:
            with tarfile.open(self.path, "r:*") as archive:
                for member in archive:
                    place = PLACE.fullmatch(member.name)
                    if (why := _forbidden(member)) or (total := total + member.size) > LARGEST:
                        self.fault = f"{self.path}: {member.name!r:.80} {why or 'makes it too large'}: not read further"
                        return
                    if place is None or not member.isfile():
                        continue
                    self.scales.add(place["scale"])
                    if place["scale"] == scale and (file := archive.extractfile(member)) is not None:
                        yield StoredElsewhere(place["experiment"], place["file"], file.read())
        # tarfile, and zlib or lzma below it, each raise their own kinds over the same cause
        except Exception as error:
            reason = " ".join(str(error).split())[:80]
            self.fault = f"{self.path} is damaged ({type(error).__name__}: {reason}): what is behind that is not read"


def _forbidden(member: tarfile.TarInfo) -> str:
    """Why an archive with this member is not one of ours; "" when it may be."""
    if member.name.startswith("/") or ".." in Path(member.name).parts:
        return "lies outside of it"
    if not (member.isfile() or member.isdir()):
        return "is no file"
    return "is too large" if member.size > LARGEST_CELL else ""
