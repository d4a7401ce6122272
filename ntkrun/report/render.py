"""Tables -> table.parquet, figure.png, figure.pdf, claims.json, deviation.csv, provenance.json; never computes a cell."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import rcParams
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

from ntkrun.errors import ComputeForbiddenError, UserError
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import Verdict
from ntkrun.experiments.style import ENLARGED, style
from ntkrun.report.deviation import deviations
from ntkrun.report.judge import as_records, judge_all
from ntkrun.runner.failures import failed_cells
from ntkrun.runner.files import remove_leftovers, write_bytes
from ntkrun.runner.gather import together
from ntkrun.runner.plan import Cell
from ntkrun.runner.provenance import code_version
from ntkrun.runner.store import Store, parquet_bytes

REPORT_FILES = ("table.parquet", "figure.png", "figure.pdf", "claims.json", "deviation.csv", "provenance.json")
PNG_LEVEL = 3  # of zlib: a third of the time of its usual 6 for files larger by a tenth
SAID = 4  # failed cells that are named on the figure
PATIENCE = 60.0  # seconds to wait for another process that writes the same files, which takes about one


@dataclass
class Report:
    """What the report stage found and wrote."""

    picture: Path
    verdicts: list[Verdict]
    missing: list[str]
    stand_ins: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # of the missing cells those that failed, and why


@dataclass(frozen=True)
class Stored:
    """What the store holds of the cells: their tables as one, their provenance, and what is to be said about it."""

    table: pd.DataFrame
    facts: list[dict[str, Any]]
    missing: list[str]
    stand_ins: list[str]


def gather(experiment: Experiment, cells: Sequence[Cell], store: Store) -> Stored:
    """Read what is stored of `cells`.  Raises ComputeForbiddenError when that is nothing."""
    found = [
        (cell, store.stored(cell, cell.settings.images.source if cell.settings.images else "auto")) for cell in cells
    ]
    stored = [(cell, *pair) for cell, pair in found if pair is not None]
    missing = [cell.name for cell, pair in found if pair is None]
    settings = cells[0].settings
    if not stored:
        raise ComputeForbiddenError(
            f"nothing is stored for these settings of {experiment.name} at scale={settings.scale}: "
            "run with stage=all first"
        )
    facts = [one for _, _, one in stored]
    return Stored(
        table=together(experiment, [(cell, table) for cell, table, _ in stored]),
        facts=facts,
        missing=missing,
        stand_ins=sorted({f["facts"]["data"]["name"] for f in facts if f["data_source"] == "stand_in"}),
    )


def judge_stored(experiment: Experiment, stored: Stored, scale: str) -> list[Verdict]:
    told = {"stand_in": bool(stored.stand_ins), "incomplete": bool(stored.missing)}
    return judge_all(experiment, stored.table, scale=scale, **told)


def report(
    experiment: Experiment, cells: Sequence[Cell], store: Store, departures: Sequence[str], redraw: bool = True
) -> Report:
    """Draw and judge what is stored of `cells`; without `redraw` only where that would say anything new.

    `departures`: how the settings differ from the paper's, for the stamp on the figure.  Raises ComputeForbiddenError
    when nothing is stored at all.
    """
    stored, settings = gather(experiment, cells, store), cells[0].settings
    store.prepare()
    verdicts = judge_stored(experiment, stored, settings.scale)
    failed = failed_cells(store, [cell for cell in cells if cell.name in stored.missing])
    provenance = {
        "experiment": experiment.name,
        "title": experiment.title,
        "scale": settings.scale,
        "departures_from_paper": list(departures),
        "stand_in_data": stored.stand_ins,
        "missing_cells": stored.missing,
        "drawn_by": code_version(),
        "style": settings.style,
        "cells": stored.facts,
    } | ({"failed_cells": failed} if failed else {})
    stamp = stamp_lines(settings.scale, departures, stored.stand_ins, stored.missing, len(cells), list(failed))
    if redraw or not _says_the_same(store.folder, provenance, verdicts):
        write_all(experiment, store, settings.style, stored.table, verdicts, provenance, stamp)
    return Report(store.folder / "figure.png", verdicts, stored.missing, stored.stand_ins, failed)


def _says_the_same(folder: Path, provenance: dict[str, Any], verdicts: Sequence[Verdict]) -> bool:
    """Whether the report in the folder is of these very cells, by this very code; of changed code nobody knows."""
    if provenance["drawn_by"]["dirty"] or not all((folder / name).is_file() for name in REPORT_FILES):
        return False
    written = {"provenance.json": provenance, "claims.json": as_records(verdicts)}
    return all((folder / name).read_bytes() == _json(content) for name, content in written.items())


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1).encode()


def stamp_lines(
    scale: str,
    departures: Sequence[str],
    stand_ins: Sequence[str],
    missing: Sequence[str],
    total: int,
    failed: Sequence[str] = (),
) -> list[str]:
    """What must be said on the figure itself: stand-in data, missing and failed cells, how the run differs from the paper's."""
    lines = []
    if stand_ins:
        lines.append(f"STAND-IN DATA: {', '.join(stand_ins)} in place of the paper's images")
    if missing:
        lines.append(f"INCOMPLETE: {len(missing)} of {total} cells are missing" + _among_them(failed))
    lines.append(f"scale={scale}" + (f"; differs from the paper: {', '.join(departures)}" if departures else ""))
    return lines


def _among_them(failed: Sequence[str]) -> str:
    """The failed ones of the missing cells by name, many of them by number."""
    if not failed:
        return ""
    named = "; ".join(failed[:SAID]) + (f" and {len(failed) - SAID} more" if len(failed) > SAID else "")
    return f", of which {len(failed)} failed: {named}"


def write_all(
    experiment: Experiment,
    store: Store,
    style_name: str,
    table: pd.DataFrame,
    verdicts: Sequence[Verdict],
    provenance: dict[str, Any],
    stamp: Sequence[str],
) -> None:
    with style(style_name):
        figure = experiment.plot(table)
        figure.set_size_inches(*(ENLARGED[style_name] * figure.get_size_inches()))
        apart = deviations(figure, experiment.name)
        _stamp(figure, stamp, alarming=bool(provenance["stand_in_data"] or provenance["missing_cells"]))
        record = json.dumps(provenance)
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)
        figure.set_layout_engine(None)  # the panels stay where they are: both files show one layout, made once
        png = _saved(
            figure, "png", {"Title": experiment.title, "ntkrun": record}, pil_kwargs={"compress_level": PNG_LEVEL}
        )
        # PDF knows a fixed set of fields; the dates are left out so that equal tables give equal files
        pdf = _saved(figure, "pdf", {"Title": experiment.title, "Keywords": record, "CreationDate": None})
    lock = store.report_lock()
    if not lock.acquire(judge=True, patience=PATIENCE):
        raise UserError(f"{store.folder} is being written by {lock.describe()}: wait for it, then use stage=report")
    with lock:
        contents = {
            "table.parquet": parquet_bytes(table, provenance),
            "figure.png": png,
            "figure.pdf": pdf,
            "claims.json": _json(as_records(verdicts)),
            "deviation.csv": apart.to_csv(index=False, float_format="%.4g").encode(),
            "provenance.json": _json(provenance),
        }
        for name, content in contents.items():
            remove_leftovers(store.folder / name)
            write_bytes(store.folder / name, content)


def _stamp(figure: Figure, lines: Sequence[str], alarming: bool) -> None:
    """A line below the panels; constrained layout makes room for it."""
    text = figure.supxlabel(
        "",
        fontsize=0.75 * rcParams["font.size"],
        color="#B00020" if alarming else "0.45",
        x=0.01,
        ha="left",
    )
    share = 1 - 2 * text.get_position()[0]  # as much is left free on the right as on the left
    text.set_text("\n".join(part for line in lines for part in wrapped(text, line, share * figure.get_figwidth())))


def wrapped(text: Text, line: str, width: float) -> list[str]:
    """The line in parts no wider than `width` inches, whatever the resolution.

    Text(wrap=True) does the same, but anew each time that it is measured, which took longer than all else in a picture.
    """
    font, parts = text.get_fontproperties(), [""]
    for word in line.split(" "):
        longer = f"{parts[-1]} {word}" if parts[-1] else word
        points, _, _ = text_to_path.get_text_width_height_descent(longer, font, False)
        if parts[-1] and points / 72 > width:
            parts.append(word)
        else:
            parts[-1] = longer
    return parts


def _saved(figure: Figure, kind: str, metadata: dict[str, Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=metadata, **options)
    return buffer.getvalue()
