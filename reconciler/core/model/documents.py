"""Peers and grants as commands show them, and the JSON documents that they print.

A key, sealed or not, is in none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.core.model.json_document import JsonDocument, document_of, json_value

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.model.certificate_use import Use
    from reconciler.core.model.observed import Hold
    from reconciler.core.model.spec import SourceLocation
    from reconciler.core.model.states import GrantStatus, PeerStatus


@dataclass(frozen=True, slots=True)
class CertificateView(JsonDocument):
    """A certificate of a grant, or the one that an outbound peer's gateway gave us.

    `use` is what was asked about it at `/authorize`, None if nothing.
    """

    serial: str
    fingerprint: str
    status: str
    not_before: datetime
    not_after: datetime
    use: Use | None = None


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
        return document_of(self) | {"hold": hold_json(self.hold)}


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
        grant, certificate = self.grant, json_value(self.certificate)
        if certificate is not None:
            del certificate["use"]  # what a grantor's own certificates have
        return {
            "certificate": certificate,
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
        document = document_of(self)
        del document["remote"]
        labels = dict(sorted(self.labels.items()))
        remote = self.remote.as_json() if self.remote is not None else {}
        return document | {"labels": labels, "hold": hold_json(self.hold)} | remote


def hold_json(hold: Hold | None) -> dict[str, str] | None:
    """Return a hold as documents have it: its fields in the order of their names."""
    return dict(sorted(hold.as_json().items())) if hold is not None else None
