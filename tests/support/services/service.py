"""A service that lets in whoever shows a certificate of our CA, and says whose it was."""

from __future__ import annotations

import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from reconciler.crypto.ca_material import new_ca
from tests.support.gateways.liar import server_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Service:
    """Where it listens, and the file of the roots that its own certificate leads to."""

    url: str
    roots: Path


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.connection, ssl.SSLSocket)
        peer = self.connection.getpeercert()
        assert peer is not None
        body = str(peer["serialNumber"]).lower().lstrip("0").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Write nothing."""


@contextmanager
def service(folder: Path, client_root: str) -> Iterator[Service]:
    """Serve over mutual TLS until the block ends; each answer is the client's serial."""
    material = new_ca("service", datetime.now(UTC))
    chain, roots, trusted = folder / "service.pem", folder / "service-roots.pem", folder / "ca.pem"
    chain.write_bytes(server_certificate(material, "127.0.0.1", "service.example"))
    roots.write_text(material.root)
    trusted.write_text(client_root)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(trusted))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(chain)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield Service(f"https://127.0.0.1:{server.server_port}", roots)
        finally:
            server.shutdown()
            thread.join()
