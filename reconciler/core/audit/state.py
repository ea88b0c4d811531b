"""What the audit log says of each row and certificate: the values that its fold makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.audit.event_base import RowRef
    from reconciler.core.model.observed import Hold
    from reconciler.core.model.spec import Kind


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
