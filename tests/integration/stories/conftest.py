"""What the stories share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.repositories.trust import Trust

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def trust(tmp_path: Path, database_url: str) -> Trust:
    """A repository whose first commit, with rules, is signed by Ada and applied."""
    return Trust.make(tmp_path, database_url)
