"""The processes that share an endpoint: ready together, replaced if they hang, ended in order."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import sys
import threading
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from reconciler.config import load_settings
from reconciler.core.model.backoff import Backoff
from reconciler.errors import Retry
from reconciler.operations.endpoint import PROGRAM, WorkerOrder
from reconciler.web.limits import Capacity, Limits
from reconciler.web.server import process_pool
from reconciler.web.server.process_pool import ProcessPool
from reconciler.web.server.worker_process import Command
from tests.support.gateways.web_server import UNLIMITED, Parts, Running, serving
from tests.support.waiting import PATIENCE_S, wait_until
from tests.support.worker_processes import ADDRESSES, is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.enroll import Gateway
    from tests.support.commands.in_process import Quick


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
