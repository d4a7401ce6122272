"""What `ntkrun` does once its settings are composed: plan, run what is missing, report."""

import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ntkrun.cli.all_figures import Outcome
from ntkrun.errors import ComputeForbiddenError, UserError
from ntkrun.report.departures import departures
from ntkrun.settings.choices import STAGES
from ntkrun.settings.parts import without_unused

if TYPE_CHECKING:
    from ntkrun.cli.console import Console
    from ntkrun.experiments.base import Experiment
    from ntkrun.runner.plan import Cell
    from ntkrun.runner.store import Store
    from ntkrun.settings.base import CommonSettings


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


def plan(experiment: "Experiment", cells: "list[Cell]", store: "Store", progress: "Console") -> int:
    """Print what the cells will cost."""
    from ntkrun.runner.failures import failed_cells
    from ntkrun.runner.forecast import forecast
    from ntkrun.runner.machines import machine_of
    from ntkrun.runner.plan_table import forecast_table, warnings

    machine = machine_of(cells[0].settings.device, cells[0].settings.flop_rate)
    found = forecast(experiment, cells, machine)
    print(forecast_table(found, machine))
    for line in warnings(found, cells, machine):
        progress.warn(line)
    for cell, why in failed_cells(store, cells).items():
        progress.warn(f"{cell} failed in an earlier run: {why}")
    return 0


def check(experiment: "Experiment", cells: "list[Cell]", store: "Store", progress: "Console", outcome: Outcome) -> int:
    """Judge what is stored and write nothing; 1 when a judged claim fails."""
    from ntkrun.report.judge import claims_table
    from ntkrun.report.render import gather, judge_stored

    stored = gather(experiment, cells, store)
    verdicts = judge_stored(experiment, stored, cells[0].settings.scale)
    if stored.missing:
        progress.warn(f"{len(stored.missing)} of {len(cells)} cells are not there: the claims are judged without them")
    print(claims_table(verdicts, cells[0].settings.scale))
    outcome.judged(verdict.verdict for verdict in verdicts)
    return 1 if outcome.failed else 0


def expected(settings: dict[str, Any]) -> tuple[str, dict[str, float]]:
    """(experiment that computes, seconds to expect by cell) of what `execute` would run; UserError for bad input."""
    from ntkrun.experiments.figures import computing, load_experiment
    from ntkrun.runner.plan import make_cells, shard_of
    from ntkrun.runner.store import Store

    source = computing(load_experiment(settings["experiment"]))
    cells = make_cells(source, settings | {"experiment": source.name})
    first = cells[0].settings
    if not STAGES[first.stage].computes:
        return source.name, {}
    store = Store(first.results_dir, first.scale, settings["experiment"], source.name)
    missing = [cell for cell in shard_of(cells, first.shard, first.shards) if not store.has(cell)]
    if not missing:
        return source.name, {}
    print(f"{source.name}: planning {len(missing)} cells", file=sys.stderr)
    from ntkrun.runner import forecast  # which traces with JAX

    found = forecast.expected(source, missing, store)
    return source.name, {name: one.seconds for name, one in found.items()}


def cells_of(settings: dict[str, Any]) -> "list[Cell]":
    """The cells of composed settings; UserError for settings that `execute` would refuse.  Computes and reads nothing."""
    from ntkrun.runner.plan import check_shared_settings, make_cells

    if settings["scale"] == "auto":
        settings = settings | {"scale": "cpu"}  # what a wrong setting is does not depend on it
    check_shared_settings(settings)
    from ntkrun.experiments.figures import computing, load_experiment

    source = computing(load_experiment(settings["experiment"]))
    return make_cells(source, settings | {"experiment": source.name})


def execute(
    settings: dict[str, Any], paper: Callable[[], dict[str, Any]], chosen_by: str, command: str, outcome: Outcome
) -> int:
    """Run one experiment as its settings say; returns the exit code.  Raises UserError for bad input.

    `paper()`: the settings of the paper's own run, for what is said on the figure.  `outcome` is kept up to date.
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
    first = cells[0].settings
    if STAGES[first.stage].between_machines:
        raise UserError(f"type stage={first.stage} on the command line, not in a file")
    if first.distributed:
        from ntkrun.lockstep.processes import leads

        if not leads():
            return assist(source, cells)
    store = Store(first.results_dir, first.scale, experiment.name, source.name)
    progress = Console(outcome.remaining)
    print(f"{experiment.title}\nscale={first.scale} ({chosen_by}), {len(cells)} cell(s), results in {store.folder}")
    if first.stage in ("verify", "plan"):
        return verify(store) if first.stage == "verify" else plan(source, cells, store, progress)
    if first.stage == "check":
        return check(experiment, cells, store, progress, outcome)
    code = 0
    if STAGES[first.stage].computes:
        code = compute(source, cells, store, progress, command, outcome)
    if STAGES[first.stage].draws and code <= 128 and not left_to_others(cells, store, code):
        differs = departures(without_unused(settings), paper()) if experiment.of_the_paper else []
        redraw = not STAGES[first.stage].computes or outcome.ran > 0
        show(experiment, cells, store, progress, differs, redraw, outcome)
    return code


def left_to_others(cells: "list[Cell]", store: "Store", code: int) -> bool:
    """Whether there is nothing to draw: cells wait for other shards, or all of them failed."""
    from ntkrun.runner.failures import failed_cells

    first = cells[0].settings
    missing = [cell for cell in cells if STAGES[first.stage].computes and not store.has(cell)]
    waiting = len(missing) - len(failed_cells(store, missing))
    if waiting and first.shards > 1:
        print(f"{waiting} of {len(cells)} cells are left to other shards; the last one draws the figure")
        return True
    return code == 1 and len(missing) == len(cells)


def compute(
    source: "Experiment", cells: "list[Cell]", store: "Store", progress: "Console", command: str, outcome: Outcome
) -> int:
    """Run the cells of this shard; the exit code is 1 when some failed, that of a signal when one ended it."""
    if cells[0].settings.minutes is not None:
        raise UserError("minutes= is typed on the command line itself, not in a file of --config-dir")
    first = cells[0].settings
    if not first.distributed:  # else the others are there to be told
        store.prepare()  # a folder that cannot be written to is found before the imports below
    from ntkrun.lockstep.processes import ended_by_any, leave
    from ntkrun.runner.plan import shard_of
    from ntkrun.runner.run import Tally, run_cells

    mine = shard_of(cells, first.shard, first.shards)
    tally = Tally(len(mine))
    try:
        with ended_by_any():
            make_ready(first, store, progress)
            run_cells(source, mine, store, progress, tally)
    except KeyboardInterrupt as interruption:
        progress.close()
        print(f"interrupted: {tally}; they are kept, and this goes on from there:\n  {command}", file=sys.stderr)
        code = 128 + getattr(interruption, "signum", signal.SIGINT)
        leave(code)
        return code
    finally:
        outcome.ran, outcome.cached = outcome.ran + tally.ran, outcome.cached + tally.cached
        for cell, why in tally.failed.items():
            print(f"failed: {cell}: {why}", file=sys.stderr)
    print(tally)
    for cell in tally.elsewhere:
        progress.info(f"being run elsewhere: {cell}")
    return 1 if tally.failed else 0


def make_ready(settings: "CommonSettings", store: "Store", progress: "Console") -> None:
    """Make JAX compute as runs do; UserError for devices that are not there, with nothing left behind."""
    from ntkrun.runner.device import ready

    try:
        warnings = ready(settings)
    except UserError:
        store.take_back()
        raise
    for warning in warnings:
        progress.warn(warning)


def assist(source: "Experiment", cells: "list[Cell]") -> int:
    """Compute with the leading process what it computes; it alone reads and writes results."""
    from ntkrun.lockstep.processes import ended_by_any
    from ntkrun.runner.device import ready
    from ntkrun.runner.plan import shard_of
    from ntkrun.runner.run import assist_cells

    first = cells[0].settings
    if STAGES[first.stage].computes:
        with ended_by_any():
            ready(first)
            assist_cells(source, shard_of(cells, first.shard, first.shards))
    return 0


def show(
    experiment: "Experiment",
    cells: "list[Cell]",
    store: "Store",
    progress: "Console",
    differs: list[str],
    redraw: bool,
    outcome: Outcome,
) -> None:
    """Draw and judge what is stored, and say what it is worth."""
    from ntkrun.report.gallery import write_gallery
    from ntkrun.report.judge import claims_table
    from ntkrun.report.render import report

    try:
        made = report(experiment, cells, store, differs, redraw)
    except ComputeForbiddenError:
        outcome.absent = True
        raise
    outcome.judged(verdict.verdict for verdict in made.verdicts)
    for name in made.stand_ins:
        progress.warn(f"drawn from the stand-in images {name}, not from the paper's data")
    for name, why in made.failed.items():
        progress.warn(f"without {name}, which failed: {why}")
    if made.missing:
        progress.warn(f"{len(made.missing)} of {len(cells)} cells are not there yet: {', '.join(made.missing[:5])}")
    page = write_gallery(store.folder.parent)
    print(f"\nfigure: {made.picture}\ngallery: {page}\n\n{claims_table(made.verdicts, cells[0].settings.scale)}")
