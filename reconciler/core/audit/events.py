"""The closed union of events that the audit log can hold, and the reader of its records.

`parse_event` is the only reader. A record of an earlier version, which lacks a detail
of today, is an `EarlierEvent`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias, get_args

from reconciler.core.audit import certificate_events, row_events
from reconciler.core.audit.event_base import FROM, LIST, OMITTED, TIME, GatewayEvent, Json

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class _ConditionEvent(GatewayEvent):
    """Something that lasts; `items` are the first of the `count` objects that it is about.

    Each item has a `subject`; what else it has depends on the condition.
    """

    condition: str
    count: int
    items: tuple[Json, ...] = field(metadata=LIST)
    subject: str = "gateway"


class ConditionBegun(_ConditionEvent):
    """A condition has begun: failing passes, drift, an end that comes near, a long pause."""

    __slots__ = ()
    kinds = ("condition.begun",)


class ConditionEnded(_ConditionEvent):
    """A condition is over."""

    __slots__ = ()
    kinds = ("condition.ended",)


@dataclass(frozen=True, slots=True)
class ReconcilerPaused(GatewayEvent):
    """A person paused the loops."""

    kinds = ("reconciler.paused",)
    reason: str
    subject: str = "reconciler"


@dataclass(frozen=True, slots=True)
class ReconcilerResumed(GatewayEvent):
    """A person let the loops go on."""

    kinds = ("reconciler.resumed",)
    lifted: Json
    subject: str = "reconciler"


@dataclass(frozen=True, slots=True)
class TrustOverridden(GatewayEvent):
    """Something was applied over the rules of trust, by `--override-trust`."""

    kinds = ("trust.overridden",)
    reason: str
    origin: Json = field(metadata=FROM)
    subject: str = "trust"


@dataclass(frozen=True, slots=True)
class RequestsRefused(GatewayEvent):
    """The sums of requests that were refused since the last such record."""

    kinds = ("requests.refused",)
    refused: tuple[Json, ...] = field(metadata=LIST)
    subject: str = "gateway"


@dataclass(frozen=True, slots=True)
class GatewayRestored(GatewayEvent):
    """The rows are those of a backup: what it ends with, and what was taken back at once.

    `tokens` were void from then on, `serials` revoked; `export` is the last record of an export of
    the audit log whose holds and revocations were made again.
    """

    kinds = ("gateway.restored",)
    epoch: int
    seq: int
    hash: str
    backup_at: datetime = field(metadata=TIME)
    tokens: int
    serials: tuple[str, ...] = field(metadata=LIST)
    export: int | None = field(default=None, metadata=OMITTED)
    subject: str = "gateway"


@dataclass(frozen=True, slots=True)
class GatewayAdopted(GatewayEvent):
    """A person accepted a database that is not the one that the gateway had before."""

    kinds = ("gateway.adopted",)
    epoch: int
    reason: str
    tokens: int
    serials: tuple[str, ...] = field(metadata=LIST)
    subject: str = "gateway"


@dataclass(frozen=True, slots=True)
class RestoreConfirmed(GatewayEvent):
    """A person confirmed a restore, after an apply of the source: the gateway serves again."""

    kinds = ("gateway.confirmed",)
    epoch: int
    subject: str = "gateway"


@dataclass(frozen=True, slots=True)
class AuditArchived(GatewayEvent):
    """Records of the log were moved to a file, whose digest is `sha256`.

    `hash` and `until` are those of the last of them, `log` is the hash of the log's first record,
    and `state` the digest of what all records up to the last say of rows.
    """

    kinds = ("audit.archived",)
    first: int
    last: int
    hash: str
    log: str
    until: datetime = field(metadata=TIME)
    file: str
    sha256: str
    state: str
    subject: str = "audit"


Event: TypeAlias = (
    row_events.RowCreated
    | row_events.RowUpdated
    | row_events.RowReplaced
    | row_events.RowAdopted
    | row_events.RowReverted
    | row_events.RowRenamed
    | row_events.PeerRevoked
    | row_events.GrantRevoked
    | row_events.GrantExpired
    | row_events.GrantSuspended
    | row_events.GrantResumed
    | row_events.HoldReleased
    | certificate_events.GrantEnrolled
    | certificate_events.PeerEnrolled
    | certificate_events.PeerRenewed
    | certificate_events.PeerKeyStored
    | certificate_events.PeerNextKeyStored
    | certificate_events.PeerGrantWithdrawn
    | certificate_events.PeerGrantRestored
    | certificate_events.CredentialReleased
    | certificate_events.TokenMinted
    | certificate_events.IssuanceBegun
    | certificate_events.IssuanceGivenUp
    | certificate_events.CertificateIssued
    | certificate_events.CertificateRevokedAtCa
    | certificate_events.CertificateRequeued
    | certificate_events.CertificateRevokedElsewhere
    | certificate_events.TheftSuspected
    | certificate_events.TheftRepeated
    | certificate_events.TheftAcknowledged
    | certificate_events.KeyRewrapped
    | ConditionBegun
    | ConditionEnded
    | ReconcilerPaused
    | ReconcilerResumed
    | TrustOverridden
    | RequestsRefused
    | GatewayRestored
    | GatewayAdopted
    | RestoreConfirmed
    | AuditArchived
)

EVENT_TYPES: Final[dict[str, type[Event]]] = {
    kind: event_type for event_type in get_args(Event) for kind in event_type.kinds
}


@dataclass(frozen=True, slots=True)
class EarlierEvent:
    """A record of an earlier version: it names no row, or a kind that is not written any more."""

    kind: str
    subject: str
    details: Json


def parse_event(kind: str, subject: str, details: Json) -> Event | EarlierEvent:
    """Return the event of a stored record."""
    try:
        return EVENT_TYPES[kind].parse(subject, details)
    except KeyError:
        return EarlierEvent(kind, subject, details)
