"""What the database holds, as values: the other side of a diff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.core.states import GrantStatus, HoldKind, PeerStatus
from reconciler.core.times import rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.ids import GrantId, PeerId
    from reconciler.core.spec import GrantSpec, PeerSpec, Place


@dataclass(frozen=True, slots=True)
class Hold:
    """An operator's brake on a peer or a grant. Git cannot lift it."""

    kind: HoldKind
    by: str
    at: datetime
    reason: str

    def as_json(self) -> dict[str, str]:
        """Return the JSON form that rows and outputs share."""
        return {
            "kind": str(self.kind),
            "by": self.by,
            "at": rfc3339(self.at),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class LiveCertificate:
    """A certificate that authority hangs on today; `serial` in lower-case hex."""

    serial: str
    peer: str
    not_after: datetime


@dataclass(frozen=True, slots=True)
class ObservedPeer:
    """A row of `federation_peers`: the live one of its name, or an ended one under a hold."""

    id: PeerId
    name: str
    spec: PeerSpec
    digest: str
    status: PeerStatus
    managed: bool
    place: Place | None = None
    revision: str | None = None
    hold: Hold | None = None
    certificates: tuple[LiveCertificate, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether the row can never hold again."""
        return self.status is PeerStatus.REVOKED

    @property
    def held_revoked(self) -> bool:
        """Whether an operator's brake keeps this name from being created again."""
        return self.hold is not None and self.hold.kind is HoldKind.REVOKE


@dataclass(frozen=True, slots=True)
class ObservedGrant:
    """A row of `federation_grants`: the live one of its name, or an ended one under a hold.

    `status` is as readers see it: `expired` once `expires_at` has passed, whatever the column says.
    """

    id: GrantId
    name: str
    peer_id: PeerId
    spec: GrantSpec
    digest: str
    status: GrantStatus
    managed: bool
    place: Place | None = None
    revision: str | None = None
    hold: Hold | None = None
    certificates: tuple[LiveCertificate, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether the row can never hold again."""
        return self.status.ended

    @property
    def held_revoked(self) -> bool:
        """Whether an operator's brake keeps this name from being created again."""
        return self.hold is not None and self.hold.kind is HoldKind.REVOKE


@dataclass(frozen=True, slots=True)
class Observed:
    """One snapshot of the rows that a plan needs, sorted by name, with the database's clock."""

    now: datetime
    peers: tuple[ObservedPeer, ...] = ()
    grants: tuple[ObservedGrant, ...] = ()
