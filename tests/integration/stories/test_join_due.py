"""`peer add` for a certificate that is due for renewal, or has expired before it was received."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.model.states import PeerStatus
from reconciler.core.model.times import rfc3339
from reconciler.crypto.certificates import fingerprint_of
from reconciler.crypto.client_certificate import verify_client_certificate
from reconciler.crypto.csr import make_csr
from reconciler.crypto.keys import generate_key
from reconciler.errors import Refused
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.gateways.grantor import token_status
from tests.support.gateways.joiner import AGED, ALPHA_AGED

if TYPE_CHECKING:
    from reconciler.core.issuance.x509 import SignedLeaf
    from reconciler.join import Joiner
    from reconciler.store.outbound.peers import Outbound
    from tests.support.gateways.grantor import Alpha
    from tests.support.gateways.joiner import Beta


@pytest.fixture
def due(alpha: Alpha, beta: Beta) -> Outbound:
    """A peer that is past two thirds of its certificate's life, as both sides' rows have it."""
    beta.join(alpha.invitation())
    lived = "UPDATE {} SET {}not_before = {}not_before - interval '96 hours'"
    alpha.rows.run(lived.format("federation_certificates", "", ""))
    beta.rows.run(lived.format("federation_peers", "cert_", "cert_"))
    return beta.held()


def test_a_peer_that_cannot_be_renewed_enrolls_by_a_new_invitation(
    alpha: Alpha, beta: Beta, due: Outbound
) -> None:
    """Its rows are those of a backup: the key of the certificate that it was renewed to is lost."""

    async def renew_with_a_lost_key(joiner: Joiner) -> None:
        pin = fingerprint_of(due.roots[0])
        async with joiner.connector.connect(due.endpoint, pin) as client:
            await client.renew(beta.key(), make_csr(generate_key()))

    beta.run(renew_with_a_lost_key)
    with pytest.raises(Refused, match="another key renews"):
        beta.renew()

    after = beta.join(alpha.invitation())

    assert after.csr_pem == due.csr_pem
    assert after.certificate is not None
    statuses = "SELECT serial, status::text FROM federation_certificates ORDER BY created_at"
    assert [tuple(row.values()) for row in alpha.rows.rows(statuses)][-1] == (
        after.certificate.serial,
        "issued",
    )
    issued = "SELECT count(*) FROM federation_certificates WHERE status = 'issued'"
    assert alpha.rows.one(issued) == 1, "what the lost key has is revoked"


def test_a_renewal_that_an_enrollment_overtakes_is_not_stored(
    alpha: Alpha, beta: Beta, due: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The enrollment has revoked what that one got."""
    invitation = alpha.invitation()

    def overtaken(*arguments: Any) -> SignedLeaf:
        monkeypatch.undo()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(beta.join, invitation).result()
        return verify_client_certificate(*arguments)

    monkeypatch.setattr("reconciler.renew.verify_client_certificate", overtaken)
    with pytest.raises(Refused, match="was changed by another command"):
        beta.renew()

    after = beta.held().certificate
    assert after is not None
    issued = "SELECT serial FROM federation_certificates WHERE status = 'issued'"
    assert after.serial == alpha.rows.one(issued)
    for rows, statement in ((alpha.rows, ALPHA_AGED), (beta.rows, AGED)):
        rows.run(statement)
    beta.renew()
    assert beta.held().certificate != after, "the next renewal goes on with the next key"


def test_a_new_enrollment_is_under_the_grant_as_it_is_now(
    alpha: Alpha, beta: Beta, due: Outbound
) -> None:
    alpha.rows.apply(peer_manifest(), grant_manifest("beta-tasks", rows=9))
    beta.renew()
    beta.rows.run(AGED)
    renewed = beta.held()
    assert renewed.withdrawn is not None
    assert renewed.withdrawn.what == "narrowed"

    assert beta.join(alpha.invitation()).withdrawn is None


def test_the_invitation_of_another_grant_is_not_spent(
    alpha: Alpha, beta: Beta, due: Outbound
) -> None:
    alpha.rows.apply(peer_manifest(), grant_manifest("beta-tasks"), grant_manifest("beta-notes"))
    invitation = alpha.invitation("beta-notes")

    error = beta.refused(invitation)

    assert (error.code, "is active" in error.message) == ("state_conflict", True)
    assert token_status(alpha, invitation.token) == "open"
    assert beta.held() == due


def test_an_invitation_that_is_void_is_told_as_such(
    alpha: Alpha, beta: Beta, due: Outbound
) -> None:
    void = alpha.invitation()
    alpha.invitation()

    assert beta.refused(void).code == "token_void"
    assert beta.held() == due


def test_a_command_that_is_run_again_after_the_certificate_has_expired_continues(
    alpha: Alpha, beta: Beta
) -> None:
    """The answer was lost, and nobody came back for longer than a certificate lasts."""
    invitation = alpha.invitation()
    alpha.trouble.lose = 99
    beta.refused(invitation, patience=timedelta())
    alpha.trouble.lose = 0
    expired = datetime.now(UTC) - timedelta(hours=1)
    alpha.rows.run(
        "UPDATE federation_certificates SET not_before = not_before - interval '25 hours',"
        " not_after = :expired, answer = jsonb_set(answer::jsonb, '{notAfter}', :text)",
        expired=expired,
        text=json.dumps(rfc3339(expired)),
    )

    after = beta.join(invitation)

    assert (after.status, token_status(alpha, invitation.token)) == (PeerStatus.ACTIVE, "spent")
    assert after.certificate is not None
    assert alpha.rows.one("SELECT count(*) FROM federation_certificates") == 2
