"""The JSON Schemas: made from the models, and of one mind with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from reconciler.errors import InvalidManifests
from reconciler.manifest.json_schema import KINDS, json_schema
from reconciler.manifest.load import load
from reconciler.manifest.yaml.reader import read_documents
from reconciler.source.directory import read_directory
from tests.support.manifests.text import GRANT, PEER, loaded
from tests.support.project.checkout import ROOT

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = sorted((ROOT / "manifests").glob("*.yaml"))


def valid(kind: str, document: Any) -> bool:
    schema = Draft202012Validator(json_schema(kind), format_checker=FormatChecker())
    return bool(schema.is_valid(document))


def value_of(text: str) -> Any:
    (document,) = read_documents("x", text.encode())
    assert not document.problems
    return document.value


@pytest.mark.parametrize("kind", KINDS)
def test_the_schemas_that_are_checked_in_are_the_models(kind: str) -> None:
    expected = json.dumps(json_schema(kind), indent=2, ensure_ascii=False) + "\n"
    path = ROOT / "schemas" / f"{kind}.schema.json"
    assert path.read_text(encoding="utf-8") == expected, "type: make schemas"


def test_there_is_no_other_schema() -> None:
    assert {path.name for path in (ROOT / "schemas").glob("*.schema.json")} == {
        f"{kind}.schema.json" for kind in KINDS
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_a_schema(kind: str) -> None:
    Draft202012Validator.check_schema(json_schema(kind))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_keep_the_schema_that_they_name(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    kind = value_of(text)["kind"].lower()
    first = f"# yaml-language-server: $schema=../schemas/{kind}.schema.json\n"
    assert text.startswith(first)
    assert valid(kind, value_of(text))


def test_the_examples_load() -> None:
    desired = load(read_directory(ROOT / "manifests"))
    assert [each.name for each in desired.peers] == ["beta"]
    assert [each.name for each in desired.grants] == ["beta-events", "beta-tasks"]


SPEC = "inbound}"
PEERS = [
    ("", ""),
    (SPEC, "inbound, displayName: Beta GmbH}"),
    (SPEC, "inbound, displayName: ''}"),
    (SPEC, "inbound, displayName: }"),
    (SPEC, "inbound, protect: true}"),
    (SPEC, "inbound, protect: no}"),
    (SPEC, "inbound, protect: 1}"),
    (SPEC, "inbound, endpoint: 'https://beta.example/x'}"),
    (SPEC, "inbound, endpoint: 'http://beta.example'}"),
    (SPEC, "inbound, endpoint: }"),
    (SPEC, "inbound, other: 1}"),
    (SPEC, "outbound}"),
    (SPEC, "outbound, endpoint: 'https://beta.example'}"),
    (SPEC, "sideways}"),
    ("{name: beta}", "{name: beta, labels: {region: eu}}"),
    ("{name: beta}", "{name: beta, labels: {}}"),
    ("{name: beta}", "{name: beta, labels: }"),
    ("{name: beta}", "{name: beta, labels: {region: 1}}"),
    ("{name: beta}", "{name: beta, labels: {a/b: eu}}"),
    ("{name: beta}", "{name: Beta}"),
    ("{name: beta}", "{}"),
    ("/v1", "/v2"),
]
GRANTS = [
    ("", ""),
    ("name: beta-tasks", "name: beta-tasks\n  labels: {region: eu}"),
    ("maria", "'7d1f6c1e@alpha.example_x.y'"),
    ("maria", "ma ria"),
    ("maria", "42"),
    ("maria", "m" * 128),
    ("maria", "m" * 129),
    ("500", "1"),
    ("500", "0"),
    ("500", "10000"),
    ("500", "10001"),
    ("500", "'500'"),
    ("[list, get]", "[list]"),
    ("[list, get]", "[]"),
    ("[list, get]", "[list, list]"),
    ("[list, get]", "[put]"),
    ("get]}", "get], filter: {}}"),
    ("get]}", "get], filter: }"),
    ("get]}", "get], filter: {teams: []}}"),
    ("get]}", "get], filter: {teams: }}"),
    ("get]}", "get], filter: {teams: [a, b]}}"),
    ("get]}", "get], filter: {teams: [a, a]}}"),
    ("get]}", "get], filter: {personal: false}}"),
    ("get]}", "get], filter: {team: [a]}}"),
    ("tasks", "credentials"),
    ("tasks,", "task,"),
    ("  scope:", "  suspended: true\n  scope:"),
    ("  scope:", "  suspended: off\n  scope:"),
    ("  scope:", "  certificate: {lifetime: 12h}\n  scope:"),
    ("  scope:", "  certificate: {}\n  scope:"),
    ("  scope:", "  certificate: \n  scope:"),
]


def loads(**files: str) -> bool:
    try:
        loaded(**files)
    except InvalidManifests:
        return False
    return True


@pytest.mark.parametrize(("old", "new"), PEERS)
def test_schema_and_model_agree_on_a_peer(old: str, new: str) -> None:
    text = PEER.replace(old, new) if old else PEER
    assert valid("peer", value_of(text)) is loads(a=text)


@pytest.mark.parametrize(("old", "new"), GRANTS)
def test_schema_and_model_agree_on_a_grant(old: str, new: str) -> None:
    text = GRANT.replace(old, new, 1) if old else GRANT
    assert valid("grant", value_of(text)) is loads(a=text, b=PEER)


def test_the_schema_shows_no_default_for_teams() -> None:
    assert '"default": []' not in json.dumps(json_schema("grant"))
    assert "null" not in json.dumps(json_schema("grant"))
