"""Drift as a pure judgement: rows and certificates against what the audit log tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.core.audit.fold import Told, accounts
from reconciler.core.drift.detection import What, find_drift
from reconciler.core.drift.evidence import StoredCertificate, StoredRow
from reconciler.core.model.spec import Direction, Kind, PeerSpec, spec_digest

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SPEC = PeerSpec(Direction.INBOUND, "Beta")


def told(kind: str, number: int = 0, **data: Any) -> Told:
    return Told(kind, "user:olga", "peer/beta", NOW + timedelta(seconds=number), data)


CREATED = told("peer.created", id="1", spec=SPEC.as_json(), digest=spec_digest(SPEC), managed=True)


def peer(spec: PeerSpec = SPEC, **changes: Any) -> StoredRow:
    values: dict[str, Any] = {
        "digest": spec_digest(SPEC),
        "status": "pending",
        "managed": True,
        "hold": None,
        "place": None,
        "columns": {},
    }
    return StoredRow(Kind.PEER, "1", "beta", spec, **(values | changes))


def test_a_row_as_it_was_applied_has_no_drift() -> None:
    assert find_drift([peer()], [], accounts([CREATED]), []) == ()


def test_the_newest_entry_is_what_was_applied() -> None:
    other = PeerSpec(Direction.INBOUND, "Beta GmbH")
    updated = told("peer.updated", 1, id="1", spec=other.as_json(), digest=spec_digest(other))
    known = accounts([CREATED, updated])
    assert not find_drift([peer(other, digest=spec_digest(other))], [], known, [])
    (found,) = find_drift([peer()], [], known, [])
    assert next((each.path, each.old, each.new) for each in found.fields) == (
        *("displayName", "Beta GmbH", "Beta"),
    )


def test_a_row_that_no_entry_tells_of_was_inserted() -> None:
    (found,) = find_drift([peer()], [], accounts([]), [])
    assert found.what is What.INSERTED


def test_a_row_older_than_entries_with_ids_is_judged_by_its_digest() -> None:
    known = accounts([told("peer.created", digest="sha256:0")])
    assert find_drift([peer()], [], known, []) == ()
    (found,) = find_drift([peer(digest="sha256:0")], [], known, [])
    assert "apply" in found.remedy


@pytest.mark.parametrize(
    ("status", "kinds", "listed", "what"),
    [
        ("issued", ("issued",), True, None),
        ("issued", (), True, What.CERTIFICATE),
        ("issued", ("issued", "revoked_at_ca"), True, What.CERTIFICATE),
        ("revoked", ("issued",), True, What.CERTIFICATE),
        ("revoked", ("issued", "revoked_at_ca"), True, None),
        ("revoked", ("issued", "revoked_at_ca"), False, What.UNLISTED),
    ],
)
def test_a_certificate_is_what_was_done_to_it(
    status: str, kinds: tuple[str, ...], listed: bool, what: What | None
) -> None:
    known = accounts([told(f"certificate.{kind}", serial="a1") for kind in kinds])
    found = find_drift([], [StoredCertificate("2", "a1", "x", status, listed)], known, [])
    assert [each.what for each in found] == ([what] if what else [])
