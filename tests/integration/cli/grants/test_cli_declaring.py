"""Where `grant create` writes, and what it leaves alone: other manifests, rows and files."""

from __future__ import annotations

from typing import Final

import pytest

from tests.support.commands.in_process import GRANTED, Quick
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

LABELLED: Final = """
apiVersion: federation.mosaicstack.dev/v1
kind: Peer
metadata: {name: beta, labels: {region: eu}}
spec: {direction: inbound, displayName: Beta GmbH, protect: true}
"""
OUTBOUND: Final = """
apiVersion: federation.mosaicstack.dev/v1
kind: Peer
metadata: {name: beta}
spec: {direction: outbound, endpoint: "https://gateway.beta.example"}
"""


@pytest.mark.parametrize("options", [(), ("--no-write",)])
def test_a_live_peer_that_this_source_does_not_declare_stays_as_it_is(
    mosaic: Quick, options: tuple[str, ...]
) -> None:
    write(mosaic.cwd / "manifests", beta=LABELLED)
    mosaic.ok("apply", "--yes")
    row = "SELECT labels, protect, display_name, spec_digest FROM federation_peers"
    before = mosaic.rows.rows(row)
    mosaic.variables["MOSAIC_SOURCE"] = "elsewhere"
    mosaic.create("beta-tasks", *options)
    assert mosaic.rows.rows(row) == before
    assert mosaic.manifests("elsewhere") == ([] if options else ["beta-tasks.yaml", "beta.yaml"])
    result = mosaic.ok("plan", "manifests")
    assert "0 to add, 0 to change" in result.out or "nothing to do" in result.out


@pytest.mark.parametrize("options", [(), ("--no-write",)])
def test_the_other_grants_of_a_peer_outlive_a_grant_that_is_created_elsewhere(
    mosaic: Quick, options: tuple[str, ...]
) -> None:
    write(mosaic.cwd / "manifests", beta=LABELLED, orders=grant_manifest("orders"))
    mosaic.ok("apply", "--yes")
    mosaic.variables["MOSAIC_SOURCE"] = "elsewhere"
    mosaic.create("beta-tasks", *options)
    assert mosaic.statuses() == {"beta-tasks": "pending", "orders": "pending"}


def test_a_file_whose_name_differs_only_in_case_is_not_written(mosaic: Quick) -> None:
    write(mosaic.cwd / "manifests", **{"BETA-TASKS": peer_manifest(), "Gamma": peer_manifest("g")})
    mosaic.create("beta-tasks")
    mosaic.ok("validate")
    assert mosaic.manifests() == ["BETA-TASKS.yaml", "Gamma.yaml", "beta-tasks-grant.yaml"]


@pytest.mark.parametrize(
    "name", ["../beta", "/tmp/beta", "a/b", "Beta", "", " ", "a\nb", "a" * 64, "-a", "a.b", "ä"]
)
def test_a_name_that_is_no_label_is_refused_with_nothing_written(mosaic: Quick, name: str) -> None:
    before = sorted(mosaic.cwd.rglob("*"))
    done = mosaic("grant", "create", *GRANTED, "--output", "json", "--", name)
    assert done.code == 1
    assert done.error["code"] == "manifest_invalid"
    assert done.error["message"].startswith("metadata.name: ")
    assert done.error["hint"].startswith("correct the arguments of the command")
    assert sorted(mosaic.cwd.rglob("*")) == before


def test_a_peer_that_is_outbound_is_granted_nothing(mosaic: Quick) -> None:
    write(mosaic.cwd / "manifests", beta=OUTBOUND)
    declared = mosaic("grant", "create", "beta-tasks", *GRANTED)
    assert declared.code == 1
    assert "inbound" in declared.err
    mosaic.ok("apply", "--yes")
    mosaic.variables["MOSAIC_SOURCE"] = "elsewhere"
    live = mosaic("grant", "create", "beta-tasks", *GRANTED)
    assert live.code == 1
    assert "inbound" in live.err
    assert mosaic.manifests("elsewhere") == []


def test_a_source_that_cannot_be_written_to_is_refused_with_no_row(mosaic: Quick) -> None:
    (mosaic.cwd / "file.yaml").write_text(peer_manifest())
    mosaic.variables["MOSAIC_SOURCE"] = "file.yaml"
    done = mosaic("grant", "create", "beta-tasks", *GRANTED, "--output", "json")
    assert done.code in (1, 64)
    assert done.error["hint"]
    git = mosaic(
        *("grant", "create", "beta-tasks", *GRANTED, "--output", "json"),
        MOSAIC_SOURCE="https://git.example/manifests.git",
        MOSAIC_REF="main",
    )
    assert (git.code, git.error["code"]) == (78, "config_invalid")
    assert "--no-write" in git.error["hint"]
    assert mosaic.document("grant", "list") == []
    written = mosaic(
        *("grant", "create", "beta-tasks", *GRANTED, "--no-write"),
        MOSAIC_SOURCE="https://git.example/manifests.git",
        MOSAIC_REF="main",
    )
    assert written.code == 0, written.err
