"""A gateway that is backed up while peers enroll, lost, and restored: nothing comes back."""

from __future__ import annotations

import base64
import os
import signal
import ssl
import threading
import tomllib
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from reconciler.core.issuance.invitation import parse_invitation
from tests.support.commands.process import write
from tests.support.gateways.enrollee import Enrollee, grant_manifest, peer_manifest
from tests.support.gateways.gateway import TestGateway, gateway_folder
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.issuance.tokens import Token

GRANTS = {name: grant_manifest(name) for name in ("kept", "revoked", "waiting", "busy")}
INTENTS = "SELECT count(*) FROM federation_certificates WHERE status = 'intent'"


class Lost:
    """A gateway that is gone: of it there are a backup, peers, and an export of its audit log."""

    def __init__(self, gateway: TestGateway) -> None:
        self.gateway = gateway
        self.backup = str(gateway.cwd / "alpha.backup")
        self.export = str(gateway.cwd / "audit.jsonl")
        self.kept, self.revoked, self.busy = Enrollee(), Enrollee(), Enrollee()
        self.serial = ""
        self.token: Token | None = None
        self.certificate = ""

    def live(self) -> None:
        """Let it be backed up while peers enroll, and revoke a grant after that."""
        gateway = self.gateway
        with gateway.up(), gateway.client() as client:
            issued = self._enroll(client, "kept", self.kept)
            self.certificate = certificate_field(issued["certificate"])
            self._enroll(client, "revoked", self.revoked)
            self.token = self._token("waiting")
            self._back_up_while_a_certificate_is_signed(client)
            gateway.ok("grant", "revoke", "revoked", "--yes", "--reason", "left the company")
            lines = gateway.ok("audit", "list", "--after", "3", "--output", "jsonl").out
        (gateway.cwd / "audit.jsonl").write_text(lines)

    def _token(self, grant: str) -> Token:
        url = self.gateway.document("grant", "invite", grant)["invitation"]["url"]
        return parse_invitation(url).token

    def _enroll(self, client: httpx.Client, grant: str, peer: Enrollee) -> Any:
        answer = peer.enroll(client, self._token(grant))
        assert answer.status_code == 201, answer.text
        return answer.json()

    def _back_up_while_a_certificate_is_signed(self, client: httpx.Client) -> None:
        """Do so again if the backup took longer than the gateway waits for its CA."""
        token, answers = self._token("busy"), list[httpx.Response]()
        while not answers or answers[-1].status_code == 503:
            busy = threading.Thread(target=lambda: answers.append(self.busy.enroll(client, token)))
            ca = self.gateway.child("step-ca")
            os.kill(ca, signal.SIGSTOP)
            try:
                busy.start()
                wait_until(lambda: self.gateway.sql(INTENTS) == "1", "the CA is asked")
                self.gateway.ok("backup", self.backup, "--force")
            finally:
                os.kill(ca, signal.SIGCONT)
                busy.join()
        assert answers[-1].status_code == 201, answers[-1].text
        self.serial = answers[-1].json()["serial"]


def certificate_field(pem: str) -> str:
    """Return a certificate as a proxy hands it on (RFC 9440)."""
    return f":{base64.b64encode(ssl.PEM_cert_to_DER_cert(pem)).decode()}:"


@pytest.fixture(scope="module")
def lost() -> Iterator[Lost]:
    with gateway_folder("alpha") as made:
        made.ok("init")
        write(made.manifests, beta=peer_manifest(), **GRANTS)
        made.ok("apply", "--yes")
        gateway = Lost(made)
        gateway.live()
        yield gateway


def test_a_backup_of_a_busy_gateway_restores_and_says_so(lost: Lost) -> None:
    done = lost.gateway.ok("backup", "--check", lost.backup)
    assert "every sum matches; the audit log verifies" in done.out


def test_what_was_taken_away_after_the_backup_does_not_come_back(lost: Lost) -> None:
    assert lost.token is not None
    with gateway_folder("restored") as gamma:
        write(gamma.manifests, beta=peer_manifest(), **GRANTS)
        done = gamma.ok("restore", lost.backup, "--audit", lost.export)
        assert "made again" in done.out
        again = gamma("restore", lost.backup)
        assert (again.code, "holds a gateway" in again.err) == (1, True)

        with gamma.up(), gamma.client() as client:
            answers = (
                Enrollee().enroll(client, lost.token),
                lost.kept.pickup(client),
                lost.kept.grant(client),
                lost.kept.renew(client, Enrollee()),
                client.get("/readyz"),
            )
            assert [each.status_code for each in answers] == [503] * 5
            assert {each.json()["code"] for each in answers} == {"restored"}
            assert client.get("/federation/v1/ca/roots").status_code == 200
            private = f"http://{tomllib.loads(gamma.home.config.read_text())['private_listen']}"
            certificate = {"Client-Cert": lost.certificate}
            for path in ("/readyz", "/authorize"):
                answer = httpx.get(f"{private}{path}", headers=certificate, trust_env=False)
                assert (answer.status_code, answer.json()["code"]) == (503, "restored")

            gamma.ok("apply", "--yes")
            gamma.ok("restore", "--confirm", "--yes")
            wait_until(lambda: client.get("/readyz").status_code == 200, "it is ready")
            assert Enrollee().enroll(client, lost.token).json()["code"] == "token_void"
            assert gamma.grant("kept")["status"] == "active"
            assert gamma.grant("revoked")["status"] == "revoked"
            assert "left the company" in gamma.grant("revoked")["hold"]["reason"]
            answer = httpx.get(f"{private}/authorize", headers=certificate, trust_env=False)
            assert answer.headers["X-Mosaic-Grant"] == "kept"
            assert lost.busy.pickup(client).status_code in (401, 410)
            wait_until(lambda: lost.serial in gamma.revoked_serials(), "it is revoked")
            gamma.enroll("waiting")
            assert gamma.document("plan")["changes"] == []
            gamma.ok("audit", "verify")
            assert gamma.document("drift") == []


def test_settings_as_an_editor_leaves_them_are_restored() -> None:
    with gateway_folder("marked") as made, gateway_folder("restored") as other:
        made.ok("init")
        keyring = f'"keyring" = "{made.home.keys}"\n'
        made.home.config.write_text("\ufeff" + keyring + made.home.config.read_text())
        backup = str(made.cwd / "marked.backup")
        made.ok("backup", backup)
        made.ok("backup", "--check", backup)

        other.ok("restore", backup)

        assert "keyring" not in tomllib.loads(other.home.config.read_text())
        assert other.document("grant", "list") == []
