"""How long a notice is kept in the outbox, and what then becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from reconciler.store.db import Tx

RETENTION: Final = timedelta(days=7)  # of an undelivered notice, and of a target that is not named


@dataclass(frozen=True, slots=True)
class GivenUp:
    """How many notices a target never got."""

    target: str
    count: int


def expire(tx: Tx) -> list[GivenUp]:
    """Give up notices that are too old, remove them, and forget targets that nobody names.

    Return how many each target never got.
    """
    rows = tx.rows(
        "WITH old AS (SELECT t.name, count(*) AS count, max(n.seq) AS seq"
        "   FROM federation_notice_targets AS t JOIN federation_notices AS n"
        "   ON n.seq > t.position AND n.event = ANY(t.events)"
        "   AND n.at < clock_timestamp() - CAST(:retention AS interval) GROUP BY t.name)"
        " UPDATE federation_notice_targets AS t SET position = greatest(position, old.seq),"
        " attempts = 0, given_up = given_up + old.count, given_up_at = clock_timestamp()"
        " FROM old WHERE t.name = old.name RETURNING t.name AS target, old.count",
        retention=RETENTION,
    )
    tx.run(
        "DELETE FROM federation_notices"
        " WHERE at < clock_timestamp() - CAST(:retention AS interval)",
        retention=RETENTION,
    )
    tx.run(
        "DELETE FROM federation_notice_targets"
        " WHERE seen_at < clock_timestamp() - CAST(:retention AS interval)",
        retention=RETENTION,
    )
    return [GivenUp(**row) for row in rows]
