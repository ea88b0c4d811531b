"""Drift in the database: the rows compared with the audit log, and repaired under one lock."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from reconciler.core.audit.event_base import RowRef
from reconciler.core.audit.row_events import RowCreated, RowReverted, RowUpdated
from reconciler.core.drift.model import Drift, DriftKind
from reconciler.core.model.spec import (
    GrantSpec,
    Kind,
    PeerSpec,
    SourceLocation,
    spec_digest,
)
from reconciler.core.model.states import GrantStatus, live_grant_status
from reconciler.errors import Refused
from reconciler.store import ending
from reconciler.store.audit import log as audit
from reconciler.store.db import as_json
from reconciler.store.drift.detector import DriftDetector
from reconciler.store.drift.evidence import identities
from reconciler.store.issuance import revocation_queue as queue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.core.audit.events import Event
    from reconciler.core.drift.model import StoredRow
    from reconciler.core.model.spec import Identity
    from reconciler.store.apply.provenance import Provenance
    from reconciler.store.db import Tx


def drifted(tx: Tx, only: frozenset[Identity] | None = None) -> tuple[Drift, ...]:
    """Return what drifted; of the `only` objects and a grant's certificates, where they are given.

    Raises:
        Refused: `name_unknown`: there is no such row.
    """
    drifts = DriftDetector().drifted(tx)
    if only is None:
        return drifts
    for kind, name in sorted(only - identities(tx)):
        raise Refused(
            "name_unknown",
            f"the database has no {kind.subject(name)}",
            hint="`mosaic federation drift` lists all that drifted",
        )
    wanted = {kind.subject(name) for kind, name in only}
    return tuple(each for each in drifts if each.identity in wanted)


def revert(tx: Tx, drifts: Sequence[Drift], actor: str) -> None:
    """Restore rows to what was last applied, revoke inserted rows, queue certificates for the CA.

    Rows are locked in the order of `store/ending`. What cannot be restored
    (`Drift.remedy`) is left, but the end of a row that was ended by hand is completed.
    """
    rows = [each.row for each in drifts if each.row is not None]
    ending.lock_peers(tx, sorted(UUID(each.id) for each in rows if each.kind is Kind.PEER))
    ending.lock_grants(tx, sorted(UUID(each.id) for each in rows if each.kind is Kind.GRANT))
    _free_names(tx, drifts)
    events: list[Event] = []
    for each in drifts:
        if each.row is None:
            events += _requeue(tx, each)
        elif each.kind is DriftKind.CHANGED:
            events += _restore(tx, each, each.row)
        else:
            events += _end(tx, each, each.row)
    audit.append(tx, actor, events)


def _free_names(tx: Tx, drifts: Sequence[Drift]) -> None:
    """Rename rows that were renamed by hand to their ids: two may have swapped names."""
    for each in drifts:
        if each.row is not None and not each.remedy and each.names:
            table = ending.TABLES[each.row.kind]
            tx.run(f"UPDATE {table} SET name = id::text WHERE id = :id", id=each.row.id)


def adopt(
    tx: Tx, drift: Drift, place: SourceLocation, provenance: Provenance
) -> RowCreated | RowUpdated:
    """Make what a row declares now the applied state; return the event to append."""
    row = drift.row
    assert row is not None
    digest = spec_digest(row.spec)
    tx.run(
        f"UPDATE {ending.TABLES[row.kind]} SET spec_digest = :digest, source_path = :path,"
        " source_line = :line WHERE id = :id",
        id=row.id,
        digest=digest,
        path=place.path,
        line=place.line,
    )
    event_type = RowCreated if drift.kind is DriftKind.INSERTED else RowUpdated
    return event_type(
        row.ref,
        reason=f"adopted, {_whose(drift)}",
        digest=digest,
        spec=row.spec.as_json(),
        fields=tuple(field.as_json() for field in drift.fields),
        managed=row.managed,
        place=f"{place.path}:{place.line}",
        origin=provenance.as_json(),
    )


def _restore(tx: Tx, drift: Drift, row: StoredRow) -> Iterator[Event]:
    row_state, spec = drift.row_state, drift.applied
    if row_state is None or spec is None:
        return
    if row_state.end and row.status not in ("revoked", "expired"):
        yield from _end(tx, drift, row)
        return
    if drift.remedy:
        return
    hold = as_json(row_state.hold.as_json()) if row_state.hold is not None else None
    values: dict[str, object] = {
        "id": row.id,
        "name": row_state.name,
        "hold": hold,
        "managed": row_state.managed,
        "digest": row_state.digest,
        "protect": spec.protect,
    }
    if isinstance(spec, PeerSpec):
        _restore_peer(tx, spec, values)
    else:
        status = GrantStatus(row.status)
        if status is GrantStatus.PENDING and row_state.enrolled:
            status = GrantStatus.ACTIVE
        suspended = spec.suspended or row_state.hold is not None
        after = live_grant_status(status, suspended=suspended)
        _restore_grant(tx, spec, values | {"status": str(after)})
    yield RowReverted(
        RowRef(row.kind, row.id, row_state.name),
        reason=f"reverted, {_whose(drift)}",
        digest=row_state.digest,
        spec=spec.as_json(),
        fields=tuple(
            field.as_json() | {"old": field.new, "new": field.old} for field in drift.fields
        ),
    )


def _restore_peer(tx: Tx, spec: PeerSpec, values: dict[str, object]) -> None:
    tx.run(
        "UPDATE federation_peers SET name = :name, direction = :direction, display_name = :display,"
        " endpoint_url = :endpoint, labels = CAST(:labels AS jsonb), protect = :protect,"
        " hold = CAST(:hold AS jsonb), managed = :managed, spec_digest = :digest WHERE id = :id",
        direction=str(spec.direction),
        display=spec.display_name,
        endpoint=spec.endpoint,
        labels=as_json(dict(spec.labels)),
        **values,
    )


def _restore_grant(tx: Tx, spec: GrantSpec, values: dict[str, object]) -> None:
    tx.run(
        "UPDATE federation_grants AS g SET name = :name,"
        " peer_id = coalesce((SELECT p.id FROM federation_peers AS p"
        " WHERE p.name = :peer AND p.status <> 'revoked'), g.peer_id),"
        " subject_user_id = :subject, scope = CAST(:scope AS jsonb), suspended = :suspended,"
        " protect = :protect, lifetime = :lifetime, expires_at = :expires,"
        " hold = CAST(:hold AS jsonb), managed = :managed, spec_digest = :digest,"
        " status = CASE WHEN g.status IN ('revoked', 'expired') THEN g.status"
        " ELSE CAST(:status AS federation_grant_status) END,"
        " activated_at = CASE WHEN :status IN ('active', 'suspended')"
        " THEN coalesce(activated_at, clock_timestamp()) ELSE activated_at END WHERE id = :id",
        peer=spec.peer,
        subject=spec.subject_user_id,
        scope=as_json(spec.scope.as_json()),
        suspended=spec.suspended,
        lifetime=spec.lifetime,
        expires=spec.expires_at,
        **values,
    )


def _end(tx: Tx, drift: Drift, row: StoredRow) -> Sequence[Event]:
    """Carry the end of a row out, with all that depends on it."""
    reason = f"{drift.kind} by hand, {_whose(drift)}"
    if row.kind is Kind.PEER:
        return ending.revoke_peer(tx, row.ref, reason, grants_reason=reason)
    status = GrantStatus(row.status)
    if status.ended:
        return [ending.finish_end(tx, row.ref, status, reason)]
    return ending.revoke_grants(tx, [UUID(row.id)], reason)


def _requeue(tx: Tx, drift: Drift) -> Sequence[Event]:
    """Queue a revocation for the CA."""
    certificate = drift.certificate
    assert certificate is not None
    reason = "the CA's list lacks it" if drift.kind is DriftKind.UNLISTED else _whose(drift)
    return queue.requeue(tx, [UUID(certificate.id)], reason)


def _whose(drift: Drift) -> str:
    if drift.changed_by is None:
        return "changed by hand, and no trigger recorded who"
    return f"changed by hand by {drift.changed_by}"
