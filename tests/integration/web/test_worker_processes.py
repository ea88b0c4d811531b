"""`serve --workers`: several processes share the endpoint; each 127.0.0.x is another client."""

from __future__ import annotations

import asyncio
import os
import pickle
import re
import secrets
import select
import signal
import socket
import ssl
import sys
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
import pytest

from reconciler.config import load_settings
from reconciler.core.model.backoff import Backoff
from reconciler.core.rate_limit import CALLS
from reconciler.crypto.proof import make_proof
from reconciler.errors import Retry
from reconciler.operations.endpoint import PROGRAM, WorkerOrder
from reconciler.web.limits import Capacity, Limits
from reconciler.web.server import process_pool
from reconciler.web.server.process_pool import ProcessPool
from reconciler.web.server.worker_process import Command
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import COMMAND
from tests.support.gateways.enrollee import API, Enrollee, Rows, grant_manifest, peer_manifest
from tests.support.gateways.gateway import Up
from tests.support.gateways.step_ca import authority
from tests.support.gateways.web_server import UNLIMITED, Parts, Running, serving, trusting
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.enroll import Gateway

WORKERS: Final = 3
BURST: Final = 20  # requests of an address, and none after them
PROXY: Final = "127.0.0.1"  # which names its clients
ROOTS: Final = "/federation/v1/ca/roots"  # unlike a probe, it is limited
ADDRESSES: Final = tuple(f"127.0.3.{number}" for number in range(1, 31))


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
def mosaic(tmp_path_factory: pytest.TempPathFactory, shared_database_url: str) -> Iterator[Quick]:
    folder, port = tmp_path_factory.mktemp("shared"), free_port()
    url = f"https://127.0.0.1:{port}"
    (folder / "ca").mkdir()
    with authority(folder / "ca", url) as ca:
        made = shell(folder, shared_database_url)
        made.variables.update(
            MOSAIC_PUBLIC_URL=url,
            MOSAIC_LISTEN=f"127.0.0.1:{port}",
            MOSAIC_PRIVATE_LISTEN=f"127.0.0.1:{free_port()}",
            MOSAIC_CA_URL=ca.url,
            MOSAIC_CA_ROOT=str(ca.folder / "root_ca.crt"),
            MOSAIC_CA_PROVISIONERS=str(ca.folder),
            MOSAIC_WORKERS=str(WORKERS),
            MOSAIC_RATE_LIMIT=f"0.001/s:{BURST}",
            MOSAIC_TRUSTED_PROXIES=f"{PROXY}/32",
            MOSAIC_PROXY_PROTOCOL="true",
        )
        yield made


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


def is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


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


def test_an_endpoint_is_not_ready_before_each_of_its_processes_is(web_parts: Parts) -> None:
    limits = Limits(Capacity(), UNLIMITED)
    pool = ProcessPool(2, Command((), b""), limits, web_parts.gateway())
    with pytest.raises(Retry, match="process 2 of 2 is being started"):
        asyncio.run(pool.require_ready())


@pytest.fixture
def pooled(
    mosaic: Quick, web_parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Running, ProcessPool]]:
    """Serve here and by another process, which is soon taken to hang."""
    monkeypatch.setattr(process_pool, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(process_pool, "HUNG_S", 1.0)
    monkeypatch.setattr(process_pool, "BACKOFF", Backoff(timedelta(), timedelta()))
    order = WorkerOrder(load_settings({}, mosaic.variables, mosaic.cwd), (), "info", measured=False)
    command = Command((sys.executable, "-P", "-m", PROGRAM), pickle.dumps(order))
    pools: list[ProcessPool] = []

    def pool(limits: Limits, gateway: Gateway) -> ProcessPool:
        pools.append(ProcessPool(2, command, limits, gateway))
        return pools[0]

    with serving(web_parts, pool=pool) as running:
        yield running, pools[0]


def test_every_process_serves_a_renewed_certificate_is_replaced_if_it_hangs_and_ends_in_order(
    pooled: tuple[Running, ProcessPool],
) -> None:
    running, pool = pooled
    first = certificates(running)
    assert len(first) == 1
    running.wait_for(running.certificate.renew())
    wait_until(lambda: len(certificates(running) - first) == 1, "all have the new one")
    (process,) = pool.running
    os.kill(process.pid, signal.SIGSTOP)
    wait_until(lambda: not is_alive(process.pid), "it is killed")
    wait_until(lambda: [each.ready.is_set() for each in pool.running] == [True], "another")
    running.wait_for(pool.require_ready())
    assert len(certificates(running) - first) == 1
    head = b"POST /federation/v1/enroll HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
    with ExitStack() as stack:
        held = [stack.enter_context(running.connect(address)) for address in ADDRESSES]
        for connection in held:
            connection.sendall(head + b"Content-Type: application/json\r\n\r\n{")
        ending = threading.Thread(target=running.stop)
        ending.start()
        wait_until(lambda: not listens(running.port), "it accepts no more")
        for connection in held:
            connection.sendall(b"}")
        assert {connection.recv(12) for connection in held} == {b"HTTP/1.1 400"}
        ending.join(PATIENCE_S)
    assert not pool.running


def certificates(running: Running) -> set[bytes | None]:
    """Return what the addresses are shown, of which each process serves some."""
    shown = set()
    for address in ADDRESSES:
        with running.connect(address) as connection:
            shown.add(connection.getpeercert(binary_form=True))
    return shown


def listens(port: int) -> bool:
    with suppress(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), PATIENCE_S).close()
        return True
    return False
