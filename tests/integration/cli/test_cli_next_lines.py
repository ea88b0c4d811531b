"""What outputs say to type next: it runs as it is printed, in the shell that printed it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.support.commands.applied_source import applied_source, declare, withdraw
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.repositories.repository import Checkout

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.commands.in_process import Quick
    from tests.support.commands.process import Ended


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    return applied_source(tmp_path, database_url)


def following(done: Ended) -> list[list[str]]:
    """Return the words of each command line that an output ends with, after the program's."""
    lines = re.findall(r"^Next: mosaic federation (.+)$", done.out, re.MULTILINE)
    return [shlex.split(line) for line in lines]


def follow(mosaic: Quick, *arguments: str, **variables: str) -> Ended:
    """Run what must succeed, then the one command line that it says to run next."""
    (words,) = following(mosaic.ok(*arguments, **variables))
    saved = any(each.startswith("--save") for each in arguments)  # that is applied unasked
    return mosaic.ok(*words, *([] if saved else ["--yes"]), **variables)


def test_a_plan_of_the_settings_source(mosaic: Quick) -> None:
    declare(mosaic, e=grant_manifest("e"))
    assert "1 added" in follow(mosaic, "plan").out


@pytest.mark.parametrize("name", ["other", "with space", "it's", "-dash", "a'b\"c$d"])
def test_a_plan_of_a_path(mosaic: Quick, name: str) -> None:
    write(mosaic.cwd / name, beta=peer_manifest(), e=grant_manifest("e"))
    path = f"./{name}" if name.startswith("-") else name
    assert "1 added" in follow(mosaic, "plan", path, "--max-removals", "100%").out


def test_a_path_that_begins_with_a_dash(mosaic: Quick) -> None:
    write(mosaic.cwd / "-m", beta=peer_manifest(), e=grant_manifest("e"))
    (words,) = following(mosaic.ok("plan", "--max-removals", "9", "--", "-m"))
    assert words[-2:] == ["--", "-m"]
    assert "1 added" in mosaic.ok("apply", "--yes", *words[1:]).out


@pytest.mark.parametrize(
    "options",
    [
        ("--target", "grant/e"),
        ("--exclude", "grant/a", "--exclude", "grant/b"),
        ("--max-removals", "50%"),
        ("--max-removals=3", "--verify"),
        ("--source", "manifests"),
        ("--source=manifests", "--detailed-exitcode"),
        ("--ref", ""),
        ("--ref", "", "--path", ""),
    ],
)
def test_a_plan_with_options(mosaic: Quick, options: tuple[str, ...]) -> None:
    declare(mosaic, e=grant_manifest("e"))
    withdraw(mosaic, "d")
    planned = mosaic("plan", *options)
    assert planned.code in (0, 2), planned.err
    (words,) = following(planned)
    assert "1 added" in mosaic.ok(*words, "--yes").out


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("manifests",),
        ("--source", "manifests"),
        ("--source", "manifests", "--target", "grant/e"),
        ("--ref", "", "--max-removals", "2"),
    ],
)
@pytest.mark.parametrize("file", ["plan.json", "my plan.json", "-plan"])
def test_a_saved_plan(mosaic: Quick, options: tuple[str, ...], file: str) -> None:
    declare(mosaic, e=grant_manifest("e"))
    assert "1 added" in follow(mosaic, "plan", *options, f"--save={file}").out


def test_a_plan_of_a_git_ref(mosaic: Quick) -> None:
    git = Checkout.make(mosaic.cwd / "git", beta=peer_manifest(), e=grant_manifest("e"))
    mosaic.ok("apply", "--yes", "--source", "git", "--ref", "HEAD", "--max-removals", "9")
    git.write(f=grant_manifest("f"))
    git.commit("declare f")
    assert "1 added" in follow(mosaic, "plan", "--source", "git", "--ref", "HEAD").out
    git.write(g=grant_manifest("g"))
    git.commit("declare g")
    # the setting is a repository, and an empty flag makes a folder of it
    read = follow(mosaic, "plan", "--ref", "", MOSAIC_SOURCE="git", MOSAIC_REF="HEAD~1")
    assert "1 added" in read.out


def test_drift_that_can_be_reverted_or_adopted(mosaic: Quick) -> None:
    change = "UPDATE federation_grants SET subject_user_id = 'eve' WHERE name = :name"
    mosaic.rows.run(change, name="a")
    mosaic.rows.run("UPDATE federation_grants SET name = 'z' WHERE name = 'b'")
    revert, adopt = following(mosaic.ok("drift"))
    assert adopt == ["drift", "grant/a", "--adopt"]  # no manifest gives a row its name back
    mosaic.ok(*adopt, "--yes")
    assert "eve" in (mosaic.cwd / "manifests" / "grants" / "a.yaml").read_text()
    (revert,) = following(mosaic.ok("drift"))
    mosaic.ok(*revert, "--yes")
    assert "No drift" in mosaic.ok("drift").out


def test_a_renamed_row_is_given_back_and_renamed_as_the_hint_says(mosaic: Quick) -> None:
    mosaic.rows.run("UPDATE federation_grants SET name = 'z' WHERE name = 'b'")
    refused = mosaic("drift", "grant/z", "--adopt", "--yes")
    assert refused.code == 1
    revert, rename = re.findall(r"`mosaic federation ([^`]+)`", refused.err)
    mosaic.ok(*shlex.split(revert), "--yes")
    mosaic.ok(*shlex.split(rename))
    assert "name: z" in (mosaic.cwd / "manifests" / "grants" / "b.yaml").read_text()
    assert "No drift" in mosaic.ok("drift").out


def test_a_hold_is_lifted_by_the_command_in_its_note(mosaic: Quick) -> None:
    mosaic.ok("grant", "suspend", "a", "--reason", "r")
    (note,) = re.findall(r"\(mosaic federation (.+)\)", mosaic.ok("plan").out)
    mosaic.ok(*shlex.split(note))
    assert mosaic.grant("a")["hold"] is None


def test_a_git_source_becomes_the_folder_that_a_hint_names(mosaic: Quick) -> None:
    grants = {each: grant_manifest(each) for each in "abcd"}
    folder = Checkout.make(mosaic.cwd / "git", beta=peer_manifest(), **grants).path
    mosaic.ok("apply", "--yes", "--source", "git", "--ref", "HEAD")
    git = {"MOSAIC_SOURCE": "git", "MOSAIC_REF": "HEAD"}
    mosaic.rows.run("UPDATE federation_grants SET subject_user_id = 'eve' WHERE name = 'a'")
    refused = mosaic("drift", "--adopt", "--yes", **git)
    assert refused.code == 78
    assert "(ref 'HEAD', by MOSAIC_REF)" in refused.err
    options = shlex.split(refused.err.strip().splitlines()[-1].partition(": ")[2])
    mosaic.ok("drift", "--adopt", "--yes", *options, **git)
    assert "eve" in (folder / "manifests" / "a.yaml").read_text()
