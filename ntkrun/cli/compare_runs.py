"""stage=compare without other=: runs of an experiment in one results folder, held against each other."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ntkrun.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from ntkrun.report.side_by_side import Run
    from ntkrun.runner.reports import StoredReport
    from ntkrun.settings.base import CommonSettings

TAKEN = ("stage", "experiment", "scale", "results_dir", "runs")


def compare_runs(asked: "Sequence[tuple[str, CommonSettings]]", arguments: Sequence[str]) -> int:
    """Print the runs of every experiment beside each other; 1 when a report cannot be read.

    asked      (experiment, settings of the command line)
    arguments  of the command line
    """
    if other := [item for item in arguments if item.partition("=")[0] not in TAKEN]:
        raise UserError(
            f"stage=compare of runs takes experiment, scale, results_dir and runs, not {other[0]}: leave it out, runs are "
            "chosen by their names, runs=[default,wider]"
        )
    settings = asked[0][1]
    at_scale = Path(settings.results_dir).expanduser() / settings.scale
    found = {name: _chosen(at_scale, name, settings.runs) for name, _ in asked}
    enough = {name: reports for name, reports in found.items() if len(reports) > 1}
    if not enough:
        raise UserError(_too_few(at_scale, found))
    if single := [name for name in found if name not in enough]:
        print(f"fewer than two runs, not compared: {', '.join(single)}\n")
    codes = [_compare(at_scale, name, reports) for name, reports in enough.items()]
    return max(codes)


def _chosen(at_scale: Path, experiment: str, runs: tuple[str, ...] | None) -> "list[StoredReport]":
    """The reports of these runs in this order; None: of all, the unchanged one first and the shipped one last."""
    from ntkrun.runner.reports import reports_at
    from ntkrun.settings.variant import DEFAULT

    there = {report.called: report for report in reports_at(at_scale, [experiment])}
    if runs is None:
        return sorted(there.values(), key=lambda report: (report.shipped, report.run not in ("", DEFAULT)))
    for name in runs:
        if name not in there:
            hint = did_you_mean(name, there) or ":"
            known = f"there are {', '.join(there)}" if there else f"there is none in {at_scale}"
            raise UserError(f"runs: {name} is no run of {experiment} at scale={at_scale.name}{hint} {known}")
    return [there[name] for name in runs]


def _too_few(at_scale: Path, found: "dict[str, list[StoredReport]]") -> str:
    """Why nothing can be compared, and what to type."""
    there = [f"{name} has {one[0].called} alone" for name, one in found.items() if one]
    name = next(iter(found))
    return (
        f"stage=compare needs two runs of an experiment at scale={at_scale.name} in {at_scale.parent} "
        f"({'; '.join(there) or 'none is there'}): make another, ntkrun experiment={name} scale={at_scale.name} "
        "seed=1 name=again, or name the results of another machine, other=results-elsewhere"
    )


def _compare(at_scale: Path, experiment: str, reports: "Sequence[StoredReport]") -> int:
    """Print one experiment's runs beside each other and write their curves."""
    from ntkrun.cli.exchange import write_rows
    from ntkrun.experiments.figures import load_experiment
    from ntkrun.report import side_by_side as shown

    runs, faults = _read(reports, at_scale.name)
    for fault in faults:
        print(f"damaged: {fault}", file=sys.stderr)
    if len(runs) < 2:
        raise UserError(f"{experiment}: fewer than two of its runs can be read; make them again with stage=report")
    for run in runs:
        for text in run.entry.warnings:
            print(f"warning: {run.name}: {text}", file=sys.stderr)
    print(f"{experiment}, scale={at_scale.name}: {len(runs)} runs\n")
    claims = shown.claims_text(runs, load_experiment(experiment).shown)
    print("\n\n".join([shown.settings_text(runs), claims, shown.distances_text(runs)]))
    without = [run.name for run in runs if run.table is None]
    if without:
        print(f"\nno curves of {', '.join(without)}: the report has no {shown.TABLE}")
    rows = shown.curves_of(experiment, runs)
    if rows.empty:
        return 1 if faults else 0
    print(f"\n{shown.curves_text(rows)}")
    print(f"\nevery curve: {write_rows(at_scale / experiment / 'compare.csv', rows)}")
    return 1 if faults else 0


def _read(reports: "Sequence[StoredReport]", scale: str) -> "tuple[list[Run], list[str]]":
    """The runs whose reports can be read, and what is wrong with the others."""
    from ntkrun.report.side_by_side import run_of

    runs, faults = [], []
    for report in reports:
        try:
            run = run_of(report, scale)
        except UserError as error:
            faults.append(str(error))
            continue
        if run.entry.fault:
            faults.append(f"{report.folder}: {run.entry.fault}")
        else:
            runs.append(run)
    return runs, faults
