"""`/metrics`: the names and labels of the table, and numbers of the work and of the rows."""

from __future__ import annotations

import asyncio
import threading
from importlib import metadata
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.core.privileges import Role
from reconciler.core.telemetry import CaOutcome, PassResult
from reconciler.errors import Retry
from reconciler.store.db import Database
from reconciler.store.drift.detector import DriftDetector
from reconciler.store.views.metrics import row_metrics
from reconciler.web.metrics import row_collector as readings
from reconciler.web.metrics.definitions import DEFINITIONS, PARTS, Part
from reconciler.web.metrics.registry import Metrics
from tests.support.commands.in_process import Quick
from tests.support.database.roles import rows_with_roles
from tests.support.gateways.certified import certify
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest
from tests.support.metrics import read, samples, value
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from reconciler.store.db import Tx

VERBS: Final = sorted(PARTS)
TIMES: Final = ("not_after", "renew_after")
OUTBOUND: Final = """
apiVersion: federation.mosaicstack.dev/v1
kind: Peer
metadata: {name: acme}
spec: {direction: outbound, endpoint: 'https://acme.example'}
"""
_ENROLLED: Final = """
UPDATE federation_peers SET status = 'active', activated_at = now(), cert_pem = 'leaf',
    cert_chain_pem = 'chain', roots_pem = 'root', csr_pem = 'csr', cert_serial = 'ab1',
    cert_fingerprint = 'sha256:00', cert_not_before = '2030-01-01Z', cert_not_after = '2030-01-02Z',
    remote_grant = '{}', client_key_pem = 'MSEAL1 sealed'::bytea WHERE name = 'acme'
"""
_CRL: Final = """
INSERT INTO federation_crls (issuer_key_id, der, number, this_update, next_update)
VALUES ('old', '', 2, '2030-01-01Z', '2030-02-01Z'), ('new', '', 1, '2030-01-02Z', '2030-01-03Z')
"""


def metrics_of(rows: Rows, verb: str = "serve") -> Metrics:
    metrics = Metrics(verb)
    if Part.ROWS in PARTS[verb]:
        metrics.add_rows(rows.database, DriftDetector())
    return metrics


def work(metrics: Metrics, verb: str) -> None:
    """Tell of one piece of each work that a verb does."""
    metrics.request("/metrics", "200", 0.1)
    if Part.ENDPOINT in PARTS[verb]:
        metrics.enrollment("token_spent")
        metrics.ca_request("sign", CaOutcome.OK, 0.1)
        metrics.renewal_failure("beta", "peer_unreachable")
    if Part.AUTHORITY in PARTS[verb]:
        metrics.authority_decision("grant_ended")
    if Part.LOOP in PARTS[verb]:
        metrics.reconcile_pass(PassResult.FAILED, "manifest_invalid", 0.1)


@pytest.fixture
def rows(database_url: str) -> Rows:
    rows = Rows(database_url)
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"))
    return rows


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_the_metrics_of_what_it_does_with_the_labels_of_the_table(
    rows: Rows, verb: str
) -> None:
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"), OUTBOUND)
    rows.run(_ENROLLED)
    rows.run(_CRL)
    metrics = metrics_of(rows, verb)
    work(metrics, verb)
    series = read(metrics)

    here = [each for each in DEFINITIONS if each.part in PARTS[verb]]
    suffixes = {"histogram": ("_bucket", "_count", "_sum")}
    named = {
        f"{each.name}{suffix}": each.labels
        for each in here
        for suffix in suffixes.get(each.kind, ("",))
    }
    assert {name for name in series if name.startswith("mosaic_")} == set(named)
    for name, labels in named.items():
        for shown in series[name]:
            assert {label for label, _ in shown} - {"le"} == set(labels), name
    assert "process_resident_memory_bytes" in series
    if Part.ROWS in PARTS[verb]:
        day = 1893456000.0  # 2030-01-01
        until, due = (f"mosaic_certificate_{each}_timestamp_seconds" for each in TIMES)
        assert value(series, until, peer="acme") == day + 86_400
        assert value(series, due, peer="acme") == day + 57_600
        # the newest list is that of the issuer that signs now
        assert value(series, "mosaic_crl_next_update_timestamp_seconds") == day + 2 * 86_400


def test_the_version_is_a_label_of_the_build(rows: Rows) -> None:
    ((labels, one),) = read(Metrics("authority"))["mosaic_build_info"].items()
    assert (one, dict(labels)["version"]) == (1, metadata.version("mosaic-federation"))


def test_each_role_that_has_metrics_of_rows_may_read_what_they_need(database_url: str) -> None:
    rows = rows_with_roles(database_url)
    for role in (Role.READER, Role.OPERATOR, Role.GATEWAY):
        with rows.database.transaction() as tx:
            tx.run(f"SET LOCAL ROLE {role}")
            assert row_metrics(tx).grants == {"pending": 1}
            assert DriftDetector().drifted(tx) == ()


def test_numbers_are_those_of_the_rows(rows: Rows, tmp_path: Path) -> None:
    mosaic = Quick(tmp_path, {"MOSAIC_DATABASE_URL": rows.url})
    before = read(metrics_of(rows))
    assert value(before, "mosaic_reconcile_paused") == 0
    assert value(before, "mosaic_grants", status="pending") == 1
    assert value(before, "mosaic_grants", status="active") == 0
    assert value(before, "mosaic_peers", direction="inbound", status="pending") == 1
    assert value(before, "mosaic_revocation_oldest_seconds") == 0
    assert value(before, "mosaic_drifted_objects") == 0
    assert "mosaic_crl_next_update_timestamp_seconds" not in before

    certify(rows, "beta-tasks")
    mosaic.ok("pause", "--reason", "incident")
    mosaic.ok("grant", "revoke", "beta-tasks", "--reason", "left", "--yes")
    mosaic.ok("peer", "revoke", "beta", "--reason", "left", "--yes")
    rows.tamper("UPDATE federation_certificates SET queued_at = now() - interval '1 hour'")
    rows.tamper("UPDATE federation_peers SET display_name = 'Eve'")
    after = read(metrics_of(rows))

    assert value(after, "mosaic_reconcile_paused") == 1
    assert value(after, "mosaic_grants", status="revoked") == 1
    assert value(after, "mosaic_holds") == 2
    assert value(after, "mosaic_revocations_pending") == 1
    assert 3600 <= (value(after, "mosaic_revocation_oldest_seconds") or 0) < 3720
    head = rows.one("SELECT seq FROM federation_audit_head")
    assert value(after, "mosaic_audit_head") == head


def test_grants_that_end_soon_are_counted_within_each_longer_time(database_url: str) -> None:
    rows = Rows(database_url)
    names = {"far": "60 days", "month": "20 days", "week": "3 days", "day": "2 hours"}
    rows.apply(peer_manifest(), *map(grant_manifest, names))
    for name, left in names.items():
        rows.tamper(
            "UPDATE federation_grants SET expires_at = now() + CAST(:left AS interval)"
            " WHERE name = :name",
            name=name,
            left=left,
        )
    series = read(metrics_of(rows))
    counts = [value(series, "mosaic_grants_ending", within=each) for each in ("1d", "7d", "30d")]
    assert counts == [1, 2, 3]
    assert value(series, "mosaic_drifted_objects") == 4


def test_the_rows_are_read_at_most_every_15_s(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    assert readings.READ_EVERY_S == 15
    metrics = metrics_of(rows)

    async def counts() -> list[float | None]:
        values = []
        for every_s in (15.0, 0.0, 0.0):  # the second is still of the first reading
            monkeypatch.setattr(readings, "READ_EVERY_S", every_s)
            values.append(value(samples(await metrics.text()), "mosaic_grants", status="pending"))
            rows.apply(peer_manifest(), *map(grant_manifest, ("beta-tasks", "two")))
        return values

    assert asyncio.run(counts()) == [1, 1, 1]


def test_without_the_database_the_rest_is_told_and_the_rows_are_absent(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "READ_EVERY_S", 0.0)
    monkeypatch.setattr(readings, "CPU_SHARE", 1e9)
    metrics = metrics_of(rows)
    assert value(read(metrics), "mosaic_database_up") == 1

    transaction = Database.transaction

    def away(self: Database) -> None:
        raise Retry("database_unavailable", "away")

    monkeypatch.setattr(Database, "transaction", away)
    series = read(metrics)
    assert value(series, "mosaic_database_up") == 0
    assert value(series, "mosaic_enrollments_total", outcome="issued") == 0
    assert not {name for name in series if name.startswith(("mosaic_grants", "mosaic_drift"))}
    monkeypatch.setattr(Database, "transaction", transaction)
    assert value(read(metrics), "mosaic_grants", status="pending") == 1


def test_a_database_that_hangs_holds_up_no_scrape_and_is_asked_once(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "ANSWER_S", 0.1)
    calls, goes_on = threading.Semaphore(0), threading.Event()
    transaction = Database.transaction

    def hang(self: Database) -> AbstractContextManager[Tx]:
        calls.release()
        goes_on.wait(PATIENCE_S)
        return transaction(self)

    monkeypatch.setattr(Database, "transaction", hang)
    metrics = metrics_of(rows)

    async def scrape() -> list[float | None]:
        ups = [value(samples(await metrics.text()), "mosaic_database_up") for _ in range(3)]
        goes_on.set()
        monkeypatch.setattr(readings, "ANSWER_S", PATIENCE_S)
        return [*ups, value(samples(await metrics.text()), "mosaic_database_up")]

    assert asyncio.run(scrape()) == [0, 0, 0, 1]
    count = 0
    while calls.acquire(blocking=False):
        count += 1
    assert count == 2  # for the numbers and for drift
