"""Checks of authority by one process, against the same server with a constant answer and SELECT 1.

The server is a process of its own, as it is where it runs; its clients keep their connections. The
time of its processor for each answer says the most: it depends least on what else the machine does.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.measure import Figure, compare
from reconciler.authority import Authority
from reconciler.store.connection.reader import Reader
from reconciler.web.metrics.registry import Metrics
from reconciler.web.private.access import Access
from reconciler.web.private.app import PrivateApp
from reconciler.web.private.server import bind_private, serve_private
from tests.support.gateways.certified import Certified, certify
from tests.support.gateways.endpoints import scratch_database
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

CHECKS: Final = 3_200
CLIENTS: Final = 32
CERTIFICATES: Final = 50
MAX_TAIL: Final = 20  # times the median, at the 99th percentile


def figures() -> list[Figure]:
    """Return the figures of this subject."""
    with scratch_database() as (_, url):
        rows = Rows(url)
        names = [f"grant-{number}" for number in range(CERTIFICATES)]
        rows.apply(peer_manifest(), *(grant_manifest(each) for each in names))
        certificates = [certify(rows, each) for each in names]
        with _serving("check", url) as check, _serving("constant", url) as constant:
            figure = compare(
                f"{CHECKS:,} checks, {CLIENTS} clients",
                check.serve,
                "a constant answer and SELECT 1",
                constant.serve,
                lambda: [_request(each) for each in certificates],
            )
    tail = statistics.median(check.tails)
    assert tail < MAX_TAIL, f"the 99th percentile is {tail:.1f} times the median"
    cpu = statistics.median(
        ours / floor for ours, floor in zip(check.cpu_s, constant.cpu_s, strict=True)
    )
    return [replace(figure, name=f"{figure.name}, p99 {tail:.1f} x median, cpu {cpu:.2f} x")]


@dataclass(frozen=True)
class _Server:
    """A server process; for each run, the tail of its latencies and the time of its processor."""

    port: int
    process: int
    tails: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def serve(self, requests: list[bytes]) -> None:
        """Let it answer requests of all clients."""
        before_s = self._cpu_s()
        latencies_s = asyncio.run(_ask_at_once(self.port, requests))
        self.cpu_s.append(self._cpu_s() - before_s)
        percentile_s = statistics.quantiles(latencies_s, n=100)[98]
        self.tails.append(percentile_s / statistics.median(latencies_s))

    def _cpu_s(self) -> float:
        schedule = Path(f"/proc/{self.process}/schedstat").read_text(encoding="ascii")
        return int(schedule.split()[0]) / 1e9  # proc(5)


def _request(certificate: Certified) -> bytes:
    headers = {"Host": "localhost", **certificate.headers("X-SSL-Client-Cert")}
    question = {"X-Mosaic-Resource": "tasks", "X-Mosaic-Verb": "list"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers | question).items())
    return f"GET /authorize HTTP/1.1\r\n{lines}\r\n".encode()


async def _ask_at_once(port: int, requests: list[bytes]) -> list[float]:
    latencies_s: list[float] = []

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for turn in range(CHECKS // CLIENTS):
            began = time.perf_counter()
            writer.write(requests[(number + turn) % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            _, _, rest = head.partition(b"content-length: ")
            await reader.readexactly(int(rest.partition(b"\r\n")[0]))
            latencies_s.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return latencies_s


@contextmanager
def _serving(kind: str, url: str) -> Iterator[_Server]:
    """Serve in another process until the block ends."""
    argv = [sys.executable, "-m", "benchmarks.authority", kind, url]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield _Server(int(process.stdout.readline()), process.pid)
        finally:
            process.terminate()


async def _serve(kind: str, url: str) -> None:
    listening = bind_private(("127.0.0.1", 0))
    async with Authority(url) as authority:
        checks = (authority.require_ready,)
        app: ASGIApp = PrivateApp(Access(), checks, Metrics("authority"), authority)
        if kind == "constant":
            app = _constant(Reader(url, "benchmark"))
        print(listening.socket.getsockname()[1], flush=True)
        await serve_private(app, listening, asyncio.Event())


def _constant(reader: Reader) -> ASGIApp:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"15")]

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await reader.rows("SELECT 1")
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"holds": true}'})

    return app


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
