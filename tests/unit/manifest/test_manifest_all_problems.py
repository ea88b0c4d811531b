"""All problems of all manifests at once: sorted, and none hides another."""
# ruff: noqa: E501 - expected lines stand as they are printed

from __future__ import annotations

import pytest

from reconciler.errors import InvalidManifests
from reconciler.manifest.load import load_scope
from tests.support.manifests.text import GRANT, PEER, TYPES, grant, loaded, peer, problems


def test_all_problems_of_all_files_are_told_at_once_and_sorted() -> None:
    reports = problems(
        b=grant("500", "0"),
        a=peer("inbound", "sideways") + "extra: 1\n",
        c="",
    )
    assert [(each.file, each.line, each.code) for each in reports] == [
        ("a.yaml", 4, "field.value"),
        ("a.yaml", 5, "field.unknown"),
        ("b.yaml", 12, "field.value"),
        ("c.yaml", 1, "file.empty"),
    ]


def test_several_problems_of_one_manifest_are_told_at_once() -> None:
    text = GRANT.replace("maria", "42").replace("500", "0").replace("get]", "put]")
    codes = [each.code for each in problems(a=text, b=PEER)]
    assert codes == ["field.type", "scope.verb", "field.value"]


def test_a_second_document_with_a_problem_does_not_hide_the_first() -> None:
    reports = problems(a=peer("inbound", "x") + "---\n" + peer("beta", "Gamma"))
    assert [(each.line, each.code) for each in reports] == [(4, "field.value"), (8, "name.invalid")]


def test_the_grants_of_a_peer_with_a_problem_are_not_told_that_it_is_missing() -> None:
    reports = problems(a=peer("inbound", "sideways"), b=GRANT)
    assert [each.code for each in reports] == ["field.value"]


def test_a_problem_of_a_field_hides_neither_an_unknown_peer_nor_a_doubled_name() -> None:
    bad = GRANT.replace("list, get", "lst").replace("peer: beta", "peer: bta")

    reports = problems(a=PEER + "---\n" + GRANT, b=bad)

    assert {each.code for each in reports} == {"scope.verb", "grant.peer", "name.duplicate"}
    assert {each.file for each in reports} == {"b.yaml"}


def test_plain_urls_and_times_inside_braces_are_read_as_yaml_1_2_has_it() -> None:
    outbound = "spec: {direction: outbound, endpoint: https://beta.example:8443/x}"
    (result,) = loaded(a=peer("spec: {direction: inbound}", outbound)).peers
    assert result.spec.endpoint == "https://beta.example:8443/x"


def test_a_problem_inside_such_braces_is_told_at_its_place() -> None:
    outbound = "spec: {direction: outbound, endpoint: http://beta.example}"
    (result,) = problems(a=peer("spec: {direction: inbound}", outbound))
    assert (result.line, result.column, result.code) == (4, 39, "field.value")


def test_a_name_may_be_a_peers_and_a_grants() -> None:
    assert loaded(a=grant("beta-tasks", "beta"), b=PEER).grants[0].name == "beta"


def test_a_name_declared_twice_is_told_at_the_second_file() -> None:
    (result,) = problems(a=PEER, b=PEER)
    assert str(result).startswith("b.yaml:3:18: error[name.duplicate]")
    assert "at a.yaml:3" in result.message


def scope_problems(text: str) -> list[str]:
    with pytest.raises(InvalidManifests) as caught:
        load_scope(text, "scope.json")
    assert caught.value.code == "scope_invalid"
    return [str(each) for each in caught.value.problems]


def test_a_scope_is_judged_alone_in_json_too() -> None:
    good = '{"resources": [{"type": "tasks", "verbs": ["list"]}], "maxRowsPerQuery": 5}'
    assert load_scope(good, "scope.json").max_rows_per_query == 5
    assert scope_problems(good.replace("tasks", "sessions")) == [
        (
            "scope.json:1:25: error[scope.never_grantable] resources[0].type: "
            f'"sessions" can never be granted (remove it; the types that can be granted are {TYPES})'
        )
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "a: 1\n---\nb: 2\n", "[]", "~", "{", "!x y"])
def test_what_is_no_scope_is_refused(text: str) -> None:
    assert scope_problems(text)
