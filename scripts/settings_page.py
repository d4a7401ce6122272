"""docs/settings.md: every setting, from the types of `ntkrun.settings` and the base configurations.

python scripts/settings_page.py         write the page (make settings-page)
"""

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel

from ntkrun.experiments.figures import experiment_names, load_experiment
from ntkrun.settings.fields import OfStage, Section
from ntkrun.settings.runs import KINDS
from ntkrun.settings.schema import Described, described, mark_of, sections_of

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "settings.md"
GROUPS = {"model": "fc", "data": "cifar10", "optimizer": "gd"}  # group -> the option whose values stand in the tables
HEAD = """# Settings

<!-- written by make settings-page: change ntkrun/settings or configs, not this page -->

Every setting, by section; `model.width=512` on the command line sets one. "Local" settings say where and how to run: they never
change a number and do not enter the hash under which a cell is stored. "Value" is what `configs` has before an experiment, a
scale or the command line changes it; `ntkrun experiment=fig3 --cfg job` shows the values of a run. Where a setting takes one
value, a list of them is a sweep, and a mapping `{16: 20, 128: 3}` is a rule: from this `model.width` on.
[conventions.md](conventions.md) explains the symbols.
"""


def option(group: str, name: str) -> dict[str, Any]:
    """The values of `configs/<group>/<name>.yaml` and of the options that it is based on."""
    values = yaml.safe_load((ROOT / "configs" / group / f"{name}.yaml").read_text())
    merged: dict[str, Any] = {}
    for base in values.pop("defaults", ()):
        merged |= values if base == "_self_" else option(group, base)
    return merged or values


def base_values() -> dict[str, Any]:
    """What a run has before an experiment changes it."""
    values = yaml.safe_load((ROOT / "configs" / "config.yaml").read_text())
    values |= option("training", "lockstep") | option("experiment", "lockstep")
    return values | {group: option(group, name) for group, name in GROUPS.items()}


def words(schema: dict[str, Any]) -> str:
    """What a value may be, from its JSON schema."""
    if "anyOf" in schema:
        return " or ".join(words(one) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{word}`" for word in schema.get("enum") or [schema["const"]])
    kind = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` or `false`"}
    kind |= {"null": "`null`", "array": "list", "object": "mapping"}
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[bound]:g}" for bound, sign in signs.items() if bound in schema and schema[bound] < 2**31]
    return " ".join([kind[schema["type"]], *bounds])


def shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def row(one: Described, value: str) -> str:
    """One setting as a line of a table."""
    allowed = words(one.section.model_json_schema()["properties"][one.field.alias or one.name])
    if kinds := [chosen(kind) for kind in one.section.__subclasses__() if one.name == "name" and chosen(kind)]:
        allowed = " or ".join(f"`{kind}`" for kind in kinds)
    text = one.field.description or ""
    if stage := mark_of(one.field, OfStage):
        text = f"stage={stage.stage}: {text}"
    if one.meanings:
        text += ". " + "; ".join(f"`{word}`: {meaning}" for word, meaning in one.meanings.items())
    cells = [f"`{'.'.join(one.path)}`", allowed, text, "local" if one.local else "enters", value]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def chosen(section: type[BaseModel]) -> str:
    """The `name` by which this class is chosen among others; "" for what several of them have in common."""
    field = section.model_fields.get("name")
    one_word = field and get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
    return get_args(field.annotation)[0] if field and one_word else ""


def rows(section: type[BaseModel], above: tuple[str, ...], values: dict[str, Any]) -> list[str]:
    """The settings that this class adds to those that it is derived from; none for sections, which come by themselves."""
    inherited = {name for base in section.__mro__[1:] for name in getattr(base, "model_fields", {})}
    inherited |= {"name"} if chosen(section) else set()
    found = []
    for name, field in section.model_fields.items():
        if name not in inherited and not sections_of(field):
            typed = field.alias or name
            value = f"`{shown(values[typed])}`" if typed in values else "set by the experiment"
            found.append(row(Described((*above, typed), section, name, field), value))
    return found


def table(lines: list[str]) -> list[str]:
    return ["| setting | may be | what it is | numbers | value |", "|---|---|---|---|---|", *lines, ""] if lines else []


def docstring(section: type[BaseModel]) -> str:
    """The first paragraph."""
    return " ".join((section.__doc__ or "").partition("\n\n")[0].split())


def figures_of(kind: type[BaseModel]) -> str:
    names = [name for name in experiment_names() if issubclass(load_experiment(name).settings, kind)]
    return "Every experiment" if len(names) == len(experiment_names()) else f"Experiments {', '.join(names)}"


def sections() -> dict[tuple[str, ...], list[type[BaseModel]]]:
    """Place -> the classes that a section there may have, with those that they are derived from first."""
    found: dict[tuple[str, ...], dict[type[BaseModel], None]] = {}
    for kind in KINDS:
        for one in described(kind):
            bases = [
                base for base in reversed(one.section.__mro__) if issubclass(base, Section) and base is not Section
            ]
            found.setdefault(one.path[:-1], {}).update(dict.fromkeys(bases))
    del found[()]
    return {place: list(classes) for place, classes in found.items()}


def section_lines(place: tuple[str, ...], values: dict[str, Any]) -> list[str]:
    """The tables of the section at this place, one for each class."""
    lines = [f"## `{'.'.join(place)}`", ""]
    for key in place:
        values = values.get(key, {})
    for section in sections()[place]:
        name, usual = chosen(section), values
        intro: list[str] = []
        if name:
            lines += [f"### `{'.'.join(place)}.name={name}`", ""]
            if place[0] in GROUPS and len(place) == 1:
                intro, usual = changed(place[0], name, values), option(place[0], name)
        found = rows(section, place, usual)
        if name or found:
            lines += [docstring(section), "", *intro, *table(found)]
    return lines


def changed(group: str, name: str, values: dict[str, Any]) -> list[str]:
    """What the option has in place of the values in the first table of its group."""
    other = {key: value for key, value in option(group, name).items() if values.get(key, value) != value}
    found = ", ".join(f"`{group}.{key}={shown(value)}`" for key, value in other.items() if key != "name")
    return [f"`{group}={name}` sets {found}.", ""] if found else []


def page() -> str:
    """The whole page."""
    values, lines = base_values(), [HEAD]
    known: set[type[BaseModel]] = set()
    for kind in KINDS:
        bases = [base for base in reversed(kind.__mro__) if base not in known and issubclass(base, Section)]
        known |= set(bases)
        if found := [line for base in bases for line in rows(base, (), values)]:
            lines += [f"## {figures_of(kind)}", "", docstring(kind), "", *table(found)]
    for place in sections():
        lines += section_lines(place, values)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"wrote {PAGE}")
