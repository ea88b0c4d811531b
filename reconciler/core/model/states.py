"""The states of peers, grants, tokens and issuances.

Which moves from one to another are legal is held by the database, in its table of moves.
"""

from __future__ import annotations

from enum import StrEnum


class PeerStatus(StrEnum):
    """`federation_peer_status` in the database."""

    PENDING = "pending"
    ACTIVE = "active"
    REVOKED = "revoked"

    @property
    def ended(self) -> bool:
        """Whether the peer is over for good."""
        return self is PeerStatus.REVOKED


class GrantStatus(StrEnum):
    """`federation_grant_status` in the database."""

    PENDING = "pending"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        """Whether the grant is over for good."""
        return self in (GrantStatus.REVOKED, GrantStatus.EXPIRED)


class TokenStatus(StrEnum):
    """The life of an enrollment token."""

    OPEN = "open"
    CLAIMED = "claimed"
    SPENT = "spent"
    VOID = "void"


class IssuanceStatus(StrEnum):
    """The life of one certificate, from before it is signed."""

    INTENT = "intent"
    ISSUED = "issued"
    REVOKING = "revoking"
    REVOKED = "revoked"
    ABANDONED = "abandoned"


class HoldKind(StrEnum):
    """An operator's hold: `suspend` withholds authority, `revoke` ends it for good."""

    SUSPEND = "suspend"
    REVOKE = "revoke"


def live_grant_status(current: GrantStatus, *, suspended: bool) -> GrantStatus:
    """Return the status of a grant that has not ended, with `suspended` as given.

    A pending grant stays pending: only an enrollment moves it (to `suspended` if it is).
    """
    if current is GrantStatus.PENDING or current.ended:
        return current
    return GrantStatus.SUSPENDED if suspended else GrantStatus.ACTIVE


def enrolled_grant_status(*, suspended: bool) -> GrantStatus:
    """Return the status of a grant whose peer has just enrolled."""
    return GrantStatus.SUSPENDED if suspended else GrantStatus.ACTIVE
