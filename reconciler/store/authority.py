"""Authority: the row of a certificate, and the use that is recorded of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.authority.decision import (
    REMEMBERED,
    AuthorityFacts,
    AuthorityReading,
    CertificateIdentity,
)
from reconciler.core.model.states import GrantStatus, IssuanceStatus, PeerStatus
from reconciler.core.model.times import rfc3339
from reconciler.store.backup.database_identity import unconfirmed
from reconciler.store.connection.reader import DEADLINE_S
from reconciler.store.db import as_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.core.model.certificate_use import Use
    from reconciler.store.connection.reader import Reader
    from reconciler.store.db import Tx

AT_ONCE: Final = 2  # statements: while the server runs one, the rows of another are decided on

# One statement, so one snapshot and one moment. What does not change from check to check is one
# text, so that the same row is parsed once.
_ROWS: Final = """
SELECT wanted.serial, (SELECT {schema}.federation_restored()), extract(epoch FROM a.at)::float8,
    a.holds, CASE WHEN a.serial IS NOT NULL THEN json_build_object(
        'serial', a.serial, 'fingerprint', fingerprint, 'certificate_status', certificate_status,
        'not_before', extract(epoch FROM not_before), 'not_after', extract(epoch FROM not_after),
        'grant_id', grant_id, 'grant_name', grant_name, 'peer_name', peer_name,
        'subject_user_id', subject_user_id, 'scope', scope::text, 'grant_status', grant_status,
        'expires_at', extract(epoch FROM expires_at), 'peer_status', peer_status
    )::text END
FROM unnest(string_to_array($1, ',')) AS wanted (serial)
    LEFT JOIN {schema}.federation_authority AS a ON a.serial = wanted.serial
"""


class AuthorityRows:
    """The rows of certificates, read by `reader`.

    Several calls share a statement, which begins after each of them: what was committed before a
    call counts for it.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._calls: list[_Call] = []
        self._statements: set[asyncio.Task[None]] = set()

    async def read(self, serial: str) -> AuthorityReading | None:
        """Return the row of a serial, or None.

        Raises:
            Retry: `database_unavailable`; `restored`: nobody has confirmed a restore of the rows.
            NeedsEdit: `schema_missing`, `config_invalid`.
        """
        loop = asyncio.get_running_loop()
        call = _Call(serial, loop.time() + DEADLINE_S, loop.create_future())
        self._calls.append(call)
        if len(self._statements) < AT_ONCE:
            task = loop.create_task(self._read_waiting())
            self._statements.add(task)
            task.add_done_callback(self._statements.discard)
        return await call.reading

    async def _read_waiting(self) -> None:
        while self._calls:
            calls, self._calls = self._calls, []
            try:
                readings = await self._read_all(calls)
            except BaseException as error:
                for call in calls:
                    call.fail(error)
                if not isinstance(error, Exception):
                    raise
            else:
                for call in calls:
                    call.answer(readings[call.serial])

    async def _read_all(self, calls: list[_Call]) -> dict[str, AuthorityReading | None]:
        serials = ",".join({call.serial for call in calls})
        rows = await self._reader.rows(_ROWS, serials, deadline_s=calls[0].deadline_s)
        if rows[0][1] is not None:
            raise unconfirmed(rows[0][1])
        return {
            serial: AuthorityReading(_facts(text), _time(now), holds) if text is not None else None
            for serial, _, now, holds, text in rows
        }


@dataclass(frozen=True, slots=True)
class _Call:
    """Who waits for a row until a moment, by the clock of the event loop."""

    serial: str
    deadline_s: float
    reading: asyncio.Future[AuthorityReading | None]

    def answer(self, reading: AuthorityReading | None) -> None:
        if not self.reading.done():  # a caller that is gone
            self.reading.set_result(reading)

    def fail(self, error: BaseException) -> None:
        if self.reading.done():
            return
        if isinstance(error, Exception):
            self.reading.set_exception(error)
        else:
            self.reading.cancel()


@lru_cache(REMEMBERED)
def _facts(text: str) -> AuthorityFacts:
    document: dict[str, Any] = json.loads(text)
    return AuthorityFacts(
        certificate=CertificateIdentity(document["serial"], document["fingerprint"]),
        certificate_status=IssuanceStatus(document["certificate_status"]),
        not_before=_time(document["not_before"]),
        not_after=_time(document["not_after"]),
        grant_id=document["grant_id"],
        grant_name=document["grant_name"],
        peer_name=document["peer_name"],
        subject_user_id=document["subject_user_id"],
        scope_json=document["scope"],
        grant_status=GrantStatus(document["grant_status"]),
        expires_at=_time(document["expires_at"]),
        peer_status=PeerStatus(document["peer_status"]),
    )


def record_use(tx: Tx, uses: Mapping[str, Use]) -> None:
    """Add use, by serial, to what was recorded before."""
    rows = [
        {
            "serial": serial,
            "count": use.count,
            "first_at": rfc3339(use.first),
            "last_at": rfc3339(use.last),
        }
        for serial, use in uses.items()
    ]
    tx.rows("SELECT federation_record_use(CAST(:uses AS jsonb))", uses=as_json(rows))


def _time(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)
