"""The stages that judge: draw and judge what is stored, or judge it alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ntkrun.cli.all_figures import Outcome
from ntkrun.cli.asked import Asked
from ntkrun.errors import ComputeForbiddenError, UserError
from ntkrun.settings.choices import STAGES

if TYPE_CHECKING:
    from ntkrun.cli.console import Console


def check(asked: Asked, progress: "Console", outcome: Outcome) -> int:
    """Judge what is stored and write nothing; 1 when a judged claim fails.

    Nothing to judge is a fault, too, unless it is shipped results that are checked and these are not among them.
    """
    from ntkrun.report.counts import Counts
    from ntkrun.report.judge import as_records, claims_table
    from ntkrun.report.render import gather, judge_stored
    from ntkrun.runner import data_sets

    experiment, cells, store = asked.experiment, asked.cells, asked.store
    chosen = data_sets.stored(cells, store)
    for note in chosen.notes:
        progress.info(note)
    try:
        stored = gather(experiment, cells, store, chosen.of)
    except ComputeForbiddenError as error:
        if store.shipped_folder is None or any(store.cells.glob("*.parquet")):
            raise UserError(str(error)) from error
        raise
    verdicts = judge_stored(experiment, stored, asked.first.scale, asked.changed)
    if stored.missing:
        progress.warn(f"{len(stored.missing)} of {len(cells)} cells are not there: the claims are judged without them")
    print(claims_table(verdicts))
    reports = (store.report(stand_in=bool(stored.stand_ins)), store.shipped_folder)
    distances = (reported_distance(folder) for folder in reports if folder)
    outcome.judged(Counts.of(as_records(verdicts)), next(filter(None, distances), ""))
    outcome.cached = len(cells) - len(stored.missing)
    return 1 if outcome.counts.all_failed else 0


def reported_distance(folder: Path) -> str:
    """How far the curves of the report in the folder are from the paper's; "" where there is none."""
    from ntkrun.report.deviation import distance, rows_of

    path = folder / "deviation.csv"
    return distance(rows_of(path.read_text())) if path.is_file() else ""


def show(
    asked: Asked, progress: "Console", outcome: Outcome, *, redraw: bool, fingerprints: Mapping[str, str] | None
) -> None:
    """Draw and judge what is stored, and say what it is worth.

    redraw        also where the picture that is there says the same
    fingerprints  of the images of the cells that were just run, by the cells' hashes; None: what is stored decides
    """
    from ntkrun.report.counts import Counts
    from ntkrun.report.departures import departures
    from ntkrun.report.gallery import write_gallery
    from ntkrun.report.judge import as_records, claims_table
    from ntkrun.report.render import About, report
    from ntkrun.runner import data_sets

    cells, store = asked.cells, asked.store
    if fingerprints is None:
        chosen = data_sets.stored(cells, store)
        fingerprints = chosen.of
        for note in chosen.notes:
            progress.info(note)
    differs = departures(asked.experiment.name, asked.settings, asked.changed)
    about = About(differs, asked.changed, asked.variant)
    made = report(asked.experiment, cells, store, about, fingerprints, redraw)
    outcome.judged(Counts.of(as_records(made.verdicts)), reported_distance(made.picture.parent))
    if not STAGES[asked.first.stage].computes:
        outcome.cached = len(cells) - len(made.missing) - outcome.ran
    for name in made.stand_ins:
        progress.warn(f"drawn from the stand-in images {name}, not from the paper's data")
    for name, why in made.failed.items():
        progress.warn(f"without {name}, which failed: {why}")
    if waiting := [name for name in made.missing if name not in made.failed]:
        progress.warn(f"{len(waiting)} of {len(cells)} cells are not there yet: {', '.join(waiting[:5])}")
    shipped = f"{made.shipped} of {len(cells)} cells are shipped results\n" if made.shipped else ""
    page = write_gallery(store.at_scale)
    print(f"\n{shipped}figure: {made.picture}\ngallery: {page}\n\n{claims_table(made.verdicts)}")
