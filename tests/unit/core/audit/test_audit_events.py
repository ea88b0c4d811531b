"""Every event of the audit log: its stored form never changes, and is read back as it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.audit.certificate_events import (
    CertificateIssued,
    CertificateRequeued,
    CertificateRevokedAtCa,
    CertificateRevokedElsewhere,
    CredentialReleased,
    GrantEnrolled,
    IssuanceBegun,
    IssuanceGivenUp,
    KeyRewrapped,
    PeerEnrolled,
    PeerGrantRestored,
    PeerGrantWithdrawn,
    PeerKeyStored,
    PeerNextKeyStored,
    PeerRenewed,
    TheftAcknowledged,
    TheftRepeated,
    TheftSuspected,
    TokenMinted,
)
from reconciler.core.audit.chain import GENESIS, Head, chain
from reconciler.core.audit.event_base import grant_ref, peer_ref
from reconciler.core.audit.events import (
    EVENT_TYPES,
    AuditArchived,
    ConditionBegun,
    ConditionEnded,
    EarlierEvent,
    GatewayAdopted,
    GatewayRestored,
    ReconcilerPaused,
    ReconcilerResumed,
    RequestsRefused,
    RestoreConfirmed,
    TrustOverridden,
    parse_event,
)
from reconciler.core.audit.row_events import (
    GrantExpired,
    GrantResumed,
    GrantRevoked,
    GrantSuspended,
    HoldReleased,
    PeerRevoked,
    RowAdopted,
    RowCreated,
    RowRenamed,
    RowReplaced,
    RowReverted,
    RowUpdated,
)
from reconciler.core.model.observed import Hold
from reconciler.core.model.states import HoldKind

if TYPE_CHECKING:
    from reconciler.core.audit.events import Event

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 6, 2, 12, tzinfo=UTC)
PEER, GRANT = peer_ref("p1", "beta"), grant_ref("g1", "tasks")
SPEC: dict[str, Any] = {"peer": "beta", "protect": False}
ORIGIN: dict[str, Any] = {"source": "manifests", "commit": None, "dirty": True}
FIELDS = ({"path": "protect", "old": True, "new": False, "effect": "neutral"},)
HOLD = Hold(HoldKind.REVOKE, "user:olga", AT, "enough")
DECLARED = {
    "replaces": None,
    "reason": "why",
    "place": "a.yaml:3",
    "managed": True,
    "digest": "sha256:1",
    "spec": SPEC,
    "fields": list(FIELDS),
    "from": ORIGIN,
}
REVERTED = {"reason": "why", "digest": "sha256:1", "spec": SPEC, "fields": list(FIELDS)}
CERTIFIED = {
    "id": "p1",
    "grantId": "g9",
    "serial": "1f",
    "fingerprint": "sha256:2",
    "notAfter": "2026-06-02T12:00:00Z",
}


def declared(replaces: str | None = None) -> dict[str, Any]:
    return {
        "reason": "why",
        "digest": "sha256:1",
        "spec": SPEC,
        "fields": FIELDS,
        "managed": True,
        "replaces": replaces,
        "place": "a.yaml:3",
        "origin": ORIGIN,
    }


STORED: list[tuple[Event, str, str, dict[str, Any]]] = [
    (RowCreated(PEER, **declared()), "peer.created", "peer/beta", {"id": "p1"} | DECLARED),
    (RowCreated(GRANT, **declared()), "grant.created", "grant/tasks", {"id": "g1"} | DECLARED),
    (RowUpdated(PEER, **declared()), "peer.updated", "peer/beta", {"id": "p1"} | DECLARED),
    (
        RowUpdated(GRANT, "why", "sha256:1", SPEC, FIELDS, managed=True),
        "grant.updated",
        "grant/tasks",
        {name: DECLARED[name] for name in DECLARED if name not in ("place", "from")} | {"id": "g1"},
    ),
    (
        RowReplaced(PEER, **declared("p0")),
        "peer.replaced",
        "peer/beta",
        DECLARED | {"id": "p1", "replaces": "p0"},
    ),
    (
        RowReplaced(GRANT, **declared("g0")),
        "grant.replaced",
        "grant/tasks",
        DECLARED | {"id": "g1", "replaces": "g0"},
    ),
    *(
        (
            RowAdopted(row, "a.yaml:3", ORIGIN),
            kind,
            row.subject,
            {"id": row.id, "place": "a.yaml:3", "from": ORIGIN},
        )
        for row, kind in ((PEER, "peer.adopted"), (GRANT, "grant.adopted"))
    ),
    (
        RowReverted(PEER, "why", "sha256:1", SPEC, FIELDS, "a.yaml:3", ORIGIN),
        "peer.reverted",
        "peer/beta",
        REVERTED | {"id": "p1", "place": "a.yaml:3", "from": ORIGIN},
    ),
    (
        RowReverted(GRANT, "why", "sha256:1", SPEC, FIELDS),
        "grant.reverted",
        "grant/tasks",
        REVERTED | {"id": "g1"},
    ),
    *(
        (
            RowRenamed(row, "old", row.name),
            kind,
            row.subject,
            {"id": row.id, "old": "old", "new": row.name},
        )
        for row, kind in ((PEER, "peer.renamed"), (GRANT, "grant.renamed"))
    ),
    (
        PeerRevoked(PEER, "left git", ORIGIN),
        "peer.revoked",
        "peer/beta",
        {"id": "p1", "reason": "left git", "from": ORIGIN},
    ),
    (
        PeerRevoked(PEER, "ended by hand"),
        "peer.revoked",
        "peer/beta",
        {"id": "p1", "reason": "ended by hand", "from": None},
    ),
    (
        PeerRevoked(PEER, "goodbye", held=True),
        "peer.revoked",
        "peer/beta",
        {"id": "p1", "reason": "goodbye"},
    ),
    (
        GrantRevoked(GRANT, "left git", ("1f", "2f"), origin=ORIGIN),
        "grant.revoked",
        "grant/tasks",
        {"id": "g1", "serials": ["1f", "2f"], "reason": "left git", "from": ORIGIN},
    ),
    (
        GrantRevoked(GRANT, "enough", (), HOLD),
        "grant.revoked",
        "grant/tasks",
        {"id": "g1", "serials": [], "reason": "enough", "hold": HOLD.as_json()},
    ),
    (
        GrantExpired(GRANT, "its expiresAt has passed", ("1f",)),
        "grant.expired",
        "grant/tasks",
        {"id": "g1", "serials": ["1f"], "reason": "its expiresAt has passed"},
    ),
    (
        GrantSuspended(GRANT, "for now"),
        "grant.suspended",
        "grant/tasks",
        {"id": "g1", "reason": "for now"},
    ),
    (
        GrantResumed(GRANT, HOLD.as_json()),
        "grant.resumed",
        "grant/tasks",
        {"id": "g1", "lifted": HOLD.as_json()},
    ),
    *(
        (
            HoldReleased(row, "manifest left git", ORIGIN),
            "hold.released",
            row.subject,
            {"id": row.id, "reason": "manifest left git", "from": ORIGIN},
        )
        for row in (PEER, GRANT)
    ),
    (
        GrantEnrolled(GRANT, "pending", "active"),
        "grant.enrolled",
        "grant/tasks",
        {"id": "g1", "from": "pending", "to": "active"},
    ),
    (PeerEnrolled(PEER, "g9", "1f", "sha256:2", LATER), "peer.enrolled", "peer/beta", CERTIFIED),
    (PeerRenewed(PEER, "g9", "1f", "sha256:2", LATER), "peer.renewed", "peer/beta", CERTIFIED),
    (
        PeerKeyStored(PEER, replaced=True),
        "peer.key_stored",
        "peer/beta",
        {"id": "p1", "replaced": True},
    ),
    (PeerNextKeyStored(PEER), "peer.next_key_stored", "peer/beta", {"id": "p1"}),
    (
        CredentialReleased(PEER, "1f", "sha256:2", "/etc/alpha"),
        "credential.released",
        "peer/beta",
        {"id": "p1", "serial": "1f", "fingerprint": "sha256:2", "destination": "/etc/alpha"},
    ),
    (
        PeerGrantWithdrawn(PEER, "g9", "narrowed"),
        "peer.grant_withdrawn",
        "peer/beta",
        {"id": "p1", "grantId": "g9", "what": "narrowed"},
    ),
    (
        PeerGrantRestored(PEER, "g9"),
        "peer.grant_restored",
        "peer/beta",
        {"id": "p1", "grantId": "g9"},
    ),
    (
        TokenMinted(GRANT, "t1", 3600, 1),
        "token.minted",
        "grant/tasks",
        {"id": "g1", "token": "t1", "lifeS": 3600, "voided": 1},
    ),
    (
        IssuanceBegun(GRANT, "1f", "aa", "::1", token="t1"),
        "issuance.begun",
        "grant/tasks",
        {"id": "g1", "serial": "1f", "spkiSha256": "aa", "address": "::1", "token": "t1"},
    ),
    (
        IssuanceBegun(GRANT, "1f", "aa", "::1", renews="0f"),
        "issuance.begun",
        "grant/tasks",
        {"id": "g1", "serial": "1f", "spkiSha256": "aa", "address": "::1", "renews": "0f"},
    ),
    (
        IssuanceGivenUp(GRANT, "1f", "its process ended", revoke=True),
        "issuance.given_up",
        "grant/tasks",
        {"id": "g1", "serial": "1f", "reason": "its process ended", "revoke": True},
    ),
    (
        CertificateIssued(GRANT, "1f", "sha256:2", "aa", AT, LATER, ("0f",)),
        "certificate.issued",
        "grant/tasks",
        {
            "id": "g1",
            "serial": "1f",
            "fingerprint": "sha256:2",
            "spkiSha256": "aa",
            "notBefore": "2026-06-01T12:00:00Z",
            "notAfter": "2026-06-02T12:00:00Z",
            "supersedes": ["0f"],
            "renews": None,
        },
    ),
    (
        CertificateRevokedAtCa(GRANT, "1f", "revoked"),
        "certificate.revoked_at_ca",
        "grant/tasks",
        {"id": "g1", "serial": "1f", "status": "revoked"},
    ),
    (
        CertificateRequeued(GRANT, "1f", "the CA's list lacks it"),
        "certificate.requeued",
        "grant/tasks",
        {"id": "g1", "serial": "1f", "reason": "the CA's list lacks it"},
    ),
    (
        CertificateRevokedElsewhere(GRANT, "1f"),
        "certificate.revoked_elsewhere",
        "grant/tasks",
        {"id": "g1", "serial": "1f"},
    ),
    (
        TheftSuspected(GRANT, "token_key_mismatch", None, "aa", "::1"),
        "theft.suspected",
        "grant/tasks",
        {
            "id": "g1",
            "code": "token_key_mismatch",
            "token": None,
            "spkiSha256": "aa",
            "address": "::1",
        },
    ),
    (
        TheftSuspected(GRANT, "proof_invalid", None, "aa", "::1", "1f", AT),
        "theft.suspected",
        "grant/tasks",
        {
            "id": "g1",
            "code": "proof_invalid",
            "token": None,
            "spkiSha256": "aa",
            "address": "::1",
            "certificate": "1f",
            "seenAt": "2026-06-01T12:00:00Z",
        },
    ),
    (
        TheftRepeated(({"seq": 7, "grant": "tasks", "secret": "token/a", "count": 3},)),
        "theft.repeated",
        "gateway",
        {"repeats": [{"seq": 7, "grant": "tasks", "secret": "token/a", "count": 3}]},
    ),
    (
        TheftAcknowledged(GRANT, 7, "token/a"),
        "theft.acknowledged",
        "grant/tasks",
        {"id": "g1", "record": 7, "secret": "token/a"},
    ),
    (
        KeyRewrapped("k1", "k2", "peer/beta"),
        "key.rewrapped",
        "peer/beta",
        {"from": "k1", "to": "k2"},
    ),
    (ReconcilerPaused("for now"), "reconciler.paused", "reconciler", {"reason": "for now"}),
    (
        ReconcilerResumed({"by": "user:olga"}),
        "reconciler.resumed",
        "reconciler",
        {"lifted": {"by": "user:olga"}},
    ),
    (
        TrustOverridden("a folder has no commits to judge", {"source": "m"}),
        "trust.overridden",
        "trust",
        {"reason": "a folder has no commits to judge", "from": {"source": "m"}},
    ),
    (
        RequestsRefused(({"code": "token_invalid", "address": "::1", "count": 3},)),
        "requests.refused",
        "gateway",
        {"refused": [{"code": "token_invalid", "address": "::1", "count": 3}]},
    ),
    (
        ConditionBegun("pause", 1, ({"subject": "reconciler", "by": "user:olga"},), "reconciler"),
        "condition.begun",
        "reconciler",
        {
            "condition": "pause",
            "count": 1,
            "items": [{"subject": "reconciler", "by": "user:olga"}],
        },
    ),
    (
        ConditionEnded("drift", 200, ({"subject": "grant/x", "since": "then"},)),
        "condition.ended",
        "gateway",
        {"condition": "drift", "count": 200, "items": [{"subject": "grant/x", "since": "then"}]},
    ),
    (
        GatewayRestored(7, 41, "sha256:1", AT, 2, ("1f",), 44),
        "gateway.restored",
        "gateway",
        {
            "epoch": 7,
            "seq": 41,
            "hash": "sha256:1",
            "backupAt": "2026-06-01T12:00:00Z",
            "tokens": 2,
            "serials": ["1f"],
            "export": 44,
        },
    ),
    (
        GatewayAdopted(7, "another database server", 2, ("1f",)),
        "gateway.adopted",
        "gateway",
        {"epoch": 7, "reason": "another database server", "tokens": 2, "serials": ["1f"]},
    ),
    (RestoreConfirmed(7), "gateway.confirmed", "gateway", {"epoch": 7}),
    (
        AuditArchived(3, 41, "sha256:1", "sha256:2", AT, "old.jsonl", "sha256:3", "sha256:4"),
        "audit.archived",
        "audit",
        {
            "first": 3,
            "last": 41,
            "hash": "sha256:1",
            "log": "sha256:2",
            "until": "2026-06-01T12:00:00Z",
            "file": "old.jsonl",
            "sha256": "sha256:3",
            "state": "sha256:4",
        },
    ),
]


@pytest.mark.parametrize(("event", "kind", "subject", "details"), STORED)
def test_an_event_is_stored_in_its_form_and_read_back_equal(
    event: Event, kind: str, subject: str, details: dict[str, Any]
) -> None:
    (record,) = chain(Head(0, GENESIS), AT, "user:olga", [event], login="tests")
    assert (record.kind, record.subject) == (kind, subject)
    data = json.loads(record.body)["data"]
    assert data == details
    assert parse_event(record.kind, record.subject, data) == event


def test_every_kind_is_one_of_the_stored_forms() -> None:
    assert {kind for _, kind, _, _ in STORED} == set(EVENT_TYPES)


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("grant.created", {"reason": "new in git", "digest": "sha256:1"}),
        ("certificate.requeued", {"serial": "1f", "reason": "the CA's list lacks it"}),
        ("grant.activated", {"id": "g1"}),
    ],
)
def test_a_record_of_an_earlier_version_keeps_what_it_says(
    kind: str, details: dict[str, Any]
) -> None:
    assert parse_event(kind, "grant/tasks", details) == EarlierEvent(kind, "grant/tasks", details)
