"""From a plain dict to a settings object, and from pydantic's report of what is wrong to one line."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ntkrun.errors import UserError, did_you_mean

S = TypeVar("S", bound=BaseModel)


def validated(kind: type[S], raw: dict[str, Any], whose: Callable[[str], str] = lambda name: "") -> S:
    """The settings object for a plain dict; UserError with one line that names field and allowed values.

    whose  what to add of the name of a setting that this kind has not
    """
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise UserError(" ".join(_one_line(error, kind, raw, whose).split())) from error


# values that no setting may have: no word of any list, a number that is too small, one that is too large
PROBES = ("?", -(10**20), 10**20)
NUMBERS = {"int": "a whole number", "float": "a finite number", "finite": "a finite number"}

# what an input should be, by pydantic's type of error and from its context; of other types its own words are told
SHOULD_BE = {
    "greater_than": "greater than {gt}",
    "greater_than_equal": "greater than or equal to {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "less than or equal to {le}",
    "literal_error": "{expected}",
    "string_too_short": "text, not empty",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}


def allowed(kind: type[BaseModel], raw: dict[str, Any], path: list[str]) -> str:
    """What the setting at this path may be, in words: what is wrong with PROBES there."""
    found: list[str] = []
    for probe in PROBES:
        try:
            kind.model_validate(_with_value(raw, path, probe))
        except ValidationError as error:
            for each in error.errors():
                if list(_typed_path(each["loc"], _with_value(raw, path, probe))) == path:
                    found.append(
                        NUMBERS.get(each["type"].split("_")[0], _message(each).removeprefix("input should be "))
                    )
    number = next((text for text in found if text in NUMBERS.values()), "")
    bounds = dict.fromkeys(text for text in found if number and text.startswith(("greater", "less")))
    others = dict.fromkeys(text for text in found if text != number and text not in bounds)
    return " or ".join([*filter(None, [" ".join(filter(None, [number, " and ".join(bounds)]))]), *others])


def _message(error: Mapping[str, Any]) -> str:
    """What is wrong with one input."""
    context = error.get("ctx", {})
    if error["type"] == "value_error":  # raised by a check of ours
        text = str(context["error"])
    elif error["type"] in SHOULD_BE:
        told = SHOULD_BE[error["type"]].format_map({key: _plain(v) for key, v in context.items()})
        words = re.findall(r"'([^']+)'", told) if error["type"] == "literal_error" else []
        return f"input should be {told}{did_you_mean(error['input'], words)}"
    else:
        text = error["msg"]
    return text[0].lower() + text[1:]


def _plain(value: Any) -> Any:
    """A bound as one writes it: 0 for 0.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _with_value(raw: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    """The settings with this value at a path that need not be there yet."""
    head, *rest = path
    inner = raw.get(head)
    return raw | {head: _with_value(inner if isinstance(inner, dict) else {}, rest, value) if rest else value}


def _one_line(error: ValidationError, kind: type[BaseModel], raw: dict[str, Any], whose: Callable[[str], str]) -> str:
    first, *others = error.errors()
    if first["type"] == "missing" and isinstance(held := first["input"], list | tuple):
        place = first["loc"][:-1]
        lacking = sum(each["type"] == "missing" and each["loc"][:-1] == place for each in (first, *others))
        told = ".".join(_typed_path(place, raw))
        return f"{told}={[*held]}: {len(held) + lacking} values are needed, and it has {len(held)}"
    where = ".".join(_typed_path(first["loc"], raw))
    # a field of several kinds is wrong in as many ways
    found = [first, *(each for each in others if ".".join(_typed_path(each["loc"], raw)) == where)]
    message = ", or ".join(map(_message, found))
    if first["type"] == "extra_forbidden":
        return f"{where} is not a setting of this experiment{whose(where)} (see --cfg job)"
    if first["type"] == "missing":
        return f"{where} is not set: it should be {allowed(kind, raw, where.split('.'))}"
    if first["type"].startswith("union_tag"):
        context = first.get("ctx", {})
        name = str(context.get("discriminator", "name")).strip("'")
        tag = f"={context['tag']}" if "tag" in context else ""
        expected = str(context.get("expected_tags", "one of the kinds that --help lists"))
        hint = did_you_mean(context["tag"], re.findall(r"'([^']+)'", expected)) if tag else ""
        return f"{where}.{name}{tag}: input should be {expected}{hint}"
    if first["type"].startswith(("int_", "float_", "finite_")):
        message = f"input should be {allowed(kind, raw, where.split('.'))}"
    if isinstance(first["input"], dict) or first["input"] is None:
        return f"{where}: {message}" if where else message
    value = str(first["input"])[:60]
    if where == "model.width" and "width" in (raw["model"].get("args") or {}):  # which is where it stands
        where = "model.args.width"
    return f"{where}={value}: {message}"


def _typed_path(location: tuple[str | int, ...], raw: Any) -> Iterator[str]:
    """The path of a setting as it is typed, from pydantic's location of an error.

    Pydantic also tells the `name` by which a section's class was chosen, and, behind the setting, which of several types of
    a value it speaks of.
    """
    for part in location:
        if not isinstance(raw, dict | list):
            return
        if isinstance(raw, dict) and part not in raw and part == raw.get("name"):
            continue
        yield str(part)
        raw = raw.get(part) if isinstance(raw, dict) else raw[part] if isinstance(part, int) else None
