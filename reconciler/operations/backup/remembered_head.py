"""The newest audit record that a gateway has seen, remembered in a file outside the database.

A database whose log lacks that record is an older one, which somebody put in its place: whatever
was revoked since would hold again. A restore of ours raises the epoch, and is no surprise.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.config.definitions import invalid
from reconciler.core.audit.chain import Head
from reconciler.core.canonical_json import canonical_json
from reconciler.errors import Retry
from reconciler.files import replace_file
from reconciler.loops.jobs import sleep_unless
from reconciler.store.backup.database_identity import SeenHead, require_same_database
from reconciler.store.schema import require_current_in

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from reconciler.config import Settings
    from reconciler.store.db import Database

    Look = Callable[[SeenHead | None], Awaitable[SeenHead | None]]

NAME: Final = "audit-head"
EVERY: Final = timedelta(seconds=5)

_log = logging.getLogger(__name__)


class RememberedHead:
    """The file of a gateway; without a home or `MOSAIC_STATE_DIR` there is none."""

    def __init__(self, settings: Settings) -> None:
        self._path: Path | None = None
        if settings.state_dir is not None:
            self._path = settings.state_dir / NAME
        elif settings.embedded and settings.home is not None:
            self._path = settings.home.audit_head
        self._known: SeenHead | None = None

    @property
    def has_file(self) -> bool:
        """Whether anything is remembered."""
        return self._path is not None

    def read(self) -> SeenHead | None:
        """Return what is remembered, or None.

        Raises:
            NeedsEdit: `config_invalid`: the file is not as we write it.
        """
        if self._path is None:
            return None
        try:
            document = json.loads(self._path.read_text())
            head = Head(int(document["seq"]), bytes.fromhex(document["hash"]))
            return SeenHead(int(document["epoch"]), head)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = getattr(error, "strerror", None) or "it is not as a gateway writes it"
            hint = "see that the database is the right one, then remove the file"
            raise invalid(str(self._path), reason, hint) from None

    def write(self, seen: SeenHead | None) -> None:
        """Remember a record, if it is newer than what is remembered.

        Raises:
            OSError: the file cannot be written.
        """
        if self._path is None or seen is None or seen == self._known:
            return
        before = self.read()
        if before is None or (before.epoch, before.head.seq) < (seen.epoch, seen.head.seq):
            document = {"epoch": seen.epoch, "seq": seen.head.seq, "hash": seen.head.hash.hex()}
            replace_file(self._path, f"{canonical_json(document)}\n".encode(), 0o600)
        self._known = seen

    def require(self, database: Database) -> None:
        """Check the schema, and that the database is the one of before; remember its newest record.

        Raises:
            NeedsEdit: `database_replaced`, `schema_missing`.
            Refused: `schema_differs`.
        """
        with database.transaction() as tx:
            require_current_in(tx)
            seen = require_same_database(tx, self.read())
        with suppress(OSError):  # who may only read the folder does not remember
            self.write(seen)

    async def watch(self, stop: asyncio.Event, look: Look) -> None:
        """Do so until `stop` is set; `look` is `require_same_database` in a transaction.

        A file that cannot be written is a warning.

        Raises:
            NeedsEdit: `database_replaced`: the process must end.
        """
        trouble = ""
        while not stop.is_set():
            with suppress(Retry):  # an outage; others report it
                seen = await look(self.read())
                before, trouble = trouble, self._failure_to_write(seen)
                if trouble and trouble != before:  # once as long as it stays
                    _log.warning("%s; a database that is replaced is not noticed", trouble)
            await sleep_unless(stop, EVERY)

    def _failure_to_write(self, seen: SeenHead | None) -> str:
        try:
            self.write(seen)
        except OSError as error:
            return f"{self._path} cannot be written: {error.strerror}"
        return ""
