"""The state of a restored database: closed, confirmed or adopted; and what is taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.core.audit.certificate_events import IssuanceGivenUp
from reconciler.core.audit.event_base import grant_ref
from reconciler.core.audit.events import GatewayAdopted, RestoreConfirmed
from reconciler.core.model.times import rfc3339
from reconciler.errors import Refused
from reconciler.store.audit import log as audit
from reconciler.store.db import as_json

if TYPE_CHECKING:
    from reconciler.store.db import Tx


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What a restore took back at once: how many tokens, and the serials that it revokes."""

    tokens: int
    serials: tuple[str, ...]


def close(tx: Tx, actor: str) -> int:
    """Let nothing hold from now on, until a restore is confirmed; return the new epoch.

    What a gateway remembers of an older epoch counts no more, so an epoch is never used twice: two
    restores of one backup differ by their time.
    """
    row = tx.one(
        "UPDATE federation_control SET restored = CAST(:restored AS jsonb),"
        " epoch = greatest(epoch + 1, CAST(extract(epoch FROM clock_timestamp()) AS bigint))"
        " RETURNING epoch",
        restored=as_json({"by": actor, "at": rfc3339(tx.now())}),
    )
    tx.run("UPDATE federation_applied SET at = NULL")
    _name_server(tx)
    epoch: int = row["epoch"]
    return epoch


def _name_server(tx: Tx) -> None:
    may = tx.row("SELECT has_function_privilege('pg_control_system()', 'EXECUTE') AS may")
    if may is not None and may["may"]:
        tx.run(
            "UPDATE federation_control"
            " SET system_identifier = (SELECT system_identifier FROM pg_control_system())"
        )
    else:
        tx.run("UPDATE federation_control SET system_identifier = ''")


def take_back(tx: Tx, actor: str) -> TakenBack:
    """Void the tokens that could be used, and give up what was being signed."""
    tx.rows("SELECT id FROM federation_grants ORDER BY id FOR NO KEY UPDATE")  # before the tokens
    tx.rows(
        "SELECT id FROM federation_enrollment_tokens WHERE status IN ('open', 'claimed')"
        " ORDER BY id FOR NO KEY UPDATE"
    )
    tokens = tx.run(
        "UPDATE federation_enrollment_tokens SET status = 'void'"
        " WHERE status IN ('open', 'claimed')"
    )
    moved = tx.rows(
        "UPDATE federation_certificates AS c SET status = 'revoking' FROM federation_grants AS g"
        " WHERE g.id = c.grant_id AND c.status = 'intent'"
        " RETURNING c.serial, c.grant_id, g.name"
    )
    moved.sort(key=lambda row: str(row["serial"]))
    reason = "the gateway was restored while it was being signed"
    events = [
        IssuanceGivenUp(grant_ref(row["grant_id"], row["name"]), row["serial"], reason, revoke=True)
        for row in moved
    ]
    audit.append(tx, actor, events)
    return TakenBack(tokens, tuple(row["serial"] for row in moved))


def adopt(tx: Tx, actor: str, reason: str) -> None:
    """Accept a database that is not the one of before, as a restore of it."""
    epoch = close(tx, actor)
    taken = take_back(tx, actor)
    audit.append(tx, actor, [GatewayAdopted(epoch, reason, taken.tokens, taken.serials)])


def confirm(tx: Tx, actor: str) -> None:
    """Let the gateway serve again, once the source was applied.

    Raises:
        Refused: `state_conflict`: there is no restore to confirm, or no apply came after it.
    """
    row = tx.row(
        "SELECT c.epoch, c.restored, a.at FROM federation_control AS c, federation_applied AS a"
        " FOR UPDATE OF c"
    )
    if row is None or row["restored"] is None:
        hint = "see `mosaic federation status`"
        raise Refused("state_conflict", "there is no restore to confirm", hint=hint)
    if row["at"] is None:
        raise Refused(
            "state_conflict",
            "no source was applied since the restore",
            hint="apply all of it: `mosaic federation apply`",
        )
    tx.run("UPDATE federation_control SET restored = NULL")
    audit.append(tx, actor, [RestoreConfirmed(row["epoch"])])
