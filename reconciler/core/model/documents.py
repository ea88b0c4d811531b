"""Peers and grants as commands show them, and the JSON documents that they print.

A key, sealed or not, is in none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.core.model.times import rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.model.certificate_use import Use
    from reconciler.core.model.observed import Hold
    from reconciler.core.model.spec import SourceLocation
    from reconciler.core.model.states import GrantStatus, PeerStatus


@dataclass(frozen=True, slots=True)
class CertificateView:
    """A certificate of a grant, or the one that an outbound peer's gateway gave us.

    `use` is what was asked about it at `/authorize`, None if nothing.
    """

    serial: str
    fingerprint: str
    status: str
    not_before: datetime
    not_after: datetime
    use: Use | None = None

    def as_json(self) -> dict[str, str]:
        """Return the document."""
        return {
            "serial": self.serial,
            "fingerprint": self.fingerprint,
            "status": self.status,
            "notBefore": rfc3339(self.not_before),
            "notAfter": rfc3339(self.not_after),
        }


@dataclass(frozen=True, slots=True)
class GrantView:
    """A grant in any state; `certificates` are those that were issued, the newest last."""

    name: str
    id: str
    peer: str
    subject_user_id: str
    scope: dict[str, Any]
    status: GrantStatus
    suspended: bool
    hold: Hold | None
    protect: bool
    managed: bool
    expires_at: datetime
    activated_at: datetime | None
    revoked_at: datetime | None
    revoked_reason: str | None
    revision: str | None
    source: SourceLocation | None
    certificates: tuple[CertificateView, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the document."""
        return {
            "name": self.name,
            "id": self.id,
            "peer": self.peer,
            "subjectUserId": self.subject_user_id,
            "scope": self.scope,
            "status": str(self.status),
            "suspended": self.suspended,
            "hold": hold_json(self.hold),
            "protect": self.protect,
            "managed": self.managed,
            "expiresAt": rfc3339(self.expires_at),
            "activatedAt": _time(self.activated_at),
            "revokedAt": _time(self.revoked_at),
            "revokedReason": self.revoked_reason,
            "revision": self.revision,
            "source": _source(self.source),
            "certificates": [
                {**each.as_json(), "use": _use(each.use)} for each in self.certificates
            ],
        }


@dataclass(frozen=True, slots=True)
class RemoteView:
    """What an outbound peer's gateway gave us; `grant` is the *grant* that it described last.

    `withdrawn` is what it took back of it: the document of a `Withdrawal`.
    """

    certificate: CertificateView | None
    grant: dict[str, Any] | None
    withdrawn: dict[str, str] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what the document of an outbound peer has besides."""
        fields = ("id", "name", "subjectUserId", "scope", "status", "expiresAt")
        grant, certificate = self.grant, self.certificate
        return {
            "certificate": certificate.as_json() if certificate is not None else None,
            "grant": {each: grant.get(each) for each in fields} if grant is not None else None,
            "withdrawn": self.withdrawn,
        }


@dataclass(frozen=True, slots=True)
class PeerView:
    """A peer in any state; `grants` are the names of its live grants, `remote` is an outbound's."""

    name: str
    id: str
    direction: str
    display_name: str
    labels: dict[str, str]
    endpoint: str | None
    status: PeerStatus
    hold: Hold | None
    managed: bool
    revision: str | None
    source: SourceLocation | None
    grants: tuple[str, ...]
    remote: RemoteView | None

    def as_json(self) -> dict[str, Any]:
        """Return the document."""
        return {
            "name": self.name,
            "id": self.id,
            "direction": self.direction,
            "displayName": self.display_name,
            "labels": dict(sorted(self.labels.items())),
            "endpoint": self.endpoint,
            "status": str(self.status),
            "hold": hold_json(self.hold),
            "managed": self.managed,
            "revision": self.revision,
            "source": _source(self.source),
            "grants": list(self.grants),
            **(self.remote.as_json() if self.remote is not None else {}),
        }


def hold_json(hold: Hold | None) -> dict[str, str] | None:
    """Return a hold as documents have it: its fields in the order of their names."""
    return dict(sorted(hold.as_json().items())) if hold is not None else None


def _source(location: SourceLocation | None) -> dict[str, Any] | None:
    return {"path": location.path, "line": location.line} if location is not None else None


def _use(use: Use | None) -> dict[str, Any] | None:
    if use is None:
        return None
    return {"count": use.count, "first": rfc3339(use.first), "last": rfc3339(use.last)}


def _time(at: datetime | None) -> str | None:
    return rfc3339(at) if at is not None else None
