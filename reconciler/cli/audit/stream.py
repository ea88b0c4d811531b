"""The audit log after a record, verified as it is read: to its end, or on and on."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.cli.audit.verify import refuse_break
from reconciler.cli.shared.context import open_database, read_settings
from reconciler.cli.shared.output import MAX_CELL, document_text, json_line, show_list
from reconciler.cli.shared.watch import repeat
from reconciler.core.audit.chain import ChainBreak, broken
from reconciler.core.audit.record_lines import document_of
from reconciler.core.model.text import printable
from reconciler.core.privileges import Role
from reconciler.errors import Refused
from reconciler.operations.audit.archive_files import records_from
from reconciler.store.audit.archives import end_of, newest_archive
from reconciler.store.audit.cursor import cursor_at
from reconciler.store.audit.position import head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from reconciler.cli.shared.output import Column
    from reconciler.core.audit.chain import Record
    from reconciler.store.audit.cursor import Cursor
    from reconciler.store.audit.log import RecordFilter
    from reconciler.store.db import Database

    Document = dict[str, Any]

EVERY_S: Final = 1.0  # between two looks for new records
NONE: Final = "the audit log has no such record"


@dataclass(frozen=True, slots=True)
class RecordList:
    """How records are printed: which, in which columns or form."""

    only: RecordFilter
    columns: Sequence[Column]
    output: str

    def print_after(self, seq: int, limit: int | None) -> None:
        """Print what is after a record, at most so many.

        Raises:
            Refused: `audit_broken`, once what verifies is printed.
        """
        documents: list[Document] = []
        with open_database(read_settings(), "audit list", Role.READER) as database:
            try:
                for document in islice(self._after(database, seq), limit):
                    if self.output in ("jsonl", "name"):
                        click.echo(self._line(document))
                    else:
                        documents.append(document)
            except Refused:
                if documents:
                    show_list(documents, self.columns, self.output, NONE)
                raise
        if self.output not in ("jsonl", "name"):
            show_list(documents, self.columns, self.output, NONE)

    def print_archived(self, paths: Sequence[Path], seq: int | None, limit: int) -> None:
        """Print what archives have after a record, or the newest of it; and what follows them.

        Raises:
            Refused: `audit_broken`, `file_unusable`.
        """
        with (
            open_database(read_settings(), "audit list", Role.READER) as database,
            database.transaction(unlimited=True) as tx,
        ):
            documents = self._matching(
                each for each in records_from(tx, paths) if each.seq > (seq or 0)
            )
            if seq is None:
                show_list(list(deque(documents, limit)), self.columns, self.output, NONE)
            elif self.output in ("jsonl", "name"):
                for each in islice(documents, limit or None):
                    click.echo(self._line(each))
            else:
                shown = list(islice(documents, limit or None))
                show_list(shown, self.columns, self.output, NONE)

    def follow(self, seq: int | None, newest: int) -> None:
        """Print what is after a record, and each record that is appended, until Ctrl-C.

        Without a record, it begins with so many of the newest.
        """

        def step() -> bool:
            with database.transaction() as tx:
                page = cursor.read(tx)
            for document in self._matching(page.records):
                click.echo(self._line(document))
            refuse_break(page.chain_break)
            return page.full

        with open_database(read_settings(), "audit list", Role.READER, lasting=True) as database:
            cursor = _cursor(database, seq, newest)
            repeat(step, EVERY_S)

    def _after(self, database: Database, seq: int) -> Iterator[Document]:
        cursor, more = _cursor(database, seq, 0), True
        while more:
            with database.transaction() as tx:
                page = cursor.read(tx)
            yield from self._matching(page.records)
            refuse_break(page.chain_break)
            more = page.full

    def _matching(self, records: Iterable[Record]) -> Iterator[Document]:
        for each in records:
            if self.only.lets_through(each):
                yield document_of(each)

    def _line(self, document: Document) -> str:
        match self.output:
            case "name":
                return str(document["seq"])
            case "yaml":
                return f"---\n{document_text(document, 'yaml')}"
            case "table" | "wide":
                return "  ".join(printable(text(document), MAX_CELL) for _, text in self.columns)
            case _:
                return json_line(document)


def _cursor(database: Database, seq: int | None, newest: int) -> Cursor:
    with database.transaction() as tx:
        if seq is None:
            seq = max(end_of(newest_archive(tx)).seq, head(tx).seq - newest)
        cursor = cursor_at(tx, seq)
    if isinstance(cursor, ChainBreak):
        raise broken(cursor)
    return cursor
