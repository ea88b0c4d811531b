"""Rows as their columns are, whatever wrote them: what `drift` holds against the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.core.audit.event_base import RowRef

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.core.model.observed import ByHand, Hold
    from reconciler.core.model.spec import Kind, SourceLocation, Spec


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
