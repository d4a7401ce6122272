"""Which of the paper's curves the settings of a run were fitted to: a claim that reads one of these is no test of it."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ntkrun.settings.changes import canonical
from ntkrun.settings.origins import alone, origin_of
from ntkrun.settings.parts import leaves


def fitted_curves(experiment: str, cells: Iterable[tuple[str, Mapping[str, Any]]]) -> frozenset[str]:
    """Patterns of curves, as the origins name them, of all settings that have the value that was fitted.

    cells  (part, settings) of each; "" where the experiment has no parts
    """
    if alone(experiment):
        return frozenset()
    values = {
        (f"parts.{part}.{name}" if part else name, json.dumps(value, sort_keys=True, default=str)): value
        for part, settings in cells
        for path, value in leaves(dict(settings))
        if (name := ".".join(path))
    }
    found: set[str] = set()
    for (name, _), value in values.items():
        origin = origin_of(experiment, name)
        if origin and origin.fitted_to and canonical(value) == canonical(origin.here):
            found |= set(origin.fitted_to)
    return frozenset(found)
