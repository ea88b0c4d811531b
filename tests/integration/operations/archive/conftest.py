"""What tests of archives share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.database.hand_changes import by_hand
from tests.support.database.records import enroll
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    """Give a gateway with a grant that is enrolled and held, one that ended, and drift."""
    made = shell(tmp_path, database_url)
    grants = {name: grant_manifest(name) for name in ("x", "y", "z")}
    write(tmp_path / "manifests", beta=peer_manifest(), **grants)
    made.ok("apply", "--yes")
    enroll(made, "x")
    made.ok("grant", "suspend", "x", "--reason", "a leak")
    made.ok("grant", "revoke", "y", "--yes", "--reason", "over")
    by_hand(made, "UPDATE federation_grants SET subject_user_id = 'eve' WHERE name = 'z'")
    return made
