"""What the database holds, as values: the other side of a diff."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.core.model.json_document import JsonDocument
from reconciler.core.model.states import GrantStatus, HoldKind, PeerStatus
from reconciler.core.model.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.core.model.ids import GrantId, PeerId
    from reconciler.core.model.spec import GrantSpec, PeerSpec, SourceLocation


@dataclass(frozen=True, slots=True)
class Hold(JsonDocument):
    """An operator's hold on a peer or a grant. Git cannot lift it.

    Rows and outputs share its JSON form.
    """

    kind: HoldKind
    by: str
    at: datetime
    reason: str

    @classmethod
    def from_json(cls, document: Mapping[str, str]) -> Hold:
        """Return the hold of the JSON form."""
        at = datetime.fromisoformat(document["at"])
        return cls(HoldKind(document["kind"]), document["by"], at, document["reason"])


@dataclass(frozen=True, slots=True)
class LiveCertificate(JsonDocument):
    """A certificate that carries authority today; `serial` in lower-case hex."""

    serial: str
    peer: str
    not_after: datetime


@dataclass(frozen=True, slots=True)
class ByHand:
    """The newest change of a row outside of our transactions: by which role, from where, when.

    `digest` is the `spec_digest` that it wrote, None where it left that as it was.
    """

    role: str
    application: str
    address: str | None
    at: datetime
    digest: str | None = None

    def __str__(self) -> str:
        """Return who and when, for people."""
        return f"{self.role} at {rfc3339(self.at.replace(microsecond=0))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _ObservedRow:
    """The live row of its name, or an ended one under a hold.

    A row's `spec` is what its columns say, `digest` what was stored beside them when they were
    written: a change by hand sets the two apart.
    """

    name: str
    digest: str
    status: PeerStatus | GrantStatus
    managed: bool
    place: SourceLocation | None = None
    revision: str | None = None
    hold: Hold | None = None
    certificates: tuple[LiveCertificate, ...] = ()
    by_hand: ByHand | None = None

    @property
    def ended(self) -> bool:
        """Whether the peer or grant is over for good."""
        return self.status.ended

    @property
    def held_revoked(self) -> bool:
        """Whether an operator's hold keeps this name from being created again."""
        return self.hold is not None and self.hold.kind is HoldKind.REVOKE


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedPeer(_ObservedRow):
    """A row of `federation_peers`."""

    id: PeerId
    spec: PeerSpec
    status: PeerStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedGrant(_ObservedRow):
    """A row of `federation_grants`.

    `status` is as readers see it: `expired` once `expires_at` has passed, whatever the column says.
    `peer_ended` tells that the row of its peer was revoked without it, which only SQL does.
    """

    id: GrantId
    peer_id: PeerId
    peer_ended: bool = False
    spec: GrantSpec
    status: GrantStatus


@dataclass(frozen=True, slots=True)
class Observed:
    """One snapshot of the rows that a plan needs, sorted by name, with the database's clock.

    `equal_peers` and `equal_grants` name the live rows that are what their manifests declare, of
    which nothing else was read.
    """

    now: datetime
    peers: tuple[ObservedPeer, ...] = ()
    grants: tuple[ObservedGrant, ...] = ()
    equal_peers: frozenset[str] = frozenset()
    equal_grants: frozenset[str] = frozenset()
