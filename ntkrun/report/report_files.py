"""What the files of one report say, as the gallery shows it."""

import ast
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from ntkrun.experiments import figures
from ntkrun.experiments.claims import Verdict
from ntkrun.report.judge import band, number

CHECKOUT = Path(figures.__path__[0]).parent.parent.parent
DOWNLOADS = {
    "figure.png": "PNG",
    "figure.pdf": "PDF",
    "table.parquet": "parquet",
    "claims.json": "claims",
    "deviation.csv": "deviation from the paper",
    "curves.json": "curves",
}
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


def claim_row(verdict: Verdict) -> dict[str, Any]:
    return {"claim": verdict, "measured": number(verdict.measured), "band": band(verdict)}


def panels_apart(rows: list[dict[str, str]]) -> Iterator[PanelApart]:
    """By panel, in the order of drawing, from the rows of a deviation.csv."""
    for panel in dict.fromkeys(row["panel"] for row in rows):
        part = [row for row in rows if row["panel"] == panel]
        octaves, note = part[0]["unit"] == "octaves", part[0]["note"]

        def shown(row: dict[str, str], octaves: bool = octaves) -> list[str]:
            values = [float(row[name]) for name in ("median", "largest", "signed_median") if row[name]]
            return [f"{value:.2f}" if octaves else f"{100 * value:.1f}" for value in values]

        curves = [(_curve(row), f"{row['points']} of {row['paper_points']}", shown(row)) for row in part]
        yield PanelApart(panel, "octaves" if octaves else "% of the panel", note, curves)


def _curve(row: dict[str, str]) -> str:
    """Its name, and which combination of what is swept; reports of an earlier version tell none."""
    return f"{row['curve']} [{row['combination']}]" if row.get("combination") else row["curve"]


@cache
def _docstring(name: str) -> str:
    return ast.get_docstring(ast.parse(Path(figures.__path__[0], f"{name}.py").read_text())) or ""


def caption_of(name: str, at_scale: Path) -> Caption:
    text = _docstring(name)
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


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height, so that the page does not jump while it loads."""
    with Image.open(path, formats=["PNG"]) as picture:  # reads the header alone
        return picture.size


def files_of(folder: Path, link: str) -> Iterator[tuple[str, str, str]]:
    """(label, link, size) of what can be downloaded; `link` leads from the page to the folder."""
    for file, label in DOWNLOADS.items():
        path = folder / file
        if path.is_file():
            yield label, f"{link}/{file}", f"{path.stat().st_size / 1024:.0f} KiB"


def warnings_of(provenance: dict[str, Any]) -> Iterator[str]:
    for name in provenance["stand_in_data"]:
        yield f"Drawn from the stand-in images {name}, not from the paper's data."
    for name in provenance.get("own_data", []):
        yield f"Drawn from own data, {name}, not from the paper's."
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


def settings_of(cells: list[dict[str, Any]]) -> list[tuple[str, str]]:
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
    return f"{data.get('file', data['name'])} ({data['source']}), fingerprint {data['fingerprint'][:12]}"


def minutes_of(cells: list[dict[str, Any]]) -> float:
    return sum(cell["wall_seconds"] for cell in cells) / 60


def origin_of(provenance: dict[str, Any]) -> Iterator[tuple[str, str]]:
    cells = provenance["cells"]
    yield "data", _joined([_images(cell) for cell in cells])
    yield "computed by", _joined([_code(cell["code"]) for cell in cells])
    yield "drawn by", _code(provenance["drawn_by"])
    packages = (f"{name} {number}" for cell in cells for name, number in cell["packages"].items())
    yield "versions", ", ".join(dict.fromkeys([*(f"Python {cell['python']}" for cell in cells), *packages]))
    devices = [cell["device"] for cell in cells]
    # tables made before `devices` was a setting say how many there were
    yield "device", _joined([f"{d['used'] if 'used' in d else d['count']} x {d['kind']}" for d in devices])
    yield "cells", f"{len(cells)}, {minutes_of(cells):.1f} minutes together"
    yield "finished", max(cell["finished"] for cell in cells)[:19].replace("T", " ") + " UTC"
