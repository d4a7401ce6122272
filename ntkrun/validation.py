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
    first = error.errors()[0]
    where = ".".join(_keys(first["loc"], raw))
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if first["type"] == "extra_forbidden":
        return f"{where} is not a setting of this experiment (see --cfg job)"
    if first["type"] == "missing":
        return f"{where} is not set"
    if isinstance(first["input"], dict) or first["input"] is None:
        return f"{where}: {message}" if where else message
    return f"{where}={str(first['input'])[:60]}: {message}"


def _keys(location: tuple[str | int, ...], raw: Any) -> Iterator[str]:
    """The dotted name as it is typed: pydantic puts the `name` that chose a variant between its section and its field."""
    for part in location:
        if isinstance(raw, dict) and part not in raw and part == raw.get("name"):
            continue
        yield str(part)
        raw = raw.get(part) if isinstance(raw, dict) else None
