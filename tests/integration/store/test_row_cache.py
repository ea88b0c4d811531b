"""A plan that knows rows from before is the plan of all rows, whatever was done to them between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest

from reconciler.core.plan.guard import GuardOptions
from reconciler.core.setting_values import SourceSetting
from reconciler.reconcile import ApplyOptions, PlanResult, apply, plan, read
from reconciler.store.apply.observe import observe
from reconciler.store.apply.row_cache import RowCache
from reconciler.store.db import Database
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reconciler.core.model.spec import Desired, Kind

HOLD: Final = """'{"kind": "KIND", "by": "x", "at": "2026-01-01T00:00:00Z", "reason": ""}'"""
REVOKED: Final = "status = 'revoked', revoked_at = now(), revoked_reason = 'x'"


class Remembered(RowCache):
    """What was known before, and nothing that is found equal when it is read."""

    def equal(self, kind: Kind, row: Mapping[str, Any]) -> None:
        return None


class Warm:
    """A source whose rows and manifests are known, and its database."""

    def __init__(self, folder: Path, url: str) -> None:
        self.manifests = folder / "manifests"
        self.setting = SourceSetting(str(self.manifests), cache=str(folder / "cache"))
        self.url = url
        self.database = Database(url, "tests")
        grants = {name: grant_manifest(name, peer=peer) for name, peer in PEER_OF.items()}
        write(self.manifests, beta=peer_manifest(), gamma=peer_manifest("gamma"), **grants)
        reading = read(self.setting, "user:tests")
        apply(self.database, reading.desired, reading.by, ApplyOptions())
        self.plan()
        assert len(self.known()) == len(PEER_OF) + 2

    def desired(self, *, verify: bool = False) -> Desired:
        return read(self.setting, "user:tests", verify=verify).desired

    def plan(self, *, verify: bool = False) -> PlanResult:
        with self.database.transaction() as tx:
            return plan(tx, self.desired(verify=verify), GuardOptions())

    def known(self) -> frozenset[str]:
        """The names of which nothing but a fingerprint is read now."""
        with self.database.transaction() as tx:
            observed = observe(tx, Remembered(self.desired()))
        return observed.equal_peers | observed.equal_grants

    def by_hand(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET session_replication_role = 'replica'")
            connection.execute(statement.encode())


PEER_OF: Final = {"a": "beta", "b": "beta", "c": "gamma", "d": "gamma"}


@pytest.fixture
def warm(tmp_path: Path, database_url: str) -> Warm:
    return Warm(tmp_path, database_url)


def same(warm: Warm) -> PlanResult:
    """Plan with what is known and without, again and again."""
    cold = warm.plan(verify=True)
    assert warm.plan() == cold
    assert warm.plan() == cold
    return cold


def test_of_what_is_equal_only_fingerprints_are_read(warm: Warm) -> None:
    assert warm.known() == {*PEER_OF, "beta", "gamma"}
    assert same(warm).plan.summary.unchanged == len(PEER_OF) + 2
    write(warm.manifests, a=grant_manifest("a", rows=7))
    assert warm.known() == {*PEER_OF, "beta", "gamma"} - {"a"}
    assert [each.name for each in same(warm).plan.changes] == ["a"]


@pytest.mark.parametrize(
    "change",
    [
        """scope = '{"resources": [{"type": "notes", "verbs": ["list"]}], "maxRowsPerQuery": 5}'""",
        "subject_user_id = 'other'",
        "suspended = true",
        "protect = true",
        "lifetime = interval '1 hour'",
        "expires_at = expires_at - interval '1 day'",
        "expires_at = now() - interval '1 day'",
        "managed = false, source_path = NULL, source_line = NULL, revision = NULL",
        "spec_digest = 'sha256:00'",
        "source_line = 99",
        "name = 'z'",
        "peer_id = (SELECT id FROM federation_peers WHERE name = 'gamma')",
        f"hold = {HOLD.replace('KIND', 'suspend')}",
        f"hold = {HOLD.replace('KIND', 'revoke')}, {REVOKED}",
        REVOKED,
    ],
)
def test_whatever_was_changed_in_a_row_is_seen(warm: Warm, change: str) -> None:
    warm.by_hand(f"UPDATE federation_grants SET {change} WHERE name = 'a'")
    assert "a" not in warm.known()
    same(warm)
    assert warm.known() >= {"b", "c", "d"}


@pytest.mark.parametrize(
    "change",
    [
        "display_name = 'other'",
        "direction = 'outbound', endpoint_url = 'https://x.example'",
        'labels = \'{"a": "b"}\'',
        "protect = true",
        "name = 'z'",
        "status = 'revoked', revoked_at = now()",
        f"status = 'revoked', revoked_at = now(), hold = {HOLD.replace('KIND', 'revoke')}",
    ],
)
def test_a_peer_that_was_changed_is_judged_with_its_grants(warm: Warm, change: str) -> None:
    warm.by_hand(f"UPDATE federation_peers SET {change} WHERE name = 'beta'")
    same(warm)


def test_of_what_is_found_equal_nothing_is_kept(warm: Warm) -> None:
    with warm.database.transaction() as tx:
        observed = observe(tx, RowCache(warm.desired(verify=True)))
    assert (observed.peers, observed.grants) == ((), ())
    assert observed.equal_peers | observed.equal_grants == {*PEER_OF, "beta", "gamma"}

    write(warm.manifests, b=grant_manifest("b", rows=7))
    warm.by_hand("UPDATE federation_peers SET protect = true WHERE name = 'gamma'")
    with warm.database.transaction() as tx:
        observed = observe(tx, RowCache(warm.desired(verify=True)))
    # one of whose grants is equal, so all are kept
    assert len(observed.peers) + len(observed.grants) == len(PEER_OF) + 2
    assert [each.name for each in same(warm).plan.changes] == ["gamma", "b"]


def test_another_row_of_a_known_name_is_seen(warm: Warm) -> None:
    columns = "peer_id, peer_direction, subject_user_id, scope, suspended, protect, lifetime,"
    columns += " expires_at, managed, spec_digest, source_path, source_line, created_at"
    held = f"'revoked', now(), 'x', {HOLD.replace('KIND', 'revoke')}::jsonb"
    warm.by_hand(
        f"INSERT INTO federation_grants (id, name, status, revoked_at, revoked_reason, hold,"
        f" {columns}) SELECT gen_random_uuid(), name, {held}, {columns}"
        " FROM federation_grants WHERE name = 'a'"
    )
    assert [each.name for each in same(warm).plan.notes] == ["a"]


def test_manifests_that_moved_or_left_are_seen(warm: Warm) -> None:
    (warm.manifests / "a.yaml").rename(warm.manifests / "other.yaml")
    assert [each.row.name for each in same(warm).plan.adopted_grants] == ["a"]
    (warm.manifests / "b.yaml").unlink()
    assert [each.name for each in same(warm).plan.changes] == ["b"]
    (warm.manifests / "c.yaml").write_text(peer_manifest("delta") + "---" + grant_manifest("c"))
    same(warm)


def test_what_another_build_remembered_counts_for_nothing(
    warm: Warm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.store.apply.row_cache.VERSION", "another")
    assert warm.known() == frozenset()
    assert same(warm).plan.empty
