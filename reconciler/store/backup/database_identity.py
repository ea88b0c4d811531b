"""Whether a database is the one that the gateway had, and whether a restore is confirmed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.core.audit.chain import Head
from reconciler.errors import NeedsEdit, Retry
from reconciler.store.audit.position import has_record

if TYPE_CHECKING:
    from reconciler.store.db import Tx

CONFIRM: Final = "`mosaic federation apply`, then `mosaic federation restore --confirm`"
ADOPT: Final = (
    "name the database that this gateway had; or, if it was moved here, or to use this one:"
    " `mosaic federation restore --adopt`"
)


@dataclass(frozen=True, slots=True)
class SeenHead:
    """The newest audit record of a database, and the epoch in which it was."""

    epoch: int
    head: Head


def refuse_if_restored(tx: Tx) -> None:
    """Raise while nobody has confirmed a restore, or a replaced database.

    Raises:
        Retry: `restored`.
    """
    row = tx.row("SELECT federation_restored() AS state")
    if row is not None and row["state"] is not None:
        raise unconfirmed(row["state"])


def unconfirmed(state: str) -> Retry:
    """Return the error of what `federation_restored()` returned."""
    if state == "replaced":
        return Retry("restored", "the rows come from another database server", hint=ADOPT)
    return Retry("restored", "the gateway was restored and is not confirmed", hint=CONFIRM)


def require_same_database(tx: Tx, seen: SeenHead | None) -> SeenHead | None:
    """Return the newest record of a database that is the one of before; `seen` is one it had.

    Of a log whose head was taken away by hand it is None; `audit verify` says so.

    Raises:
        NeedsEdit: `database_replaced`.
    """
    if (why := replaced(tx, seen)) is not None:
        raise NeedsEdit(
            "database_replaced", f"the database is not that of this gateway: {why}", hint=ADOPT
        )
    row = tx.row(
        "SELECT c.epoch, h.seq, h.hash FROM federation_control AS c, federation_audit_head AS h"
    )
    if row is None:
        return None
    return SeenHead(row["epoch"], Head(row["seq"], bytes(row["hash"])))


def replaced(tx: Tx, seen: SeenHead | None) -> str | None:
    """Return why a database is not the one of before, or None."""
    row = tx.one("SELECT epoch, federation_restored() AS state FROM federation_control")
    if row["state"] == "replaced":
        return "its rows were written on another server"
    if seen is None or row["epoch"] > seen.epoch or has_record(tx, seen.head):
        return None
    # late: needed only if the log lacks the record
    from reconciler.store.audit.archives import end_of, newest_archive  # noqa: PLC0415 - as above

    if seen.head.seq < end_of(newest_archive(tx)).seq:
        return None  # it is in a file now, and this log is longer than the one that was seen
    return f"its audit log does not have record {seen.head.seq}, which this gateway has seen"
