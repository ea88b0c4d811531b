"""Rows and files that change together: both are there or neither, whatever stops the process.

It works as a rollback journal does in SQLite. Under the reconciler's lock, after the rows and
before the first file, a journal is written into the folder: the old content of each file, the
digest of the new one, and the audit records that stand before and after the change. Then the files
are put in place, and then the transaction commits, so that no loop applies a manifest whose rows
are not there. The journal is removed last. If the process is killed, the journal stays, and the
next one that takes the lock asks the audit log: it has the record that ends the change, and the
files are right; or it has only the one before, and the files become what they were. A file that
somebody has edited since keeps its edit. A journal of another database is left alone.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.audit.chain import Head
from reconciler.errors import MosaicError, Refused
from reconciler.files import has_kind, replace_file, sync_folder
from reconciler.store.audit import position
from reconciler.store.locks import DEFAULT_WAIT, locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta

    from reconciler.core.setting_values import SourceSetting
    from reconciler.store.db import Database, Tx
    from reconciler.store.file_change import FileChange

    Files = list[FileChange]

_log = logging.getLogger(__name__)

PREFIX: Final = ".mosaic-journal-"  # sources skip names that begin with a dot


@dataclass(frozen=True, slots=True)
class _Replaced:
    """A file of a journal: its path in the folder, its old content, the digest of its new one."""

    path: str
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class _Journal:
    """A journal in a folder: what was to be written by whom, and the audit records around it."""

    place: Path
    operation: str
    before: Head
    after: Head
    files: tuple[_Replaced, ...]

    @property
    def temporary(self) -> str:
        """The name of the temporary files that its writer makes."""
        return f".mosaic-{self.place.name.removeprefix(PREFIX)}"

    def write(self) -> None:
        """Write the journal; one that is torn was followed by nothing."""
        document = {
            "version": 1,
            "operation": self.operation,
            "before": _head_as_json(self.before),
            "after": _head_as_json(self.after),
            "files": [asdict(each) for each in self.files],
        }
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.place, flags, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(document, file)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self.place.parent)
        except BaseException:  # interrupted, too: nothing has been changed yet
            self.place.unlink(missing_ok=True)
            raise

    def undo(self) -> None:
        """Make each file that has the new content what it was."""
        for each, path in self._places():
            (path.parent / self.temporary).unlink(missing_ok=True)
            if not has_kind(path, stat.S_ISREG) or _digest(path.read_bytes()) != each.after:
                continue
            if each.before is None:
                path.unlink()
            else:
                replace_file(path, each.before.encode(), temporary=self.temporary)

    def remove(self) -> None:
        """Remove the journal, and with that end the change."""
        for parent in {path.parent for _, path in self._places()}:
            (parent / self.temporary).unlink(missing_ok=True)
        self.place.unlink(missing_ok=True)
        sync_folder(self.place.parent)

    def _places(self) -> Iterator[tuple[_Replaced, Path]]:
        """Yield the files with their places: a journal speaks of its own folder alone."""
        root = self.place.parent.resolve()
        for each in self.files:
            path = root / each.path
            if has_kind(path.parent, stat.S_ISDIR) and path.parent.resolve().is_relative_to(root):
                yield each, path


@dataclass(frozen=True, slots=True)
class Finished:
    """An operation that was committed though its process was killed; `paths` are its files."""

    operation: str
    paths: tuple[str, ...]


def interrupted_in(folder: Path) -> bool:
    """Tell whether a command that writes into a folder was interrupted there, or runs now."""
    return bool(_journals(folder))


def recover(database: Database, folder: Path, wait: timedelta) -> list[Finished]:
    """Finish or undo what a killed command left in a folder; return what was finished.

    Raises:
        Retry: `lock_held`.
    """
    if not interrupted_in(folder):
        return []
    with locked(database, wait) as tx:
        return [each for each in _recover(tx, folder) if each is not None]


def folders_of(source: SourceSetting) -> tuple[Path, ...]:
    """Return the folder of a source, and nothing for a repository."""
    return () if source.is_git else (Path(source.location),)


def interrupted(source: SourceSetting) -> bool:
    """Tell whether a command that writes into a source was interrupted there, or runs now."""
    return any(map(interrupted_in, folders_of(source)))


def recover_source(
    database: Database, source: SourceSetting, wait: timedelta = DEFAULT_WAIT
) -> list[Finished]:
    """Do as `recover` in the folder of a source; a repository has none."""
    return [each for folder in folders_of(source) for each in recover(database, folder, wait)]


@contextmanager
def locked_with_files(
    database: Database, wait: timedelta, folders: Sequence[Path], operation: str = ""
) -> Iterator[tuple[Tx, Files]]:
    """Give a transaction under the lock, and a list for the files that change with its rows.

    The files are all in one of the `folders`, which were read before the lock was taken. By
    `operation`, the same command knows that `recover` has finished what it wants.

    Raises:
        Retry: `lock_held`.
        Refused: `plan_stale`: a file is not what was read, or an interrupted command was undone.
            `name_taken`: a new file is there.
    """
    journal: _Journal | None = None
    try:
        with locked(database, wait) as tx:
            # else they were read while they had what an interrupted command left
            _refuse_recovered(any(_recover(tx, each) for each in folders))
            before = position.head(tx)
            changes: Files = []
            yield tx, changes
            if changes:
                journal = _begin(operation, changes, before, position.head(tx))
                _put_in_place(journal, changes)
    except BaseException:
        if journal is not None:  # only the audit log can tell whether it was committed
            _try_recover(database, journal.place, wait)
        raise
    if journal is not None:
        journal.remove()


def _try_recover(database: Database, journal: Path, wait: timedelta) -> None:
    """Finish or undo a change whose commit failed, or leave its journal to the next command."""
    try:
        recover(database, journal.parent, wait)
    except (MosaicError, OSError) as error:
        _log.warning("%s stays until the next command or pass recovers it: %s", journal, error)


def _refuse_recovered(recovered: bool) -> None:
    """Raise where a process has undone or finished what another one, or this one, had begun."""
    if recovered:
        raise Refused(
            "plan_stale",
            "a command that was interrupted has been undone or finished meanwhile",
            hint="nothing else was changed; run the command again",
        )


def _begin(operation: str, changes: Files, before: Head, after: Head) -> _Journal:
    """Write the journal of changes whose files are what they were made for."""
    first = changes[0]
    try:
        for each in changes:
            each.refuse_changed()
        first.folder.mkdir(mode=0o700 if first.private else 0o777, parents=True, exist_ok=True)
        root = first.folder.resolve()
        files = tuple(
            _Replaced(
                str((each.place.parent.resolve() / each.place.name).relative_to(root)),
                each.before.decode() if each.before is not None else None,
                _digest(each.after),
            )
            for each in changes
        )
        path = first.folder / f"{PREFIX}{secrets.token_hex(8)}"
        journal = _Journal(path, operation, before, after, files)
        journal.write()
    except OSError as error:
        raise first.unwritable(error) from None
    return journal


def _put_in_place(journal: _Journal, changes: Files) -> None:
    """Write the files, or none of them.

    If this process was stopped until its session ended, another one has removed the journal.
    """
    _refuse_recovered(not journal.place.exists())
    try:
        for each in changes:
            each.write(journal.temporary)
            _refuse_recovered(not journal.place.exists())
    except BaseException:
        journal.undo()
        journal.remove()
        raise


def _recover(tx: Tx, folder: Path) -> list[Finished | None]:
    """Finish or undo what is left in a folder, under the lock; None stands for what is undone."""
    recovered: list[Finished | None] = []
    for path in _journals(folder):
        journal = _read(path)
        if journal is None:
            path.unlink(missing_ok=True)
        elif position.has_record(tx, journal.after):
            journal.remove()
            paths = tuple(each.path for each in journal.files)
            recovered.append(Finished(journal.operation, paths))
        elif position.has_record(tx, journal.before):
            journal.undo()
            journal.remove()
            recovered.append(None)
    return recovered


def _journals(folder: Path) -> list[Path]:
    with suppress(OSError), os.scandir(folder) as entries:  # else its reader reports why
        names = [each.name for each in entries if each.is_file(follow_symlinks=False)]
        return sorted(folder / name for name in names if name.startswith(PREFIX))
    return []


def _read(path: Path) -> _Journal | None:
    """Return a journal, or None for one that is torn, is none, or has just been removed."""
    try:
        document = json.loads(path.read_bytes())
        files = tuple(_Replaced(**each) for each in document["files"])
        for each in files:  # what cannot be written was not written by us
            os.fsencode(each.path)
            "".join((each.before or "", each.after)).encode()
        before, after = _head_of(document["before"]), _head_of(document["after"])
        return _Journal(path, str(document["operation"]), before, after, files)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, FileNotFoundError):
        return None


def _head_as_json(head: Head) -> dict[str, Any]:
    return {"seq": head.seq, "hash": head.hash.hex()}


def _head_of(document: dict[str, Any]) -> Head:
    return Head(int(document["seq"]), bytes.fromhex(document["hash"]))


def _digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"
