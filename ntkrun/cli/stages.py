"""What `ntkrun` does once its settings are composed: plan, run what is missing, report."""

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntkrun.cli.all_figures import Outcome
from ntkrun.errors import ComputeForbiddenError, UserError
from ntkrun.settings.changes import Changes
from ntkrun.settings.choices import STAGES
from ntkrun.settings.variant import Variant

if TYPE_CHECKING:
    from ntkrun.cli.console import Console
    from ntkrun.experiments.base import Experiment
    from ntkrun.report.departures import Departures
    from ntkrun.runner.plan import Cell
    from ntkrun.runner.store import Store


def join(settings: dict[str, Any]) -> None:
    """Join the other processes of the run if there are any."""
    if settings.get("distributed") is True:
        from ntkrun.lockstep.processes import start

        start()


def verify(store: "Store") -> int:
    """Check every stored table; 1 when one is damaged."""
    from ntkrun.runner.verify import faults

    found = [fault for _, fault in faults(store)]
    damaged = [fault for fault in found if fault]
    for fault in damaged:
        print(f"damaged: {fault}", file=sys.stderr)
    print(f"{len(found)} tables verified against hash, schema and name: {len(damaged)} damaged")
    return 1 if damaged else 0


def plan(experiment: "Experiment", cells: "list[Cell]", progress: "Console") -> int:
    """Print what the cells will cost."""
    from ntkrun.runner.forecast import forecast
    from ntkrun.runner.machines import machine_of
    from ntkrun.runner.plan_table import forecast_table, warnings

    machine = machine_of(cells[0].settings.device, cells[0].settings.flop_rate)
    found = forecast(experiment, cells, machine)
    print(forecast_table(found, machine))
    for line in warnings(found, cells, machine):
        progress.warn(line)
    return 0


def check(
    experiment: "Experiment",
    cells: "list[Cell]",
    store: "Store",
    progress: "Console",
    changed: Changes,
    outcome: Outcome,
) -> int:
    """Judge what is stored and write nothing; 1 when a judged claim fails.

    Nothing to judge is a fault, too, unless it is shipped results that are checked and these are not among them.
    """
    from ntkrun.report.judge import claims_table
    from ntkrun.report.render import gather, judge_stored
    from ntkrun.runner import data_sets

    chosen = data_sets.stored(cells, store)
    for note in chosen.notes:
        progress.info(note)
    try:
        stored = gather(experiment, cells, store, chosen.of)
    except ComputeForbiddenError as error:
        if store.shipped_folder is None or any(store.cells.glob("*.parquet")):
            raise UserError(str(error)) from error
        raise
    verdicts = judge_stored(experiment, stored, cells[0].settings.scale, changed)
    if stored.missing:
        progress.warn(f"{len(stored.missing)} of {len(cells)} cells are not there: the claims are judged without them")
    print(claims_table(verdicts))
    reports = (store.report(stand_in=bool(stored.stand_ins)), store.shipped_folder)
    distances = (reported_distance(folder) for folder in reports if folder)
    outcome.judged((verdict.verdict for verdict in verdicts), next(filter(None, distances), ""))
    return 1 if outcome.failed else 0


def reported_distance(folder: Path) -> str:
    """How far the curves of the report in the folder are from the paper's; "" where there is none."""
    from ntkrun.report.deviation import distance, rows_of

    path = folder / "deviation.csv"
    return distance(rows_of(path.read_text())) if path.is_file() else ""


def expected(settings: dict[str, Any]) -> tuple[str, dict[str, float]]:
    """(experiment that computes, seconds to expect by cell) of what `execute` would run; UserError for bad input."""
    from ntkrun.experiments.figures import computing, load_experiment
    from ntkrun.runner.data_sets import at_hand
    from ntkrun.runner.plan import make_cells, shard_of
    from ntkrun.runner.store import Store

    source = computing(load_experiment(settings["experiment"]))
    cells = make_cells(source, settings | {"experiment": source.name})
    first = cells[0].settings
    if not STAGES[first.stage].computes:
        return source.name, {}
    store = Store(first.results_dir, first.scale, settings["experiment"], source.name)
    fingerprints = at_hand(cells, store).of
    mine = shard_of(cells, first.shard, first.shards)
    missing = [cell for cell in mine if not store.has(cell, fingerprints[cell.config_hash])]
    if not missing:
        return source.name, {}
    print(f"{source.name}: planning {len(missing)} cells", file=sys.stderr)
    from ntkrun.runner import forecast  # which traces with JAX

    found = forecast.expected(source, missing)
    return source.name, {name: one.seconds for name, one in found.items()}


def execute(
    settings: dict[str, Any], changed: Changes, run: Variant, chosen_by: str, command: str, outcome: Outcome
) -> int:
    """Run one experiment as its settings say; returns the exit code.  Raises UserError for bad input.

    changed  the settings that are other than the shipped ones of their scale
    run      which run of the experiment they make
    outcome  is kept up to date
    """
    from ntkrun.runner.plan import check_shared_settings

    check_shared_settings(settings)  # before the imports below, which take seconds
    from ntkrun.cli.console import Console
    from ntkrun.experiments.figures import computing, load_experiment
    from ntkrun.runner.plan import make_cells
    from ntkrun.runner.store import Store

    experiment = load_experiment(settings["experiment"])
    source = computing(experiment)
    cells = make_cells(source, settings | {"experiment": source.name})
    first, stage = cells[0].settings, STAGES[cells[0].settings.stage]
    if stage.between_machines or stage.lists:
        raise UserError(f"type stage={first.stage} on the command line, not in a file")
    if first.distributed:
        from ntkrun.lockstep.processes import leads

        if not leads():
            return assist(source, cells)
    store = Store(first.results_dir, first.scale, experiment.name, source.name, run.name)
    progress = Console(outcome.remaining)
    print(f"{experiment.title}\nscale={first.scale} ({chosen_by}), {len(cells)} cell(s), results in {store.folder}")
    if not stage.computes and not stage.draws:
        return look(experiment, source, cells, store, progress, changed, outcome)
    return produce(experiment, source, settings, cells, store, progress, command, changed, run, outcome)


def produce(
    experiment: "Experiment",
    source: "Experiment",
    settings: dict[str, Any],
    cells: "list[Cell]",
    store: "Store",
    progress: "Console",
    command: str,
    changed: Changes,
    run: Variant,
    outcome: Outcome,
) -> int:
    """The stages that compute or draw."""
    from ntkrun.report.departures import departures
    from ntkrun.runner.reports import check_name_is_free

    stage, fingerprints = STAGES[cells[0].settings.stage], None
    if stage.draws:
        check_name_is_free(store, run)
    if stage.computes:
        code, fingerprints = compute(source, cells, store, progress, command, outcome)
        if code or (stage.draws and left_to_others(cells, store, fingerprints)):
            return code
    if stage.draws:
        differs = departures(experiment.name, settings, changed)
        redraw = not stage.computes or outcome.ran > 0
        show(experiment, cells, store, progress, differs, changed, redraw, outcome, run, fingerprints)
    return 0


def look(
    experiment: "Experiment",
    source: "Experiment",
    cells: "list[Cell]",
    store: "Store",
    progress: "Console",
    changed: Changes,
    outcome: Outcome,
) -> int:
    """The stages that compute and write nothing."""
    stage = cells[0].settings.stage
    if stage == "verify":
        return verify(store)
    return (
        plan(source, cells, progress)
        if stage == "plan"
        else check(experiment, cells, store, progress, changed, outcome)
    )


def left_to_others(cells: "list[Cell]", store: "Store", fingerprints: Mapping[str, str]) -> bool:
    """Whether other shards have cells left to run; says so."""
    missing = [cell.name for cell in cells if not store.has(cell, fingerprints[cell.config_hash])]
    if cells[0].settings.shards == 1 or not missing:
        return False
    print(f"{len(missing)} of {len(cells)} cells are left to other shards; the last one draws the figure")
    return True


def compute(
    source: "Experiment", cells: "list[Cell]", store: "Store", progress: "Console", command: str, outcome: Outcome
) -> tuple[int, Mapping[str, str]]:
    """Run the cells of this shard: (exit code, that of a signal when one ended it; fingerprints of the cells' images)."""
    if cells[0].settings.minutes is not None:
        raise UserError("minutes= is typed on the command line itself, not in a file of --config-dir")
    store.prepare()  # a folder that cannot be written to is found before the imports below
    from ntkrun.lockstep.processes import leave
    from ntkrun.runner.device import ready
    from ntkrun.runner.plan import shard_of

    first = cells[0].settings
    try:
        warnings = ready(first)
    except UserError:
        store.take_back()
        raise
    for warning in warnings:
        progress.warn(warning)
    from ntkrun.runner.run import Tally, images_of, run_cells

    images = images_of(cells, store)
    for note in images.notes:
        progress.info(note)
    mine = shard_of(cells, first.shard, first.shards)
    tally = Tally(len(mine))
    try:
        run_cells(source, mine, store, progress, tally, images.of)
    except KeyboardInterrupt as interruption:
        progress.close()
        print(f"interrupted: {tally}; they are kept, and this goes on from there:\n  {command}", file=sys.stderr)
        code = 128 + getattr(interruption, "signum", signal.SIGINT)
        leave(code)
        return code, images.of
    finally:
        outcome.ran, outcome.cached = outcome.ran + tally.ran, outcome.cached + tally.cached
    print(tally)
    for cell in tally.elsewhere:
        progress.info(f"being run elsewhere: {cell}")
    return 0, images.of


def assist(source: "Experiment", cells: "list[Cell]") -> int:
    """Compute with the leading process what it computes; it alone reads and writes results."""
    from ntkrun.runner.device import ready
    from ntkrun.runner.plan import shard_of
    from ntkrun.runner.run import assist_cells

    first = cells[0].settings
    if STAGES[first.stage].computes:
        ready(first)
        assist_cells(source, shard_of(cells, first.shard, first.shards))
    return 0


def show(
    experiment: "Experiment",
    cells: "list[Cell]",
    store: "Store",
    progress: "Console",
    differs: "Departures",
    changed: Changes,
    redraw: bool,
    outcome: Outcome,
    run: Variant,
    fingerprints: Mapping[str, str] | None,
) -> None:
    """Draw and judge what is stored, and say what it is worth.

    fingerprints  of the images of the cells that were just run, by the cells' hashes; None: what is stored decides
    """
    from ntkrun.report.gallery import write_gallery
    from ntkrun.report.judge import claims_table
    from ntkrun.report.render import report
    from ntkrun.runner import data_sets

    if fingerprints is None:
        chosen = data_sets.stored(cells, store)
        fingerprints = chosen.of
        for note in chosen.notes:
            progress.info(note)
    made = report(experiment, cells, store, differs, changed, fingerprints, run, redraw)
    outcome.judged((verdict.verdict for verdict in made.verdicts), reported_distance(made.picture.parent))
    for name in made.stand_ins:
        progress.warn(f"drawn from the stand-in images {name}, not from the paper's data: make data gets the real set")
    if made.missing:
        progress.warn(f"{len(made.missing)} of {len(cells)} cells are not there yet: {', '.join(made.missing[:5])}")
    shipped = f"{made.shipped} of {len(cells)} cells are shipped results\n" if made.shipped else ""
    page = write_gallery(store.at_scale)
    print(f"\n{shipped}figure: {made.picture}\ngallery: {page}\n\n{claims_table(made.verdicts)}")
