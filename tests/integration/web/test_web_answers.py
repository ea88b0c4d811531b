"""The endpoint's answers that need no enrollment: caps, types, methods, problems, public files."""

from __future__ import annotations

import base64
import json
import threading
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest

from reconciler import enroll
from reconciler.core.issuance.refusals import proof_invalid
from reconciler.core.issuance.tokens import PUBLIC_ID_RANDOM_BYTES, SECRET_RANDOM_BYTES, new_token
from reconciler.core.setting_values import RateLimit
from reconciler.crypto.certificates import CrlFacts
from reconciler.crypto.csr import make_csr
from reconciler.crypto.keys import generate_key
from reconciler.store.db import Database
from reconciler.store.issuance import tokens
from reconciler.store.issuance.crl import store_crl
from reconciler.store.migrate import engine_transaction
from reconciler.web.app import make_app
from reconciler.web.limits import Capacity, Limits
from reconciler.web.requests import MAX_BODY
from tests.support.gateways.web_server import UNLIMITED, Parts, Running, serving
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

API = "/federation/v1"
CSR_CALLS = (f"{API}/enroll", f"{API}/certificates/renew")


@pytest.fixture(scope="module")
def running(web_parts: Parts) -> Iterator[Running]:
    with serving(web_parts) as server:
        yield server


@pytest.fixture
def client(running: Running) -> Iterator[httpx.Client]:
    with running.client() as client:
        yield client


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that the answer is this problem, whole and nothing but public, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    document: dict[str, Any] = response.json()
    assert set(document) == {
        *("type", "title", "status", "code", "detail"),
        *("correlationId", "serverTime", "retryable"),
    }
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"] == f"https://federation.mosaicstack.dev/problems/{code}"
    assert document["correlationId"] == response.headers["x-correlation-id"]
    assert document["retryable"] == ("retry-after" in response.headers)
    now = datetime.now(UTC)
    assert abs(datetime.fromisoformat(document["serverTime"]) - now) < timedelta(seconds=10)
    return document


def lasting(response: httpx.Response) -> str:
    """Return a problem's text without what differs from one request to the next."""
    body = response.json()
    return response.text.replace(body["correlationId"], "").replace(body["serverTime"], "")


@pytest.mark.parametrize("path", [*CSR_CALLS, f"{API}/certificates/pickup"])
@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b'"csr"', b"null", b"\xff\xfe{\x00}\x00", b"[" * 10_000),
        *(b'{"csr": 1}', b'{"csr": "a", "more": "b"}', b'{"csr": "a", "csr": "b"}'),
    ],
)
def test_a_body_that_is_not_the_object_asked_for_answers_400(
    client: httpx.Client, path: str, body: bytes
) -> None:
    response = client.post(path, content=body, headers={"content-type": "application/json"})
    problem(response, 400, "request_malformed")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_body_of_another_type_answers_415(client: httpx.Client, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = client.post(f"{API}/enroll", content=b'{"csr": "a"}', headers=headers)
    problem(response, 415, "request_type")


def test_a_compressed_body_answers_415(client: httpx.Client) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    response = client.post(f"{API}/enroll", content=b"{}", headers=headers)
    problem(response, 415, "request_type")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_16_kib_answers_413_and_the_connection_ends(
    client: httpx.Client, chunked: bool
) -> None:
    body = json.dumps({"csr": "a" * MAX_BODY}).encode()
    headers = {"content-type": "application/json"}
    content = repeat(b" " * 9000, 1000) if chunked else body
    response = client.post(f"{API}/enroll", content=content, headers=headers)
    problem(response, 413, "request_too_large")
    assert response.headers["connection"] == "close"
    assert client.get("/healthz").status_code == 200


def test_a_json_body_with_a_charset_is_read(client: httpx.Client) -> None:
    headers = {"content-type": "application/json; charset=utf-8"}
    response = client.post(f"{API}/enroll", content=b'{"csr": "no PEM"}', headers=headers)
    problem(response, 400, "csr_malformed")


@pytest.mark.parametrize(("name", "path"), [("authorization", "enroll"), ("dpop", "grant")])
def test_two_credentials_answer_400(client: httpx.Client, name: str, path: str) -> None:
    response = client.get(f"{API}/{path}", headers=[(name, "Bearer a"), (name, "Bearer b")])
    problem(response, 400, "request_malformed")


def test_a_path_that_is_not_there_answers_404_and_is_not_echoed(client: httpx.Client) -> None:
    for path in ("/", f"{API}", f"{API}/enroll/", f"{API}/mosf1_secret", "/%00", "//", "/../x"):
        body = problem(client.get(path), 404, "not_found")
        assert "mosf1_secret" not in json.dumps(body)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("OPTIONS", f"{API}/enroll", {"GET", "HEAD", "POST"}),
        ("DELETE", f"{API}/enroll", {"GET", "HEAD", "POST"}),
        ("GET", f"{API}/certificates/pickup", {"POST"}),
        ("POST", f"{API}/ca/roots", {"GET", "HEAD"}),
        ("TRACE", "/healthz", {"GET", "HEAD"}),
    ],
)
def test_another_method_answers_405_and_says_which_are_allowed(
    client: httpx.Client, method: str, path: str, allowed: set[str]
) -> None:
    response = client.request(method, path)
    problem(response, 405, "method_not_allowed")
    assert set(response.headers["allow"].split(", ")) == allowed


def test_every_bad_token_gets_one_identical_401(client: httpx.Client) -> None:
    unknown = new_token(bytes(PUBLIC_ID_RANDOM_BYTES), bytes(SECRET_RANDOM_BYTES)).spelled()
    tried = [
        *("Bearer", "Bearer x", f"Bearer {unknown}", f"bearer {unknown[:-1]}", "Basic YTpi"),
        "Bearer " + "x" * 5000,
    ]
    answers = set()
    for authorization in tried:
        response = client.get(f"{API}/enroll", headers={"authorization": authorization})
        problem(response, 401, "token_invalid")
        assert response.headers["www-authenticate"] == 'Bearer realm="mosaic-federation"'
        answers.add(lasting(response))
    assert len(answers) == 1


def test_every_bad_proof_gets_one_identical_401(client: httpx.Client) -> None:
    answers = set()
    for headers in ({}, {"dpop": ""}, {"dpop": "a.b.c"}, {"dpop": "x" * 9000}, {"dpop": "é"}):
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        for response in (
            client.get(f"{API}/grant", headers=encoded),
            client.post(f"{API}/certificates/pickup", json={}, headers=encoded),
        ):
            problem(response, 401, "proof_invalid")
            assert response.headers["www-authenticate"].startswith("DPoP ")
            answers.add(lasting(response))
    assert len(answers) == 1


def test_the_revocation_list_comes_from_the_database(
    client: httpx.Client, web_parts: Parts
) -> None:
    database, now = Database(web_parts.database_url, "test web"), datetime.now(UTC)
    with database.transaction() as tx:
        tx.run("DELETE FROM federation_crls")
    for path in (f"{API}/ca/crl", f"{API}/ca/crl/ab12"):
        problem(client.get(path), 503, "crl_unavailable")

    def store(issuer: str, minutes: int, der: bytes) -> None:
        at = now + timedelta(minutes=minutes)
        facts = CrlFacts(issuer, 7, at, at + timedelta(hours=24), frozenset())
        with database.transaction() as tx:
            store_crl(tx, facts, der)

    store("ab12", 0, b"old issuer")
    store("cd34", 1, b"first")
    store("cd34", 2, b"second")
    store("cd34", 0, b"older than what is stored")
    response = client.get(f"{API}/ca/crl")
    assert (response.content, response.headers["content-type"]) == (
        b"second",
        "application/pkix-crl",
    )
    assert client.get(f"{API}/ca/crl/ab12").content == b"old issuer"
    for path in ("AB12", "mosf1_secret", "a" * 65):
        problem(client.get(f"{API}/ca/crl/{path}"), 404, "not_found")


def test_without_its_database_the_process_is_alive_and_not_ready(web_parts: Parts) -> None:
    away = Parts("postgresql://nobody@127.0.0.1:1/nothing", web_parts.roots, web_parts.ca)
    with serving(away) as running, running.client() as client:
        assert client.get("/healthz").status_code == 200
        assert client.get(f"{API}/ca/roots").status_code == 200
        for path in ("/readyz", f"{API}/ca/crl"):
            response = client.get(path)
            body = problem(response, 503, "database_unavailable")
            assert int(response.headers["retry-after"]) > 0
            for internal in ("MOSAIC_", "nobody", "SQLSTATE", "postgres"):
                assert internal not in body["detail"]


def test_a_database_without_the_schema_is_not_ready(web_parts: Parts) -> None:
    database = Database(web_parts.database_url, "test web")
    with serving(web_parts) as running, running.client() as client:
        with engine_transaction(database) as connection:
            connection.exec_driver_sql("ALTER TABLE alembic_version RENAME TO alembic_away")
        try:
            problem(client.get("/readyz"), 503, "database_unavailable")
        finally:
            with engine_transaction(database) as connection:
                connection.exec_driver_sql("ALTER TABLE alembic_away RENAME TO alembic_version")
        assert client.get("/readyz").status_code == 200


def test_more_than_the_burst_answers_429_until_some_time_has_passed(web_parts: Parts) -> None:
    limit = RateLimit(per_s=0.25, burst=5)
    with serving(web_parts, rate_limit=limit) as running, running.client() as client:
        answers = [client.get(f"{API}/ca/roots") for _ in range(7)]
        assert [answer.status_code for answer in answers[:5]] == [200] * 5
        problem(answers[-1], 429, "rate_limited")
        assert answers[-1].headers["retry-after"] in ("1", "2", "3", "4")
        assert client.get("/healthz").status_code == 200
        wait_until(lambda: client.get(f"{API}/ca/roots").status_code == 200, "it has passed")


def test_a_token_is_looked_up_before_a_signature_is_verified(client: httpx.Client) -> None:
    lines = make_csr(generate_key()).splitlines()
    der = bytearray(base64.b64decode("".join(lines[1:-1])))
    der[-1] ^= 1
    forged = "\n".join((lines[0], base64.b64encode(der).decode(), lines[-1]))
    unknown = new_token(bytes(PUBLIC_ID_RANDOM_BYTES), bytes(SECRET_RANDOM_BYTES)).spelled()
    headers = {"authorization": f"Bearer {unknown}"}
    answer = client.post(f"{API}/enroll", headers=headers, json={"csr": forged})
    problem(answer, 401, "token_invalid")


@pytest.mark.parametrize("around", ["{}\xa0", "\xa0{}", "{}\x85", " {}", "{},", '"{}"'])
def test_a_token_is_taken_as_it_is(client: httpx.Client, around: str) -> None:
    """A no-break space and a NEL are whitespace to Python, and none to HTTP."""
    token = new_token(bytes(PUBLIC_ID_RANDOM_BYTES), bytes(SECRET_RANDOM_BYTES)).spelled()
    header = (b"authorization", f"Bearer {around.format(token)}".encode("latin-1"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(tokens, "find")
        problem(client.get(f"{API}/enroll", headers=[header]), 401, "token_invalid")


def test_signatures_are_verified_beside_the_event_loop(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def verify(*_: object) -> None:
        threads.append(threading.current_thread().name)
        raise proof_invalid()

    monkeypatch.setattr(enroll, "verify_proof", verify)
    problem(client.get(f"{API}/grant", headers={"dpop": "x"}), 401, "proof_invalid")
    assert [name.partition("_")[0] for name in threads] == ["verification"]


def test_what_was_refused_is_counted_for_the_audit(web_parts: Parts) -> None:
    gateway = web_parts.gateway()
    app = make_app(gateway, Limits(Capacity(), UNLIMITED))
    with serving(web_parts, app=app) as running, running.client() as client:
        for _ in range(3):
            client.get(f"{API}/enroll", headers={"authorization": "Bearer x"})
        running.wait_for(gateway.database.close())
    assert gateway.refusals == {("token_invalid", "127.0.0.1"): 3}
