"""A plan carried out: sets of rows, never a statement a row, in the transaction of the caller.

Every update is conditional on the digest that the plan saw; a row that has moved on since makes the
plan stale, and the transaction is rolled back.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.core.audit import Event
from reconciler.core.changes import Action, GrantChange, PeerChange, Plan
from reconciler.core.ids import UUID7_RANDOM_BYTES, uuid7
from reconciler.core.spec import GrantSpec, PeerSpec
from reconciler.core.states import GrantStatus, HoldKind, live_grant_status
from reconciler.errors import Refused
from reconciler.store import audit, ending
from reconciler.store.records import event, grant_row, peer_row
from reconciler.store.tx import as_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from reconciler.core.changes import Bookkeeping
    from reconciler.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who applies, and from what: `managed` tells whether the rows become git's."""

    actor: str
    source: str
    revision: str | None = None
    dirty: bool = False
    managed: bool = True


def carry_out(tx: Tx, plan: Plan, by: Provenance) -> None:
    """Make the rows what the plan says: revocations, then updates, then creations, audit last.

    A plan without changes still has its books kept.

    Raises:
        Refused: `plan_stale`: a row is not what the plan saw.
    """
    now = tx.now()
    replaced_or_gone = (Action.REVOKE, Action.REPLACE)
    ending_peers = plan.peer_changes(*replaced_or_gone)
    ending_grants = plan.grant_changes(*replaced_or_gone)
    _lock(tx, plan)
    events = _revoke_grants(tx, ending_grants, by)
    if len(events) != len(ending_grants):
        raise _stale("a grant that was to be revoked has ended since the plan was made")
    events += _revoke_peers(tx, ending_peers, by)
    _update_peers(tx, plan.peer_changes(Action.UPDATE), by)
    _update_grants(tx, plan.grant_changes(Action.UPDATE), by)
    _create_peers(tx, plan.peer_changes(Action.CREATE, Action.REPLACE), now, by)
    _create_grants(tx, plan.grant_changes(Action.CREATE, Action.REPLACE), now, by)
    _keep_books(tx, plan, by)
    changed = [change for change in plan.changes if change.action is not Action.REVOKE]
    audit.append(tx, [*events, *(event(change, by.revision, by.actor) for change in changed)])


def _keep_books(tx: Tx, plan: Plan, by: Provenance) -> None:
    """Record what is no change: rows that became git's, moved places, holds that are over."""
    if by.managed:
        _adopt(tx, "federation_peers", plan.adopted_peers, by)
        _adopt(tx, "federation_grants", plan.adopted_grants, by)
    for table, rows in (
        ("federation_peers", plan.released_peers),
        ("federation_grants", plan.released_grants),
    ):
        if rows:
            ids = [row.id for row in rows]
            tx.run(f"UPDATE {table} SET hold = NULL WHERE id = ANY(:ids)", ids=ids)
    released = [
        Event("hold.released", by.actor, f"{kind}/{row.name}", {"reason": "manifest left git"})
        for kind, rows in (("peer", plan.released_peers), ("grant", plan.released_grants))
        for row in rows
    ]
    audit.append(tx, released)


def _lock(tx: Tx, plan: Plan) -> None:
    """Lock every live row that is written, those whose books are kept included (DESIGN 5)."""
    changed = {change.row for change in plan.changes if change.row is not None}
    peers = {row.id for row in changed if isinstance(row.spec, PeerSpec)}
    grants = {row.id for row in changed if isinstance(row.spec, GrantSpec)}
    ending.lock_peers(tx, sorted(peers | {each.row.id for each in plan.adopted_peers}))
    ending.lock_grants(tx, sorted(grants | {each.row.id for each in plan.adopted_grants}))


def _revoke_grants(tx: Tx, changes: Sequence[GrantChange], by: Provenance) -> list[Event]:
    events: list[Event] = []
    reasons = sorted({change.reason for change in changes})
    for reason in reasons:
        ids = [c.row.id for c in changes if c.row is not None and c.reason == reason]
        events += ending.revoke_grants(tx, ids, by.actor, reason)
    return events


def _revoke_peers(tx: Tx, changes: Sequence[PeerChange], by: Provenance) -> list[Event]:
    """Revoke peers whose grants have ended; a sealed key is erased. Return the events."""
    for reason in sorted({change.reason for change in changes}):
        tx.run(
            "UPDATE federation_peers SET status = 'revoked', revoked_at = clock_timestamp(),"
            " revoked_reason = :reason, client_key_pem = NULL"
            " WHERE id = ANY(:ids) AND status <> 'revoked'",
            ids=[c.row.id for c in changes if c.row is not None and c.reason == reason],
            reason=reason,
        )
    return [
        Event(
            "peer.revoked",
            by.actor,
            f"peer/{change.name}",
            {"id": str(change.row.id), "reason": change.reason},
        )
        for change in changes
        if change.row is not None
    ]


def _update_peers(tx: Tx, changes: Sequence[PeerChange], by: Provenance) -> None:
    if not changes:
        return
    touched = tx.run(
        "UPDATE federation_peers AS p SET display_name = r.display_name, labels = r.labels,"
        " endpoint_url = r.endpoint_url, protect = r.protect, spec_digest = r.digest,"
        " source_path = r.path, source_line = r.line, revision = :revision,"
        " managed = p.managed OR :managed"
        " FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, display_name text,"
        " labels jsonb, endpoint_url text, protect boolean, digest text, path text, line integer,"
        " seen text)"
        " WHERE p.id = r.id AND p.spec_digest = r.seen AND p.status <> 'revoked'",
        rows=as_json([peer_row(change) for change in changes]),
        revision=by.revision,
        managed=by.managed,
    )
    if touched != len(changes):
        raise _stale("a peer has changed since the plan was made")


def _update_grants(tx: Tx, changes: Sequence[GrantChange], by: Provenance) -> None:
    if not changes:
        return
    statuses = {
        row["id"]: GrantStatus(row["status"])
        for row in tx.rows(
            "SELECT id, status FROM federation_grants WHERE id = ANY(:ids)",
            ids=[change.row.id for change in changes if change.row is not None],
        )
    }
    rows = [grant_row(change) | {"status": _status_after(change, statuses)} for change in changes]
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
        revision=by.revision,
        managed=by.managed,
    )
    if touched != len(changes):
        raise _stale("a grant has changed since the plan was made")


def _status_after(change: GrantChange, statuses: dict[Any, GrantStatus]) -> str:
    assert change.row is not None
    assert change.declared is not None
    hold = change.row.hold
    held = hold is not None and hold.kind is HoldKind.SUSPEND
    suspended = change.declared.spec.suspended or held
    return str(live_grant_status(statuses[change.row.id], suspended=suspended))


def _create_peers(tx: Tx, changes: Sequence[PeerChange], now: datetime, by: Provenance) -> None:
    if not changes:
        return
    rows = [peer_row(change) | {"id": _new_id(now)} for change in changes]
    tx.run(
        "INSERT INTO federation_peers (id, name, direction, display_name, labels, endpoint_url,"
        " protect, managed, spec_digest, source_path, source_line, revision)"
        " SELECT id, name, direction, display_name, labels, endpoint_url, protect, :managed,"
        " digest, path, line, :revision"
        " FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, name text, direction text,"
        " display_name text, labels jsonb, endpoint_url text, protect boolean, digest text,"
        " path text, line integer)",
        rows=as_json(rows),
        revision=by.revision,
        managed=by.managed,
    )


def _create_grants(tx: Tx, changes: Sequence[GrantChange], now: datetime, by: Provenance) -> None:
    if not changes:
        return
    rows = [
        grant_row(change)
        | {"id": _new_id(now), "hold": change.kept_hold and change.kept_hold.as_json()}
        for change in changes
    ]
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
        rows=as_json(rows),
        revision=by.revision,
        managed=by.managed,
    )
    if created != len(changes):
        raise _stale("the peer of a grant is gone")


def _adopt(tx: Tx, table: str, books: Iterable[Bookkeeping[Any, Any]], by: Provenance) -> None:
    rows = [
        {
            "id": str(each.row.id),
            "path": each.declared.place.path,
            "line": each.declared.place.line,
        }
        for each in books
    ]
    if rows:
        tx.run(
            f"UPDATE {table} AS t SET managed = true, source_path = r.path,"
            " source_line = r.line, revision = coalesce(t.revision, :revision)"
            " FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, path text, line integer)"
            " WHERE t.id = r.id",
            rows=as_json(rows),
            revision=by.revision,
        )


def _new_id(now: datetime) -> str:
    return str(uuid7(now, os.urandom(UUID7_RANDOM_BYTES)))


def _stale(message: str) -> Refused:
    return Refused("plan_stale", message, hint="nothing was changed; run the command again")


def record_run(tx: Tx, plan: Plan, by: Provenance) -> None:
    """Record an apply that changed something."""
    summary = plan.summary
    tx.run(
        "INSERT INTO federation_reconcile_runs (id, actor, source, revision, dirty, digest,"
        " summary)"
        " VALUES (:id, :actor, :source, :revision, :dirty, :digest, CAST(:summary AS jsonb))",
        id=_new_id(tx.now()),
        actor=by.actor,
        source=by.source,
        revision=by.revision,
        dirty=by.dirty,
        digest=plan.digest,
        summary=as_json(
            {
                "create": summary.create,
                "update": summary.update,
                "replace": summary.replace,
                "revoke": summary.revoke,
                "unchanged": summary.unchanged,
            }
        ),
    )
