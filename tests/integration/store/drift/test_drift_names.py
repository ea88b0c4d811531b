"""Rows that were given another name by hand: told, and given back what they were named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.database.hand_changes import by_hand
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    grants = {name: grant_manifest(name) for name in "xy"}
    write(tmp_path / "manifests", beta=peer_manifest(), **grants)
    made = shell(tmp_path, database_url)
    made.ok("apply", "--yes")
    return made


def test_rows_that_were_renamed_by_hand_have_their_names_back(mosaic: Quick) -> None:
    swapped = ("x", "aside"), ("y", "x"), ("aside", "y")
    by_hand(
        mosaic,
        "UPDATE federation_peers SET name = 'gamma' WHERE name = 'beta'",
        *(f"UPDATE federation_grants SET name = '{b}' WHERE name = '{a}'" for a, b in swapped),
    )
    document = mosaic.document("drift")
    assert [
        (each["name"], field["applied"], field["found"])
        for each in document
        for field in each["fields"]
        if field["path"] == "name"
    ] == [("gamma", "beta", "gamma"), ("x", "y", "x"), ("y", "x", "y")]
    assert document[0]["changedBy"]["role"]
    adopting = mosaic("drift", "--adopt", "--yes", "grant/x")
    assert "name" in adopting.err
    mosaic.ok("drift", "--revert", "--yes")
    assert mosaic.document("drift") == []
    assert mosaic.document("plan")["changes"] == []
    assert {
        json.loads(each["body"])["subject"] for each in mosaic.rows.audited("grant.reverted")
    } == {
        "grant/x",
        "grant/y",
    }


def test_a_name_that_another_row_has_by_now_is_not_taken_from_it(mosaic: Quick) -> None:
    by_hand(mosaic, "UPDATE federation_grants SET name = 'z' WHERE name = 'x'")
    (mosaic.cwd / "manifests" / "x.yaml").unlink()
    scope = '{"resources": [{"type": "notes", "verbs": ["list"]}], "maxRowsPerQuery": 100}'
    mosaic.ok("grant", "create", "x", "--peer", "beta", "--subject-user", "m", "--scope", scope)
    (drift,) = mosaic.document("drift")
    assert (drift["name"], "grant revoke z" in drift["remedy"]) == ("z", True)
    refused = mosaic("drift", "--revert", "--yes")
    assert (refused.code, "another row uses the name x now" in refused.err) == (1, True)
    refused = mosaic("drift", "--revert", "--yes", "--output", "json")
    assert (refused.code, refused.error["code"]) == (1, "state_conflict")
    assert "grant/z" in refused.error["message"]
    (drift,) = mosaic.document("drift")
    assert drift["name"] == "z"
