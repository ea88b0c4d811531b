"""Races and crashes around a token: one certificate a token, none for an ended grant, none lost."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from reconciler.crypto.csr import make_csr, parse_csr, read_csr
from reconciler.crypto.keys import generate_key
from reconciler.enroll import enroll
from reconciler.errors import MosaicError
from reconciler.store.connection.exchange import Exchanges
from reconciler.store.issuance import begin as enrollment
from reconciler.store.issuance import tokens
from tests.support.gateways.enrollee import (
    API,
    PEPPER,
    Enrollee,
    Rows,
    bearer,
    grant_manifest,
    peer_manifest,
)
from tests.support.gateways.web_server import Parts, serving
from tests.support.gateways.workers import close, crl_serials, parts, parts_of, run_workers_once
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.clients.step_ca.answers import GrantAnswer
    from reconciler.store.connection.exchange import Answer
    from reconciler.store.issuance.read import KnownToken
    from tests.support.gateways.step_ca import Authority

ROUNDS, CLIENTS = 50, 50


@pytest.mark.stress
def test_fifty_rounds_of_fifty_redemptions_give_one_certificate_each(
    rows: Rows, shared_authority: Authority
) -> None:
    parts = Parts(rows.url, shared_authority.roots, shared_authority.client)

    async def one_round(client: httpx.AsyncClient, number: int) -> list[tuple[int, str]]:
        token = rows.invite(f"grant-{number}")
        keys = [make_csr(generate_key()) for _ in range(CLIENTS)]
        answers = await asyncio.gather(
            *(
                client.post(f"{API}/enroll", headers=bearer(token), json={"csr": csr})
                for csr in keys
            )
        )
        return [(each.status_code, each.json().get("code", "")) for each in answers]

    async def all_rounds(url: str, tls: object) -> None:
        # idle ones are closed here before the server does, or a request meets the end of one
        limits = httpx.Limits(max_connections=CLIENTS, keepalive_expiry=2)
        async with httpx.AsyncClient(
            base_url=url,
            verify=tls,  # type: ignore[arg-type]  # an SSLContext
            trust_env=False,
            timeout=PATIENCE_S,
            limits=limits,
        ) as client:
            for number in range(ROUNDS):
                answers = await one_round(client, number)
                issued = [each for each in answers if each[0] == 201]
                others = [each for each in answers if each[0] != 201]
                assert len(issued) == 1, answers
                # 503: it is busy, and decided nothing
                assert all(status in (409, 410, 503) for status, _ in others), others

    rows.apply(peer_manifest(), *(grant_manifest(f"grant-{n}") for n in range(ROUNDS)))
    with serving(parts) as running:
        asyncio.run(all_rounds(running.url, running.tls))
    live = rows.rows(
        "SELECT grant_id, count(*) AS n FROM federation_certificates"
        " WHERE status <> 'abandoned' GROUP BY grant_id"
    )
    assert len(live) == ROUNDS
    assert all(row["n"] == 1 for row in live)
    assert rows.one("SELECT count(*) FROM federation_certificates") == ROUNDS


def test_a_revocation_between_the_transactions_hands_out_nothing(
    rows: Rows, own_authority: Authority
) -> None:
    token, peer = rows.invite("beta-tasks"), Enrollee()
    with parts_of(rows, own_authority) as running, running.client() as client:
        assert own_authority.process is not None
        own_authority.process.send_signal(signal.SIGSTOP)  # transaction 1 commits, the CA waits
        answers: list[httpx.Response] = []
        calling = threading.Thread(target=lambda: answers.append(peer.enroll(client, token)))
        calling.start()
        wait_until(lambda: rows.rows("SELECT FROM federation_certificates"), "its intent")
        rows.apply(peer_manifest())
        own_authority.process.send_signal(signal.SIGCONT)
        calling.join(PATIENCE_S)

    assert answers[0].status_code == 410, answers[0].text
    assert answers[0].json()["code"] == "grant_ended"
    (row,) = rows.rows("SELECT serial, status, cert_pem FROM federation_certificates")
    assert (row["status"], row["cert_pem"]) == ("revoking", None)
    run_workers_once(rows, own_authority)
    assert rows.one("SELECT status FROM federation_certificates") == "abandoned"
    wait_until(lambda: row["serial"] in crl_serials(rows, own_authority), "the list names it")


def test_what_changes_while_the_ca_signs_is_in_the_answer(
    rows: Rows, shared_authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchanges: list[Sequence[str]] = []
    run = Exchanges.run

    async def counted(of: Exchanges, statements: Sequence[str], values: Any, **more: Any) -> Answer:
        exchanges.append(statements)
        return await run(of, statements, values, **more)

    def enroll_while(change: Callable[[], object], grant: str) -> dict[str, Any]:
        async def story() -> str:
            gateway = parts(rows, shared_authority).gateway()
            sign = gateway.ca.sign_grant

            async def sign_slowly(*of: Any) -> GrantAnswer:
                answer = await sign(*of)
                await asyncio.to_thread(change)
                return answer

            monkeypatch.setattr(gateway.ca, "sign_grant", sign_slowly)
            token, csr = rows.invite(grant).spelled(), parse_csr(Enrollee().csr_pem())
            exchanges.clear()
            try:
                return (await enroll(gateway, token, csr, "127.0.0.1")).body
            finally:
                await close(gateway)

        answer: dict[str, Any] = json.loads(asyncio.run(story()))["grant"]
        return answer

    def apply(**changes: Any) -> object:
        names = ("beta-tasks", "narrowed", "paused")
        return rows.apply(peer_manifest(), *(grant_manifest(each, **changes) for each in names))

    apply()
    monkeypatch.setattr(Exchanges, "run", counted)
    assert enroll_while(lambda: None, "beta-tasks")["scope"]["maxRowsPerQuery"] == 500
    assert len(exchanges) == 3  # the token, transaction 1, transaction 2
    narrowed = enroll_while(lambda: apply(rows=7), "narrowed")
    assert narrowed["scope"]["maxRowsPerQuery"] == 7
    assert enroll_while(lambda: apply(suspended="true"), "paused")["status"] == "suspended"
    assert rows.grant_status("paused") == "suspended"
    assert enroll_while(apply, "beta-tasks")["status"] == "active"
    ended = "SELECT count(*) FROM federation_certificates WHERE status = 'revoking'"
    assert rows.one(ended) == 1  # the one before


def enroll_after(
    change: Callable[[], object],
    rows: Rows,
    ca: Authority,
    monkeypatch: pytest.MonkeyPatch,
    life: timedelta = timedelta(hours=1),
) -> dict[str, Any]:
    """Enroll, with a change after the token's secret has verified, and before transaction 1."""
    find = tokens.find

    def find_then_change(*of: Any) -> KnownToken:
        known = find(*of)
        change()
        return known

    async def story(token: str) -> str:
        gateway = parts(rows, ca).gateway()
        try:
            csr = parse_csr(Enrollee().csr_pem())
            return (await enroll(gateway, token, csr, "127.0.0.1")).body
        finally:
            await close(gateway)

    token = rows.invite("beta-tasks", life).spelled()
    monkeypatch.setattr(tokens, "find", find_then_change)
    answer: dict[str, Any] = json.loads(asyncio.run(story(token)))["grant"]
    return answer


def test_what_changes_after_the_secret_has_verified_is_in_the_answer(
    rows: Rows, shared_authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def narrow() -> object:
        return rows.apply(peer_manifest(), grant_manifest("beta-tasks", rows=7, lifetime="1h"))

    answer = enroll_after(narrow, rows, shared_authority, monkeypatch)
    assert answer["scope"]["maxRowsPerQuery"] == 7
    assert rows.one("SELECT not_after < now() + interval '2 hours' FROM federation_certificates")


CLAIM = (
    "UPDATE federation_enrollment_tokens SET status = 'claimed', claimed_at = now(),"
    " claimed_spki = repeat('0', 64)"
)
EXPIRY = "UPDATE federation_enrollment_tokens SET expires_at = now()"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda rows: rows.apply(peer_manifest()), "grant_ended"),
        (lambda rows: rows.invite("beta-tasks"), "token_void"),
        (lambda rows: rows.run(CLAIM), "token_claimed"),
        (lambda rows: rows.run(EXPIRY), "token_expired"),
    ],
)
def test_what_ends_after_the_secret_has_verified_stores_nothing(
    change: Callable[[Rows], object],
    code: str,
    rows: Rows,
    shared_authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(MosaicError) as refused:
        enroll_after(lambda: change(rows), rows, shared_authority, monkeypatch)
    assert refused.value.code == code
    assert rows.one("SELECT count(*) FROM federation_certificates") == 0
    assert rows.one("SELECT count(*) FROM federation_keys") == 0


def test_a_token_that_expires_after_its_secret_has_verified_binds_no_key(
    rows: Rows, shared_authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = "extract(epoch FROM expires_at - clock_timestamp())"
    wait = f"SELECT pg_sleep({left} + 0.01) FROM federation_enrollment_tokens"
    life = timedelta(seconds=2)
    with pytest.raises(MosaicError, match="the token has expired"):
        enroll_after(lambda: rows.run(wait), rows, shared_authority, monkeypatch, life)
    assert rows.one("SELECT count(*) FROM federation_keys") == 0


def test_a_lost_attempt_is_recovered_and_its_key_goes_on(
    rows: Rows, own_authority: Authority
) -> None:
    token, peer = rows.invite("beta-tasks"), Enrollee()

    async def lose() -> None:
        gateway = parts(rows, own_authority).gateway()
        csr = read_csr(peer.csr_pem())
        known = await gateway.database.run(tokens.find, token, PEPPER)
        caller = gateway.caller("127.0.0.1")
        await gateway.database.run(enrollment.begin_enrollment, known, csr, caller)
        await close(gateway)

    asyncio.run(lose())  # the process ends between the transactions
    with parts_of(rows, own_authority) as running, running.client() as client:
        assert peer.enroll(client, token).json()["code"] == "enrollment_in_progress"
        rows.run("UPDATE federation_certificates SET lease_until = now()")
        run_workers_once(rows, own_authority)
        assert peer.enroll(client, token).status_code == 201
    statuses = rows.rows("SELECT status FROM federation_certificates ORDER BY created_at")
    assert [row["status"] for row in statuses] == ["abandoned", "issued"]


def test_an_apply_of_hundreds_of_grants_while_peers_enroll(
    rows: Rows, shared_authority: Authority
) -> None:
    many = [grant_manifest(f"grant-{n}") for n in range(400)]
    rows.apply(peer_manifest(), *many)
    tokens = [rows.invite(f"grant-{n}") for n in range(40)]
    failures: list[str] = []

    def enroll_all() -> None:
        for token in tokens:
            answer = Enrollee().enroll(client, token)
            if answer.status_code != 201:
                failures.append(answer.text)

    with parts_of(rows, shared_authority) as running, running.client() as client:
        enrolling = threading.Thread(target=enroll_all)
        enrolling.start()
        limit = 501
        while enrolling.is_alive():
            limit += 1
            changed = [grant_manifest(f"grant-{n}", rows=limit) for n in range(400)]
            judged = rows.apply(peer_manifest(), *changed)
            assert judged.plan.summary.update == 400
        enrolling.join()
    assert failures == []
    active = "SELECT count(*) FROM federation_grants WHERE status = 'active'"
    assert rows.one(active) == len(tokens)
