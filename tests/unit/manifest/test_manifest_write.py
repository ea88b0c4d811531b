"""Manifests that we write, read back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model.scope import Resource, ResourceType, Scope, Verb
from reconciler.core.model.spec import Direction, GrantSpec, PeerSpec
from reconciler.errors import Refused
from reconciler.manifest.write import manifest_text, write_manifest
from tests.support.manifests.strategies import scopes
from tests.support.manifests.text import PEER, loaded

if TYPE_CHECKING:
    from pathlib import Path

TRICKY = ["no", "off", "~", "null", "true", "1e3", "0777", "12:30:45", "2036-06-30", "- a", "a: b"]
TRICKY += [
    "#x",
    " a",
    "a ",
    "a  b",
    "'",
    '"',
    "\\",
    "*a",
    "&a",
    "!a",
    "@",
    "`",
    "%",
    "{",
    "[",
    "=>",
]
TRICKY += ["Größe ÄÖÜ", "日本", "😀", "a" * 200, "word " * 39 + "end", "?", ":", "-", "...", "---"]
PLAIN = st.characters(exclude_categories=["Cc", "Cs"])
texts = st.sampled_from(TRICKY) | st.text(PLAIN, min_size=1, max_size=200)
NAMES = "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?"
names = st.from_regex(NAMES, fullmatch=True) | st.sampled_from(["no", "1e3", "0777", "12", "true"])
SUBJECTS = "[A-Za-z0-9._@-]{1,40}"
subjects = st.from_regex(SUBJECTS, fullmatch=True) | st.sampled_from(
    ["no", "null", "1e3", "0777", "-1", "1.5", "...", "---", "@a", "-", ".inf"]
)
label_texts = st.sampled_from(["", *TRICKY]) | st.text(PLAIN, max_size=100)


@given(names, texts, st.dictionaries(subjects, label_texts, max_size=3), st.booleans())
def test_a_peer_reads_back(name: str, shown: str, labels: dict[str, str], protect: bool) -> None:
    spec = PeerSpec(
        Direction.OUTBOUND,
        shown,
        "https://beta.example:8443/x",
        tuple(sorted(labels.items())),
        protect,
    )
    (result,) = loaded(a=manifest_text(name, spec)).peers
    assert (result.name, result.spec) == (name, spec)


@given(names, subjects, scopes(), st.booleans(), st.integers(300, 7 * 86400), st.integers(0, 10**9))
def test_a_grant_reads_back(
    name: str, subject: str, scope: Scope, flag: bool, lifetime_s: int, end: int
) -> None:
    spec = GrantSpec(
        peer="beta",
        subject_user_id=subject,
        expires_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=end),
        scope=scope,
        lifetime=timedelta(seconds=lifetime_s),
        suspended=flag,
        protect=not flag,
    )
    (result,) = loaded(a=manifest_text(name, spec), b=PEER).grants
    assert (result.name, result.spec) == (name, spec)


@given(st.lists(subjects, min_size=1, max_size=5, unique=True))
def test_teams_read_back(teams: list[str]) -> None:
    resource = Resource(ResourceType.TASKS, frozenset({Verb.LIST}), frozenset(teams))
    spec = GrantSpec("beta", "maria", datetime(2036, 1, 1, tzinfo=UTC), Scope((resource,), 5))
    (result,) = loaded(a=manifest_text("x", spec), b=PEER).grants
    assert result.spec == spec


def test_defaults_are_left_out() -> None:
    resource = Resource(ResourceType.TASKS, frozenset({Verb.LIST}))
    spec = GrantSpec("beta", "maria", datetime(2036, 1, 1, tzinfo=UTC), Scope((resource,), 5))
    assert manifest_text("beta-tasks", spec) == (
        "# yaml-language-server: $schema=../schemas/grant.schema.json\n"
        "apiVersion: federation.mosaicstack.dev/v1\n"
        "kind: Grant\n"
        "metadata:\n"
        "  name: beta-tasks\n"
        "spec:\n"
        "  peer: beta\n"
        "  subjectUserId: maria\n"
        "  expiresAt: '2036-01-01T00:00:00Z'\n"
        "  scope:\n"
        "    resources:\n"
        "      - type: tasks\n"
        "        verbs:\n"
        "          - list\n"
        "    maxRowsPerQuery: 5\n"
    )


def test_a_file_is_written_whole_and_never_over_another(tmp_path: Path) -> None:
    path = tmp_path / "new" / "beta.yaml"
    write_manifest(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    with pytest.raises(Refused, match=r"beta\.yaml exists already") as caught:
        write_manifest(path, "other\n")
    assert caught.value.code == "name_taken"
    assert path.read_bytes() == "größer\n".encode()
    assert [each.name for each in path.parent.iterdir()] == ["beta.yaml"]


def test_a_dangling_link_of_that_name_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "beta.yaml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused):
        write_manifest(tmp_path / "beta.yaml", "x")
    assert not (tmp_path / "elsewhere").exists()
