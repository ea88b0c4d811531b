"""Rows of a plan as they are written: sets of them, each update conditional on what was seen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.canonical_json import plain_json
from reconciler.core.model.states import GrantStatus, HoldKind, live_grant_status
from reconciler.errors import Refused
from reconciler.store.db import as_json, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from reconciler.core.model.spec import Kind
    from reconciler.core.plan.model import Bookkeeping, GrantChange, PeerChange
    from reconciler.store.apply.provenance import Provenance
    from reconciler.store.db import Tx

    NewIds = Mapping[tuple[Kind, str], UUID]  # of the rows that a plan creates


CREATED_AT_ONCE: Final = 1_000  # grants: made while PostgreSQL writes those before


def update_peers(tx: Tx, changes: Sequence[PeerChange], provenance: Provenance) -> None:
    """Update peers in place; raise `plan_stale` where one is not what the plan saw."""
    if not changes:
        return
    # The fence: a row whose digest is not what the plan saw is not updated, so the count differs.
    touched = tx.run(
        "UPDATE federation_peers AS p SET display_name = r.display_name, labels = r.labels,"
        " endpoint_url = r.endpoint_url, protect = r.protect, spec_digest = r.digest,"
        " source_path = r.path, source_line = r.line, revision = :revision,"
        " managed = p.managed OR :managed"
        " FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, display_name text,"
        " labels jsonb, endpoint_url text, protect boolean, digest text, path text, line integer,"
        " seen text)"
        " WHERE p.id = r.id AND p.spec_digest = r.seen AND p.status <> 'revoked'",
        rows=as_json([_peer_row(change) for change in changes]),
        revision=provenance.revision,
        managed=provenance.managed,
    )
    if touched != len(changes):
        raise stale("a peer has changed since the plan was made")


def update_grants(tx: Tx, changes: Sequence[GrantChange], provenance: Provenance) -> None:
    """Update grants in place; raise `plan_stale` where one is not what the plan saw."""
    if not changes:
        return
    # The rows are locked: a theft signal may have held one since the plan was made.
    locked = {
        row["id"]: row
        for row in tx.rows(
            "SELECT id, status, hold FROM federation_grants WHERE id = ANY(:ids)",
            ids=[change.row.id for change in changes if change.row is not None],
        )
    }
    rows = [_grant_row(change) | {"status": _status_after(change, locked)} for change in changes]
    # Fenced by the digest that the plan saw, as peers are.
    touched = tx.run(
        "UPDATE federation_grants AS g SET scope = r.scope, suspended = r.suspended,"
        " status = CAST(r.status AS federation_grant_status), protect = r.protect,"
        " lifetime = make_interval(secs => r.lifetime_s), expires_at = r.expires_at,"
        " spec_digest = r.digest, source_path = r.path, source_line = r.line,"
        " revision = :revision, managed = g.managed OR :managed"
        " FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, scope jsonb,"
        " suspended boolean, status text, protect boolean, lifetime_s double precision,"
        " expires_at timestamptz, digest text, path text, line integer, seen text)"
        " WHERE g.id = r.id AND g.spec_digest = r.seen AND g.status NOT IN ('revoked', 'expired')",
        rows=as_json(rows),
        revision=provenance.revision,
        managed=provenance.managed,
    )
    if touched != len(changes):
        raise stale("a grant has changed since the plan was made")


def _status_after(change: GrantChange, locked: dict[Any, dict[str, Any]]) -> str:
    assert change.row is not None
    assert change.declared is not None
    row = locked[change.row.id]
    held = row["hold"] is not None and row["hold"]["kind"] == HoldKind.SUSPEND
    suspended = change.declared.spec.suspended or held
    return str(live_grant_status(GrantStatus(row["status"]), suspended=suspended))


def create_peers(
    tx: Tx, changes: Sequence[PeerChange], ids: NewIds, provenance: Provenance
) -> None:
    """Insert peers, under the ids that were made for them."""
    if not changes:
        return
    rows = [_peer_row(change) | {"id": str(ids[change.kind, change.name])} for change in changes]
    tx.run(
        "INSERT INTO federation_peers (id, name, direction, display_name, labels, endpoint_url,"
        " protect, managed, spec_digest, source_path, source_line, revision)"
        " SELECT id, name, direction, display_name, labels, endpoint_url, protect, :managed,"
        " digest, path, line, :revision"
        " FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, name text, direction text,"
        " display_name text, labels jsonb, endpoint_url text, protect boolean, digest text,"
        " path text, line integer)",
        rows=as_json(rows),
        revision=provenance.revision,
        managed=provenance.managed,
    )


def create_grants(
    tx: Tx, changes: Sequence[GrantChange], ids: NewIds, provenance: Provenance
) -> None:
    """Insert grants, the last of them beside the caller.

    The next use of the transaction raises `plan_stale` where the peer of one is gone.
    """
    for part in parts_of(changes, CREATED_AT_ONCE):
        rows = plain_json([_new_grant_row(change, ids) for change in part])  # by msgspec: thousands
        tx.beside(partial(_create_grants, rows=rows, count=len(part), provenance=provenance))


def _new_grant_row(change: GrantChange, ids: NewIds) -> dict[str, Any]:
    return _grant_row(change) | {
        "id": str(ids[change.kind, change.name]),
        "hold": change.inherited_hold and change.inherited_hold.as_json(),
    }


def _create_grants(tx: Tx, rows: str, count: int, provenance: Provenance) -> None:
    created = tx.run(
        "INSERT INTO federation_grants (id, name, peer_id, subject_user_id, scope, suspended,"
        " protect, lifetime, expires_at, managed, spec_digest, source_path, source_line, revision,"
        " hold)"
        " SELECT r.id, r.name, p.id, r.subject_user_id, r.scope, r.suspended, r.protect,"
        " make_interval(secs => r.lifetime_s), r.expires_at, :managed, r.digest, r.path, r.line,"
        " :revision, r.hold"
        " FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, name text, peer text,"
        " subject_user_id text, scope jsonb, suspended boolean, protect boolean,"
        " lifetime_s double precision, expires_at timestamptz, digest text, path text,"
        " line integer, hold jsonb)"
        " JOIN federation_peers AS p ON p.name = r.peer AND p.status <> 'revoked'"
        " AND p.direction = 'inbound'",
        rows=rows,
        revision=provenance.revision,
        managed=provenance.managed,
    )
    if created != count:
        raise stale("the peer of a grant is gone")


def adopt(
    tx: Tx, table: str, books: Iterable[Bookkeeping[Any, Any]], provenance: Provenance
) -> None:
    """Make rows git's, and keep where their manifests stand and what they declare."""
    rows = [
        {
            "id": str(each.row.id),
            "path": each.declared.place.path,
            "line": each.declared.place.line,
            "digest": each.digest,
        }
        for each in books
    ]
    if rows:
        tx.run(
            f"UPDATE {table} AS t SET managed = true, source_path = r.path,"
            " source_line = r.line, spec_digest = r.digest,"
            " revision = coalesce(t.revision, :revision)"
            " FROM jsonb_to_recordset(CAST(:rows AS jsonb))"
            " AS r(id uuid, path text, line integer, digest text)"
            " WHERE t.id = r.id",
            rows=as_json(rows),
            revision=provenance.revision,
        )


def stale(message: str) -> Refused:
    """Return the refusal of a plan that the rows have overtaken."""
    return Refused("plan_stale", message, hint="nothing was changed; run the command again")


def _common_row(change: PeerChange | GrantChange) -> dict[str, Any]:
    assert change.declared is not None
    return {
        "id": str(change.row.id) if change.row is not None else None,
        "seen": change.row.digest if change.row is not None else None,
        "name": change.name,
        "digest": change.declared.digest,
        "path": change.declared.place.path,
        "line": change.declared.place.line,
        "protect": change.declared.spec.protect,
    }


def _peer_row(change: PeerChange) -> dict[str, Any]:
    """Return the columns of a peer that is created or updated, for `jsonb_to_recordset`."""
    assert change.declared is not None
    spec = change.declared.spec
    return _common_row(change) | {
        "direction": str(spec.direction),
        "display_name": spec.display_name,
        "labels": dict(spec.labels),
        "endpoint_url": spec.endpoint,
    }


def _grant_row(change: GrantChange) -> dict[str, Any]:
    """Return the columns of a grant that is created or updated, as `_peer_row`."""
    assert change.declared is not None
    spec = change.declared.spec
    return _common_row(change) | {
        "peer": spec.peer,
        "subject_user_id": spec.subject_user_id,
        "scope": spec.scope.as_json(),
        "suspended": spec.suspended,
        "lifetime_s": spec.lifetime.total_seconds(),
        "expires_at": spec.expires_at.isoformat(),
    }
