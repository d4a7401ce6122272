"""From a plain dict to a settings object, and from pydantic's report of what is wrong to one line."""

from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ntkrun.errors import UserError

S = TypeVar("S", bound=BaseModel)


def validated(kind: type[S], raw: dict[str, Any]) -> S:
    """The settings object for a plain dict; UserError with one line that names field and allowed values."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise UserError(" ".join(_one_line(error, raw).split())) from error


def _one_line(error: ValidationError, raw: dict[str, Any]) -> str:
    first, *others = error.errors()
    where = ".".join(_keys(first["loc"], raw))
    # a field of several kinds is wrong in as many ways
    found = [first, *(each for each in others if ".".join(_keys(each["loc"], raw)) == where)]
    texts = [each["msg"].removeprefix("Value error, ") for each in found]
    message = ", or ".join(text[0].lower() + text[1:] for text in texts)
    if first["type"] == "extra_forbidden":
        return f"{where} is not a setting of this experiment (see --cfg job)"
    if first["type"] == "missing":
        return f"{where} is not set"
    if isinstance(first["input"], dict) or first["input"] is None:
        return f"{where}: {message}" if where else message
    return f"{where}={str(first['input'])[:60]}: {message}"


def _keys(location: tuple[str | int, ...], raw: Any) -> Iterator[str]:
    """The dotted name as it is typed: pydantic adds the `name` that chose a variant, and the kinds that a value could have."""
    for part in location:
        if not isinstance(raw, dict | list):
            return
        if isinstance(raw, dict) and part not in raw and part == raw.get("name"):
            continue
        yield str(part)
        raw = raw.get(part) if isinstance(raw, dict) else raw[part] if isinstance(part, int) else None
