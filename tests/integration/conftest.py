"""What integration tests share: one real certificate authority, and the parts of a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.store import probe
from tests.support.authority import Authority, authority
from tests.support.web import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.embedded.cluster import Cluster


@pytest.fixture(scope="session")
def shared_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """A step-ca that runs for the whole session; a test that stops one makes its own."""
    with authority(tmp_path_factory.mktemp("ca")) as found:
        yield found


@pytest.fixture(scope="session")
def web_parts(shared_authority: Authority, server: Cluster, template: str) -> Parts:
    """What the endpoint's tests serve: they change no rows that another one of them reads."""
    probe.ensure_database(server.url("postgres"), "web", template)
    return Parts(server.url("web"), shared_authority.roots, shared_authority.client)
