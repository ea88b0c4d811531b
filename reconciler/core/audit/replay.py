"""What was granted to whom at a moment, told by the audit log alone.

Pure: the entries are given, oldest first, up to that moment. A grant whose end had passed was
expired then, whether or not a timer had run; a certificate held from its notBefore to its notAfter,
unless its grant had ended or another enrollment had taken its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconciler.core.model.times import parse_rfc3339, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from reconciler.core.audit.fold import Told


@dataclass(slots=True)
class _Row:
    """What the entries say of one row of either kind."""

    kind: str
    name: str
    spec: dict[str, Any] = field(default_factory=dict)
    enrolled: bool = False
    held: bool = False
    ended: bool = False
    certificates: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)


@dataclass(slots=True)
class Replay:
    """The rows as far as entries were taken; `unread` are the kinds of entries that name no row."""

    rows: dict[str, _Row] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)

    def take(self, entries: Iterable[Told]) -> None:
        """Take entries, oldest first."""
        for entry in entries:
            kind, _, verb = entry.kind.partition(".")
            if kind in ("peer", "grant", "hold", "certificate", "issuance"):
                self._take(entry, kind, verb)

    def _take(self, entry: Told, kind: str, verb: str) -> None:
        data, row_id = entry.data, str(entry.data.get("id"))
        if kind == "certificate" and verb != "issued":
            return
        if "id" not in data:
            self.unread.add(entry.kind)
            return
        name = entry.subject.partition("/")[2]
        whose = "grant" if kind in ("certificate", "issuance") else entry.subject.partition("/")[0]
        row = self.rows.setdefault(row_id, _Row(whose, name))
        if kind == "certificate":
            for serial in data.get("supersedes", ()):
                row.certificates.pop(serial, None)
            times = (parse_rfc3339(data["notBefore"]), parse_rfc3339(data["notAfter"]))
            row.certificates[data["serial"]] = times
        elif kind != "issuance":
            self._take_verb(row, verb, entry)

    def _take_verb(self, row: _Row, verb: str, entry: Told) -> None:
        data = entry.data
        if data.get("spec") is not None:
            row.spec = data["spec"]
        match verb:
            case "replaced":
                before = self.rows.get(str(data.get("replaces")))
                row.held = before is not None and before.held
            case "renamed":
                row.name = data["new"]
            case "enrolled":
                row.enrolled = True
            case "suspended":
                row.held = True
            case "resumed" | "released":
                row.held = False
            case "revoked" | "expired":
                row.ended = True

    def at(self, moment: datetime) -> dict[str, Any]:
        """Return what held: `{"peers": […], "grants": […]}`, sorted by name, as JSON values."""
        live = {key: row for key, row in self.rows.items() if not row.ended}
        grants = [
            _grant(key, row, moment)
            for key, row in live.items()
            if row.kind == "grant" and parse_rfc3339(row.spec["expiresAt"]) > moment
        ]
        enrolled = {
            row.spec["peer"] for row in self.rows.values() if row.kind == "grant" and row.enrolled
        }
        peers = [
            {
                "id": key,
                "name": row.name,
                "direction": row.spec["direction"],
                "status": "active" if row.enrolled or row.name in enrolled else "pending",
            }
            for key, row in live.items()
            if row.kind == "peer"
        ]
        return {
            "peers": sorted(peers, key=lambda each: str(each["name"])),
            "grants": sorted(grants, key=lambda each: str(each["name"])),
        }


def _grant(key: str, row: _Row, moment: datetime) -> dict[str, Any]:
    withheld = row.held or bool(row.spec["suspended"])
    status = "pending" if not row.enrolled else "suspended" if withheld else "active"
    return {
        "id": key,
        "name": row.name,
        "peer": row.spec["peer"],
        "subjectUserId": row.spec["subjectUserId"],
        "scope": row.spec["scope"],
        "status": status,
        "expiresAt": row.spec["expiresAt"],
        "certificates": [
            {"serial": serial, "notAfter": rfc3339(end)}
            for serial, (begin, end) in sorted(row.certificates.items())
            if begin <= moment < end
        ],
    }
