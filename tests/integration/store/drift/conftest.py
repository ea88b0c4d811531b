"""What tests of drift share: a gateway with a peer and a grant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.commands.in_process import Quick, shell_with_a_grant

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    return shell_with_a_grant(tmp_path, database_url)
