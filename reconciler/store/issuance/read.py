"""The facts that enrollment, renewal and pickup decide over, read from the rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.issuance.policy import GrantFacts, IssuanceFacts, TokenFacts
from reconciler.core.model.ids import GrantId, IssuanceId
from reconciler.core.model.states import GrantStatus, HoldKind, IssuanceStatus, TokenStatus
from reconciler.log import bind

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from reconciler.store.db import Tx

_GRANT_COLUMNS: Final = """
    g.id, g.name, p.name AS peer, g.peer_id, p.status = 'pending' AS peer_pending,
    g.subject_user_id, g.scope, g.expires_at,
    CASE WHEN g.status IN ('pending', 'active', 'suspended')
        AND g.expires_at <= clock_timestamp() THEN 'expired' ELSE g.status::text END AS status,
    extract(epoch FROM g.lifetime)::float8 AS lifetime_s, g.suspended, g.hold,
    g.xmin::text AS version
"""
_CLAIM_COLUMNS: Final = """
    t.id AS token_id, t.public_id, t.status AS token_status, t.expires_at AS token_expires_at,
    t.claimed_spki, t.claimed_at, t.unanswered, t.xmin::text AS token_version
"""
GRANT_TABLES: Final = "federation_grants AS g JOIN federation_peers AS p ON p.id = g.peer_id"
_OF_GRANT: Final = f"{GRANT_TABLES} WHERE g.id = :grant"


# A lock comes first and the reading after it, in another statement, so that what is read is what
# was waited for.
_LOCK_PEER: Final = "SELECT FROM federation_peers WHERE id = :peer FOR NO KEY UPDATE"
LOCK_GRANT: Final = "SELECT FROM federation_grants WHERE id = :grant FOR NO KEY UPDATE"
# Whether the grant `g` has live certificates besides `c`.
OTHERS: Final = """EXISTS (SELECT FROM federation_certificates AS o
    WHERE o.grant_id = g.id AND o.id <> c.id AND o.status IN ('intent', 'issued'))"""


def locks_of(grant: GrantFacts) -> tuple[str, ...]:
    """Return the locks before an enrollment is finished, which writes a pending peer too."""
    return (_LOCK_PEER, LOCK_GRANT) if grant.peer_pending else (LOCK_GRANT,)


def grant_facts(tx: Tx, grant_id: UUID, *, lock: bool = False) -> GrantFacts:
    """Return a grant's facts; with `lock`, its row stays locked until the transaction ends."""
    locks = (LOCK_GRANT,) if lock else ()
    return _grant(tx.one(*locks, f"SELECT {_GRANT_COLUMNS} FROM {_OF_GRANT}", grant=grant_id))


def locked_grant(tx: Tx, grant_id: UUID) -> tuple[GrantFacts, datetime]:
    """Return a grant's facts, its row locked, and the time by the database's clock."""
    row = tx.one(
        LOCK_GRANT,
        f"SELECT {_GRANT_COLUMNS}, clock_timestamp() AS now FROM {_OF_GRANT}",
        grant=grant_id,
    )
    return _grant(row), row["now"]


def locked_token(tx: Tx, token_id: UUID, grant_id: UUID) -> tuple[TokenFacts, GrantFacts, datetime]:
    """Return a token's and its grant's facts, both rows locked, and the time."""
    row = tx.one(
        LOCK_GRANT,  # before the token, as everywhere: two at once would else deadlock
        f"SELECT {_GRANT_COLUMNS}, {_CLAIM_COLUMNS}, clock_timestamp() AS now"
        f" FROM federation_enrollment_tokens AS t, {_OF_GRANT}"
        " AND t.id = :token FOR NO KEY UPDATE OF t",
        grant=grant_id,
        token=token_id,
    )
    return _token(row), _grant(row), row["now"]


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token whose secret has been verified, and its grant, as they were at a time: not locked."""

    token: TokenFacts
    grant: GrantFacts
    read_at: datetime


UNVERIFIED_TOKEN: Final = (
    f"SELECT {_GRANT_COLUMNS}, {_CLAIM_COLUMNS}, t.mac, clock_timestamp() AS now"
    f" FROM {GRANT_TABLES} JOIN federation_enrollment_tokens AS t ON t.grant_id = g.id"
    " WHERE t.public_id = :public_id"
)


def known_token(row: dict[str, Any]) -> KnownToken:
    """Return what a row of `UNVERIFIED_TOKEN` says, once the secret has verified."""
    return KnownToken(_token(row), _grant(row), row["now"])


@dataclass(frozen=True, slots=True)
class LockedIssuance:
    """What a certificate is fenced by; `others`: the grant has more that are live."""

    grant: GrantFacts
    token_status: TokenStatus | None
    status: IssuanceStatus
    others: bool


def locked_issuance(
    tx: Tx, issuance_id: UUID, grant: GrantFacts, token_id: UUID | None
) -> LockedIssuance:
    """Return an issuance with its grant and token, all three rows locked.

    So is that of a peer which is pending. The lock of the issuance is taken above the join, and so
    after that of the token.
    """
    row = tx.one(
        *locks_of(grant),
        "WITH token AS (SELECT status FROM federation_enrollment_tokens"
        "  WHERE id = CAST(:token AS uuid) FOR NO KEY UPDATE)"
        f" SELECT {_GRANT_COLUMNS}, token.status AS token_status, c.status AS issuance_status,"
        f" {OTHERS} AS others"
        f" FROM {GRANT_TABLES}"
        " JOIN federation_certificates AS c ON c.grant_id = g.id LEFT JOIN token ON true"
        " WHERE g.id = :grant AND c.id = :id FOR NO KEY UPDATE OF c",
        id=issuance_id,
        token=token_id,
        grant=grant.id,
        peer=grant.peer_id,
    )
    token_status = row["token_status"]
    return LockedIssuance(
        _grant(row),
        TokenStatus(token_status) if token_status is not None else None,
        IssuanceStatus(row["issuance_status"]),
        row["others"],
    )


def _grant(row: dict[str, Any]) -> GrantFacts:
    """Return the facts of a row; the lines that are logged from then on name the grant."""
    bind(peer=row["peer"], grant=row["name"])
    suspended_by_hold = row["hold"] is not None and row["hold"]["kind"] == HoldKind.SUSPEND
    return GrantFacts(
        id=GrantId(row["id"]),
        name=row["name"],
        peer=row["peer"],
        peer_id=row["peer_id"],
        subject_user_id=row["subject_user_id"],
        scope=row["scope"],
        status=GrantStatus(row["status"]),
        expires_at=row["expires_at"],
        lifetime=timedelta(seconds=row["lifetime_s"]),
        suspended=row["suspended"] or suspended_by_hold,
        peer_pending=row["peer_pending"],
        version=row["version"],
    )


def _token(row: dict[str, Any]) -> TokenFacts:
    return TokenFacts(
        id=row["token_id"],
        public_id=row["public_id"],
        status=TokenStatus(row["token_status"]),
        expires_at=row["token_expires_at"],
        claimed_by=row["claimed_spki"],
        claimed_at=row["claimed_at"],
        unanswered=row["unanswered"],
        version=row["token_version"],
    )


def intents_of_token(tx: Tx, token_id: UUID) -> tuple[IssuanceFacts, ...]:
    """Return the issuances of a token that may be under way, newest first."""
    return _issuances(tx, "token_id = :id AND status = 'intent'", id=token_id)


def live_issuances(tx: Tx, grant_id: UUID, *, answers_of: str) -> tuple[IssuanceFacts, ...]:
    """Return the issuances of a grant that are issued or intended, newest first.

    Only those for the key `answers_of` come with their answer.
    """
    where = "grant_id = :id AND status IN ('intent', 'issued')"
    return _issuances(tx, where, answers_of, id=grant_id)


def live_issuances_of_key(tx: Tx, spki_sha256: str) -> tuple[IssuanceFacts, ...]:
    """Return the issuances for a key that are issued or intended, newest first."""
    where = "spki_sha256 = :spki AND status IN ('intent', 'issued')"
    return _issuances(tx, where, spki_sha256, spki=spki_sha256)


def grant_of_key(tx: Tx, spki_sha256: str) -> UUID | None:
    """Return the grant that a key serves, or None for a key that was never used."""
    row = tx.row("SELECT grant_id FROM federation_keys WHERE spki_sha256 = :spki", spki=spki_sha256)
    return row["grant_id"] if row is not None else None


def has_live_issuance(tx: Tx, spki_sha256: str) -> bool:
    """Tell whether a key has a certificate that is issued, or is about to have one."""
    row = tx.row(
        "SELECT FROM federation_certificates WHERE spki_sha256 = :spki"
        " AND status IN ('intent', 'issued') LIMIT 1",
        spki=spki_sha256,
    )
    return row is not None


def is_replaced(tx: Tx, spki_sha256: str) -> bool:
    """Tell whether a key has no certificate but those that a later enrollment took the place of."""
    row = tx.row(
        "SELECT FROM federation_certificates AS own WHERE spki_sha256 = :spki"
        " AND issued_at IS NOT NULL AND NOT EXISTS ("
        "SELECT FROM federation_certificates AS later WHERE later.grant_id = own.grant_id"
        " AND later.token_id IS NOT NULL AND later.issued_at > own.issued_at) LIMIT 1",
        spki=spki_sha256,
    )
    return row is None


def newest_serial_of_key(tx: Tx, spki_sha256: str) -> str | None:
    """Return the serial of the newest certificate of a key, whatever became of it, or None."""
    row = tx.row(
        "SELECT serial FROM federation_certificates WHERE spki_sha256 = :spki"
        " AND not_after IS NOT NULL ORDER BY created_at DESC, id DESC LIMIT 1",
        spki=spki_sha256,
    )
    return row["serial"] if row is not None else None


def live_certificates(tx: Tx) -> list[str]:
    """Return every certificate that has not expired, revoked ones included, as PEM."""
    rows = tx.rows(
        "SELECT cert_pem FROM federation_certificates"
        " WHERE cert_pem IS NOT NULL AND not_after > statement_timestamp()"
    )
    return [row["cert_pem"] for row in rows]


def _issuances(
    tx: Tx, where: str, answers_of: str = "", **values: object
) -> tuple[IssuanceFacts, ...]:
    rows = tx.rows(
        "SELECT id, serial, spki_sha256, status, created_at, lease_until, not_before, not_after,"
        " predecessor_id, CASE WHEN spki_sha256 = :answers_of THEN answer END AS answer"
        f" FROM federation_certificates WHERE {where}"
        " ORDER BY created_at DESC, id DESC",
        answers_of=answers_of,
        **values,
    )
    return tuple(_issuance(row) for row in rows)


def _issuance(row: dict[str, Any]) -> IssuanceFacts:
    before = row["predecessor_id"]
    return IssuanceFacts(
        id=IssuanceId(row["id"]),
        serial=row["serial"],
        spki_sha256=row["spki_sha256"],
        status=IssuanceStatus(row["status"]),
        created_at=row["created_at"],
        lease_until=row["lease_until"],
        not_before=row["not_before"],
        not_after=row["not_after"],
        predecessor_id=IssuanceId(before) if before is not None else None,
        answer=row["answer"],
    )
