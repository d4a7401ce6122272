"""The folder of shipped results is read by every stage and written by none: what would write there ends before it begins."""

from collections.abc import Sequence
from pathlib import Path

from ntkrun.settings.choices import STAGES

SWEEP = {"-m", "--multirun"}  # Hydra makes a folder for its jobs, in results_dir unless hydra.sweep.dir names another
INTO = ("results_dir", "hydra.sweep.dir", "into")  # settings that name folders which are written


def refuse_writing(arguments: Sequence[str]) -> None:
    """UserError where a run or a sweep of this command line would write among the shipped results."""
    typed = [(key, value) for key, given, value in (item.partition("=") for item in arguments) if given]
    stages = next((value.split(",") for key, value in typed if key == "stage"), ["all"])
    for key, value in typed:
        if key in INTO and (key != "results_dir" or SWEEP & set(arguments) or any(map(_writes, stages))):
            from ntkrun.runner.store import refuse_shipped  # brings pandas, which few command lines need so early

            for folder in value.split(","):
                refuse_shipped(Path(folder.strip("'\"")).expanduser(), key)


def _writes(stage: str) -> bool:
    known = STAGES.get(stage)  # type: ignore[arg-type]
    return known is None or known.computes or known.draws or stage == "merge"
