"""A plan that does not read what is equal is the plan of all rows, whatever was done to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.core.model.row_digest import jsonb_text
from reconciler.core.plan.guard import GuardOptions, judge
from reconciler.core.plan.plan import plan as plan_of
from reconciler.core.setting_values import SourceSetting
from reconciler.reconcile import ApplyOptions, PlanResult, apply, plan, read
from reconciler.store.apply.observe import observe
from reconciler.store.db import Database, as_json
from reconciler.store.schema import differences
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.core.model.spec import Desired

HOLD: Final = """'{"kind": "KIND", "by": "x", "at": "2026-01-01T00:00:00Z", "reason": ""}'"""
REVOKED: Final = "status = 'revoked', revoked_at = now(), revoked_reason = 'x'"


class Applied:
    """An applied source, and its database."""

    def __init__(self, folder: Path, url: str) -> None:
        self.manifests = folder / "manifests"
        self.setting = SourceSetting(str(self.manifests), cache=str(folder / "cache"))
        self.url = url
        self.database = Database(url, "tests")
        grants = {name: grant_manifest(name, peer=peer) for name, peer in PEER_OF.items()}
        write(self.manifests, beta=peer_manifest(), gamma=peer_manifest("gamma"), **grants)
        self.apply()

    def apply(self) -> None:
        reading = read(self.setting, "user:tests")
        apply(self.database, reading.desired, reading.by, ApplyOptions())

    def desired(self, *, verify: bool = False) -> Desired:
        return read(self.setting, "user:tests", verify=verify).desired

    def plan(self) -> PlanResult:
        """Return the plan, which is also that of all rows."""
        desired, limits = self.desired(), GuardOptions()
        with self.database.transaction() as tx:
            made = plan_of(desired, observe(tx))
            result = plan(tx, desired, limits)
        assert result == PlanResult(made, judge(made, limits))
        return result

    def equal(self, *, verify: bool = False) -> frozenset[str]:
        """The names of which nothing else is read now."""
        with self.database.transaction() as tx:
            observed = observe(tx, self.desired(verify=verify))
        return observed.equal_peers | observed.equal_grants

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement.encode()).fetchall()

    def by_hand(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET session_replication_role = 'replica'")
            connection.execute(statement.encode())


PEER_OF: Final = {"a": "beta", "b": "beta", "c": "gamma", "d": "gamma"}


@pytest.fixture
def applied(tmp_path: Path, database_url: str) -> Applied:
    return Applied(tmp_path, database_url)


def test_of_what_is_equal_only_names_are_read(applied: Applied) -> None:
    assert applied.equal() == {*PEER_OF, "beta", "gamma"}
    assert applied.plan().plan.summary.unchanged == len(PEER_OF) + 2
    write(applied.manifests, a=grant_manifest("a", rows=7))
    assert applied.equal() == {*PEER_OF, "beta", "gamma"} - {"a"}
    assert [each.name for each in applied.plan().plan.changes] == ["a"]


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
def test_whatever_was_changed_in_a_row_is_seen(applied: Applied, change: str) -> None:
    applied.by_hand(f"UPDATE federation_grants SET {change} WHERE name = 'a'")
    assert "a" not in applied.equal()
    applied.plan()
    assert applied.equal() >= {"b", "c", "d"}


@pytest.mark.parametrize(
    "change",
    [
        "display_name = 'other'",
        "direction = 'outbound', endpoint_url = 'https://x.example'",
        'labels = \'{"a": "b"}\'',
        "protect = true",
        "name = 'z'",
        "endpoint_url = 'https://x.example'",
        "managed = false",
        "spec_digest = 'sha256:00'",
        "source_line = 99",
        "source_path = 'other.yaml'",
        "status = 'revoked', revoked_at = now()",
        f"status = 'revoked', revoked_at = now(), hold = {HOLD.replace('KIND', 'revoke')}",
    ],
)
def test_a_peer_that_was_changed_is_judged_with_its_grants(applied: Applied, change: str) -> None:
    assert "beta" in applied.equal()
    applied.by_hand(f"UPDATE federation_peers SET {change} WHERE name = 'beta'")
    assert "beta" not in applied.equal()
    applied.plan()


def test_of_what_is_equal_nothing_is_kept(applied: Applied) -> None:
    with applied.database.transaction() as tx:
        observed = observe(tx, applied.desired())
    assert (observed.peers, observed.grants) == ((), ())

    write(applied.manifests, b=grant_manifest("b", rows=7))
    applied.by_hand("UPDATE federation_peers SET protect = true WHERE name = 'gamma'")
    with applied.database.transaction() as tx:
        observed = observe(tx, applied.desired())
    # gamma differs, and has a grant that is equal
    assert len(observed.peers) + len(observed.grants) == len(PEER_OF) + 2
    assert [each.name for each in applied.plan().plan.changes] == ["gamma", "b"]


def test_another_row_of_a_known_name_is_seen(applied: Applied) -> None:
    columns = "peer_id, peer_direction, subject_user_id, scope, suspended, protect, lifetime,"
    columns += " expires_at, managed, spec_digest, source_path, source_line, created_at"
    held = f"'revoked', now(), 'x', {HOLD.replace('KIND', 'revoke')}::jsonb"
    applied.by_hand(
        f"INSERT INTO federation_grants (id, name, status, revoked_at, revoked_reason, hold,"
        f" {columns}) SELECT gen_random_uuid(), name, {held}, {columns}"
        " FROM federation_grants WHERE name = 'a'"
    )
    assert [each.name for each in applied.plan().plan.notes] == ["a"]


def test_manifests_that_moved_or_left_are_seen(applied: Applied) -> None:
    (applied.manifests / "a.yaml").rename(applied.manifests / "other.yaml")
    assert [each.row.name for each in applied.plan().plan.adopted_grants] == ["a"]
    (applied.manifests / "b.yaml").unlink()
    assert [each.name for each in applied.plan().plan.changes] == ["b"]
    (applied.manifests / "c.yaml").write_text(peer_manifest("delta") + "---" + grant_manifest("c"))
    applied.plan()


ODD_PEER: Final = r"""apiVersion: federation.mosaicstack.dev/v1
kind: Peer
metadata:
  name: odd
  labels: {b: "1", aa: '2', B: "3", a.very_long-name: "Zürich", "0": "it's \\ so"}
spec:
  direction: inbound
  displayName: O'Brien \ Söhne 'x' 𝄞 "y"
  protect: true
"""
OUTBOUND_PEER: Final = """apiVersion: federation.mosaicstack.dev/v1
kind: Peer
metadata: {name: outbound}
spec: {direction: outbound, endpoint: "https://beta.example:8443/a'b/"}
"""


def test_rows_of_all_that_a_manifest_can_say_are_known(applied: Applied) -> None:
    manifests = {"odd'\\name ü": ODD_PEER, "outbound": OUTBOUND_PEER}
    tasks = "{type: tasks, verbs: [get, list], filter: {teams: [b, a, A@x.y_z-0]}}"
    notes = "{type: notes, verbs: [list], filter: {teams: [], personal: false}}"
    events = "{type: events, verbs: [get]}"
    scopes = (
        f"{{resources: [{tasks}, {notes}, {events}], maxRowsPerQuery: 10000}}",
        f"{{resources: [{notes.replace('notes', 'memory')}], maxRowsPerQuery: 1}}",
    )
    ends = ("2036-02-29T23:59:59.123456Z", "2035-12-31T23:59:59+05:30", "9000-01-01T00:00:00Z")
    lives = ("5m", "7d", "1h1m1s", "24h")
    numbers = [(scope, end, life) for scope in scopes for end in ends for life in lives]
    for number, (scope, end, life) in enumerate(numbers):
        manifests[f"g{number}"] = f"""apiVersion: federation.mosaicstack.dev/v1
kind: Grant
metadata: {{name: g{number}}}
spec:
  peer: beta
  subjectUserId: a.B_c@d-0
  expiresAt: {end}
  suspended: {str(number % 2 == 0).lower()}
  protect: {str(number % 3 == 0).lower()}
  scope: {scope}
  certificate: {{lifetime: {life}}}
"""
    write(applied.manifests, **manifests)
    applied.apply()
    assert len(applied.equal()) == len(PEER_OF) + 2 + len(manifests)
    assert applied.plan().plan.empty


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=json_values)
def test_json_is_written_as_postgresql_writes_it(database_url: str, value: Any) -> None:
    with Database(database_url, "tests").transaction() as tx:
        row = tx.one("SELECT CAST(:value AS jsonb)::text AS text", value=as_json(value))
    assert jsonb_text(value) == row["text"]


_DROP: Final = "DROP COLUMN row_digest CASCADE"


@pytest.mark.parametrize("table", ["federation_peers", "federation_grants"])
@pytest.mark.parametrize(
    "change",
    [
        "ALTER COLUMN row_digest DROP EXPRESSION",
        _DROP,
        f"{_DROP}, ADD COLUMN row_digest bytea GENERATED ALWAYS AS ('\\x00'::bytea) STORED",
    ],
)
def test_a_digest_that_is_not_that_of_the_columns_is_a_difference(
    applied: Applied, table: str, change: str
) -> None:
    with applied.database.transaction() as tx:
        assert differences(tx) == ()
    applied.by_hand(f"ALTER TABLE {table} {change}")
    with applied.database.transaction() as tx:
        assert differences(tx) == (f"the digest of each row of {table} is not computed",)


def test_a_column_that_is_generated_no_more_hides_no_change(applied: Applied) -> None:
    applied.by_hand(
        "ALTER TABLE federation_grants ALTER COLUMN row_digest DROP EXPRESSION;"
        " UPDATE federation_grants SET protect = true WHERE name = 'a'"
    )
    assert [each.name for each in applied.plan().plan.changes] == ["a"]


def test_to_verify_is_to_compute_digests_from_the_columns(applied: Applied) -> None:
    digests = applied.rows("SELECT name, row_digest FROM federation_grants")
    assert applied.equal(verify=True) == {*PEER_OF, "beta", "gamma"}
    applied.by_hand(
        "DROP VIEW federation_grants_now CASCADE;"
        " ALTER TABLE federation_grants DROP COLUMN row_digest"
    )
    values = ", ".join(f"('{name}', '\\x{digest.hex()}'::bytea)" for name, digest in digests)
    applied.by_hand(
        f"CREATE FUNCTION stale(text) RETURNS bytea IMMUTABLE LANGUAGE sql AS"
        f" $$ SELECT digest FROM (VALUES {values}) AS v(name, digest) WHERE name = $1 $$;"
        " ALTER TABLE federation_grants ADD COLUMN row_digest bytea"
        " GENERATED ALWAYS AS (stale(name)) STORED;"
        " CREATE VIEW federation_grants_now AS SELECT *, status AS status_now"
        " FROM federation_grants; UPDATE federation_grants SET protect = true WHERE name = 'a'"
    )
    assert "a" in applied.equal()
    assert "a" not in applied.equal(verify=True)
