"""`peer add` on whole gateways: a name that was used before, and what a stolen token leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reconciler.embedded.postgres.home_server import postgres
from reconciler.store.db import Database
from reconciler.store.locks import DEFAULT_WAIT, locked
from tests.support.commands.in_process import SCOPE
from tests.support.commands.process import COMMAND
from tests.support.gateways.gateway import Up
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from tests.e2e.conftest import Pair
    from tests.support.gateways.gateway import TestGateway


@pytest.fixture(scope="module", autouse=True)
def granted(alpha: TestGateway) -> None:
    """Declare a grant that only these tests enroll under."""
    alpha.ok(
        *("grant", "create", "visits", "--peer", "beta", "--subject-user", "maria@alpha.example"),
        *("--scope", SCOPE),
    )


def rows(gateway: TestGateway, name: str) -> list[Any]:
    return [each for each in gateway.document("peer", "list") if each["name"] == name]


def test_the_manifest_and_the_rows_agree_and_the_command_may_be_run_again(pair: Pair) -> None:
    beta, url = pair.beta, pair.invite("visits")
    added = beta.ok("peer", "add", url, "--name", "visited")
    assert added.out.splitlines()[:2] == [
        "peer/visited is active",
        "  under its grant visits, on behalf of maria@alpha.example",
    ]
    assert url.partition("#")[2] not in (beta.manifests / "visited.yaml").read_text()
    assert beta.document("plan")["changes"] == []
    again = beta.ok("peer", "add", "-", "--name", "visited", stdin=url)
    assert again.out == added.out
    assert len(rows(beta, "visited")) == 1


def test_a_revoked_peer_is_added_again_once_its_manifest_has_left_the_source(pair: Pair) -> None:
    beta = pair.beta
    beta.ok("peer", "add", pair.invite("visits"), "--name", "held")
    manifest = beta.manifests / "held.yaml"
    wait_until(lambda: bool(rows(beta, "held")[0]["managed"]), "the loop has seen the manifest")
    beta.ok("peer", "revoke", "held", "--reason", "a lost disk", "--yes")
    url = pair.invite("visits")

    refused = beta("peer", "add", url, "--name", "held", "--output", "json")
    assert (refused.code, refused.error["code"]) == (1, "state_conflict")
    assert refused.error["message"].endswith(": a lost disk")
    assert manifest.exists()

    manifest.unlink()
    wait_until(lambda: rows(beta, "held")[0]["hold"] is None, "the loop has seen it go")
    beta.ok("peer", "add", url, "--name", "held")
    assert [each["status"] for each in rows(beta, "held")] == ["revoked", "active"]
    assert (
        beta.sql("SELECT count(client_key_pem) FROM federation_peers WHERE name = 'held'") == "1"
    ), "the key of the revoked one is erased"


def test_a_key_is_sealed_by_the_primary_key_of_its_time_though_the_command_had_to_wait(
    pair: Pair,
) -> None:
    beta, url = pair.beta, pair.invite("visits")
    before = primary_key(beta)
    with postgres(beta.home) as database_url:
        database = Database(database_url, "tests")
        with locked(database, DEFAULT_WAIT):
            words = [*COMMAND, "peer", "add", url, "--name", "patient"]
            adding = Up.begin(words, beta.cwd, beta.environ({}))
            wait_until(lambda: waiters(database) > 0, "peer add waits for the lock")
            beta.ok("keys", "rotate")
            beta.ok("keys", "rewrap")
            beta.ok("keys", "retire", before, "--yes")
    adding.wait_for("peer/patient is active")
    assert adding.process.wait(PATIENCE_S) == 0
    beta.ok("peer", "credentials", "patient", "--dir", "patient")


def primary_key(gateway: TestGateway) -> str:
    return next(str(key["id"]) for key in gateway.document("keys", "status") if key["primary"])


def waiters(database: Database) -> int:
    with database.transaction() as tx:
        waiting = tx.one(
            "SELECT count(*) AS waiting FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)"
            " WHERE NOT l.granted AND a.application_name LIKE 'mosaic peer add%'"
        )
    return int(waiting["waiting"])


def test_an_invitation_that_somebody_else_used_is_told_to_both_sides(pair: Pair) -> None:
    alpha, beta, url = pair.alpha, pair.beta, pair.invite("visits")
    beta.ok("peer", "add", url, "--name", "thief")
    before = suspected(alpha)

    late = beta("peer", "add", url, "--name", "late")
    assert late.code == 1
    assert "has been used, and not by this peer's key" in late.err
    assert "tell the grantor immediately" in late.err
    assert suspected(alpha) == before + 1


def suspected(alpha: TestGateway) -> int:
    entries = alpha.document("audit", "list", "--subject", "grant/visits")
    return sum(each["kind"] == "theft.suspected" for each in entries)
