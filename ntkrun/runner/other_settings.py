"""What a name stands for that is no setting of a run: it belongs to another choice of a group, or to other experiments."""

from collections.abc import Iterator

from ntkrun.experiments.figures import experiment_names, in_the_papers_order, load_experiment
from ntkrun.settings.origins import setting
from ntkrun.settings.runs import CommonSettings
from ntkrun.settings.schema import Described, described

MOST_NAMED = 3


def whose(name: str, experiment: str | None) -> str:
    """What to add to a line that refuses the setting of that dotted name in an experiment; "" where no run has it."""
    path = tuple(setting(name).split("."))
    own = _below(load_experiment(experiment).settings, path) if experiment in experiment_names() else []
    if own:
        choices = dict.fromkeys(choice for one in own for choice in _chosen_by(one))
        return f"; it comes with {' or '.join(choices)}" if choices else ""
    having = in_the_papers_order(n for n in experiment_names() if _below(load_experiment(n).settings, path))
    if not having:
        return ""
    others = " and others" if len(having) > MOST_NAMED else ""
    return f"; experiment={', '.join(having[:MOST_NAMED])}{others} {'has' if len(having) == 1 else 'have'} it"


def _below(kind: type[CommonSettings], path: tuple[str, ...]) -> list[Described]:
    """The setting at a path, or those of the section there."""
    return [one for one in described(kind) if one.path[: len(path)] == path]


def _chosen_by(one: Described) -> Iterator[str]:
    """How the section is chosen that has the setting, model=cnn, where there are several kinds of it."""
    field = one.section.model_fields.get("name")
    if field is not None and len(one.path) > 1:
        group = ".".join(one.path[:-1])
        yield from (f"{group}={word}" for word in Described((), one.section, "name", field).choices)
