"""Figures that are made of several runs: the section `parts` of a configuration file names them.

    optimizer: {steps: 1000}
    parts:
      relu: {model: {activation: relu}}
      tanh: {model: {activation: tanh}, optimizer: {steps: 2000}}

are two runs, one with ReLU and 1000 steps and one with tanh and 2000.  The settings of a part are merged over those outside
`parts`, and lists in them are swept within the part alone.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from ntkrun.errors import UserError

Setting = tuple[str, ...]  # ("model", "width")


def is_rule(value: Any) -> bool:
    """Whether it is a mapping of widths to values, {16: 3, 1024: 1}, and no section."""
    return isinstance(value, dict) and len(value) > 0 and all(isinstance(key, int) for key in value)


def is_section(value: Any) -> bool:
    """Whether it holds settings by their names."""
    return isinstance(value, dict) and not is_rule(value)


def leaves(raw: dict[str, Any], path: Setting = ()) -> Iterator[tuple[Setting, Any]]:
    """(path, value) of every setting that is not a section."""
    for key, value in raw.items():
        if is_section(value):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def replaced(raw: dict[str, Any], path: Setting, value: Any) -> dict[str, Any]:
    """The settings with one of them changed."""
    head, *rest = path
    return raw | {head: replaced(raw[head], tuple(rest), value) if rest else value}


def merged(raw: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """The settings `raw`, with those of `over` in their place where both have one."""
    both = {
        key: merged(raw[key], value) for key, value in over.items() if is_section(value) and is_section(raw.get(key))
    }
    return raw | over | both


def parts_of(raw: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Name of the part -> all settings of its run.  A part that is null is left out; without parts the one name is ""."""
    shared = {key: value for key, value in raw.items() if key != "parts"}
    parts = raw.get("parts") or {"": {}}
    if not isinstance(parts, dict) or not all(part is None or isinstance(part, dict) for part in parts.values()):
        raise UserError("parts must be a mapping from names to settings (null leaves a part out)")
    return {name: merged(shared, part) for name, part in parts.items() if part is not None}


def with_typed_data(raw: dict[str, Any], typed: Iterable[Setting]) -> dict[str, Any]:
    """The settings in which a data set of the command line is that of all parts.

    What a part says of its own data set goes with it: name, classes, numbers of examples; what the command line sets for the
    part by name stays.  Parts that then have nothing of their own were told apart by their data sets, and become one run.
    """
    typed = set(typed)
    if not ({("data",), ("data", "name"), ("data", "path")} & typed and raw.get("data")):
        return raw

    def without_its_own(name: str, part: Any) -> Any:
        data = part.get("data") if isinstance(part, dict) else None
        if not (isinstance(data, dict) and "name" in data):
            return part
        kept = {key: value for key, value in data.items() if ("parts", name, "data", key) in typed}
        return {key: value for key, value in (part | {"data": kept}).items() if key != "data" or kept}

    parts = {name: without_its_own(name, part) for name, part in (raw.get("parts") or {}).items()}
    if parts and all(part is None or part == {} for part in parts.values()) and {} in parts.values():
        return {key: value for key, value in raw.items() if key != "parts"}
    return raw | {"parts": parts} if parts else raw


def with_typed(raw: dict[str, Any], typed: Iterable[Setting]) -> tuple[dict[str, Any], list[str]]:
    """(settings in which every setting of the command line has an effect, notes for the user on where it has none).

    The value that a part has is used in place of the one outside `parts`.  A setting on the command line is one outside:
    it changes the parts without a value, and a note names the others.  If every part has a value, the setting would change
    nothing, so it replaces all of these values, except those that the command line sets for their part by name.

    typed  settings on the command line, ("model", "width") or ("parts", "L1", "model", "width"); ("data",) is data.name
    """
    parts_of(raw)  # raises for parts that are no mapping
    raw = with_typed_data(raw, typed := set(typed))
    shared = dict(leaves(raw))
    typed = {path if path in shared else (*path, "name") for path in typed}
    typed &= shared.keys()  # model=none leaves no model.name
    in_parts = {name: dict(leaves(part)) for name, part in (raw.get("parts") or {}).items() if part is not None}
    notes = []
    for path in sorted(typed):
        having = [name for name in in_parts if path in in_parts[name] and ("parts", name, *path) not in typed]
        if not having:
            continue
        if all(path in settings for settings in in_parts.values()):
            for name in having:
                raw = replaced(raw, ("parts", name, *path), shared[path])
        else:
            setting = ".".join(path)
            own = "has one of its own" if len(having) == 1 else "have one of their own"
            notes.append(
                f"{setting}={shared[path]} is not for {', '.join(having)}, which {own}: "
                f"change it as parts.{having[0]}.{setting}"
            )
    return raw, notes


def replaced_by_parts(raw: dict[str, Any]) -> set[Setting]:
    """The settings outside `parts` that every part replaces, so that they have no effect."""
    in_parts = [dict(leaves(part)) for part in (raw.get("parts") or {}).values() if part is not None]
    return {path for path in in_parts[0] if all(path in part for part in in_parts)} if in_parts else set()


def without_unused(raw: dict[str, Any]) -> dict[str, Any]:
    """The settings without those outside `parts` that every part replaces."""
    unused = replaced_by_parts(raw)

    def kept(section: dict[str, Any], path: Setting = ()) -> dict[str, Any]:
        below = {key: kept(value, (*path, key)) if is_section(value) else value for key, value in section.items()}
        return {key: value for key, value in below.items() if (*path, key) not in unused}

    return kept(raw)
