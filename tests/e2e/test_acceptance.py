"""The acceptance rows of the design, each on two gateways with real PostgreSQL and step-ca."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from reconciler.clients.gateway.client import GatewayClient
from reconciler.core.issuance.invitation import parse_invitation
from reconciler.core.model.times import rfc3339
from reconciler.core.setting_values import LOOPBACK
from reconciler.crypto.certificates import read_certificate
from reconciler.crypto.csr import make_csr
from reconciler.crypto.keys import generate_key
from reconciler.embedded.postgres.home_server import postgres
from reconciler.errors import MosaicError
from tests.support.gateways.gateway import psql

if TYPE_CHECKING:
    from reconciler.core.issuance.x509 import CertificateFacts
    from tests.e2e.conftest import Pair
    from tests.support.commands.process import Ended
    from tests.support.gateways.gateway import TestGateway

GRANT_ID: Final = "1.3.6.1.4.1.99999.1"
SUBJECT_USER_ID: Final = "1.3.6.1.4.1.99999.2"
SUBJECT: Final = "maria@alpha.example"
SCOPE: Final = {
    "resources": [{"type": "notes", "verbs": ["list"], "filter": {"teams": ["platform"]}}],
    "maxRowsPerQuery": 100,
}


@dataclass(frozen=True)
class Enrolled:
    """What a grant, made at alpha and used by beta, left behind."""

    created: Any
    row: str
    added: Any
    invitation: str
    certificate: CertificateFacts


def create(gateway: TestGateway, name: str, scope: object, *options: str) -> Ended:
    to = ("--peer", "beta", "--subject-user", SUBJECT, "--scope", json.dumps(scope))
    return gateway("grant", "create", name, *to, *options, "--output", "json")


@pytest.fixture(scope="module")
def enrolled(pair: Pair) -> Enrolled:
    """Create a grant at alpha, look at its row, and use its invitation at beta."""
    created = create(pair.alpha, "beta-notes", SCOPE)
    assert created.code == 0, created.err
    row = pair.alpha.sql("SELECT status, scope FROM federation_grants WHERE name = 'beta-notes'")
    invitation = created.document["invitation"]["url"]
    used = pair.beta("peer", "add", "-", "--name", "alpha", "--output", "json", stdin=invitation)
    assert used.code == 0, used.err
    pem = pair.beta.sql("SELECT cert_pem FROM federation_peers WHERE name = 'alpha'")
    facts = read_certificate(pem)
    return Enrolled(created.document, row, used.document, invitation, facts)


def test_row_1_grant_create_writes_a_pending_row_with_its_scope(enrolled: Enrolled) -> None:
    status, _, scope = enrolled.row.partition("|")

    assert status == "pending"
    assert json.loads(scope) == enrolled.created["scope"]
    assert enrolled.created["scope"]["maxRowsPerQuery"] == 100
    (resource,) = enrolled.created["scope"]["resources"]
    assert (resource["type"], resource["verbs"]) == ("notes", ["list"])
    assert resource["filter"]["teams"] == ["platform"]


def test_row_2_the_endpoint_signs_a_csr_with_the_expected_san_oids(enrolled: Enrolled) -> None:
    facts = enrolled.certificate

    assert dict(facts.other_names) == {GRANT_ID: enrolled.created["id"], SUBJECT_USER_ID: SUBJECT}
    assert len(facts.other_names) == 2
    assert enrolled.added["certificate"]["serial"] == facts.serial
    assert enrolled.added["certificate"]["fingerprint"] == facts.fingerprint


def test_row_3_a_second_use_of_a_token_answers_410(enrolled: Enrolled) -> None:
    invitation = parse_invitation(enrolled.invitation)

    async def use_it_again() -> None:
        where = (invitation.base_url, (invitation.pin,), LOOPBACK)
        async with GatewayClient.pinned(*where) as client:
            await client.enroll(invitation.token, make_csr(generate_key()))

    with pytest.raises(MosaicError) as refused:
        asyncio.run(use_it_again())
    assert (refused.value.outcome.status, refused.value.code) == (410, "token_spent")


def test_row_4_the_certificates_subject_user_id_equals_the_grants(
    enrolled: Enrolled, alpha: TestGateway
) -> None:
    stored = alpha.sql("SELECT subject_user_id FROM federation_grants WHERE name = 'beta-notes'")

    assert dict(enrolled.certificate.other_names)[SUBJECT_USER_ID] == stored == SUBJECT


def test_row_5_a_raw_read_of_client_key_pem_shows_ciphertext(
    enrolled: Enrolled, beta: TestGateway
) -> None:
    url = beta.ok("db", "url").out.strip()

    hexed = psql(url, "SELECT client_key_pem FROM federation_peers WHERE name = 'alpha'")

    sealed = bytes.fromhex(hexed.removeprefix(r"\x"))
    assert len(sealed) > 200
    assert b"PRIVATE KEY" not in sealed
    assert b"-----" not in sealed
    everything = beta.sql("SELECT string_agg(p::text, '') FROM federation_peers p")
    assert "PRIVATE KEY" not in everything


def test_row_6_peer_add_yields_an_active_peer_with_a_certificate_and_a_key(
    enrolled: Enrolled, alpha: TestGateway, beta: TestGateway
) -> None:
    peer = beta.document("peer", "show", "alpha")

    later = {"managed", "source", "revision"}  # beta's loop has seen the manifest meanwhile
    assert {key: peer[key] for key in peer.keys() - later} == {
        key: enrolled.added[key] for key in enrolled.added.keys() - later
    }
    assert (peer["status"], peer["direction"]) == ("active", "outbound")
    assert peer["certificate"]["status"] == "issued"
    ends = datetime.fromisoformat(peer["certificate"]["notAfter"])
    assert ends - datetime.now(UTC) > timedelta(hours=23)
    assert peer["grant"]["id"] == enrolled.created["id"]
    (issued,) = alpha.grant("beta-notes")["certificates"]
    assert issued["serial"] == peer["certificate"]["serial"]
    held = "SELECT client_key_pem IS NOT NULL, cert_serial FROM federation_peers"
    assert beta.sql(held) == f"t|{issued['serial']}"


def test_row_7_an_unknown_resource_type_is_refused_at_grant_create(alpha: TestGateway) -> None:
    before = _statuses(alpha, "grant")

    unknown = {"resources": [{"type": "notez", "verbs": ["list"]}], "maxRowsPerQuery": 1}
    refused = create(alpha, "never", unknown)

    assert refused.code == 1
    assert refused.error["code"] == "scope_invalid"
    for known in ("tasks", "projects", "events", "notes", "memory", "knowledge"):
        assert known in refused.err
    assert _statuses(alpha, "grant") == before
    assert not (alpha.manifests / "never.yaml").exists()


def test_row_8_the_lists_tell_the_truth_with_no_timer_running(
    enrolled: Enrolled, pair: Pair
) -> None:
    alpha = pair.alpha
    assert create(alpha, "gone", SCOPE).code == 0
    alpha.ok("grant", "revoke", "gone", "--yes")
    later = rfc3339(datetime.now(UTC) + timedelta(hours=1))
    created = create(alpha, "short", SCOPE, "--expires", later).document
    pair.beta.ok("peer", "add", created["invitation"]["url"], "--name", "short")
    expected = {"beta-notes": "active", "beta-tasks": "pending", "gone": "revoked"}
    assert _statuses(alpha, "grant").items() >= {**expected, "short": "active"}.items()

    with pair.alpha_stopped():
        assert alpha.processes() == {}
        with postgres(alpha.home):  # kept, so that no command starts it meanwhile
            manifest = alpha.manifests / "short.yaml"
            end = datetime.now(UTC) + timedelta(seconds=20)  # well after the apply
            declared = manifest.read_text()
            assert created["expiresAt"] in declared
            manifest.write_text(declared.replace(created["expiresAt"], rfc3339(end)))
            alpha.ok("apply", "--yes")
            time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()) + 0.1)
            after = _statuses(alpha, "grant")
            stored = alpha.sql("SELECT status FROM federation_grants WHERE name = 'short'")

    assert after.items() >= {**expected, "short": "expired"}.items()
    assert stored == "active", "the row itself was not moved: no timer runs"
    assert _statuses(alpha, "peer") == {"beta": "active"}
    assert _statuses(pair.beta, "peer")["alpha"] == "active"


def _statuses(gateway: TestGateway, kind: str) -> dict[str, str]:
    return {row["name"]: row["status"] for row in gateway.document(kind, "list")}


def test_each_part_of_a_gateway_writes_by_the_login_of_its_role(
    pair: Pair, enrolled: Enrolled
) -> None:
    logins = (
        "SELECT DISTINCT split_part(actor, ':', 1) || ' ' || (body::jsonb ->> 'login')"
        " FROM federation_audit_log WHERE split_part(actor, ':', 1) <> 'worker'"
    )

    assert enrolled.added["status"] == "active"
    loop = {"loop mosaic_operator"}  # if it has changed something meanwhile
    assert set(pair.alpha.sql(logins).split("\n")) | loop == {
        "peer mosaic_gateway",
        "user mosaic_operator",
        *loop,
    }
    assert set(pair.beta.sql(logins).split("\n")) | loop == {
        "user mosaic_gateway",  # of the key, which an operator's login cannot read
        "user mosaic_operator",
        *loop,
    }
