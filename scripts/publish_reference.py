"""Copies a run to the shipped results: its cells, picture, thumbnail, curves, claims, distances and provenance.

    python scripts/publish_reference.py fig1 cpu                 the run without changes, from results/
    python scripts/publish_reference.py fig1 cpu --results /tmp/x
    python scripts/publish_reference.py figs5 paper --incomplete   although cells are missing, as its picture says

Nothing else writes to results/reference.  Only runs of the shipped settings on the real images are taken, whole ones unless
asked; what was published before is replaced.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from ntkrun.errors import UserError
from ntkrun.experiments.figures import computing, load_experiment
from ntkrun.runner.reports import PROVENANCE
from ntkrun.runner.store import Store, cell_file, read_table
from ntkrun.settings.variant import DEFAULT

ROOT = Path(__file__).parent.parent
# the tables and the PDF are made from the cells
PUBLISHED = ("figure.png", "thumbnail.png", "curves.json", "claims.json", "deviation.csv", PROVENANCE)


def publish(experiment: str, scale: str, results: Path, reference: Path, *, incomplete: bool = False) -> int:
    """Copy one run; the number of its cells.  Raises UserError for a run that is not fit to be shipped."""
    source = computing(load_experiment(experiment)).name
    store = Store(results, scale, experiment, source)
    report = store.folder / DEFAULT
    try:
        told = json.loads((report / PROVENANCE).read_text())
    except OSError as error:
        raise UserError(f"there is no report in {report}: ntkrun experiment={experiment} scale={scale}") from error
    if told["stand_in_data"] or (told["missing_cells"] and not incomplete) or told["run"]["changed"]:
        raise UserError(f"{report} is drawn from stand-in images, incomplete or of changed settings: it is not shipped")
    paths = [store.named(cell_file(cell["config_hash"], cell["data_fingerprint"])) for cell in told["cells"]]
    if None in paths:
        raise UserError(f"{report} is drawn from cells that are not in {store.cells} any more: run it again")
    for path in filter(None, paths):
        read_table(path)
    cells = reference / scale / source / "cells"
    cells.mkdir(parents=True, exist_ok=True)
    for path in filter(None, paths):
        if path.parent != cells:
            shutil.copyfile(path, cells / path.name)
    (reference / scale / experiment).mkdir(parents=True, exist_ok=True)
    for name in PUBLISHED:
        shutil.copyfile(report / name, reference / scale / experiment / name)
    remove_others(reference / scale, cells)
    return len(paths)


def remove_others(shipped: Path, cells: Path) -> None:
    """Remove cells that no shipped report of the scale is drawn from: those of settings that it had before."""
    told = [json.loads(path.read_text())["cells"] for path in shipped.glob(f"*/{PROVENANCE}")]
    names = {cell_file(cell["config_hash"], cell["data_fingerprint"]) for report in told for cell in report}
    for path in cells.glob("*.parquet"):
        if path.name not in names:
            path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment")
    parser.add_argument("scale")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--incomplete", action="store_true")
    given = parser.parse_args()
    reference = ROOT / "results" / "reference"
    try:
        count = publish(given.experiment, given.scale, given.results, reference, incomplete=given.incomplete)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"{reference / given.scale / given.experiment}: {count} cells; now git add it and make readme")


if __name__ == "__main__":
    main()
