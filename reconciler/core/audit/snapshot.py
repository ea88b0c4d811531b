"""What was granted to whom at a moment, by the records of the audit log up to then.

A grant whose end had passed was expired then, whether or not a timer had run; a certificate counted
from its notBefore to its notAfter, unless its grant had ended or another enrollment had taken its
place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core.model.spec import Kind
from reconciler.core.model.times import parse_rfc3339, rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.audit.state import AuditState, RowState


def snapshot(state: AuditState, moment: datetime) -> dict[str, Any]:
    """Return what counted: `{"peers": […], "grants": […]}`, sorted by name, as JSON values."""
    specs = {row_id: row.spec for row_id, row in state.rows.items() if row.spec is not None}
    enrolled = {
        spec["peer"]
        for row_id, spec in specs.items()
        if state.rows[row_id].kind is Kind.GRANT and state.rows[row_id].enrolled
    }
    peers, grants = [], []
    for row_id, spec in specs.items():
        row = state.rows[row_id]
        if row.end:
            continue
        if row.kind is Kind.PEER:
            active = row.enrolled or row.name in enrolled
            peers.append(
                {
                    "id": row_id,
                    "name": row.name,
                    "direction": spec["direction"],
                    "status": "active" if active else "pending",
                }
            )
        elif parse_rfc3339(spec["expiresAt"]) > moment:
            grants.append(_grant(row_id, row, spec, moment))
    return {
        "peers": sorted(peers, key=lambda each: str(each["name"])),
        "grants": sorted(grants, key=lambda each: str(each["name"])),
    }


def _grant(row_id: str, row: RowState, spec: dict[str, Any], moment: datetime) -> dict[str, Any]:
    suspended = row.hold is not None or bool(spec["suspended"])
    status = "pending" if not row.enrolled else "suspended" if suspended else "active"
    return {
        "id": row_id,
        "name": row.name,
        "peer": spec["peer"],
        "subjectUserId": spec["subjectUserId"],
        "scope": spec["scope"],
        "status": status,
        "expiresAt": spec["expiresAt"],
        "certificates": [
            {"serial": serial, "notAfter": rfc3339(not_after)}
            for serial, (not_before, not_after) in sorted(row.certificates.items())
            if not_before <= moment < not_after
        ],
    }
