"""The stages that move and compare results: bundle, merge, compare.  One call handles all figures that the command names."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntkrun.errors import UserError
from ntkrun.settings.base import SETTINGS_OF_STAGE

if TYPE_CHECKING:
    import pandas as pd

    from ntkrun.experiments.base import Experiment
    from ntkrun.report.compare import Pair
    from ntkrun.runner.elsewhere import Elsewhere
    from ntkrun.runner.plan import Cell


@dataclass(frozen=True)
class Figure:
    """An experiment, the experiment that computes its cells, those of its cells that belong to this shard, its settings."""

    experiment: "Experiment"
    source: "Experiment"
    cells: "list[Cell]"
    raw: dict[str, Any]


def exchange(composed: Sequence[dict[str, Any]], arguments: Sequence[str], everything: bool) -> int:
    """Carry out the stage that the settings name; returns the exit code.  Raises UserError for bad input.

    composed    the settings of each experiment
    arguments   of the command line, with `scale=auto` replaced by the scale it stands for
    everything  whether the command says experiment=all, so that merge takes the cells of any experiment
    """
    figures = [figure_of(settings) for settings in composed]
    first = figures[0].cells[0].settings
    if first.stage == "bundle":
        return bundle(figures, arguments)
    if first.stage == "merge":
        return merge(figures, everything)
    if first.other is None:
        from ntkrun.cli.compare_runs import compare_runs

        return compare_runs([(figure.experiment.name, figure.cells[0].settings) for figure in figures], arguments)
    return compare(figures, arguments)


def figure_of(raw: dict[str, Any]) -> Figure:
    from ntkrun.runner.plan import check_shared_settings, make_cells, shard_of

    check_shared_settings(raw)
    from ntkrun.experiments.figures import computing, load_experiment

    experiment = load_experiment(raw["experiment"])
    source = computing(experiment)
    cells = make_cells(source, raw | {"experiment": source.name})
    first = cells[0].settings
    return Figure(experiment, source, shard_of(cells, first.shard, first.shards), raw)


def bundle(figures: Sequence[Figure], arguments: Sequence[str]) -> int:
    """Write the folder and print what it holds."""
    from ntkrun.bundle.folder import Bundle
    from ntkrun.data.sources.load import stand_in_warning

    of_the_stage = {"stage", "results_dir", *SETTINGS_OF_STAGE["bundle"]}
    command = [item for item in arguments if item.partition("=")[0] not in of_the_stage]
    cells = {(figure.source.name, cell.config_hash): cell for figure in figures for cell in figure.cells}
    made = Bundle([(name, cell) for (name, _), cell in cells.items()], command)
    into = made.write()
    for used in made.used:
        if used.images.is_stand_in:
            print(f"warning: {stand_in_warning(used.images.name, used.images.requested)}", file=sys.stderr)
    print(made.summary())
    scale = figures[0].cells[0].settings.scale
    print(f"bundle: {into}\nrun there:  sh {into.name}/run.sh")
    print(f"take back:  ntkrun experiment=all scale={scale} stage=merge from=cells.tar.gz")
    return 0


def merge(figures: Sequence[Figure], everything: bool) -> int:
    """Copy cells that another machine computed into results_dir; 1 when one was refused or could not be read."""
    from ntkrun.runner.elsewhere import Elsewhere
    from ntkrun.runner.merge import merge as merged
    from ntkrun.runner.merge import merge_table

    first = figures[0].cells[0].settings
    source = Elsewhere.of(str(first.taken_from), "from")
    names = None if everything else list(dict.fromkeys(figure.source.name for figure in figures))
    found = list(merged(source, first.results_dir, first.scale, names, first))
    if not found:
        raise UserError(_nothing(source, "from", first.scale, names))
    print(merge_table(found))
    if source.fault:
        print(f"damaged: {source.fault}", file=sys.stderr)
    return 1 if source.fault or any(one.refused for one in found) else 0


def _nothing(source: "Elsewhere", setting: str, scale: str, names: Sequence[str] | None) -> str:
    if source.fault:
        return f"{setting}: {source.fault}"
    others = ", ".join(f"scale={name}" for name in sorted(source.scales - {scale}))
    what = "" if names is None else f" of {', '.join(names)}"
    return f"{setting}={source.path} holds no cells{what} at scale={scale}" + (
        f"; it has some at {others}" if others else ""
    )


def compare(figures: Sequence[Figure], arguments: Sequence[str]) -> int:
    """Compare the cells of results_dir with the same cells from another machine; 1 when one cannot be read."""
    import pandas as pd

    from ntkrun.cli.hydra.shipped import changed_settings
    from ntkrun.report.compare import differences_table, verdicts_of, verdicts_table
    from ntkrun.runner.elsewhere import Elsewhere

    first = figures[0].cells[0].settings
    other, results = Elsewhere.of(str(first.other), "other"), Path(first.results_dir).expanduser()
    if results.resolve().is_relative_to(other.path.resolve()):
        raise UserError(
            f"other={first.other} holds results_dir={first.results_dir} itself: name the results of another machine"
        )
    names = list(dict.fromkeys(figure.source.name for figure in figures))
    faults: list[str] = []
    pairs = list(_pairs(other, results, first.scale, names, faults))
    for fault in [*faults, *filter(None, [other.fault])]:
        print(f"damaged: {fault}", file=sys.stderr)
    if not pairs:
        raise UserError(_nothing(other, "other", first.scale, names) + f" that {results / first.scale} holds, too")
    print(differences_table(pairs))
    for figure in figures:
        of_figure = [pair for pair in pairs if pair.experiment == figure.source.name]
        changed = changed_settings(figure.raw, arguments)
        verdicts = verdicts_of(figure.experiment, figure.cells, of_figure, first.scale, changed)
        if verdicts:
            print(f"\n{verdicts_table(figure.experiment.name, verdicts)}")
        elif of_figure:
            print(f"\n{figure.experiment.name}: not all of its cells are on both sides, no claim is judged")
    rows = pd.concat([pair.rows for pair in pairs], ignore_index=True)
    folder = results / first.scale / (figures[0].experiment.name if len(figures) == 1 else "")
    print(f"\nevery cell and curve: {write_rows(folder / 'compare.csv', rows)}")
    return 1 if faults or other.fault else 0


def _pairs(other: "Elsewhere", results: Path, scale: str, names: Sequence[str], faults: list[str]) -> "Iterator[Pair]":
    """The cells that both sides hold; a cell that cannot be read is added to `faults` instead."""
    from ntkrun.report.compare import Pair, Side
    from ntkrun.runner.store import Store, read_table, table_of

    for stored in other.cells(scale):
        ours = Store(results, scale, stored.experiment).named(stored.file) if stored.experiment in names else None
        if ours is None:
            continue
        try:
            sides = Side(*read_table(ours)), Side(*table_of(stored.content, f"{other.path}: {stored.file}"))
        except UserError as error:
            faults.append(str(error))
            continue
        yield Pair(stored.experiment, stored.file, *sides)


def write_rows(path: Path, rows: "pd.DataFrame") -> Path:
    """As csv; UserError for a folder of shipped results."""
    from ntkrun.runner.files import write_bytes
    from ntkrun.runner.store import refuse_shipped

    refuse_shipped(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, rows.to_csv(index=False, float_format="%.6g").encode())
    return path
