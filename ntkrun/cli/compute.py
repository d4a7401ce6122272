"""The stages that compute: cells of this shard, here or with the processes of a distributed run."""

import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ntkrun.cli.all_figures import Outcome
from ntkrun.errors import UserError
from ntkrun.settings.choices import STAGES

if TYPE_CHECKING:
    from ntkrun.cli.console import Console
    from ntkrun.experiments.base import Experiment
    from ntkrun.runner.plan import Cell
    from ntkrun.runner.store import Store
    from ntkrun.settings.base import CommonSettings


def compute(
    source: "Experiment", cells: "list[Cell]", store: "Store", progress: "Console", command: str, outcome: Outcome
) -> tuple[int, Mapping[str, str]]:
    """Run the cells of this shard: (exit code, fingerprints of the images of all cells by the cells' hashes).

    The exit code is 1 when some failed, that of a signal when one ended the run.
    """
    if cells[0].settings.minutes is not None:
        raise UserError("minutes= is typed on the command line itself, not in a file of --config-dir")
    first = cells[0].settings
    if not first.distributed:  # else the others are there to be told
        store.prepare()  # a folder that cannot be written to is found before the imports below
    from ntkrun.lockstep.processes import ended_by_any, leave
    from ntkrun.runner.following import how_to_follow
    from ntkrun.runner.plan import shard_of
    from ntkrun.runner.run import Tally, images_of, run_cells

    mine = shard_of(cells, first.shard, first.shards)
    tally, fingerprints = Tally(len(mine)), {}
    try:
        with ended_by_any():
            make_ready(first, store, progress)
            images = images_of(cells, store)
            fingerprints = images.of
            for note in images.notes:
                progress.info(note)
            missing = [cell for cell in mine if not store.has(cell, fingerprints[cell.config_hash])]
            if follow := how_to_follow(missing, store):
                progress.info(follow)
            run_cells(source, mine, store, progress, tally, fingerprints)
    except KeyboardInterrupt as interruption:
        progress.close()
        print(f"interrupted: {tally}; they are kept, and this goes on from there:\n  {command}", file=sys.stderr)
        code = 128 + getattr(interruption, "signum", signal.SIGINT)
        leave(code)
        return code, fingerprints
    finally:
        outcome.ran, outcome.cached = outcome.ran + tally.ran, outcome.cached + tally.cached
        for cell, why in tally.failed.items():
            print(f"failed: {cell}: {why}", file=sys.stderr)
    print(tally)
    for cell in tally.elsewhere:
        progress.info(f"being run elsewhere: {cell}")
    return 1 if tally.failed else 0, fingerprints


def nothing_to_draw(cells: "list[Cell]", store: "Store", code: int, fingerprints: Mapping[str, str]) -> bool:
    """Whether cells are left to other shards or processes, which it says, or all of them failed.

    code  of `compute`
    """
    from ntkrun.runner.failures import failed_cells

    missing = [cell for cell in cells if not store.has(cell, fingerprints[cell.config_hash])]
    waiting = len(missing) - len(failed_cells(store, missing))
    if waiting and cells[0].settings.shards > 1:
        print(f"{waiting} of {len(cells)} cells are left to other shards; the last one draws the figure")
        return True
    if waiting == len(cells) and not code:
        print("another process is running all of it: type the same command again when that has finished")
        return True
    return code == 1 and len(missing) == len(cells)


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
