"""What grows for ever is read by an index: the statements of what happens all the time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import psycopg
import pytest

from reconciler.core.setting_values import RateLimit
from reconciler.crypto.certificates import CrlFacts
from reconciler.store.audit.queries import explain_grant
from reconciler.store.connection.exchange import Exchanges
from reconciler.store.connection.statements import in_driver_form
from reconciler.store.db import Tx
from reconciler.store.drift.evidence import stored_certificates
from reconciler.store.ending import expire_due, revoke_grants
from reconciler.store.issuance import revocation_queue as queue
from reconciler.store.views.grants import show_grant
from reconciler.store.views.metrics import row_metrics
from tests.support.gateways.enrollee import Enrollee, Rows, grant_manifest, peer_manifest
from tests.support.gateways.web_server import Parts, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.gateways.step_ca import Authority

GROWING: Final = {
    *("federation_certificates", "federation_enrollment_tokens", "federation_keys"),
    *("federation_audit_log", "federation_grants"),
}
# each has few rows: a condition on the index is not needed
PARTIAL: Final = {
    f"federation_{each}"
    for each in ("certificates_live", "certificates_queue", "certificates_intents", "grants_due")
}
LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
EMPTY_LIST: Final = CrlFacts("0" * 40, 1, LONG_AGO, LONG_AGO, frozenset())


class Plans:
    """The plans that PostgreSQL makes where it reads a table whole only if it has to."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("SET enable_seqscan = off")
        self.unindexed: set[str] = set()

    def look(self, statement: str, values: dict[str, Any]) -> None:
        explain = b"EXPLAIN (FORMAT JSON) " + in_driver_form(statement)
        (plan,), *_ = self._connection.execute(explain, values).fetchall()
        for node in self._nodes(plan[0]["Plan"]):
            index, table = node.get("Index Name"), node.get("Relation Name")
            whole = index is not None and index not in PARTIAL and "Index Cond" not in node
            if (whole and table != "federation_grants") or node["Node Type"] == "Seq Scan":
                self.unindexed |= {f"{table}: {statement}"} if table in GROWING else set()

    def _nodes(self, node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield node
        for each in node.get("Plans", ()):
            yield from self._nodes(each)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def plans(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plans]:
    """The plans of every statement that is run."""
    made = Plans(database_url)
    for name in ("rows", "run"):
        monkeypatch.setattr(Tx, name, _looking(made, getattr(Tx, name)))
    monkeypatch.setattr(Exchanges, "run", _looking_together(made, Exchanges.run))
    yield made
    made.close()


def _looking(plans: Plans, original: Any) -> Any:
    def run(tx: Any, text: str, /, **named: Any) -> Any:
        if "federation_" in text and "set_config" not in text:
            plans.look(text, named)
        return original(tx, text, **named)

    return run


def _looking_together(plans: Plans, original: Any) -> Any:
    async def run(of: Any, statements: Any, values: dict[str, Any], **options: Any) -> Any:
        for text in statements:
            if "federation_" in text:
                plans.look(text, values)
        return await original(of, statements, values, **options)

    return run


def test_what_happens_all_the_time_reads_no_table_that_grows_row_by_row(
    database_url: str, shared_authority: Authority, plans: Plans
) -> None:
    rows = Rows(database_url)
    rows.apply(peer_manifest(), grant_manifest("tasks"))
    token, peer, successor = rows.invite("tasks"), Enrollee(), Enrollee()
    parts = Parts(database_url, shared_authority.roots, shared_authority.client)
    plans.unindexed.clear()
    with serving(parts, rate_limit=RateLimit(0.0, 0)) as running, running.client() as client:
        assert peer.enroll(client, token).status_code == 201
        assert peer.pickup(client).status_code == 200
        assert peer.grant(client).status_code == 200
        with rows.certificates_due():
            assert peer.renew(client, successor).status_code == 201
    with rows.database.transaction() as tx:
        tx.rows("SELECT * FROM federation_authority WHERE serial = :serial", serial="1f")
        queue.give_up_stale_intents(tx, "worker:tests")
        queue.follow_list(tx, EMPTY_LIST, "worker:tests")
        queue.requeue_missing(tx, EMPTY_LIST, "worker:tests")
        expire_due(tx)
        stored_certificates(tx)
        explain_grant(tx, "tasks")
        grant = show_grant(tx, "tasks")
        assert len(grant.certificates) == 2
        revoke_grants(tx, [UUID(grant.id)], "no longer in git")
        due = queue.claim_revocations(tx)
        queue.record_revoked(tx, due, "worker:tests")
        assert len(due) == 2
    assert plans.unindexed == set()
    with rows.database.transaction() as tx:
        row_metrics(tx)
    assert all(each.startswith("federation_grants") for each in plans.unindexed)  # all are counted
