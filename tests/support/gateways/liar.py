"""A gateway that lies: a TLS server whose every answer a test chooses, and which records all."""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from reconciler.crypto.ca_material import new_ca
from reconciler.crypto.keys import generate_key, private_key_pem
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from reconciler.crypto.ca_material import CaMaterial
    from reconciler.crypto.keys import PublicKey

API = "/federation/v1"
ROOTS = f"GET {API}/ca/roots"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Response:
    """One answer; `drip_s` is the pause before each of its octets, `chunked`: each is a chunk."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    drip_s: float = 0.0
    hang_up: bool = False
    chunked: bool = False


Answer = Response | Callable[[bytes], Response]


@dataclass
class Liar:
    """What it answers by `METHOD path`, one after the other, the last for ever.

    An answer may be a function of the body that was sent.
    """

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    heard: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def say(self, call: str, *answers: Answer) -> None:
        self.answers[call] = list(answers)

    def calls(self) -> list[str]:
        return [each[0] for each in self.heard]


def server_certificate(ca: CaMaterial, *names: str) -> bytes:
    """Return key, leaf and intermediate as PEM: a server certificate for the names."""
    key = generate_key()
    san = [_general_name(name) for name in names]
    leaf = certificate(ca, key.public_key(), "liar", san, usage=ExtendedKeyUsageOID.SERVER_AUTH)
    pem = leaf.public_bytes(serialization.Encoding.PEM)
    return private_key_pem(key) + pem + ca.intermediate.encode()


def certificate(
    ca: CaMaterial,
    key: PublicKey,
    common_name: str,
    san: list[x509.GeneralName],
    *,
    life: tuple[timedelta, timedelta] = (timedelta(minutes=-1), DAY),
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
) -> x509.Certificate:
    """Return a certificate that the CA's intermediate signed, as a test wants it."""
    issuer = x509.load_pem_x509_certificate(ca.intermediate.encode())
    signer = serialization.load_pem_private_key(ca.intermediate_key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(issuer.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + life[0])
        .not_valid_after(now + life[1])
        .add_extension(x509.SubjectAlternativeName(san), critical=False)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .sign(signer, hashes.SHA256())
    )


def of_unknown_version(pem: str) -> str:
    """Return the certificate with a version that no X.509 has, which cannot be read."""
    der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)
    v3, v5 = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x04"  # RFC 5280 4.1.2.1
    return ssl.DER_cert_to_PEM_cert(der.replace(v3, v5, 1))


def other_name(oid: str, text: str) -> x509.OtherName:
    """Return an otherName that holds a UTF8String of less than 128 octets (X.690 8.1.3.4)."""
    value = text.encode()
    return x509.OtherName(x509.ObjectIdentifier(oid), bytes([0x0C, len(value)]) + value)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@contextmanager
def lying(ca: CaMaterial, *names: str) -> Iterator[Liar]:
    """Serve with a certificate of the CA for `names` (default 127.0.0.1 and localhost)."""
    liar = Liar()
    liar.say(ROOTS, Response(200, ca.root.encode()))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length") or 0))
            call = f"{self.command} {self.path}"
            liar.heard.append((call, dict(self.headers.items()), sent))
            answers = liar.answers.get(call) or [Response(404)]
            chosen = answers.pop(0) if len(answers) > 1 else answers[0]
            response = chosen if isinstance(chosen, Response) else chosen(sent)
            self.close_connection = response.hang_up
            if response.hang_up:
                return
            self.send_response(response.status)
            for name, value in response.headers:
                self.send_header(name, value)
            if response.chunked:
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                chunks = (b"1\r\n%c\r\n" % octet for octet in response.body)
                self.wfile.write(b"".join(chunks) + b"0\r\n\r\n")
                return
            self.send_header("content-length", str(len(response.body)))
            self.end_headers()
            for octet in (
                (response.body,) if not response.drip_s else map(bytes, zip(response.body))
            ):
                time.sleep(response.drip_s)
                self.wfile.write(octet)
                self.wfile.flush()

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            pass  # a client that hangs up is what is tested

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "server.pem"
        path.write_bytes(server_certificate(ca, *(names or ("127.0.0.1", "localhost"))))
        context.load_cert_chain(path)
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    liar.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield liar
    finally:
        server.shutdown()
        thread.join(PATIENCE_S)
        server.server_close()


@contextmanager
def lying_to_git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Liar]:
    """Run a web server that git trusts, as an operator with a private CA has it."""
    ca = new_ca("Git", datetime.now(UTC))
    (folder / "root.pem").write_text(ca.root)
    monkeypatch.setenv("GIT_SSL_CAINFO", str(folder / "root.pem"))
    monkeypatch.setenv("HOME", str(folder))
    with lying(ca) as made:
        yield made
