"""Refusals of an apply, which are recorded so that notices tell of them."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from reconciler.errors import EXIT_REFUSED, EXIT_UNTRUSTED, MosaicError, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.model.commits import Commit
    from reconciler.store.db import Database

RECORDED: Final = (EXIT_REFUSED, EXIT_UNTRUSTED)  # by a guard, a rewind, the rules of trust


class ShownRefusal(click.exceptions.Exit):
    """The end of a command that has shown the refusal with the plan."""

    def __init__(self, refusal: Refused) -> None:
        super().__init__(refusal.exit_code)
        self.refusal = refusal


@dataclass(slots=True)
class RefusalRecorder:
    """Records why a person's apply of a source is refused; `commit` is the one that was read."""

    actor: str
    source: str
    commit: Commit | None = None

    def see(self, commit: Commit) -> None:
        """Note the commit that was read."""
        self.commit = commit

    @contextmanager
    def recording(self, database: Database) -> Iterator[None]:
        """Record a refusal within the block, in a transaction of its own, and raise it again."""
        try:
            yield
        except (Refused, ShownRefusal) as error:
            refusal = error.refusal if isinstance(error, ShownRefusal) else error
            if refusal.exit_code in RECORDED:
                self._record(database, refusal)
            raise

    def _record(self, database: Database, refusal: Refused) -> None:
        from reconciler.store.loop_status import record_refusal

        with suppress(MosaicError), database.transaction() as tx:  # the refusal itself is shown
            record_refusal(tx, self.actor, self.source, refusal, self.commit)
