"""Runs of one experiment side by side, from their reports: settings, claims, distances to the paper, and every curve.

A curve is a quantity, split and index of `ntkrun.tables` at one combination of the settings that any of the runs sweeps, its
mean over seeds at every abscissa: time, or the column of `AXES` that varies along it.  Curves of two runs are paired where
abscissae agree to nine digits, whatever else the runs differ in.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from ntkrun.experiments.combinations import separate, varied
from ntkrun.report.beside import ABSENT
from ntkrun.report.compare import aligned, apart, paired
from ntkrun.report.deviation import distance
from ntkrun.report.entries import Entry, entry_of, what_differs
from ntkrun.report.judge import named, number
from ntkrun.runner.reports import StoredReport
from ntkrun.runner.store import read_table
from ntkrun.settings.parts import leaves
from ntkrun.tables import AXES

TABLE = "table.parquet"
MOST_CURVES = 80  # that are printed
# end: the value at the last abscissa; shared: abscissae that this run and the one in `against` have; then |difference| there
COLUMNS = [
    "experiment", "combination", "curve", "split", "index", "run", "points", "end_at", "end", "against", "shared", "largest",
    "at", "rms", "largest_relative", "rms_relative",
]  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One run.

    table   of its report, None where that has none: shipped reports
    values  dotted name -> values of a setting in its cells
    """

    name: str
    entry: Entry
    table: pd.DataFrame | None = None
    values: Mapping[str, list[Any]] = field(default_factory=dict)


def run_of(report: StoredReport, scale: str) -> Run:
    """Read a report, its table included.  Raises UserError where a file is not as a report writes it."""
    entry = entry_of(report.folder.parent, report, scale, lambda _: None)
    if entry.fault:
        return Run(report.called, entry)
    values: dict[str, list[Any]] = {}
    for cell in report.provenance()["cells"]:
        for path, value in leaves(cell["settings"]):
            values.setdefault(".".join(path), []).append(value)
    path = report.folder / TABLE
    return Run(report.called, entry, read_table(path)[0] if path.is_file() else None, values)


# -- what is printed


def settings_text(runs: Sequence[Run]) -> str:
    rows = what_differs([run.entry for run in runs]).settings
    if not rows:
        return "settings: all are the same"
    return _text("settings that differ", ["setting"], runs, [(name, *values) for name, values in rows])


def claims_text(runs: Sequence[Run], shown: Sequence[str]) -> str:
    """Measured value and verdict of every claim; shown: settings over which the figure's claims go themselves."""
    swept = [name for name in _swept(runs) if name not in shown]
    found = [_claims(run, swept, shown) for run in runs]
    names = list(dict.fromkeys(name for one in found for name in one))
    rows = [(name, *(_fared(one[name]) if name in one else ABSENT for one in found)) for name in names]
    verdicts = [[one[name]["claim"].verdict for one in found if name in one] for name in names]
    shared = [fared for fared in verdicts if len(fared) > 1]
    alone = f", {len(names) - len(shared)} are of one run alone" if len(shared) < len(names) else ""
    alike = sum(len(set(fared)) == 1 for fared in shared)
    return _text(f"{alike} of {len(shared)} claims fare alike{alone}", ["claim"], runs, rows)


def _claims(run: Run, swept: Sequence[str], shown: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By name, with the combination told by all settings that any of the runs sweeps."""
    labels: dict[str, str] = {}
    if run.table is not None:
        table = _with_settings(run, swept)
        for part in separate(table, varied(run.table, shown)):
            parts = separate(part.table, [name for name in swept if name in table.columns])
            labels |= {part.label: parts[0].label} if len(parts) == 1 else {}
    told = [replace(row["claim"], combination=labels.get(c := row["claim"].combination, c)) for row in run.entry.claims]
    return {named(claim): row for claim, row in zip(told, run.entry.claims, strict=True)}


def _fared(row: dict[str, Any]) -> str:
    return f"{row['measured']} {row['claim'].verdict.replace('_', ' ')}"


def distances_text(runs: Sequence[Run]) -> str:
    """How far every run is from the paper's curves, over all and panel by panel."""
    panels = list(dict.fromkeys(row["panel"] for run in runs for row in run.entry.deviations))
    rows = [("all", *(run.entry.distance or ABSENT for run in runs))]
    for panel in panels if len(panels) > 1 else ():
        own = ([row for row in run.entry.deviations if row["panel"] == panel] for run in runs)
        rows.append((panel, *(distance(one) or ABSENT for one in own)))
    return _text("distance to the paper's curves (rms of their medians)", ["panel"], runs, rows)


def curves_text(rows: pd.DataFrame) -> str:
    """End values of every curve beside each other; several indices as their rms, with the largest difference of them all."""
    names = list(dict.fromkeys(rows["run"]))
    header = ("curve", "split", *names, *(f"{name}: largest difference" for name in names[1:]))
    lines: list[tuple[str, ...]] = [header]
    groups = rows.groupby(["combination", "curve", "split"], sort=False)
    for (combination, curve, split), group in list(groups)[:MOST_CURVES]:
        by_run = {name: group[group["run"] == name] for name in names}
        count = group["index"].nunique()
        called = f"{curve} [{combination}]" if combination else str(curve)
        called += f" (rms of {count})" if count > 1 else ""
        same_end = group["end_at"].nunique() == 1
        ends = (_end(one, same_end) for one in by_run.values())
        lines.append((called, str(split), *ends, *(_largest(by_run[name]) for name in names[1:])))
    more = len(groups) - MOST_CURVES
    left = [f"  and {more} more, which the file below has"] if more > 0 else []
    differences = ", and differences, at the times of both, from the first run that has the curve"
    title = f"curves at their ends{differences if len(names) > 1 else ''}"
    return "\n".join([title, *aligned(lines), *left])


def _end(rows: pd.DataFrame, same_end: bool) -> str:
    if rows.empty:
        return ABSENT
    values = rows["end"].to_numpy(float)
    value = float(values[0] if len(values) == 1 else np.sqrt(np.mean(np.square(values))))
    return number(value) + ("" if same_end else f" at {rows['end_at'].max():.4g}")


def _largest(rows: pd.DataFrame) -> str:
    if rows["largest"].notna().sum() == 0:
        return ABSENT
    worst = rows.sort_values("largest").dropna(subset="largest").to_dict("records")[-1]
    return f"{number(worst['largest'])} at {worst['at']:.4g}"


def _text(title: str, first: list[str], runs: Sequence[Run], rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join([title, *aligned([(*first, *(run.name for run in runs)), *rows])])


# -- curves


def curves_of(experiment: str, runs: Sequence[Run]) -> pd.DataFrame:
    """One row of COLUMNS a curve and run of all that have a table; differences are those from the first that has the curve."""
    swept = _swept(runs)
    found = {run.name: dict(_curves(run, swept)) for run in runs if run.table is not None}
    rows: list[dict[str, Any]] = []
    for place in dict.fromkeys(place for one in found.values() for place in one):
        having = {name: curves[place] for name, curves in found.items() if place in curves}
        base = next(iter(having))
        for name, curve in having.items():
            fixed = dict(zip(("combination", "curve", "split"), place, strict=True)) | {"run": name}
            against = "" if name == base else base
            rows += [fixed | row for row in _measured(curve, having.get(against), against)]
    return pd.DataFrame(rows, columns=COLUMNS).assign(experiment=experiment)


def _swept(runs: Sequence[Run]) -> list[str]:
    """The columns of settings that have several values in any of the runs."""
    return list(dict.fromkeys(name for run in runs if run.table is not None for name in varied(run.table)))


def _with_settings(run: Run, names: Sequence[str]) -> pd.DataFrame:
    """The table with columns for settings of these names that the run has and does not sweep."""
    table = run.table
    assert table is not None
    for name in names:
        if name not in table.columns and len({json.dumps(value) for value in run.values.get(name, ())}) == 1:
            value = run.values[name][0]
            table = table.assign(**{name: value if isinstance(value, str | int | float) else json.dumps(value)})
    return table


def _curves(run: Run, swept: Sequence[str]) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """(combination, curve, split) -> columns index, at, value, in the order of at."""
    table = _with_settings(run, swept)
    axes = [name for name in AXES if name in table.columns]
    for part in separate(table, [name for name in swept if name in table.columns]):
        for (curve, split), rows in part.table.groupby(["curve", "split"], sort=False):
            against = next((name for name in axes if rows[name].nunique() > 1), "time")
            means = rows.groupby(["index", *axes, "time"], as_index=False)["value"].mean()
            places = {at: float(f"{at:.9g}") for at in means[against].unique()}
            means = means.assign(at=means[against].map(places))
            yield (part.label, str(curve), str(split)), means[["index", "at", "value"]].sort_values("at", kind="stable")


def _measured(curve: pd.DataFrame, first: pd.DataFrame | None, against: str) -> Iterator[dict[str, Any]]:
    """The end of every index and how far it is from the same of `first`."""
    pairs = {} if first is None else dict(list(paired(first, curve, ["index", "at"]).groupby("index")))
    for index, own in curve.groupby("index"):
        last = own.iloc[-1]
        row = {"index": index, "points": len(own), "end_at": last["at"], "end": last["value"], "against": against}
        measures = apart(pairs[index], at="at") if index in pairs else {"points": 0}
        row["shared"] = measures.pop("points") if against else np.nan
        if row["shared"] and against:
            row |= {"at": measures.pop("at_at")} | {name: measures[name] for name in COLUMNS if name in measures}
        yield row
