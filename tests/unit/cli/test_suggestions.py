"""Unknown verbs: the nearest by meaning, and never a guess that creates."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.main import federation, mosaic
from reconciler.cli.shared.command_group import LazyGroup
from reconciler.cli.shared.suggestions import CREATING, suggestion

TOP = click.Context(mosaic)
assert isinstance(federation, LazyGroup)
VERBS = federation.list_commands(TOP)
BELOW = federation.verbs_of_groups(TOP)
GROUPS = tuple(BELOW)


def suggested(word: str, group: str | None = None) -> str:
    return suggestion(word, BELOW[group] if group else VERBS, {} if group else BELOW)


@pytest.mark.parametrize(
    ("word", "group", "verb"),
    [
        ("delete", "grant", "revoke"),
        ("remove", "peer", "revoke"),
        ("rm", "grant", "revoke"),
        ("delete", "keys", "retire"),
        ("delete", None, "grant revoke"),
        ("get", "grant", "list"),
        ("ls", "peer", "list"),
        ("get", None, "grant list"),
        ("get", "keys", "status"),
        ("describe", "grant", "show"),
        ("describe", None, "explain"),
        ("diff", None, "plan"),
        ("check", None, "validate"),
        ("check", "audit", "verify"),
        ("start", None, "up"),
        ("sync", None, "apply"),
        ("disable", "grant", "suspend"),
        ("enable", "grant", "resume"),
        ("mv", None, "rename"),
        ("logs", None, "history"),
        ("revoke", None, "grant revoke"),
        ("migrate", None, "db upgrade"),
        ("delet", "grant", "revoke"),
        ("creat", "grant", "create"),
        ("craete", "grant", "create"),
        ("aply", None, "apply"),
        ("lst", "grant", "list"),
        ("Plan", None, "plan"),
        ("xyzzy", None, ""),
        ("new", "grant", ""),
        ("login", None, ""),
        ("get" * 1000, "grant", ""),
    ],
)
def test_a_word_of_another_tool_means_the_verb_that_does_it(
    word: str, group: str | None, verb: str
) -> None:
    assert suggested(word, group) == verb


@given(st.text("abcdefghijklmnopqrstuvwxyz-", max_size=12), st.sampled_from([None, *GROUPS]))
def test_no_guess_creates(word: str, group: str | None) -> None:
    verb = suggested(word, group).rpartition(" ")[2]
    typo = sorted(word) == sorted(verb) or abs(len(word) - len(verb)) * 3 <= len(word)
    by_meaning = word in ("start", "launch", "boot", "sync", "reconcile", "deploy", "push")
    assert verb not in CREATING or typo or by_meaning


@pytest.mark.parametrize("word", ["get", "show-all", "read", "view", "grants", "graet", "greet"])
@pytest.mark.parametrize("group", GROUPS)
def test_what_sounds_like_reading_never_creates(word: str, group: str) -> None:
    assert suggested(word, group) not in CREATING


def test_every_group_is_looked_into() -> None:
    groups = {verb for verb in VERBS if isinstance(federation.get_command(TOP, verb), LazyGroup)}
    assert groups == set(GROUPS)
