"""What happens to tokens, issuances, certificates, and the keys of outbound peers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.core.audit.event_base import (
    FROM,
    LIST,
    OMITTED,
    TIME,
    TO,
    GatewayEvent,
    Json,
    RowEvent,
)

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class GrantEnrolled(RowEvent):
    """A peer enrolled under a grant, whose status moved."""

    kinds = ("grant.enrolled",)
    before: str = field(metadata=FROM)
    after: str = field(metadata=TO)


@dataclass(frozen=True, slots=True)
class _PeerCertified(RowEvent):
    """An outbound peer has a certificate from the other gateway."""

    grant_id: str
    serial: str
    fingerprint: str
    not_after: datetime = field(metadata=TIME)


class PeerEnrolled(_PeerCertified):
    """An outbound peer is active."""

    __slots__ = ()
    kinds = ("peer.enrolled",)


class PeerRenewed(_PeerCertified):
    """An outbound peer has its next certificate."""

    __slots__ = ()
    kinds = ("peer.renewed",)


@dataclass(frozen=True, slots=True)
class PeerKeyStored(RowEvent):
    """An outbound peer has a key, sealed, to enroll with."""

    kinds = ("peer.key_stored",)
    replaced: bool


@dataclass(frozen=True, slots=True)
class PeerNextKeyStored(RowEvent):
    """An outbound peer has a key, sealed, to renew with."""

    kinds = ("peer.next_key_stored",)


@dataclass(frozen=True, slots=True)
class CredentialReleased(RowEvent):
    """An outbound peer's certificate and key left the database for the first time."""

    kinds = ("credential.released",)
    serial: str
    fingerprint: str
    destination: str


@dataclass(frozen=True, slots=True)
class PeerGrantWithdrawn(RowEvent):
    """The other gateway suspended, narrowed or ended the grant that it gave us."""

    kinds = ("peer.grant_withdrawn",)
    grant_id: str
    what: str


@dataclass(frozen=True, slots=True)
class PeerGrantRestored(RowEvent):
    """The other gateway took back nothing any more of the grant that it gave us."""

    kinds = ("peer.grant_restored",)
    grant_id: str


@dataclass(frozen=True, slots=True)
class TokenMinted(RowEvent):
    """A grant has an enrollment token; so many older ones are void."""

    kinds = ("token.minted",)
    token: str
    life_s: int
    voided: int


@dataclass(frozen=True, slots=True)
class IssuanceBegun(RowEvent):
    """A certificate is to be signed: by a token, or as the renewal of a serial."""

    kinds = ("issuance.begun",)
    serial: str
    spki_sha256: str
    address: str
    token: str | None = field(default=None, metadata=OMITTED)
    renews: str | None = field(default=None, metadata=OMITTED)


@dataclass(frozen=True, slots=True)
class IssuanceGivenUp(RowEvent):
    """No certificate came of an issuance; `revoke` tells whether the CA may have signed one."""

    kinds = ("issuance.given_up",)
    serial: str
    reason: str
    revoke: bool


@dataclass(frozen=True, slots=True)
class CertificateIssued(RowEvent):
    """A grant has a certificate; those of the serials that it supersedes end.

    `renews` is a serial, too; an earlier version recorded the id of its row.
    """

    kinds = ("certificate.issued",)
    serial: str
    fingerprint: str
    spki_sha256: str
    not_before: datetime = field(metadata=TIME)
    not_after: datetime = field(metadata=TIME)
    supersedes: tuple[str, ...] = field(default=(), metadata=LIST)
    renews: str | None = None


@dataclass(frozen=True, slots=True)
class CertificateRevokedAtCa(RowEvent):
    """The CA has revoked a serial; `status` is the issuance's after that."""

    kinds = ("certificate.revoked_at_ca",)
    serial: str
    status: str


@dataclass(frozen=True, slots=True)
class CertificateRequeued(RowEvent):
    """A serial is to be revoked at the CA once more."""

    kinds = ("certificate.requeued",)
    serial: str
    reason: str


@dataclass(frozen=True, slots=True)
class CertificateRevokedElsewhere(RowEvent):
    """The CA's list has a certificate that nobody revoked here; it ends here too.

    step-ca lets whoever has a certificate's key revoke it over TLS, and so does the key of any
    provisioner.
    """

    kinds = ("certificate.revoked_elsewhere",)
    serial: str


@dataclass(frozen=True, slots=True)
class TheftSuspected(RowEvent):
    """Somebody came with the right secret, and another key than its own: first within an hour.

    The secret is a token, or the key of a certificate; `seen_at` is when, as a record may be late.
    """

    kinds = ("theft.suspected",)
    code: str
    token: str | None
    spki_sha256: str
    address: str
    certificate: str | None = field(default=None, metadata=OMITTED)
    seen_at: datetime | None = field(default=None, metadata=TIME | OMITTED)


@dataclass(frozen=True, slots=True)
class TheftRepeated(GatewayEvent):
    """How often the signals of these records came again, since the last such record."""

    kinds = ("theft.repeated",)
    repeats: tuple[Json, ...] = field(metadata=LIST)
    subject: str = "gateway"


@dataclass(frozen=True, slots=True)
class TheftAcknowledged(RowEvent):
    """A person has seen the signal of a record."""

    kinds = ("theft.acknowledged",)
    record: int
    secret: str


@dataclass(frozen=True, slots=True)
class KeyRewrapped(GatewayEvent):
    """A sealed value has another sealing key. `subject` is its peer."""

    kinds = ("key.rewrapped",)
    before: str = field(metadata=FROM)
    after: str = field(metadata=TO)
    subject: str
