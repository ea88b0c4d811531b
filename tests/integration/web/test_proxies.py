"""The proxies of `examples/authority/`: mutual TLS by our roots, then the question."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from reconciler.core.model.times import rfc3339
from reconciler.web.private.access import Access
from tests.support.commands.in_process import shell
from tests.support.gateways.enrollee import Enrollee, grant_manifest, peer_manifest
from tests.support.gateways.private_server import PrivateRunning, serving_private
from tests.support.services.proxies import (
    FILES,
    TOKEN,
    Places,
    proxy,
    resource_server,
    write_server_certificate,
)
from tests.support.waiting import PATIENCE_S, POLL_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.gateways.grantor import Alpha

GRANTS: Final = ("one", "two", "three", "four")
WITH_CRL: Final = ("haproxy", "envoy")


@dataclass(frozen=True)
class Peer:
    """A peer that has enrolled: the files of its certificate and its key."""

    files: tuple[str, str]
    serial: str


def enroll(alpha: Alpha, grant: str, folder: Path) -> Peer:
    enrollee = Enrollee()
    with alpha.running.client() as client:
        issued = enrollee.enroll(client, alpha.rows.invite(grant)).raise_for_status().json()
    certificate, key = folder / f"{grant}.crt", folder / f"{grant}.key"
    certificate.write_text("".join((issued["certificate"], *issued["chain"])))
    key.write_bytes(
        enrollee.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Peer((str(certificate), str(key)), issued["serial"])


def manifests(*names: str, **changes: str) -> tuple[str, ...]:
    return (peer_manifest(), *(grant_manifest(name, **changes) for name in names))


async def revoke_at_the_ca(alpha: Alpha, serial: str) -> bytes:
    """Return the list that has it, in PEM."""
    async with alpha.authority.client() as ca:
        await ca.revoke(serial, "a test")
        async with asyncio.timeout(PATIENCE_S):
            while True:  # the CA makes its list by the clock
                crl = x509.load_der_x509_crl(await ca.crl())
                if crl.get_revoked_certificate_by_serial_number(int(serial, 16)) is not None:
                    break
                await asyncio.sleep(POLL_S)
    return crl.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True)
class Proxied:
    """A proxy before a resource server, whom it asks, and the peers by the name of their grant."""

    name: str
    places: Places
    private: PrivateRunning
    peers: dict[str, Peer]

    def status(self, grant: str) -> int:
        """Return the status of a request on a new connection."""
        with self.places.client(self.peers[grant].files) as client:
            return client.get("/tasks").status_code


@pytest.fixture(params=FILES)
def proxied(request: pytest.FixtureRequest, alpha: Alpha, tmp_path: Path) -> Iterator[Proxied]:
    """A proxy that runs, and peers with certificates; that of `listed` is on the CA's list."""
    alpha.rows.apply(*manifests(*GRANTS, "listed"))
    peers = {name: enroll(alpha, name, tmp_path) for name in (*GRANTS, "listed")}
    crl = asyncio.run(revoke_at_the_ca(alpha, peers["listed"].serial))
    (tmp_path / "crl.pem").write_bytes(crl)
    write_server_certificate(tmp_path)
    (tmp_path / "roots.pem").write_text(alpha.authority.material.root)
    with (
        resource_server() as resource_port,
        serving_private(alpha.rows.url, Access(TOKEN.encode())) as private,
    ):
        made = Places(tmp_path, private.port, resource_port)
        with proxy(request.param, made):
            yield Proxied(request.param, made, private, peers)


def test_a_proxy_lets_in_who_has_authority_and_refuses_the_next_request_after_it_ends(
    proxied: Proxied, alpha: Alpha, tmp_path: Path
) -> None:
    places = proxied.places
    (tmp_path / "shell").mkdir()
    mosaic = shell(tmp_path / "shell", alpha.rows.url)

    # (1) without a certificate of ours: not a word of the resource server
    with places.client(None) as client:
        try:
            answer = client.get("/tasks")
        except httpx.TransportError:
            pass
        else:
            assert answer.status_code == 400

    # (2) with one: whatever the client says of itself is replaced
    claims = {
        "X-Mosaic-Subject": "root",
        "X-Mosaic-Filter": "{}",
        "X-Mosaic-Grant-Id": "forged",
        "X-Mosaic-Serial": "forged",
        "X-Mosaic-Expires": "forged",
        "X-Mosaic-Resource": "forged",
        "X-Mosaic-Verb": "forged",
        "X-Mosaic-Token": "forged",
        "X-Mosaic-Made-Up": "x",
        "X_Mosaic_Subject": "forged",  # the same name to CGI and WSGI
        "Client_Cert": "forged",
        "Client-Cert": ":forged:",
        "X-SSL-Client-Cert": "forged",
        "X-Forwarded-Client-Cert": 'Cert="forged',
        "Authorization": "Bearer of-the-client",
    }
    with places.client(proxied.peers["one"].files) as client:
        answer = client.get("/tasks?type=notes&verb=get", headers=claims)
        assert answer.status_code == 200, answer.text
        received = {(n, v) for n, v in answer.json() if n.startswith("x-mosaic-")}
        subject = {value for header, value in received if header == "x-mosaic-subject"}
        assert subject == {"maria@alpha.example"}
        assert ("x-mosaic-max-rows", "500") in received
        assert ("x-mosaic-grant", "one") in received
        filters = [value for header, value in received if header == "x-mosaic-filter"]
        assert filters == ["{}"]
        assert ("authorization", "Bearer of-the-client") in {(n, v) for n, v in answer.json()}
        assert TOKEN not in answer.text
        assert "forged" not in answer.text

        # (3) on the same connection: suspended, resumed, and revoked by a person
        mosaic.ok("grant", "suspend", "one", "--reason", "a test")
        assert client.get("/tasks").status_code == 403
        mosaic.ok("grant", "resume", "one")
        assert client.get("/tasks").status_code == 200
        mosaic.ok("grant", "revoke", "one", "--yes", "--reason", "a test")
        assert client.get("/tasks").status_code == 403

    # (4) removed from git
    assert proxied.status("two") == 200
    alpha.rows.apply(*manifests("three", "four", "listed"))
    assert proxied.status("two") == 403

    # (5) ended by the clock
    ends = rfc3339((datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=0))
    alpha.rows.apply(*manifests("four", "listed"), grant_manifest("three", expires=ends))
    assert proxied.status("four") == 200
    wait_until(lambda: proxied.status("three") == 403, "the end has passed")

    # (6) on the revocation list, whatever the rows say
    if proxied.name in WITH_CRL:
        with pytest.raises(httpx.TransportError):
            proxied.status("listed")
    else:
        assert proxied.status("listed") == 200

    # (7) with nobody to ask: no answer is a yes
    proxied.private.stop()
    assert proxied.status("four") in (403, 500)
