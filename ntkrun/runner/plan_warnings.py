"""What cannot work, as far as it is cheap to know before anything is computed; every line says what to type instead."""

from collections.abc import Iterable, Sequence

from ntkrun.data.sources.load import images_for
from ntkrun.dynamics.optimizers import Optimizer
from ntkrun.errors import UserError
from ntkrun.experiments.runs.planned_rate import planned_eta_critical
from ntkrun.runner.amounts import duration, memory
from ntkrun.runner.data_sets import check_images
from ntkrun.runner.forecast import Forecast
from ntkrun.runner.machines import Machine
from ntkrun.runner.plan import Cell
from ntkrun.settings.data import DataSettings
from ntkrun.settings.runs import RunSettings

LONG = 30 * 86400.0  # seconds of a cell


def possible(cells: Sequence[Cell]) -> tuple[list[Cell], list[str]]:
    """The cells for which there are enough images, and a line for each reason why there are not, or not here.

    Cells that lack the images of this machine alone are kept: they may be planned here and run elsewhere.  Raises UserError,
    as their run would, if none is left.
    """
    kept, reasons = [], dict[str, UserError]()
    for cell in cells:
        try:
            check_images(cell)
        except UserError as error:
            reasons[str(error)] = error
            if _at_hand(cell.settings.images):
                continue
        kept.append(cell)
    if not kept:
        raise next(iter(reasons.values()))
    return kept, list(reasons)


def _at_hand(images: DataSettings | None) -> bool:
    """Whether what is here is what is asked for, and no stand-in for images that another machine may have."""
    try:
        return images is None or images.is_own or images.source == "stand_in" or not images_for(images).is_stand_in
    except UserError:
        return False


def warnings(found: Sequence[Forecast], cells: Sequence[Cell], machine: Machine) -> list[str]:
    """Of the cells that are planned: too much memory, too much time, rates that diverge."""
    lines = [
        f"{one.cell} needs {memory(one.peak_bytes)}, and {machine.name} has {memory(machine.memory)}: lower data.n_train, "
        "data.n_test or model.width"
        for one in found
        if one.peak_bytes > machine.memory
    ]
    return [*lines, *_long(found, machine), *dict.fromkeys(_divergent(cells))]


def _long(found: Sequence[Forecast], machine: Machine) -> Iterable[str]:
    """One line for all of them."""
    cells = [one for one in found if one.seconds > LONG]
    if cells:
        longest = max(cells, key=lambda one: one.seconds)
        yield (
            f"{len(cells)} of {len(found)} cells take longer than {duration(LONG)} each on {machine.name}, {longest.cell} "
            f"{duration(longest.seconds)}: lower {'optimizer.steps' if longest.steps else 'draws'}, model.width or data.n_train"
        )


def _divergent(cells: Sequence[Cell]) -> Iterable[str]:
    for settings in (cell.settings for cell in cells if isinstance(cell.settings, RunSettings)):
        critical = planned_eta_critical(settings)
        if critical is None:
            continue
        eta, first = float(Optimizer(settings.optimizer).learning_rates().max()), settings.optimizer.learning_rate
        if eta >= critical:
            yield (
                f"eta = {eta:.4g} is not below eta_critical = {critical:.4g} of the infinitely wide network: expect "
                f"divergence (use optimizer.learning_rate below {first * critical / eta:.3g})"
            )
