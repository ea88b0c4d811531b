"""What another gateway answered (DESIGN 13), as values of the right shape; true is another matter.

Whether a certificate is the one that was asked for is for `join` to check, against the key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconciler.core.model.times import rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.model.states import GrantStatus


@dataclass(frozen=True, slots=True)
class TokenState:
    """A token that an enrollment would take now: `status` is `open` or `claimed`."""

    status: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RemoteGrant:
    """The *grant* of the contract, as its grantor tells it; `scope` is a JSON object."""

    id: str
    name: str
    peer: str
    subject_user_id: str
    scope: dict[str, Any]
    status: GrantStatus
    expires_at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object of the contract."""
        return {
            "id": self.id,
            "name": self.name,
            "peer": self.peer,
            "subjectUserId": self.subject_user_id,
            "scope": self.scope,
            "status": str(self.status),
            "expiresAt": rfc3339(self.expires_at),
        }


@dataclass(frozen=True, slots=True)
class IssuedAnswer:
    """The *issued* of the contract: PEM texts, the chain without leaf and root."""

    certificate: str = field(repr=False)
    chain: tuple[str, ...] = field(repr=False)
    serial: str
    fingerprint: str
    not_before: datetime
    not_after: datetime
    renew_after: datetime
    grant: RemoteGrant
