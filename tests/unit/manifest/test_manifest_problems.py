"""Each kind of problem of a manifest: its place, its code, its words."""
# ruff: noqa: E501 - expected lines stand as they are printed

from __future__ import annotations

import re
from importlib import import_module
from inspect import getsource

import pytest

from tests.support.manifests.text import GRANT, PEER, TYPES, grant, peer, problems

# In each text, § stands right before the place that the problem must name.
CASES: dict[str, tuple[str, str]] = {
    # the file and its YAML
    "syntax": (
        "a: [1\nb§: 2\n",
        "[yaml.syntax] not YAML: did not find expected ',' or ']' (correct the syntax here)",
    ),
    "truncated": (
        GRANT.replace("    maxRowsPerQuery: 500\n", "").replace("[list, get]}\n", "[list, get\n§"),
        "[yaml.syntax] not YAML: did not find expected ',' or ']' (correct the syntax here)",
    ),
    "control character": (
        peer("beta", "be§\x07ta"),
        "[yaml.syntax] the character U+0007 is not allowed (remove it)",
    ),
    # a break of YAML 1.1: for YAML 1.2, and so for a reviewer, the comment goes on
    "resource after a comment": (
        grant(
            "    maxRows", "      # agreed§\u2028      - {type: memory, verbs: [list]}\n    maxRows"
        ),
        "[yaml.syntax] the character U+2028 is not allowed (remove it)",
    ),
    "paragraph separator": (
        peer("beta", "be§\u2029ta"),
        "[yaml.syntax] the character U+2029 is not allowed (remove it)",
    ),
    "next line": (
        peer("beta", "be§\x85ta"),
        "[yaml.syntax] the character U+0085 is not allowed (remove it)",
    ),
    "mark of another file": (
        PEER + "---\n§\ufeff" + PEER.replace("beta", "gamma"),
        "[yaml.syntax] the character U+FEFF is not allowed (remove it)",
    ),
    "flow mapping": (
        peer("{name: beta}", "{name: beta§: }"),
        "[yaml.syntax] not YAML: did not find expected ',' or '}' (correct the syntax here)",
    ),
    "tab": (
        peer("spec: {", "spec:\n§\tx: {"),
        (
            "[yaml.syntax] not YAML: found character that cannot start any token"
            " (this is a tab: write spaces)"
        ),
    ),
    "alias": (
        peer("{name: beta}", "§*x"),
        "[yaml.alias] metadata: aliases are not allowed (write the value out)",
    ),
    "anchor": (
        peer("inbound", "§&x inbound"),
        "[yaml.anchor] spec.direction: anchors are not allowed (remove it)",
    ),
    "tag": (
        peer("inbound", "§!!str inbound"),
        (
            "[yaml.tag] spec.direction: the tag tag:yaml.org,2002:str is not allowed"
            " (remove it, and quote the value where it is text)"
        ),
    ),
    "complex key": (
        PEER + "? §[a]\n: b\n",
        "[yaml.key] a key must be text (write key: value)",
    ),
    "doubled key": (
        grant("  subjectUserId: maria\n", "  subjectUserId: maria\n  §peer: gamma\n"),
        '[yaml.duplicate_key] spec.peer: the key "peer" is duplicated (keep one of them)',
    ),
    "merge key": (
        PEER + "§<<: {x: 1}\n",
        '[field.unknown] <<: "<<" is not known here',
    ),
    # what the document is
    "a list": (
        "§- a\n",
        (
            "[field.type] got a list, expected a manifest"
            " (begin with apiVersion: federation.mosaicstack.dev/v1 and kind: Peer or Grant)"
        ),
    ),
    "null": (
        "§~\n",
        (
            "[field.type] got nothing, expected a manifest"
            " (begin with apiVersion: federation.mosaicstack.dev/v1 and kind: Peer or Grant)"
        ),
    ),
    "no kind": (
        "§" + peer("kind: Peer\n", ""),
        '[field.missing] kind: "kind" is required (add it)',
    ),
    "another kind": (
        peer("kind: Peer", "kind: §Pear"),
        '[field.value] kind: "Pear" is not one of Peer, Grant (did you mean "Peer"?)',
    ),
    "another version": (
        peer("federation.mosaicstack.dev/v1", "§federation.mosaicstack.dev/v2"),
        (
            '[field.value] apiVersion: "federation.mosaicstack.dev/v2" is not one of'
            ' federation.mosaicstack.dev/v1 (did you mean "federation.mosaicstack.dev/v1"?)'
        ),
    ),
    # its fields
    "missing field": (
        grant("spec:\n  peer: beta\n  ", "spec:\n  §"),
        '[field.missing] spec.peer: "peer" is required (add it)',
    ),
    "missing in a resource": (
        grant("{type: tasks, verbs", "§{verbs"),
        '[field.missing] spec.scope.resources[0].type: "type" is required (add it)',
    ),
    "unknown field": (
        grant("  subjectUserId", "  §subjectUserID: x\n  subjectUserId"),
        (
            '[field.unknown] spec.subjectUserID: "subjectUserID" is not known here'
            ' (did you mean "subjectUserId"?)'
        ),
    ),
    "unknown in a filter": (
        grant("[list, get]}", "[list], filter: {§team: [a]}}"),
        (
            '[field.unknown] spec.scope.resources[0].filter.team: "team" is not known here'
            ' (did you mean "teams"?)'
        ),
    ),
    "labels on a grant": (
        grant("  name: beta-tasks", "  name: beta-tasks\n  §labels: {}"),
        '[field.unknown] metadata.labels: "labels" is not known here',
    ),
    "text for a boolean": (
        peer("inbound}", "inbound, protect: §no}"),
        (
            '[field.type] spec.protect: "no" is text in YAML 1.2, expected a boolean (true or false)'
            " (write true or false, without quotes)"
        ),
    ),
    "off": (
        grant("  peer: beta", "  suspended: §off\n  peer: beta"),
        (
            '[field.type] spec.suspended: "off" is text in YAML 1.2, expected a boolean'
            " (true or false) (write true or false, without quotes)"
        ),
    ),
    "octal": (
        grant("500", "§0777"),
        (
            '[field.type] spec.scope.maxRowsPerQuery: "0777" is text in YAML 1.2, expected a whole'
            " number (write decimal digits, without quotes)"
        ),
    ),
    "sexagesimal": (
        grant("500", "§12:30:45"),
        (
            '[field.type] spec.scope.maxRowsPerQuery: "12:30:45" is text in YAML 1.2, expected a whole'
            " number (write decimal digits, without quotes)"
        ),
    ),
    "quoted number": (
        grant("500", '§"500"'),
        (
            '[field.type] spec.scope.maxRowsPerQuery: "500" is text in YAML 1.2, expected a whole'
            " number (write decimal digits, without quotes)"
        ),
    ),
    "fraction": (
        grant("500", "§500.0"),
        (
            "[field.type] spec.scope.maxRowsPerQuery: got 500.0, expected a whole number"
            " (write decimal digits, without a point or an exponent)"
        ),
    ),
    "boolean for a number": (
        grant("500", "§true"),
        "[field.type] spec.scope.maxRowsPerQuery: got a boolean, expected a whole number",
    ),
    "number for text": (
        grant("maria", "§42"),
        '[field.type] spec.subjectUserId: 42 is a number, and text belongs here (quote it: "42")',
    ),
    "boolean for text": (
        grant("maria", "§true"),
        (
            "[field.type] spec.subjectUserId: true is a boolean, and text belongs here"
            ' (quote it: "true")'
        ),
    ),
    "list for text": (
        grant("maria", "§[maria]"),
        "[field.type] spec.subjectUserId: got a list, expected text",
    ),
    "text for a list": (
        grant("[list, get]", "§list"),
        "[field.type] spec.scope.resources[0].verbs: got text, expected a list",
    ),
    "list for a mapping": (
        peer("{name: beta}", "§[beta]"),
        "[field.type] metadata: got a list, expected a mapping",
    ),
    "nothing for a mapping": (
        "apiVersion: federation.mosaicstack.dev/v1\nkind: Peer\nmetadata: {name: beta}\nspec:§\n",
        "[field.type] spec: got nothing, expected a mapping (write a value, or remove the key)",
    ),
    "nothing for teams": (
        grant("[list, get]}", "[list], filter: {teams: §}}"),
        (
            "[field.type] spec.scope.resources[0].filter.teams: got nothing, expected a list"
            " (write a value, or remove the key)"
        ),
    ),
    "nothing for an endpoint": (
        peer("inbound}", "inbound, endpoint: §~}"),
        "[field.type] spec.endpoint: got nothing, expected text (write a value, or remove the key)",
    ),
    # its values
    "name": (
        peer("beta", "§Beta"),
        (
            "[name.invalid] metadata.name: \"Beta\" is not a DNS label: 1 to 63 of a-z, 0-9 and '-',"
            " not at the ends"
        ),
    ),
    "name with a line break": (
        peer("beta", '§"beta\\n"'),
        (
            '[name.invalid] metadata.name: "beta\\n" is not a DNS label: 1 to 63 of a-z, 0-9 and'
            " '-', not at the ends"
        ),
    ),
    "direction": (
        peer("inbound", "§inbond"),
        (
            '[field.value] spec.direction: "inbond" is not one of inbound, outbound'
            ' (did you mean "inbound"?)'
        ),
    ),
    "display name": (
        peer("inbound}", 'inbound, displayName: §"a\\x9bb"}'),
        (
            '[field.value] spec.displayName: "a\\x9bb" is not 1 to 200 characters without control'
            " characters"
        ),
    ),
    "label": (
        peer("{name: beta}", '{name: beta, labels: {region: §"a\\nb"}}'),
        (
            '[field.value] metadata.labels.region: "a\\nb" is not up to 253 characters without control'
            " characters"
        ),
    ),
    "label key": (
        peer("{name: beta}", "{name: beta, labels: {§a/b: eu}}"),
        (
            "[field.value] metadata.labels.a/b: \"a/b\" is not 1 to 128 of A-Z, a-z, 0-9, '.', '_',"
            " '@' and '-'"
        ),
    ),
    "endpoint scheme": (
        peer("inbound}", "inbound, endpoint: §http://beta.example}"),
        (
            '[field.value] spec.endpoint: "http://beta.example" is not an https:// URL with a host,'
            " and no user, query or fragment"
        ),
    ),
    "endpoint port": (
        peer("inbound}", 'inbound, endpoint: §"https://beta.example:99999"}'),
        '[field.value] spec.endpoint: "https://beta.example:99999" is not a URL with a host',
    ),
    "subject": (
        grant("maria", "§maria/x"),
        (
            "[field.value] spec.subjectUserId: \"maria/x\" is not 1 to 128 of A-Z, a-z, 0-9, '.',"
            " '_', '@' and '-'"
        ),
    ),
    "time without an offset": (
        grant("2036-06-30T00:00:00Z", "§2036-06-30T00:00:00"),
        (
            '[field.value] spec.expiresAt: got "2036-06-30T00:00:00", expected an RFC 3339 time such'
            " as 2027-06-30T00:00:00Z"
        ),
    ),
    "a day that is none": (
        grant("2036-06-30", "§2036-02-30"),
        (
            '[field.value] spec.expiresAt: got "2036-02-30T00:00:00Z", which is not a calendar'
            " time: day is out of range for month"
        ),
    ),
    "year": (
        grant("2036-06-30", "§9999-06-30"),
        "[field.value] spec.expiresAt: got the year 9999, expected 2000 to 9000",
    ),
    "rows below": (
        grant("500", "§0"),
        (
            "[field.value] spec.scope.maxRowsPerQuery: got 0, expected 1 to 10,000"
            " (write a number within)"
        ),
    ),
    "rows above": (
        grant("500", "§10001"),
        (
            "[field.value] spec.scope.maxRowsPerQuery: got 10001, expected 1 to 10,000"
            " (write a number within)"
        ),
    ),
    "lifetime text": (
        GRANT + "  certificate: {lifetime: §1 day}\n",
        (
            '[field.value] spec.certificate.lifetime: got "1 day", expected a duration such as 5m,'
            " 24h or 7d"
        ),
    ),
    "lifetime short": (
        GRANT + "  certificate: {lifetime: §299s}\n",
        '[field.value] spec.certificate.lifetime: got "299s", expected 5m to 7d',
    ),
    "lifetime long": (
        GRANT + "  certificate: {lifetime: §169h}\n",
        '[field.value] spec.certificate.lifetime: got "169h", expected 5m to 7d',
    ),
    "type": (
        grant("tasks,", "§task,"),
        (
            f'[scope.type] spec.scope.resources[0].type: "task" is not one of {TYPES}'
            ' (did you mean "tasks"?)'
        ),
    ),
    "never grantable": (
        grant("tasks,", "§credentials,"),
        (
            '[scope.never_grantable] spec.scope.resources[0].type: "credentials" can never be granted'
            f" (remove it; the types that can be granted are {TYPES})"
        ),
    ),
    "verb": (
        grant("get]", "§gat]"),
        (
            '[scope.verb] spec.scope.resources[0].verbs[1]: "gat" is not one of list, get'
            ' (did you mean "get"?)'
        ),
    ),
    "no verb": (
        grant("[list, get]", "§[]"),
        "[field.value] spec.scope.resources[0].verbs: got 0 items, expected at least 1",
    ),
    "doubled verb": (
        grant("[list, get]", "§[list, list]"),
        '[field.value] spec.scope.resources[0].verbs: "list" is listed twice',
    ),
    "doubled team": (
        grant("[list, get]}", "[list], filter: {teams: §[a, b, a]}}"),
        '[field.value] spec.scope.resources[0].filter.teams: "a" is listed twice',
    ),
    "no resource": (
        grant("\n      - {type: tasks, verbs: [list, get]}", " §[]"),
        "[field.value] spec.scope.resources: got 0 items, expected at least 1",
    ),
    "doubled type": (
        grant("get]}", "get]}\n      - {type: §tasks, verbs: [get]}"),
        (
            '[scope.duplicate_type] spec.scope.resources[1].type: the type "tasks" is listed twice'
            " (merge the two)"
        ),
    ),
    # what stands between manifests
    "outbound without endpoint": (
        peer("spec: {direction: inbound}", "spec: §{direction: outbound}"),
        (
            "[peer.endpoint] spec.endpoint: an outbound peer needs an endpoint"
            " (add endpoint: https://…)"
        ),
    ),
    "doubled name": (
        PEER + "---\n" + peer("beta", "§beta"),
        '[name.duplicate] metadata.name: Peer "beta" is declared already, at a.yaml:3 (rename it)',
    ),
    "grant of no peer": (
        grant("peer: beta", "peer: §betta") + "---\n" + PEER,
        '[grant.peer] spec.peer: there is no Peer "betta" in this source (did you mean "beta"?)',
    ),
    "grant of an outbound peer": (
        grant("peer: beta", "peer: §beta")
        + "---\n"
        + peer("inbound", "outbound, endpoint: https://beta.example"),
        (
            '[grant.peer] spec.peer: the Peer "beta" is outbound'
            " (a grant is for a peer that calls us: direction: inbound)"
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_problem_names_its_place_and_says_what_to_do(case: str) -> None:
    marked, expected = CASES[case]
    before, _, after = marked.partition("§")
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    beside = {"b": PEER} if "kind: Grant" in marked and "kind: Peer" not in marked else {}
    items = [str(each) for each in problems(a=before + after, **beside)]
    assert items == [f"a.yaml:{line}:{column}: error{expected}"]


def test_the_table_has_every_code() -> None:
    codes = {expected.partition("]")[0] for _, expected in CASES.values()}
    rest = {"[yaml.encoding", "[yaml.depth", "[file.empty"}  # in test_manifest_hostile.py
    written = re.findall(
        r'"((?:yaml|field|name|scope|peer|grant|file)\.[a-z_]+)"',
        "".join(map(source_text, ("yaml.reader", "validation_errors", "load", "consistency"))),
    )
    assert {f"[{code}" for code in written} == codes | rest


def source_text(module: str) -> str:
    return getsource(import_module(f"reconciler.manifest.{module}"))
