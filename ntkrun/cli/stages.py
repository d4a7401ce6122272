"""What `ntkrun` does once its settings are composed: plan, run what is missing, report."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ntkrun.cli.all_figures import Outcome
from ntkrun.cli.asked import Asked
from ntkrun.errors import UserError
from ntkrun.settings.changes import Changes
from ntkrun.settings.choices import STAGES
from ntkrun.settings.variant import Variant

if TYPE_CHECKING:
    from ntkrun.cli.console import Console
    from ntkrun.experiments.base import Experiment
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


def plan(experiment: "Experiment", cells: "list[Cell]", store: "Store", progress: "Console") -> int:
    """Print what the cells will cost, and what cannot work; UserError where no cell can."""
    from ntkrun.runner.failures import failed_cells
    from ntkrun.runner.forecast import forecast
    from ntkrun.runner.machines import machine_of
    from ntkrun.runner.plan_table import forecast_table
    from ntkrun.runner.plan_warnings import possible, warnings

    cells, lacking = possible(cells)
    for line in lacking:
        progress.warn(line)
    machine = machine_of(cells[0].settings.device, cells[0].settings.flop_rate)
    found = forecast(experiment, cells, machine)
    print(forecast_table(found, machine))
    for line in warnings(found, cells, machine):
        progress.warn(line)
    for cell, why in failed_cells(store, cells).items():
        progress.warn(f"{cell} failed in an earlier run: {why}")
    return 0


def tell_data(cells: "list[Cell]", progress: "Console") -> int:
    """Fetch what is missing and print what the images of the cells are; UserError where a cell cannot use them."""
    from ntkrun.data.sources.load import fetched, images_for, is_missing
    from ntkrun.data.summary import summary
    from ntkrun.runner.data_sets import check_images

    found = {}
    for images in filter(None, (cell.settings.images for cell in cells)):
        if is_missing(images) and (why := fetched(images, into_own=True)):
            progress.warn(why)
        held = images_for(images)
        found[held.fingerprint] = summary(held, images.classes)
    print("\n\n".join(found.values()) or "random inputs, no images")
    for cell in cells:
        check_images(cell)
    return 0


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


def cells_of(settings: dict[str, Any]) -> "list[Cell]":
    """The cells of composed settings; UserError for settings that `execute` would refuse.  Computes and reads nothing."""
    from ntkrun.runner.plan import check_shared_settings, make_cells

    if settings["scale"] == "auto":
        settings = settings | {"scale": "cpu"}  # what a wrong setting is does not depend on it
    check_shared_settings(settings)
    from ntkrun.experiments.figures import computing, load_experiment

    source = computing(load_experiment(settings["experiment"]))
    return make_cells(source, settings | {"experiment": source.name})


def _leads() -> bool:
    """Whether this process is the one that reads and writes results."""
    from ntkrun.lockstep.processes import leads

    return leads()


def execute(
    settings: dict[str, Any],
    changed: Changes,
    run_of: Callable[[], Variant],
    chosen_by: str,
    command: str,
    outcome: Outcome,
) -> int:
    """Run one experiment as its settings say; returns the exit code.  Raises UserError for bad input.

    changed  the settings that are other than the shipped ones of their scale
    run_of   which run of the experiment they make, asked for once they are known to be right
    outcome  is kept up to date
    """
    from ntkrun.runner.plan import check_shared_settings

    check_shared_settings(settings)  # before the imports below, which take seconds
    from ntkrun.cli.console import Console
    from ntkrun.experiments.figures import computing, load_experiment
    from ntkrun.runner.following import check_log
    from ntkrun.runner.plan import make_cells
    from ntkrun.runner.store import Store

    experiment = load_experiment(settings["experiment"])
    source = computing(experiment)
    cells = make_cells(source, settings | {"experiment": source.name})
    first, stage = cells[0].settings, STAGES[cells[0].settings.stage]
    check_log(first)
    if stage.at_once or stage.lists:
        raise UserError(f"type stage={first.stage} on the command line, not in a file")
    if first.distributed and not _leads():
        from ntkrun.cli.compute import assist

        return assist(source, cells)
    variant = run_of() if stage.draws else Variant()
    store = Store(first.results_dir, first.scale, experiment.name, source.name, variant.name)
    asked = Asked(experiment, source, settings, cells, store, changed, variant, command)
    if first.stage != "data":
        title = experiment.titled([(cell.part, cell.settings) for cell in cells])
        print(f"{title}\nscale={first.scale} ({chosen_by}), {len(cells)} cell(s), results in {store.folder}")
    from ntkrun.runner.no_effect import without_effect

    for line in without_effect(cells, changed):
        print(f"warning: {line}", file=sys.stderr)
    carry_out = produce if stage.computes or stage.draws else look
    return carry_out(asked, Console(outcome.remaining), outcome)


def produce(asked: Asked, progress: "Console", outcome: Outcome) -> int:
    """The stages that compute or draw."""
    from ntkrun.cli.compute import compute, nothing_to_draw
    from ntkrun.cli.show import show
    from ntkrun.runner.reports import check_name_is_free

    cells, store = asked.cells, asked.store
    stage, code, fingerprints = STAGES[asked.first.stage], 0, outcome.fingerprints
    if stage.draws:
        check_name_is_free(store, asked.variant)
    if stage.computes:
        code, fingerprints = compute(asked.source, cells, store, progress, asked.command, outcome)
        if code > 128 or not stage.draws or nothing_to_draw(cells, store, code, fingerprints):
            return code
    show(asked, progress, outcome, redraw=not stage.computes or outcome.ran > 0, fingerprints=fingerprints)
    return code


def look(asked: Asked, progress: "Console", outcome: Outcome) -> int:
    """The stages that compute and write nothing."""
    stage = asked.first.stage
    if stage == "verify":
        return verify(asked.store)
    if stage == "plan":
        return plan(asked.source, asked.cells, asked.store, progress)
    if stage == "data":
        return tell_data(asked.cells, progress)
    from ntkrun.cli.show import check

    return check(asked, progress, outcome)
