"""Which settings of a run are other than those that ntkrun ships for its experiment and scale."""

from collections.abc import Mapping
from typing import Any

from ntkrun.settings.origins import setting
from ntkrun.settings.parts import leaves, parts_of
from ntkrun.settings.runs import LOCAL_NAMES

# dotted name -> (the shipped value, the run's own); "parts.relu1.model.depth" where it is so in one part alone
Changes = Mapping[str, tuple[Any, Any]]
NONE = "not there"  # in place of a value: a setting that only one of the two has
LEFT_OUT = "left out"  # in place of the settings of a part


def changes(settings: dict[str, Any], shipped: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs between the settings of a run and the shipped ones, of all that determines numbers.

    A sweep over one value is that value, and 1.0 is 1.
    """
    ours, theirs = values_of(settings), values_of(shipped)
    if ours.keys() == {""} != theirs.keys():  # its parts were told apart by data sets, in whose place another is run
        theirs = values_of({key: value for key, value in shipped.items() if key != "parts"})
    found: dict[str, tuple[Any, Any]] = {}
    for part in theirs.keys() | ours.keys():
        a, b = theirs.get(part), ours.get(part)
        if a is None or b is None:
            found[f"parts.{part}"] = (NONE, "added") if a is None else ("run", LEFT_OUT)
            continue
        for name in sorted(a.keys() | b.keys()):
            pair = a.get(name, NONE), b.get(name, NONE)
            if canonical(pair[0]) != canonical(pair[1]):
                found[f"parts.{part}.{name}" if part else name] = pair
    return _of_all_parts(found, [part for part in ours if part])


def canonical(value: Any) -> Any:
    """One spelling of values that make the same run."""
    if isinstance(value, list):
        return canonical(value[0]) if len(value) == 1 else [canonical(one) for one in value]
    if isinstance(value, dict):
        return {str(key): canonical(one) for key, one in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def own_values(changed: Changes) -> dict[str, Any]:
    """Dotted name -> the run's own value of what it changes; None for a part that it leaves out."""
    own = {name: value for name, (_, value) in changed.items() if value != NONE}
    return {name: None if value == LEFT_OUT else canonical(value) for name, value in own.items()}


def values_of(raw: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """part -> dotted name -> value, of what enters the hash of a cell."""
    return {
        part: {name: value for path, value in leaves(one) if (name := ".".join(path)) not in LOCAL_NAMES}
        for part, one in parts_of(raw).items()
    }


def _of_all_parts(found: dict[str, tuple[Any, Any]], parts: list[str]) -> dict[str, tuple[Any, Any]]:
    """What is changed in the same way in every part, under the name that it has outside `parts`."""
    same: dict[str, tuple[Any, Any]] = {}
    for name, pair in found.items():
        plain = setting(name)
        everywhere = plain != name and all(found.get(f"parts.{other}.{plain}") == pair for other in parts)
        same[plain if everywhere else name] = pair
    return dict(sorted(same.items()))
