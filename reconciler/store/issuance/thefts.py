"""Theft signals: a right secret or proof that came with another key than its own.

The first of each secret and hour is an audit record of its own; what repeats is counted in its row,
and recorded once a minute. No more than `MAX_RECORDS` first ones are recorded within `WINDOW`,
whatever process saw them: the others wait in their rows for the timer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.audit.certificate_events import (
    TheftAcknowledged,
    TheftRepeated,
    TheftSuspected,
)
from reconciler.core.audit.event_base import grant_ref
from reconciler.core.audit.row_events import GrantSuspended
from reconciler.core.model.observed import Hold
from reconciler.core.model.states import HoldKind
from reconciler.errors import Refused
from reconciler.store import ending
from reconciler.store.audit import log as audit
from reconciler.store.audit.archives import newest_archive
from reconciler.store.db import new_id
from reconciler.store.locks import actor_of

if TYPE_CHECKING:
    from reconciler.core.issuance.policy import Denial, GrantFacts
    from reconciler.store.db import Tx

ONCE_IN: Final = timedelta(hours=1)
WINDOW: Final = timedelta(seconds=10)
MAX_RECORDS: Final = 4  # of first signals within WINDOW; a hold makes two records of one
COUNT_EVERY: Final = timedelta(minutes=1)
MAX_COUNTED: Final = 500  # signals in one record of repeats; the others wait for the next
THEFT_LOCK: Final = 0x6D6F73_746866  # "mosthf", of pg_advisory_xact_lock
_ACTOR: Final = "peer:unknown"
_SIGNAL: Final = (
    "SELECT t.id, t.grant_id, g.name, t.secret, t.code, t.spki_sha256, t.address, t.first_at"
    " FROM federation_theft_signals AS t JOIN federation_grants AS g ON g.id = t.grant_id"
)


@dataclass(frozen=True, slots=True)
class SecretUse:
    """A secret (`token/<public id>`, `certificate/<serial>`), and who came with it."""

    secret: str
    spki_sha256: str
    address: str
    suspend: bool  # the grant, if this is the first signal


def note(tx: Tx, denial: Denial, grant: GrantFacts, use: SecretUse) -> Denial:
    """Count a signal, of a grant whose row is locked; the first one comes with a warning."""
    repeated = tx.run(
        "UPDATE federation_theft_signals SET repeats = repeats + 1, unrecorded = unrecorded + 1,"
        " last_at = clock_timestamp()"
        " WHERE secret = :secret AND first_at > clock_timestamp() - :once_in",
        secret=use.secret,
        once_in=ONCE_IN,
    )
    if repeated:
        return denial
    signal_id = new_id(tx.now())
    tx.run(
        "INSERT INTO federation_theft_signals (id, grant_id, secret, code, spki_sha256, address)"
        " VALUES (:id, :grant, :secret, :code, :spki, :address)",
        id=signal_id,
        grant=grant.id,
        secret=use.secret,
        code=denial.error.code,
        spki=use.spki_sha256,
        address=use.address,
    )
    may_record = _may_record(tx)  # its lock comes before that of the audit head, which a hold takes
    held = use.suspend and _hold(tx, grant, use)
    (row,) = tx.rows(f"{_SIGNAL} WHERE t.id = :id", id=signal_id)
    seq = _record(tx, row) if may_record else None
    return replace(denial, warning=_warning(row, seq, held=held))


def record_due(tx: Tx, actor: str) -> None:
    """Record the first signals that had to wait, and the repeats of a minute."""
    waiting = (
        f"{_SIGNAL} WHERE t.seq IS NULL ORDER BY t.first_at LIMIT :room FOR NO KEY UPDATE OF t"
    )
    first = tx.rows(waiting, room=_may_record(tx))
    repeats = _counted(tx)  # rows are locked before the audit head
    for row in first:
        _record(tx, row)
    if repeats:
        audit.append(tx, actor, [TheftRepeated(repeats)])


def _counted(tx: Tx) -> tuple[dict[str, Any], ...]:
    """Return the repeats that are due to be recorded, and count them anew."""
    counted = tx.row("SELECT max(counted_at) > clock_timestamp() - :every AS lately"
                     " FROM federation_theft_signals", every=COUNT_EVERY)  # fmt: skip
    if counted is not None and counted["lately"]:
        return ()
    rows = tx.rows(
        "UPDATE federation_theft_signals AS t SET unrecorded = 0, counted_at = clock_timestamp()"
        " FROM (SELECT id, unrecorded FROM federation_theft_signals"
        "   WHERE unrecorded > 0 AND seq IS NOT NULL ORDER BY id LIMIT :limit"
        "   FOR NO KEY UPDATE) AS due, federation_grants AS g"
        " WHERE t.id = due.id AND g.id = t.grant_id"
        " RETURNING t.seq, g.name AS grant, t.secret, due.unrecorded AS count",
        limit=MAX_COUNTED,
    )
    return tuple(sorted(rows, key=lambda row: row["seq"]))


def acknowledge(tx: Tx, seq: int, actor: str) -> bool:
    """Acknowledge the signal of an audit record; return False where that was done before.

    Raises:
        Refused: `name_unknown`: there is no such record; `state_conflict`: it is no signal's.
    """
    row = tx.row(
        "SELECT t.id, t.grant_id, g.name, t.secret, t.acknowledged_at"
        " FROM federation_theft_signals AS t JOIN federation_grants AS g ON g.id = t.grant_id"
        " WHERE t.seq = :seq FOR NO KEY UPDATE OF t",
        seq=seq,
    )
    if row is None:
        raise _no_signal(tx, seq)
    if row["acknowledged_at"] is not None:
        return False
    tx.run(
        "UPDATE federation_theft_signals SET acknowledged_at = clock_timestamp(),"
        " acknowledged_by = :actor WHERE id = :id",
        id=row["id"],
        actor=actor,
    )
    grant = grant_ref(row["grant_id"], row["name"])
    audit.append(tx, actor, [TheftAcknowledged(grant, seq, row["secret"])])
    return True


def _no_signal(tx: Tx, seq: int) -> Refused:
    hint = "`mosaic federation status` shows the signals that wait, each with its SEQ"
    record = tx.row("SELECT kind FROM federation_audit_log WHERE seq = :seq", seq=seq)
    archive = newest_archive(tx)
    if record is None and archive is not None and seq <= archive.last.seq:
        return archive.refusal(f"audit list --archive FILE... --after {seq - 1} --limit 1")
    if record is None:
        return Refused("name_unknown", f"the audit log has no record {seq}", hint=hint)
    return Refused(
        "state_conflict",
        f"record {seq} is {record['kind']!r}, which waits for no acknowledgement",
        hint=hint,
    )


def _hold(tx: Tx, grant: GrantFacts, use: SecretUse) -> bool:
    """Suspend a grant that neither has ended nor is held; return whether it was."""
    by, reason = actor_of("worker"), f"theft suspected of {use.secret}"
    if not ending.suspend_if_free(tx, grant.id, Hold(HoldKind.SUSPEND, by, tx.now(), reason)):
        return False
    audit.append(tx, by, [GrantSuspended(grant_ref(grant.id, grant.name), reason)])
    return True


def _may_record(tx: Tx) -> int:
    """Return how many first signals may be recorded now; nobody else records one meanwhile."""
    tx.run("SELECT pg_advisory_xact_lock(:key)", key=THEFT_LOCK)
    row = tx.one(
        "SELECT count(*) AS recorded FROM federation_theft_signals"
        " WHERE recorded_at > clock_timestamp() - :window",
        window=WINDOW,
    )
    return max(MAX_RECORDS - int(row["recorded"]), 0)


def _record(tx: Tx, row: dict[str, Any]) -> int:
    kind, _, name = str(row["secret"]).partition("/")
    event = TheftSuspected(
        grant_ref(row["grant_id"], row["name"]),
        code=row["code"],
        token=name if kind == "token" else None,
        spki_sha256=row["spki_sha256"],
        address=row["address"],
        certificate=name if kind == "certificate" else None,
        seen_at=row["first_at"],
    )
    seq = audit.append(tx, _ACTOR, [event])
    tx.run(
        "UPDATE federation_theft_signals SET seq = :seq, recorded_at = clock_timestamp()"
        " WHERE id = :id",
        id=row["id"],
        seq=seq,
    )
    return seq


def _warning(row: dict[str, Any], seq: int | None, *, held: bool) -> str:
    acknowledge = f"`mosaic federation audit ack {seq}`" if seq else "its record follows"
    suspended = "; the grant is suspended" if held else ""
    return (
        f"grant/{row['name']}: theft suspected: {row['secret']} was used from {row['address']} with"
        f" a key that is not its own ({row['code']}){suspended}; when you know the cause:"
        f" {acknowledge}"
    )
