"""What is accepted of one machine, again across containers: alpha grants, beta is granted."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pytest

from reconciler.core.issuance.invitation import parse_invitation
from reconciler.core.issuance.x509 import grant_id_oid, subject_user_id_oid
from reconciler.core.model.ids import DEFAULT_OID_ARC
from reconciler.crypto.certificates import read_certificate
from reconciler.crypto.csr import make_csr
from reconciler.crypto.keys import generate_key
from tests.compose.stack import Stack, docker, logs, wait_until

SCOPE: Final = '{"resources": [{"type": "notes", "verbs": ["list"]}], "maxRowsPerQuery": 100}'
SUBJECT: Final = "maria@alpha.example"


@pytest.fixture(scope="module")
def created(stack: Stack) -> Any:
    """A grant that alpha's operator creates, with its invitation."""
    words = ("--peer", "beta", "--subject-user", SUBJECT, "--scope", SCOPE)
    return stack.document("alpha", "grant", "create", "beta-notes", *words)


@pytest.fixture(scope="module")
def row(stack: Stack, created: Any) -> Any:
    """That grant's row, as it was right after."""
    columns = "SELECT id, status, scope, subject_user_id FROM federation_grants"
    value = stack.sql("alpha", f"SELECT to_json(g) FROM ({columns} WHERE name = 'beta-notes') g")
    return json.loads(value)


@pytest.fixture(scope="module")
def enrolled(stack: Stack, created: Any, row: Any) -> Any:
    """What a peer is answered that enrolls with that invitation, and then tries it again."""
    token = parse_invitation(created["invitation"]["url"]).token
    body = {"csr": make_csr(generate_key())}
    headers = {"Authorization": f"Bearer {token.spelled()}"}
    with stack.client(stack.root()) as client:
        first = client.post("/federation/v1/enroll", json=body, headers=headers)
        second = client.post("/federation/v1/enroll", json=body, headers=headers)
    return first, second


@pytest.fixture(scope="module")
def joined(stack: Stack) -> Any:
    """What `peer add` on beta prints, by an invitation to a grant that git declares."""
    url = stack.document("alpha", "grant", "invite", "beta-tasks")["invitation"]["url"]
    return stack.document("beta", "peer", "add", "-", "--name", "alpha", stdin=url)


def test_the_loop_applies_the_manifests(stack: Stack) -> None:
    def names() -> set[str]:
        return {each["name"] for each in stack.ask("grant", "list")}

    wait_until(lambda: names() == {"beta-events", "beta-tasks"}, "the manifests")
    plan = stack.document("alpha", "plan")
    assert plan["changes"] == []


def test_1_grant_create_writes_a_pending_row_with_its_scope(row: Any) -> None:
    assert row["status"] == "pending"
    assert row["scope"]["maxRowsPerQuery"] == 100
    assert [each["type"] for each in row["scope"]["resources"]] == ["notes"]


def test_2_the_endpoint_signs_a_csr_with_the_expected_oids(enrolled: Any, row: Any) -> None:
    first, _ = enrolled
    assert first.status_code == 201, first.text
    facts = read_certificate(first.json()["certificate"])
    assert dict(facts.other_names)[grant_id_oid(DEFAULT_OID_ARC)] == row["id"]


def test_3_a_token_works_once(enrolled: Any) -> None:
    _, second = enrolled
    assert second.status_code == 410
    assert second.json()["code"] == "token_spent"


def test_4_the_certificate_is_for_the_grants_subject_user(enrolled: Any, row: Any) -> None:
    first, _ = enrolled
    facts = read_certificate(first.json()["certificate"])
    value = dict(facts.other_names)[subject_user_id_oid(DEFAULT_OID_ARC)]
    assert value == row["subject_user_id"] == SUBJECT


def test_5_the_key_is_ciphertext_at_rest(stack: Stack, joined: Any) -> None:
    raw = stack.sql("beta", "SELECT encode(client_key_pem, 'escape') FROM federation_peers")
    assert len(raw) > 200
    assert "PRIVATE KEY" not in raw


def test_6_peer_add_yields_an_active_peer_with_a_certificate(stack: Stack, joined: Any) -> None:
    assert joined["status"] == "active"
    assert joined["certificate"]["status"] == "issued"
    pem = stack.sql("beta", "SELECT cert_pem FROM federation_peers WHERE name = 'alpha'")
    facts = read_certificate(pem)
    assert facts.serial == joined["certificate"]["serial"]
    key = stack.sql("beta", "SELECT client_key_pem IS NOT NULL FROM federation_peers")
    assert key == "t"


def test_7_an_unknown_resource_type_is_refused(stack: Stack) -> None:
    wrong = SCOPE.replace("notes", "notebooks")
    words = ("--peer", "beta", "--subject-user", SUBJECT, "--scope", wrong)
    done = stack.cli("alpha", "grant", "create", "beta-wrong", *words)
    assert done.code == 1
    assert "notebooks" in done.err
    assert "beta-wrong" not in {each["name"] for each in stack.ask("grant", "list")}


def test_the_gateway_knows_who_calls_behind_the_proxy(
    stack: Stack, enrolled: Any, joined: Any
) -> None:
    names = {
        address
        for replica in stack.containers("gateway")
        for address in re.findall(r" /federation/v1/enroll from (\S+) in ", logs(replica))
    }
    assert len(names) == 2  # this test, and beta's operator
    addresses = "--format={{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    assert not names & set(docker("inspect", addresses, *stack.containers("proxy")).split())


def test_8_the_lists_tell_the_truth(stack: Stack, enrolled: Any, joined: Any) -> None:
    done = stack.cli("alpha", "grant", "revoke", "beta-notes", "--yes")
    assert done.code == 0, done.err
    grants = {each["name"]: each["status"] for each in stack.ask("grant", "list")}
    assert grants == {"beta-events": "pending", "beta-notes": "revoked", "beta-tasks": "active"}
    peers = {each["name"]: each["status"] for each in stack.ask("peer", "list")}
    assert peers == {"beta": "active"}
    there = {each["name"]: each["status"] for each in stack.document("beta", "peer", "list")}
    assert there == {"alpha": "active"}
