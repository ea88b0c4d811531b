"""What every event of the audit log has: a kind, a subject, and details that are read back.

A detail's key is its field's name in camelCase. A field's metadata says what differs: another key,
a key that is left out where the value is None, how a JSON value is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from reconciler.core.canonical_json import canonical_json
from reconciler.core.model.json_document import camel_case, json_value
from reconciler.core.model.observed import Hold
from reconciler.core.model.spec import Kind
from reconciler.core.model.times import parse_rfc3339

if TYPE_CHECKING:
    from uuid import UUID

    from _typeshed import DataclassInstance

Json = Mapping[str, Any]

FROM: Final = {"key": "from"}
TO: Final = {"key": "to"}
OMITTED: Final = {"omitted": True}  # where it is None
ORIGIN: Final = FROM | OMITTED
TIME: Final = {"read": parse_rfc3339}
LIST: Final = {"read": tuple}
HOLD: Final = {"read": Hold.from_json} | OMITTED
_COLUMNS: Final = ("row", "subject")  # fields that are columns of the log


@dataclass(frozen=True, slots=True)
class RowRef:
    """A row of peers or grants: its id, and the name that it has now."""

    kind: Kind
    id: str
    name: str

    @property
    def subject(self) -> str:
        """The row as audit subjects and the command line name it."""
        return self.kind.subject(self.name)


def peer_ref(peer_id: UUID | str, name: str) -> RowRef:
    """Return the reference to a peer."""
    return RowRef(Kind.PEER, str(peer_id), name)


def grant_ref(grant_id: UUID | str, name: str) -> RowRef:
    """Return the reference to a grant."""
    return RowRef(Kind.GRANT, str(grant_id), name)


@dataclass(frozen=True, slots=True)
class RowEvent:
    """What happened to a row. `kinds` are one, or that of peers and that of grants."""

    kinds: ClassVar[tuple[str, ...]]
    row: RowRef

    @property
    def kind(self) -> str:
        """The kind, as the column has it."""
        return self.kinds[-1] if self.row.kind is Kind.GRANT else self.kinds[0]

    @property
    def subject(self) -> str:
        """The row's name, as the column has it."""
        return self.row.subject

    def details(self) -> dict[str, Any]:
        """Return the details that the body carries, as JSON values."""
        return {"id": self.row.id} | _written(self)

    def details_json(self) -> str:
        """Return the canonical JSON of the details."""
        return canonical_json(self.details())

    @classmethod
    def parse(cls, subject: str, details: Json) -> Self:
        """Return the event of a record; raise `KeyError` where it lacks a detail."""
        kind, _, name = subject.partition("/")
        row = RowRef(Kind(kind.capitalize()), details["id"], name)
        return cls(row, **_read(cls, details))


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """What happened to no row by its id."""

    kinds: ClassVar[tuple[str]]

    @property
    def kind(self) -> str:
        """The kind, as the column has it."""
        return self.kinds[0]

    def details(self) -> dict[str, Any]:
        """Return the details that the body carries, as JSON values."""
        return _written(self)

    def details_json(self) -> str:
        """Return the canonical JSON of the details."""
        return canonical_json(self.details())

    @classmethod
    def parse(cls, subject: str, details: Json) -> Self:
        """Return the event of a record; raise `KeyError` where it lacks a detail."""
        return cls(**(_read(cls, details) | {"subject": subject}))


def _written(event: DataclassInstance) -> dict[str, Any]:
    details = {}
    for name, key, omitted in _fields_written(type(event)):
        value = getattr(event, name)
        if value is not None or not omitted:
            details[key] = json_value(value)
    return details


@cache
def _fields_written(event_type: type[DataclassInstance]) -> tuple[tuple[str, str, bool], ...]:
    """Return the name of each detail, its key, and whether it is left out where it is None."""
    return tuple(
        (each.name, _key(each.name, each.metadata), "omitted" in each.metadata)
        for each in fields(event_type)
        if each.name not in _COLUMNS
    )


def _read(event_type: type[RowEvent | GatewayEvent], details: Json) -> dict[str, Any]:
    arguments = {}
    for each in fields(event_type):
        if each.name in _COLUMNS:
            continue
        key = _key(each.name, each.metadata)
        if key in details:
            read, value = each.metadata.get("read"), details[key]
            arguments[each.name] = value if read is None or value is None else read(value)
        elif each.default is MISSING:
            raise KeyError(key)
    return arguments


def _key(name: str, metadata: Mapping[Any, Any]) -> str:
    named: str | None = metadata.get("key")
    return named or camel_case(name)
