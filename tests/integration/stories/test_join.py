"""Joining another gateway: over real TLS, against the real endpoint, step-ca and PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.issuance.x509 import OID_CLIENT_AUTH
from reconciler.core.model.states import PeerStatus
from reconciler.crypto.certificates import read_certificate
from reconciler.crypto.keyring import FileKeyring
from reconciler.crypto.keys import spki_sha256
from reconciler.errors import MosaicError, Refused, Retry
from reconciler.join import Joiner, join
from reconciler.store.audit import log as audit
from reconciler.store.outbound import peers
from tests.support.gateways.enrollee import Enrollee, grant_manifest, peer_manifest
from tests.support.gateways.grantor import token_status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.gateways.grantor import Alpha
    from tests.support.gateways.joiner import Beta


def certificates(alpha: Alpha) -> list[str]:
    rows = alpha.rows.rows("SELECT status::text FROM federation_certificates ORDER BY created_at")
    return [row["status"] for row in rows]


def test_an_invitation_becomes_an_active_peer(alpha: Alpha, beta: Beta) -> None:
    invitation = alpha.invitation()
    done = beta.join(invitation)
    assert done == beta.held()
    assert done.status is PeerStatus.ACTIVE
    assert done.certificate is not None
    assert done.grant is not None
    facts = read_certificate(done.certificate.pem)
    assert facts.spki_sha256 == spki_sha256(beta.key().public_key())
    assert facts.extended_key_usage == (OID_CLIENT_AUTH,)
    assert [value for _, value in facts.other_names] == [done.grant["id"], "maria@alpha.example"]
    assert done.grant["name"] == "beta-tasks"
    assert alpha.rows.grant_status("beta-tasks") == "active"
    assert token_status(alpha, invitation.token) == "spent"


def test_the_key_is_sealed_and_no_secret_is_in_row_or_audit(alpha: Alpha, beta: Beta) -> None:
    invitation = alpha.invitation()
    done = beta.join(invitation)
    assert done.sealed_key is not None
    assert done.sealed_key.startswith(b"MSEAL1")
    assert b"PRIVATE" not in done.sealed_key
    with beta.rows.database.transaction() as tx:
        text = str(tx.rows("SELECT row_to_json(p)::text FROM federation_peers AS p"))
        text += str(tx.rows("SELECT body FROM federation_audit_log"))
        verified = audit.verify(tx)
    assert (verified.last.seq > 0, verified.chain_break) == (True, None)
    assert invitation.token.secret not in text
    assert "PRIVATE KEY" not in text
    assert [len(beta.rows.audited(kind)) for kind in ("peer.key_stored", "peer.enrolled")] == [1, 1]
    assert "BEGIN" not in repr(done)


def test_the_stored_pair_is_found(alpha: Alpha, beta: Beta) -> None:
    with beta.rows.database.transaction() as tx, pytest.raises(Refused) as caught:
        peers.certified(tx, "alpha")
    assert caught.value.code == "state_conflict"
    done = beta.join(alpha.invitation())
    with beta.rows.database.transaction() as tx:
        held = peers.certified(tx, "alpha")
    assert done.certificate is not None
    assert (held.certificate, held.sealed_key) == (done.certificate, done.sealed_key)


def test_the_key_is_committed_before_the_token_is_sent(alpha: Alpha, beta: Beta) -> None:
    invitation = alpha.invitation()
    alpha.trouble.refuse = 99
    error = beta.refused(invitation, patience=timedelta())
    assert isinstance(error, Retry)
    assert "same command again" in error.hint
    pending = beta.held()
    assert (pending.status, pending.certificate) == (PeerStatus.PENDING, None)
    assert pending.sealed_key is not None
    assert token_status(alpha, invitation.token) == "open"
    alpha.trouble.refuse = 0
    assert beta.join(invitation).csr_pem == pending.csr_pem  # with the same key


def test_it_waits_as_long_as_it_is_asked_to(alpha: Alpha, beta: Beta) -> None:
    alpha.trouble.refuse = 1
    assert beta.join(alpha.invitation()).status is PeerStatus.ACTIVE
    assert certificates(alpha) == ["issued"]


def test_a_lost_answer_is_picked_up_by_a_proof_of_the_key(alpha: Alpha, beta: Beta) -> None:
    alpha.trouble.lose = 1
    assert beta.join(alpha.invitation()).status is PeerStatus.ACTIVE
    assert certificates(alpha) == ["issued"]


@pytest.mark.parametrize("again", ["the same", "a new"])
def test_after_a_crash_the_certificate_is_picked_up_and_a_new_invitation_stays_unspent(
    alpha: Alpha, beta: Beta, again: str
) -> None:
    invitation = alpha.invitation()
    alpha.trouble.lose = 99
    assert isinstance(beta.refused(invitation, patience=timedelta()), Retry)
    assert token_status(alpha, invitation.token) == "spent"
    assert beta.held().status is PeerStatus.PENDING
    second = invitation if again == "the same" else alpha.invitation()
    assert beta.join(second).status is PeerStatus.ACTIVE
    assert certificates(alpha) == ["issued"]
    if again == "a new":
        assert token_status(alpha, second.token) == "open"


def test_an_invitation_that_another_has_used_says_so(alpha: Alpha, beta: Beta) -> None:
    invitation = alpha.invitation()
    with alpha.running.client() as client:
        assert Enrollee().enroll(client, invitation.token).status_code == 201
    error = beta.refused(invitation)
    assert (error.code, beta.held().status) == ("token_spent", PeerStatus.PENDING)
    assert "not by this peer's key" in error.message


def test_an_active_peer_does_not_spend_another_invitation(alpha: Alpha, beta: Beta) -> None:
    before = beta.join(alpha.invitation())
    second = alpha.invitation()
    error = beta.refused(second)
    assert error.code == "state_conflict"
    assert "is active" in error.message
    assert token_status(alpha, second.token) == "open"
    assert beta.held() == before


def test_the_same_command_again_changes_nothing(alpha: Alpha, beta: Beta) -> None:
    invitation = alpha.invitation()
    before = beta.join(invitation)
    assert beta.join(invitation) == before
    assert len(beta.rows.audited("peer.enrolled")) == 1


def test_a_clock_that_is_wrong_stops_before_the_token_is_sent(alpha: Alpha, beta: Beta) -> None:
    invitation = alpha.invitation()
    behind = timedelta(minutes=5)
    error = beta.refused(invitation, clock=lambda: datetime.now(UTC) - behind)
    assert "behind" in error.message
    assert token_status(alpha, invitation.token) == "open"
    assert beta.held().sealed_key is None


def test_a_grant_that_took_the_place_of_an_ended_one_gets_a_new_key(
    alpha: Alpha, beta: Beta
) -> None:
    before = beta.join(alpha.invitation())
    alpha.rows.apply(peer_manifest(), grant_manifest("beta-tasks", subject="someone-else"))
    after = beta.join(alpha.invitation())
    assert before.grant is not None
    assert after.grant is not None
    assert after.csr_pem != before.csr_pem
    assert after.grant["subjectUserId"] == "someone-else"
    assert after.grant["id"] != before.grant["id"]
    assert after.certificate is not None
    facts = read_certificate(after.certificate.pem)
    assert facts.spki_sha256 == spki_sha256(beta.key().public_key())


def test_a_lost_answer_for_a_new_key_takes_the_place_of_an_older_keys_longer_certificate(
    alpha: Alpha, beta: Beta
) -> None:
    beta.join(alpha.invitation())
    shorter = grant_manifest("beta-tasks", subject="someone-else", lifetime="1h")
    alpha.rows.apply(peer_manifest(), shorter)
    invitation = alpha.invitation()
    alpha.trouble.lose = 99
    beta.refused(invitation, patience=timedelta())
    after = beta.join(invitation)
    assert after.certificate is not None
    facts = read_certificate(after.certificate.pem)
    assert facts.spki_sha256 == spki_sha256(beta.key().public_key())


def test_a_certificate_that_was_revoked_over_there_is_replaced_with_the_same_key(
    alpha: Alpha, beta: Beta
) -> None:
    before = beta.join(alpha.invitation())
    alpha.rows.run("UPDATE federation_certificates SET status = 'revoking'")
    after = beta.join(alpha.invitation())
    assert after.csr_pem == before.csr_pem
    assert after.certificate != before.certificate


def test_a_key_that_serves_another_grant_is_replaced_once(alpha: Alpha, beta: Beta) -> None:
    alpha.trouble.refuse = 99
    beta.refused(alpha.invitation(), patience=timedelta())
    alpha.trouble.refuse = 0
    before = beta.held()
    alpha.rows.apply(peer_manifest(), grant_manifest("beta-tasks"), grant_manifest("beta-notes"))
    alpha.rows.run(
        "INSERT INTO federation_keys SELECT :spki, id FROM federation_grants"
        " WHERE name = 'beta-tasks'",
        spki=spki_sha256(beta.key().public_key()),
    )
    after = beta.join(alpha.invitation("beta-notes"))
    assert after.csr_pem != before.csr_pem
    assert after.grant is not None
    assert after.grant["name"] == "beta-notes"


def test_an_invitation_for_another_host_touches_nothing(alpha: Alpha, beta: Beta) -> None:
    invitation = replace(alpha.invitation(), base_url="https://elsewhere.example")
    error = beta.refused(invitation)
    assert error.code == "state_conflict"
    assert "elsewhere.example" in error.message
    assert beta.held().sealed_key is None


def test_a_peer_that_is_not_there_is_named(alpha: Alpha, beta: Beta) -> None:
    with pytest.raises(Refused) as caught:
        beta.run(lambda joiner: join(joiner, "gamma", alpha.invitation()))
    assert (caught.value.code, "gamma" in caught.value.message) == ("name_unknown", True)


def test_an_unusable_token_leaves_a_pending_row_that_the_next_one_completes(
    alpha: Alpha, beta: Beta
) -> None:
    old = alpha.invitation()
    new = alpha.invitation()  # the old one is void
    error = beta.refused(old)
    assert (error.code, beta.held().status) == ("token_void", PeerStatus.PENDING)
    before = beta.held().csr_pem
    assert beta.join(new).csr_pem == before


def test_a_keyring_that_lost_the_key_is_told_before_anything_is_sent(
    alpha: Alpha, beta: Beta, tmp_path: Path
) -> None:
    invitation = alpha.invitation()
    alpha.trouble.refuse = 99
    beta.refused(invitation, patience=timedelta())
    alpha.trouble.refuse = 0
    error = beta.refused(invitation, keys=FileKeyring.create(tmp_path / "other"))
    assert error.code == "keyring_invalid"
    assert token_status(alpha, invitation.token) == "open"


def test_two_at_once_hold_one_certificate(alpha: Alpha, beta: Beta) -> None:
    invitation = alpha.invitation()

    async def twice(joiner: Joiner) -> list[Any]:
        both = [join(joiner, "alpha", invitation) for _ in range(2)]
        return await asyncio.gather(*both, return_exceptions=True)

    results = beta.run(twice)
    done = [each for each in results if not isinstance(each, BaseException)]
    refused = [each.code for each in results if isinstance(each, MosaicError)]
    assert done
    assert len(done) + len(refused) == 2
    assert set(refused) <= {"state_conflict"}
    assert certificates(alpha) == ["issued"]
    assert beta.held() == done[0]


def test_a_certificate_cannot_be_stored_over_a_key_that_has_changed(
    alpha: Alpha, beta: Beta
) -> None:
    beta.join(alpha.invitation())
    held = replace(beta.held(), csr_pem="another")
    key = peers.ClientKey(b"MSEAL1", "x", ())
    with beta.rows.database.transaction() as tx, pytest.raises(Refused) as caught:
        peers.store_pending(tx, held, key, "user:tests")
    assert caught.value.code == "state_conflict"
