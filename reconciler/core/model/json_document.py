"""Values as JSON documents: each field under its name in camelCase, times as RFC 3339 has them."""

from __future__ import annotations

from dataclasses import Field, fields
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

from reconciler.core.model.times import rfc3339

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


# most of the values of a long list
_PLAIN: Final = frozenset((str, int, float, bool, dict, list, type(None)))


class JsonDocument:
    """A dataclass whose fields, in their order, are those of a JSON document."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def as_json(self) -> dict[str, Any]:
        """Return the document."""
        return document_of(self)


def document_of(value: DataclassInstance) -> dict[str, Any]:
    """Return the document of all fields of a dataclass."""
    document = {}
    for name, key in _keys(type(value)):
        document[key] = json_value(getattr(value, name))
    return document


def json_value(value: object) -> Any:
    """Return the JSON form of the value of a field; what has none of its own stays as it is."""
    if type(value) in _PLAIN:
        return value
    match value:
        case datetime():
            return rfc3339(value)
        case StrEnum():
            return str(value)
        case JsonDocument():
            return value.as_json()
        case tuple():
            return [json_value(each) for each in value]
        case _:
            return value


@cache
def camel_case(name: str) -> str:
    """Return the name of a field as the key of a document: `notAfter` of `not_after`."""
    first, *words = name.split("_")
    return first + "".join(map(str.capitalize, words))


@cache
def _keys(document: type[DataclassInstance]) -> tuple[tuple[str, str], ...]:
    return tuple((each.name, camel_case(each.name)) for each in fields(document))
