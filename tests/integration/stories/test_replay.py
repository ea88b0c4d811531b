"""What was granted, when, to whom and why: told by the log, and equal to what the rows said."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.model.spec import Kind
from reconciler.core.model.times import rfc3339
from reconciler.errors import MosaicError
from reconciler.reconcile import expire
from reconciler.store import holds
from reconciler.store.audit.moment import state_at
from reconciler.store.locks import locked
from reconciler.store.rename import rename
from tests.support.commands.in_process import Quick
from tests.support.gateways.enrollee import Enrollee, Rows, grant_manifest, peer_manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reconciler.store.db import Tx
    from tests.support.gateways.grantor import Alpha
    from tests.support.gateways.joiner import Beta

_GRANTS = (
    "SELECT g.id::text AS id, g.name, p.name AS peer, g.subject_user_id, g.scope,"
    " g.status_now::text AS status, g.expires_at,"
    " (SELECT coalesce(json_agg(json_build_object('serial', c.serial, 'notAfter', c.not_after)"
    " ORDER BY c.serial), '[]') FROM federation_certificates AS c WHERE c.grant_id = g.id"
    " AND c.status = 'issued' AND statement_timestamp() BETWEEN c.not_before AND c.not_after)"
    " AS certificates FROM federation_grants_now AS g JOIN federation_peers AS p"
    " ON p.id = g.peer_id WHERE g.status_now NOT IN ('revoked', 'expired') ORDER BY g.name"
)
_PEERS = (
    "SELECT id::text AS id, name, direction, status::text AS status FROM federation_peers"
    " WHERE status <> 'revoked' ORDER BY name"
)


def snapshot(tx: Tx) -> dict[str, Any]:
    """Return what the tables say, in the shape of `at`."""
    return {
        "peers": tx.rows(_PEERS),
        "grants": [
            {
                "id": row["id"],
                "name": row["name"],
                "peer": row["peer"],
                "subjectUserId": row["subject_user_id"],
                "scope": row["scope"],
                "status": row["status"],
                "expiresAt": rfc3339(row["expires_at"]),
                "certificates": [
                    each | {"notAfter": rfc3339(datetime.fromisoformat(each["notAfter"]))}
                    for each in row["certificates"]
                ],
            }
            for row in tx.rows(_GRANTS)
        ],
    }


@dataclass
class Life:
    """The rows of a gateway as they change, with what they said after each step."""

    rows: Rows
    seen: list[tuple[str, datetime, dict[str, Any]]] = field(default_factory=list)

    def step(self, what: str) -> None:
        with self.rows.database.transaction() as tx:
            result = snapshot(tx)
            self.seen.append((what, tx.now(), result))

    def do(self, what: str, act: Callable[[Tx], object]) -> None:
        with locked(self.rows.database, timedelta(seconds=5)) as tx:
            act(tx)
        self.step(what)

    def apply(self, what: str, *manifests: str) -> None:
        self.rows.apply(*manifests)
        self.step(what)


def test_at_any_moment_the_log_tells_what_the_rows_said(alpha: Alpha, beta: Beta) -> None:
    life = Life(alpha.rows)
    peer, tasks = peer_manifest(), grant_manifest("beta-tasks")
    notes = grant_manifest("beta-notes", rows=5)
    life.step("as it began")
    life.apply("one more", peer, tasks, notes)
    beta.join(alpha.invitation("beta-tasks"))
    life.step("enrolled")
    life.apply("narrowed", peer, grant_manifest("beta-tasks", rows=9), notes)
    life.do("held", lambda tx: holds.suspend_grant(tx, "beta-tasks", "user:ada", "for now"))
    life.apply("wider, still held", peer, grant_manifest("beta-tasks", rows=900), notes)
    life.do("resumed", lambda tx: holds.resume_grant(tx, "beta-tasks", "user:ada"))
    with alpha.rows.certificates_due():
        beta.renew()
    life.step("renewed")
    with alpha.running.client() as client:
        assert Enrollee().enroll(client, alpha.rows.invite("beta-notes")).status_code == 201
        life.step("another enrolled")
        assert Enrollee().enroll(client, alpha.rows.invite("beta-notes")).status_code == 201
        life.step("enrolled anew")
    life.do("renamed", lambda tx: rename(tx, Kind.GRANT, "beta-notes", "memos", "user:ada"))
    memos = grant_manifest("memos", rows=5, suspended="true")
    life.apply("suspended in git", peer, grant_manifest("beta-tasks", rows=900), memos)
    other = grant_manifest("beta-tasks", rows=900, subject="other")
    life.apply("replaced", peer, other, memos)
    life.do("revoked", lambda tx: holds.revoke_grant(tx, "memos", "user:ada", "enough"))
    life.apply("its manifest is gone", peer, other)
    soon = grant_manifest("beta-tasks", subject="other", expires=in_a_moment(alpha.rows))
    life.apply("ends soon", peer, soon)
    alpha.rows.rows(
        "SELECT pg_sleep_until(min(expires_at) + interval '10 milliseconds')"
        " FROM federation_grants_now WHERE status_now NOT IN ('revoked', 'expired')"
    )
    life.step("has ended, and no timer has run")
    expire(alpha.rows.database, "worker:tests")
    life.step("has ended")
    life.do("the peer too", lambda tx: holds.revoke_peer(tx, "beta", "user:ada", "goodbye"))

    with alpha.rows.database.transaction() as tx:
        for what, moment, result in life.seen:
            replayed = state_at(tx, moment)
            assert replayed["unread"] == []
            assert {name: replayed[name] for name in result} == result, what
    assert life.seen[-1][2] == {"peers": [], "grants": []}


def in_a_moment(rows: Rows) -> str:
    moment: datetime = rows.one("SELECT clock_timestamp() + interval '5 seconds'")
    return rfc3339(moment)


def test_a_moment_before_a_broken_entry_can_be_told_and_one_after_cannot(alpha: Alpha) -> None:
    rows = alpha.rows
    with rows.database.transaction() as tx:
        before = tx.now()
    rows.apply(peer_manifest(), grant_manifest("beta-tasks", rows=9))
    rows.run("ALTER TABLE federation_audit_log DISABLE TRIGGER ALL")
    rows.run("UPDATE federation_audit_log SET actor = 'user:nobody' WHERE seq ="
             " (SELECT max(seq) FROM federation_audit_log)")  # fmt: skip
    with rows.database.transaction() as tx:
        assert state_at(tx, before)["grants"][0]["scope"]["maxRowsPerQuery"] == 500
        with pytest.raises(MosaicError, match="breaks at seq") as broken:
            state_at(tx, tx.now())
    assert broken.value.code == "audit_broken"


def test_a_grant_is_explained_from_commit_to_certificate(alpha: Alpha, tmp_path: Path) -> None:
    mosaic = Quick(tmp_path, {"MOSAIC_DATABASE_URL": alpha.rows.url})
    with alpha.running.client() as client:
        token = alpha.rows.invite("beta-tasks")
        issued = Enrollee().enroll(client, token).json()
        assert Enrollee().enroll(client, token).status_code == 410
    (story,) = mosaic.document("explain", "grant", "beta-tasks")
    (certificate,) = story["certificates"]
    assert (certificate["serial"], certificate["holds"]) == (issued["serial"], True)
    assert story["tokens"][0]["publicId"] == token.public_id
    kinds = [entry["kind"] for entry in story["entries"]]
    assert kinds[0] == "grant.created"
    assert {"token.minted", "issuance.begun", "certificate.issued", "grant.enrolled"} <= {*kinds}
    assert "theft.suspected" in kinds, "a right secret from another key"
    output = mosaic.ok("explain", "grant", "beta-tasks").out
    assert (
        f"certificate {issued['serial']} (by token {token.public_id}), issued: valid now" in output
    )

    mosaic.rows.apply(peer_manifest())
    for words in (("serial", issued["serial"]), ("certificate", issued["fingerprint"])):
        (story,) = mosaic.document("explain", *words)
        assert story["name"] == "beta-tasks"
        assert story["certificates"][0]["why"] == "the certificate is revoking"
    assert mosaic("explain", "serial", "abc").code == 1
    assert mosaic.document("explain", "peer", "beta")[0]["grants"] == ["beta-tasks"]


def test_history_is_an_objects_under_every_name(alpha: Alpha, tmp_path: Path) -> None:
    mosaic = Quick(tmp_path, {"MOSAIC_DATABASE_URL": alpha.rows.url})
    with locked(alpha.rows.database, timedelta(seconds=5)) as tx:
        rename(tx, Kind.GRANT, "beta-tasks", "orders", "user:ada")
    document = mosaic.document("history", "grant/orders")
    assert [entry["kind"] for entry in document] == ["grant.created", "grant.renamed"]
    assert mosaic.document("history", "grant/beta-tasks") == document
    assert len(mosaic.document("history", "--limit", "1")) == 1
    assert mosaic("history", "grant/nobody").code == 1
    then = mosaic.document("at", "0s")["grants"]
    assert [each["name"] for each in then] == ["orders"]
    assert mosaic("at", "yesterday").code == 64
    assert "orders" in mosaic.ok("at", "0s").out
