"""The proxies of `examples/authority/`, each started from its file, before a resource server."""

from __future__ import annotations

import http.server
import json
import shutil
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.ports import free_port
from tests.support.project.checkout import ROOT
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES: Final = ROOT / "examples" / "authority"
FILES: Final = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg", "envoy": "envoy.yaml"}
TOKEN: Final = "correct-horse-battery-staple"


@dataclass
class Places:
    """Where a proxy of an example finds what: its folder, and the ports around it."""

    folder: Path
    authority_port: int
    resource_port: int
    port: int = field(default_factory=free_port)

    def rendered(self, name: str) -> str:
        """Return a file of the examples with the places of a test."""
        text = (EXAMPLES / name).read_text()
        for shown, actual in (
            ("8443", str(self.port)),
            ("8500", str(self.authority_port)),
            ("127.0.0.1:8080", f"127.0.0.1:{self.resource_port}"),
            ("port_value: 8080", f"port_value: {self.resource_port}"),
            ("/etc/mosaic", str(self.folder)),
            ("THE_TOKEN", TOKEN),
        ):
            text = text.replace(shown, actual)
        return text

    def client(self, certificate: tuple[str, str] | None) -> httpx.Client:
        """Return a client with the files of a certificate and its key."""
        context = ssl.create_default_context(cafile=str(self.folder / "server.crt"))
        if certificate is not None:
            context.load_cert_chain(*certificate)
        url = f"https://127.0.0.1:{self.port}"
        return httpx.Client(base_url=url, verify=context, trust_env=False, timeout=PATIENCE_S)


def write_server_certificate(folder: Path) -> None:
    """Write a certificate of 127.0.0.1 and its key, which is its own root."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "server.crt").write_bytes(pem)
    (folder / "server.key").write_bytes(key_pem)
    (folder / "server.pem").write_bytes(pem + key_pem)


@contextmanager
def resource_server() -> Iterator[int]:
    """Run a resource server that shows the headers it is sent; give its port."""

    class Echo(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps([[name.lower(), value] for name, value in self.headers.items()])
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE_S)


@contextmanager
def proxy(name: str, places: Places) -> Iterator[None]:
    """Run a proxy of the examples until the block ends; it listens when the block begins."""
    config = places.folder / FILES[name]
    log = places.folder / "log"
    config.write_text(places.rendered(FILES[name]))
    with log.open("wb") as output:
        process = subprocess.Popen(
            _PREPARE[name](places, config),
            env={"MOSAIC_TOKEN": TOKEN, "PATH": "/usr/bin:/bin"},
            cwd=places.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:

        def listens() -> bool:
            assert process.poll() is None, log.read_text(errors="replace")
            try:
                with places.client(None) as client:
                    client.get("/")
            except httpx.ConnectError as error:
                return "refused" not in str(error)
            except httpx.TransportError:
                return True
            return True

        wait_until(listens, f"{name} listens")
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _nginx(places: Places, config: Path) -> list[str]:
    (places.folder / "token.conf").write_text(f'proxy_set_header X-Mosaic-Token "{TOKEN}";\n')
    text = config.read_text()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {places.folder}/{kind};" for kind in kinds)
    config.write_text(text.replace("http {", f"http {{ access_log off; {temporary}", 1))
    return nginx_command(places.folder, config)


def _haproxy(places: Places, config: Path) -> list[str]:
    shutil.copy(EXAMPLES / "authorize.lua", places.folder)
    return [_found("haproxy", "haproxy"), "-db", "-f", str(config)]


def _envoy(places: Places, config: Path) -> list[str]:
    return envoy_command(config)


def nginx_command(folder: Path, config: Path, *, reloads: bool = False) -> list[str]:
    """Return what runs nginx in the foreground.

    If it `reloads`, the same words and `-s reload` reload it, and it is more than one process.
    """
    processes = "user root;" if reloads else "master_process off;"
    once = f"daemon off; {processes} pid {folder}/pid; error_log stderr;"
    return [_found("nginx", "nginx-light"), "-c", str(config), "-g", once, "-e", "stderr"]


def envoy_command(config: Path) -> list[str]:
    """Return what runs the Envoy of the wheel in the foreground."""
    program = Path(sys.executable).parent / "envoy"
    options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
    return [str(program), "-c", str(config), *options]


def _found(program: str, package: str) -> str:
    path = shutil.which(program, path="/usr/sbin:/usr/local/sbin:/usr/bin")
    assert path is not None, f"there is no {program}: sh tools/apt.sh {package} 'a test'"
    return path


_PREPARE: Final = {"nginx": _nginx, "haproxy": _haproxy, "envoy": _envoy}
