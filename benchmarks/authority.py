"""Checks of authority by one process, against the same server with a constant answer and SELECT 1.

The server is a process of its own, as it is where it runs; its clients keep their connections.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
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
from tests.support.gateways.endpoints import database
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
    with tempfile.TemporaryDirectory(prefix="mosaic-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, the database server runs as another account
        with database(folder) as url:
            rows = Rows(url)
            names = [f"grant-{number}" for number in range(CERTIFICATES)]
            rows.apply(peer_manifest(), *(grant_manifest(each) for each in names))
            certificates = [certify(rows, each) for each in names]
            with _serving("check", url) as check, _serving("constant", url) as constant:
                tails: list[float] = []
                figure = compare(
                    f"{CHECKS:,} checks, {CLIENTS} clients",
                    lambda requests: tails.append(_tail(_ask(check, requests))),
                    "a constant answer and SELECT 1",
                    lambda requests: _ask(constant, requests),
                    lambda: [_request(each) for each in certificates],
                )
    tail = statistics.median(tails)
    assert tail < MAX_TAIL, f"the 99th percentile is {tail:.1f} times the median"
    return [replace(figure, name=f"{figure.name}, p99 {tail:.1f} x median")]


def _tail(latencies_s: list[float]) -> float:
    """Return the 99th percentile over the median."""
    return statistics.quantiles(latencies_s, n=100)[98] / statistics.median(latencies_s)


def _request(certificate: Certified) -> bytes:
    headers = {"Host": "localhost", **certificate.headers("X-SSL-Client-Cert")}
    question = {"X-Mosaic-Resource": "tasks", "X-Mosaic-Verb": "list"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers | question).items())
    return f"GET /authorize HTTP/1.1\r\n{lines}\r\n".encode()


def _ask(port: int, requests: list[bytes]) -> list[float]:
    return asyncio.run(_ask_at_once(port, requests))


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
def _serving(kind: str, url: str) -> Iterator[int]:
    """Serve in another process until the block ends; give the port."""
    argv = [sys.executable, "-m", "benchmarks.authority", kind, url]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


async def _serve(kind: str, url: str) -> None:
    listening = bind_private(("127.0.0.1", 0))
    async with Authority(url) as authority:
        checks = (authority.require_ready,)
        app: ASGIApp = PrivateApp(Access(), checks, Metrics("authority"), authority)
        if kind == "constant":
            app = _constant(Reader(url, "benchmark"))
        print(listening.socket.getsockname()[1], flush=True)  # noqa: T201 - for who started this
        await serve_private(app, listening, asyncio.Event())


def _constant(reader: Reader) -> ASGIApp:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"15")]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - of ASGI
        await reader.row("SELECT 1")
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"holds": true}'})

    return app


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
