"""results/<scale>/index.html, a card for every figure, and beside it a page for each: its runs, their claims and curves.

The pages read only the json and csv files of the reports, and the docstrings of the figures for their captions.  Style,
script and the curves are inside them, so that they work wherever they are opened from; the pictures stay beside them.
Each page carries a digest of what it was made from: it is written again when that has changed, and removed with its report.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

from ntkrun.errors import UserError
from ntkrun.experiments import figures
from ntkrun.report.page_html import Figure, figure_page, index_page
from ntkrun.report.report_files import DOWNLOADS, caption_of
from ntkrun.runner.files import write_bytes
from ntkrun.runner.reports import PROVENANCE, StoredReport, reports_at
from ntkrun.settings.choices import Scale
from ntkrun.settings.variant import DEFAULT

INDEX = "index.html"
READ = (PROVENANCE, "claims.json", "deviation.csv", "curves.json")  # of a report; of its other files the size is shown
MARK = re.compile(rb'<meta name="ntkrun-inputs" content="([0-9a-f]+)">')


def write_gallery(at_scale: Path) -> Path:
    """Write the pages of all reports below results/<scale>; the index.  Raises UserError when the disk does not let us.

    Of several processes that report at once the last to write has seen everything: it writes again until no file changed
    between reading and writing, and a report that changes one later writes the pages itself.
    """
    beside = [folder for folder in _scales(at_scale).values() if folder != at_scale and (folder / INDEX).is_file()]
    seen = None
    while seen != (there := {folder: _inputs(folder) for folder in (at_scale, *beside)}):  # these show this scale, too
        seen = there
        _write(at_scale, there[at_scale])
        for folder in beside:
            with contextlib.suppress(UserError):  # this run did not ask for them: they may be read only
                _write(folder, there[folder])
    return at_scale / INDEX


def _write(at_scale: Path, wanted: dict[str, str]) -> None:
    """Write those pages that are not made from what there is, and remove those of figures that are gone."""
    stale = {page: digest for page, digest in wanted.items() if _digest_in(at_scale / page) != digest}
    shown = list(_figures(at_scale))
    for figure in shown:
        if figure.page in stale:
            html = figure_page(at_scale, figure, shown, stale[figure.page])
            write_bytes(at_scale / figure.page, html.encode())
    if INDEX in stale:
        write_bytes(at_scale / INDEX, index_page(at_scale, shown, _indices(at_scale), stale[INDEX]).encode())
    for page in at_scale.glob("*.html"):
        if page.name not in {INDEX, *(one.page for one in shown)} and _digest_in(page):
            with contextlib.suppress(OSError):
                page.unlink()


def _scales(at_scale: Path) -> dict[str, Path]:
    """The folders of all scales beside this one, in the order of their sizes; not all of them need be there."""
    return {scale: at_scale.parent / scale for scale in dict.fromkeys((*get_args(Scale), at_scale.name))}


def _indices(at_scale: Path) -> list[tuple[str, str]]:
    """(name, link) of the indices of other scales."""
    there = ((scale, folder) for scale, folder in _scales(at_scale).items() if folder != at_scale)
    return [(scale, f"../{scale}/{INDEX}") for scale, folder in there if (folder / INDEX).is_file()]


def _figures(at_scale: Path) -> Iterator[Figure]:
    """All that have a report at this scale, in the paper's order."""
    names = figures.in_the_papers_order(figures.experiment_names())
    own = list(reports_at(at_scale, names))
    others = [
        (scale, report)
        for scale, folder in _scales(at_scale).items()
        if folder != at_scale
        for report in reports_at(folder, names)
        if report.run in ("", DEFAULT)
    ]
    for name in dict.fromkeys(report.experiment for report in own):
        beside = {
            scale: report for scale, report in others if report.experiment == name
        }  # the user's before the shipped
        yield Figure(name, [report for report in own if report.experiment == name], list(beside.items()))


# -- what the pages are made from


def _inputs(at_scale: Path) -> dict[str, str]:
    """Page -> digest of all that it shows."""
    shown = list(_figures(at_scale))
    names = " ".join(one.name for one in shown)
    own = {one.page: _digest(one.own, _code(), names) for one in shown}
    pages = {}
    for one in shown:
        beside = [report for _, report in one.others]
        linked = [str(one.page_at(at_scale, scale)) for scale, _ in one.others]
        notes = str(caption_of(one.name, at_scale))
        pages[one.page] = _digest(beside, own[one.page], notes, *linked)
    return pages | {
        INDEX: _digest(
            [], _code(), str(own), str(_indices(at_scale)), *(caption_of(one.name, at_scale).headline for one in shown)
        )
    }


def _digest(reports: list[StoredReport], *words: str) -> str:
    """Of the reports' files and of the words."""
    found = hashlib.sha256("\0".join(words).encode())
    for report in reports:
        found.update(repr((report.experiment, report.run, report.shipped)).encode())
        for file in dict.fromkeys((*READ, *DOWNLOADS, "thumbnail.png")):
            path = report.folder / file
            try:
                told = path.read_bytes() if file in READ else str(path.stat().st_size).encode()
            except OSError:
                told = b"not there"
            found.update(f"\0{file} {len(told)}\0".encode() + told)
    return found.hexdigest()[:32]


@cache
def _code() -> str:
    """Of what makes pages: the templates and the modules of this folder."""
    files = sorted(path for path in Path(__file__).parent.rglob("*") if path.suffix in (".py", ".j2", ".js", ".css"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def _digest_in(page: Path) -> str:
    """That of a page of ours; "" where there is none."""
    try:
        with page.open("rb") as file:
            found = MARK.search(file.read(2000))
    except OSError:
        return ""
    return found[1].decode() if found else ""
