"""The loop over a git remote: what is pushed there is applied, and no checkout is mounted."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.compose.stack import UP_S, Stack, docker, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST: Final = "git.test"
# what any static web server does: git's HTTP protocol needs no more (gitprotocol-http(5))
SERVE: Final = """
import functools, http.server, ssl
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="/remote")
server = http.server.ThreadingHTTPServer(("0.0.0.0", 8443), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/remote/tls.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
OVERRIDE: Final = """
version: "3.9"
services:
  reconciler:
    command: ["run", "--poll", "3s"]
    environment: {{GIT_SSL_CAINFO: /run/git-ca.pem}}
    volumes: ["{ca}:/run/git-ca.pem:ro"]
"""


@dataclass(frozen=True)
class Remote:
    """A repository with a work tree of our own, which is pushed to the one that is served."""

    stack: Stack
    folder: Path

    @property
    def work(self) -> Path:
        return self.folder.with_name("work")

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@alpha.example")
        done = subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.work,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return done.stdout.strip()

    def push(self, message: str) -> str:
        """Commit what is there and push it; return the commit's hash."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.git("push", "--quiet", str(self.folder / "r.git"), "main")
        subprocess.run(
            ["git", f"--git-dir={self.folder / 'r.git'}", "update-server-info"], check=True
        )
        return self.git("rev-parse", "HEAD")

    def applied(self) -> str:
        return self.stack.sql("alpha", "SELECT coalesce(revision, '') FROM federation_applied")


@pytest.fixture(scope="module")
def remote(stack: Stack) -> Iterator[Remote]:
    """Serve a repository over TLS on the proxy's network, and point the loop at it."""
    made = Remote(stack, stack.folder / "remote")
    made.folder.mkdir()
    shutil.copytree(stack.manifests("alpha"), made.work / "alpha/manifests")
    (made.folder / "tls.pem").write_text(_certificate())
    subprocess.run(
        ["git", "init", "--quiet", "--bare", "-b", "main", made.folder / "r.git"], check=True
    )
    made.git("init", "--quiet", "--initial-branch=main")
    override = stack.folder / "remote.yml"
    override.write_text(OVERRIDE.format(ca=made.folder / "tls.pem"))
    made.push("As it stands")
    server = docker(
        "run", "--detach", "--rm", "--network", f"{stack.project}_front", "--network-alias", HOST,
        "--volume", f"{made.folder}:/remote:ro", "--entrypoint", "python3",
        "mosaic-federation", "-c", SERVE,
    ).strip()  # fmt: skip
    variables = {
        "MOSAIC_SOURCE": f"https://{HOST}:8443/r.git",
        "MOSAIC_REF": "main",
        "MOSAIC_PATH": "alpha/manifests",
    }
    try:
        up = ("--file", str(override), "up", "--detach", "--no-deps", "reconciler")
        done = stack.compose(*up, timeout_s=UP_S, **variables)
        assert done.code == 0, done.err
        yield made
    finally:
        docker("rm", "--force", server)
        stack.ok("up", "--detach", "--no-deps", "reconciler")


def test_what_is_pushed_is_applied_and_recorded(stack: Stack, remote: Remote) -> None:
    tip = remote.git("rev-parse", "HEAD")
    wait_until(lambda: remote.applied() == tip, "the remote's commit to be applied")

    manifest = remote.work / "alpha/manifests/beta-events.yaml"
    manifest.write_text(manifest.read_text().replace("maxRowsPerQuery: ", "maxRowsPerQuery: 1"))
    pushed = remote.push("Let beta see more events")
    wait_until(lambda: remote.applied() == pushed, "the pushed commit to be applied")
    value = stack.sql(
        "alpha",
        "SELECT author || ': ' || subject FROM federation_commits AS c"
        " JOIN federation_grants AS g ON g.revision = c.id WHERE g.name = 'beta-events'",
    )
    assert value == "Ada <ada@alpha.example>: Let beta see more events"


def _certificate() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName(
        [x509.DNSName(HOST), x509.IPAddress(ip_address("127.0.0.1"))]
    )
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return (private + made.public_bytes(serialization.Encoding.PEM)).decode()
