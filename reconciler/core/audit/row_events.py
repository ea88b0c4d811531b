"""What happens to peers and grants as they are declared, held and ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconciler.core.audit.event_base import (
    FROM,
    HOLD,
    LIST,
    OMITTED,
    ORIGIN,
    Json,
    RowEvent,
    peer_ref,
)
from reconciler.core.canonical_json import plain_json

if TYPE_CHECKING:
    from reconciler.core.model.observed import Hold


@dataclass(frozen=True, slots=True)
class _Declared(RowEvent):
    """A row as a change left it: `spec` is the canonical JSON of what it declares."""

    reason: str
    digest: str
    spec: Json
    fields: tuple[Json, ...] = field(metadata=LIST)
    managed: bool = False
    replaces: str | None = None
    place: str | None = field(default=None, metadata=OMITTED)
    origin: Json | None = field(default=None, metadata=ORIGIN)

    def details_json(self) -> str:
        """Return the canonical JSON of the details, which have no float: an apply has thousands."""
        return plain_json(self.details())


class RowCreated(_Declared):
    """A row is new."""

    __slots__ = ()
    kinds = ("peer.created", "grant.created")


class RowUpdated(_Declared):
    """A row declares something else."""

    __slots__ = ()
    kinds = ("peer.updated", "grant.updated")


class RowReplaced(_Declared):
    """A new row stands in for the one whose id is `replaces`."""

    __slots__ = ()
    kinds = ("peer.replaced", "grant.replaced")


@dataclass(frozen=True, slots=True)
class RowAdopted(RowEvent):
    """A row became git's."""

    kinds = ("peer.adopted", "grant.adopted")
    place: str
    origin: Json | None = field(metadata=FROM)


@dataclass(frozen=True, slots=True)
class RowReverted(RowEvent):
    """A row was changed by hand, and has again what was applied last."""

    kinds = ("peer.reverted", "grant.reverted")
    reason: str
    digest: str
    spec: Json
    fields: tuple[Json, ...] = field(metadata=LIST)
    place: str | None = field(default=None, metadata=OMITTED)
    origin: Json | None = field(default=None, metadata=ORIGIN)


@dataclass(frozen=True, slots=True)
class RowRenamed(RowEvent):
    """A row has another name."""

    kinds = ("peer.renamed", "grant.renamed")
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class PeerRevoked(RowEvent):
    """A peer ended; one that an operator `held` has no `origin`, not even null, in its details."""

    kinds = ("peer.revoked",)
    reason: str
    origin: Json | None = None
    held: bool = False

    def details(self) -> dict[str, Any]:
        """Return the details that the body carries, as JSON values."""
        details = {"id": self.row.id, "reason": self.reason}
        return details if self.held else details | {"from": self.origin}

    @classmethod
    def parse(cls, subject: str, details: Json) -> PeerRevoked:
        """Return the event of a record; raise `KeyError` where it lacks a detail."""
        row = peer_ref(details["id"], subject.partition("/")[2])
        held = "from" not in details
        return cls(row, details.get("reason") or "", details.get("from"), held)


@dataclass(frozen=True, slots=True)
class GrantRevoked(RowEvent):
    """A grant ended, and the certificates of these serials with it."""

    kinds = ("grant.revoked",)
    reason: str
    serials: tuple[str, ...] = field(default=(), metadata=LIST)
    hold: Hold | None = field(default=None, metadata=HOLD)
    origin: Json | None = field(default=None, metadata=ORIGIN)


@dataclass(frozen=True, slots=True)
class GrantExpired(RowEvent):
    """A grant's end has passed; the certificates of these serials end too."""

    kinds = ("grant.expired",)
    reason: str
    serials: tuple[str, ...] = field(default=(), metadata=LIST)


@dataclass(frozen=True, slots=True)
class GrantSuspended(RowEvent):
    """An operator holds a grant."""

    kinds = ("grant.suspended",)
    reason: str


@dataclass(frozen=True, slots=True)
class GrantResumed(RowEvent):
    """An operator lifted the hold of a grant."""

    kinds = ("grant.resumed",)
    lifted: Json


@dataclass(frozen=True, slots=True)
class HoldReleased(RowEvent):
    """A hold ended with its manifest."""

    kinds = ("hold.released",)
    reason: str
    origin: Json | None = field(metadata=FROM)
