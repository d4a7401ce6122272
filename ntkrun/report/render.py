"""Tables -> the files of a report (REPORT_FILES); never computes a cell."""

import io
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ntkrun.errors import ComputeForbiddenError, UserError
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import Verdict
from ntkrun.experiments.style import ENLARGED, style, ticks_at_powers
from ntkrun.experiments.symbols import in_symbols, told_as_stand_ins
from ntkrun.report.departures import Departures
from ntkrun.report.deviation import deviations
from ntkrun.report.footer import write_footer
from ntkrun.report.judge import as_records, judge_all
from ntkrun.report.legends import fit_legends
from ntkrun.report.shown_curves import curves_file
from ntkrun.report.thumbnail import thumbnail
from ntkrun.runner.failures import failed_cells
from ntkrun.runner.files import remove_leftovers, write_bytes
from ntkrun.runner.gather import together
from ntkrun.runner.lock import Lock
from ntkrun.runner.plan import Cell
from ntkrun.runner.provenance import code_version
from ntkrun.runner.store import Store, parquet_bytes, read_table
from ntkrun.settings.changes import Changes
from ntkrun.settings.fitted import fitted_curves
from ntkrun.settings.variant import Variant

PICTURES = ("figure.png", "figure.pdf", "thumbnail.png", "curves.json", "deviation.csv")
REPORT_FILES = ("table.parquet", *PICTURES, "claims.json", "provenance.json")
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
    shipped: int = 0  # cells that are shipped results
    failed: dict[str, str] = field(default_factory=dict)  # of the missing cells those that failed, and why


@dataclass(frozen=True)
class About:
    """What is to be said of a run beside its numbers.

    departures  how its settings differ from the paper's
    changed     those that are other than the shipped ones of its scale
    variant     which run of the experiment it is
    """

    departures: Departures
    changed: Changes
    variant: Variant


@dataclass(frozen=True)
class Stored:
    """What the store holds of the cells: their tables as one, their provenance, and what is to be said about it."""

    table: pd.DataFrame
    facts: list[dict[str, Any]]
    missing: list[str]
    stand_ins: list[str]
    own: list[str]  # files of the user's
    shipped: int  # cells that are shipped results
    fitted: frozenset[str]  # the paper's curves that settings of the cells were fitted to

    @property
    def replaced(self) -> set[str]:
        """Sets of images that others stand in for."""
        return {one["facts"]["data"]["requested"] for one in self.facts if one["data_source"] == "stand_in"}


def gather(experiment: Experiment, cells: Sequence[Cell], store: Store, fingerprints: Mapping[str, str]) -> Stored:
    """Read what is stored of `cells` for the images of these fingerprints, by the cells' hashes.

    Raises ComputeForbiddenError when that is nothing.
    """
    paths = [
        (cell, store.found(cell, fingerprints[cell.config_hash]) if cell.config_hash in fingerprints else None)
        for cell in cells
    ]
    stored = [(cell, path, *read_table(path)) for cell, path in paths if path is not None]
    missing = [cell.name for cell, path in paths if path is None]
    settings = cells[0].settings
    if not stored:
        raise ComputeForbiddenError(
            f"nothing is stored for these settings of {experiment.name} at scale={settings.scale}{store.what_is_shipped()}"
        )
    facts = [one for *_, one in stored]
    return Stored(
        table=together(experiment, [(cell, table) for cell, _, table, _ in stored]),
        facts=facts,
        missing=missing,
        stand_ins=sorted({f["facts"]["data"]["name"] for f in facts if f["data_source"] == "stand_in"}),
        own=sorted({f["facts"]["data"]["file"] for f in facts if f["data_source"] == "own"}),
        shipped=sum(store.is_shipped(path) for _, path, *_ in stored),
        fitted=fitted_curves(experiment.name, [(cell.part, cell.settings.identity) for cell, *_ in stored]),
    )


def judge_stored(experiment: Experiment, stored: Stored, scale: str, changed: Changes) -> list[Verdict]:
    told = {"stand_in": bool(stored.stand_ins), "incomplete": bool(stored.missing)}
    return judge_all(experiment, stored.table, scale=scale, changed=changed, fitted=stored.fitted, **told)


def report(
    experiment: Experiment,
    cells: Sequence[Cell],
    store: Store,
    about: About,
    fingerprints: Mapping[str, str],
    redraw: bool = True,
) -> Report:
    """Draw and judge what is stored of `cells`; without `redraw` only where that would say anything new.

    Raises ComputeForbiddenError when nothing is stored at all.
    """
    stored, settings = gather(experiment, cells, store, fingerprints), cells[0].settings
    folder = report_folder(store, stand_in=bool(stored.stand_ins))
    verdicts = judge_stored(experiment, stored, settings.scale, about.changed)
    ran = {cell.name: (cell.part, cell.settings) for cell in cells}
    title = experiment.titled([*ran.values()], stand_ins=bool(stored.stand_ins))
    failed = failed_cells(store, [cell for cell in cells if cell.name in stored.missing])
    provenance = {
        "experiment": experiment.name,
        "title": f"Demo on stand-in images: {title}" if stored.stand_ins else title,
        "scale": settings.scale,
        "run": asdict(about.variant),
        "departures": about.departures.as_record(),
        "stand_in_data": stored.stand_ins,
        "missing_cells": stored.missing,
        "shipped_cells": stored.shipped,
        "drawn_by": code_version(),
        "style": settings.style,
        "cells": stored.facts,
    }
    of_some = {"failed_cells": failed, "own_data": stored.own, "panels": experiment.panels_of(stored.table)}
    provenance |= {name: told for name, told in of_some.items() if told}
    stamp = Stamp(
        alarms(stored, len(cells), list(failed)), settings.scale, _told(about.departures, title), stored.replaced, ran
    )
    if redraw or not _says_the_same(folder, provenance, verdicts):
        pictures = draw(experiment, settings.style, stored.table, provenance, stamp)
        numbers = {
            "table.parquet": parquet_bytes(stored.table, provenance),
            "claims.json": _json(as_records(verdicts)),
            "provenance.json": _json(provenance),
        }
        write_all(store.report_lock(folder), pictures | numbers)
    return Report(folder / "figure.png", verdicts, stored.missing, stored.stand_ins, stored.shipped, failed)


def _told(departures: Departures, title: str) -> Departures:
    """What a picture says: of one that is none of the paper's nobody knows from elsewhere what it is of."""
    return replace(departures, alone=f"{title}: {departures.alone}") if departures.alone else departures


def report_folder(store: Store, *, stand_in: bool) -> Path:
    """Where the report goes, made if need be.  Raises UserError when it cannot be."""
    store.prepare()
    folder = store.report(stand_in=stand_in)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the report cannot be written to {folder} ({error.strerror}); choose another name=..."
        ) from error
    return folder


def _says_the_same(folder: Path, provenance: dict[str, Any], verdicts: Sequence[Verdict]) -> bool:
    """Whether the report in the folder is of these very cells, by this very code; of changed code nobody knows."""
    if provenance["drawn_by"]["dirty"] or not all((folder / name).is_file() for name in REPORT_FILES):
        return False
    written = {"provenance.json": provenance, "claims.json": as_records(verdicts)}
    return all((folder / name).read_bytes() == _json(content) for name, content in written.items())


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1).encode()


@dataclass(frozen=True)
class Stamp:
    """What is said on the picture itself: what is wrong with it, and in one line how the run differs from the paper's."""

    alarms: Sequence[str]
    scale: str
    departures: Departures
    replaced: Collection[str] = ()  # sets of images that others stand in for
    ran: Mapping[str, tuple[str, Any]] = field(default_factory=dict)  # cell -> (part, settings)


def alarms(stored: Stored, total: int, failed: Sequence[str] = ()) -> list[str]:
    """Stand-in data and the user's own, missing and failed cells."""
    lines = []
    if stored.stand_ins:
        lines.append(f"DEMO on stand-in images: {', '.join(stored.stand_ins)} in place of the paper's")
    if stored.own:
        lines.append(f"OWN DATA: {', '.join(stored.own)}, not the paper's")
    if stored.missing:
        lines.append(f"INCOMPLETE: {len(stored.missing)} of {total} cells are missing" + _among_them(failed))
    return lines


def _among_them(failed: Sequence[str]) -> str:
    """The failed ones of the missing cells by name, many of them by number."""
    if not failed:
        return ""
    named = "; ".join(failed[:SAID]) + (f" and {len(failed) - SAID} more" if len(failed) > SAID else "")
    return f", of which {len(failed)} failed: {named}"


def draw(
    experiment: Experiment, style_name: str, table: pd.DataFrame, provenance: dict[str, Any], stamp: Stamp
) -> dict[str, bytes]:
    """PICTURES: the files that show the table, and the one that says how far what they show is from the paper's."""
    with style(style_name):
        figure = experiment.plot(table, stamp.ran)
        figure.set_size_inches(*(ENLARGED[style_name] * figure.get_size_inches()))
        apart = deviations(figure, experiment.name)
        told_as_stand_ins(figure, stamp.replaced)
        write_footer(figure, stamp.alarms, stamp.departures, stamp.scale)
        in_symbols(figure)
        ticks_at_powers(figure)
        record = json.dumps(provenance)
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)
        figure.set_layout_engine(None)  # the panels stay where they are: both files show one layout, made once
        fit_legends(figure)
        png = _saved(
            figure, "png", {"Title": provenance["title"], "ntkrun": record}, pil_kwargs={"compress_level": PNG_LEVEL}
        )
        # PDF knows a fixed set of fields; the dates are left out so that equal tables give equal files
        pdf = _saved(figure, "pdf", {"Title": provenance["title"], "Keywords": record, "CreationDate": None})
        small, shown = thumbnail(figure), curves_file(figure)
    deviation = apart.to_csv(index=False, float_format="%.4g").encode()
    return dict(zip(PICTURES, (png, pdf, small, shown, deviation), strict=True))


def write_all(lock: Lock, contents: Mapping[str, bytes]) -> None:
    """Write the files into the lock's folder.  Raises UserError while another process writes them."""
    folder = lock.path.parent
    if not lock.acquire(judge=True, patience=PATIENCE):
        raise UserError(f"{folder} is being written by {lock.describe()}: wait for it, then use stage=report")
    with lock:
        for name in REPORT_FILES:
            remove_leftovers(folder / name)
            write_bytes(folder / name, contents[name])


def _saved(figure: Figure, kind: str, metadata: dict[str, Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=metadata, **options)
    return buffer.getvalue()
