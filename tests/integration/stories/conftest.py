"""What the stories share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest
from tests.support.gateways.web_server import Parts, serving
from tests.support.repositories.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.support.gateways.step_ca import Authority


@pytest.fixture
def trust(tmp_path: Path, database_url: str) -> Trust:
    """A repository whose first commit, with rules, is signed by Ada and applied."""
    return Trust.make(tmp_path, database_url)


@pytest.fixture
def rows(database_url: str) -> Rows:
    """A gateway's tables with a peer and a pending grant, beta-tasks."""
    rows = Rows(database_url)
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"))
    return rows


@pytest.fixture
def parts(rows: Rows, shared_authority: Authority) -> Parts:
    return Parts(rows.url, shared_authority.roots, shared_authority.client)


@pytest.fixture
def client(parts: Parts) -> Iterator[httpx.Client]:
    """A client of a gateway without a rate limit."""
    with serving(parts) as running, running.client() as client:
        yield client
