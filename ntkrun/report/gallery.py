"""results/<scale>/index.html: every run that is there beside what it claims, what it ran with and how far it got.

The page reads only the json and csv files of the reports, and the docstrings of the figures for their captions.  Style and
script are inside it; the pictures, one to a folder, stay beside it, so that it is small and always shows the newest.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from ntkrun.experiments import figures
from ntkrun.experiments.claims import Verdict
from ntkrun.report.beside import Differences, differences
from ntkrun.report.counts import Counts
from ntkrun.report.departures import Departures
from ntkrun.report.deviation import distance, rows_of
from ntkrun.report.report_files import (
    DOWNLOADS,
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
from ntkrun.runner.files import write_bytes
from ntkrun.runner.reports import StoredReport, reports_at

VERDICTS = ("pass", "fail", "not_judged")
SYMBOLS = {
    r"\bTheta_hat": "Θ̂", r"\bK_hat": "K̂", r"\bTheta(?=_|\b)": "Θ", r"\btheta(?=_|\b)": "θ", r"\bphi\b": "φ",
    r"\bsigma(?=_|\b)": "\N{GREEK SMALL LETTER SIGMA}", r"\beta\b": "η", r"\bbeta\b": "β",
    r"\bsqrt (?=[\w(])": "√", r"\bsqrt(?=\()": "√", r"&lt;=": "≤", r"&gt;=": "≥", r"\+-": "±",
    r"\b([^\W\d_]̂?)_(\w+)": r"\1<sub>\2</sub>", r"\^(-?[\w./]*\w)": r"<sup>\1</sup>", r"`(.+?)`": r"<code>\1</code>",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One run of the page.  With a `fault`, its files could not be read and the rest is empty.

    name     experiment
    run      what tells it from the others of the experiment
    key      of the element on the page
    link     from the page to its folder
    command  that makes it again
    changed  "model.width=[32, 128]" of every setting that is not the experiment's at this scale
    """

    name: str
    run: str
    key: str
    link: str
    caption: Caption
    command: str = ""
    changed: list[str] = field(default_factory=list)
    fault: str = ""
    title: str = ""
    size: tuple[int, int] | None = None  # of the picture, pixels
    files: list[tuple[str, str, str]] = field(default_factory=list)  # label, link, size
    claims: list[dict[str, Any]] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    departures: Departures | None = None  # None: a report of an earlier version, which does not tell them
    apart: list["PanelApart"] = field(default_factory=list)
    distance: str = ""  # of all curves together
    warnings: list[str] = field(default_factory=list)
    settings: list[tuple[str, str]] = field(default_factory=list)
    origin: list[tuple[str, str]] = field(default_factory=list)
    cells: int = 0
    minutes: float = 0.0


def write_gallery(at_scale: Path) -> Path:
    """Write the page of all reports below results/<scale>.  Raises UserError when the disk does not let us.

    Of several processes that report at once the last to write has seen everything: it writes again until no file changed
    between reading and writing, and a report that changes one later writes the page itself.
    """
    page = at_scale / "index.html"
    seen = None
    while seen != (there := _state(at_scale)):
        seen = there
        write_bytes(page, render(at_scale).encode())
    return page


def render(at_scale: Path) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["symbols"] = symbols
    template = environment.get_template("gallery.html.j2")
    entries = [_sound(template, at_scale, report) for report in _reported(at_scale)]
    there = {entry.name for entry in entries}
    missing = [name for name in figures.figure_names() if name not in there]
    total = sum((entry.counts for entry in entries), Counts())
    return template.render(
        scale=at_scale.name, entries=entries, total=total, missing=missing, groups=list(_groups(entries))
    )


def _sound(template: Template, at_scale: Path, report: StoredReport) -> Entry:
    """One run of the page, which can be read and shown; one with a `fault` where its files are not what a report writes."""
    name, run = report.experiment, "shipped" if report.shipped else report.run
    link = Path(os.path.relpath(report.folder.resolve(), at_scale.resolve())).as_posix()
    told: dict[str, Any] = {"name": name, "run": run, "key": f"{name}-{run}" if run else name, "link": link}
    told |= {"caption": caption_of(name, at_scale)}
    try:
        entry = _entry(at_scale, report, told)
        groups = list(_groups([entry]))
        template.render(scale=at_scale.name, entries=[entry], total=entry.counts, missing=[], groups=groups)
    # a foreign or damaged file can make its readers fail in any way
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return Entry(**told, fault=f"the report cannot be read ({what}); make it again with stage=report")
    return entry


def _groups(entries: list[Entry]) -> Iterator[tuple[list[Entry], Differences | None]]:
    """The runs of each experiment, and what differs between them where there are several."""
    for name in dict.fromkeys(entry.name for entry in entries):
        runs = [entry for entry in entries if entry.name == name]
        sound = [entry for entry in runs if not entry.fault]
        settings = [dict(entry.settings) | {"data": dict(entry.origin)["data"]} for entry in sound]
        claims = [{row["claim"].id: (row["measured"], row["claim"].verdict) for row in e.claims} for e in sound]
        yield runs, differences(settings, claims) if len(sound) > 1 else None


def symbols(text: str) -> Markup:
    """The plain text of docstrings and claims as HTML, with the symbols that its words stand for."""
    html = str(escape(text))
    for pattern, replacement in SYMBOLS.items():
        html = re.sub(pattern, replacement, html)
    return Markup(html)


def _reported(at_scale: Path) -> list[StoredReport]:
    """All reports, in the paper's order of the experiments."""
    return list(reports_at(at_scale, figures.in_the_papers_order(figures.experiment_names())))


def _state(at_scale: Path) -> list[tuple[str, int, int]]:
    """What the page is made from: a rewritten file is another inode or another time."""
    wanted = ("provenance.json", "claims.json", *DOWNLOADS)
    paths = (report.folder / file for report in _reported(at_scale) for file in wanted)
    found = []
    for path in paths:
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        found.append((str(path), status.st_ino, status.st_mtime_ns))
    return found


def _entry(at_scale: Path, report: StoredReport, told: dict[str, Any]) -> Entry:
    """What the files of a report say; raises anything where they are not as a report writes them."""
    name, folder, provenance = report.experiment, report.folder, report.provenance()
    records = json.loads((folder / "claims.json").read_text())
    verdicts = [Verdict(**record) for record in records]
    cells = provenance["cells"]
    variant = provenance.get("run") or {"command": f"ntkrun experiment={name} scale={at_scale.name}", "changed": {}}
    path = folder / "deviation.csv"
    deviations = rows_of(path.read_text()) if path.is_file() else []  # none in a report of an earlier version
    if unknown := {v.verdict for v in verdicts} - set(VERDICTS):
        raise ValueError(f"verdicts {unknown}")
    return Entry(
        **told,
        command=variant["command"],
        changed=[f"{key}={json.dumps(value)}" for key, value in variant["changed"].items()],
        title=provenance["title"],
        size=picture_size(folder / "figure.png"),
        files=list(files_of(folder, told["link"])),
        claims=[claim_row(v) for v in verdicts],
        counts=Counts.of(records),
        departures=Departures.of_record(provenance["departures"]) if "departures" in provenance else None,
        apart=list(panels_apart(deviations)),
        distance=distance(deviations),
        warnings=list(warnings_of(provenance)),
        settings=settings_of([cell["settings"] for cell in cells]),
        origin=list(origin_of(provenance)),
        cells=len(cells),
        minutes=minutes_of(cells),
    )
