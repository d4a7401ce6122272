"""What can be read off the settings' types: which fields there are, which are local, which are lists by nature."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ntkrun.settings.fields import Before, LocalMark, Meanings, OfStage, PathMark

M = TypeVar("M")


@dataclass(frozen=True)
class Described:
    """One field of a section.

    path     as it is typed, ("model", "width")
    section  the class that has the field; several classes may share the place of one section
    """

    path: tuple[str, ...]
    section: type[BaseModel]
    name: str
    field: FieldInfo

    @property
    def local(self) -> bool:
        """Whether it never changes a number."""
        return any(isinstance(mark, LocalMark | OfStage) for mark in self.field.metadata)

    @property
    def is_list(self) -> bool:
        """Whether its value is a list by nature, so that a list is one value and no sweep."""
        return any(get_origin(kind) is tuple for kind in alternatives(self.field.annotation))

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that it may be; empty where there is no closed list."""
        return tuple(
            word
            for kind in alternatives(self.field.annotation)
            if get_origin(kind) is Literal
            for word in get_args(kind)
        )

    @property
    def is_closed(self) -> bool:
        """Whether it is one of `choices` and nothing else."""
        return all(get_origin(kind) is Literal for kind in alternatives(self.field.annotation))

    @property
    def is_path(self) -> bool:
        """Whether it names a file or a folder."""
        return any(isinstance(mark, PathMark) for mark in (*self.field.metadata, *_marks(self.field.annotation)))

    @property
    def meanings(self) -> dict[str, str]:
        """What the words stand for, where that is said."""
        mark = mark_of(self.field, Meanings)
        return mark.of if mark else {}


def mark_of(field: FieldInfo, kind: type[M]) -> M | None:
    """The mark of that kind on a field."""
    return next((mark for mark in field.metadata if isinstance(mark, kind)), None)


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """The types that a value may have, with unions and `Annotated` taken apart."""
    if get_origin(annotation) is Annotated:
        return alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(one for member in get_args(annotation) for one in alternatives(member))
    return (annotation,)


def _marks(annotation: Any) -> tuple[Any, ...]:
    """The marks on the members of a union."""
    if get_origin(annotation) is Annotated:
        return get_args(annotation)[1:]
    return tuple(mark for member in get_args(annotation) for mark in _marks(member))


def sections_of(field: FieldInfo) -> list[type[BaseModel]]:
    """The classes of the section that a field is; none for a single value."""
    return [kind for kind in alternatives(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]


def described(kind: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[Described]:
    """Every setting that is a single value, section by section."""
    for name, field in kind.model_fields.items():
        path = (*above, field.alias or name)
        sections = sections_of(field)
        for section in sections:
            yield from described(section, path)
        if not sections:
            yield Described(path, kind, name, field)


@cache
def list_settings(kind: type[BaseModel]) -> frozenset[tuple[str, ...]]:
    """Paths of the settings that are lists by nature."""
    return frozenset(one.path for one in described(kind) if one.is_list)


@cache
def local_settings(kind: type[BaseModel]) -> frozenset[str]:
    """Dotted names of the settings that say where and how to run: `scale`, `data.source`."""
    return frozenset(".".join(one.path) for one in described(kind) if one.local)


@cache
def local_fields(kind: type[BaseModel]) -> dict[str, Any]:
    """The same as pydantic's `exclude`, by the names of fields: {"scale": True, "data": {"source": True}}."""
    found: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        below: dict[str, Any] = {}
        for section in sections_of(field):
            below |= local_fields(section)
        if Described((name,), kind, name, field).local:
            found[name] = True
        elif below:
            found[name] = below
    return found


def without_later(section: BaseModel, dumped: dict[str, Any]) -> dict[str, Any]:
    """What a section was dumped to, without the settings that came after cells had been stored, where they have the value that
    held before."""
    kept = {}
    for name, value in dumped.items():
        field = type(section).model_fields.get(name)
        mark = mark_of(field, Before) if field else None
        if mark is None or value != mark.value:
            inner = getattr(section, name)
            kept[name] = without_later(inner, value) if isinstance(inner, BaseModel) else value
    return kept


def with_later(kind: type[BaseModel], recorded: dict[str, Any]) -> dict[str, Any]:
    """Plain settings of an earlier time, with those that came since at the value that held before."""
    filled = dict(recorded)
    for name, field in kind.model_fields.items():
        if mark := mark_of(field, Before):
            filled.setdefault(name, mark.value)
        inner = filled.get(name)
        for section in sections_of(field):
            if isinstance(inner, dict) and _is_meant(section, inner):
                filled[name] = with_later(section, inner)
    return filled


def _is_meant(section: type[BaseModel], plain: dict[str, Any]) -> bool:
    """Whether a section, of which there may be several kinds at its place, is of this kind."""
    field = section.model_fields.get("name")
    words = [word for kind in alternatives(field.annotation) for word in get_args(kind)] if field else []
    return not words or plain.get("name") in words


def typed_names(kind: type[BaseModel]) -> set[str]:
    """The names of its own fields as they are typed."""
    return {field.alias or name for name, field in kind.model_fields.items()}
