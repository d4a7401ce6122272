"""What a run will ask of a machine, before anything is computed: parameters, FLOPs, peak memory and hours of every cell."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ntkrun.costs import Piece, along_width
from ntkrun.errors import UserError
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.work import training_work
from ntkrun.runner.plan import Cell
from ntkrun.runner.store import Store
from ntkrun.settings import LOCAL, CommonSettings, RunSettings


@dataclass(frozen=True)
class Forecast:
    """Of one cell; all its networks together.

    parameters      scalars of one network
    flops_per_step  of a step of training, network and linearised model; 0 where nothing is trained
    flops           of the whole cell, see `ntkrun.costs` for what is counted
    peak_bytes      of its largest piece
    """

    cell: str
    parameters: int
    steps: int
    flops_per_step: float
    flops: float
    peak_bytes: int


def forecast(experiment: Experiment, cells: Sequence[Cell]) -> list[Forecast]:
    """From the traces of the cells' pieces alone; cells that differ in seed or width share them."""
    families: dict[str, dict[int, Piece]] = defaultdict(dict)
    found = []
    for cell in cells:
        parameters, pieces = _work(experiment, cell.settings)
        shared, width = _family(cell.settings)
        names = [f"{number} of {len(pieces)}: {shared}" for number in range(len(pieces))]
        for name, piece in zip(names, pieces, strict=True):
            families[name].setdefault(width, piece)
        found.append((cell.name, parameters, names, width))
    known = {name: along_width(family) for name, family in families.items()}
    return [
        _summed(cell, parameters, [known[name][width] for name in names]) for cell, parameters, names, width in found
    ]


def _work(experiment: Experiment, settings: CommonSettings) -> tuple[int, list[Piece]]:
    if experiment.work is not None:
        return experiment.work(settings)
    if isinstance(settings, RunSettings):
        return training_work(settings)
    raise UserError(f"stage=plan does not know the work of {experiment.name}")


def _family(settings: CommonSettings) -> tuple[str, int]:
    """What cells have in common that differ in seed and width only, and the width (0 where there is none)."""
    shared = settings.model_dump(mode="json", exclude=LOCAL | {"seed": True})
    width = shared.get("model", {}).pop("width", None)
    if isinstance(width, int):
        return json.dumps(shared, sort_keys=True), width
    return json.dumps([shared, width], sort_keys=True), 0


def _summed(name: str, parameters: int, pieces: Sequence[Piece]) -> Forecast:
    steps = [piece for piece in pieces if piece.what == "step"]
    return Forecast(
        name,
        parameters,
        max((piece.times for piece in steps), default=0),
        float(sum(piece.flops_once for piece in steps)),
        sum(piece.flops for piece in pieces),
        max(piece.peak_bytes for piece in pieces),
    )


START_UP = 5.0  # seconds that a cell takes beside its FLOPs: compilation, images


@cache
def measured_seconds() -> dict[str, float]:
    """Seconds of the committed results' cells, by config hash; written by scripts/measured_seconds.py."""
    return json.loads(files("ntkrun.runner").joinpath("measured.json").read_text())


def expected_seconds(experiment: Experiment, cells: Sequence[Cell], store: Store) -> dict[str, float]:
    """Seconds to expect of the cells that are not stored, by config hash.

    As long as the same cell took in the report that lies in the store's folder, on whatever machine; where there is
    none, as long as it took for the results that come with the project (`measured.json`, two cores); else its FLOPs at
    the setting `flop_rate`.
    """
    known = measured_seconds() | {
        facts["config_hash"]: float(facts["wall_seconds"]) for facts in store.reported_cells()
    }
    missing = [cell for cell in cells if not store.has(cell)]
    unknown = [cell for cell in missing if not known.get(cell.config_hash)]
    traced = {
        cell.config_hash: START_UP + found.flops / cell.settings.flop_rate
        for cell, found in zip(unknown, forecast(experiment, unknown), strict=True)
    }
    return {cell.config_hash: traced.get(cell.config_hash) or known[cell.config_hash] for cell in missing}


def forecast_table(found: Sequence[Forecast], flop_rate: float) -> str:
    """As lines of text; hours at `flop_rate` FLOP/s."""
    header = ("cell", "parameters", "steps", "FLOP/step", "FLOP", "peak memory", "hours")

    def hours(flops: float) -> str:
        return f"{flops / flop_rate / 3600:.3g}"

    lines = [
        (
            one.cell,
            f"{one.parameters:,}",
            f"{one.steps:,}",
            f"{one.flops_per_step:.3g}",
            f"{one.flops:.3g}",
            f"{one.peak_bytes / 2**30:.3g} GiB",
            hours(one.flops),
        )
        for one in found
    ]
    total = sum(one.flops for one in found)
    largest = max(one.peak_bytes for one in found)
    lines.append(("all", "", "", "", f"{total:.3g}", f"{largest / 2**30:.3g} GiB", hours(total)))
    widths = [max(len(line[column]) for line in [header, *lines]) for column in range(len(header))]
    text = [
        "  ".join(
            [line[0].ljust(widths[0]), *(item.rjust(width) for item, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in [header, *lines]
    ]
    text.append(
        f"hours at flop_rate={flop_rate:.3g} FLOP/s; FLOPs are those of matrix products and convolutions, memory that of "
        "the traced program without fusion"
    )
    return "\n".join(text)
