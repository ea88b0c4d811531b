"""What a gateway answers with (DESIGN 13): *grant* and *issued*, as JSON values and bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.core.issuance.policy import renew_after
from reconciler.core.model.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.core.issuance.policy import GrantFacts
    from reconciler.core.issuance.x509 import CertificateFacts
    from reconciler.core.model.states import GrantStatus


@dataclass(frozen=True, slots=True)
class SignedLeaf:
    """A certificate that passed every check: PEM texts without the root, and its facts."""

    certificate: str
    chain: tuple[str, ...]
    facts: CertificateFacts


def grant_answer(grant: GrantFacts, status: GrantStatus) -> dict[str, Any]:
    """Return the *grant* of the contract."""
    return {
        "id": str(grant.id),
        "name": grant.name,
        "peer": grant.peer,
        "subjectUserId": grant.subject_user_id,
        "scope": grant.scope,
        "status": str(status),
        "expiresAt": rfc3339(grant.expires_at),
    }


def issued_answer(leaf: SignedLeaf, grant: GrantFacts, status: GrantStatus) -> str:
    """Return the *issued* of the contract, as the text that is stored and sent ever after."""
    facts = leaf.facts
    chain: Sequence[str] = leaf.chain
    return json.dumps(
        {
            "certificate": leaf.certificate,
            "chain": list(chain),
            "serial": facts.serial,
            "fingerprint": facts.fingerprint,
            "notBefore": rfc3339(facts.not_before),
            "notAfter": rfc3339(facts.not_after),
            "renewAfter": rfc3339(renew_after(facts.not_before, facts.not_after)),
            "grant": grant_answer(grant, status),
        },
        ensure_ascii=False,
    )
