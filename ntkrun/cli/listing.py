"""stage=list: a table of the runs that a results folder holds, shipped ones included."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntkrun.cli.hydra.compose import compose
from ntkrun.cli.hydra.errors import is_about_input, one_line
from ntkrun.cli.messages import complain
from ntkrun.errors import UserError
from ntkrun.experiments.figures import experiment_names, in_the_papers_order
from ntkrun.report.counts import Counts
from ntkrun.runner.reports import StoredReport, reports_at
from ntkrun.settings.choices import Scale, choices_of

TAKEN = ("stage", "experiment", "scale", "results_dir")
HEADER = ("experiment", "scale", "run", "finished (UTC)", "minutes", "cells", "claims", "folder", "changed")


@dataclass(frozen=True)
class Row:
    """One line of the table, and the names of the cells' files that the report is drawn from."""

    columns: tuple[str, ...]
    files: frozenset[str] = frozenset()


def list_runs(arguments: Sequence[str]) -> int:
    """Print the table; its exit code."""
    try:
        results, scales, experiments = _asked(arguments)
        print(table(results, scales, experiments))
    except Exception as error:
        if not is_about_input(error):
            raise
        return complain(one_line(error, arguments))
    return 0


def _asked(arguments: Sequence[str]) -> tuple[Path, list[str], list[str]]:
    """(results_dir, scales, experiments) of the command line.  Raises UserError for anything else in it."""
    given = {item.partition("=")[0]: item.partition("=")[2] for item in arguments}
    if other := [name for name in given if name not in TAKEN]:
        raise UserError(f"stage=list takes experiment, scale and results_dir, not {other[0]}: leave it out")
    known = list(in_the_papers_order(experiment_names()))
    names = known if given.get("experiment", "all") == "all" else given["experiment"].split(",")
    scale = given.get("scale", "auto")
    for value, choices, setting in [
        (scale, ["auto", *choices_of(Scale)], "scale"),
        *((n, known, "experiment") for n in names),
    ]:
        if value not in choices:
            raise UserError(f"{setting}={value} is not known; choose one of {', '.join(choices)}")
    typed = [item for item in arguments if item.startswith("results_dir=")]
    results = Path(compose(["experiment=lockstep", "scale=smoke", *typed]).settings["results_dir"]).expanduser()
    return results, list(choices_of(Scale)) if scale == "auto" else [scale], names


def table(results: Path, scales: list[str], experiments: list[str]) -> str:
    """As lines of text; below it, how many cells are in no report."""
    rows: list[Row] = []
    alone: list[str] = []
    for name in experiments:
        for scale in scales:
            found = [_row(report, scale) for report in reports_at(results / scale, [name])]
            rows += found
            drawn = frozenset().union(*(row.files for row in found))
            cells = {path.name for path in (results / scale / name / "cells").glob("*.parquet")}
            if others := len(cells - drawn):
                alone.append(f"{name}, scale={scale}: {others} of {len(cells)} cells are in none of its reports")
    if not rows and not alone:
        return f"no run is stored in {results} of what is asked for: ntkrun experiment=NAME makes one"
    return "\n".join([*_aligned([HEADER, *(row.columns for row in rows)]), *alone])


def _row(report: StoredReport, scale: str) -> Row:
    start = (report.experiment, scale, "(shipped)" if report.shipped else report.run or "(no name)")
    try:
        told = report.provenance()
        counts = Counts.of(json.loads((report.folder / "claims.json").read_text()))
        return Row((*start, *_numbers(told, counts), str(report.folder), ", ".join(_changed(told))), _files(told))
    # a file that is no report of ours may hold anything
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Row(
            (*start, *["?"] * 4, str(report.folder), "the report cannot be read: make it again with stage=report")
        )


def _numbers(told: dict[str, Any], counts: Counts) -> Iterator[str]:
    cells, missing = told["cells"], len(told["missing_cells"])
    yield max(cell["finished"] for cell in cells)[:16].replace("T", " ")
    yield f"{sum(cell['wall_seconds'] for cell in cells) / 60:.1f}"
    yield f"{len(cells)} of {len(cells) + missing}"
    yield str(counts)


def _changed(told: dict[str, Any]) -> Iterator[str]:
    for name, value in (told.get("run") or {"changed": {}})["changed"].items():
        yield f"{name}={value if isinstance(value, str) else json.dumps(value)}"


def _files(told: dict[str, Any]) -> frozenset[str]:
    return frozenset(f"{cell['config_hash']}-{cell['data_fingerprint'][:8]}.parquet" for cell in told["cells"])


def _aligned(lines: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(map(str.ljust, line, widths)).rstrip()
