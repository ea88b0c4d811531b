"""Revocation lists as they are sent: read once for many who ask, and shared by all who read slowly.

A list may have megabytes, and anybody may ask for it.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from reconciler.store.issuance.crl import newest_crl

if TYPE_CHECKING:
    from reconciler.store.async_database import AsyncDatabase

CACHE_S: Final = 1.0  # an answer may be cached for longer


class RevocationLists:
    """The lists of one database, as they were at most `CACHE_S` before they were asked for."""

    def __init__(self) -> None:
        self._reads: dict[str | None, tuple[asyncio.Task[bytes | None], float]] = {}
        self._lists: dict[str | None, bytes] = {}

    async def newest(self, database: AsyncDatabase, issuer: str | None) -> bytes | None:
        """Return the list of an issuer's key id, or the newest of all, in DER; None if none is.

        Raises:
            Retry: `database_unavailable`.
        """
        read, until_s = self._reads.get(issuer, (None, 0.0))
        if read is None or (read.done() and time.monotonic() >= until_s):
            read = asyncio.create_task(self._read(database, issuer))
            self._reads[issuer] = read, time.monotonic() + CACHE_S
        der = None
        try:
            der = await asyncio.shield(read)
        finally:
            if der is None and self._reads.get(issuer, (None,))[0] is read:
                del self._reads[issuer]  # an issuer that is unknown is not remembered
        return der

    async def _read(self, database: AsyncDatabase, issuer: str | None) -> bytes | None:
        crl = await database.run(newest_crl, issuer)
        if crl is None:
            return None
        if self._lists.get(issuer) != crl.der:  # else the octets that are being sent already
            self._lists[issuer] = crl.der
        return self._lists[issuer]
