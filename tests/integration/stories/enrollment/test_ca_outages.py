"""A CA that is down, or whose list lacks or has a serial: nothing is lost, and both agree."""

from __future__ import annotations

import signal
import ssl
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from reconciler.core.plan.guard import GuardOptions, MaxRemovals
from reconciler.crypto.keys import private_key_pem
from reconciler.loops.workers import REVOKED_AT_ONCE
from reconciler.reconcile import ApplyOptions
from reconciler.store.audit.moment import state_at
from tests.support.gateways.enrollee import (
    Enrollee,
    Rows,
    grant_manifest,
    peer_manifest,
)
from tests.support.gateways.workers import crl_serials, parts_of, run_workers_once
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    import pytest

    from tests.support.gateways.step_ca import Authority

ALL_REMOVED: Final = ApplyOptions(GuardOptions(max_removals=MaxRemovals.parse("100%")))


def test_a_ca_that_is_down_costs_no_token(rows: Rows, own_authority: Authority) -> None:
    token, peer = rows.invite("beta-tasks"), Enrollee()
    with parts_of(rows, own_authority) as running, running.client() as client:
        own_authority.stop()
        answer = peer.enroll(client, token)
        assert (answer.status_code, answer.json()["code"]) == (503, "ca_unavailable")
        assert "retry-after" in answer.headers
        assert Enrollee().enroll(client, token).json()["code"] == "token_claimed"
        own_authority.start()
        assert peer.enroll(client, token).status_code == 201
    assert rows.one("SELECT unanswered FROM federation_enrollment_tokens") == 1


def test_revocations_wait_for_a_ca_that_is_down(rows: Rows, own_authority: Authority) -> None:
    peer = Enrollee()
    with parts_of(rows, own_authority) as running, running.client() as client:
        serial = peer.enroll(client, rows.invite("beta-tasks")).json()["serial"]
    own_authority.stop()
    rows.apply(peer_manifest())
    assert rows.grant_status("beta-tasks") == "revoked"
    assert rows.one("SELECT holds FROM federation_authority") is False

    run_workers_once(rows, own_authority)
    assert rows.one("SELECT status FROM federation_certificates") == "revoking"
    own_authority.start()
    rows.run("UPDATE federation_certificates SET next_attempt_at = now()")
    run_workers_once(rows, own_authority)

    assert rows.one("SELECT status FROM federation_certificates") == "revoked"
    wait_until(lambda: serial in crl_serials(rows, own_authority), "the list names it")


def test_revocations_are_carried_to_the_ca_at_once(rows: Rows, own_authority: Authority) -> None:
    _end_enrolled_grants(rows, own_authority, 2 * REVOKED_AT_ONCE)
    assert own_authority.process is not None
    own_authority.process.send_signal(signal.SIGSTOP)  # its kernel accepts, and nobody answers
    working = threading.Thread(target=run_workers_once, args=(rows, own_authority))
    working.start()
    try:
        wait_until(lambda: _connections_to(own_authority) == REVOKED_AT_ONCE, "as many wait")
    finally:
        own_authority.process.send_signal(signal.SIGCONT)
        working.join(PATIENCE_S)
    statuses = "SELECT DISTINCT status FROM federation_certificates"
    assert [row["status"] for row in rows.rows(statuses)] == ["revoked"]


def test_a_ca_that_is_down_postpones_each_revocation(rows: Rows, own_authority: Authority) -> None:
    _end_enrolled_grants(rows, own_authority, 2 * REVOKED_AT_ONCE)
    own_authority.stop()
    run_workers_once(rows, own_authority)
    due = "SELECT attempts, last_error FROM federation_certificates WHERE status = 'revoking'"
    postponed = rows.rows(due)
    assert len(postponed) == 2 * REVOKED_AT_ONCE
    assert all(row["attempts"] == 1 and row["last_error"] for row in postponed)


def _end_enrolled_grants(rows: Rows, ca: Authority, count: int) -> None:
    names = [f"beta-{number}" for number in range(count)]
    with parts_of(rows, ca) as running, running.client() as client:
        rows.apply(peer_manifest(), *map(grant_manifest, names))
        for name in names:
            assert Enrollee().enroll(client, rows.invite(name)).status_code == 201
    rows.apply(peer_manifest(), options=ALL_REMOVED)


def _connections_to(ca: Authority) -> int:
    """Count the connections to the CA (proc(5), net/tcp: 01 is established)."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[2].endswith(f":{ca.port:04X}") and line[3] == "01" for line in lines)


def test_what_the_revocation_list_lacks_is_revoked_again(
    rows: Rows, own_authority: Authority
) -> None:
    peer = Enrollee()
    with parts_of(rows, own_authority) as running, running.client() as client:
        serial = peer.enroll(client, rows.invite("beta-tasks")).json()["serial"]
    rows.apply(peer_manifest())
    run_workers_once(rows, own_authority)
    time.sleep(1)  # a list tells its second, so one of the same second tells nothing
    own_authority.forget()  # its database is lost
    assert serial not in crl_serials(rows, own_authority)

    run_workers_once(rows, own_authority)  # sees it
    run_workers_once(rows, own_authority)  # carries it to the CA

    wait_until(lambda: serial in crl_serials(rows, own_authority), "the list names it")
    text = (
        "SELECT string_agg(kind, ' ' ORDER BY seq) FROM federation_audit_log"
        " WHERE kind ~ 'revoked_at_ca|requeued'"
    )
    kinds = "certificate.revoked_at_ca certificate.requeued certificate.revoked_at_ca"
    assert rows.one(text) == kinds
    run_workers_once(rows, own_authority)
    assert rows.one(text) == kinds


def test_a_certificate_that_its_peer_revokes_at_the_ca_ends_here_too(
    rows: Rows, shared_authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    peer = Enrollee()
    with parts_of(rows, shared_authority) as running, running.client() as client:
        issued = peer.enroll(client, rows.invite("beta-tasks")).json()
    serial = issued["serial"]
    own = tmp_path / "own.pem"
    own.write_bytes(
        private_key_pem(peer.key) + "".join([issued["certificate"], *issued["chain"]]).encode()
    )
    tls = ssl.create_default_context(cadata=shared_authority.material.root)
    tls.load_cert_chain(own)
    request = {"serial": str(int(serial, 16)), "reasonCode": 1, "passive": True}
    answer = httpx.post(f"{shared_authority.url}/1.0/revoke", json=request, verify=tls)
    assert answer.status_code == 200, "step-ca has no setting that forbids it"

    def is_revoked_here() -> bool:
        run_workers_once(rows, shared_authority)
        status = "SELECT status FROM federation_certificates WHERE serial = :serial"
        return bool(rows.one(status, serial=serial) == "revoked")

    wait_until(is_revoked_here, "the row follows the CA's next list")
    kinds = (
        "SELECT string_agg(kind, ' ' ORDER BY seq) FROM federation_audit_log"
        " WHERE kind ~ 'revoked_'"
    )
    assert rows.one(kinds) == "certificate.revoked_elsewhere certificate.revoked_at_ca"
    assert f"grant/beta-tasks: the certificate {serial} was revoked at the CA" in caplog.text
    with rows.database.transaction() as tx:
        assert state_at(tx, tx.now())["grants"][0]["certificates"] == []
