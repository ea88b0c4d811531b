"""What the audit log says of each row and certificate: the values that its fold makes.

An archive keeps them as JSON, so that the fold goes on where the archive ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.observed import Hold
from reconciler.core.model.spec import Kind
from reconciler.core.model.times import parse_rfc3339, rfc3339

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from reconciler.core.audit.event_base import RowRef

_PLAIN: Final = ("name", "spec", "digest", "managed", "enrolled", "end")  # as JSON has them
_SETS: Final = ("issued", "revoking", "revoked", "unnamed_subjects", "unnamed_kinds")


@dataclass(slots=True)
class RowState:
    """What is known of one row. `spec` is canonical JSON, None where no record has it.

    `certificates` are the times from and until which each serial counts.
    """

    kind: Kind
    name: str
    spec: dict[str, Any] | None = None
    digest: str = ""
    managed: bool = False
    hold: Hold | None = None
    hold_before_end: Hold | None = None
    enrolled: bool = False
    end: str = ""  # the status that it ended with
    certificates: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        before = self.hold_before_end
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "kind": str(self.kind),
            "hold": self.hold.as_json() if self.hold is not None else None,
            "holdBeforeEnd": before.as_json() if before is not None else None,
            "certificates": {
                serial: [rfc3339(each) for each in times]
                for serial, times in self.certificates.items()
            },
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> RowState:
        """Return the state of the JSON form."""
        hold, before = document["hold"], document["holdBeforeEnd"]
        return cls(
            kind=Kind(document["kind"]),
            hold=Hold.from_json(hold) if hold is not None else None,
            hold_before_end=Hold.from_json(before) if before is not None else None,
            certificates={
                serial: (parse_rfc3339(not_before), parse_rfc3339(not_after))
                for serial, (not_before, not_after) in document["certificates"].items()
            },
            **{name: document[name] for name in _PLAIN},
        )


@dataclass(slots=True)
class AuditState:
    """The rows by id, and serials: signed, to be revoked, and revoked at the CA.

    `unnamed_subjects` and `unnamed_kinds` are those of records that name no row.
    """

    rows: dict[str, RowState] = field(default_factory=dict)
    issued: set[str] = field(default_factory=set)
    revoking: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)
    unnamed_subjects: set[str] = field(default_factory=set)
    unnamed_kinds: set[str] = field(default_factory=set)
    _of_subject: dict[str, list[str]] = field(default_factory=dict)  # ids
    _named: set[str] = field(default_factory=set)  # ids, since `take_named`

    def row(self, ref: RowRef) -> RowState:
        """Return the state of a row, under the name that it has now."""
        if ref.id not in self.rows:
            self.rows[ref.id] = RowState(ref.kind, ref.name)
            self._of_subject.setdefault(ref.subject, []).append(ref.id)
        self._named.add(ref.id)
        row = self.rows[ref.id]
        row.name = ref.name
        return row

    def others_of(self, ref: RowRef) -> list[RowState]:
        """Return the other rows that had the name first."""
        others = [row_id for row_id in self._of_subject.get(ref.subject, ()) if row_id != ref.id]
        self._named.update(others)
        return [self.rows[row_id] for row_id in others]

    def take_named(self) -> set[str]:
        """Return the ids of rows whose state may have changed since the last call."""
        named, self._named = self._named, set()
        return named

    def forget_ended(self, serials: Collection[str], at: datetime) -> None:
        """Forget the certificates that ended before `at`; `serials` are the others."""
        for each in (self.issued, self.revoking, self.revoked):
            each.intersection_update(serials)
        for row in self.rows.values():
            row.certificates = {
                serial: times for serial, times in row.certificates.items() if times[1] > at
            }

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "rows": {row_id: row.as_json() for row_id, row in self.rows.items()},
            "subjects": self._of_subject,
            **{name: sorted(getattr(self, name)) for name in _SETS},
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> AuditState:
        """Return the state of the JSON form."""
        rows = {row_id: RowState.from_json(row) for row_id, row in document["rows"].items()}
        sets = {name: set(document[name]) for name in _SETS}
        return cls(rows, **sets, _of_subject=dict(document["subjects"]))
