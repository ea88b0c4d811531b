"""The collation of a database orders nothing that we print or compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.commands.in_process import shell
from tests.support.commands.process import write
from tests.support.database.server import DEBIAN, OWNER, database_server
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("a-b", "a1", "aa", "b-1", "b0")  # bytewise; ICU passes over the hyphens


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="the wheel's PostgreSQL is built without ICU")
def test_names_are_listed_bytewise_whatever_the_collation(tmp_path: Path) -> None:
    with database_server(DEBIAN) as server:
        server.run(
            f"CREATE DATABASE german OWNER {OWNER} TEMPLATE template0 ENCODING 'UTF8'"
            " LOCALE_PROVIDER icu ICU_LOCALE 'de-u-ka-shifted'"
        )
        mosaic = shell(tmp_path, server.url("german"))
        mosaic.ok("db", "upgrade")
        manifests = {name: grant_manifest(name) for name in NAMES}
        write(tmp_path / "manifests", beta=peer_manifest(), **manifests)
        mosaic.ok("apply", "--yes")
        assert [each["name"] for each in mosaic.document("grant", "list")] == list(NAMES)
        assert mosaic.document("peer", "show", "beta")["grants"] == list(NAMES)
        assert "nothing to do" in mosaic.ok("apply", "--yes").out
        mosaic.ok("audit", "verify")
