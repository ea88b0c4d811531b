"""The contract of *grant*, *issued* and a token's state: one description writes and reads it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest

from reconciler.core.issuance.contract import (
    ContractDocument,
    GrantDocument,
    InvalidField,
    IssuedDocument,
    TokenState,
)
from reconciler.core.issuance.withdrawal import GrantTerms, withdrawal_of
from reconciler.core.model.states import GrantStatus
from reconciler.web.openapi import openapi_document

AT = datetime(2027, 6, 30, tzinfo=UTC)
GRANT = GrantDocument(
    id="0197a9a0-0000-7000-8000-000000000000",
    name="beta-tasks",
    peer="beta",
    subject_user_id="maria",
    scope={"resources": [{"type": "tasks", "verbs": ["list"]}], "maxRowsPerQuery": 500},
    status=GrantStatus.ACTIVE,
    expires_at=AT,
)
ISSUED = IssuedDocument(
    certificate="PEM\n",
    chain=("PEM\n", "PEM\n"),
    serial="a1",
    fingerprint=f"sha256:{'0' * 64}",
    not_before=AT,
    not_after=AT + timedelta(hours=24),
    renew_after=AT + timedelta(hours=16),
    grant=GRANT,
)
DOCUMENTS = [("TokenStatus", TokenState("open", AT)), ("Grant", GRANT), ("Issued", ISSUED)]


@pytest.mark.parametrize(("name", "document"), DOCUMENTS)
def test_what_is_written_is_read_and_satisfies_its_schema(
    name: str, document: ContractDocument
) -> None:
    written = document.as_json()
    assert type(document).from_json(written) == document
    components = openapi_document()["components"]
    jsonschema.validate(written, {**components["schemas"][name], "components": components})
    assert list(written) == components["schemas"][name]["required"]


@pytest.mark.parametrize("document", [each for _, each in DOCUMENTS])
def test_each_field_that_is_missing_or_of_another_type_is_named(document: ContractDocument) -> None:
    written = document.as_json()
    for field in written:
        without: dict[str, Any] = {key: value for key, value in written.items() if key != field}
        for malformed in (without, {**written, field: 1}, {**written, field: None}):
            with pytest.raises(InvalidField, match=f"^{field}$"):
                type(document).from_json(malformed)


def test_the_path_leads_into_lists_and_objects() -> None:
    written = ISSUED.as_json()
    with pytest.raises(InvalidField, match=r"^chain\.1$"):
        IssuedDocument.from_json({**written, "chain": ["PEM\n", "\0"]})
    with pytest.raises(InvalidField, match=r"^grant\.expiresAt$"):
        IssuedDocument.from_json({**written, "grant": {**GRANT.as_json(), "expiresAt": "soon"}})


def test_an_issued_certificate_shows_no_pem_in_its_repr() -> None:
    assert "PEM" not in repr(ISSUED)


@pytest.mark.parametrize(
    "change",
    [
        {"maxRowsPerQuery": "none"},
        {"maxRowsPerQuery": None},
        {"resources": [{"type": "tasks", "verbs": ["list"], "filter": {"personal": "no"}}]},
        {"resources": [{"type": "tasks", "verbs": ["list"], "filter": {"teams": [1, "a"]}}]},
        {"resources": [{"type": "tasks", "verbs": 5}]},
        {"resources": {"tasks": 5}},
    ],
)
def test_a_scope_that_cannot_be_judged_is_no_withdrawal_and_no_defect(change: Any) -> None:
    other = replace(GRANT, scope={**GRANT.scope, **change})
    for known, now in ((GRANT, other), (other, GRANT)):
        assert withdrawal_of(GrantTerms.of(known), now, None, AT - timedelta(days=1)) is None
