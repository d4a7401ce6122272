"""What the gallery's pages show of each report, read from its files; a report that cannot be read is an entry with a fault."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ntkrun.experiments.claims import Verdict
from ntkrun.report.beside import Differences, differences
from ntkrun.report.counts import Counts
from ntkrun.report.departures import Departures
from ntkrun.report.deviation import distance, rows_of
from ntkrun.report.judge import named
from ntkrun.report.report_files import (
    Caption,
    PanelApart,
    caption_of,
    claim_row,
    files_of,
    minutes_of,
    origin_of,
    panels_apart,
    picture_size,
    settings_of,
    warnings_of,
)
from ntkrun.report.shown_curves import panels_of
from ntkrun.runner.reports import NO_NAME, StoredReport
from ntkrun.settings.variant import DEFAULT, SHIPPED

VERDICTS = ("pass", "fail", "not_judged")


@dataclass(frozen=True)
class Entry:
    """One run.  With a `fault`, its files could not be read and the rest is empty.

    name     experiment
    scale    of the run: another one than the page's where it stands beside for comparison
    run      what tells it from the others of the experiment at its scale
    key      of the element on the page
    link     from the page to its folder
    command  that makes it again
    changed  "model.width=[32, 128]" of every setting that is not the experiment's at this scale
    """

    name: str
    scale: str
    run: str
    key: str
    link: str
    caption: Caption
    command: str = ""
    changed: list[str] = field(default_factory=list)
    fault: str = ""
    title: str = ""
    shows: str = ""  # which panels, where they are not those of the caption
    size: tuple[int, int] | None = None  # of the picture, pixels
    small: str = ""  # link to the picture for a list
    files: list[tuple[str, str, str]] = field(default_factory=list)  # label, link, size
    claims: list[dict[str, Any]] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    departures: Departures | None = None  # None: a report of an earlier version, which does not tell them
    apart: list[PanelApart] = field(default_factory=list)
    panels: list[dict[str, Any]] = field(default_factory=list)  # of curves.json
    deviations: list[dict[str, str]] = field(default_factory=list)  # the rows of deviation.csv
    distance: str = ""  # of all curves together
    warnings: list[str] = field(default_factory=list)
    settings: list[tuple[str, str]] = field(default_factory=list)
    origin: list[tuple[str, str]] = field(default_factory=list)
    cells: int = 0
    minutes: float = 0.0

    @property
    def heading(self) -> str:
        return self.title or self.caption.headline

    @property
    def drawn(self) -> str:
        """Its panels in words."""
        return self.shows or self.caption.parts.get("Panels", "")

    @property
    def state(self) -> str:
        """ "fail" where something fails or cannot be read, "pass" where all that is judged passes, else "" """
        if self.fault or self.counts.all_failed:
            return "fail"
        return "pass" if self.counts.judged + self.counts.fitted else ""

    @property
    def words(self) -> str:
        """What a search finds it by."""
        claims = (f"{row['claim'].id} {row['claim'].sentence}" for row in self.claims)
        words = [self.name, self.run, self.heading, self.command, *self.changed, *self.caption.parts.values(), *claims]
        return " ".join(" ".join(words).lower().split())


def called(entry: Entry, scale: str) -> str:
    """What a run is called beside others, on a page of this scale."""
    return (entry.run or NO_NAME) if entry.scale == scale else f"scale={entry.scale}"


def what_differs(runs: Sequence[Entry]) -> Differences:
    """Between these runs: settings, images, and what was measured of each claim."""
    settings = [dict(entry.settings) | {"data": dict(entry.origin)["data"]} for entry in runs]
    claims = [{named(row["claim"]): (row["measured"], row["claim"].verdict) for row in entry.claims} for entry in runs]
    return differences(settings, claims)


def entry_of(at_scale: Path, report: StoredReport, scale: str, check: Callable[[Entry], object]) -> Entry:
    """What the page at results/<scale> shows of a report; `check` may find that it cannot be shown by raising anything."""
    name, run = report.experiment, SHIPPED if report.shipped else report.run
    link = quote(Path(os.path.relpath(report.folder.resolve(), at_scale.resolve())).as_posix(), safe="/=,+@()!$*~&' ")
    told: dict[str, Any] = {"name": name, "scale": scale, "run": run, "key": f"{name}-{run}" if run else name}
    told |= {"link": link, "caption": caption_of(name, at_scale)}
    try:
        entry = _read(report, scale, told)
        check(entry)
    # a foreign or damaged file can make its readers fail in any way
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return Entry(**told, fault=f"the report cannot be read ({what}); make it again with stage=report")
    return entry


def _read(report: StoredReport, scale: str, told: dict[str, Any]) -> Entry:
    """What the files of a report say; raises anything where they are not as a report writes them."""
    name, folder, link, provenance = report.experiment, report.folder, told["link"], report.provenance()
    records = json.loads((folder / "claims.json").read_text())
    verdicts = [Verdict(**record) for record in records]
    cells = provenance["cells"]
    variant = provenance.get("run") or {"command": f"ntkrun experiment={name} scale={scale}", "changed": {}}
    # reports of earlier versions have none of these three
    path, small, curves = (folder / file for file in ("deviation.csv", "thumbnail.png", "curves.json"))
    deviations = rows_of(path.read_text()) if path.is_file() else []
    if unknown := {v.verdict for v in verdicts} - set(VERDICTS):
        raise ValueError(f"verdicts {unknown}")
    return Entry(
        **told,
        command=variant["command"],
        changed=[f"{key}={json.dumps(value)}" for key, value in variant["changed"].items()],
        title=provenance["title"],
        shows=provenance.get("panels", ""),
        size=picture_size(folder / "figure.png"),
        small=f"{link}/{small.name if small.is_file() else 'figure.png'}",
        files=list(files_of(folder, link)),
        claims=[claim_row(v) for v in verdicts],
        counts=Counts.of(records),
        departures=Departures.of_record(provenance["departures"]) if "departures" in provenance else None,
        apart=list(panels_apart(deviations)),
        panels=panels_of(curves.read_text()) if curves.is_file() else [],
        deviations=deviations,
        distance=distance(deviations),
        warnings=list(warnings_of(provenance)),
        settings=settings_of([cell["settings"] for cell in cells]),
        origin=list(origin_of(provenance)),
        cells=len(cells),
        minutes=minutes_of(cells),
    )


def chief(entries: list[Entry]) -> Entry:
    """The run that stands for an experiment: the user's own without changes, else the first of the user's, else the shipped."""
    order = sorted(entries, key=lambda e: (bool(e.fault), e.run == SHIPPED, e.run not in ("", DEFAULT)))
    return order[0]
