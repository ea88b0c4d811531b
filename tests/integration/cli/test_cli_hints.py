"""Hints, followed: what an error says to type is typed, and helps."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.support.commands.applied_source import applied_source, declare, withdraw
from tests.support.commands.in_process import GRANTED, shell
from tests.support.gateways.enrollee import grant_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.commands.in_process import Quick
    from tests.support.commands.process import Ended


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    return applied_source(tmp_path, database_url)


def refused(mosaic: Quick, *words: str, code: int = 1) -> list[list[str]]:
    """Run what is refused; return the words of the command lines that its hint has."""
    done = mosaic(*words)
    assert done.code == code, done.err
    return hinted(done)


def hinted(done: Ended) -> list[list[str]]:
    hint = done.err.strip().splitlines()[-1]
    return [shlex.split(line) for line in re.findall(r"`mosaic federation ([^`]+)`", hint)]


def test_a_grant_that_is_there_is_invited_instead(mosaic: Quick) -> None:
    withdraw(mosaic, "a")
    (invite,) = refused(mosaic, "grant", "create", "a", *GRANTED, "--expires", "1d", "--no-write")
    assert mosaic.ok(*invite).out


def test_a_grant_that_is_held_is_resumed_first(mosaic: Quick) -> None:
    mosaic.ok("grant", "revoke", "a", "-y")
    create = ("grant", "create", "a", *GRANTED, "--expires", "1d", "--no-write")
    withdraw(mosaic, "a")
    (resume,) = refused(mosaic, *create)
    mosaic.ok(*resume)
    mosaic.ok(*create)


def test_a_grant_that_an_operator_revoked_is_resumed_before_it_is_invited(mosaic: Quick) -> None:
    mosaic.ok("grant", "revoke", "a", "-y")
    (resume,) = refused(mosaic, "grant", "invite", "a")
    mosaic.ok(*resume)
    (apply,) = refused(mosaic, "grant", "invite", "a")
    mosaic.ok(*apply, "--yes")
    assert mosaic.ok("grant", "invite", "a").out


@pytest.mark.parametrize(
    "words",
    [
        ("grant", "show", "zzz"),
        ("peer", "show", "zzz"),
        ("grant", "suspend", "zzz"),
        ("history", "grant/zzz"),
        ("explain", "grant", "zzz"),
        ("drift", "grant/zzz"),
        ("plan", "--target", "grant/zzz"),
        ("rename", "grant/zzz", "y", "--no-write"),
        ("keys", "retire", "zzz"),
        ("keys", "rotate", "zzz"),
    ],
)
def test_what_is_not_there_is_listed_by_the_command_of_the_hint(
    mosaic: Quick, words: tuple[str, ...]
) -> None:
    (listing,) = refused(mosaic, *words)
    mosaic.ok(*listing)


def test_a_name_that_is_taken_is_shown(mosaic: Quick) -> None:
    (show,) = refused(mosaic, "rename", "grant/a", "b", "--no-write")
    assert mosaic.ok(*show).out


def test_the_primary_key_is_retired_once_another_seals(mosaic: Quick) -> None:
    (key,) = (each["id"] for each in mosaic.document("keys", "status"))
    (rotate,) = refused(mosaic, "keys", "retire", key, "-y", code=3)
    mosaic.ok(*rotate)
    mosaic.ok("keys", "retire", key, "-y")


def test_a_database_without_a_schema_gets_one(tmp_path: Path, empty_database_url: str) -> None:
    mosaic = shell(tmp_path, empty_database_url)
    (upgrade,) = refused(mosaic, "grant", "list", code=78)
    mosaic.ok(*upgrade)
    mosaic.ok("grant", "list")


def test_problems_are_listed_by_the_command_of_the_hint(mosaic: Quick) -> None:
    (mosaic.cwd / "manifests" / "bad.yaml").write_text("kind: Nothing\n")
    done = mosaic("plan", "-o", "json")
    (validate,) = (
        shlex.split(line) for line in re.findall(r"`mosaic federation (.+?)`", done.error["hint"])
    )
    assert mosaic(*validate).document[0]["file"] == "bad.yaml"


@pytest.mark.parametrize(
    ("change", "option"),
    [("few", r"--max-removals \d+"), ("none", r"--allow-empty"), ("few", r"--max-removals 4")],
)
def test_the_guard_lets_what_its_hint_says(mosaic: Quick, change: str, option: str) -> None:
    withdraw(mosaic, *"abcd")
    if change == "none":
        (mosaic.cwd / "manifests" / "beta.yaml").unlink()
    shown = mosaic("plan")
    assert shown.code == 3
    options = [word for item in re.findall(option, shown.out) for word in item.split()]
    if change == "none":
        options += re.findall(r"--max-removals \d+", shown.out)[0].split()
    mosaic.ok("apply", "-y", *options)


def test_a_pause_is_ended_by_the_command_that_it_prints(mosaic: Quick) -> None:
    paused = mosaic.ok("pause", "--reason", "r")
    (line,) = re.findall(r"`mosaic federation ([^`]+)`", paused.out)
    (shown,) = re.findall(r"`mosaic federation ([^`]+)`", mosaic.ok("status").out)
    assert shown == line
    mosaic.ok(*shlex.split(line))
    assert "paused" not in mosaic.ok("status").out


def test_an_error_is_told_once_and_the_gateway_too(mosaic: Quick) -> None:
    declare(mosaic, bad="kind: Nothing\n")
    for words in (
        ("apply", "-y"),
        ("grant", "create", "x", *GRANTED, "--expires", "1d"),
        ("rename", "grant/a", "z"),
        ("drift", "--adopt", "-y"),
        ("validate",),
        ("plan",),
    ):
        done = mosaic(*words)
        lines = [line.strip() for line in (done.err + done.out).splitlines() if line.strip()]
        assert len(set(lines)) == len(lines), done.err
        assert sum(line.startswith("acting on") for line in lines) <= 1
        assert sum("error[" in line for line in lines) <= 2


@pytest.mark.parametrize(
    "words",
    [
        ("grant", "suspend", "a"),
        ("grant", "revoke", "a", "-y"),
        ("peer", "revoke", "beta", "-y"),
        ("grant", "invite", "a"),
        ("grant", "create", "x", *GRANTED, "--expires", "1d"),
        ("rename", "grant/a", "z"),
        ("apply", "-y"),
        ("pause", "--reason", "r"),
        ("keys", "rotate"),
        ("keys", "rewrap"),
    ],
)
def test_a_change_says_once_which_gateway_it_acts_on(mosaic: Quick, words: tuple[str, ...]) -> None:
    declare(mosaic, e=grant_manifest("e"))
    assert mosaic.ok(*words).err.count("acting on") == 1
