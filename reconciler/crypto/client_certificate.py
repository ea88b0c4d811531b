"""The certificate that another gateway issued to us, checked by the side that holds the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.issuance.x509 import GrantIdentity, SignedLeaf, check_enrolled
from reconciler.core.model.text import printable
from reconciler.crypto.certificates import plain_pem, read_certificate, verify_chain
from reconciler.errors import MosaicError, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from reconciler.core.issuance.contract import IssuedDocument
    from reconciler.core.issuance.x509 import CertificateFacts


def verify_client_certificate(
    issued: IssuedDocument, spki_sha256: str, roots: Sequence[str], at: datetime, oid_arc: str
) -> SignedLeaf:
    """Return the certificate of an answer, once it is the one that was asked for.

    (1) it chains to one of the roots, and is valid at that moment;
    (2) it carries the answer's grant and subject user, our key, and our usage, and nothing else;
    (3) the answer states the same facts as the certificate itself;
    (4) what else stands in its texts is left out: files are made of them, one after the other.

    `oid_arc` is the arc that is expected. Another one is as good where the certificate has exactly
    two otherNames, `<arc>.1` and `<arc>.2`: each operator has an arc of its own.

    Raises:
        Refused: `peer_wrong_answer`.
    """
    try:
        facts = read_certificate(issued.certificate)
        verify_chain(issued.certificate, issued.chain, roots, at)  # (1)
        grant = issued.grant
        identity = GrantIdentity(grant.id, grant.subject_user_id, _arc_of(facts, oid_arc))
        check_enrolled(facts, spki_sha256, identity)  # (2)
        _check_stated_facts(issued, facts)  # (3)
    except (MosaicError, ValueError) as error:
        raise Refused(
            "peer_wrong_answer",
            f"the certificate is not the one that was requested: {printable(str(error), 300)}",
            hint="it is not used; report this message to the grantor",
        ) from None
    chain = tuple(map(plain_pem, issued.chain))
    return SignedLeaf(plain_pem(issued.certificate), chain, facts)  # (4)


def _arc_of(facts: CertificateFacts, expected: str) -> str:
    """Return the arc that both otherNames are under, or the expected one."""
    arcs = {oid.rpartition(".")[0] for oid, _ in facts.other_names}
    return arcs.pop() if len(arcs) == 1 else expected


def _check_stated_facts(issued: IssuedDocument, facts: CertificateFacts) -> None:
    stated = (issued.serial, issued.fingerprint, issued.not_before, issued.not_after)
    if stated != (facts.serial, facts.fingerprint, facts.not_before, facts.not_after):
        raise ValueError("the answer differs from the certificate")
