"""What tests of drift share: a gateway with a peer and a grant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    made = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest(), x=grant_manifest("x"))
    made.ok("apply", "--yes")
    return made
