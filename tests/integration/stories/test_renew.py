"""What we hold of another gateway is renewed without a token, and never lost on the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from reconciler.core.model.states import PeerStatus
from reconciler.crypto.certificates import read_certificate
from reconciler.crypto.keyring import add_key, make_primary, remove_key
from reconciler.crypto.keys import spki_sha256
from reconciler.errors import MosaicError
from reconciler.loops.renewals import Renewals
from reconciler.renew import renew
from reconciler.store.rewrap import FIRST, rewrap_batch, sealed_by_key
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.gateways.grantor import RENEW
from tests.support.gateways.joiner import AGED, ALPHA_AGED

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.renew import Renewer
    from tests.support.gateways.grantor import Alpha
    from tests.support.gateways.joiner import Beta

ISSUED = "SELECT count(*) FROM federation_certificates WHERE status = 'issued'"


@pytest.fixture
def joined(alpha: Alpha, beta: Beta) -> Beta:
    """A peer whose certificate is two thirds through its life, as both sides' rows have it."""
    beta.join(alpha.invitation())
    alpha.rows.run(ALPHA_AGED)
    beta.rows.run(AGED)
    alpha.trouble.path = RENEW
    return beta


def pass_once(beta: Beta, renewals: list[Renewals] | None = None) -> Renewals:
    """Let the job run once; with the same `Renewals` as before where one is given."""
    items = renewals if renewals is not None else []

    async def run(renewer: Renewer) -> Renewals:
        made = items[0] if items else Renewals(renewer)
        made.renewer = renewer
        items[:] = [made]
        await made.renew_due()
        return made

    result: Renewals = beta.run_renewal(run)
    return result


def test_a_certificate_is_renewed_with_a_new_key_before_it_ends(alpha: Alpha, joined: Beta) -> None:
    before = joined.held()
    pass_once(joined)

    after = joined.held()
    assert after.status is PeerStatus.ACTIVE
    assert before.certificate is not None
    assert after.certificate is not None
    assert after.certificate.serial != before.certificate.serial
    assert after.certificate.not_after > before.certificate.not_after
    facts = read_certificate(after.certificate.pem)
    assert facts.spki_sha256 == spki_sha256(joined.key().public_key()), "the stored key is its own"
    assert (after.next_sealed_key, after.next_csr_pem) == (None, None)
    assert alpha.rows.one(ISSUED) == 2, "the old one holds until it ends"


def test_nothing_is_asked_before_two_thirds_of_a_life(alpha: Alpha, beta: Beta) -> None:
    beta.join(alpha.invitation())
    before = beta.held()
    pass_once(beta)
    assert beta.held() == before
    assert alpha.rows.one(ISSUED) == 1


def test_a_lost_answer_costs_nothing(alpha: Alpha, joined: Beta) -> None:
    alpha.trouble.lose = 1
    with pytest.raises(MosaicError):
        joined.renew()
    result = joined.held()
    assert result.next_csr_pem is not None, "the next key was stored before anything was sent"
    assert alpha.rows.one(ISSUED) == 2

    joined.renew()
    assert joined.held().csr_pem == result.next_csr_pem, "by the key that was stored"
    assert alpha.rows.one(ISSUED) == 2, "and by the certificate that was signed"


def test_an_answer_that_was_lost_until_its_certificate_had_expired_costs_nothing_either(
    alpha: Alpha, joined: Beta
) -> None:
    alpha.trouble.lose = 1
    with pytest.raises(MosaicError):
        joined.renew()
    for _ in range(2):  # this side was down for longer than a certificate lasts
        alpha.rows.run(ALPHA_AGED)

    joined.renew()

    newest = "SELECT serial FROM federation_certificates ORDER BY created_at DESC LIMIT 1"
    held = joined.held().certificate
    assert held is not None
    assert alpha.rows.one(ISSUED) == 3
    assert held.serial == alpha.rows.one(newest)


def test_a_certificate_that_expires_sooner_is_taken_once_it_would_not(
    alpha: Alpha, joined: Beta
) -> None:
    alpha.rows.apply(peer_manifest(), grant_manifest("beta-tasks", lifetime="1h"))
    before = joined.held().certificate
    assert before is not None
    seen: list[Renewals] = []
    asked = datetime.now(UTC)

    failures, until = pass_once(joined, seen).waiting["alpha"]

    assert joined.held().certificate == before
    assert failures == 0
    left = before.not_after - asked
    assert timedelta(hours=2) < left
    assert left - timedelta(hours=1, minutes=1) < until - asked < left, "until it lasts as long"
    due_then = "UPDATE {} SET {}not_after = {}not_after - interval '3 hours'"
    alpha.rows.run(due_then.format("federation_certificates", "", ""))
    joined.rows.run(due_then.format("federation_peers", "cert_", "cert_"))
    seen[0].waiting["alpha"] = (0, asked)
    pass_once(joined, seen)
    after = joined.held().certificate
    assert after is not None
    assert after.serial != before.serial
    assert alpha.rows.one(ISSUED) == 3


def test_a_failure_is_tried_again_ever_more_seldom(alpha: Alpha, joined: Beta) -> None:
    alpha.trouble.refuse = 2
    seen: list[Renewals] = []
    pass_once(joined, seen)
    pass_once(joined, seen)  # it waits
    assert alpha.trouble.refuse == 1
    failures, until = seen[0].waiting["alpha"]
    assert failures == 1
    assert until > datetime.now(UTC)

    seen[0].waiting["alpha"] = (5, datetime.now(UTC) - timedelta(seconds=1))
    pass_once(joined, seen)
    assert seen[0].waiting["alpha"][1] > datetime.now(UTC) + timedelta(minutes=10)


def test_a_renewal_that_is_too_early_over_there_waits_as_long_as_it_says(
    alpha: Alpha, beta: Beta
) -> None:
    beta.join(alpha.invitation())
    beta.rows.run(AGED)  # this side's clock is ahead
    alpha.rows.run(ALPHA_AGED.replace("20 hours", "15 hours 50 minutes"))
    asked = datetime.now(UTC)

    failures, until = pass_once(beta).waiting["alpha"]

    assert failures == 0
    assert timedelta(minutes=5) < until - asked < timedelta(minutes=15)
    assert alpha.rows.one(ISSUED) == 1
    alpha.rows.run(ALPHA_AGED.replace("20 hours", "15 minutes"))
    beta.renew()
    assert alpha.rows.one(ISSUED) == 2


def test_a_grant_that_has_ended_is_told_in_the_row(alpha: Alpha, joined: Beta) -> None:
    alpha.rows.run(
        "UPDATE federation_grants SET status = 'revoked', revoked_at = now(),"
        " revoked_reason = 'for this test'"
    )
    result = pass_once(joined)

    assert "alpha" in result.waiting
    held = joined.held()
    assert held.grant is not None
    assert held.grant["status"] == "revoked"
    assert held.status is PeerStatus.ACTIVE


def test_two_gateways_of_one_database_renew_with_one_key(alpha: Alpha, joined: Beta) -> None:
    seen = joined.held()

    async def both(renewer: Renewer) -> None:
        await renew(renewer, seen)
        with pytest.raises(MosaicError, match="changed by another"):
            await renew(renewer, seen)

    joined.run_renewal(both)
    assert alpha.rows.one(ISSUED) == 2


def test_a_next_key_is_sealed_rewrapped_and_erased_with_its_peer(
    alpha: Alpha, joined: Beta, tmp_path: Path
) -> None:
    alpha.trouble.refuse = 1
    pass_once(joined)
    old = joined.keys.primary
    make_primary(tmp_path / "keys", add_key(tmp_path / "keys"))
    with joined.rows.database.transaction() as tx:
        assert sealed_by_key(tx) == {old: 2}
        rewrap_batch(tx, joined.keys, "user:tests", FIRST)
        assert sealed_by_key(tx) == {joined.keys.primary: 2}
    remove_key(tmp_path / "keys", old)
    joined.renew()
    alpha.trouble.refuse = 1
    joined.rows.run(AGED)
    pass_once(joined)
    raw = joined.rows.one("SELECT next_client_key_pem FROM federation_peers")
    assert b"PRIVATE KEY" not in bytes(raw)
    joined.rows.apply()  # the manifest is gone
    assert joined.rows.one("SELECT next_client_key_pem IS NULL FROM federation_peers")
