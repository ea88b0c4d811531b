"""Plans for people, reviewers and programs: what they end, leave out, and refuse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from reconciler.manifest.schema import json_schema
from tests.support.cli import Quick, shell
from tests.support.command import write
from tests.support.enrolling import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    """A shell beside a source of one peer and three active grants, which is applied."""
    made = shell(tmp_path, database_url)
    write(
        tmp_path / "manifests",
        beta=peer_manifest(),
        a=grant_manifest("a"),
        b=grant_manifest("b"),
        c=grant_manifest("c"),
    )
    made.ok("apply", "--yes")
    for name in ("a", "b", "c"):
        made.enroll(name)
    return made


def declare(mosaic: Quick, **texts: str) -> None:
    write(mosaic.cwd / "manifests", **texts)


def remove(mosaic: Quick, name: str) -> None:
    (mosaic.cwd / "manifests" / f"{name}.yaml").unlink()


def test_what_is_removed_suspended_or_narrowed_names_its_live_certificates(mosaic: Quick) -> None:
    remove(mosaic, "a")
    declare(mosaic, b=grant_manifest("b", suspended="true"), c=grant_manifest("c", rows=5))

    told = mosaic.ok("plan").out
    for name, will in (("a", "revoked"), ("b", "withheld"), ("c", "narrowed")):
        line = next(line for line in told.splitlines() if f" grant/{name} " in line)
        assert line.endswith(f"1 live certificate will be {will}"), line
        serial = mosaic.grant(name)["certificates"][0]["serial"]
        assert f"      ! {serial} of beta, until " in told
    certificates = [each["certificates"] for each in mosaic.document("plan")["changes"]]
    assert [len(each) for each in certificates] == [1, 1, 1]


def test_a_wider_grant_ends_no_certificate(mosaic: Quick) -> None:
    declare(mosaic, c=grant_manifest("c", rows=501))
    assert mosaic.document("plan")["changes"][0]["certificates"] == []


def test_every_plan_is_valid_by_the_published_schema(mosaic: Quick) -> None:
    schema = Draft202012Validator(json_schema("plan"), format_checker=FormatChecker())
    mosaic.ok("grant", "suspend", "b", "--reason", "for now")
    remove(mosaic, "a")
    declare(mosaic, c=grant_manifest("c", subject="other"), d=grant_manifest("d"))
    for plan in (mosaic.document("plan"), mosaic.document("plan", "--target", "grant/d")):
        assert [error.message for error in schema.iter_errors(plan)] == []
    printed = mosaic.ok("schema", "plan").out
    assert json.loads(printed) == json_schema("plan")


def test_an_excluded_object_stays_as_it_is(mosaic: Quick) -> None:
    remove(mosaic, "a")
    declare(mosaic, b=grant_manifest("b", rows=5), d=grant_manifest("d"))

    plan = mosaic.document("plan", "--exclude", "grant/a", "--exclude", "grant/d")
    assert [each["name"] for each in plan["changes"]] == ["b"]
    assert mosaic("plan", "--exclude", "grant/x").code == 1
    mosaic.ok("apply", "--yes", "--exclude", "grant/a", "--exclude", "grant/d")
    assert mosaic.statuses() == {"a": "active", "b": "active", "c": "active"}


def test_an_excluded_grant_keeps_its_peer_and_an_excluded_peer_its_grants(mosaic: Quick) -> None:
    for name in ("beta", "a", "b", "c"):
        remove(mosaic, name)
    declare(mosaic, gamma=peer_manifest("gamma"))
    flags = ("--max-removals", "9", "--allow-empty")
    some = mosaic.document("plan", *flags, "--exclude", "grant/a")
    assert {each["name"] for each in some["changes"]} == {"gamma"}
    none = mosaic.document("plan", *flags, "--exclude", "peer/beta")
    assert {each["name"] for each in none["changes"]} == {"gamma"}


def test_widening_is_refused_where_that_is_asked_for(mosaic: Quick) -> None:
    declare(mosaic, a=grant_manifest("a", rows=501), b=grant_manifest("b", rows=1))
    refused = mosaic("plan", "--refuse-widening")
    assert refused.code == 3
    assert (
        "refused: grant/a would be granted more than now (1 of 2 changes, limit 0)" in refused.out
    )
    assert "leaving --refuse-widening out allows it once" in refused.out
    error = mosaic("apply", "--yes", "--refuse-widening", "--output", "json").error
    assert (error["code"], error["exitCode"]) == ("guard_widening", 3)
    narrowed = ("apply", "--yes", "--refuse-widening", "--exclude", "grant/a")
    mosaic.ok(*narrowed)
    assert mosaic.grant("b")["scope"]["maxRowsPerQuery"] == 1


@pytest.mark.parametrize("gone", [True, False])
def test_protection_is_the_stored_rows_and_one_commit_cannot_drop_both(
    mosaic: Quick, gone: bool
) -> None:
    protected = grant_manifest("a").replace("suspended: false", "suspended: false\n  protect: true")
    declare(mosaic, a=protected)
    mosaic.ok("apply", "--yes")
    if gone:
        remove(mosaic, "a")
    else:  # no longer protected, and somebody else's, at once
        declare(mosaic, a=grant_manifest("a", subject="other"))
    refused = mosaic("apply", "--yes")
    assert refused.code == 3
    assert "grant/a is protected" in refused.err
    declare(mosaic, a=grant_manifest("a"))
    mosaic.ok("apply", "--yes")
    remove(mosaic, "a")
    mosaic.ok("apply", "--yes")


def test_a_saved_plan_carries_the_exceptions_that_it_was_made_with(mosaic: Quick) -> None:
    for name in ("beta", "a", "b", "c"):
        remove(mosaic, name)
    declare(mosaic, gamma=peer_manifest("gamma"))
    assert mosaic("plan", "--save", "f").code == 3
    mosaic.ok("plan", "--max-removals", "4", "--save", "f")
    assert mosaic("apply", "f", "--max-removals", "9").code == 64
    mosaic.ok("apply", "f")
    assert mosaic.statuses("peer") == {"beta": "revoked", "gamma": "pending"}
    assert mosaic("apply", "f").code == 5


def test_markdown_is_for_a_comment_and_obeys_nothing_in_it(mosaic: Quick) -> None:
    hostile = json.dumps("`x` ``` @everyone <img src=x> [a](http://b)")
    peer = peer_manifest().replace("displayName: beta", f"displayName: {hostile}")
    remove(mosaic, "a")
    declare(mosaic, d=grant_manifest("d"), beta=peer)
    told = mosaic("plan", "--output", "markdown")
    assert told.code == 0, told.err
    lines = told.out.splitlines()
    assert lines[0] == "<!-- mosaic federation plan -->"
    assert lines[1] == "### Plan: 1 to add, 1 to change, 1 to remove, 2 unchanged (of 5)"
    fences = [line for line in lines if line.startswith("```")]
    assert len(fences) % 2 == 0
    inside = False
    for line in lines:
        if line.startswith("```"):
            inside = not inside
        assert inside or "@everyone" not in line
    assert "- 1 object would be granted **more** than now" in lines


def test_a_long_comment_is_cut_and_says_so(mosaic: Quick) -> None:
    texts = {f"g{n}": grant_manifest(f"g{n}", subject="s" * 120) for n in range(250)}
    declare(mosaic, **texts)
    told = mosaic.ok("plan", "--output", "markdown").out
    assert len(told) < 65_000
    assert "**Cut:" in told.splitlines()[-1]
    assert sum(line.startswith("```") for line in told.splitlines()) % 2 == 0


def test_after_a_failure_a_summary_says_that_nothing_is_half_done(mosaic: Quick) -> None:
    declare(mosaic, d=grant_manifest("d"))
    mosaic.rows.run("ALTER TABLE federation_grants ADD CHECK (name <> 'd') NOT VALID")
    failed = mosaic("apply", "--yes")
    assert failed.code == 1
    assert "Summary: done: nothing. Failed: the database refused" in failed.err
    assert "Not attempted: every change." in failed.err
    mosaic.rows.run("ALTER TABLE federation_grants DROP CONSTRAINT federation_grants_name_check")
    mosaic.ok("apply", "--yes")
    assert mosaic.statuses()["d"] == "pending"
