"""The plan as the JSON object of the contract (`schema plan` prints its schema)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core.model.times import rfc3339
from reconciler.core.plan.model import PLAN_FORMAT_VERSION

if TYPE_CHECKING:
    from reconciler.core.model.spec import Desired
    from reconciler.core.plan.guard import Verdict
    from reconciler.core.plan.model import AnyChange, Plan


def plan_as_json(plan: Plan, verdict: Verdict, desired: Desired) -> dict[str, Any]:
    """Return the plan, the guard's word on it, and what it was made from."""
    summary = plan.summary
    return {
        "formatVersion": PLAN_FORMAT_VERSION,
        "digest": plan.digest,
        "source": {"path": desired.label, "revision": desired.revision, "dirty": desired.dirty},
        "changes": [_change(change) for change in plan.changes],
        "notes": [
            {
                "kind": str(note.kind),
                "name": note.name,
                "note": str(note.note),
                "detail": note.detail,
                "command": note.command,
            }
            for note in plan.notes
        ],
        "summary": {
            "create": summary.create,
            "update": summary.update,
            "replace": summary.replace,
            "revoke": summary.revoke,
            "unchanged": summary.unchanged,
            "total": summary.total,
        },
        "guard": verdict.as_json(),
    }


def _change(change: AnyChange) -> dict[str, Any]:
    place = change.place
    return {
        "action": str(change.action),
        "kind": str(change.kind),
        "name": change.name,
        "path": place.path if place is not None else None,
        "line": place.line if place is not None else None,
        "reason": change.reason,
        "fields": [field.as_json() for field in change.fields],
        "certificates": [
            {"serial": each.serial, "peer": each.peer, "notAfter": rfc3339(each.not_after)}
            for each in change.certificates
        ],
    }
