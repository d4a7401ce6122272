"""What `ntkrun` does once its settings are composed: plan, run what is missing, report."""

import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntkrun.experiments.base import Experiment
    from ntkrun.runner.plan import Cell
    from ntkrun.runner.store import Store


def departures(settings: dict[str, Any], paper: dict[str, Any], prefix: str = "") -> list[str]:
    """How `settings` differ from the paper's own: "model.width=512 (paper 2048)"."""
    skipped = {
        "scale",
        "stage",
        "shard",
        "shards",
        "results_dir",
        "style",
        "checkpoint_minutes",
        "flop_rate",
        "seed",
        "data.source",
        "data.seed",
        "experiment",
    }
    found = []
    for key, value in settings.items():
        name, theirs = prefix + key, paper.get(key)
        if name in skipped or value == theirs:
            continue
        if isinstance(value, dict) and isinstance(theirs, dict) and key != "schedule":
            found += departures(value, theirs, f"{name}.")
        elif isinstance(theirs, dict) and not value:
            found.append(f"{name} left out")
        elif key == "schedule":
            found.append(f"{name}={value['name']} (paper {theirs['name'] if theirs else 'none'})")
        else:
            found.append(f"{name}={value} (paper {theirs})")
    return found


def verify(store: "Store") -> int:
    """Check every stored table; 1 when one is damaged."""
    from ntkrun.runner.verify import faults

    found = [fault for _, fault in faults(store)]
    damaged = [fault for fault in found if fault]
    for fault in damaged:
        print(f"damaged: {fault}", file=sys.stderr)
    print(f"{len(found)} tables verified against hash, schema and name: {len(damaged)} damaged")
    return 1 if damaged else 0


def plan(experiment: "Experiment", cells: "Sequence[Cell]") -> int:
    """Print what the cells will cost."""
    from ntkrun.runner.forecast import forecast, forecast_table

    print(forecast_table([forecast(experiment, cell) for cell in cells], cells[0].settings.flop_rate))
    return 0


def execute(settings: dict[str, Any], paper: dict[str, Any], chosen_by: str, command: str) -> int:
    """Run one experiment as its settings say; returns the exit code.  Raises UserError for bad input."""
    from ntkrun.experiments.base import computing, load_experiment
    from ntkrun.progress import Console
    from ntkrun.report.judge import claims_table
    from ntkrun.report.render import report
    from ntkrun.runner.plan import make_cells, shard_of
    from ntkrun.runner.run import Tally, run_cells
    from ntkrun.runner.store import Store

    experiment = load_experiment(settings["experiment"])
    source = computing(experiment)
    cells = make_cells(source, settings | {"experiment": source.name})
    first = cells[0].settings
    store = Store(first.results_dir, first.scale, experiment.name, source.name)
    progress = Console()
    print(f"{experiment.title}\nscale={first.scale} ({chosen_by}), {len(cells)} cell(s), results in {store.folder}")
    if first.stage in ("verify", "plan"):
        return verify(store) if first.stage == "verify" else plan(source, cells)
    if first.stage in ("run", "all"):
        mine = shard_of(cells, first.shard, first.shards)
        tally = Tally(len(mine))
        try:
            run_cells(source, mine, store, progress, tally)
        except KeyboardInterrupt as interruption:
            progress.close()
            print(f"interrupted: {tally}; they are kept, and this goes on from there:\n  {command}", file=sys.stderr)
            return 128 + getattr(interruption, "signum", signal.SIGINT)
        print(tally)
        for cell in tally.elsewhere:
            progress.info(f"being run elsewhere: {cell}")
    if first.stage in ("report", "all"):
        made = report(experiment, cells, store, departures(settings, paper) if experiment.name != "lockstep" else [])
        for name in made.stand_ins:
            progress.warn(
                f"drawn from the stand-in images {name}, not from the paper's data: make data gets the real set"
            )
        if made.missing:
            progress.warn(f"{len(made.missing)} of {len(cells)} cells are not there yet: {', '.join(made.missing[:5])}")
        print(f"\nfigure: {made.picture}\n\n{claims_table(made.verdicts)}")
    return 0
