"""What a peer cannot have: more certificates than it needs, or more of a gateway than its part."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from reconciler.core import rate_limit
from reconciler.core.setting_values import RateLimit
from reconciler.store.issuance import read as facts
from reconciler.store.issuance import revocation_queue as queue
from tests.support.gateways.enrollee import (
    Enrollee,
    Rows,
    grant_manifest,
    peer_manifest,
    problem_code,
)
from tests.support.gateways.step_ca import authority
from tests.support.gateways.web_server import Parts, serving
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

OF_STATUS = "SELECT count(*) FROM federation_certificates WHERE status = :status"


@pytest.fixture
def two_clients(client: httpx.Client, parts: Parts) -> Iterator[list[httpx.Client]]:
    """Clients of two gateway processes, as far as the rows can tell."""
    with serving(parts) as running, running.client() as other:
        yield [client, other]


def enrolled(client: httpx.Client, rows: Rows, grant: str = "beta-tasks") -> Enrollee:
    peer = Enrollee()
    assert peer.enroll(client, rows.invite(grant)).status_code == 201
    return peer


def test_a_renewal_by_a_new_key_is_refused_until_two_thirds_of_a_life(
    client: httpx.Client, rows: Rows
) -> None:
    peer, new = enrolled(client, rows), Enrollee()
    due = peer.pickup(client).json()["renewAfter"]

    early = peer.renew(client, new)

    assert problem_code(early, 409) == "renewal_early"
    assert 15.9 * 3600 < int(early.headers["Retry-After"]) <= 16 * 3600
    assert due in early.json()["detail"]
    assert early.json()["retryable"]
    assert peer.renew(client, peer).status_code == 201, "the same key has its answer at any time"
    with rows.certificates_due():
        renewed = peer.renew(client, new)
    assert renewed.status_code == 201, renewed.text
    assert problem_code(new.renew(client, Enrollee()), 409) == "renewal_early", "of the new one too"
    assert new.renew(client, new).content == renewed.content
    assert peer.renew(client, new).content == renewed.content
    assert rows.one(OF_STATUS, status="issued") == 2
    assert not rows.audited("theft.suspected"), "an early renewal is no theft"


def test_many_keys_at_two_processes_at_once_renew_once_and_never_early(
    two_clients: list[httpx.Client], rows: Rows
) -> None:
    peer = enrolled(two_clients[0], rows)

    def renew_at_once() -> list[tuple[int, str]]:
        keys = [Enrollee() for _ in range(10)]
        with ThreadPoolExecutor(len(keys)) as pool:
            answers = list(
                pool.map(lambda n: peer.renew(two_clients[n % 2], keys[n]), range(len(keys)))
            )
        return [(each.status_code, each.json().get("code", "")) for each in answers]

    assert set(renew_at_once()) == {(409, "renewal_early")}
    assert rows.one("SELECT count(*) FROM federation_certificates") == 1
    with rows.certificates_due():
        answers = renew_at_once()
    assert sorted({status for status, _ in answers}) == [201, 409]
    assert [status for status, _ in answers].count(201) == 1
    assert rows.one(OF_STATUS, status="issued") == 2


def test_a_fourth_certificate_of_a_grant_revokes_the_oldest(
    client: httpx.Client, rows: Rows
) -> None:
    peers = [enrolled(client, rows)]
    serials = [peers[0].pickup(client).json()["serial"]]
    for _ in range(3):
        peers.append(Enrollee())
        with rows.certificates_due():
            serials.append(peers[-2].renew(client, peers[-1]).json()["serial"])

    status = "SELECT serial FROM federation_certificates WHERE status = :status ORDER BY created_at"
    assert [row["serial"] for row in rows.rows(status, status="issued")] == serials[1:]
    assert [row["serial"] for row in rows.rows(status, status="revoking")] == serials[:1]
    assert serials[0] in rows.audited("certificate.issued")[-1]["body"], "the log names it"
    assert problem_code(peers[0].pickup(client), 401) == "proof_invalid"


def test_a_renewal_reads_what_is_live_and_one_answer(client: httpx.Client, rows: Rows) -> None:
    for _ in range(3):
        enrolled(client, rows)  # each revokes the one before
    grant_id = rows.one("SELECT id FROM federation_grants")
    with rows.database.transaction() as tx:
        spki = tx.rows("SELECT spki_sha256 FROM federation_certificates WHERE status = 'issued'")
        (live,) = facts.live_issuances(tx, grant_id, answers_of=spki[0]["spki_sha256"])
        assert live.answer is not None
        (live,) = facts.live_issuances(tx, grant_id, answers_of="of another key")
        assert live.answer is None


def test_renewals_and_pickups_of_a_grant_are_limited_and_of_another_are_not(
    rows: Rows, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"), grant_manifest("other"))
    monkeypatch.setattr(rate_limit, "CALLS", RateLimit(1 / 60, 3))
    with serving(parts) as running, running.client() as client:
        old = enrolled(client, rows)
        peer, other = enrolled(client, rows), enrolled(client, rows, "other")

        assert [old.pickup(client).status_code for _ in range(4)] == [401, 401, 401, 429]
        assert [peer.pickup(client).status_code for _ in range(3)] == [200, 200, 200], (
            "who holds an old key uses up nothing of the new one's"
        )
        limited = peer.pickup(client)
        assert problem_code(limited, 429) == "rate_limited"
        assert 50 < int(limited.headers["Retry-After"]) <= 60
        assert problem_code(peer.renew(client, Enrollee()), 429) == "rate_limited"
        assert other.pickup(client).status_code == 200


def test_attempts_while_the_ca_is_away_leave_few_records_and_go_on_by_themselves(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "PROBES", RateLimit(1 / 2, 3))
    token, peer = rows.invite("beta-tasks"), Enrollee()
    newest = "SELECT max(seq) FROM federation_audit_log"
    before, began_s = rows.one(newest), time.monotonic()
    with authority(tmp_path) as ca:
        parts = Parts(rows.url, ca.roots, ca.client)
        with serving(parts) as running, running.client() as client:
            ca.stop()
            assert {problem_code(peer.enroll(client, token), 503) for _ in range(30)} == {
                "ca_unavailable"
            }
            attempts = 1 + 3 + (time.monotonic() - began_s) / 2
            assert rows.one(newest) - before <= 2 * attempts, "two records an attempt"
            ca.start()
            wait_until(lambda: peer.enroll(client, token).status_code == 201, "the CA is back")


@pytest.mark.parametrize("call", ["enroll", "renew"])
def test_a_key_of_another_grant_takes_no_attempt_from_the_others_while_the_ca_is_away(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(rate_limit, "PROBES", RateLimit(1 / 3600, 3))
    rows.apply(peer_manifest(), *map(grant_manifest, ("beta-tasks", "honest", "other")))
    token = rows.invite("honest")
    with authority(tmp_path) as ca:
        parts = Parts(rows.url, ca.roots, ca.client)
        with serving(parts) as running, running.client() as client:
            peer, used = enrolled(client, rows), enrolled(client, rows, "other")
            again, honest = rows.invite("beta-tasks"), Enrollee()
            ca.stop()
            assert problem_code(honest.enroll(client, token), 503) == "ca_unavailable"
            with rows.certificates_due():
                for _ in range(5):
                    if call == "enroll":
                        refused = used.enroll(client, again)
                    else:
                        refused = peer.renew(client, used)
                    assert problem_code(refused, 422) == "key_in_use"
            ca.start()
            assert honest.enroll(client, token).status_code == 201, "one attempt finds the CA back"


def test_a_revocation_waits_for_none_of_thousands_before_it(
    client: httpx.Client, rows: Rows
) -> None:
    enrolled(client, rows)
    rows.run(
        "WITH keys AS (INSERT INTO federation_keys SELECT lpad(to_hex(n), 64, '0'), g.id"
        "   FROM federation_grants AS g, generate_series(1, 2000) AS n RETURNING spki_sha256)"
        " INSERT INTO federation_certificates (id, grant_id, predecessor_id, serial, spki_sha256,"
        "   csr_pem, status, next_attempt_at)"
        " SELECT gen_random_uuid(), c.grant_id, c.id, ltrim(k.spki_sha256, '0'), k.spki_sha256,"
        "   'csr', 'revoking', clock_timestamp() - interval '1 minute'"
        " FROM keys AS k, federation_certificates AS c"
    )
    rows.apply(peer_manifest())
    last = rows.one("SELECT serial FROM federation_certificates WHERE cert_pem IS NOT NULL")

    with rows.database.transaction() as tx, rows.database.transaction() as of_another_worker:
        claimed = queue.claim_revocations(tx)
        others = queue.claim_revocations(of_another_worker)

    serials = {each.serial for each in claimed}
    assert last in serials
    assert len(claimed) == len(others) == queue.BATCH
    assert serials.isdisjoint(each.serial for each in others)
