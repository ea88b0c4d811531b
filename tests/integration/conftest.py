"""What integration tests share: one real certificate authority, and the parts of a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.authority import Authority, authority
from tests.support.web import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def shared_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """A step-ca that runs for the whole session; a test that stops one makes its own."""
    with authority(tmp_path_factory.mktemp("ca")) as found:
        yield found


@pytest.fixture(scope="module")
def web_parts(shared_authority: Authority, database_url: str) -> Parts:
    return Parts(database_url, shared_authority.roots, shared_authority.client)
