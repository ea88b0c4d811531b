"""How tables show documents: a status with its hold, and a time as how far away it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from reconciler.core.model.times import distance

Row = Mapping[str, Any]

ENDED = ("revoked", "expired")


def _file(row: Row) -> str:
    source = row["source"]
    return f"{source['path']}:{source['line']}" if source is not None else "-"


# the columns that say where a row was declared
ORIGIN = (("REVISION", lambda row: (row["revision"] or "-")[:12]), ("FILE", _file))


def status_of(row: Row) -> str:
    """Return the status, and what else a reader has to know about it."""
    parts = [str(row["status"])]
    hold = row["hold"]
    if hold is not None and hold["kind"] == "suspend" and row["status"] == "pending":
        parts.append("(will be suspended)")
    if not row["managed"] and not ended(row):
        parts.append("(not in git yet)")
    return " ".join(parts)


def ended(row: Row) -> bool:
    """Tell whether a peer or a grant is over for good."""
    return row["status"] in ENDED


def hold_of(row: Row) -> str:
    """Return who placed the hold of a peer or a grant, and why, or `-`."""
    hold = row["hold"]
    if hold is None:
        return "-"
    verb = "suspended" if hold["kind"] == "suspend" else "revoked"
    reason = f": {hold['reason']}" if hold["reason"] else ""
    return f"{verb} by {hold['by']}{reason}"


def away(text: str | None) -> str:
    """Return a time as how far away it is: `in 3d`, `2h ago`."""
    if text is None:
        return "-"
    return distance(datetime.fromisoformat(text) - datetime.now(UTC))


def end_of(row: Row) -> str:
    """Return when a grant expires, or how long ago it was revoked."""
    return away(row["revokedAt"] or row["expiresAt"])


def live_certificate(row: Row) -> str:
    """Return when the newest issued certificate of a grant expires, or `-`."""
    issued = [each for each in row["certificates"] if each["status"] == "issued"]
    return away(issued[-1]["notAfter"]) if issued else "-"
