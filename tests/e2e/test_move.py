"""A gateway that moves: at every moment OpenSSL takes each live certificate by the list served."""

from __future__ import annotations

import json
import secrets
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography import x509

from reconciler.core.issuance.invitation import parse_invitation
from reconciler.core.model.times import rfc3339
from reconciler.crypto.certificates import read_certificate, subject_key_id
from reconciler.crypto.csr import digest_of_pem, make_csr
from reconciler.crypto.keys import generate_key
from reconciler.crypto.proof import make_proof
from tests.support.commands.process import write
from tests.support.gateways.enrollee import API, Enrollee, grant_manifest, peer_manifest
from tests.support.gateways.gateway import TestGateway, gateway_folder
from tests.support.ports import free_port
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GRANTS = ("one", "two", "three", "four", "five")


def free_url() -> str:
    return f"https://127.0.0.1:{free_port()}"


@pytest.fixture
def gateway() -> Iterator[TestGateway]:
    with gateway_folder("zeta") as made:
        made.ok("init", "--public-url", free_url())
        grants = {name: grant_manifest(name) for name in GRANTS}
        write(made.manifests, beta=peer_manifest(), **grants)
        made.ok("apply", "--yes")
        yield made


@dataclass
class Mover:
    """A gateway, and the certificates that its peer holds."""

    gateway: TestGateway
    live: dict[str, str] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        return (self.gateway.home.ca / "intermediate_ca.crt").read_text()

    def client(self, url: str) -> httpx.Client:
        return httpx.Client(base_url=url, verify=self.gateway.tls(), trust_env=False)

    def enroll(self, grant: str) -> str:
        invited = self.gateway.document("grant", "invite", grant)["invitation"]["url"]
        enrollee = Enrollee()
        with self.client(self.gateway.public_url) as client:
            answer = enrollee.enroll(client, parse_invitation(invited).token)
        assert answer.status_code == 201, answer.text
        self.live[grant] = answer.json()["certificate"]
        self.keys[grant] = enrollee.key
        return self.live[grant]

    def renew(self, grant: str, url: str) -> httpx.Response:
        """Renew as a peer does that knows the gateway at `url`."""
        csr = make_csr(generate_key())
        claims = {"jti": secrets.token_hex(16), "csr#S256": digest_of_pem(csr)}
        target = f"{url}{API}/certificates/renew"
        proof = make_proof(self.keys[grant], "POST", target, datetime.now(UTC), claims)
        with self.client(url) as client:
            return client.post(target, headers={"DPoP": proof}, json={"csr": csr})

    def crl_from(self, url: str) -> bytes:
        with self.client(url) as client:
            path = f"{API}/ca/crl/{subject_key_id(self.issuer)}"
            return client.get(path).raise_for_status().content

    def list_place(self, url: str) -> str:
        """Where the list that is served at `url` says that it is."""
        crl = x509.load_der_x509_crl(self.crl_from(url))
        point = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
        assert point.full_name is not None
        return str(point.full_name[0].value)

    def judge(self, folder: Path, url: str, certificate: str) -> str:
        """What OpenSSL says of a certificate by the list that is served at `url`."""
        parts = {
            "leaf.pem": certificate.encode(),
            "chain.pem": self.issuer.encode(),
            "crl.der": self.crl_from(url),
        }
        for name, content in parts.items():
            (folder / name).write_bytes(content)
        root = str(self.gateway.home.ca / "root_ca.crt")
        command = ["openssl", "verify", "-crl_check", "-CAfile", root, "-untrusted", "chain.pem"]
        done = subprocess.run(
            [*command, "-CRLfile", "crl.der", "leaf.pem"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        return "ok" if done.returncode == 0 else done.stderr

    def all_hold(self, folder: Path, *urls: str) -> None:
        for url in urls:
            assert {name: self.judge(folder, url, pem) for name, pem in self.live.items()} == (
                dict.fromkeys(self.live, "ok")
            )

    def origins_of(self, certificate: str) -> list[str]:
        return [url.partition(API)[0] for url in read_certificate(certificate).crl_urls]

    def end(self, *grants: str) -> None:
        """Let certificates have ended, as far as the rows say, and their holders too."""
        for grant in grants:
            serial = read_certificate(self.live.pop(grant)).serial
            self.gateway.sql(
                "UPDATE federation_certificates SET not_before = now() - interval '2 days',"
                f" not_after = now() - interval '1 second' WHERE serial = '{serial}'"
            )

    def wait_for_list(self, url: str, origin: str) -> None:
        wait_until(
            lambda: self.list_place(url).startswith(f"{origin}{API}"),
            f"the list is at {origin}",
            30,
        )

    def age(self) -> None:
        """Let the list have moved a day before."""
        config = self.gateway.home.ca / "ca.json"
        document = json.loads(config.read_text())
        before = rfc3339(datetime.now(UTC) - timedelta(hours=26))
        for each in document["authority"]["provisioners"]:
            data = each["options"]["x509"]["templateData"]
            data["crlUrlSince"] = before
        config.chmod(0o600)
        config.write_text(json.dumps(document))


def test_every_live_certificate_holds_at_every_step_of_a_move(
    gateway: TestGateway, tmp_path: Path
) -> None:
    mover, old, new = Mover(gateway), gateway.public_url, free_url()
    with gateway.up():
        mover.enroll("one")
        mover.enroll("two")
        mover.all_hold(tmp_path, old)
        refused = gateway("ca", "move", new)
        assert refused.code == 1
        assert "a gateway runs in" in refused.err

    moved = gateway.ok("ca", "move", new)
    assert f"the gateway is at {new}" in moved.out
    assert f"peers use {old} too" in moved.out
    assert gateway.public_url == new

    with gateway.up() as up:
        up.wait_for(f"ready: {new}")
        # (1) new certificates name both, old ones and the list the old place
        assert mover.origins_of(mover.enroll("three")) == [new, old]
        assert mover.list_place(new).startswith(f"{old}{API}")
        mover.all_hold(tmp_path, old, new)
        # a peer that knows the old place alone renews there
        serial = read_certificate(mover.live["two"]).serial
        gateway.sql(
            "UPDATE federation_certificates SET not_before = now() - interval '5 days'"
            f" WHERE serial = '{serial}'"
        )
        renewed = mover.renew("two", old)
        assert renewed.status_code == 201, renewed.text
        mover.live["renewed"] = renewed.json()["certificate"]
        assert mover.origins_of(mover.live["renewed"]) == [new, old]
        mover.all_hold(tmp_path, old, new)
        gateway.ok("grant", "revoke", "three", "--reason", "moved", "--yes")
        revoked = mover.live.pop("three")
        wait_until(
            lambda: all("revoked" in mover.judge(tmp_path, url, revoked) for url in (old, new)),
            "revoked by the lists at both URLs",
        )
        mover.all_hold(tmp_path, old, new)
        (result,) = (
            f for f in gateway("doctor", "--output", "json").document if "a move is" in f["detail"]
        )
        assert (result["check"], result["state"]) == ("public URL", "ok")
        status = gateway.document("status")
        assert status["move"]["from"] == [old]
        assert gateway.document("ca", "status")["move"] == status["move"]

    mover.end("one", "two")
    with gateway.up():
        # (2) the list is at the new place; certificates name both, as old lists are valid still
        mover.wait_for_list(new, new)
        assert mover.origins_of(mover.enroll("four")) == [new, old]
        mover.all_hold(tmp_path, old, new)

    mover.age()
    with gateway.up():
        # (3) new certificates name the new place alone
        assert mover.origins_of(mover.enroll("five")) == [new]
        mover.all_hold(tmp_path, old, new)
        assert "revoked" in mover.judge(tmp_path, new, revoked)

    mover.end("renewed", "four")
    gateway.sql(
        "UPDATE federation_certificates SET not_before = now() - interval '2 days',"
        f" not_after = now() - interval '1 second'"
        f" WHERE serial = '{read_certificate(revoked).serial}'"
    )
    with gateway.up():
        # (4) the old place is forgotten
        mover.all_hold(tmp_path, new)
        assert gateway.document("status")["move"] is None
        with pytest.raises(httpx.ConnectError):
            mover.crl_from(old)
