"""Settings that were changed and do nothing, or less than they say: a line for each before anything is computed.

What can never do anything is refused where settings are read (`ntkrun.settings.unused`); what is here depends on another
setting, the length of the run, say, with which it may be right.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence

from ntkrun.errors import UserError
from ntkrun.runner.following import without_log
from ntkrun.runner.plan import Cell
from ntkrun.settings.base import CommonSettings
from ntkrun.settings.choices import STAGES
from ntkrun.settings.optimizers import PiecewiseSchedule
from ntkrun.settings.origins import setting
from ntkrun.settings.runs import OutputEnsembleSettings, RateSettings, RunSettings


def without_effect(cells: Sequence[Cell], changed: Iterable[str]) -> list[str]:
    """The lines, each once; changed: names of the settings that the user has changed, of which alone they speak."""
    names = {setting(name) for name in changed}
    found = [
        line
        for cell in cells
        for line in (*_of_the_picture(cell.settings), *without_log(cell.settings), *_of_the_run(cell.settings, names))
    ]
    return list(dict.fromkeys(found))


def _of_the_picture(settings: CommonSettings) -> Iterator[str]:
    if STAGES[settings.stage].draws:
        return
    drawing = " or ".join(f"stage={name}" for name, stage in STAGES.items() if stage.draws)
    for name, value, shipped in (("style", settings.style, "paper"), ("name", settings.name, None)):
        if value != shipped:
            yield f"{name}={value} is for a picture, and stage={settings.stage} draws none: type it with {drawing}"


def _of_the_run(settings: CommonSettings, names: set[str]) -> Iterator[str]:
    if not isinstance(settings, RunSettings):
        return
    schedule, steps = settings.optimizer.schedule, settings.optimizer.steps
    if isinstance(schedule, PiecewiseSchedule) and {"optimizer.schedule.boundaries", "optimizer.schedule.name"} & names:
        late = [boundary for boundary in schedule.boundaries if boundary >= steps]
        if late:
            yield (
                f"optimizer.schedule.boundaries={list(schedule.boundaries)}: the run ends before {', '.join(map(str, late))}, "
                f"optimizer.steps={steps}, and eta does not change there"
            )
    of_the_clock = (
        {name for name in names if name.startswith("optimizer.")} if _records_by_the_octave(settings) else set()
    )
    if names & {"record.first_time"} or of_the_clock:
        yield from _late_first_time(settings)
    if "record.outputs" in names:
        with contextlib.suppress(UserError):  # of images that are not here, which their run will tell
            yield from _many_outputs(settings)


def _records_by_the_octave(settings: RunSettings) -> bool:
    """Whether its curves are recorded from `record.first_time` on, and not at times of their own or against something else."""
    return not isinstance(settings, OutputEnsembleSettings | RateSettings)


def _late_first_time(settings: RunSettings) -> Iterator[str]:
    from ntkrun.dynamics.optimizers import Optimizer  # which brings JAX

    first, end = settings.record.first_time, float(Optimizer(settings.optimizer).axis_times()[-1])
    if first > end:
        points = ", and curves against t are single points" if _records_by_the_octave(settings) else ""
        yield (
            f"record.first_time={first:g} lies behind the end of the run, t = {end:.4g}: nothing is recorded between the first "
            f"and the last step{points}; take record.first_time={end / 16:.1g}, say"
        )


def _many_outputs(settings: RunSettings) -> Iterator[str]:
    from ntkrun.experiments.runs.planned_work import sizes

    asked, follow = settings.record.outputs, settings.record.follow
    n, m, k = sizes(settings.data, settings.loss)
    examples = follow == "examples" or (follow == "auto" and k == 1)
    there = max(n, m) if examples else k
    if asked > there:
        what = "examples" if examples else "outputs of an example"
        yield f"record.outputs={asked}: there are {there} {what}, and no more can be followed; take record.outputs={there}"
