"""What an enrollment leaves in rows and in the audit log, without a CA."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.core.audit.certificate_events import CertificateIssued, GrantEnrolled
from reconciler.core.audit.event_base import RowRef, grant_ref
from reconciler.store.audit import log as audit

if TYPE_CHECKING:
    from tests.support.commands.in_process import Quick


def enroll(mosaic: Quick, name: str) -> str:
    """Enroll under a grant, with its records; return the serial."""
    serial, grant, now = mosaic.enroll(name), grant_of(mosaic, name), datetime.now(UTC)
    issued = CertificateIssued(grant, serial, "sha256:0", "0", now, now + timedelta(days=1))
    with mosaic.rows.database.transaction() as tx:
        audit.append(tx, "peer:beta", [GrantEnrolled(grant, "pending", "active"), issued])
    return serial


def grant_of(mosaic: Quick, name: str) -> RowRef:
    """Return a grant as records name it."""
    query = "SELECT id FROM federation_grants WHERE name = :name"
    return grant_ref(mosaic.rows.one(query, name=name), name)
