"""What `drift` compares with the audit log, and drift itself, as values.

A row is as its columns are, whatever wrote them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from reconciler.core.audit.event_base import RowRef
from reconciler.core.model.json_document import json_value
from reconciler.core.model.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.core.audit.state import RowState
    from reconciler.core.model.observed import ByHand, Hold
    from reconciler.core.model.spec import Kind, SourceLocation, Spec
    from reconciler.core.plan.diff import FieldChange


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A peer or a grant as its columns are: `columns` as JSON, `digest` the stored one."""

    kind: Kind
    id: str
    name: str
    spec: Spec
    digest: str
    status: str
    managed: bool
    hold: Hold | None
    place: SourceLocation | None
    columns: Mapping[str, Any]

    @property
    def ref(self) -> RowRef:
        """The row as the audit log refers to it."""
        return RowRef(self.kind, self.id, self.name)

    @property
    def subject(self) -> str:
        """The row's name in the audit log and on the command line."""
        return self.ref.subject


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """A certificate that has not ended: `listed` is False where the CA's newer list lacks it."""

    id: str
    serial: str
    grant: str
    status: str
    listed: bool = True


@dataclass(frozen=True, slots=True)
class HandChange:
    """A change by hand as the trigger saw it: the columns it wrote, and who."""

    row_id: str
    old: Mapping[str, Any]
    new: Mapping[str, Any]
    by: ByHand


class DriftKind(StrEnum):
    """The kinds of drift."""

    CHANGED = "changed"  # columns of a row
    INSERTED = "inserted"  # a row that no command made
    ENDED = "ended"  # a status moved to an end, which nothing leaves
    CERTIFICATE = "certificate"  # a certificate's status
    UNLISTED = "unlisted"  # revoked, and the CA's list lacks it


@dataclass(frozen=True, slots=True)
class Drift:
    """One object that drifted: `fields` have what was applied as old, what the database has as new.

    `row` or `certificate` is what is there. `applied` is what an applied row declared (None: no
    record has it), `row_state` all that is known of it. `remedy` is what to do where `--revert`
    cannot restore the object.
    """

    kind: DriftKind
    fields: tuple[FieldChange, ...]
    changed_by: ByHand | None = None
    row: StoredRow | None = None
    certificate: StoredCertificate | None = None
    applied: Spec | None = None
    row_state: RowState | None = None
    remedy: str = ""

    @property
    def subject(self) -> str:
        """What it is about: `grant/beta-tasks`, or `certificate/<serial>`."""
        if self.row is not None:
            return self.row.subject
        assert self.certificate is not None
        return f"certificate/{self.certificate.serial}"

    @property
    def declares(self) -> bool:
        """Whether what the row declares has changed, and nothing that no manifest can say."""
        if self.row is None or self.kind not in (DriftKind.CHANGED, DriftKind.INSERTED):
            return False
        own = {"digest", "status", "hold", "managed", "name"}
        paths = {field.path for field in self.fields}
        return self.kind is DriftKind.INSERTED or (
            not paths & (own - {"digest"}) and paths != {"digest"}
        )

    @property
    def reverts(self) -> bool:
        """Whether `--revert` does something about it."""
        return self.kind is not DriftKind.CHANGED or not self.remedy

    @property
    def key(self) -> str:
        """What identifies it under any name."""
        return self.row.id if self.row is not None else self.subject

    @property
    def identity(self) -> str:
        """What names it on the command line: a certificate is its grant's."""
        return self.subject if self.certificate is None else f"grant/{self.certificate.grant}"

    @property
    def names(self) -> bool:
        """Whether the row is to have the name back that it was given."""
        ended = self.row_state is not None and self.row_state.end
        return not ended and any(field.path == "name" for field in self.fields)

    def as_json(self) -> dict[str, Any]:
        """Return the object of the contract."""
        row, certificate, changed_by = self.row, self.certificate, self.changed_by
        return {
            "kind": str(row.kind) if row is not None else "Certificate",
            "name": row.name if row is not None else self.subject.partition("/")[2],
            "grant": certificate.grant if certificate is not None else None,
            "what": str(self.kind),
            "fields": [
                {
                    "path": field.path,
                    "applied": field.old,
                    "found": field.new,
                    "effect": str(field.effect),
                }
                for field in self.fields
            ],
            "changedBy": {
                "role": changed_by.role,
                "application": changed_by.application,
                "address": changed_by.address,
                "at": rfc3339(changed_by.at),
            }
            if changed_by is not None
            else None,
            "source": json_value(row.place) if row is not None else None,
            "remedy": self.remedy,
        }
