"""The client of step-ca against a server that answers wrongly, late, or not at all."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.clients.http.connections import Timeouts
from reconciler.clients.step_ca.answers import GrantAnswer, Unanswered
from reconciler.clients.step_ca.client import CaClient
from reconciler.clients.step_ca.connection import MAX_JSON, CaWire, NoAnswer
from reconciler.core.issuance.x509 import ExpectedLeaf, GrantIdentity
from reconciler.crypto.ca_material import PEERS, new_ca
from reconciler.crypto.csr import make_csr, read_csr
from reconciler.crypto.keys import generate_key
from reconciler.crypto.ott import Provisioner
from tests.support.gateways.liar import server_certificate
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

IDENTITY = GrantIdentity("0197a000-0000-7000-8000-000000000001", "maria@alpha.example")
IMPATIENT = Timeouts(connect_s=1, read_s=1, total_s=2)
LIAR = new_ca("Liar", datetime.now(UTC))


class Wire:
    """A server with the CA's certificate that counts requests and answers with given bytes."""

    def __init__(self) -> None:
        self.requests = 0
        self.answer: Callable[[ssl.SSLSocket], None] = lambda _: None
        self.url = ""


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    path = tmp_path / "server.pem"
    path.write_bytes(server_certificate(LIAR, "127.0.0.1"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with serve(context) as server:
        yield server


@contextmanager
def serve(context: ssl.SSLContext) -> Iterator[Wire]:
    wire = Wire()
    listening = socket.create_server(("127.0.0.1", 0))
    wire.url = f"https://127.0.0.1:{listening.getsockname()[1]}"

    def accept() -> None:
        while True:
            try:
                raw, _ = listening.accept()
            except OSError:
                return
            with raw, context.wrap_socket(raw, server_side=True) as secure:
                secure.settimeout(PATIENCE_S)
                if secure.recv(65536):
                    wire.requests += 1
                    wire.answer(secure)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def http(status: str, body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body


def say(data: bytes) -> Callable[[ssl.SSLSocket], None]:
    return lambda secure: secure.sendall(data)


def drip(secure: ssl.SSLSocket) -> None:
    try:
        secure.sendall(b"HTTP/1.1 201 Created\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(600):
            secure.sendall(b" ")
            time.sleep(0.1)
    except OSError:
        pass  # the client has had enough


async def sign(client: CaClient) -> GrantAnswer:
    csr = read_csr(make_csr(generate_key()))
    ends = datetime.now(UTC) + timedelta(hours=1)
    return await client.sign_grant(csr, ExpectedLeaf(IDENTITY, "1f", csr.spki_sha256, ends, ()))


@pytest.fixture
def client(wire: Wire, tmp_path: Path) -> CaClient:
    path = tmp_path / "peers.json"
    path.write_text(json.dumps(LIAR.provisioners[PEERS]))
    return CaClient(wire.url, [LIAR.root], Provisioner.load(path), timeouts=IMPATIENT)


CHAINLESS: dict[str, Any] = {"crt": LIAR.root, "certChain": "nonsense"}


@pytest.mark.parametrize(
    "answer",
    [
        say(b""),
        say(b"SSH-2.0-nonsense\r\n"),
        say(b"HTTP/1.1 201 Created\r\ncontent-length: 1000\r\n\r\n{"),
        say(http("201 Created", b"")),
        say(http("201 Created", b"[]")),
        say(http("201 Created", b"[" * 50_000)),
        say(http("201 Created", json.dumps(CHAINLESS).encode())),
        say(http("201 Created", b" " * (MAX_JSON + 1))),
        say(http("200 OK", b"{}")),
        say(http("302 Found", b"", "location: https://127.0.0.1:1/\r\n")),
        say(http("503 Service Unavailable", b"\xff\x1b[2J")),
        drip,
    ],
)
def test_any_answer_that_is_none_leaves_the_serial_in_doubt_and_is_asked_for_once(
    wire: Wire, client: CaClient, answer: Callable[[ssl.SSLSocket], None]
) -> None:
    async def story() -> GrantAnswer:
        async with client:
            return await sign(client)

    wire.answer = answer
    began = time.monotonic()
    result = asyncio.run(story())
    assert isinstance(result, Unanswered), result
    assert result.reason.isprintable()
    assert wire.requests == 1
    assert time.monotonic() - began < 30, "it did not wait for the whole answer, a minute"


def test_a_connection_that_breaks_when_it_is_used_again_is_in_doubt(
    wire: Wire, client: CaClient
) -> None:
    def twice(secure: ssl.SSLSocket) -> None:
        secure.sendall(http("200 OK", b'{"status":"ok"}'))
        secure.recv(65536)  # the request to sign: read, and never answered
        wire.requests += 1

    async def story() -> GrantAnswer:
        async with client:
            await client.health()
            return await sign(client)

    wire.answer = twice
    assert isinstance(asyncio.run(story()), Unanswered)
    assert wire.requests == 2


def test_a_crl_may_be_long_but_has_an_end(wire: Wire) -> None:
    async def get(limit: int) -> int:
        channel = CaWire(wire.url, [LIAR.root], IMPATIENT)
        try:
            return len((await channel.send("GET", "/1.0/crl", limit=limit)).body)
        finally:
            await channel.close()

    wire.answer = say(http("200 OK", b"x" * (2 * MAX_JSON)))
    assert asyncio.run(get(2 * MAX_JSON)) == 2 * MAX_JSON
    with pytest.raises(NoAnswer, match="larger than"):
        asyncio.run(get(2 * MAX_JSON - 1))
