"""Enrollment over real HTTPS, a real step-ca and a real PostgreSQL: each answer of its table."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.issuance.tokens import Token, new_token
from reconciler.crypto.certificates import read_certificate, verify_chain
from reconciler.store.audit import log as audit
from tests.support.gateways.enrollee import (
    API,
    Enrollee,
    Rows,
    bearer,
    grant_manifest,
    peer_manifest,
    problem_code,
)
from tests.support.gateways.web_server import Parts, Running, serving

if TYPE_CHECKING:
    import ssl

    import httpx

    from tests.support.gateways.step_ca import Authority


def test_a_token_and_a_csr_become_a_certificate_that_carries_the_grant(
    client: httpx.Client, rows: Rows, shared_authority: Authority
) -> None:
    peer = Enrollee()

    response = peer.enroll(client, rows.invite("beta-tasks"))

    assert response.status_code == 201, response.text
    issued = response.json()
    facts = read_certificate(issued["certificate"])
    grant = issued["grant"]
    assert set(issued) == {
        *("certificate", "chain", "serial", "fingerprint"),
        *("notBefore", "notAfter", "renewAfter", "grant"),
    }
    assert set(grant) == {
        *("id", "name", "peer", "subjectUserId", "scope", "status", "expiresAt"),
    }
    assert dict(facts.other_names) == {
        "1.3.6.1.4.1.99999.1": grant["id"],
        "1.3.6.1.4.1.99999.2": "maria@alpha.example",
    }
    assert (facts.serial, facts.fingerprint) == (issued["serial"], issued["fingerprint"])
    assert grant["status"] == "active"
    verify_chain(issued["certificate"], issued["chain"], shared_authority.roots, datetime.now(UTC))
    row = rows.rows("SELECT serial, status, answer FROM federation_certificates")
    assert row == [{"serial": facts.serial, "status": "issued", "answer": response.text}]
    assert rows.grant_status("beta-tasks") == "active"
    assert rows.one("SELECT status FROM federation_peers") == "active"
    assert rows.one("SELECT status FROM federation_enrollment_tokens") == "spent"


def test_a_second_use_of_a_token_answers_410_even_with_the_same_key(
    client: httpx.Client, rows: Rows
) -> None:
    peer, token = Enrollee(), rows.invite("beta-tasks")
    assert peer.enroll(client, token).status_code == 201

    assert problem_code(peer.enroll(client, token), 410) == "token_spent"
    assert problem_code(Enrollee().enroll(client, token), 410) == "token_spent"
    assert len(rows.rows("SELECT FROM federation_certificates")) == 1
    assert len(rows.audited("theft.suspected")) == 1


def test_pickup_by_the_key_gets_the_same_bytes(client: httpx.Client, rows: Rows) -> None:
    peer = Enrollee()
    issued = peer.enroll(client, rows.invite("beta-tasks"))

    again = peer.pickup(client)

    assert (again.status_code, again.content) == (200, issued.content)


def test_pickup_by_an_unknown_key_and_by_a_bad_proof_are_one_401(client: httpx.Client) -> None:
    unknown = Enrollee().pickup(client)
    path = f"{API}/certificates/pickup"
    bad = client.post(path, headers={"DPoP": "not.a.proof"}, json={})

    varying = ("correlationId", "serverTime")
    answers: list[dict[str, Any]] = [
        {k: v for k, v in each.json().items() if k not in varying} for each in (unknown, bad)
    ]
    assert unknown.status_code == bad.status_code == 401
    assert answers[0] == answers[1]


def test_unknown_tokens_and_wrong_secrets_are_one_401(client: httpx.Client, rows: Rows) -> None:
    known = rows.invite("beta-tasks")
    wrong = Token(known.public_id, new_token(bytes(10), b"w" * 32).secret)
    unknown = new_token(b"u" * 10, b"u" * 32)

    answers = [Enrollee().enroll(client, each).json() for each in (wrong, unknown)]

    for answer in answers:
        answer.pop("correlationId")
        answer.pop("serverTime")
    assert answers[0] == answers[1]
    assert answers[0]["code"] == "token_invalid"
    assert rows.one("SELECT status FROM federation_enrollment_tokens") == "open"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("UPDATE federation_enrollment_tokens SET expires_at = now()", "token_expired"),
        ("UPDATE federation_enrollment_tokens SET status = 'void'", "token_void"),
        ("UPDATE federation_grants SET expires_at = now() + interval '30 s'", "grant_ended"),
    ],
)
def test_a_token_past_use_answers_410_to_both_calls(
    client: httpx.Client, rows: Rows, change: str, expected: str
) -> None:
    token = rows.invite("beta-tasks")
    rows.run(change)

    assert problem_code(Enrollee().enroll(client, token), 410) == expected
    assert problem_code(client.get(f"{API}/enroll", headers=bearer(token)), 410) == expected


def test_asking_after_a_token_spends_nothing(client: httpx.Client, rows: Rows) -> None:
    token = rows.invite("beta-tasks")

    for _ in range(2):
        response = client.get(f"{API}/enroll", headers=bearer(token))
        assert response.status_code == 200
        assert response.json()["status"] == "open"
    assert Enrollee().enroll(client, token).status_code == 201


def test_a_new_invitation_voids_the_one_before(client: httpx.Client, rows: Rows) -> None:
    first, second = rows.invite("beta-tasks"), rows.invite("beta-tasks")

    assert problem_code(Enrollee().enroll(client, first), 410) == "token_void"
    assert Enrollee().enroll(client, second).status_code == 201


def test_a_key_serves_one_grant(client: httpx.Client, rows: Rows) -> None:
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"), grant_manifest("beta-notes"))
    peer, token = Enrollee(), rows.invite("beta-notes")
    assert peer.enroll(client, rows.invite("beta-tasks")).status_code == 201

    assert problem_code(peer.enroll(client, token), 422) == "key_in_use"
    assert Enrollee().enroll(client, token).status_code == 201


def test_a_new_enrollment_sends_the_old_certificates_to_the_queue(
    client: httpx.Client, rows: Rows
) -> None:
    old, new = Enrollee(), Enrollee()
    assert old.enroll(client, rows.invite("beta-tasks")).status_code == 201
    assert new.enroll(client, rows.invite("beta-tasks")).status_code == 201

    statuses = rows.rows("SELECT status FROM federation_certificates ORDER BY created_at")
    assert [row["status"] for row in statuses] == ["revoking", "issued"]
    assert problem_code(old.pickup(client), 401) == "proof_invalid"
    assert new.pickup(client).status_code == 200


def test_a_session_that_is_resumed_lets_in_nobody_whose_grant_has_ended(
    parts: Parts, rows: Rows
) -> None:
    peer, path = Enrollee(), "/certificates/pickup"

    def pick_up(
        running: Running, session: ssl.SSLSession | None = None
    ) -> tuple[ssl.SSLSession | None, bool | None, bytes]:
        proof = peer.proof("POST", path)["DPoP"]
        head = f"POST {API}{path} HTTP/1.1\r\nHost: a\r\nDPoP: {proof}\r\nContent-Length: 2\r\n"
        with running.connect(session=session) as connection:
            connection.sendall(f"{head}Content-Type: application/json\r\n\r\n{{}}".encode())
            answer = connection.recv(65536)
            return connection.session, connection.session_reused, answer

    with serving(parts) as running, running.client() as client:
        assert peer.enroll(client, rows.invite("beta-tasks")).status_code == 201
        session, _, answer = pick_up(running)
        assert answer.startswith(b"HTTP/1.1 200 ")
        rows.apply(peer_manifest())
        _, resumed, answer = pick_up(running, session)
        assert resumed
        assert answer.startswith(b"HTTP/1.1 410 ")
        assert b"grant_ended" in answer


def test_a_suspended_grant_enrolls_into_suspension(client: httpx.Client, rows: Rows) -> None:
    rows.apply(peer_manifest(), grant_manifest("beta-tasks", suspended="true"))

    issued = Enrollee().enroll(client, rows.invite("beta-tasks")).json()

    assert issued["grant"]["status"] == "suspended"
    assert rows.grant_status("beta-tasks") == "suspended"
    assert rows.one("SELECT holds FROM federation_authority") is False


def test_a_certificate_never_ends_after_its_grant(client: httpx.Client, rows: Rows) -> None:
    rows.run("UPDATE federation_grants SET expires_at = now() + interval '10 min'")
    expires = rows.one("SELECT expires_at FROM federation_grants")

    issued = Enrollee().enroll(client, rows.invite("beta-tasks")).json()

    ends = datetime.fromisoformat(issued["notAfter"])
    assert expires - timedelta(seconds=1) <= ends <= expires


def test_the_grant_is_told_to_the_key_of_its_certificate(client: httpx.Client, rows: Rows) -> None:
    peer = Enrollee()
    issued = peer.enroll(client, rows.invite("beta-tasks")).json()
    assert peer.grant(client).json() == issued["grant"]
    rows.apply(peer_manifest())

    assert peer.grant(client).json() == issued["grant"] | {"status": "revoked"}
    assert problem_code(peer.pickup(client), 410) == "grant_ended"
    assert problem_code(Enrollee().grant(client), 401) == "proof_invalid"


def test_the_grant_is_not_told_to_a_key_that_a_new_enrollment_has_replaced(
    client: httpx.Client, rows: Rows
) -> None:
    """Nor later: whoever has that key may have stolen it. A renewal replaces no key."""
    lost, before, new, renewed = Enrollee(), Enrollee(), Enrollee(), Enrollee()
    lost.enroll(client, rows.invite("beta-tasks"))
    with rows.certificates_due():
        assert lost.renew(client, before).status_code == 201
    for each in (lost, before):
        assert each.grant(client).status_code == 200

    new.enroll(client, rows.invite("beta-tasks"))
    with rows.certificates_due():
        assert new.renew(client, renewed).status_code == 201
    for status in ("active", "revoked"):
        for each in (new, renewed):
            assert each.grant(client).json()["status"] == status
        for each in (lost, before):
            assert problem_code(each.grant(client), 401) == "proof_invalid"
        rows.apply(peer_manifest())


def test_renewal_by_proof_gets_a_new_certificate_and_leaves_the_old_one(
    client: httpx.Client, rows: Rows
) -> None:
    old, new = Enrollee(), Enrollee()
    first = old.enroll(client, rows.invite("beta-tasks")).json()

    with rows.certificates_due():
        renewed = old.renew(client, new)

    assert renewed.status_code == 201, renewed.text
    assert renewed.json()["serial"] != first["serial"]
    for kind in ("issuance.begun", "certificate.issued"):
        records = [json.loads(each["body"])["data"] for each in rows.audited(kind)]
        assert [each.get("renews") for each in records] == [None, first["serial"]]
    assert old.renew(client, new).content == renewed.content
    assert new.renew(client, new).content == renewed.content
    assert problem_code(old.renew(client, Enrollee()), 409) == "renewal_contested"
    assert new.pickup(client).content == renewed.content
    holds = rows.rows("SELECT holds FROM federation_authority")
    assert [row["holds"] for row in holds] == [True, True]


def test_the_audit_chain_verifies_after_all_of_it(client: httpx.Client, rows: Rows) -> None:
    peer, token = Enrollee(), rows.invite("beta-tasks")
    peer.enroll(client, token)
    peer.enroll(client, token)
    rows.apply(peer_manifest())

    with rows.database.transaction() as tx:
        verified = audit.verify(tx)
    assert verified.chain_break is None
    assert verified.last.seq >= 5
    bodies = " ".join(row["body"] for row in rows.rows("SELECT body FROM federation_audit_log"))
    assert token.secret not in bodies
