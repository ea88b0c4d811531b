"""Files of archives, read back: each record is verified as it is read."""

from __future__ import annotations

import hashlib
import os
import stat
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, Final

from reconciler.core.audit.chain import (
    GENESIS,
    ChainBreak,
    Head,
    Record,
    broken,
    check_records,
)
from reconciler.core.audit.record_lines import certificate_of, is_certificate, record_of
from reconciler.errors import Refused
from reconciler.files import unusable
from reconciler.store.audit.archives import all_archives
from reconciler.store.audit.certificates import PAGE as CERTIFICATES
from reconciler.store.audit.cursor import Cursor
from reconciler.store.audit.log import OTHER_HASH, PAGE
from reconciler.store.audit.position import first_hash, has_record

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from reconciler.core.audit.archive import Archive
    from reconciler.store.db import Tx

MAX_LINE: Final = 16 * 1024 * 1024  # octets


class ArchiveFile:
    """A file of an archive: `start` is the record before its first, `last` the one read last.

    Raises:
        Refused: `file_unusable`; `audit_broken`: it holds no record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sum = hashlib.sha256()
        with self._opened() as file:
            first = self._record(self._line(file), 1)
        self.start = self.last = Head(first.seq - 1, first.prev)

    @property
    def digest(self) -> str:
        """The digest of the file, once all of it was read."""
        return f"sha256:{self._sum.hexdigest()}"

    def pages(self, after: Head) -> Iterator[list[Record]]:
        """Yield the records, so many at once; the first one must follow `after`.

        Raises:
            Refused: `audit_broken`: what follows does not verify; `file_unusable`.
        """
        self._sum, self.last = hashlib.sha256(), after
        number = 0
        with self._opened() as file:
            while lines := list(islice(iter(lambda: self._line(file), b""), PAGE)):
                page = []
                for line in lines:
                    self._sum.update(line)
                    number += 1
                    if not is_certificate(line):
                        page.append(self._record(line, number))
                count, chain_break = check_records(self.last, page)
                if count:
                    self.last = Head(page[count - 1].seq, page[count - 1].hash)
                if chain_break is not None:
                    raise self.broken(f"breaks at seq {chain_break.seq}: {chain_break.reason}")
                if page:
                    yield page

    def certificates(self) -> Iterator[list[dict[str, Any]]]:
        """Yield the certificates that it has after its records, so many at once.

        Raises:
            Refused: `audit_broken`: a line is none; `file_unusable`.
        """
        with self._opened() as file:
            lines = filter(is_certificate, iter(lambda: self._line(file), b""))
            while some := list(islice(lines, CERTIFICATES)):
                try:
                    yield [certificate_of(line) for line in some]
                except ValueError as error:
                    raise self.broken(f"is no archive of an audit log: {error}") from None

    def broken(self, reason: str) -> Refused:
        """Return the error of a file that does not verify."""
        hint = "use another copy of the file, and find out who changed this one"
        return Refused("audit_broken", f"{self.path} {reason}", hint=hint)

    def _opened(self) -> IO[bytes]:
        try:
            # a pipe or a device would never end
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            file = os.fdopen(descriptor, "rb")
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return file
            file.close()
        except OSError as error:
            raise unusable(self.path, error, "read") from None
        raise Refused("file_unusable", f"{self.path} is not a regular file", hint="name a file")

    def _line(self, file: IO[bytes]) -> bytes:
        try:
            return file.readline(MAX_LINE + 1)
        except OSError as error:
            raise unusable(self.path, error, "read") from None

    def _record(self, line: bytes, number: int) -> Record:
        whole = line.endswith(b"\n") and len(line) <= MAX_LINE
        try:
            return record_of(line if whole else b"")
        except ValueError as error:
            reason = error if whole else "it is cut off"
            raise self.broken(f"is no archive of an audit log: line {number}: {reason}") from None


def archived_records(tx: Tx, paths: Sequence[Path]) -> Iterator[Record]:
    """Yield the records of archives, from the log's first one to where the database continues.

    Raises:
        Refused: `audit_broken`: a record does not verify or is missing, or a file is not the one
            that was recorded; `file_unusable`.
    """
    archives = all_archives(tx)
    last = yield from _chained(tx, _in_order(paths), archives, Head(0, GENESIS))
    if archives and last.seq < archives[-1].last.seq:
        raise _missing(archives, last.seq + 1, archives[-1].last.seq)


def records_from(tx: Tx, paths: Sequence[Path]) -> Iterator[Record]:
    """Yield the records of archives that follow each other, and of the database if they follow.

    Raises:
        Refused: as `archived_records`.
    """
    files, archives = _in_order(paths), all_archives(tx)
    last = yield from _chained(tx, files, archives, files[0].start)
    if archives and last.seq < archives[-1].last.seq:
        return
    cursor, more = Cursor(last), True
    while more:
        page = cursor.read(tx)
        yield from page.records
        if page.chain_break is not None:
            raise broken(page.chain_break)
        more = page.full


def verify_archives(tx: Tx, paths: Sequence[Path], known: Sequence[Head]) -> int:
    """Return how many records archives have, all verified; `known` are records they must have.

    Raises:
        Refused: as `archived_records`.
    """
    expected = {each.seq: each.hash for each in known}
    count = 0
    for record in archived_records(tx, paths):
        count += 1
        if expected.get(record.seq, record.hash) != record.hash:
            raise broken(ChainBreak(record.seq, OTHER_HASH))
    return count


def _in_order(paths: Sequence[Path]) -> list[ArchiveFile]:
    return sorted(map(ArchiveFile, paths), key=lambda each: each.start.seq)


def _chained(
    tx: Tx, files: Sequence[ArchiveFile], archives: Sequence[Archive], start: Head
) -> Generator[Record, None, Head]:
    """Yield the records of files that follow each other; return the last one."""
    recorded = {each.last.seq: each for each in archives}
    last, log = start, (first_hash(tx) or "").removeprefix("sha256:")
    for file in files:
        if file.start.seq > last.seq:
            raise _missing(archives, last.seq + 1, file.start.seq)
        for page in file.pages(last):
            if last.seq == 0 and page[0].hash.hex() != log:
                raise file.broken("is of another gateway: its first record is not this log's")
            last = file.last
            yield from page
        archive = recorded.get(last.seq)
        if archive is not None and (archive.last, archive.sha256) != (last, file.digest):
            reason = f"has the digest {file.digest}, and was archived with {archive.sha256}"
            raise file.broken(reason)
        if archive is None and not has_record(tx, last):
            raise file.broken(f"ends with record {last.seq}, as no archive of this log does")
    return last


def _missing(archives: Sequence[Archive], first: int, last: int) -> Refused:
    names = [each.file for each in archives if each.first <= last and each.last.seq >= first]
    hint = f"name their archives too: {', '.join(names)}" if names else "name their archive too"
    return Refused(
        "audit_broken", f"the records {first:,} to {last:,} are in none of the files", hint=hint
    )
