"""Calls that wait for the row of a grant, which somebody holds for long."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.support.gateways.enrollee import (
    API,
    Enrollee,
    Rows,
    bearer,
    grant_manifest,
    peer_manifest,
)
from tests.support.gateways.web_server import Parts, serving
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

GRANTS = tuple(f"grant-{number}" for number in range(8))  # more than there are connections
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@contextmanager
def held(rows: Rows, *grants: str) -> Iterator[None]:
    with psycopg.connect(rows.url) as connection:
        lock = "SELECT FROM federation_grants WHERE name = ANY(%s) FOR UPDATE"
        connection.execute(lock, [list(grants)])
        yield


@pytest.mark.parametrize("waiting", [GRANTS[:1], GRANTS], ids=["one grant", "many grants"])
def test_calls_that_wait_for_grants_keep_nobody_else_from_the_database(
    rows: Rows, parts: Parts, waiting: tuple[str, ...]
) -> None:
    rows.apply(peer_manifest(), *map(grant_manifest, ("beta-tasks", *GRANTS)))
    honest, tokens = rows.invite("beta-tasks"), [rows.invite(grant) for grant in waiting]
    peers = [Enrollee() for _ in waiting]
    csrs = [peer.csr_pem() for peer in peers]
    with ExitStack() as stack:
        running = stack.enter_context(serving(parts))
        pool = stack.enter_context(ThreadPoolExecutor(len(GRANTS)))

        def call(number: int) -> int:
            at = number % len(waiting)
            peer = Enrollee(peers[at].key, csrs[at])
            with running.client() as client:
                return peer.enroll(client, tokens[at]).status_code

        with running.client() as client, held(rows, *waiting):
            calls = [pool.submit(call, number) for number in range(len(GRANTS))]
            wait_until(lambda: rows.one(WAITING) > 0, "a call that waits")
            looks = [client.get(f"{API}/enroll", headers=bearer(honest)) for _ in range(20)]
            assert {each.status_code for each in looks} == {200}
            if len(waiting) == 1:
                assert Enrollee().enroll(client, honest).status_code == 201
        statuses = [each.result() for each in calls]
    assert set(statuses) <= {201, 409, 410, 503}, "503: it has waited for too long"
    assert statuses.count(201) <= len(waiting)
