"""Plans of some objects only, and plans that are saved: exactly that, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.core.model.text import printable
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    """A shell beside `m`, a folder that declares one peer and one grant."""
    write(tmp_path / "m", beta=peer_manifest(), tasks=grant_manifest("beta-tasks"))
    return shell(tmp_path, database_url)


def test_a_target_is_applied_alone_with_the_peer_that_it_needs(mosaic: Quick) -> None:
    write(mosaic.cwd / "m", notes=grant_manifest("beta-notes"), gamma=peer_manifest("gamma"))
    done = mosaic.ok("apply", "m", "--yes", "--target", "grant/beta-notes")
    assert "Plan: 2 to add" in done.out
    assert mosaic.statuses() == {"beta-notes": "pending"}
    assert [each["name"] for each in mosaic.document("peer", "list")] == ["beta"]
    (mosaic.cwd / "m" / "notes.yaml").unlink()
    mosaic.ok("apply", "m", "--yes", "--target", "grant/beta-notes")
    assert mosaic.statuses() == {"beta-notes": "revoked"}
    mistyped = mosaic("plan", "m", "--target", "peer/betta")
    assert mistyped.code == 1
    assert "did you mean peer/beta?" in mistyped.err


def test_a_peer_that_goes_takes_its_grants_along_where_it_alone_is_targeted(
    mosaic: Quick,
) -> None:
    write(mosaic.cwd / "m", gamma=peer_manifest("gamma"))
    mosaic.ok("apply", "m", "--yes")
    (mosaic.cwd / "m" / "beta.yaml").unlink()
    (mosaic.cwd / "m" / "tasks.yaml").unlink()
    mosaic.ok("apply", "m", "--yes", "--target", "peer/beta")
    assert mosaic.statuses() == {"beta-tasks": "revoked"}


def test_a_saved_plan_is_applied_exactly_or_is_stale(mosaic: Quick) -> None:
    saved = mosaic.ok("plan", "m", "--save", "my plan")
    assert saved.out.splitlines()[-1] == "Next: mosaic federation apply 'my plan'"
    assert "Applied: 2 added" in mosaic.ok("apply", "my plan").out
    done = mosaic("apply", "my plan", "--output", "json")
    assert (done.code, done.error["code"]) == (5, "plan_stale")
    write(mosaic.cwd / "m", tasks=grant_manifest("beta-tasks", rows=400))
    mosaic.ok("plan", "m", "--save", "my plan")
    write(mosaic.cwd / "m", tasks=grant_manifest("beta-tasks", rows=9000))
    assert mosaic("apply", "my plan").code == 5
    assert mosaic.document("grant", "show", "beta-tasks")["scope"]["maxRowsPerQuery"] == 500


def test_a_saved_plan_of_a_target_stays_with_it(mosaic: Quick) -> None:
    mosaic.ok("plan", "m", "--target", "peer/beta", "--save", "p.json")
    write(mosaic.cwd / "m", gamma=peer_manifest("gamma"))
    mosaic.ok("apply", "p.json")
    assert [each["name"] for each in mosaic.document("peer", "list")] == ["beta"]
    assert mosaic("apply", "p.json", "--target", "peer/gamma").code == 64


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"formatVersion": 2}', "\x00", "[" * 100_000])
def test_a_file_that_is_no_plan_is_wrong_usage(mosaic: Quick, text: str) -> None:
    (mosaic.cwd / "p.json").write_text(text)
    done = mosaic("apply", "p.json", "--output", "json")
    assert (done.code, done.error["code"]) == (64, "usage"), printable(text)


def test_an_excluded_object_stays_as_it_is_and_the_counts_are_out_of_all(mosaic: Quick) -> None:
    mosaic.ok("apply", "m", "--yes")
    (mosaic.cwd / "m" / "tasks.yaml").unlink()
    write(mosaic.cwd / "m", notes=grant_manifest("beta-notes"), gamma=peer_manifest("gamma"))
    flags = ("--exclude", "grant/beta-tasks", "--exclude", "peer/gamma")
    plan = mosaic.document("plan", "m", *flags)
    assert [each["name"] for each in plan["changes"]] == ["beta-notes"]
    assert (plan["summary"]["unchanged"], plan["summary"]["total"]) == (2, 3)
    mosaic.ok("apply", "m", "--yes", *flags)
    assert mosaic.statuses() == {"beta-notes": "pending", "beta-tasks": "pending"}
    assert mosaic.statuses("peer") == {"beta": "pending"}
    mistyped = mosaic("plan", "m", "--exclude", "grant/beta-task")
    assert mistyped.code == 1
    assert "did you mean grant/beta-tasks?" in mistyped.err


def test_targets_and_exclusions_go_together(mosaic: Quick) -> None:
    write(mosaic.cwd / "m", notes=grant_manifest("beta-notes"), gamma=peer_manifest("gamma"))
    flags = ("--target", "peer/beta", "--exclude", "grant/beta-tasks")
    mosaic.ok("apply", "m", "--yes", *flags)
    assert mosaic.statuses() == {"beta-notes": "pending"}
    assert mosaic.statuses("peer") == {"beta": "pending"}


def test_an_excluded_grant_keeps_its_peer_and_an_excluded_peer_its_grants(mosaic: Quick) -> None:
    write(mosaic.cwd / "m", notes=grant_manifest("beta-notes"))
    mosaic.ok("apply", "m", "--yes")
    for name in ("beta", "tasks", "notes"):
        (mosaic.cwd / "m" / f"{name}.yaml").unlink()
    write(mosaic.cwd / "m", gamma=peer_manifest("gamma"))
    none = mosaic.document("plan", "m", "--exclude", "peer/beta")
    assert [each["name"] for each in none["changes"]] == ["gamma"]
    some = mosaic.document("plan", "m", "--exclude", "grant/beta-tasks")
    assert [each["name"] for each in some["changes"]] == ["beta-notes", "gamma"]
    mosaic.ok("apply", "m", "--yes", "--exclude", "grant/beta-tasks")
    assert mosaic.statuses() == {"beta-notes": "revoked", "beta-tasks": "pending"}
    assert mosaic.statuses("peer") == {"beta": "pending", "gamma": "pending"}


def test_a_grant_that_moves_to_an_excluded_peer_keeps_the_peer_that_it_has(mosaic: Quick) -> None:
    write(mosaic.cwd / "m", gamma=peer_manifest("gamma"))
    mosaic.ok("apply", "m", "--yes")
    (mosaic.cwd / "m" / "beta.yaml").unlink()
    write(mosaic.cwd / "m", tasks=grant_manifest("beta-tasks", peer="gamma"))
    mosaic.ok("apply", "m", "--yes", "--exclude", "peer/gamma")
    assert mosaic.statuses() == {"beta-tasks": "pending"}
    assert mosaic.statuses("peer") == {"beta": "pending", "gamma": "pending"}
    mosaic.ok("apply", "m", "--yes")
    assert mosaic.statuses("peer") == {"beta": "revoked", "gamma": "pending"}


def test_the_exceptions_of_a_saved_plan_are_those_of_its_caller(mosaic: Quick) -> None:
    write(mosaic.cwd / "m", **{each: grant_manifest(each) for each in "abc"})
    mosaic.ok("apply", "m", "--yes")
    for name in ("tasks", *"abc"):
        (mosaic.cwd / "m" / f"{name}.yaml").unlink()
    refused = mosaic("plan", "m", "--save", "f")
    assert refused.code == 3
    assert "f is not written" in refused.err
    saved = mosaic.ok("plan", "m", "--max-removals", "4", "--save", "f")
    assert saved.out.splitlines()[-1] == "Next: mosaic federation apply f --max-removals 4"
    for flags in (("--target", "peer/beta"), ("--source", "m"), ("--ref", "main")):
        done = mosaic("apply", "f", *flags)
        assert done.code == 64
        assert f"{flags[0]} cannot be combined with a saved plan" in done.err
    assert mosaic("apply", "f").code == 3
    mosaic.ok("apply", "f", "--max-removals", "4")
    assert set(mosaic.statuses().values()) == {"revoked"}
    assert mosaic("apply", "f").code == 5
