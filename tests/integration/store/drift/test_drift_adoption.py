"""Rows changed by hand that are adopted: manifests say afterwards what the rows do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.commands.process import write
from tests.support.database.hand_changes import by_hand
from tests.support.gateways.enrollee import grant_manifest

if TYPE_CHECKING:
    from tests.support.commands.in_process import Quick


def test_adopting_writes_what_was_found_and_keeps_comments_and_order(mosaic: Quick) -> None:
    path = mosaic.cwd / "manifests" / "x.yaml"
    before = "# agreed with maria\n" + path.read_text().replace(
        "    maxRowsPerQuery: 500\n", "    maxRowsPerQuery: 500  # for now\n"
    )
    path.write_text(before)
    mosaic.ok("apply", "--yes")
    by_hand(
        mosaic,
        "UPDATE federation_grants SET scope = jsonb_set(scope, '{maxRowsPerQuery}', '900')"
        " WHERE name = 'x'",
    )
    mosaic.ok("drift", "--adopt", "--yes")
    assert path.read_text() == before.replace("500  # for now", "900  # for now")
    assert mosaic.document("drift") == []
    assert mosaic.document("plan")["changes"] == []
    (entry,) = mosaic.rows.audited("grant.updated")
    data = json.loads(entry["body"])["data"]
    assert data["reason"].startswith("adopted, changed by hand by ")
    assert data["spec"]["scope"]["maxRowsPerQuery"] == 900


def test_what_no_manifest_can_say_is_not_adopted(mosaic: Quick) -> None:
    by_hand(mosaic, "UPDATE federation_grants SET managed = false WHERE name = 'x'")
    refused = mosaic("drift", "--adopt", "--yes", "--output", "json")
    assert (refused.code, refused.error["code"]) == (1, "state_conflict")


def test_a_manifest_that_changed_since_is_not_overwritten(mosaic: Quick) -> None:
    by_hand(mosaic, "UPDATE federation_grants SET protect = true WHERE name = 'x'")
    write(mosaic.cwd / "manifests", x=grant_manifest("x", rows=7))
    refused = mosaic("drift", "--adopt", "--yes")
    assert (refused.code, "has changed since" in refused.err) == (1, True)
    assert (mosaic.cwd / "manifests" / "x.yaml").read_text() == grant_manifest("x", rows=7)


def test_a_row_inserted_by_hand_is_adopted_as_a_manifest_of_its_own(mosaic: Quick) -> None:
    by_hand(
        mosaic,
        "INSERT INTO federation_peers (id, name, direction, display_name, spec_digest)"
        " VALUES (gen_random_uuid(), 'gamma', 'inbound', 'Gamma', 'sha256:0')",
    )
    mosaic.ok("drift", "--adopt", "--yes", "peer/gamma")
    assert "gamma.yaml" in mosaic.manifests()
    assert mosaic.document("drift") == []
    assert mosaic.document("plan")["changes"] == []
