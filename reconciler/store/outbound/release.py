"""Releases: what `peer credentials` and the credentials' job need of a row, and leave in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.audit.certificate_events import CredentialReleased
from reconciler.core.audit.event_base import peer_ref
from reconciler.core.issuance.withdrawal import WithdrawalKind
from reconciler.core.model.documents import CertificateView, RemoteView
from reconciler.errors import Refused
from reconciler.store.audit import log as audit
from reconciler.store.outbound import peers

if TYPE_CHECKING:
    from reconciler.store.db import Tx
    from reconciler.store.outbound.peers import Outbound

# peers whose credential is of use: active, with a grant that has not ended over there
_USABLE: Final = """
SELECT name, cert_serial AS serial, remote_grant AS grant
FROM federation_peers
WHERE direction = 'outbound' AND status = 'active' AND cert_pem IS NOT NULL
    AND withdrawn ->> 'what' IS DISTINCT FROM 'ended'
ORDER BY name
"""


@dataclass(frozen=True, slots=True)
class UsablePeer:
    """A peer whose credential can be used, and what tells one credential from the next."""

    name: str
    serial: str
    grant: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Releasable:
    """A row that is released: the peer, and its certificate's chain as PEM texts."""

    peer: Outbound
    chain: str

    def document(self) -> dict[str, Any]:
        """Return the content of `grant.json`."""
        certificate = self.peer.certificate
        assert certificate is not None
        view = CertificateView(
            serial=certificate.serial,
            fingerprint=certificate.fingerprint,
            status="issued",
            not_before=certificate.not_before,
            not_after=certificate.not_after,
        )
        document = RemoteView(view, self.peer.grant).as_json()
        return {"grant": document["grant"], "certificate": document["certificate"]}


def usable_peers(tx: Tx) -> list[UsablePeer]:
    """Return the peers whose credential is kept in a folder, by name."""
    return [UsablePeer(**row) for row in tx.rows(_USABLE)]


def usable_peer(tx: Tx, name: str) -> Outbound:
    """Return the outbound peer of the name, whose credential can be used.

    Raises:
        Refused: `name_unknown`; `state_conflict`: there is no certificate, or it is of an earlier
            key, or the grant has ended.
    """
    peer = peers.certified(tx, name)
    if not peer.has_pair:
        raise Refused(
            "state_conflict",
            f"the certificate of the peer {name!r} is of an earlier key: it is being enrolled",
            hint=f"finish that: `mosaic federation peer add INVITATION --name {name}`",
        )
    if peer.withdrawn is not None and peer.withdrawn.what is WithdrawalKind.ENDED:
        raise Refused(
            "state_conflict",
            f"the grant of the peer {name!r} has ended over there: its credential is of no use",
            hint="ask the grantor for a new invitation: `mosaic federation peer add INVITATION"
            f" --name {name}`",
        )
    return peer


def release(tx: Tx, name: str, destination: str, actor: str) -> Releasable:
    """Return the row whose credential goes to `destination`; a first release is recorded.

    Raises:
        Refused: `name_unknown`; `state_conflict`: there is no certificate, or the grant has ended.
    """
    row = tx.one(
        "SELECT cert_chain_pem AS chain FROM federation_peers WHERE id = :id FOR NO KEY UPDATE",
        id=peers.find(tx, name).id,
    )
    peer = usable_peer(tx, name)  # as it is under the lock
    assert peer.certificate is not None
    first = tx.run(
        "UPDATE federation_peers SET released_serial = cert_serial"
        " WHERE id = :id AND released_serial IS DISTINCT FROM cert_serial",
        id=peer.id,
    )
    if first:
        facts = peer.certificate
        event = CredentialReleased(
            peer_ref(peer.id, name), facts.serial, facts.fingerprint, destination
        )
        audit.append(tx, actor, [event])
    return Releasable(peer, row["chain"] or "")


def forget_failures(tx: Tx) -> None:
    """Record that no peer's credential is to be in use here: no folder is kept."""
    tx.run("UPDATE federation_peers SET credential_error = NULL WHERE credential_error IS NOT NULL")


def record_failure(tx: Tx, name: str, error: str | None) -> None:
    """Record why a peer's credential is not in use (its hook failed); None: it is."""
    tx.run(
        "UPDATE federation_peers SET credential_error = :error WHERE name = :name"
        " AND direction = 'outbound' AND status = 'active'"
        " AND credential_error IS DISTINCT FROM :error",
        name=name,
        error=error,
    )
