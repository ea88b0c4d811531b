"""The demo's service of alpha's: mutual TLS by alpha's CA, then the question to `/authorize`."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.config import Settings

TIMEOUT_S: Final = 10
QUESTION: Final = {"X-Mosaic-Resource": "notes", "X-Mosaic-Verb": "list"}
NOTES: Final = [{"team": "platform", "text": "the printer is on the third floor"}]


def ask_authority(listen: tuple[str, int], certificate: bytes) -> tuple[int, dict[str, Any]]:
    """Return the status and the document of `/authorize` for a certificate (DER)."""
    encoded = base64.b64encode(certificate).decode()
    connection = http.client.HTTPConnection(*listen, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/authorize", headers=QUESTION | {"Client-Cert": f":{encoded}:"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@contextmanager
def demo_service(settings: Settings) -> Iterator[str]:
    """Serve notes below the URL that is yielded, with the certificate of alpha's endpoint."""
    home, private = settings.home, settings.private_listen
    assert home is not None
    assert isinstance(private, tuple)
    listen = private[0], private[1]

    class Handler(BaseHTTPRequestHandler):
        timeout = TIMEOUT_S

        def do_GET(self) -> None:
            assert isinstance(self.connection, ssl.SSLSocket)
            certificate = self.connection.getpeercert(binary_form=True)
            assert certificate is not None
            status, decision = ask_authority(listen, certificate)
            if status == http.HTTPStatus.OK:
                subject = decision["grant"]["subjectUserId"]
                self._answer(status, {"notesOf": subject, "notes": NOTES})
            else:
                self._answer(status, {"code": decision["code"], "detail": decision["detail"]})

        def log_message(self, *_: object) -> None:
            """Write nothing: the demo shows what the client gets."""

        def _answer(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=str(home.ca / "root_ca.crt")
    )
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(home.server_certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}/notes"
        finally:
            server.shutdown()
            thread.join()


def call_service(url: str, credential: Path) -> tuple[int, str]:
    """Call the service as beta's client does; return the status and the body."""
    generation = credential / (credential / "..data").readlink()
    context = ssl.create_default_context(cafile=str(generation / "ca.crt"))
    context.load_cert_chain(generation / "tls.crt", generation / "tls.key")
    host, _, path = url.removeprefix("https://").partition("/")
    connection = http.client.HTTPSConnection(host, timeout=TIMEOUT_S, context=context)
    try:
        connection.request("GET", f"/{path}")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
