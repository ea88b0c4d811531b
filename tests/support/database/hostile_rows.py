"""Rows of every kind for the pages, with texts that others wrote to break what shows them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from tests.support.gateways.certified import certify
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from tests.support.gateways.enrollee import Rows

SCRIPT: Final = "<script>alert(1)</script><img src=x onerror=alert(2)>"
BIDI: Final = "safe \u202egnp.exe\u202c \u2066mixed\u2069 \u200bjoin\u0007"
LONG: Final = "unbroken" * 25
EAST_ASIAN: Final = "東京ゲートウェイ株式会社の連携担当 서울 北京市"
RIGHT_TO_LEFT: Final = "שער של ביתא العربية"
QUOTED: Final = "\"' onfocus=alert(3) autofocus x='{{ 7 * 7 }} &amp; &#x27;"
HOSTILE: Final = f"{SCRIPT} {BIDI} {QUOTED} {EAST_ASIAN} {RIGHT_TO_LEFT} {LONG}"
LONGEST_NAME: Final = "long-" + "x" * 58  # a DNS label has at most 63

_STATEMENTS: Final = (
    (
        "UPDATE federation_grants SET hold = CAST(:hold AS jsonb), status = 'suspended'"
        " WHERE name = 'beta-held'"
    ),
    "UPDATE federation_peers SET display_name = :text WHERE name = 'beta'",
    (
        "INSERT INTO federation_commits (id, author, subject, authored_at, signer)"
        " VALUES (:commit, :text, :text, now(), :text)"
    ),
    (
        "UPDATE federation_applied SET source_revision = :commit, source = :text, dirty = true,"
        " paused = CAST(:pause AS jsonb)"
    ),
    (
        "INSERT INTO federation_reconcile_runs (id, actor, source, revision, dirty, digest,"
        " summary) VALUES (gen_random_uuid(), :text, :text, :commit, true, 'sha256:00',"
        """ '{"create": 1, "update": 0, "replace": 0, "revoke": 0, "unchanged": 0}')"""
    ),
    (
        "INSERT INTO federation_reconcilers (actor, source, every, failing_since, code, message,"
        " hint, watch, waits_for, next_at, problems, problem_count) VALUES (:text, :text, '1m',"
        " now(), 'manifest_invalid', :text, :text, :text, 'person', now() + interval '1m',"
        " CAST(:problems AS jsonb), 30)"
    ),
    (
        "UPDATE federation_peers SET status = 'active', activated_at = now(), cert_serial = 'ab',"
        " cert_fingerprint = 'sha256:' || repeat('ab', 32), cert_not_before = now(),"
        " cert_not_after = now() + interval '1 day', remote_grant = CAST(:remote AS jsonb),"
        " cert_pem = 'leaf', cert_chain_pem = 'chain', roots_pem = 'roots', csr_pem = 'csr-secret',"
        " client_key_pem = 'MSEAL1sealed-secret', withdrawn = CAST(:withdrawn AS jsonb),"
        " credential_error = :text WHERE name = 'gamma'"
    ),
)


def fill(rows: Rows) -> None:
    """Make peers and grants in every state, a failing and a paused loop, drift, and holds."""
    kept = [
        *(peer_manifest(), peer_manifest(LONGEST_NAME), _outbound()),
        *(grant_manifest(name) for name in ("beta-active", "beta-held", LONGEST_NAME)),
        grant_manifest("beta-soon", expires="2099-01-01T00:00:00Z"),
        grant_manifest("beta-wide", rows=10_000),
    ]
    rows.apply(*kept, grant_manifest("beta-gone"))
    rows.apply(*kept)
    certify(rows, "beta-active")
    certify(rows, "beta-held")
    hold = {"kind": "suspend", "by": HOSTILE, "at": "2026-11-01T00:00:00Z", "reason": HOSTILE}
    problem = {"file": "a.yaml", "line": 1, "column": 1, "code": "scope.verb", "path": LONG,
               "message": HOSTILE, "hint": HOSTILE}  # fmt: skip
    remote = {"id": "1", "name": "alpha-tasks", "subjectUserId": "maria", "status": "active",
              "scope": {"resources": [], "maxRowsPerQuery": 1},
              "expiresAt": "2099-01-01T00:00:00Z"}  # fmt: skip
    values: dict[str, object] = {
        "text": HOSTILE,
        "commit": "c" * 40,
        "hold": json.dumps(hold),
        "pause": json.dumps({"by": HOSTILE, "at": "2026-11-01T00:00:00Z", "reason": HOSTILE}),
        "problems": json.dumps([problem]),
        "remote": json.dumps(remote),
        "withdrawn": json.dumps({"what": "narrowed", "learnedAt": "2026-11-01T00:00:00Z"}),
    }
    for statement in _STATEMENTS:
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        rows.run(statement, **used)
    rows.run(
        "UPDATE federation_grants SET expires_at = now() + interval '5 days'"
        " WHERE name = 'beta-soon'"
    )


def _outbound() -> str:
    manifest = peer_manifest("gamma")
    outbound = "{direction: outbound, displayName: gamma, endpoint: 'https://gamma.example'}"
    return manifest.replace("{direction: inbound, displayName: gamma}", outbound)
