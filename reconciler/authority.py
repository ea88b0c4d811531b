"""Authority: a certificate, and perhaps a question, become a decision.

    (1) read the serial and the fingerprint of the certificate: whoever asks has verified its chain
        and that its key is the caller's
    (2) read its row, in one statement with those of others that were asked for meanwhile: a
        revocation counts from its commit on, so nothing is cached
    (3) decide: the first reason that applies denies
    (4) gather the use of what is allowed; `record_use` writes it, now and then, in one statement

A role that may read the view `federation_authority` and run `federation_record_use` is enough.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from reconciler.core.authority.decision import Decision, Question, Reason, decide
from reconciler.core.model.certificate_use import UseRecord
from reconciler.crypto.certificates import certificate_identity
from reconciler.errors import MosaicError, Refused
from reconciler.store import authority as store
from reconciler.store.async_database import AsyncDatabase
from reconciler.store.connection.reader import Reader
from reconciler.store.locks import application_name

if TYPE_CHECKING:
    from reconciler.store.connection.conninfo import ConninfoSource

__all__ = ["Authority", "Decision", "Question", "Reason"]

RECORD_EVERY_S: Final = 30.0
LAST_RECORD_S: Final = 2.0  # at the end; a database that is away must not delay it

_log = logging.getLogger(__name__)


class Authority:
    """Answers for certificates from the database of their gateway, a libpq URL.

    As an async context manager it records use every 30 s, and at its end.
    """

    def __init__(self, database: ConninfoSource, *, name: str = "authority") -> None:
        self._source, self._name = database, application_name(name)
        self._reader = Reader(database, self._name)
        self._rows = store.AuthorityRows(self._reader)
        self._database = AsyncDatabase(database, self._name, pool_size=1)
        self._uses = UseRecord()
        self._recording: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to record use."""
        self._recording = asyncio.create_task(self._record_repeatedly())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Record the last use, and close every connection."""
        if self._recording is not None:
            self._recording.cancel()
            await asyncio.wait({self._recording}, timeout=LAST_RECORD_S)
        await self.close()

    async def check(
        self, der: bytes, *, resource: str | None = None, verb: str | None = None
    ) -> Decision:
        """Return the decision on a certificate; with `resource` and `verb`, on that question.

        Raises:
            Refused: `request_malformed`: it is no certificate, or half a question.
            Retry: `database_unavailable`: nobody knows, so nothing is allowed.
        """
        question = None
        if resource is not None or verb is not None:
            if not resource or not verb:
                raise Refused("request_malformed", "a question needs a resource and a verb")
            question = Question(resource, verb)
        certificate = certificate_identity(der)  # (1)
        row = await self._rows.read(certificate.serial)  # (2)
        decision = decide(certificate, row, question)  # (3)
        if decision.allowed and row is not None:
            self._uses.add(certificate.serial, row.now)  # (4)
        return decision

    async def require_usable(self) -> None:
        """Read the view once.

        Raises:
            NeedsEdit: `schema_missing`, `config_invalid`: no retry can help.
            Retry: `database_unavailable`.
        """
        reader = Reader(self._source, self._name, lasting=False)
        try:
            await store.AuthorityRows(reader).read("0")
        finally:
            await reader.close()

    async def require_ready(self) -> None:
        """Read the view as a check does; raise `Retry` (`database_unavailable`) if that fails."""
        await self._rows.read("0")

    async def record_use(self) -> None:
        """Write the use that was gathered; what cannot be written is written the next time.

        Raises:
            MosaicError: it was not written.
        """
        uses = self._uses.take()
        if not uses:
            return
        try:
            await self._database.run(store.record_use, uses)
        except BaseException:  # cancelled, too
            self._uses.put_back(uses)
            raise

    async def close(self) -> None:
        """Record the last use, and close every connection."""
        try:
            async with asyncio.timeout(LAST_RECORD_S):
                await self.record_use()
        except (MosaicError, TimeoutError) as error:
            reason = str(error) or f"no answer within {LAST_RECORD_S:g} s"
            _log.warning("the last use of certificates is not recorded: %s", reason)
        await self._reader.close()
        with suppress(MosaicError):
            await self._database.close()

    async def _record_repeatedly(self) -> None:
        trouble = ""
        while True:
            await asyncio.sleep(RECORD_EVERY_S)
            try:
                await self.record_use()
                trouble = ""
            except MosaicError as error:
                if error.message != trouble:  # once as long as it stays
                    _log.warning("use is not recorded: %s; trying again", error)
                trouble = error.message
