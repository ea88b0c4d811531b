"""A plan on a terminal, in a pull request, in a program: nothing that it quotes is obeyed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from reconciler.manifest.json_schema import json_schema
from tests.support.commands.applied_source import applied_source, declare, withdraw
from tests.support.commands.process import write
from tests.support.database.hand_changes import by_hand
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.commands.in_process import Quick


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    """A shell beside an applied source: beta, and four grants to it."""
    return applied_source(tmp_path, database_url)


def test_markdown_is_for_a_comment_and_obeys_nothing_in_it(mosaic: Quick) -> None:
    mosaic.enroll("a")
    hostile = json.dumps("`x` ``` @everyone <img src=x> [a](http://b)")
    peer = peer_manifest().replace("displayName: beta", f"displayName: {hostile}")
    withdraw(mosaic, "a")
    declare(mosaic, e=grant_manifest("e"))
    write(mosaic.cwd / "manifests", beta=peer)
    result = mosaic("plan", "--output", "markdown")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[0] == "<!-- mosaic federation plan -->"
    assert lines[1] == "### Plan: 1 to add, 1 to change, 1 to remove, 3 unchanged (of 6)"
    assert "- 1 object would be granted **more** than now" in lines
    assert "- 1 live certificate would be **revoked**" in lines
    folded = [line for line in lines if line.startswith("<details")]
    assert folded == [
        "<details open><summary><b>Removed</b> (1)</summary>",
        "<details open><summary><b>Changed</b> (1)</summary>",
        "<details open><summary><b>Added</b> (1)</summary>",
    ]
    inside = False
    for line in lines:
        if line.startswith("```"):
            inside = not inside
        assert inside or not any(each in line for each in ("@everyone", "<img", "http://b"))
    assert not inside


def test_markdown_lists_an_object_once_with_what_is_to_be_known_of_it(mosaic: Quick) -> None:
    mosaic.ok("grant", "suspend", "a", "--reason", "ticket 4711")
    by_hand(mosaic, "UPDATE federation_grants SET lifetime = '2 hours' WHERE name = 'b'")
    declare(mosaic, a=grant_manifest("a").replace("500", "50"))
    result = mosaic("plan", "--output", "markdown")
    lines = result.out.splitlines()
    for name in ("grant/a", "grant/b"):
        (line,) = [each for each in lines if f"{name} " in each]
        assert line.startswith("! ~ ")
    assert sum("ticket 4711" in each for each in lines) == 1
    assert sum("changed by hand" in each for each in lines) == 1
    assert not any("Unchanged, with a note" in each for each in lines)
    mosaic.ok("apply", "--yes")
    result = mosaic("plan", "--output", "markdown")
    assert sum("grant/a" in each and "resume" in each for each in result.out.splitlines()) == 1


def test_a_refused_plan_as_markdown_names_the_objects_and_the_way_out(mosaic: Quick) -> None:
    withdraw(mosaic, *"abcd")
    result = mosaic("plan", "--output", "markdown", "--save", "f")
    assert result.code == 3
    assert result.out.splitlines()[1].startswith("### Plan refused: 0 to add")
    assert "grant/a, grant/b, grant/c, grant/d`: `check the source; --max-removals 4" in result.out
    assert "f is not written: the plan is refused" in result.err
    assert not (mosaic.cwd / "f").exists()


def test_a_long_comment_is_cut_between_changes_and_says_how_many_are_missing(
    mosaic: Quick,
) -> None:
    declare(mosaic, **{f"g{n}": grant_manifest(f"g{n}", subject="s" * 120) for n in range(250)})
    lines = mosaic.ok("plan", "--output", "markdown").out.splitlines()
    assert sum(len(line) + 1 for line in lines) < 65_000
    assert "<details><summary><b>Added</b> (250)</summary>" in lines
    shown = sum(line.startswith("+ + grant/") for line in lines)
    assert lines[-1].startswith(f"**Cut: {250 - shown} more entries are not shown")
    assert lines.count("```") == lines.count("```diff") == lines.count("</details>") == 1


def test_colour_is_for_terminals_that_did_not_decline_it(mosaic: Quick) -> None:
    declare(mosaic, e=grant_manifest("e"))
    assert "\x1b[32m" in mosaic.at_terminal("plan").out
    assert "\x1b[" not in mosaic.at_terminal("plan", NO_COLOR="1").out
    assert "\x1b[" not in mosaic.ok("plan").out


def test_hostile_text_in_a_manifest_reaches_no_terminal(mosaic: Quick) -> None:
    hostile = peer_manifest().replace("displayName: beta", 'displayName: "a\\u202eb"')
    write(mosaic.cwd / "manifests", beta=hostile)
    shown = mosaic("plan")
    assert "\u202e" not in shown.out + shown.err


def test_every_plan_is_valid_by_the_published_schema(mosaic: Quick) -> None:
    for name in "abc":
        mosaic.enroll(name)
    schema = Draft202012Validator(json_schema("plan"), format_checker=FormatChecker())
    mosaic.ok("grant", "suspend", "b", "--reason", "for now")
    withdraw(mosaic, "a")
    declare(mosaic, c=grant_manifest("c", subject="other"), e=grant_manifest("e"))
    for plan in (mosaic.document("plan"), mosaic.document("plan", "--target", "grant/e")):
        assert [error.message for error in schema.iter_errors(plan)] == []
    printed = mosaic.ok("schema", "plan").out
    assert json.loads(printed) == json_schema("plan")
