"""Notes of a plan: what it leaves alone, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.model.spec import GrantSpec, Kind, spec_digest
from reconciler.core.model.states import HoldKind
from reconciler.core.plan.model import Change, GrantChange, Note, NoteKind, RowT, SpecT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from reconciler.core.model.observed import ObservedGrant, ObservedPeer
    from reconciler.core.plan.model import Side


def changed_by_hand(row: ObservedPeer | ObservedGrant) -> str:
    """Return how what the row declares was changed outside of an apply; empty where it was not.

    The columns disagree with their digest, or the digest itself was written by hand.
    """
    by_hand = row.by_hand
    if spec_digest(row.spec) == row.digest and (by_hand is None or by_hand.digest != row.digest):
        return ""
    if by_hand is None:
        return "changed by hand, and no trigger recorded who"
    return f"changed by hand by {by_hand}"


def notes(
    kind: Kind, side: Side[RowT, SpecT], changes: tuple[Change[RowT, SpecT], ...]
) -> Iterator[Note]:
    """Yield what a plan says beside its changes: rows not in git yet, holds, changes by hand."""
    changing = {change.name for change in changes}
    group = kind.lower()  # of commands
    for name, row in side.live.items():
        if name not in side.declared and name not in changing:
            yield Note(kind, name, NoteKind.NOT_IN_GIT_YET, "not in git yet", "commit its manifest")
        if row.hold is not None and row.hold.kind is HoldKind.SUSPEND:
            detail = f"suspended by {row.hold.by}: {row.hold.reason or 'no reason given'}"
            command = f"mosaic federation {group} resume {name}"
            yield Note(kind, name, NoteKind.HELD_SUSPENDED, detail, command)
    for change in changes:
        if change.row is not None and change.fields and (detail := changed_by_hand(change.row)):
            command = f"mosaic federation drift {kind.subject(change.name)}"
            yield Note(kind, change.name, NoteKind.CHANGED_BY_HAND, detail, command)
    for name, row in side.held.items():
        if name in side.declared and row.hold is not None:
            detail = f"revoked by {row.hold.by}: {row.hold.reason or 'no reason given'}"
            command = (
                f"mosaic federation grant resume {name}"
                if kind is Kind.GRANT
                else "remove its manifest, apply, and declare it again"
            )
            yield Note(kind, name, NoteKind.HELD_REVOKED, detail, command)


def ended_notes(
    side: Side[ObservedGrant, GrantSpec],
    changes: tuple[GrantChange, ...],
    held_peers: set[str],
    now: datetime,
) -> Iterator[Note]:
    """Yield the grants that are declared and not created, and why."""
    changing = {change.name for change in changes}
    for name, declared in side.declared.items():
        if name in changing or name in side.live or name in side.held:
            continue
        if declared.spec.expires_at <= now:
            yield Note(Kind.GRANT, name, NoteKind.ENDED, "its expiresAt has passed")
        elif declared.spec.peer in held_peers:
            detail = f"its peer {declared.spec.peer!r} is revoked by an operator"
            yield Note(Kind.GRANT, name, NoteKind.HELD_REVOKED, detail)
