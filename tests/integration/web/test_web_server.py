"""The server under clients that do not behave."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
from starlette.responses import Response

from reconciler.errors import NeedsEdit
from reconciler.web import requests
from reconciler.web.limits import Capacity, Limits
from reconciler.web.middleware import GatewayMiddleware
from reconciler.web.server import http as protocol
from reconciler.web.server import server
from reconciler.web.server.certificate import ServerCertificate
from reconciler.web.server.server import Server
from tests.support.gateways.web_server import UNLIMITED, Parts, Running, serving
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

NO_LIMITS = Limits(Capacity(), UNLIMITED)
ENROLL_HEAD = (
    b"POST /federation/v1/enroll HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
)


def rest_of(connection: ssl.SSLSocket) -> bytes:
    """Read until the server closes, however it does."""
    result = b""
    try:
        while part := connection.recv(65536):
            result += part
    except (ConnectionResetError, ssl.SSLEOFError):
        pass
    return result


def test_a_port_in_use_is_one_clear_line(web_parts: Parts) -> None:
    async def run() -> None:
        ca = web_parts.ca()
        taken = socket.create_server(("127.0.0.1", 0))
        listen = ("127.0.0.1", taken.getsockname()[1])

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise AssertionError

        certificate = ServerCertificate(ca.sign_server, ("localhost",), web_parts.roots)
        with taken, pytest.raises(NeedsEdit, match=f"127.0.0.1 port {listen[1]}") as caught:
            await Server(app, listen, certificate, NO_LIMITS).run()
        assert caught.value.code == "config_invalid"
        await ca.aclose()

    asyncio.run(run())


def test_a_body_that_trickles_answers_408_and_holds_nobody_up(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    trickle = ENROLL_HEAD + b'Content-Length: 30\r\n\r\n{"csr"'
    monkeypatch.setattr(requests, "BODY_DEADLINE_S", 2 * PATIENCE_S)
    with running.connect() as slow, running.client() as client:
        slow.sendall(trickle)
        assert client.get("/readyz").status_code == 200
    monkeypatch.setattr(requests, "BODY_DEADLINE_S", 0.5)
    with running.connect() as slow:
        slow.sendall(trickle)
        answer = rest_of(slow)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code": "request_timeout"' in answer


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_never_ends_is_hung_up_on(
    running: Running, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(protocol, "HEAD_DEADLINE_S", 0.5)
    with running.connect() as slow:
        slow.sendall(sent)
        assert rest_of(slow) == b""


def test_a_body_that_trickles_in_after_its_answer_is_hung_up_on(running: Running) -> None:
    with running.connect() as slow:
        slow.sendall(b"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n")
        assert rest_of(slow).startswith(b"HTTP/1.1 404 ")


def test_a_chunked_body_that_breaks_off_does_not_hurt(running: Running) -> None:
    with running.connect() as odd:
        odd.sendall(ENROLL_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert b" 400 " in rest_of(odd)
    with running.client() as client:
        assert client.get("/readyz").status_code == 200


def test_plain_http_on_the_port_gets_no_answer(running: Running) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE_S) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"HTTP" not in plain.recv(1000)


def test_the_server_ends_in_seconds_though_no_client_lets_go(web_parts: Parts) -> None:
    """Idle, half a head, half a body, half a handshake: nobody answers our close_notify."""
    with serving(web_parts) as running:
        idle, head, body = (running.connect() for _ in range(3))
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.recv(1000).startswith(b"HTTP/1.1 200 ")
        head.sendall(b"GET /healthz HTTP/1.1\r\n")
        body.sendall(ENROLL_HEAD + b"Content-Length: 30\r\n\r\n{")
        raw = socket.create_connection(("127.0.0.1", running.port))
        running.stop()  # which fails unless it ends
    for connection in (idle, head, body, raw):
        connection.close()


def test_a_request_in_flight_is_finished_and_one_that_hangs_is_told(
    web_parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "GRACE_S", 5)
    begun, answers = threading.Semaphore(0), {}

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        begun.release()
        await asyncio.sleep(float(scope["path"].removeprefix("/")))
        await Response("done")(scope, receive, send)

    middleware = GatewayMiddleware(slow, gateway=web_parts.gateway(), limits=NO_LIMITS)
    with serving(web_parts, app=middleware) as running:

        def ask(seconds: str) -> None:
            with running.client() as client:
                answers[seconds] = client.get(f"/{seconds}")

        asking = [threading.Thread(target=ask, args=(seconds,)) for seconds in ("0.5", "600")]
        for thread in asking:
            thread.start()
            assert begun.acquire(timeout=PATIENCE_S)
        running.stop()
        for thread in asking:
            thread.join(PATIENCE_S)
    assert answers["0.5"].text == "done"
    assert (answers["600"].status_code, answers["600"].json()["code"]) == (503, "unavailable")
