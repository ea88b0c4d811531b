"""Pages of a gateway with 10,000 grants, as a browser gets them, against the reading of their rows.

Each must be there within a second.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Final

from benchmarks.measure import Figure, compare
from reconciler.store.db import Database
from reconciler.store.drift.detector import DriftDetector
from reconciler.store.views.status import status
from reconciler.web.private.pages import documents
from reconciler.web.private.pages.query import Query
from tests.support.gateways.endpoints import scratch_database
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest
from tests.support.gateways.private_server import serving_private

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from reconciler.store.db import Tx

GRANTS: Final = 10_000
MAX_S: Final = 1.0


def figures() -> list[Figure]:
    """Return the figures of this subject."""
    with _gateway() as (url, client):
        numbers = count(1)

        def page() -> str:
            return str(next(numbers) % 200 + 1)

        def read(tx: Tx, number: str) -> object:
            return documents.grants(tx, Query({"page": number}))

        def in_transaction(number: str) -> None:
            with Database(url, "benchmark").transaction() as tx:
                read(tx, number)

        def change() -> str:
            Rows(url).run(
                "UPDATE federation_grants SET protect = NOT protect WHERE name = 'grant-7'"
            )
            return ""

        detector = DriftDetector()

        def read_status(_: str) -> None:
            with Database(url, "benchmark").transaction() as tx:
                status(tx, detector.drifted)

        taken = [
            compare(
                f"a page of {GRANTS:,} grants",
                lambda number: _get(client, f"/grants?page={number}"),
                "reading its rows",
                in_transaction,
                page,
            ),
            compare(
                f"the search among {GRANTS:,} grants",
                lambda number: _get(client, f"/grants?q=-{number}"),
                "reading a page of rows",
                in_transaction,
                page,
            ),
            compare(
                f"the overview of {GRANTS:,} grants",
                lambda _: _get(client, "/"),
                "reading the status",
                read_status,
                page,
            ),
            compare(
                f"the overview of {GRANTS:,} grants after a change",
                lambda _: _get(client, "/"),
                "reading the status",
                read_status,
                change,
            ),
        ]
    for figure in taken:
        assert figure.ours_s < MAX_S, f"{figure.name} takes {figure.ours_s:.2f} s"
    return taken


def _get(client: httpx.Client, path: str) -> None:
    client.get(path).raise_for_status()


@contextmanager
def _gateway() -> Iterator[tuple[str, httpx.Client]]:
    """Serve the pages of a database with the grants until the block ends."""
    with scratch_database() as (_, url):
        manifests = (grant_manifest(f"grant-{number}") for number in range(GRANTS))
        Rows(url).apply(peer_manifest(), *manifests)
        with serving_private(url) as running, running.client() as client:
            yield url, client
