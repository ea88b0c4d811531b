"""A target of notices: an HTTPS server that keeps what it is sent, and answers as it is told."""

from __future__ import annotations

import json
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from reconciler.crypto.ca_material import new_ca
from tests.support.gateways.liar import server_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Received:
    """A request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def title(self) -> str:
        text: str = self.document["data"]["title"]
        return text


@dataclass
class Receiver:
    """Where it listens, the file of its roots, and what it was sent.

    `answer` returns the status and the headers of the answer to a request. While `stalled` is set,
    no request is answered.
    """

    roots: Path
    url: str = ""
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], tuple[int, dict[str, str]]] = lambda _: (204, {})
    body: bytes = b""
    endless: bool = False
    stalled: threading.Event = field(default_factory=threading.Event)
    ending: threading.Event = field(default_factory=threading.Event)

    @property
    def titles(self) -> list[str]:
        return [each.title for each in self.received]

    def answers(self, status: int, **headers: str) -> None:
        """Answer every request so from now on."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = lambda _: (status, named)


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Received(self.path, headers, body)
            receiver.received.append(request)
            while receiver.stalled.is_set() and not receiver.ending.wait(0.02):
                pass
            status, more = receiver.answer(request)
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(receiver.body)
            while receiver.endless and not receiver.ending.wait(0.05):
                self.wfile.write(b"x")

        def log_message(self, *args: object) -> None:
            """Write nothing."""

    return Handler


class _Server(ThreadingHTTPServer):
    def handle_error(self, *args: object) -> None:
        """Keep silent about clients that go away: that is what the tests make them do."""


@contextmanager
def receiver(folder: Path, name: str = "receiver") -> Iterator[Receiver]:
    """Serve over TLS on 127.0.0.1 until the block ends."""
    material = new_ca(name, datetime.now(UTC))
    chain, roots = folder / f"{name}.pem", folder / f"{name}-roots.pem"
    chain.write_bytes(server_certificate(material, "127.0.0.1"))
    roots.write_text(material.root)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)
    target = Receiver(roots)
    with _Server(("127.0.0.1", 0), _handler(target)) as server:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        target.url = f"https://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield target
        finally:
            target.ending.set()
            server.shutdown()
            thread.join()
