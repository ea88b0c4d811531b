"""What tests of backups share: a gateway without a home, with rows and files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.support.commands.elsewhere import with_provisioners
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path

MANIFESTS: Final = {name: grant_manifest(name) for name in ("one", "two", "three")}


@pytest.fixture(autouse=True)
def nobody_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no gateway waited for that could have read the empty database."""
    monkeypatch.setattr("reconciler.operations.backup.restore.SETTLE_S", 0.0)


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    made = with_provisioners(shell(tmp_path, database_url))
    write(tmp_path / "manifests", beta=peer_manifest(), **MANIFESTS)
    made.ok("apply", "--yes")
    return made
