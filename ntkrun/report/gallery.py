"""results/<scale>/index.html: every figure that is there beside what it claims, what it ran with and how far it got.

The page reads only the json and csv files of the reports, and the docstrings of the figures for their captions.  Style and
script are inside it; the pictures, one to a folder, stay beside it, so that it is small and always shows the newest.
"""

import ast
import csv
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape
from PIL import Image

from ntkrun.experiments import figures
from ntkrun.experiments.claims import Verdict
from ntkrun.report.causes import cause_of
from ntkrun.report.judge import band, number
from ntkrun.runner.files import write_bytes

CHECKOUT = Path(figures.__path__[0]).parent.parent.parent
VERDICTS = ("pass", "fail", "not_judged")
DOWNLOADS = {
    "figure.png": "PNG",
    "figure.pdf": "PDF",
    "table.parquet": "parquet",
    "claims.json": "claims",
    "deviation.csv": "deviation from the paper",
}
SYMBOLS = {
    r"\bTheta_hat": "Θ̂", r"\bK_hat": "K̂", r"\bTheta(?=_|\b)": "Θ", r"\btheta(?=_|\b)": "θ", r"\bphi\b": "φ",
    r"\bsigma(?=_|\b)": "\N{GREEK SMALL LETTER SIGMA}", r"\beta\b": "η", r"\bbeta\b": "β",
    r"\bsqrt (?=[\w(])": "√", r"\bsqrt(?=\()": "√", r"&lt;=": "≤", r"&gt;=": "≥", r"\+-": "±",
    r"\b([^\W\d_]̂?)_(\w+)": r"\1<sub>\2</sub>", r"\^(-?[\w./]*\w)": r"<sup>\1</sup>", r"`(.+?)`": r"<code>\1</code>",
}  # fmt: skip
MANY = 8  # values of one setting that are written out; more are given as first ... last


@dataclass(frozen=True)
class Caption:
    """What a figure's docstring says: its first line and (label, text) of each paragraph, "Panels", "Setting", ..."""

    headline: str
    parts: dict[str, str]
    notes: list[tuple[str, str | None]] = field(default_factory=list)  # file of docs/, link if the page can reach it


@dataclass(frozen=True)
class PanelApart:
    """How far our curves of one panel are from the paper's: (curve, "points of the paper's", distances if it was run)."""

    panel: str
    unit: str
    note: str
    curves: list[tuple[str, str, list[str]]]


@dataclass(frozen=True)
class Entry:
    """One figure of the page.  With a `fault`, its files could not be read and the rest is empty."""

    name: str
    caption: Caption
    fault: str = ""
    title: str = ""
    size: tuple[int, int] | None = None  # of the picture, pixels
    files: list[tuple[str, str, str]] = field(default_factory=list)  # label, link, size
    claims: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VERDICTS, 0))
    departures: list[str] = field(default_factory=list)
    apart: list["PanelApart"] = field(default_factory=list)
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
    entries = [_sound(template, at_scale, name) for name in _reported(at_scale)]
    there = {entry.name for entry in entries}
    missing = [name for name in figures.figure_names() if name not in there]
    total = {kind: sum(entry.counts[kind] for entry in entries) for kind in VERDICTS}
    return template.render(scale=at_scale.name, entries=entries, total=total, missing=missing)


def _sound(template: Template, at_scale: Path, name: str) -> Entry:
    """One figure of the page, which can be read and shown; one with a `fault` where its files are not what a report writes."""
    caption = _caption(name, at_scale)
    try:
        entry = _entry(at_scale, name, caption)
        template.render(scale=at_scale.name, entries=[entry], total=entry.counts, missing=[])
    # a foreign or damaged file can make its readers fail in any way
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return Entry(name, caption, fault=f"the report cannot be read ({what}); make it again with stage=report")
    return entry


def symbols(text: str) -> Markup:
    """The plain text of docstrings and claims as HTML, with the symbols that its words stand for."""
    html = str(escape(text))
    for pattern, replacement in SYMBOLS.items():
        html = re.sub(pattern, replacement, html)
    return Markup(html)


def _reported(at_scale: Path) -> list[str]:
    """Experiments with a report, in the paper's order."""
    names = figures.in_the_papers_order(figures.experiment_names())
    return [name for name in names if (at_scale / name / "provenance.json").exists()]


def _state(at_scale: Path) -> list[tuple[str, int, int]]:
    """What the page is made from: a rewritten file is another inode or another time."""
    wanted = ("provenance.json", "claims.json", *DOWNLOADS)
    paths = (at_scale / name / file for name in figures.experiment_names() for file in wanted)
    found = []
    for path in paths:
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        found.append((str(path), status.st_ino, status.st_mtime_ns))
    return found


def _entry(at_scale: Path, name: str, caption: Caption) -> Entry:
    """What the files of a report say; raises anything where they are not as a report writes them."""
    folder = at_scale / name
    provenance, claims = (json.loads((folder / name).read_text()) for name in ("provenance.json", "claims.json"))
    verdicts, cells = [Verdict(**record) for record in claims], provenance["cells"]
    if unknown := {v.verdict for v in verdicts} - set(VERDICTS):
        raise ValueError(f"verdicts {unknown}")
    return Entry(
        name=name,
        caption=caption,
        title=provenance["title"],
        size=_picture_size(folder / "figure.png"),
        files=list(_files(folder)),
        claims=[_claim(v, at_scale.name) for v in verdicts],
        counts={kind: sum(v.verdict == kind for v in verdicts) for kind in VERDICTS},
        departures=provenance["departures_from_paper"],
        apart=list(_apart(folder / "deviation.csv")),
        warnings=list(_warnings(provenance)),
        settings=_settings([cell["settings"] for cell in cells]),
        origin=list(_origin(provenance)),
        cells=len(cells),
        minutes=_minutes(cells),
    )


def _claim(verdict: Verdict, scale: str) -> dict[str, Any]:
    cause = cause_of(scale, verdict.id) if verdict.verdict == "fail" else ""
    return {"claim": verdict, "measured": number(verdict.measured), "band": band(verdict), "cause": cause}


def _apart(path: Path) -> Iterator[PanelApart]:
    """By panel, in the order of drawing; nothing for a figure that has no curve of the paper."""
    if not path.is_file():  # a report of an earlier version
        return
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    for panel in dict.fromkeys(row["panel"] for row in rows):
        part = [row for row in rows if row["panel"] == panel]
        octaves, note = part[0]["unit"] == "octaves", part[0]["note"]

        def shown(row: dict[str, str], octaves: bool = octaves) -> list[str]:
            values = [float(row[name]) for name in ("median", "largest", "signed_median") if row[name]]
            return [f"{value:.2f}" if octaves else f"{100 * value:.1f}" for value in values]

        curves = [(row["curve"], f"{row['points']} of {row['paper_points']}", shown(row)) for row in part]
        yield PanelApart(panel, "octaves" if octaves else "% of the panel", note, curves)


def _caption(name: str, at_scale: Path) -> Caption:
    source = Path(figures.__path__[0], f"{name}.py").read_text()
    text = ast.get_docstring(ast.parse(source)) or ""
    headline, _, rest = text.partition("\n")
    parts: dict[str, str] = {}
    label = ""
    for line in filter(None, rest.splitlines()):
        start = re.match(r"([A-Z][a-z]+) {2,}", line)
        label = start[1] if start else label
        parts[label] = f"{parts.get(label, '')} {line[start.end() if start else 0 :].strip()}".strip()
    notes = sorted(set(re.findall(r"docs/\w+\.md", text)))
    return Caption(headline, parts, [(note, _link_to_notes(note, at_scale)) for note in notes])


def _link_to_notes(note: str, at_scale: Path) -> str | None:
    """From the page to a file of the checkout, when both lie in it; an installed package has no docs."""
    target, page = CHECKOUT / note, at_scale.resolve()
    reachable = target.is_file() and page.is_relative_to(CHECKOUT)
    return os.path.relpath(target, page) if reachable else None


def _picture_size(path: Path) -> tuple[int, int]:
    """Width and height, so that the page does not jump while it loads."""
    with Image.open(path, formats=["PNG"]) as picture:  # reads the header alone
        return picture.size


def _files(folder: Path) -> Iterator[tuple[str, str, str]]:
    for file, label in DOWNLOADS.items():
        path = folder / file
        if path.is_file():
            yield label, f"{folder.name}/{file}", f"{path.stat().st_size / 1024:.0f} KiB"


def _warnings(provenance: dict[str, Any]) -> Iterator[str]:
    for name in provenance["stand_in_data"]:
        yield f"Drawn from the stand-in images {name}, not from the paper's data."
    for cell, why in provenance.get("failed_cells", {}).items():
        yield f"Without {cell}, which failed: {why}."
    missing, there = provenance["missing_cells"], len(provenance["cells"])
    if missing:
        yield f"Incomplete: {len(missing)} of {len(missing) + there} cells are not there: {', '.join(missing[:MANY])}."


def _leaves(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value if isinstance(value, str) else json.dumps(value)


def _joined(values: list[str]) -> str:
    few = list(dict.fromkeys(values))
    return ", ".join(few) if len(few) <= MANY else f"{few[0]} ... {few[-1]} ({len(few)} values)"


def _settings(cells: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Dotted name -> value of every setting, all its values where the cells differ."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        for key, value in _leaves({k: v for k, v in cell.items() if k not in ("experiment", "scale")}):
            found.setdefault(key, []).append(value)
    return [(key, _joined(values)) for key, values in found.items()]


def _code(version: dict[str, Any]) -> str:
    commit = version["commit"]
    at = f", commit {commit[:12]}{' with changes' if version['dirty'] else ''}" if commit else ""
    return f"ntkrun {version['ntkrun']}{at}"


def _images(cell: dict[str, Any]) -> str:
    data = cell["facts"].get("data")
    if data is None:
        return "random inputs, no images"
    return f"{data['name']} ({data['source']}), fingerprint {data['fingerprint'][:12]}"


def _minutes(cells: list[dict[str, Any]]) -> float:
    return sum(cell["wall_seconds"] for cell in cells) / 60


def _origin(provenance: dict[str, Any]) -> Iterator[tuple[str, str]]:
    cells = provenance["cells"]
    yield "data", _joined([_images(cell) for cell in cells])
    yield "computed by", _joined([_code(cell["code"]) for cell in cells])
    yield "drawn by", _code(provenance["drawn_by"])
    packages = (f"{name} {number}" for cell in cells for name, number in cell["packages"].items())
    yield "versions", ", ".join(dict.fromkeys([*(f"Python {cell['python']}" for cell in cells), *packages]))
    devices = [cell["device"] for cell in cells]
    # tables made before `devices` was a setting say how many there were
    yield "device", _joined([f"{d['used'] if 'used' in d else d['count']} x {d['kind']}" for d in devices])
    yield "cells", f"{len(cells)}, {_minutes(cells):.1f} minutes together"
    yield "finished", max(cell["finished"] for cell in cells)[:19].replace("T", " ") + " UTC"
