"""`serve --workers`: several processes share the endpoint; each 127.0.0.x is another client."""

from __future__ import annotations

import os
import re
import secrets
import select
import signal
import socket
import ssl
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
import pytest

from reconciler.core.rate_limit import CALLS
from reconciler.crypto.proof import make_proof
from reconciler.web.limits import Capacity
from tests.support.commands.process import COMMAND
from tests.support.gateways.enrollee import API, Enrollee, Rows, grant_manifest, peer_manifest
from tests.support.gateways.gateway import Up
from tests.support.gateways.web_server import trusting
from tests.support.waiting import PATIENCE_S, wait_until
from tests.support.worker_processes import ADDRESSES, BURST, PROXY, WORKERS, is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.commands.in_process import Quick


ROOTS: Final = "/federation/v1/ca/roots"  # unlike a probe, it is limited


@dataclass(frozen=True)
class Shared:
    """A `serve` process and those that it has started."""

    up: Up
    tls: ssl.SSLContext
    port: int
    private: str

    def connect(
        self, source: str, *, client: str = "", session: ssl.SSLSession | None = None
    ) -> ssl.SSLSocket:
        """Return a connection from an address; the proxy's names a client."""
        raw = socket.create_connection(
            ("127.0.0.1", self.port), PATIENCE_S, source_address=(source, 0)
        )
        if client:
            raw.sendall(f"PROXY TCP4 {client} 127.0.0.1 50123 8443\r\n".encode())
        return self.tls.wrap_socket(raw, server_hostname="127.0.0.1", session=session)

    @property
    def children(self) -> set[int]:
        pid = self.up.process.pid
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def client(self, source: str) -> httpx.Client:
        """Return an HTTP client at an address."""
        transport = httpx.HTTPTransport(verify=self.tls, local_address=source)
        return httpx.Client(base_url=self.url, transport=transport, timeout=PATIENCE_S)

    def ready(self) -> httpx.Response:
        return httpx.get(f"{self.private}/readyz", timeout=PATIENCE_S)

    def requests(self, route: str) -> int:
        """The requests of a route that the metrics count."""
        text = httpx.get(f"{self.private}/metrics", timeout=PATIENCE_S).text
        pattern = rf'^mosaic_http_requests_total\{{route="{re.escape(route)}",\S+ (\S+)$'
        return int(sum(map(float, re.findall(pattern, text, re.MULTILINE))))


def answer(connection: ssl.SSLSocket, path: str = ROOTS) -> int:
    """Return the status of an answer, 0 if the connection was closed."""
    try:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        head = connection.recv(65536)
    except (ConnectionError, ssl.SSLEOFError):
        return 0
    return int(head.split()[1]) if head else 0


@pytest.fixture(scope="module")
def shared(mosaic: Quick) -> Iterator[Shared]:
    started = Up.begin([*COMMAND, "serve"], mosaic.cwd, mosaic.environ())
    listen = mosaic.variables["MOSAIC_LISTEN"]
    roots = Path(mosaic.variables["MOSAIC_CA_ROOT"]).read_text()
    private = f"http://{mosaic.variables['MOSAIC_PRIVATE_LISTEN']}"
    tls = trusting((roots,))
    made = Shared(started, tls, int(listen.rpartition(":")[2]), private)
    try:
        started.wait_for("ready: ")
        yield made
        children = made.children
    finally:
        code = started.stop()
    assert code == 0, started.output
    assert not any(map(is_alive, children)), "they end with it"


@pytest.mark.parametrize("proxied", [False, True])
def test_requests_of_an_address_have_one_limit_over_all_processes(
    shared: Shared, proxied: bool
) -> None:
    for number in range(1, 2 * WORKERS + 1):
        address = f"198.51.100.{number}" if proxied else f"127.0.4.{number}"
        with ExitStack() as stack:
            source, client = (PROXY, address) if proxied else (address, "")
            statuses = []
            for _ in range(BURST + 3):
                connection = stack.enter_context(shared.connect(source, client=client))
                statuses.append(answer(connection))
        assert statuses == [200] * BURST + [429] * 3


def test_connections_of_an_address_have_one_limit_over_all_processes(shared: Shared) -> None:
    limit, more = Capacity().handshakes_each, 5
    with ExitStack() as stack:
        for number in range(1, 2 * WORKERS + 1):
            sockets = [
                stack.enter_context(
                    socket.create_connection(
                        ("127.0.0.1", shared.port), PATIENCE_S, (f"127.0.5.{number}", 0)
                    )
                )
                for _ in range(limit + more)
            ]
            wait_until(partial(are_closed, sockets, more), f"{limit} stay open")


def are_closed(sockets: list[socket.socket], number: int) -> bool:
    return len(select.select(sockets, [], [], 0)[0]) == number


def test_calls_of_a_grant_have_one_limit_over_all_processes(
    shared: Shared, shared_database_url: str
) -> None:
    rows, peer, path = Rows(shared_database_url), Enrollee(), f"{API}/certificates/pickup"
    rows.apply(peer_manifest(), grant_manifest("tasks"))
    with shared.client(ADDRESSES[0]) as client:
        assert peer.enroll(client, rows.invite("tasks")).status_code == 201
    claims = {"jti": secrets.token_hex(16)}
    proof = make_proof(peer.key, "POST", f"{shared.url}{path}", datetime.now(UTC), claims)
    statuses = []
    for address in ADDRESSES:
        with shared.client(address) as client:
            for _ in range(2):
                answer = client.post(path, headers={"DPoP": proof}, json={})
                statuses.append(answer.status_code)
    assert statuses[: CALLS.burst] == [200] * CALLS.burst
    assert 429 in statuses


def test_a_client_resumes_its_session_whichever_process_serves_it(shared: Shared) -> None:
    for address in ADDRESSES[: 2 * WORKERS]:
        with shared.connect(address) as first:
            assert answer(first) == 200
            session = first.session
        with shared.connect(address, session=session) as second:
            assert answer(second) == 200
            assert second.session_reused


def test_a_process_that_dies_hinders_nobody_else_and_is_started_again(shared: Shared) -> None:
    before, counted = shared.children, shared.requests(ROOTS)
    assert len(before) == WORKERS - 1
    with ExitStack() as stack:
        held = {
            address: [stack.enter_context(shared.connect(address)) for _ in range(2)]
            for address in ADDRESSES
        }
        assert {answer(each) for pair in held.values() for each in pair} == {200}
        assert shared.requests(ROOTS) == counted + 2 * len(ADDRESSES)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        shared.up.wait_for("has ended (SIGKILL); it is started again in 1 s")
        pairs = {address: [answer(each) for each in pair] for address, pair in held.items()}
        assert all(pair in ([200, 200], [0, 0]) for pair in pairs.values()), "one address, one"
        assert {tuple(pair) for pair in pairs.values()} == {(200, 200), (0, 0)}
        orphans = [address for address, pair in pairs.items() if pair == [0, 0]]
        for address in orphans:
            with shared.connect(address) as anew:
                assert answer(anew) == 200
    wait_until(lambda: shared.ready().status_code == 200, "it is ready again")
    assert len(shared.children) == WORKERS - 1
    answered = 4 * len(ADDRESSES) - len(orphans)
    assert shared.requests(ROOTS) == counted + answered, "nothing is lost or doubled"


def test_nobody_else_can_share_the_port(shared: Shared) -> None:
    with socket.socket() as other:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            other.setsockopt(socket.SOL_SOCKET, option, 1)
        with pytest.raises(OSError, match="Address already in use"):
            other.bind(("127.0.0.1", shared.port))
