"""Drift as a pure judgement: rows and certificates against what the audit log tells."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.audit.certificate_events import (
    CertificateIssued,
    CertificateRevokedAtCa,
    GrantEnrolled,
)
from reconciler.core.audit.chain import GENESIS, Head, Record, chain
from reconciler.core.audit.event_base import grant_ref, peer_ref
from reconciler.core.audit.fold import extend
from reconciler.core.audit.row_events import (
    GrantRevoked,
    GrantSuspended,
    RowCreated,
    RowUpdated,
)
from reconciler.core.audit.snapshot import snapshot
from reconciler.core.audit.state import AuditState
from reconciler.core.canonical_json import canonical_json
from reconciler.core.drift.detection import find_drift
from reconciler.core.drift.model import DriftKind, StoredCertificate, StoredRow
from reconciler.core.model.observed import Hold
from reconciler.core.model.spec import Direction, Kind, PeerSpec, spec_digest
from reconciler.core.model.states import HoldKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.core.audit.events import Event

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SPEC = PeerSpec(Direction.INBOUND, "Beta")


def fold(records: Iterable[Record]) -> AuditState:
    state = AuditState()
    extend(state, records)
    return state


def state_of(*events: Event) -> AuditState:
    return fold(chain(Head(0, GENESIS), NOW, "user:olga", events, login="tests"))


BETA = peer_ref("1", "beta")
X = grant_ref("3", "x")
CREATED = RowCreated(BETA, "new", spec_digest(SPEC), SPEC.as_json(), (), managed=True)
ISSUED = CertificateIssued(X, "a1", "sha256:0", "0", NOW, NOW + timedelta(days=1))
REVOKED = CertificateRevokedAtCa(X, "a1", "revoked")


def earlier(kind: str, **details: Any) -> AuditState:
    """Return what a record says that was written before records named rows."""
    body = json.dumps({"data": details})
    record = Record(1, NOW, kind, "user:olga", "peer/beta", body, GENESIS, GENESIS)
    return fold([record])


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
    assert find_drift([peer()], [], state_of(CREATED), []) == ()


def test_the_newest_entry_is_what_was_applied() -> None:
    other = PeerSpec(Direction.INBOUND, "Beta GmbH")
    updated = RowUpdated(BETA, "changed", spec_digest(other), other.as_json(), ())
    known = state_of(CREATED, updated)
    assert not find_drift([peer(other, digest=spec_digest(other))], [], known, [])
    (result,) = find_drift([peer()], [], known, [])
    assert next((each.path, each.old, each.new) for each in result.fields) == (
        *("displayName", "Beta GmbH", "Beta"),
    )


def test_a_row_that_no_entry_tells_of_was_inserted() -> None:
    (result,) = find_drift([peer()], [], state_of(), [])
    assert result.kind is DriftKind.INSERTED


def test_a_row_older_than_entries_with_ids_is_judged_by_its_digest() -> None:
    known = earlier("peer.created", digest="sha256:0")
    assert find_drift([peer()], [], known, []) == ()
    (result,) = find_drift([peer(digest="sha256:0")], [], known, [])
    assert "apply" in result.remedy


@pytest.mark.parametrize(
    ("status", "events", "listed", "what"),
    [
        ("issued", (ISSUED,), True, None),
        ("issued", (), True, DriftKind.CERTIFICATE),
        ("issued", (ISSUED, REVOKED), True, DriftKind.CERTIFICATE),
        ("revoked", (ISSUED,), True, DriftKind.CERTIFICATE),
        ("revoked", (ISSUED, REVOKED), True, None),
        ("revoked", (ISSUED, REVOKED), False, DriftKind.UNLISTED),
    ],
)
def test_a_certificate_is_what_was_done_to_it(
    status: str, events: tuple[Event, ...], listed: bool, what: DriftKind | None
) -> None:
    known = state_of(*events)
    drifts = find_drift([], [StoredCertificate("2", "a1", "x", status, listed)], known, [])
    assert [each.kind for each in drifts] == ([what] if what else [])


@pytest.mark.parametrize("kind", ["issued", "revoked_at_ca", "requeued"])
def test_a_certificate_of_an_earlier_version_is_known_by_its_serial(kind: str) -> None:
    state = earlier(f"certificate.{kind}", serial="a1")
    serials = {"issued": state.issued, "revoked_at_ca": state.revoked, "requeued": state.revoking}
    assert serials[kind] == {"a1"}


def test_what_an_earlier_version_recorded_is_left_out_of_a_moment_by_kind() -> None:
    state = earlier("grant.created", digest="sha256:0")
    assert state.unnamed_kinds == {"grant.created"}
    assert snapshot(state, NOW) == {"peers": [], "grants": []}


@pytest.mark.parametrize(
    "details",
    [
        {"grant.suspended": {"id": "1", "reason": "of a subject that is no row"}},
        {"grant.revoked": {"serials": 5}},
        {"certificate.issued": dict.fromkeys(("id", "serial", "notBefore", "notAfter"), 5)},
    ],
    ids=lambda details: next(iter(details)),
)
def test_a_record_that_is_not_of_its_kind_is_kept_apart(details: dict[str, Any]) -> None:
    ((kind, data),) = details.items()
    record = Record(1, NOW, kind, "user:eve", "x/y", json.dumps({"data": data}), GENESIS, GENESIS)
    state = fold([record])
    assert (state.rows, state.unnamed_kinds) == ({}, {kind})


def test_a_state_is_read_back_equal_from_its_json_and_forgets_what_has_ended() -> None:
    hold = Hold(HoldKind.REVOKE, "user:olga", NOW, "a leak")
    state = state_of(
        CREATED,
        GrantEnrolled(X, "pending", "active"),
        GrantSuspended(X, "wait"),
        ISSUED,
        replace(ISSUED, serial="b2", not_after=NOW + timedelta(days=3)),
        REVOKED,
        GrantRevoked(X, "over", ("a1", "b2"), hold),
    )
    text = canonical_json(state.as_json())
    assert AuditState.from_json(json.loads(text)) == state
    state.forget_ended({"b2"}, NOW + timedelta(days=2))
    assert (state.issued, state.revoking, state.revoked) == ({"b2"}, {"b2"}, set())
    assert list(state.rows["3"].certificates) == ["b2"]
    assert state.rows["3"].hold == hold
