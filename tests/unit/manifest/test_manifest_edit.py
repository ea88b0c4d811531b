"""Manifests edited as text: comments, order and every other document stay as they were written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.model.scope import Resource, ResourceType, Verb
from reconciler.core.model.spec import GrantSpec, Kind, PeerSpec
from reconciler.core.source import SourceFile
from reconciler.errors import MosaicError
from reconciler.manifest.edit import edited, renamed
from reconciler.manifest.formatter import formatted
from reconciler.manifest.load import declared_in
from reconciler.manifest.write import manifest_text
from tests.support.manifests.strategies import grant_specs, peer_specs

if TYPE_CHECKING:
    from reconciler.core.model.spec import Spec

TEXT = """\
# yaml-language-server: $schema=../schemas/grant.schema.json
# Who asked for this: the order desk.

---
apiVersion: federation.mosaicstack.dev/v1
kind: Peer # the other side
metadata: {name: beta, labels: {"region": 'eu'}}
spec:
    direction: inbound
    displayName: "Beta GmbH"   # as they spell it
    protect: false
---
apiVersion: federation.mosaicstack.dev/v1
kind: Grant
metadata:
  name: orders
spec:
  # in the order in which we talk about it
  expiresAt: 2036-06-30T00:00:00Z # reviewed yearly
  peer: beta
  subjectUserId: maria
  scope:
    maxRowsPerQuery: 0500
    resources:
    - type: tasks # theirs
      verbs: [get, list]
      filter: {teams: [b, a]}
    - {type: notes, verbs: [list]}
""".replace("0500", "500")


def spec_of(text: str, name: str) -> Spec:
    return next(d.spec for d in declared_in(SourceFile("x", text.encode())) if d.name == name)


def lines_that_differ(one: str, other: str) -> tuple[list[str], list[str]]:
    before, after = one.splitlines(), other.splitlines()
    return [x for x in before if x not in after], [x for x in after if x not in before]


def test_a_value_is_changed_and_nothing_else() -> None:
    spec = spec_of(TEXT, "orders")
    assert isinstance(spec, GrantSpec)
    wider = replace(spec, scope=replace(spec.scope, max_rows_per_query=900))
    gone, come = lines_that_differ(TEXT, edited(TEXT, Kind.GRANT, "orders", wider))
    assert gone == ["    maxRowsPerQuery: 500"]
    assert come == ["    maxRowsPerQuery: 900"]


def test_a_resource_is_added_and_taken_away_beside_comments() -> None:
    spec = spec_of(TEXT, "orders")
    assert isinstance(spec, GrantSpec)
    items = tuple(each for each in spec.scope.resources if each.type is ResourceType.TASKS)
    events = Resource(ResourceType.EVENTS, frozenset({Verb.LIST}))
    other = replace(spec, scope=replace(spec.scope, resources=(*items, events)), suspended=True)
    made = edited(TEXT, Kind.GRANT, "orders", other)
    assert "    - type: tasks # theirs" in made
    assert "verbs: [get, list]" in made
    assert "notes" not in made
    assert "# in the order in which we talk about it" in made
    assert spec_of(made, "orders") == other


def test_an_edit_that_changes_nothing_gives_the_same_text() -> None:
    for kind, name in ((Kind.PEER, "beta"), (Kind.GRANT, "orders")):
        assert edited(TEXT, kind, name, spec_of(TEXT, name)) == TEXT


def test_labels_are_part_of_a_peer() -> None:
    spec = spec_of(TEXT, "beta")
    assert isinstance(spec, PeerSpec)
    made = edited(TEXT, Kind.PEER, "beta", replace(spec, labels=(("tier", "true"),)))
    assert spec_of(made, "beta") == replace(spec, labels=(("tier", "true"),))
    assert "# as they spell it" in made


def test_a_renamed_peer_is_followed_by_its_grants() -> None:
    made = renamed(TEXT, Kind.PEER, "beta", "gamma")
    gone, come = lines_that_differ(TEXT, made)
    assert len(gone) == len(come) == 2
    assert "  peer: gamma" in come
    assert renamed(TEXT, Kind.GRANT, "nobody", "x") == TEXT


def test_what_is_not_declared_is_told() -> None:
    with pytest.raises(MosaicError, match="does not declare grant/nobody"):
        edited(TEXT, Kind.GRANT, "nobody", spec_of(TEXT, "orders"))


def test_windows_lines_stay_windows_lines_in_every_document() -> None:
    text = TEXT.replace("\n", "\r\n")
    made = renamed(text, Kind.PEER, "beta", "gamma")
    assert made == renamed(TEXT, Kind.PEER, "beta", "gamma").replace("\n", "\r\n")
    assert formatted(text) == formatted(TEXT)


@pytest.mark.parametrize("tail", ["---\n# approved in May\n", "...\n# approved in May\n"])
def test_a_comment_after_the_last_manifest_is_kept(tail: str) -> None:
    text = TEXT + tail
    for made in (renamed(text, Kind.GRANT, "orders", "sales"), formatted(text)):
        assert made.endswith(tail)


def test_a_comment_at_any_line_is_kept() -> None:
    flow = peer_in_flow_style()
    for text in (TEXT, flow):
        lines = text.splitlines()
        for at in range(len(lines) + 1):
            noted = "\n".join([*lines[:at], "# a note", *lines[at:]]) + "\n"
            made = formatted(noted)
            assert "# a note" in made
            assert formatted(made) == made
            assert "# a note" in renamed(noted, Kind.PEER, "beta", "gamma")
    note = "# indented, after a mapping in braces"
    assert formatted(f"{flow}  {note}\n").endswith(f"{note}\n")


def peer_in_flow_style() -> str:
    metadata = "kind: Peer, metadata: {name: beta}"
    spec = "spec: {direction: inbound, displayName: Beta}"
    return f"{{apiVersion: federation.mosaicstack.dev/v1, {metadata}, {spec}}}\n"


def test_a_tab_before_a_comment_is_no_reason_to_refuse() -> None:
    text = TEXT.replace("kind: Peer # the", "kind: Peer\t# the")
    assert formatted(text) == formatted(TEXT)
    made = renamed(text, Kind.PEER, "beta", "gamma")
    assert made == renamed(TEXT, Kind.PEER, "beta", "gamma").replace("Peer # the", "Peer\t# the")


NOTED = """\
apiVersion: federation.mosaicstack.dev/v1
kind: Grant
metadata: {name: g1}
spec:
  peer: beta
  subjectUserId: maria
  expiresAt: 2036-06-30T00:00:00Z
  scope:
    resources:
      - type: tasks
        verbs: [list,   # agreed in ticket 4711
                # get waits for legal
                get]    # until the audit
    maxRowsPerQuery: 500
"""


def test_comments_inside_brackets_stay_where_they_are() -> None:
    assert formatted(NOTED) == NOTED
    assert renamed(NOTED, Kind.GRANT, "g1", "g2") == NOTED.replace("g1", "g2")
    spec = spec_of(NOTED, "g1")
    assert isinstance(spec, GrantSpec)
    rows = replace(spec, scope=replace(spec.scope, max_rows_per_query=50))
    assert edited(NOTED, Kind.GRANT, "g1", rows) == NOTED.replace("500", "50")
    (resource,) = spec.scope.resources
    listed = replace(resource, verbs=frozenset({Verb.LIST}))
    narrow = replace(spec, scope=replace(spec.scope, resources=(listed,)))
    made = edited(NOTED, Kind.GRANT, "g1", narrow)
    assert made == NOTED.replace("[list,", "[list").replace("get]", "]")
    assert edited(made, Kind.GRANT, "g1", spec).count("#") == 3


@pytest.mark.parametrize(
    "head", ["%YAML 1.2\n---\n", "%YAML 1.1\n--- # x\n", "---\n# x\n---\n", "\ufeff", "\ufeff---\n"]
)
def test_what_stands_before_the_first_manifest_stays(head: str) -> None:
    text = f"{head}{NOTED}"
    assert formatted(text) == text.removeprefix("\ufeff")
    assert renamed(text, Kind.GRANT, "g1", "g2") == text.replace("g1", "g2")


STYLES = [
    ("{name: g1}", "{name: g2}"),
    ("{name: 'g1'}", "{name: 'g2'}"),
    ('{"name":"g1"}', '{"name":"g2"}'),
    ("\n  ? name # x\n  : g1 # y", "\n  ? name # x\n  : g2 # y"),
    ("\n  name: |- # why\n    g1\n", "\n  name: g2 # why\n"),
    ("\n  name:\n    # x\n\n    g1   # y", "\n  name:\n    # x\n\n    g2   # y"),
    ("{ # x\n  name: g1, # y\n  }", "{ # x\n  name: g2, # y\n  }"),
]


@pytest.mark.parametrize(("before", "after"), STYLES)
def test_a_name_is_written_in_the_style_of_the_one_before_it(before: str, after: str) -> None:
    text = NOTED.replace("{name: g1}", before).rstrip("\n")  # no newline at the end
    assert renamed(text, Kind.GRANT, "g1", "g2") == text.replace(before, after)
    assert formatted(formatted(text)) == formatted(text)


def test_a_peer_whose_display_name_was_its_name_keeps_it() -> None:
    text = peer_in_flow_style().replace(", displayName: Beta", "")
    made = renamed(text, Kind.PEER, "beta", "gamma")
    spec = spec_of(made, "gamma")
    assert isinstance(spec, PeerSpec)
    assert spec.display_name == "beta"


def test_an_edit_that_cannot_be_made_names_file_and_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.manifest.edit.replaced", lambda *_: NOTED)
    with pytest.raises(MosaicError, match=r"^grants/a\.yaml:1: cannot be edited: ") as refused:
        renamed(NOTED, Kind.GRANT, "g1", "g2", "grants/a.yaml")
    assert refused.value.code == "state_conflict"
    assert refused.value.hint == "edit it by hand; nothing was changed"


@settings(deadline=None, max_examples=30)
@given(st.one_of(st.tuples(peer_specs(), peer_specs()), st.tuples(*[grant_specs(("beta",))] * 2)))
def test_any_manifest_becomes_any_other(pair: tuple[Spec, Spec]) -> None:
    old, new = pair
    kind = Kind.PEER if isinstance(old, PeerSpec) else Kind.GRANT
    made = edited(manifest_text("a", old), kind, "a", new)
    assert spec_of(made, "a") == new
    assert edited(made, kind, "a", old).count("\n") >= 1
