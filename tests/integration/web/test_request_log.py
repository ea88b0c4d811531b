"""What a line of the endpoint's log is about: its own request, and no other one."""

from __future__ import annotations

import io
import json
import socket
from typing import TYPE_CHECKING, Any

from reconciler.core.setting_values import RateLimit
from reconciler.web import refusal_log
from tests.support.gateways.enrollee import API, Enrollee, Rows, grant_manifest, peer_manifest
from tests.support.gateways.private_server import serving_private
from tests.support.gateways.web_server import Parts, serving
from tests.support.log_lines import logging_as
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    import pytest

    from tests.support.gateways.step_ca import Authority

ROOTS = f"GET {API}/ca/roots HTTP/1.1\r\nHost: a\r\n\r\n"
NOT_HTTP = "GET / HTTP/1.1\n"


def test_a_request_behind_an_enrollment_is_not_logged_as_of_its_grant(
    database_url: str, shared_authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusal_log, "LINES", RateLimit(1 / 3600, 2))
    monkeypatch.setattr(refusal_log, "FIRST_S", 0.1)
    rows, log = Rows(database_url), io.StringIO()
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"))
    token = rows.invite("beta-tasks").spelled()

    def lines(text: str) -> list[dict[str, Any]]:
        written = map(json.loads, log.getvalue().splitlines())
        return [line for line in written if text in line["msg"]]

    body = json.dumps({"csr": Enrollee().csr_pem()})
    enroll = f"POST {API}/enroll HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    enroll += f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    parts = Parts(rows.url, shared_authority.roots, shared_authority.client)
    with logging_as("json", log), serving(parts) as running, running.connect() as connection:
        connection.sendall((enroll + 3 * ROOTS + NOT_HTTP).encode())
        wait_until(lambda: lines("refused within"), "the warning")

    (enrolled,) = lines("/enroll from")
    assert (enrolled["peer"], enrolled["grant"]) == ("beta", "beta-tasks")
    others = [*lines("/ca/roots from"), *lines("refused within")]
    assert len(others) == 3
    assert {(line["peer"], line["grant"]) for line in others} == {(None, None)}
    (warning,) = lines("refused within")
    assert warning["correlationId"] is None, "it is of no single request"


def test_what_is_not_http_is_logged_with_the_address_that_sent_it(database_url: str) -> None:
    text = io.StringIO()
    with logging_as("json", text), serving_private(database_url) as running:
        source = ("127.0.0.5", 0)
        with socket.create_connection(("127.0.0.1", running.port), PATIENCE_S, source) as sender:
            sender.sendall(NOT_HTTP.encode())
            assert sender.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert "request_malformed from 127.0.0.5: " in text.getvalue()


def test_what_is_not_http_is_logged_under_the_id_of_its_answer(web_parts: Parts) -> None:
    text = io.StringIO()
    with logging_as("json", text), serving(web_parts) as running, running.connect() as connection:
        connection.sendall(NOT_HTTP.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    head, _, body = answer.partition("\r\n\r\n")
    problem = json.loads(body)
    assert head.startswith("HTTP/1.1 400 ")
    assert f"x-correlation-id: {problem['correlationId']}" in head.lower().split("\r\n")
    assert "x-content-type-options: nosniff" in head.lower()
    lines = map(json.loads, text.getvalue().splitlines())
    (line,) = (each for each in lines if each["correlationId"] == problem["correlationId"])
    assert line["msg"] == f"request_malformed from 127.0.0.1: {problem['detail']}"
