"""The OpenAPI document: whole, and the same as the application's routes and the table of codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from reconciler.core.setting_values import RateLimit
from reconciler.enroll import Gateway
from reconciler.errors import OUTCOMES
from reconciler.packaged_files import data_dir
from reconciler.web.app import make_app
from reconciler.web.limits import Capacity, Limits
from reconciler.web.openapi import openapi_document

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = openapi_document()
OPERATIONS = [
    (path, method, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


def parts_of(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            yield from parts_of(item)


def schema_of(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}


def test_every_reference_resolves() -> None:
    references = {part["$ref"] for part in parts_of(DOCUMENT) if isinstance(part.get("$ref"), str)}
    assert references
    for reference in references:
        value: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            value = value[step]


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_every_schema_is_a_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(DOCUMENT["components"]["schemas"][name])


def test_every_route_is_described_and_nothing_else() -> None:
    gateway: Any = object.__new__(Gateway)
    routes: Any = make_app(gateway, Limits(Capacity(), RateLimit())).routes
    served = {
        (route.path, method.lower()) for route in routes for method in route.methods - {"HEAD"}
    }
    assert served == {(path, method) for path, method, _ in OPERATIONS}


def test_operations_are_named_once_and_secured_by_known_schemes() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(names) == len(set(names))
    schemes = DOCUMENT["components"]["securitySchemes"]
    for _, _, operation in OPERATIONS:
        assert all(set(each) <= set(schemes) for each in operation["security"])


def test_every_code_that_a_peer_may_meet_stands_under_its_status() -> None:
    names = set()
    for _, _, operation in OPERATIONS:
        for status, response in operation["responses"].items():
            content = response["content"].get("application/problem+json")
            if content is None:
                continue
            narrowed = content["schema"]["allOf"][1]["properties"]
            assert narrowed["status"] == {"const": int(status)}
            for code in narrowed["code"]["enum"]:
                assert OUTCOMES[code].status == int(status)
                names.add(code)
    answered = {code for code, outcome in OUTCOMES.items() if outcome.status is not None}
    assert names == answered - {"method_not_allowed"}


def test_the_answers_of_the_contract_satisfy_their_schemas() -> None:
    at = "2027-06-30T00:00:00Z"
    scope = {
        "resources": [
            {"type": "tasks", "verbs": ["list", "get"], "filter": {"teams": ["platform"]}},
            {"type": "notes", "verbs": ["list"]},
        ],
        "maxRowsPerQuery": 500,
    }
    grant = {
        "id": "0197a9a0-0000-7000-8000-000000000000",
        "name": "beta-tasks",
        "peer": "beta",
        "subjectUserId": "u-1",
        "scope": scope,
        "status": "active",
        "expiresAt": at,
    }
    issued = {
        "certificate": "PEM",
        "chain": ["PEM"],
        "serial": "a1",
        "fingerprint": f"sha256:{'0' * 64}",
        "notBefore": at,
        "notAfter": at,
        "renewAfter": at,
        "grant": grant,
    }
    jsonschema.validate(grant, schema_of("Grant"))
    jsonschema.validate(issued, schema_of("Issued"))
    jsonschema.validate({"csr": "PEM"}, schema_of("CsrBody"))
    for wrong, name in (({"csr": "PEM", "x": 1}, "CsrBody"), ({"x": 1}, "EmptyBody")):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema_of(name))


def test_the_document_that_is_checked_in_is_this_one() -> None:
    checked_in = json.loads((data_dir("schemas") / "openapi.json").read_text())
    assert checked_in == DOCUMENT, "type: make schemas"
