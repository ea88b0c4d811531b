"""The endpoint under clients that take all they can get; 127.0.0.x are different addresses."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import socket
import ssl
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest
from starlette.responses import Response

from reconciler.core.setting_values import RateLimit
from reconciler.web import refusal_log
from reconciler.web.limits import Capacity, Limits
from reconciler.web.middleware import GatewayMiddleware
from reconciler.web.server import http as protocol
from reconciler.web.server import server
from tests.support.gateways.web_server import UNLIMITED, Parts, Running, serving
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

    from reconciler.core.model.origin import Address

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = b"GET /federation/v1/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
ATTACKER, HONEST = "127.0.0.7", "127.0.0.8"


@pytest.fixture(autouse=True)
def early_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusal_log, "FIRST_S", 0.1)
    monkeypatch.setattr(refusal_log, "INTERVAL_S", 0.5)


@pytest.fixture
def running(web_parts: Parts) -> Iterator[Running]:
    capacity = Capacity(connections_each=20, handshakes_each=10)
    with serving(web_parts, capacity=capacity) as endpoint:
        yield endpoint


def answer(connection: ssl.SSLSocket, request: bytes = GET) -> bytes:
    """Return the start of an answer, empty if the connection was closed."""
    try:
        connection.sendall(request)
        return connection.recv(65536)
    except (ConnectionError, ssl.SSLEOFError):
        return b""


def is_served(running: Running, source: str = HONEST) -> bool:
    try:
        with running.connect(source) as connection:
            return answer(connection).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def wait_for_warning(caplog: pytest.LogCaptureFixture, reason: str, source: str) -> None:
    pattern = re.compile(rf"refused within \d+ s: .*{reason} \(\d+ of {re.escape(source)}")
    wait_until(lambda: pattern.search(caplog.text), "the warning")


def test_connections_of_one_address_end_at_its_limit_and_hinder_nobody_else(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(running.connect(ATTACKER)) for _ in range(20)]
        assert all(answer(connection).startswith(b"HTTP/1.1 200 ") for connection in held)
        assert not any(is_served(running, ATTACKER) for _ in range(5))
        assert is_served(running)
        held[0].close()
        wait_until(lambda: is_served(running, ATTACKER), "the closed one left its place")
        wait_for_warning(caplog, "connections above the limit", ATTACKER)
    assert {each.levelno for each in caplog.records if "refused within" in each.message} == {
        logging.WARNING
    }


def test_connections_without_a_handshake_have_a_lower_limit(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:
        for _ in range(15):
            raw = socket.create_connection(
                ("127.0.0.1", running.port), PATIENCE_S, source_address=(ATTACKER, 0)
            )
            stack.enter_context(raw)
        wait_for_warning(caplog, "TLS handshakes above the limit", ATTACKER)
        assert not is_served(running, ATTACKER)
        assert is_served(running)


def test_an_attacker_of_many_addresses_leaves_room_for_who_comes_last(web_parts: Parts) -> None:
    capacity = Capacity(connections=30, connections_each=10)
    with serving(web_parts, capacity=capacity) as running, ExitStack() as stack:
        for number in range(10, 25):
            for _ in range(10):
                with suppress(OSError):
                    stack.enter_context(running.connect(f"127.0.1.{number}"))
        assert is_served(running)


def test_300_clients_that_read_no_answer_hinder_nobody_else(
    web_parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bind(listen: Address) -> socket.socket:
        listening = usual(listen)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)  # the kernel's part
        return listening

    usual, limits = server.bind, Limits(Capacity(), UNLIMITED)
    monkeypatch.setattr(server, "bind", bind)
    monkeypatch.setattr(protocol, "WRITE_DEADLINE_S", PATIENCE_S)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        size = 2_000_000 if scope["path"] == "/large" else 2
        await Response(b"x" * size)(scope, receive, send)

    middleware = GatewayMiddleware(app, gateway=web_parts.gateway(), limits=limits)
    with serving(web_parts, app=middleware) as running, ExitStack() as stack:
        for number in range(300):
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
            raw.settimeout(PATIENCE_S)
            raw.bind((f"127.0.2.{1 + number % 10}", 0))
            raw.connect(("127.0.0.1", running.port))
            unread = running.tls.wrap_socket(raw, server_hostname="127.0.0.1")
            stack.enter_context(unread)
            unread.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            if number % 50 == 0:
                begun_s = time.monotonic()
                assert is_served(running)
                assert time.monotonic() - begun_s < 2
        with running.client() as client:
            for _ in range(20):
                begun_s = time.monotonic()
                assert client.get("/").status_code == 200
                assert time.monotonic() - begun_s < 2


def test_a_client_that_reads_no_answer_is_hung_up_on(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(protocol, "WRITE_DEADLINE_S", 0.2)
    with running.connect() as unread:
        unread.sendall(LARGE * 300)
        wait_for_warning(caplog, "answers that were not read in time", "127.0.0.1")


def test_a_connection_ends_at_its_age_however_busy_it_is(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "MAX_AGE_S", 1.0)
    with running.connect() as busy:
        wait_until(lambda: not answer(busy), "it has been closed")


def test_a_request_in_flight_at_the_age_of_its_connection_is_answered(
    web_parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "MAX_AGE_S", 0.2)
    limits = Limits(Capacity(), UNLIMITED)

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.6)
        await Response("done")(scope, receive, send)

    app = GatewayMiddleware(slow, gateway=web_parts.gateway(), limits=limits)
    with serving(web_parts, app=app) as running, running.client() as client:
        response = client.get("/")
        assert (response.text, response.headers["connection"]) == ("done", "close")


def test_a_body_on_its_way_is_not_in_flight(web_parts: Parts) -> None:
    capacity = Capacity(requests=1)
    head = b"POST /federation/v1/enroll HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    with serving(web_parts, capacity=capacity) as running, ExitStack() as stack:
        for _ in range(5):
            slow = stack.enter_context(running.connect(ATTACKER))
            slow.sendall(head + b"Content-Length: 30\r\n\r\n{")
        with running.client() as client:
            assert client.get("/federation/v1/ca/roots").status_code == 200


def test_probes_from_elsewhere_are_limited_like_the_rest(web_parts: Parts) -> None:
    with serving(web_parts, rate_limit=RateLimit(0.001, 2), trusted_proxies=LOOPBACK) as running:

        def ask(header: bytes) -> bytes:
            with socket.create_connection(("127.0.0.1", running.port), PATIENCE_S) as raw:
                raw.sendall(header)
                with running.tls.wrap_socket(raw, server_hostname="127.0.0.1") as connection:
                    return answer(connection).partition(b"\r\n")[0]

        elsewhere = b"PROXY TCP4 198.51.100.7 127.0.0.1 50123 8443\r\n"
        assert [ask(elsewhere)[9:12] for _ in range(3)] == [b"200", b"200", b"429"]
        assert {ask(b"PROXY UNKNOWN\r\n")[9:12] for _ in range(5)} == {b"200"}


def test_behind_a_proxy_each_peer_has_limits_of_its_own(web_parts: Parts) -> None:
    capacity = Capacity(connections_each=2)
    with (
        serving(web_parts, trusted_proxies=LOOPBACK, capacity=capacity) as running,
        ExitStack() as stack,
    ):

        def is_let_in(client: str) -> bool:
            raw = socket.create_connection(("127.0.0.1", running.port), PATIENCE_S)
            stack.enter_context(raw)
            raw.sendall(f"PROXY TCP4 {client} 127.0.0.1 50123 8443\r\n".encode())
            with suppress(OSError):
                connection = running.tls.wrap_socket(raw, server_hostname="127.0.0.1")
                stack.enter_context(connection)
                return answer(connection).startswith(b"HTTP/1.1 200 ")
            return False

        assert [is_let_in("198.51.100.7") for _ in range(3)] == [True, True, False]
        assert is_let_in("198.51.100.8")
