"""The state of each row and certificate by the audit log: the one fold of its records.

`drift` compares the rows with it, and `at` shows from it what was granted at a moment. Pure: the
records are given, oldest first. Those of a version that named no row are kept apart.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, assert_never

from reconciler.core.audit import certificate_events, events, row_events
from reconciler.core.audit.events import EarlierEvent, parse_event
from reconciler.core.canonical_json import digest_of
from reconciler.core.model.observed import Hold
from reconciler.core.model.spec import check_spec
from reconciler.core.model.states import HoldKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.core.audit.chain import Record
    from reconciler.core.audit.event_base import RowEvent
    from reconciler.core.audit.events import Event
    from reconciler.core.audit.state import AuditState, RowState

# kinds of records that name a row since rows have ids in the log
_OF_ROWS: Final = ("peer.", "grant.", "hold.", "issuance.", "certificate.issued")


def event_of(record: Record) -> Event | EarlierEvent | None:
    """Return the event of a record; None if its details are not of its kind."""
    try:
        return parse_event(record.kind, record.subject, json.loads(record.body)["data"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def extend(state: AuditState, records: Iterable[Record]) -> set[str]:
    """Take the records that follow, oldest first; return the ids of the rows that they change.

    A record whose details are not of its kind says nothing: it is kept apart, as older ones are.
    """
    for record in records:
        try:
            details = json.loads(record.body)["data"]
            _take(state, parse_event(record.kind, record.subject, details), record)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            state.unnamed_kinds.add(record.kind)
    return state.take_named()


def _take(state: AuditState, event: Event | EarlierEvent, record: Record) -> None:
    match event:
        case EarlierEvent():
            _take_earlier(state, event)
        case (
            row_events.RowCreated()
            | row_events.RowUpdated()
            | row_events.RowReplaced()
            | row_events.RowReverted()
        ):
            _take_spec(state, event)
        case row_events.PeerRevoked() | row_events.GrantRevoked() | row_events.GrantExpired():
            _take_end(state, event, record)
        case (
            certificate_events.CertificateIssued()
            | certificate_events.CertificateRevokedAtCa()
            | certificate_events.CertificateRequeued()
            | certificate_events.CertificateRevokedElsewhere()
        ):
            _take_certificate(state, event)
        case (
            row_events.RowAdopted()
            | row_events.RowRenamed()
            | row_events.GrantSuspended()
            | row_events.GrantResumed()
            | row_events.HoldReleased()
            | certificate_events.GrantEnrolled()
            | certificate_events.PeerEnrolled()
            | certificate_events.PeerRenewed()
            | certificate_events.PeerKeyStored()
            | certificate_events.PeerNextKeyStored()
            | certificate_events.PeerGrantWithdrawn()
            | certificate_events.PeerGrantRestored()
            | certificate_events.CredentialReleased()
        ):
            _take_row_event(state.row(event.row), event, record)
        case (
            certificate_events.TokenMinted()
            | certificate_events.IssuanceBegun()
            | certificate_events.IssuanceGivenUp()
            | certificate_events.TheftSuspected()
            | certificate_events.TheftRepeated()
            | certificate_events.TheftAcknowledged()
            | certificate_events.KeyRewrapped()
            | events.ConditionBegun()
            | events.ConditionEnded()
            | events.ReconcilerPaused()
            | events.ReconcilerResumed()
            | events.TrustOverridden()
            | events.RequestsRefused()
            | events.GatewayRestored()
            | events.GatewayAdopted()
            | events.RestoreConfirmed()
            | events.AuditArchived()
        ):
            pass
        case _:
            assert_never(event)


def _take_row_event(row: RowState, event: RowEvent, record: Record) -> None:
    match event:
        case row_events.RowAdopted():
            row.managed = True
        case row_events.GrantSuspended():
            row.hold = Hold(HoldKind.SUSPEND, record.actor, record.at, event.reason)
        case row_events.GrantResumed() | row_events.HoldReleased():
            row.hold = None
        case certificate_events.GrantEnrolled() | certificate_events.PeerEnrolled():
            row.enrolled = True


def _take_spec(
    state: AuditState,
    event: row_events.RowCreated
    | row_events.RowUpdated
    | row_events.RowReplaced
    | row_events.RowReverted,
) -> None:
    spec = dict(event.spec)
    check_spec(event.row.kind, spec)
    row = state.row(event.row)
    row.spec = spec
    row.digest = event.digest or digest_of(event.spec)
    if not isinstance(event, row_events.RowReverted):
        row.managed = row.managed or event.managed
    if isinstance(event, row_events.RowReplaced) and (
        before := state.rows.get(event.replaces or "")
    ):
        row.hold = before.hold_before_end


def _take_end(
    state: AuditState,
    event: row_events.PeerRevoked | row_events.GrantRevoked | row_events.GrantExpired,
    record: Record,
) -> None:
    row = state.row(event.row)
    if isinstance(event, row_events.GrantRevoked | row_events.GrantExpired):
        state.revoking.update(event.serials)
    if isinstance(event, row_events.GrantExpired):
        row.end, row.hold_before_end = "expired", row.hold
    else:
        row.end, row.hold_before_end = "revoked", row.hold
        row.hold = _hold_of_end(event, record)
    if row.hold is not None:
        for other in state.others_of(event.row):  # a name is held once
            if other.end:
                other.hold = None


def _hold_of_end(
    event: row_events.PeerRevoked | row_events.GrantRevoked, record: Record
) -> Hold | None:
    if isinstance(event, row_events.GrantRevoked):
        return event.hold
    if not event.held:
        return None
    return Hold(HoldKind.REVOKE, record.actor, record.at, event.reason)


def _take_certificate(
    state: AuditState,
    event: certificate_events.CertificateIssued
    | certificate_events.CertificateRevokedAtCa
    | certificate_events.CertificateRequeued
    | certificate_events.CertificateRevokedElsewhere,
) -> None:
    match event:
        case certificate_events.CertificateIssued():
            state.issued.add(event.serial)
            row = state.rows.get(event.row.id)
            if row is None:  # it was created before records named rows
                return
            for serial in event.supersedes:
                row.certificates.pop(serial, None)
            row.certificates[event.serial] = (event.not_before, event.not_after)
        case certificate_events.CertificateRevokedAtCa():
            state.revoked.add(event.serial)
        case certificate_events.CertificateRequeued():
            state.revoked.discard(event.serial)
            state.revoking.add(event.serial)
        case certificate_events.CertificateRevokedElsewhere():
            state.revoking.add(event.serial)
            state.row(event.row).certificates.pop(event.serial, None)


def _take_earlier(state: AuditState, event: EarlierEvent) -> None:
    """Take what a record without a row still has: its subject, and serials."""
    if event.kind.startswith(_OF_ROWS):
        state.unnamed_kinds.add(event.kind)
    if event.kind.startswith(("peer.", "grant.", "hold.")):
        state.unnamed_subjects.add(event.subject)
    serial = str(event.details.get("serial"))
    match event.kind:
        case "certificate.issued":
            state.issued.add(serial)
        case "certificate.revoked_at_ca":
            state.revoked.add(serial)
        case "certificate.requeued":
            state.revoked.discard(serial)
            state.revoking.add(serial)
        case "grant.revoked" | "grant.expired":
            state.revoking.update(event.details.get("serials") or ())


def same_hold(one: Hold | None, other: Hold | None) -> bool:
    """Tell whether two holds are one: their moments differ by what writing a record takes."""
    if one is None or other is None:
        return one is other
    return (one.kind, one.by, one.reason) == (other.kind, other.by, other.reason)
