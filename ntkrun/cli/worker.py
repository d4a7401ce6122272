"""A process that computes the cells it is told, one after the other: python -m ntkrun.cli.worker.

A line of JSON on standard input names a cell, {"experiment", "settings", "config_hash"}; a line on standard output says
what became of it.  It keeps what makes a first cell slow, imports and compiled programs, and ends with its input, or by a
signal, which a cell under way answers with a checkpoint.  What it has to tell a person goes to standard error.
"""

import json
import os
import sys
import traceback
from typing import Any

from ntkrun.devices.numerics import pin
from ntkrun.errors import UserError


def main() -> None:
    pin()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what anything prints is for the person, and no answer
    try:
        for line in sys.stdin:
            answer = _answered(json.loads(line))
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
            if answer["state"] == "stopped":
                sys.exit(answer["code"])
    except KeyboardInterrupt as stop:  # between two cells
        sys.exit(128 + getattr(stop, "signum", 2))


def _answered(told: dict[str, Any]) -> dict[str, Any]:
    """state: "stored" (by now), "elsewhere" (another process has it), "stopped" (by a signal), "failed" (why says)."""
    try:
        return compute(told["experiment"], told["settings"], told["config_hash"])
    except KeyboardInterrupt as stop:
        return {"state": "stopped", "code": 128 + getattr(stop, "signum", 2)}
    except UserError as error:
        return {"state": "failed", "why": str(error)}
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return {"state": "failed", "why": " ".join(f"{type(error).__name__}: {error}".split())[:300]}


def compute(name: str, settings: dict[str, Any], config_hash: str) -> dict[str, Any]:
    from ntkrun.cli.console import Console
    from ntkrun.experiments.figures import load_experiment
    from ntkrun.runner.device import ready
    from ntkrun.runner.plan import make_cells
    from ntkrun.runner.run import Tally, run_cells
    from ntkrun.runner.store import Store

    experiment = load_experiment(name)
    cell = next(cell for cell in make_cells(experiment, settings) if cell.config_hash == config_hash)
    progress = Console()
    for warning in ready(cell.settings):
        progress.warn(warning)
    store = Store(cell.settings.results_dir, cell.settings.scale, experiment.name)
    tally = Tally(1)
    run_cells(experiment, [cell], store, progress, tally)
    for why in tally.failed.values():
        return {"state": "failed", "why": why}
    return {"state": "elsewhere" if tally.elsewhere else "stored"}


if __name__ == "__main__":
    main()
