"""What `ntkrun` does once its settings are composed: plan, run what is missing, report."""

import signal
import sys
from typing import TYPE_CHECKING, Any

from ntkrun.cli.all_figures import Outcome
from ntkrun.errors import ComputeForbiddenError, UserError
from ntkrun.settings.changes import Changes
from ntkrun.settings.choices import STAGES

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
    """Judge what is stored and write nothing; 1 when a judged claim fails."""
    from ntkrun.report.judge import claims_table
    from ntkrun.report.render import gather, judge_stored

    stored = gather(experiment, cells, store)
    verdicts = judge_stored(experiment, stored, cells[0].settings.scale, changed)
    if stored.missing:
        progress.warn(f"{len(stored.missing)} of {len(cells)} cells are not there: the claims are judged without them")
    print(claims_table(verdicts))
    outcome.judged((verdict.verdict for verdict in verdicts), reported_distance(store))
    return 1 if outcome.failed else 0


def reported_distance(store: "Store") -> str:
    """How far the curves of the report in the folder are from the paper's; "" where there is none."""
    from ntkrun.report.deviation import distance, rows_of

    path = store.folder / "deviation.csv"
    return distance(rows_of(path.read_text())) if path.is_file() else ""


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


def execute(settings: dict[str, Any], changed: Changes, chosen_by: str, command: str, outcome: Outcome) -> int:
    """Run one experiment as its settings say; returns the exit code.  Raises UserError for bad input.

    `changed`: the settings that are other than the shipped ones of their scale.  `outcome` is kept up to date.
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
        return verify(store) if first.stage == "verify" else plan(source, cells, progress)
    if first.stage == "check":
        return check(experiment, cells, store, progress, changed, outcome)
    if STAGES[first.stage].computes:
        code = compute(source, cells, store, progress, command, outcome)
        if code:
            return code
        if STAGES[first.stage].draws and first.shards > 1 and (missing := [c.name for c in cells if not store.has(c)]):
            print(f"{len(missing)} of {len(cells)} cells are left to other shards; the last one draws the figure")
            return 0
    if STAGES[first.stage].draws:
        from ntkrun.report.departures import departures

        differs = departures(experiment.name, settings, changed)
        redraw = not STAGES[first.stage].computes or outcome.ran > 0
        show(experiment, cells, store, progress, differs, changed, redraw, outcome)
    return 0


def compute(
    source: "Experiment", cells: "list[Cell]", store: "Store", progress: "Console", command: str, outcome: Outcome
) -> int:
    """Run the cells of this shard; the exit code is that of a signal when one ended it."""
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
    from ntkrun.runner.run import Tally, run_cells

    mine = shard_of(cells, first.shard, first.shards)
    tally = Tally(len(mine))
    try:
        run_cells(source, mine, store, progress, tally)
    except KeyboardInterrupt as interruption:
        progress.close()
        print(f"interrupted: {tally}; they are kept, and this goes on from there:\n  {command}", file=sys.stderr)
        code = 128 + getattr(interruption, "signum", signal.SIGINT)
        leave(code)
        return code
    finally:
        outcome.ran, outcome.cached = outcome.ran + tally.ran, outcome.cached + tally.cached
    print(tally)
    for cell in tally.elsewhere:
        progress.info(f"being run elsewhere: {cell}")
    return 0


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
) -> None:
    """Draw and judge what is stored, and say what it is worth."""
    from ntkrun.report.gallery import write_gallery
    from ntkrun.report.judge import claims_table
    from ntkrun.report.render import report

    try:
        made = report(experiment, cells, store, differs, changed, redraw)
    except ComputeForbiddenError:
        outcome.absent = True
        raise
    outcome.judged((verdict.verdict for verdict in made.verdicts), reported_distance(store))
    for name in made.stand_ins:
        progress.warn(f"drawn from the stand-in images {name}, not from the paper's data: make data gets the real set")
    if made.missing:
        progress.warn(f"{len(made.missing)} of {len(cells)} cells are not there yet: {', '.join(made.missing[:5])}")
    page = write_gallery(store.folder.parent)
    print(f"\nfigure: {made.picture}\ngallery: {page}\n\n{claims_table(made.verdicts)}")
