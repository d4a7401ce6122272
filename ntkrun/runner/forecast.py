"""What a run will ask of a machine, before anything is computed: FLOPs, bytes, memory and time of every cell."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ntkrun.costs import Flops, Piece, added, along_width
from ntkrun.devices.platform import traced_for
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.runs.planned_work import PlannedWork
from ntkrun.runner.budget import Expected
from ntkrun.runner.machines import Machine, machine_of
from ntkrun.runner.plan import Cell
from ntkrun.settings.base import CommonSettings
from ntkrun.settings.schema import local_fields

START = 1.0  # seconds that a cell takes beside its programs: images, theta_0, single operations
SPECTRUM = 0.4  # seconds in which two cores of the host find the eigenvectors of 1,000 rows; with the cube of the rows


@dataclass(frozen=True)
class Forecast:
    """Of one cell; all its networks together.

    parameters        scalars of one network
    steps, known      one after the other, and how far that number is: "exactly", "about", "at most"
    flops_per_step    of a step of training, network and rivals; 0 where nothing is trained
    kernels_per_step  that a step becomes, see `ntkrun.costs.traffic`
    flops             of the whole cell by precision, bytes moved likewise
    calls             of programs outside the loop of steps: blocks of kernels, groups of draws
    peak_bytes        of its largest program
    compile_seconds   of programs that no cell before it has compiled
    run_seconds       on the device and the host, without compilation
    """

    cell: str
    parameters: int
    steps: int
    known: str
    flops_per_step: float
    kernels_per_step: int
    flops: Flops
    bytes: float
    calls: int
    peak_bytes: int
    compile_seconds: float
    run_seconds: float

    @property
    def seconds(self) -> float:
        return self.compile_seconds + self.run_seconds


def forecast(experiment: Experiment, cells: Sequence[Cell], machine: Machine) -> list[Forecast]:
    """From the traces of the cells' programs alone; cells that differ in seed or width share them."""
    families: dict[str, dict[int, Piece]] = defaultdict(dict)
    found: list[tuple[Cell, PlannedWork, list[str], int]] = []
    with traced_for(machine.platform):
        for cell in cells:
            work = experiment.run.planned_work(cell.settings, machine.block_bytes)
            shared, width = _family(cell.settings)
            pieces = work.pieces
            names = [f"{number} of {len(pieces)}: {shared}" for number in range(len(pieces))]
            for name, piece in zip(names, pieces, strict=True):
                families[name].setdefault(width, piece)
            found.append((cell, work, names, width))
        known = {name: along_width(family) for name, family in families.items()}
        compiled: set[tuple[str, int]] = set()
        summed = []
        for cell, work, names, width in found:
            pieces = [known[name][width] for name in names]
            new = [p for name, p in zip(names, pieces, strict=True) if (name, width) not in compiled]
            compiled |= {(name, width) for name in names}
            summed.append(_summed(cell.name, work, pieces, new, machine))
        return summed


def families(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells that a forecast is made for together, because they share traces: those that differ in seed and width only."""
    found: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        found[_family(cell.settings)[0]].append(cell)
    return list(found.values())


def _family(settings: CommonSettings) -> tuple[str, int]:
    """What cells have in common that differ in seed and width only, and the width (0 where there is none)."""
    shared = settings.model_dump(mode="json", exclude=local_fields(type(settings)) | {"seed": True})
    width = shared.get("model", {}).pop("width", None)
    if isinstance(width, int):
        return json.dumps(shared, sort_keys=True), width
    return json.dumps([shared, width], sort_keys=True), 0


def _summed(name: str, work: PlannedWork, pieces: Sequence[Piece], new: Sequence[Piece], machine: Machine) -> Forecast:
    steps = [piece for piece in pieces if piece.what == "step"]
    host = START + SPECTRUM * sum((rows / 1000) ** 3 for rows in work.spectra)
    return Forecast(
        name,
        work.parameters,
        max((piece.times for piece in steps), default=0),
        work.known,
        float(sum(sum(piece.flops_once.values()) for piece in steps)),
        sum(piece.launches for piece in steps),
        added((piece.times, piece.flops_once) for piece in pieces),
        sum(piece.times * piece.bytes_once for piece in pieces),
        sum(piece.times for piece in work.programs),
        max(piece.peak_bytes for piece in pieces),
        sum((machine.compile_seconds(piece.kernels) for piece in new), 0.0),
        host + sum(piece.times * machine.seconds(piece.kernels) for piece in pieces),
    )


def expected(experiment: Experiment, missing: Sequence[Cell]) -> dict[str, Expected]:
    """What the plan expects on the machine at hand of cells that are not stored, by config hash."""
    if not missing:
        return {}
    found = forecast(experiment, missing, machine_of("auto", missing[0].settings.flop_rate))
    return {
        cell.config_hash: Expected(one.compile_seconds, one.run_seconds, one.peak_bytes)
        for cell, one in zip(missing, found, strict=True)
    }
