"""Outbound peers: what we hold of another gateway, in the row of its name.

A row is `pending` until it holds a certificate. Its key is stored, sealed, before any token is
spent. Every write locks the row first, and is made only where the row still holds the CSR that the
caller has seen: of two commands at once, one succeeds and the other is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.audit.certificate_events import (
    PeerEnrolled,
    PeerKeyStored,
    PeerNextKeyStored,
    PeerRenewed,
)
from reconciler.core.audit.event_base import RowRef, peer_ref
from reconciler.core.issuance.withdrawal import Withdrawal
from reconciler.core.model.ids import PeerId
from reconciler.core.model.states import PeerStatus
from reconciler.crypto.certificates import read_certificate, split_pem
from reconciler.crypto.csr import parse_csr
from reconciler.crypto.seal import SealContext
from reconciler.errors import Refused
from reconciler.store.audit import log as audit
from reconciler.store.db import as_json
from reconciler.store.outbound.remote_grant import store_grant

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from reconciler.core.issuance.contract import GrantDocument
    from reconciler.core.issuance.x509 import SignedLeaf
    from reconciler.store.db import Tx


@dataclass(frozen=True, slots=True)
class HeldCertificate:
    """The certificate that we show to the other gateway."""

    pem: str = field(repr=False)
    serial: str
    fingerprint: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A key that is about to be enrolled: sealed for its row, its CSR, and the roots (PEM)."""

    sealed: bytes = field(repr=False)
    csr_pem: str = field(repr=False)
    roots: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outbound:
    """A live outbound peer; `grant` is the *grant* as its grantor last described it."""

    id: PeerId
    name: str
    endpoint: str
    status: PeerStatus
    sealed_key: bytes | None = field(default=None, repr=False)
    csr_pem: str | None = field(default=None, repr=False)
    roots: tuple[str, ...] = field(default=(), repr=False)
    next_sealed_key: bytes | None = field(default=None, repr=False)
    next_csr_pem: str | None = field(default=None, repr=False)
    certificate: HeldCertificate | None = None
    grant: dict[str, Any] | None = None
    withdrawn: Withdrawal | None = None

    @property
    def has_pair(self) -> bool:
        """Whether the certificate is of the stored key, which may be waiting for one of its own."""
        if self.certificate is None or self.csr_pem is None:
            return False
        certified = read_certificate(self.certificate.pem).spki_sha256
        return parse_csr(self.csr_pem).facts.spki_sha256 == certified


NEXT_KEY: Final = "next_client_key_pem"  # the column

_ROW: Final = (
    "SELECT id, name, endpoint_url, status::text AS status, client_key_pem, csr_pem, cert_pem,"
    " cert_serial, cert_fingerprint, cert_not_before, cert_not_after, remote_grant, withdrawn,"
    " roots_pem, next_client_key_pem, next_csr_pem"
    " FROM federation_peers WHERE direction = 'outbound' AND status <> 'revoked'"
)


def find(tx: Tx, name: str) -> Outbound:
    """Return the live outbound peer of the name.

    Raises:
        Refused: `name_unknown`.
    """
    row = tx.row(f"{_ROW} AND name = :name", name=name)
    if row is None:
        raise Refused(
            "name_unknown",
            f"there is no live outbound peer {name!r}",
            hint="see `mosaic federation peer list`",
        )
    return _outbound(row)


def client_key_context(peer_id: UUID, column: str = "client_key_pem") -> SealContext:
    """Return the place of an outbound peer's sealed key."""
    return SealContext("client key", "federation_peers", column, str(peer_id))


def store_pending(tx: Tx, peer: Outbound, key: ClientKey, actor: str) -> Outbound:
    """Store a key and its CSR in place of what `peer` has; return the row as it is now.

    Raises:
        Refused: `state_conflict`: the row has changed, or is revoked.
    """
    _lock(tx, peer)
    _store_key(tx, peer, key)
    stored = PeerKeyStored(peer_ref(peer.id, peer.name), replaced=peer.csr_pem is not None)
    audit.append(tx, actor, [stored])
    return find(tx, peer.name)


def active_peers(tx: Tx) -> list[Outbound]:
    """Return the active outbound peers, in the order in which their certificates expire."""
    rows = tx.rows(f"{_ROW} AND status = 'active' ORDER BY cert_not_after, id")
    return [_outbound(row) for row in rows]


def store_next(tx: Tx, peer: Outbound, key: ClientKey, actor: str) -> Outbound:
    """Store the key that `peer` is renewed with; the row's own where another was first.

    Raises:
        Refused: `state_conflict`: the row has changed, or is revoked.
    """
    _lock(tx, peer)
    stored = tx.run(
        "UPDATE federation_peers SET next_client_key_pem = :sealed, next_csr_pem = :csr"
        " WHERE id = :id AND next_csr_pem IS NULL",
        id=peer.id,
        sealed=key.sealed,
        csr=key.csr_pem,
    )
    if stored:
        audit.append(tx, actor, [PeerNextKeyStored(peer_ref(peer.id, peer.name))])
    return find(tx, peer.name)


def store_renewal(
    tx: Tx, peer: Outbound, key: ClientKey, leaf: SignedLeaf, grant: GrantDocument, actor: str
) -> None:
    """Store a certificate that has been verified for the next key of `peer`, and that key.

    Raises:
        Refused: `state_conflict`: the row has changed, or is revoked.
    """
    _lock(tx, peer)
    _store_key(tx, peer, key)
    _store_certificate(tx, peer, leaf, grant, key.roots)
    audit.append(tx, actor, [PeerRenewed(*_certificate_facts(peer, leaf, grant))])
    store_grant(tx, peer.id, peer.name, grant, actor)


def activate(
    tx: Tx,
    peer: Outbound,
    leaf: SignedLeaf,
    grant: GrantDocument,
    roots: tuple[str, ...],
    actor: str,
) -> Outbound:
    """Store a certificate that has been verified for the key of `peer`; the peer is active.

    Raises:
        Refused: `state_conflict`: the row has changed, or is revoked.
    """
    _lock(tx, peer)
    _store_certificate(tx, peer, leaf, grant, roots)
    audit.append(tx, actor, [PeerEnrolled(*_certificate_facts(peer, leaf, grant))])
    store_grant(tx, peer.id, peer.name, grant, actor, enrolled=True)
    return find(tx, peer.name)


def _store_key(tx: Tx, peer: Outbound, key: ClientKey) -> None:
    """Store a key in place of those of the row."""
    tx.run(
        "UPDATE federation_peers SET client_key_pem = :sealed, csr_pem = :csr, roots_pem = :roots,"
        " next_client_key_pem = NULL, next_csr_pem = NULL WHERE id = :id",
        id=peer.id,
        sealed=key.sealed,
        csr=key.csr_pem,
        roots="".join(key.roots),
    )


def _store_certificate(
    tx: Tx, peer: Outbound, leaf: SignedLeaf, grant: GrantDocument, roots: tuple[str, ...]
) -> None:
    tx.run(
        "UPDATE federation_peers SET status = 'active',"
        " activated_at = COALESCE(activated_at, clock_timestamp()), cert_pem = :pem,"
        " cert_chain_pem = :chain, roots_pem = :roots, cert_serial = :serial,"
        " cert_fingerprint = :fingerprint, cert_not_before = :not_before,"
        " cert_not_after = :not_after, remote_grant = CAST(:grant AS jsonb) WHERE id = :id",
        id=peer.id,
        pem=leaf.certificate,
        chain="".join(leaf.chain),
        roots="".join(roots),
        serial=leaf.facts.serial,
        fingerprint=leaf.facts.fingerprint,
        not_before=leaf.facts.not_before,
        not_after=leaf.facts.not_after,
        grant=as_json(grant.as_json()),
    )


def _certificate_facts(
    peer: Outbound, leaf: SignedLeaf, grant: GrantDocument
) -> tuple[RowRef, str, str, str, datetime]:
    facts = leaf.facts
    return peer_ref(peer.id, peer.name), grant.id, facts.serial, facts.fingerprint, facts.not_after


def certified(tx: Tx, name: str) -> Outbound:
    """Return the live outbound peer of the name, with its certificate and sealed key.

    Raises:
        Refused: `name_unknown`, or `state_conflict` if it has no certificate yet.
    """
    peer = find(tx, name)
    if peer.certificate is None or peer.sealed_key is None:
        raise Refused(
            "state_conflict",
            f"the peer {name!r} has no certificate yet",
            hint=f"enroll it: `mosaic federation peer add INVITATION --name {name}`",
        )
    return peer


def _lock(tx: Tx, peer: Outbound) -> None:
    # the fence: who stored a key or a certificate has changed one; an enrollment revokes others
    live = "FROM federation_peers WHERE id = :id AND status <> 'revoked' FOR NO KEY UPDATE"
    row = tx.row(f"SELECT csr_pem, cert_serial {live}", id=peer.id)
    serial = peer.certificate and peer.certificate.serial
    if row != {"csr_pem": peer.csr_pem, "cert_serial": serial}:
        raise Refused(
            "state_conflict",
            f"the peer {peer.name!r} was changed by another command",
            hint=f"see `mosaic federation peer show {peer.name}`, then run the command again: "
            "a certificate that was issued is picked up",
        )


def _outbound(row: dict[str, Any]) -> Outbound:
    certificate = None
    if row["cert_pem"] is not None:
        certificate = HeldCertificate(
            pem=row["cert_pem"],
            serial=row["cert_serial"],
            fingerprint=row["cert_fingerprint"],
            not_before=row["cert_not_before"],
            not_after=row["cert_not_after"],
        )
    sealed, next_sealed = row["client_key_pem"], row["next_client_key_pem"]
    return Outbound(
        id=PeerId(row["id"]),
        name=row["name"],
        endpoint=row["endpoint_url"],
        status=PeerStatus(row["status"]),
        sealed_key=None if sealed is None else bytes(sealed),
        csr_pem=row["csr_pem"],
        roots=split_pem(row["roots_pem"]) if row["roots_pem"] else (),
        next_sealed_key=None if next_sealed is None else bytes(next_sealed),
        next_csr_pem=row["next_csr_pem"],
        certificate=certificate,
        grant=row["remote_grant"],
        withdrawn=Withdrawal.from_json(row["withdrawn"]) if row["withdrawn"] else None,
    )


def sealed_keys(tx: Tx) -> list[tuple[SealContext, bytes]]:
    """Return every sealed key of outbound peers, and its place."""
    rows = tx.rows(
        "SELECT id, client_key_pem, next_client_key_pem FROM federation_peers"
        " WHERE num_nonnulls(client_key_pem, next_client_key_pem) > 0 ORDER BY id"
    )
    return [
        (client_key_context(row["id"], column), bytes(row[column]))
        for row in rows
        for column in ("client_key_pem", NEXT_KEY)
        if row[column] is not None
    ]
