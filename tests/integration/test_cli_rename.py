"""Another name for what lives: no certificate ends, and git and rows agree right after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.cli import Quick, shell
from tests.support.command import write
from tests.support.enrolling import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path

HOLDS = "SELECT serial, grant_id::text, peer_name, grant_name, holds FROM federation_authority"


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    made = shell(tmp_path, database_url)
    write(
        tmp_path / "manifests",
        beta=f"# the other side\n{peer_manifest().lstrip()}",
        a=grant_manifest("a"),
        b=grant_manifest("b"),
    )
    made.ok("apply", "--yes")
    made.enroll("a")
    return made


def test_a_renamed_grant_keeps_its_certificate(mosaic: Quick) -> None:
    (before,) = mosaic.rows.rows(HOLDS)
    mosaic.ok("rename", "grant/a", "orders")

    (after,) = mosaic.rows.rows(HOLDS)
    assert after == before | {"grant_name": "orders"}
    assert mosaic.statuses() == {"b": "pending", "orders": "active"}
    plan = mosaic.document("plan")
    assert plan["changes"] == []
    assert mosaic.ok("apply", "--yes").out.splitlines()[-1] == "Nothing to do."
    entry = mosaic.document("audit", "list")[-1]
    assert (entry["kind"], entry["subject"]) == ("grant.renamed", "grant/orders")


def test_a_renamed_peer_is_followed_by_its_grants_in_every_file(mosaic: Quick) -> None:
    (before,) = mosaic.rows.rows(HOLDS)
    drifted = mosaic.document("drift")
    told = mosaic.ok("rename", "peer/beta", "gamma").out
    assert told.count("wrote ") == 3
    (after,) = mosaic.rows.rows(HOLDS)
    assert after == before | {"peer_name": "gamma"}
    assert mosaic.document("plan")["changes"] == []
    assert mosaic.document("drift") == drifted, "a rename is no change by hand"
    text = (mosaic.cwd / "manifests/beta.yaml").read_text()
    assert text.startswith("# the other side\n")


def test_a_name_that_is_taken_held_or_not_there_changes_nothing(mosaic: Quick) -> None:
    mosaic.ok("grant", "revoke", "b", "--yes")
    files = {path: path.read_bytes() for path in (mosaic.cwd / "manifests").iterdir()}
    for old, new, says in (
        ("grant/a", "b", "is there already"),
        ("grant/b", "c", "no live grant/b"),
        ("grant/nobody", "c", "no live grant/nobody"),
        ("grant/a", "Not-A-Label", "expected a name"),
    ):
        failed = mosaic("rename", old, new)
        assert failed.code == 1
        assert says in failed.err
    assert {path: path.read_bytes() for path in (mosaic.cwd / "manifests").iterdir()} == files
    assert mosaic.grant("a")["status"] == "active"


def test_without_writing_the_rows_alone_are_renamed(mosaic: Quick) -> None:
    text = (mosaic.cwd / "manifests/a.yaml").read_text()
    mosaic.ok("rename", "grant/a", "orders", "--no-write")
    assert (mosaic.cwd / "manifests/a.yaml").read_text() == text
    assert [each["action"] for each in mosaic.document("plan")["changes"]] == ["revoke", "create"]
    (mosaic.cwd / "manifests/a.yaml").write_text(text.replace("name: a}", "name: orders}"))
    assert mosaic.document("plan")["changes"] == []
