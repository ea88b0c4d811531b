"""The states of peers, grants, tokens and issuances, and the one table of legal moves.

The database holds the same table in its constraints and triggers; nothing else moves a status.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


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


PEER_MOVES: Final = frozenset(
    {
        (PeerStatus.PENDING, PeerStatus.ACTIVE),
        (PeerStatus.PENDING, PeerStatus.REVOKED),
        (PeerStatus.ACTIVE, PeerStatus.REVOKED),
    }
)

GRANT_MOVES: Final = frozenset(
    {
        (GrantStatus.PENDING, GrantStatus.ACTIVE),
        (GrantStatus.PENDING, GrantStatus.SUSPENDED),
        (GrantStatus.ACTIVE, GrantStatus.SUSPENDED),
        (GrantStatus.SUSPENDED, GrantStatus.ACTIVE),
    }
    | {
        (live, end)
        for live in (GrantStatus.PENDING, GrantStatus.ACTIVE, GrantStatus.SUSPENDED)
        for end in (GrantStatus.REVOKED, GrantStatus.EXPIRED)
    }
)

TOKEN_MOVES: Final = frozenset(
    {
        (TokenStatus.OPEN, TokenStatus.CLAIMED),
        (TokenStatus.CLAIMED, TokenStatus.SPENT),
        (TokenStatus.OPEN, TokenStatus.VOID),
        (TokenStatus.CLAIMED, TokenStatus.VOID),
    }
)

ISSUANCE_MOVES: Final = frozenset(
    {
        (IssuanceStatus.INTENT, IssuanceStatus.ISSUED),
        (IssuanceStatus.INTENT, IssuanceStatus.ABANDONED),
        (IssuanceStatus.INTENT, IssuanceStatus.REVOKING),
        (IssuanceStatus.ISSUED, IssuanceStatus.REVOKING),
        (IssuanceStatus.REVOKING, IssuanceStatus.REVOKED),
        (IssuanceStatus.REVOKING, IssuanceStatus.ABANDONED),
        (IssuanceStatus.REVOKED, IssuanceStatus.REVOKING),  # the CA's list lacks it
    }
)


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
