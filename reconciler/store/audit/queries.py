"""The audit log read for people: of everything, of an object, of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reconciler.core.audit.record_lines import readable_body
from reconciler.core.spelling import nearest_label
from reconciler.errors import Refused
from reconciler.store.audit.archives import newest_archive

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from reconciler.store.db import Tx

BEGINNINGS: Final = (".created", ".replaced")  # of events with which the records of a row begin
_RECORD = "SELECT seq, at, kind, actor, subject, body FROM federation_audit_log"
WITHDRAWN = "peer.grant_withdrawn"  # its `what` is why
OF_THE_COMMIT = ("author", "subject", "signer")
_CERTIFICATES = (
    "SELECT c.serial, c.fingerprint, c.status::text AS status, c.not_before, c.not_after,"
    " c.issued_at, c.revoked_at, c.last_error, t.public_id AS token, p.serial AS renews"
    " FROM federation_certificates AS c"
    " LEFT JOIN federation_enrollment_tokens AS t ON t.id = c.token_id"
    " LEFT JOIN federation_certificates AS p ON p.id = c.predecessor_id"
    " WHERE c.grant_id = :id ORDER BY c.created_at, c.id"
)
_TOKENS = (
    "SELECT public_id, status::text AS status, created_by, created_at, expires_at, claimed_at"
    " FROM federation_enrollment_tokens WHERE grant_id = :id ORDER BY created_at, id"
)
_GRANT = (
    "SELECT g.id, g.name, p.name AS peer, p.status::text AS peer_status, g.subject_user_id,"
    " g.scope, g.status_now::text AS status, g.hold, g.expires_at, g.activated_at, g.revoked_at,"
    " g.revoked_reason, g.source_path, g.source_line, g.revision, c.author, c.subject, c.signer,"
    " (SELECT r.digest FROM federation_reconcile_runs AS r WHERE r.revision = g.revision"
    " ORDER BY r.at LIMIT 1) AS plan"
    " FROM federation_grants_now AS g JOIN federation_peers AS p ON p.id = g.peer_id"
    " LEFT JOIN federation_commits AS c ON c.id = g.revision"
)
_PEER = (
    "SELECT p.id, p.name, p.direction, p.status::text AS status, p.hold, p.activated_at,"
    " p.revoked_at, p.revoked_reason, p.source_path, p.source_line, p.revision, c.author,"
    " c.subject, c.signer, p.remote_grant AS grant, p.withdrawn, p.cert_serial AS serial,"
    " p.cert_fingerprint AS fingerprint, p.cert_not_before AS not_before,"
    " p.cert_not_after AS not_after FROM federation_peers AS p"
    " LEFT JOIN federation_commits AS c ON c.id = p.revision"
)
_OF_THE_CERTIFICATE = ("serial", "fingerprint", "not_before", "not_after")


def history(tx: Tx, subject: str | None, limit: int) -> list[dict[str, Any]]:
    """Return the newest records, oldest first; of an object, by every name that it had.

    Raises:
        Refused: `name_unknown`: no record is about it.
    """
    rows = tx.rows(
        f"{_RECORD} WHERE CAST(:subject AS text) IS NULL OR subject = ANY(:subjects)"
        " ORDER BY seq DESC LIMIT :limit",
        subject=subject,
        subjects=_names(tx, subject) if subject is not None else [],
        limit=limit,
    )
    if subject is not None and not rows:
        known = [row["subject"] for row in tx.rows("SELECT DISTINCT subject FROM"
                                                   " federation_audit_log")]  # fmt: skip
        if (archive := newest_archive(tx)) is not None:
            raise archive.refusal(f"audit list --archive FILE... --subject {subject}")
        raise unknown(subject, known)
    return [_record(row) for row in reversed(rows)]


def explain_grant(tx: Tx, name: str) -> list[dict[str, Any]]:
    """Return every grant that had the name, the newest last, with all that belongs to it.

    Raises:
        Refused: `name_unknown`.
    """
    return _explained(tx, f"{_GRANT} WHERE g.name = :key ORDER BY g.created_at", name, "grant")


def explain_serial(tx: Tx, serial: str) -> list[dict[str, Any]]:
    """Return the grant of a certificate, by its serial or its fingerprint, as `explain_grant`.

    Of a certificate that another gateway issued, return the peer that holds it, as `explain_peer`.
    """
    statement = (
        f"{_GRANT} WHERE g.id IN (SELECT grant_id FROM federation_certificates"
        " WHERE serial = :key OR fingerprint = :key)"
    )
    held = tx.rows(f"{_PEER} WHERE p.cert_serial = :key OR p.cert_fingerprint = :key", key=serial)
    if held and not tx.rows(statement, key=serial):
        return [_peer_story(tx, row) for row in held]
    return _explained(tx, statement, serial, "certificate")


def explain_peer(tx: Tx, name: str) -> list[dict[str, Any]]:
    """Return every peer that had the name, the newest last, with its grants' names.

    Raises:
        Refused: `name_unknown`.
    """
    rows = tx.rows(f"{_PEER} WHERE p.name = :name ORDER BY p.created_at", name=name)
    if not rows:
        known = [f"peer {row['name']}" for row in tx.rows("SELECT name FROM federation_peers")]
        raise unknown(f"peer {name}", known)
    return [_peer_story(tx, row) for row in rows]


def newest_of_row(tx: Tx, row_id: str, limit: int) -> list[dict[str, Any]]:
    """Return the newest records about a row by its id, oldest first."""
    rows = tx.rows(
        f"{_RECORD} WHERE body::jsonb #>> '{{data,id}}' = :id ORDER BY seq DESC LIMIT :limit",
        id=row_id,
        limit=limit,
    )
    return [_record(row) for row in reversed(rows)]


def numbered(tx: Tx, numbers: range) -> list[dict[str, Any]]:
    """Return the records with these numbers."""
    rows = tx.rows(
        f"{_RECORD} WHERE seq >= :first AND seq < :end ORDER BY seq",
        first=numbers.start,
        end=numbers.stop,
    )
    return [_record(row) for row in rows]


def unknown(label: str, known: list[str]) -> Refused:
    """Return the refusal of an object that no row or record has."""
    close = nearest_label(label, known)
    return Refused(
        "name_unknown",
        f"there is no record of {label}",
        hint=f"did you mean {close}?" if close else "`mosaic federation history` shows all",
    )


def _explained(tx: Tx, statement: str, key: str, label: str) -> list[dict[str, Any]]:
    rows = tx.rows(statement, key=key)
    if not rows:
        known = [f"grant {row['name']}" for row in tx.rows("SELECT name FROM federation_grants")]
        raise unknown(f"{label} {key}", known)
    now = tx.now()
    stories = []
    for row in rows:
        certificates = tx.rows(_CERTIFICATES, id=row["id"])
        stories.append(
            _facts(row)
            | {
                "tokens": tx.rows(_TOKENS, id=row["id"]),
                "certificates": [
                    each | {"holds": not (reason := _refusal_reason(row, each, now)), "why": reason}
                    for each in certificates
                ],
                "entries": _records_of(tx, row["id"]),
            }
        )
    return stories


def _peer_story(tx: Tx, row: dict[str, Any]) -> dict[str, Any]:
    facts = _facts(row)
    certificate = {name: facts.pop(name) for name in _OF_THE_CERTIFICATE}
    reason = _refusal_of_held(row, tx.now())
    grants = tx.rows(
        "SELECT DISTINCT name FROM federation_grants WHERE peer_id = :id ORDER BY 1", id=row["id"]
    )
    return facts | {
        "certificate": certificate | {"holds": not reason, "why": reason}
        if certificate["serial"] is not None
        else None,
        "grants": [each["name"] for each in grants],
        "entries": _records_of(tx, row["id"]),
    }


def _refusal_of_held(peer: dict[str, Any], now: datetime) -> str:
    """Return why a certificate that we hold is not accepted, as far as it is known here."""
    if peer["status"] != "active":
        return f"the peer is {peer['status']}"
    what = (peer["withdrawn"] or {}).get("what")
    if what in {"suspended", "ended"}:
        return f"the other side has {what} its grant"
    if peer["serial"] is not None and not peer["not_before"] <= now < peer["not_after"]:
        return "the certificate has expired"
    return ""


def _refusal_reason(grant: dict[str, Any], certificate: dict[str, Any], now: datetime) -> str:
    """Return why a certificate is not accepted now; empty if it is."""
    if certificate["status"] != "issued":
        return f"the certificate is {certificate['status']}"
    if grant["status"] != "active":
        return f"the grant is {grant['status']}"
    if grant["peer_status"] != "active":
        return f"the peer is {grant['peer_status']}"
    if not certificate["not_before"] <= now < certificate["not_after"]:
        return "the certificate has expired"
    return ""


def _facts(row: dict[str, Any]) -> dict[str, Any]:
    facts = {name: value for name, value in row.items() if name not in OF_THE_COMMIT}
    commit = None
    if row["revision"] is not None:
        commit = {
            "id": row["revision"],
            "author": row["author"],
            "subject": row["subject"],
            "signer": row["signer"],
        }
    return facts | {"id": str(row["id"]), "commit": commit}


def _names(tx: Tx, subject: str) -> list[str]:
    """Return the subjects under which an object's records stand: it may have been renamed."""
    ids = tx.rows(
        "SELECT DISTINCT body::jsonb #>> '{data,id}' AS id FROM federation_audit_log"
        " WHERE subject = :subject AND body::jsonb #>> '{data,id}' IS NOT NULL",
        subject=subject,
    )
    new = tx.rows(
        "SELECT DISTINCT subject FROM federation_audit_log WHERE kind LIKE '%.renamed'"
        " AND body::jsonb #>> '{data,id}' = ANY(:ids)",
        ids=[row["id"] for row in ids],
    )
    old = tx.rows(
        "SELECT DISTINCT split_part(subject, '/', 1) || '/' || (body::jsonb #>> '{data,old}')"
        " AS subject FROM federation_audit_log WHERE kind LIKE '%.renamed'"
        " AND body::jsonb #>> '{data,id}' = ANY(:ids)",
        ids=[row["id"] for row in ids],
    )
    return sorted({subject, *(row["subject"] for row in (*new, *old) if row["subject"])})


def _records_of(tx: Tx, row_id: UUID) -> list[dict[str, Any]]:
    rows = tx.rows(
        f"{_RECORD} WHERE body::jsonb #>> '{{data,id}}' = :id"
        " OR kind IN ('peer.replaced', 'grant.replaced')"
        " AND body::jsonb #>> '{data,replaces}' = :id ORDER BY seq",
        id=str(row_id),
    )
    return [_record(row) for row in rows]


def _record(row: dict[str, Any]) -> dict[str, Any]:
    data = readable_body(row["body"])["data"]
    commit = (data.get("from") or {}).get("commit") if isinstance(data.get("from"), dict) else None
    return {
        "seq": row["seq"],
        "at": row["at"],
        "kind": row["kind"],
        "actor": row["actor"],
        "subject": row["subject"],
        "reason": data.get("what") if row["kind"] == WITHDRAWN else data.get("reason"),
        "commit": commit,
        "data": data,
    }
